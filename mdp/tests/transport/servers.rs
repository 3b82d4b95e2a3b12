//! What a DEALER connects to: servers that mean harm, that are broken, or that come and go.

use std::time::Duration;

use playhouse_engine::Kind as ErrorKind;
use playhouse_mdp::transport::{Change, Changes, Endpoint, Keys, Kind, Refused, Security, SocketSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::hostile::{GREETING, is_closed};
use crate::pyzmq::Puppet;
use crate::security::with;
use crate::support::{SOON, addresses, answer, dealer, echo, frames, give, is_served, next, open, router};

/// The command READY of a ROUTER.
const READY: &[u8] = b"\x04\x1c\x05READY\x0bSocket-Type\x00\x00\x00\x06ROUTER";

/// A PING that is answered with `\x05PONGcontext`.
const PING: &[u8] = b"\x04\x0e\x04PING\x00\x00context";

fn hasty() -> SocketSettings {
    let (first_retry, longest_retry) = (Duration::from_millis(2), Duration::from_millis(20));
    SocketSettings { first_retry, longest_retry, handshake: Duration::from_millis(200), ..SocketSettings::default() }
}

/// A listener that is no ROUTER, and its address.
async fn listener() -> (TcpListener, Endpoint) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap()).parse().unwrap();
    (listener, address)
}

async fn accept(listener: &TcpListener) -> TcpStream {
    timeout(SOON, listener.accept()).await.expect("the dealer comes").unwrap().0
}

/// Takes a DEALER in, as a ROUTER does.
async fn shake(stream: &mut TcpStream) {
    stream.write_all(&GREETING).await.unwrap();
    stream.write_all(READY).await.unwrap();
    let mut theirs = [0; 64 + READY.len()];
    timeout(SOON, stream.read_exact(&mut theirs)).await.unwrap().unwrap();
}

async fn change(changes: &mut Changes) -> Change {
    timeout(SOON, changes.next()).await.expect("a change came in time").unwrap()
}

#[tokio::test]
async fn servers_that_mean_harm_are_tried_again_until_there_is_a_good_one() {
    let (listener, address) = listener().await;
    let settings = SocketSettings { largest_message: 100_000, ..hasty() };
    let dealer = dealer(&settings, &address).await;
    let mut random = fastrand::Rng::with_seed(11);
    for round in 0..40 {
        let mut stream = accept(&listener).await;
        let mut bytes: Vec<u8> = (0..random.usize(0..300)).map(|_| random.u8(..)).collect();
        match round % 5 {
            // What begins like a greeting, and like a handshake.
            1 => drop(bytes.splice(0..0, GREETING)),
            2 => drop(bytes.splice(0..0, [GREETING.as_slice(), READY].concat())),
            // Half a frame, and a frame that is too large.
            3 => bytes = [GREETING.as_slice(), READY, &[0, 200, 1, 2, 3]].concat(),
            4 => bytes = [GREETING.as_slice(), READY, &[2, 0, 0, 0, 0xff, 0, 0, 0, 0]].concat(),
            _ => {}
        }
        let _ = stream.write_all(&bytes).await;
    }
    drop(listener);
    let router = open(Kind::Router);
    router.bind(&address).await.unwrap();
    let task = echo(router);
    is_served(&dealer).await;
    task.abort();
}

#[tokio::test]
async fn a_server_that_says_nothing_is_left_in_time() {
    let (listener, address) = listener().await;
    let dealer = dealer(&hasty(), &address).await;
    for written in [0, 10, 64] {
        let mut stream = accept(&listener).await;
        stream.write_all(&GREETING[..written]).await.unwrap();
        is_closed(&mut stream).await;
    }
    let mut stream = accept(&listener).await;
    shake(&mut stream).await;
    give(&dealer, frames(&["at last"])).await;
    let mut message = [0; 9];
    timeout(SOON, stream.read_exact(&mut message)).await.unwrap().unwrap();
    assert_eq!(message, *b"\x00\x07at last");
}

