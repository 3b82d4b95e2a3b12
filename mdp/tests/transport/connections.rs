//! Connections that come and go.

use std::time::Duration;

use playhouse_mdp::protocol::Address;
use playhouse_mdp::transport::{Change, Kind, Refused, SocketSettings};
use tokio::time::timeout;

use crate::support::{SOON, answer, dealer, frames, give, next, open, router};

#[tokio::test]
async fn a_dealer_comes_back_to_a_router_that_was_restarted() {
    let settings = SocketSettings { first_retry: Duration::from_millis(5), ..SocketSettings::default() };
    let (first, address) = router(&settings).await;
    let dealer = dealer(&settings, &address).await;
    let mut changes = dealer.changes();
    give(&dealer, frames(&["one"])).await;
    next(&first).await;
    first.close().await;
    let second = open(Kind::Router);
    second.bind(&address).await.unwrap();
    // The first word may be of the connection that was there before anybody asked.
    let mut seen = Vec::new();
    while !seen.ends_with(&[Change::Lost, Change::Connected]) {
        seen.push(timeout(SOON, changes.next()).await.unwrap().unwrap());
    }
    give(&dealer, frames(&["two"])).await;
    let message = next(&second).await;
    assert_eq!(message[1], "two");
    second.send(answer(message, &["back"])).unwrap();
    assert_eq!(next(&dealer).await, frames(&["back"]));
}

#[tokio::test]
async fn a_dealer_may_connect_before_there_is_a_router() {
    let settings = SocketSettings { first_retry: Duration::from_millis(5), ..SocketSettings::default() };
    let (gone, address) = router(&settings).await;
    gone.close().await;
    let dealer = dealer(&settings, &address).await;
    match dealer.send(frames(&["too early"])) {
        Err(Refused::Full(back)) => assert_eq!(back, frames(&["too early"])),
        other => panic!("{other:?}"),
    }
    let router = open(Kind::Router);
    let binding = async {
        router.bind(&address).await.unwrap();
        next(&router).await
    };
    let ((), message) = tokio::join!(give(&dealer, frames(&["early"])), binding);
    assert_eq!(message[1], "early");
}

#[tokio::test]
async fn of_two_dealers_with_one_identity_the_later_one_is_answered() {
    let identity = Address::unique();
    let settings = SocketSettings { identity: Some(identity.clone()), ..SocketSettings::default() };
    let (router, address) = router(&SocketSettings::default()).await;
    let first = dealer(&settings, &address).await;
    give(&first, frames(&["first"])).await;
    assert_eq!(next(&router).await[0], identity.as_bytes());
    let second = dealer(&settings, &address).await;
    give(&second, frames(&["second"])).await;
    loop {
        let message = next(&router).await;
        assert_eq!(message[0], identity.as_bytes());
        if message[1] == "second" {
            router.send(answer(message, &["for the second"])).unwrap();
            break;
        }
    }
    assert_eq!(next(&second).await, frames(&["for the second"]));
}

#[tokio::test]
async fn a_peer_that_is_gone_is_unroutable_before_long() {
    let (router, address) = router(&SocketSettings::default()).await;
    let dealer = dealer(&SocketSettings::default(), &address).await;
    give(&dealer, frames(&["hello"])).await;
    let message = next(&router).await;
    let mut changes = router.changes();
    dealer.close().await;
    while timeout(SOON, changes.next()).await.unwrap() != Some(Change::Lost) {}
    assert!(router.send(message).is_err());
}
