//! CURVE and PLAIN between sockets of ours.

use std::time::Duration;

use playhouse_mdp::protocol::Address;
use playhouse_mdp::transport::{Allow, Change, Keys, Password, PlainUsers, Security, SocketSettings};
use tokio::time::{Instant, timeout};

use crate::support::{SOON, dealer, echo, frames, give, is_served, next, router};

pub(crate) fn with(security: Security) -> SocketSettings {
    SocketSettings { security, first_retry: Duration::from_millis(5), ..SocketSettings::default() }
}

/// A client that is let in is served, each of the others is not.
async fn only_the_first_is_served<const N: usize>(server: Security, clients: [Security; N]) {
    let (router, address) = router(&with(server)).await;
    let mut changes = router.changes();
    let task = echo(router);
    let [good, bad @ ..] = clients.as_slice() else { panic!("no client") };
    let good = dealer(&with(good.clone()), &address).await;
    is_served(&good).await;
    assert_eq!(timeout(SOON, changes.next()).await.unwrap(), Some(Change::Connected));
    for security in bad {
        let dealer = dealer(&with(security.clone()), &address).await;
        // It tries again and again, or is told to stop; what it must never have is a connection that takes messages.
        let sent = dealer.send_waiting(frames(&["let me in"]), Instant::now() + Duration::from_millis(100)).await;
        assert!(sent.is_err(), "{security:?} was let in");
        is_served(&good).await;
    }
    assert!(timeout(Duration::ZERO, changes.next()).await.is_err(), "a client got in, or the good one was lost");
    task.abort();
}

#[tokio::test]
async fn curve_lets_in_who_has_an_allowed_key_and_the_servers_key() {
    let (keys, client, stranger) = (Keys::generate(), Keys::generate(), Keys::generate());
    let server = Security::CurveServer { keys: keys.clone(), allow: Allow::Only(vec![client.public()]) };
    let as_client = |keys: &Keys, server: &Keys| Security::CurveClient { keys: keys.clone(), server: server.public() };
    let plain = Security::PlainClient { name: "ada".to_owned(), password: Password::new("one").unwrap() };
    let not_allowed = as_client(&stranger, &keys);
    let wrong_server = as_client(&client, &stranger);
    only_the_first_is_served(server, [as_client(&client, &keys), not_allowed, wrong_server, Security::None, plain])
        .await;
}

#[tokio::test]
async fn curve_can_let_in_everybody_who_has_the_servers_key() {
    let (keys, client) = (Keys::generate(), Keys::generate());
    let good = Security::CurveClient { keys: client, server: keys.public() };
    only_the_first_is_served(Security::CurveServer { keys, allow: Allow::Any }, [good, Security::None]).await;
}

#[tokio::test]
async fn plain_lets_in_who_knows_a_password() {
    let password = |text: &str| Password::new(text).unwrap();
    let users = PlainUsers::new([("ada", password("one")), ("bob", password("two"))]).unwrap();
    let user = |name: &str, text: &str| Security::PlainClient { name: name.to_owned(), password: password(text) };
    let clients = [user("bob", "two"), user("bob", "one"), user("eve", "two"), Security::None];
    only_the_first_is_served(Security::PlainServer { users }, clients).await;
}

#[tokio::test]
async fn a_client_that_is_turned_away_learns_of_it() {
    let (keys, stranger) = (Keys::generate(), Keys::generate());
    let server = Security::CurveServer { keys: keys.clone(), allow: Allow::Only(Vec::new()) };
    let (_router, address) = router(&with(server)).await;
    let client = playhouse_mdp::transport::Socket::open(
        playhouse_mdp::transport::Kind::Dealer,
        &with(Security::CurveClient { keys: stranger, server: keys.public() }),
    )
    .unwrap();
    let mut changes = client.changes();
    client.connect(&address).await.unwrap();
    let change = timeout(SOON, changes.next()).await.unwrap();
    assert!(matches!(change, Some(Change::Rejected(_))), "{change:?}");
}

#[tokio::test]
async fn a_message_of_any_shape_travels_encrypted_between_ours() {
    let (keys, client) = (Keys::generate(), Keys::generate());
    let curve = Security::CurveClient { keys: client, server: keys.public() };
    let (router, address) = router(&with(Security::CurveServer { keys, allow: Allow::Any })).await;
    let task = echo(router);
    // One that says that it is ours, and one that does not.
    for identity in [Some(Address::unique()), None] {
        let dealer = dealer(&SocketSettings { identity, ..with(curve.clone()) }, &address).await;
        let (long, longer, longest) = ("a".repeat(254), "b".repeat(255), "c".repeat(70_000));
        let huge = "g".repeat(100_000);
        let mut shapes = vec![vec![""], vec!["one"], vec!["", "", ""], vec!["", &long, &longer], vec!["d", &longest]];
        shapes.push(vec!["e"; 64]);
        shapes.push(vec!["f"; 65]);
        shapes.push(vec![&huge]);
        for shape in shapes {
            give(&dealer, frames(&shape)).await;
            assert_eq!(next(&dealer).await, frames(&shape));
        }
    }
    task.abort();
}