#[tokio::test]
async fn a_message_without_an_end_closes_the_connection() {
    let (listener, address) = listener().await;
    let settings = SocketSettings { largest_message: 100_000, ..hasty() };
    let dealer = dealer(&settings, &address).await;
    let mut changes = dealer.changes();
    let mut stream = accept(&listener).await;
    shake(&mut stream).await;
    let pouring = async { while stream.write_all(&[1, 1, b'x'].repeat(1000)).await.is_ok() {} };
    let mut messages = Vec::new();
    tokio::select! {
        received = dealer.receive(&mut messages, 1) => panic!("{received:?}: {messages:?}"),
        poured = timeout(SOON, pouring) => poured.expect("the connection was closed"),
    }
    assert_eq!(change(&mut changes).await, Change::Connected);
    assert_eq!(change(&mut changes).await, Change::Lost);
}

#[tokio::test]
async fn what_came_before_the_end_of_a_connection_is_received() {
    let (listener, address) = listener().await;
    let dealer = dealer(&hasty(), &address).await;
    let mut changes = dealer.changes();
    let mut stream = accept(&listener).await;
    shake(&mut stream).await;
    stream.write_all(b"\x00\x03one\x00\x03two\x01\x05three\x00\x04four").await.unwrap();
    drop(stream);
    // Nobody receives meanwhile.
    assert_eq!(change(&mut changes).await, Change::Connected);
    assert_eq!(change(&mut changes).await, Change::Lost);
    let mut stream = accept(&listener).await;
    shake(&mut stream).await;
    stream.write_all(b"\x00\x04five").await.unwrap();
    for expected in [["one"].as_slice(), &["two"], &["three", "four"], &["five"]] {
        assert_eq!(next(&dealer).await, frames(expected));
    }
}

#[tokio::test]
async fn what_was_sent_over_a_lost_connection_does_not_go_over_the_next() {
    let (listener, address) = listener().await;
    let dealer = dealer(&hasty(), &address).await;
    let mut changes = dealer.changes();
    let mut stream = accept(&listener).await;
    shake(&mut stream).await;
    assert_eq!(change(&mut changes).await, Change::Connected);
    // More than the system takes, so that the last part waits in the socket.
    let large = "x".repeat(1_000_000);
    while dealer.send(frames(&["old", &large])).is_ok() {}
    drop(stream);
    assert_eq!(change(&mut changes).await, Change::Lost);
    assert!(matches!(dealer.send(frames(&["between"])), Err(Refused::Full(_))));
    let mut stream = accept(&listener).await;
    shake(&mut stream).await;
    give(&dealer, frames(&["new"])).await;
    let mut message = [0; 5];
    timeout(SOON, stream.read_exact(&mut message)).await.unwrap().unwrap();
    assert_eq!(message, *b"\x00\x03new");
}

#[tokio::test]
async fn commands_are_answered_amid_messages_whether_anybody_receives_or_not() {
    let (listener, address) = listener().await;
    let dealer = dealer(&hasty(), &address).await;
    let mut stream = accept(&listener).await;
    shake(&mut stream).await;
    let mut answer = [0; 14];
    for is_received in [false, true] {
        for _ in 0..20 {
            // A command that nobody knows, half a message, a PING, and the other half.
            stream.write_all(b"\x04\x04\x03ODD\x01\x04half").await.unwrap();
            stream.write_all(PING).await.unwrap();
            stream.write_all(b"\x00\x04rest").await.unwrap();
            let pong = async {
                timeout(SOON, stream.read_exact(&mut answer)).await.expect("a PONG came in time").unwrap();
            };
            if is_received {
                let (message, ()) = tokio::join!(next(&dealer), pong);
                assert_eq!(message, frames(&["half", "rest"]));
            } else {
                pong.await;
            }
            assert_eq!(answer, *b"\x04\x0c\x04PONGcontext");
        }
        if !is_received {
            for _ in 0..20 {
                assert_eq!(next(&dealer).await, frames(&["half", "rest"]));
            }
        }
    }
}

