//! The other side is libzmq.

use playhouse_mdp::transport::{Allow, Change, Keys, Kind, Security, Socket, SocketSettings};

use crate::pyzmq::Puppet;
use crate::security::with;
use crate::support::{SOON, answer, dealer, frames, give, next, open, router};

/// A DEALER of libzmq and a ROUTER of ours talk to each other.
async fn serves(settings: &SocketSettings, options: &[String]) {
    let (router, address) = router(settings).await;
    let mut peer = Puppet::connect("DEALER", &address, options).await;
    let long = "x".repeat(70_000);
    peer.send(&frames(&["", "MDPC01", &long])).await;
    let message = next(&router).await;
    assert_eq!(message[1..], frames(&["", "MDPC01", &long]));
    router.send(answer(message, &["", &long, "done"])).unwrap();
    assert_eq!(peer.receive().await, frames(&["", &long, "done"]));
}

/// A ROUTER of libzmq and a DEALER of ours talk to each other.
async fn is_served(settings: &SocketSettings, options: &[String]) {
    let mut peer = Puppet::bind("ROUTER", "tcp://127.0.0.1:*", options).await;
    let dealer = dealer(settings, &peer.address).await;
    give(&dealer, frames(&["", "hello"])).await;
    let message = peer.receive().await;
    assert_eq!(message[1..], frames(&["", "hello"]));
    peer.send(&answer(message, &["", "done"])).await;
    assert_eq!(next(&dealer).await, frames(&["", "done"]));
}

#[tokio::test]
async fn a_router_serves_a_dealer_of_libzmq() {
    serves(&SocketSettings::default(), &[]).await;
}

#[tokio::test]
async fn a_dealer_is_served_by_a_router_of_libzmq() {
    is_served(&SocketSettings::default(), &[]).await;
}

#[tokio::test]
async fn the_identity_of_a_libzmq_peer_is_its_address() {
    let (router, address) = router(&SocketSettings::default()).await;
    let mut peer = Puppet::connect("DEALER", &address, &["IDENTITY=worker-1".to_owned()]).await;
    peer.send(&frames(&["ready"])).await;
    assert_eq!(next(&router).await, frames(&["worker-1", "ready"]));
}

#[tokio::test]
async fn a_libzmq_peer_that_asks_for_signs_of_life_stays_connected() {
    // Ten times as many PINGs as it takes to be cut off, while nothing else is sent.
    let options = ["HEARTBEAT_IVL=10".to_owned(), "HEARTBEAT_TIMEOUT=100".to_owned()];
    let (router, address) = router(&SocketSettings::default()).await;
    let mut peer = Puppet::connect("DEALER", &address, &options).await;
    peer.send(&frames(&["one"])).await;
    let first = next(&router).await;
    let quiet = std::time::Duration::from_secs(1);
    assert!(tokio::time::timeout(quiet, router.receive(&mut Vec::new(), 1)).await.is_err());
    router.send(answer(first, &["still here"])).unwrap();
    assert_eq!(peer.receive().await, frames(&["still here"]));
}

#[tokio::test]
async fn curve_works_with_libzmq_on_either_side() {
    let (server, client) = (Keys::generate(), Keys::generate());
    let allow = Allow::Only(vec![client.public()]);
    let pair = |keys: &Keys| {
        vec![format!("CURVE_SECRETKEY={}", keys.secret_text()), format!("CURVE_PUBLICKEY={}", keys.public())]
    };
    let mut options = pair(&client);
    options.push(format!("CURVE_SERVERKEY={}", server.public()));
    serves(&with(Security::CurveServer { keys: server.clone(), allow }), &options).await;
    let mut options = pair(&server);
    options.push("CURVE_SERVER=1".to_owned());
    is_served(&with(Security::CurveClient { keys: client, server: server.public() }), &options).await;
}

#[tokio::test]
async fn a_stranger_with_a_name_like_ours_is_cut_off_where_it_sends_no_bundle() {
    let (server, client) = (Keys::generate(), Keys::generate());
    let settings = with(Security::CurveServer { keys: server.clone(), allow: Allow::Any });
    let router = Socket::open(Kind::Router, &settings).unwrap();
    let bound = router.bind(&"tcp://127.0.0.1:0".parse().unwrap()).await.unwrap();
    let mut changes = router.changes();
    let options = [
        "IDENTITY=ph:stranger".to_owned(),
        format!("CURVE_SECRETKEY={}", client.secret_text()),
        format!("CURVE_PUBLICKEY={}", client.public()),
        format!("CURVE_SERVERKEY={}", server.public()),
    ];
    let mut peer = Puppet::connect("DEALER", &bound, &options).await;
    // A message of several frames needs no bundle.
    peer.send(&frames(&["", "one"])).await;
    assert_eq!(next(&router).await, frames(&["ph:stranger", "", "one"]));
    peer.send(&frames(&["\u{5}four"])).await;
    for expected in [Change::Connected, Change::Lost] {
        assert_eq!(tokio::time::timeout(SOON, changes.next()).await.unwrap(), Some(expected));
    }
}

#[tokio::test]
async fn libzmq_pushes_and_publishes_to_ours() {
    let pull = open(Kind::Pull);
    let bound = pull.bind(&"tcp://127.0.0.1:0".parse().unwrap()).await.unwrap();
    let mut peer = Puppet::connect("PUSH", &bound, &[]).await;
    peer.send(&frames(&["a", ""])).await;
    assert_eq!(next(&pull).await, frames(&["a", ""]));

    let publisher = Socket::open(Kind::Pub, &SocketSettings::default()).unwrap();
    let bound = publisher.bind(&"tcp://127.0.0.1:0".parse().unwrap()).await.unwrap();
    let mut peer = Puppet::connect("SUB", &bound, &[]).await;
    peer.subscribe("tea").await;
    let sending = async {
        loop {
            let _ = publisher.send(frames(&["tea", "green"]));
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = sending => {}
        message = peer.receive() => assert_eq!(message, frames(&["tea", "green"])),
    }
}
