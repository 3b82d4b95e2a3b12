//! The second backend: what it can do, and what it refuses.

use std::time::Duration;

use playhouse_engine::Kind as ErrorKind;
use playhouse_mdp::protocol::Address;
use playhouse_mdp::transport::{
    Allow, Backend, Change, Endpoint, Keys, Kind, Refused, Security, Socket, SocketSettings,
};
use tokio::time::{sleep, timeout};

use crate::pyzmq::Puppet;
use crate::support::{SOON, addresses, answer, dealer, frames, give, next, router};

fn settings() -> SocketSettings {
    let first_retry = Duration::from_millis(5);
    SocketSettings { backend: Backend::Zeromq, first_retry, longest_retry: first_retry, ..SocketSettings::default() }
}

fn open(kind: Kind) -> Socket {
    Socket::open(kind, &settings()).unwrap()
}

#[tokio::test]
async fn a_router_answers_a_dealer_over_tcp_and_ipc_with_either_backend() {
    for (one, other) in
        [(settings(), settings()), (settings(), SocketSettings::default()), (SocketSettings::default(), settings())]
    {
        for address in &addresses()[..2] {
            let router = Socket::open(Kind::Router, &one).unwrap();
            let bound = router.bind(address).await.unwrap();
            let identity = Address::unique();
            let dealer = dealer(&SocketSettings { identity: Some(identity.clone()), ..other.clone() }, &bound).await;
            give(&dealer, frames(&["", "hello"])).await;
            let message = next(&router).await;
            assert_eq!((&message[0], &message[1..]), (identity.as_bytes(), frames(&["", "hello"]).as_slice()));
            router.send(answer(message, &["", "done"])).unwrap();
            assert_eq!(next(&dealer).await, frames(&["", "done"]));
        }
    }
}

#[tokio::test]
async fn a_pull_takes_what_is_pushed() {
    let (push, pull) = (open(Kind::Push), open(Kind::Pull));
    let bound = pull.bind(&addresses()[0]).await.unwrap();
    push.connect(&bound).await.unwrap();
    for number in 0..100 {
        give(&push, frames(&[&number.to_string()])).await;
    }
    for number in 0..100 {
        assert_eq!(next(&pull).await, frames(&[&number.to_string()]));
    }
}

#[tokio::test]
async fn a_sub_takes_what_it_subscribed_to() {
    let (publisher, subscriber) = (open(Kind::Pub), open(Kind::Sub));
    let bound = publisher.bind(&addresses()[0]).await.unwrap();
    subscriber.subscribe("tea").await.unwrap();
    subscriber.connect(&bound).await.unwrap();
    let sending = async {
        loop {
            publisher.send(frames(&["coffee", "no"])).unwrap();
            publisher.send(frames(&["tea", "yes"])).unwrap();
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = sending => {}
        message = next(&subscriber) => assert_eq!(message, frames(&["tea", "yes"])),
    }
}

#[tokio::test]
async fn a_message_for_nobody_comes_back() {
    let (router, address) = router(&settings()).await;
    assert!(matches!(router.send(frames(&["nobody", "hello"])), Err(Refused::Unroutable(_))));
    let dealer = dealer(&settings(), &address).await;
    give(&dealer, frames(&["hello"])).await;
    let message = next(&router).await;
    router.send(message.clone()).unwrap();
    let mut changes = router.changes();
    dealer.close().await;
    while timeout(SOON, changes.next()).await.unwrap() != Some(Change::Lost) {}
    assert!(matches!(router.send(message), Err(Refused::Unroutable(_))));
}

#[tokio::test]
async fn a_dealer_comes_back_to_a_router_that_was_restarted() {
    let (first, address) = router(&settings()).await;
    let dealer = dealer(&settings(), &address).await;
    let mut changes = dealer.changes();
    give(&dealer, frames(&["one"])).await;
    next(&first).await;
    first.close().await;
    let second = open(Kind::Router);
    second.bind(&address).await.unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(&[Change::Lost, Change::Connected]) {
        seen.push(timeout(SOON, changes.next()).await.unwrap().unwrap());
    }
    give(&dealer, frames(&["two"])).await;
    assert_eq!(next(&second).await[1], "two");
}

#[tokio::test]
async fn a_dealer_of_libzmq_is_served() {
    let (router, address) = router(&settings()).await;
    let mut peer = Puppet::connect("DEALER", &address, &[]).await;
    peer.send(&frames(&["", "hello"])).await;
    router.send(answer(next(&router).await, &["", "done"])).unwrap();
    assert_eq!(peer.receive().await, frames(&["", "done"]));
}

#[tokio::test]
async fn it_refuses_what_leaves_this_machine_and_what_it_cannot_do() {
    let open_to_all: Endpoint = "tcp://0.0.0.0:0".parse().unwrap();
    let error = open(Kind::Router).bind(&open_to_all).await.unwrap_err();
    let expected = "the backend `zeromq` is for loopback and ipc addresses only, found `tcp://0.0.0.0:0`: 73 bytes from a peer \
                    abort the process";
    assert_eq!((error.kind(), error.to_string()), (ErrorKind::Forbidden, expected.to_owned()));
    let far: Endpoint = "tcp://broker.example.org:5555".parse().unwrap();
    assert_eq!(open(Kind::Dealer).connect(&far).await.unwrap_err().kind(), ErrorKind::Forbidden);
    let within = &addresses()[2];
    assert_eq!(open(Kind::Dealer).connect(within).await.unwrap_err().kind(), ErrorKind::Unsupported);
    let security = Security::CurveServer { keys: Keys::generate(), allow: Allow::Any };
    let error = Socket::open(Kind::Router, &SocketSettings { security, ..settings() }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}
