//! Many addresses over one connection between sockets of ours.

use playhouse_mdp::protocol::{Address, Frames};
use playhouse_mdp::transport::{
    Allow, Change, Changes, Endpoint, Keys, Kind, Password, PlainUsers, Refused, Security, Socket, SocketSettings,
};
use tokio::time::timeout;

use crate::pyzmq::Puppet;
use crate::security::with;
use crate::support::{SOON, addresses, answer, dealer, frames, give, is_served, next, open, router};

/// A DEALER that asks for lanes, and the first word of its connection.
async fn trunk(settings: &SocketSettings, address: &Endpoint) -> (Socket, Changes, Change) {
    let socket = Socket::with_lanes(4, settings).unwrap();
    let mut changes = socket.changes();
    socket.connect(address).await.unwrap();
    let first = change(&mut changes).await;
    (socket, changes, first)
}

/// One that uses lanes.
async fn with_lanes(address: &Endpoint) -> (Socket, Changes) {
    let (socket, changes, first) = trunk(&SocketSettings::default(), address).await;
    assert_eq!(first, Change::Trunk);
    (socket, changes)
}

async fn change(changes: &mut Changes) -> Change {
    timeout(SOON, changes.next()).await.expect("a change came in time").unwrap()
}

/// Sends by a lane and takes the answer of the ROUTER.
async fn is_served_by(lane: &str, trunk: &Socket, router: &Socket) {
    give(trunk, frames(&[lane, "hello"])).await;
    let message = next(router).await;
    assert_eq!(message, frames(&[lane, "hello"]));
    router.send(answer(message, &["for", lane])).unwrap();
    assert_eq!(next(trunk).await, frames(&[lane, "for", lane]));
}

#[tokio::test]
async fn messages_go_both_ways_by_lanes_of_one_connection() {
    for address in &addresses()[..2] {
        let router = open(Kind::Router);
        let mut peers = router.changes();
        let bound = router.bind(address).await.unwrap();
        let (trunk, _) = with_lanes(&bound).await;
        for lane in ["ph:one", "ph:two", "ph:one"] {
            is_served_by(lane, &trunk, &router).await;
        }
        assert_eq!(change(&mut peers).await, Change::Connected);
        assert!(timeout(std::time::Duration::ZERO, peers.next()).await.is_err(), "there is a second connection");
        trunk.close().await;
    }
}

#[tokio::test]
async fn lanes_are_agreed_on_whatever_the_security_is() {
    let (keys, client) = (Keys::generate(), Keys::generate());
    let curve = Security::CurveClient { keys: client, server: keys.public() };
    let password = || Password::new("one").unwrap();
    let users = PlainUsers::new([("ada", password())]).unwrap();
    let plain = Security::PlainClient { name: "ada".to_owned(), password: password() };
    let pairs = [(Security::CurveServer { keys, allow: Allow::Any }, curve), (Security::PlainServer { users }, plain)];
    for (server, client) in pairs {
        let (router, address) = router(&with(server)).await;
        let (trunk, _, first) = trunk(&with(client), &address).await;
        assert_eq!(first, Change::Trunk);
        is_served_by("ph:one", &trunk, &router).await;
    }
}

#[tokio::test]
async fn a_lane_that_is_closed_is_gone_and_the_others_stay() {
    let (router, address) = router(&SocketSettings::default()).await;
    let (trunk, _) = with_lanes(&address).await;
    is_served_by("ph:one", &trunk, &router).await;
    is_served_by("ph:two", &trunk, &router).await;
    // One that was never opened is nobody's loss.
    give(&trunk, frames(&["ph:three"])).await;
    give(&trunk, frames(&["ph:one"])).await;
    assert_eq!(next(&router).await, frames(&["ph:one"]));
    assert!(matches!(router.send(frames(&["ph:one", "late"])), Err(Refused::Unroutable(_))));
    is_served_by("ph:two", &trunk, &router).await;
    is_served_by("ph:one", &trunk, &router).await;
}

#[tokio::test]
async fn all_lanes_are_gone_with_their_connection() {
    let (router, address) = router(&SocketSettings::default()).await;
    let (trunk, _) = with_lanes(&address).await;
    is_served_by("ph:one", &trunk, &router).await;
    is_served_by("ph:two", &trunk, &router).await;
    trunk.close().await;
    let mut gone = [next(&router).await, next(&router).await];
    gone.sort();
    assert_eq!(gone, [frames(&["ph:one"]), frames(&["ph:two"])]);
    assert!(matches!(router.send(frames(&["ph:one", "late"])), Err(Refused::Unroutable(_))));
}

#[tokio::test]
async fn a_lane_does_not_take_over_the_address_of_another_peer() {
    let (router, address) = router(&SocketSettings::default()).await;
    let settings = SocketSettings { identity: Some(Address::new("ph:plain")), ..SocketSettings::default() };
    let plain = dealer(&settings, &address).await;
    give(&plain, frames(&["hello"])).await;
    let from_plain = next(&router).await;
    let (first, _) = with_lanes(&address).await;
    is_served_by("ph:one", &first, &router).await;
    let (second, _) = with_lanes(&address).await;
    for taken in ["ph:plain", "ph:one"] {
        give(&second, frames(&[taken, "it is me"])).await;
        give(&second, frames(&[taken])).await;
    }
    // All of that was for nobody.
    is_served_by("ph:two", &second, &router).await;
    is_served_by("ph:one", &first, &router).await;
    router.send(answer(from_plain, &["still"])).unwrap();
    assert_eq!(next(&plain).await, frames(&["still"]));
}