#[tokio::test]
async fn a_server_that_is_silent_is_asked_and_then_lost() {
    let (listener, address) = listener().await;
    let settings = SocketSettings { heartbeat: Some(Duration::from_millis(20)), ..hasty() };
    let dealer = dealer(&settings, &address).await;
    let mut changes = dealer.changes();
    let mut stream = accept(&listener).await;
    shake(&mut stream).await;
    // With the time after which the peer may take us for lost, in tenths of a second: three intervals, rounded down.
    let mut asked = [0; 9];
    timeout(SOON, stream.read_exact(&mut asked)).await.unwrap().unwrap();
    assert_eq!(asked, *b"\x04\x07\x04PING\x00\x00");
    assert_eq!(change(&mut changes).await, Change::Connected);
    assert_eq!(change(&mut changes).await, Change::Lost);
    is_closed(&mut stream).await;
}

#[tokio::test]
async fn libzmq_finds_a_dealer_alive_that_receives_nothing() {
    let options = ["HEARTBEAT_IVL=20".to_owned(), "HEARTBEAT_TIMEOUT=200".to_owned(), "HEARTBEAT_TTL=400".to_owned()];
    let mut peer = Puppet::bind("ROUTER", "tcp://127.0.0.1:*", &options).await;
    let dealer = dealer(&SocketSettings::default(), &peer.address).await;
    let mut changes = dealer.changes();
    give(&dealer, frames(&["hello"])).await;
    let message = peer.receive().await;
    // Five times as long as it takes to be cut off, first with nobody who receives, then with somebody.
    let quiet = Duration::from_secs(1);
    tokio::time::sleep(quiet).await;
    assert!(timeout(quiet, dealer.receive(&mut Vec::new(), 1)).await.is_err());
    peer.send(&answer(message, &["still here"])).await;
    assert_eq!(next(&dealer).await, frames(&["still here"]));
    let seen = timeout(Duration::ZERO, changes.next()).await;
    assert!(matches!(seen, Err(_) | Ok(Some(Change::Connected))), "{seen:?}");
    assert!(timeout(Duration::ZERO, changes.next()).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_restarted_under_load_sees_each_message_at_most_once_and_in_order() {
    let (mut server, address) = router(&hasty()).await;
    let dealer = std::sync::Arc::new(dealer(&hasty(), &address).await);
    let sender = dealer.clone();
    let sending = tokio::spawn(async move {
        for number in 0_u64.. {
            let message = frames(&[&number.to_string(), "some more"]);
            if sender.send_waiting(message, tokio::time::Instant::now() + SOON).await.is_err() {
                break;
            }
        }
    });
    let receiver = dealer.clone();
    let receiving = tokio::spawn(async move {
        let mut messages = Vec::new();
        while receiver.receive(&mut messages, 100).await.is_ok() {
            messages.clear();
        }
    });
    let mut last = None;
    for _ in 0..20 {
        for _ in 0..200 {
            let message = next(&server).await;
            let number: u64 = std::str::from_utf8(&message[1]).unwrap().parse().unwrap();
            assert!(last < Some(number), "{number} after {last:?}");
            last = Some(number);
            let _ = server.send(message);
        }
        drop(server);
        server = open(Kind::Router);
        while server.bind(&address).await.is_err() {
            tokio::task::yield_now().await;
        }
    }
    sending.abort();
    receiving.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_send_while_one_receives() {
    let (router, address) = router(&SocketSettings::default()).await;
    let task = echo(router);
    let dealer = std::sync::Arc::new(dealer(&SocketSettings::default(), &address).await);
    let senders: Vec<_> = (0..4_usize)
        .map(|name| {
            let dealer = dealer.clone();
            tokio::spawn(async move {
                for number in 0..1000 {
                    give(&dealer, frames(&[&name.to_string(), &number.to_string()])).await;
                }
            })
        })
        .collect();
    let mut expected = [0; 4];
    while expected != [1000; 4] {
        let message = next(&dealer).await;
        let number = |index: usize| std::str::from_utf8(&message[index]).unwrap().parse::<usize>().unwrap();
        assert_eq!(number(1), expected[number(0)]);
        expected[number(0)] += 1;
    }
    for sender in senders {
        sender.await.unwrap();
    }
    task.abort();
}

#[tokio::test]
async fn messages_of_megabytes_pass_both_ways() {
    let (router, address) = router(&SocketSettings::default()).await;
    let task = echo(router);
    let dealer = dealer(&SocketSettings::default(), &address).await;
    let large = frames(&[&"x".repeat(4_000_000), "", &"y".repeat(4_000_000)]);
    for _ in 0..3 {
        give(&dealer, large.clone()).await;
        assert_eq!(next(&dealer).await, large);
    }
    task.abort();
}

#[tokio::test]
async fn a_server_that_asks_for_other_security_does_not_want_us() {
    let keys = Keys::generate();
    let server = Security::CurveServer { keys: keys.clone(), allow: playhouse_mdp::transport::Allow::Any };
    let (_secured, secured_at) = router(&with(server)).await;
    let (_open, open_at) = router(&SocketSettings::default()).await;
    let curve = Security::CurveClient { keys: Keys::generate(), server: keys.public() };
    for (security, address) in [(Security::None, secured_at), (curve, open_at)] {
        let dealer = playhouse_mdp::transport::Socket::open(Kind::Dealer, &with(security)).unwrap();
        let mut changes = dealer.changes();
        dealer.connect(&address).await.unwrap();
        match change(&mut changes).await {
            Change::Rejected(reason) => assert!(reason.contains("mechanism mismatch"), "{reason}"),
            other => panic!("{other:?}"),
        }
        dealer.close().await;
    }
}

#[tokio::test]
async fn a_dealer_connects_to_one_address_where_somebody_can_be() {
    let (_router, address) = router(&SocketSettings::default()).await;
    let one = dealer(&SocketSettings::default(), &address).await;
    assert_eq!(one.connect(&address).await.unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(one.bind(&address).await.unwrap_err().kind(), ErrorKind::Unsupported);
    for text in ["tcp://*:5555", "tcp://127.0.0.1:0"] {
        let error = open(Kind::Dealer).connect(&text.parse().unwrap()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed);
    }
}

#[tokio::test]
async fn changes_of_peers_within_the_process_are_told() {
    let address = &addresses()[2];
    let (router, dealer) = (open(Kind::Router), open(Kind::Dealer));
    let (mut of_router, mut of_dealer) = (router.changes(), dealer.changes());
    router.bind(address).await.unwrap();
    dealer.connect(address).await.unwrap();
    assert_eq!(change(&mut of_router).await, Change::Connected);
    assert_eq!(change(&mut of_dealer).await, Change::Connected);
    dealer.close().await;
    assert_eq!(change(&mut of_router).await, Change::Lost);
}

#[tokio::test]
async fn a_router_has_no_more_peers_than_it_may_and_takes_others_for_those_that_leave() {
    let settings = SocketSettings { most_peers: 2, ..SocketSettings::default() };
    let (router, address) = router(&settings).await;
    let mut changes = router.changes();
    let task = echo(router);
    let (first, second) = (dealer(&hasty(), &address).await, dealer(&hasty(), &address).await);
    is_served(&first).await;
    is_served(&second).await;
    let mut stream = TcpStream::connect(address.to_string().trim_start_matches("tcp://")).await.unwrap();
    is_closed(&mut stream).await;
    let third = dealer(&hasty(), &address).await;
    assert_eq!(change(&mut changes).await, Change::Connected);
    assert_eq!(change(&mut changes).await, Change::Connected);
    first.close().await;
    assert_eq!(change(&mut changes).await, Change::Lost);
    is_served(&third).await;
    is_served(&second).await;
    task.abort();
}