#[tokio::test]
async fn a_peer_does_not_take_over_the_address_of_a_lane() {
    let (router, address) = router(&SocketSettings::default()).await;
    let (trunk, _) = with_lanes(&address).await;
    is_served_by("ph:one", &trunk, &router).await;
    let settings = SocketSettings { identity: Some(Address::new("ph:one")), ..SocketSettings::default() };
    let dealer = Socket::open(Kind::Dealer, &settings).unwrap();
    let mut changes = dealer.changes();
    dealer.connect(&address).await.unwrap();
    while change(&mut changes).await != Change::Lost {}
    is_served_by("ph:one", &trunk, &router).await;
}

#[tokio::test]
async fn a_connection_that_breaks_the_rules_of_lanes_is_cut_off_alone() {
    let (router, address) = router(&SocketSettings::default()).await;
    let (good, _) = with_lanes(&address).await;
    is_served_by("ph:good", &good, &router).await;
    let long = format!("ph:{}", "x".repeat(253));
    for bad in [frames(&["nobody", "x"]), frames(&["", "x"]), frames(&[""]), frames(&["ph"]), frames(&[&long, "x"])] {
        let (trunk, mut changes) = with_lanes(&address).await;
        give(&trunk, bad.clone()).await;
        assert_eq!(change(&mut changes).await, Change::Lost, "{bad:?}");
        is_served_by("ph:good", &good, &router).await;
    }
}

#[tokio::test]
async fn a_connection_with_too_many_lanes_is_cut_off_alone() {
    let settings = SocketSettings { receive_queue: 10_000, ..SocketSettings::default() };
    let (router, address) = router(&settings).await;
    let (good, _) = with_lanes(&address).await;
    is_served_by("ph:good", &good, &router).await;
    let (trunk, mut changes) = with_lanes(&address).await;
    let lane = |number: usize| frames(&[&format!("ph:{number}"), "hello"]);
    for number in 0..1024 {
        give(&trunk, lane(number)).await;
        assert_eq!(next(&router).await, lane(number));
    }
    give(&trunk, lane(1024)).await;
    assert_eq!(change(&mut changes).await, Change::Lost);
    for _ in 0..1024 {
        assert_eq!(next(&router).await.len(), 1);
    }
    is_served_by("ph:good", &good, &router).await;
}

#[tokio::test]
async fn lanes_count_as_peers_and_those_too_many_are_not_heard() {
    let settings = SocketSettings { most_peers: 2, ..SocketSettings::default() };
    let (router, address) = router(&settings).await;
    let (first, _) = with_lanes(&address).await;
    let (second, _) = with_lanes(&address).await;
    is_served_by("ph:one", &first, &router).await;
    is_served_by("ph:two", &second, &router).await;
    give(&first, frames(&["ph:three", "hello"])).await;
    is_served_by("ph:one", &first, &router).await;
    give(&second, frames(&["ph:two"])).await;
    assert_eq!(next(&router).await, frames(&["ph:two"]));
    is_served_by("ph:three", &first, &router).await;
}

#[tokio::test]
async fn each_lane_has_room_for_as_much_as_a_peer_of_its_own() {
    let settings = SocketSettings { largest_message: 1_000_000, ..SocketSettings::default() };
    let (_router, address) = router(&settings).await;
    let (trunk, _, _) = trunk(&settings, &address).await;
    let message = |lane: usize| -> Frames { frames(&[&format!("ph:{lane}"), &"x".repeat(900_000)]) };
    // Nothing is read meanwhile, for this is the only thread; of the first one or two, the kernel takes some.
    let taken = (0..100).take_while(|number| trunk.send(message(number % 4)).is_ok()).count();
    assert!((8..16).contains(&taken), "{taken} messages for four lanes, with room for two each");
}

#[tokio::test]
async fn a_peer_that_knows_no_lanes_is_told_by_none() {
    let router = open(Kind::Router);
    let within = router.bind(&addresses()[2]).await.unwrap();
    let (trunk_within, _, first) = trunk(&SocketSettings::default(), &within).await;
    assert_eq!(first, Change::Connected);
    give(&trunk_within, frames(&["hello"])).await;
    let message = next(&router).await;
    assert_eq!(message[1..], frames(&["hello"]));
    router.send(answer(message, &["back"])).unwrap();
    assert_eq!(next(&trunk_within).await, frames(&["back"]));

    let mut foreign = Puppet::bind("ROUTER", "tcp://127.0.0.1:*", &[]).await;
    let (dealer, _, first) = trunk(&SocketSettings::default(), &foreign.address).await;
    assert_eq!(first, Change::Connected);
    give(&dealer, frames(&["hello"])).await;
    let message = foreign.receive().await;
    assert_eq!(message[1..], frames(&["hello"]));
    foreign.send(&answer(message, &["back"])).await;
    assert_eq!(next(&dealer).await, frames(&["back"]));
}

#[tokio::test]
async fn peers_with_and_without_lanes_share_a_router() {
    let (router, address) = router(&SocketSettings::default()).await;
    let (trunk, _) = with_lanes(&address).await;
    is_served_by("ph:one", &trunk, &router).await;
    let task = crate::support::echo(router);
    is_served(&dealer(&SocketSettings::default(), &address).await).await;
    let mut foreign = Puppet::connect("DEALER", &address, &[]).await;
    foreign.send(&frames(&["hello"])).await;
    assert_eq!(foreign.receive().await, frames(&["hello"]));
    task.abort();
}
