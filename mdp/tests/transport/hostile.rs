//! Peers that mean harm, and peers that are broken: a good one is served throughout.

use std::time::Duration;

use playhouse_mdp::transport::{Change, Endpoint, Kind, Socket, SocketSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{SOON, dealer, echo, frames, give, is_served, next, router};

/// The greeting of ZMTP 3.1 with the mechanism NULL, 64 bytes.
pub(crate) const GREETING: [u8; 64] = {
    let mut bytes = [0; 64];
    (bytes[0], bytes[9], bytes[10], bytes[11]) = (0xff, 0x7f, 3, 1);
    (bytes[12], bytes[13], bytes[14], bytes[15]) = (b'N', b'U', b'L', b'L');
    bytes
};

/// The command READY of a DEALER.
const READY: &[u8] = b"\x04\x1c\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER";

async fn raw(address: &Endpoint) -> TcpStream {
    let text = address.to_string();
    TcpStream::connect(text.trim_start_matches("tcp://")).await.unwrap()
}

/// A peer that is through with the handshake.
pub(crate) async fn shaken(address: &Endpoint) -> TcpStream {
    let mut stream = raw(address).await;
    stream.write_all(&GREETING).await.unwrap();
    stream.write_all(READY).await.unwrap();
    let mut theirs = [0; 64];
    stream.read_exact(&mut theirs).await.unwrap();
    stream
}

/// Writes as long as somebody reads, and says how much that was.
async fn pour(stream: &mut TcpStream, chunk: &[u8], most: usize) -> usize {
    let mut written = 0;
    while written < most {
        match timeout(SOON, stream.write(chunk)).await {
            Ok(Ok(some)) => written += some,
            Ok(Err(_)) => break,
            Err(_) => panic!("neither read nor closed after {written} bytes"),
        }
    }
    written
}

/// The stream ends: the socket let go of it.
pub(crate) async fn is_closed(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    // A reset is an end too.
    let _ = timeout(SOON, stream.read_to_end(&mut rest)).await.expect("the connection was closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_harms_nobody() {
    let (router, address) = router(&SocketSettings::default()).await;
    let task = echo(router);
    let good = dealer(&SocketSettings::default(), &address).await;
    is_served(&good).await;
    let mut random = fastrand::Rng::with_seed(7);
    for round in 0..50 {
        let mut stream = raw(&address).await;
        let mut bytes: Vec<u8> = (0..random.usize(1..400)).map(|_| random.u8(..)).collect();
        if round % 2 == 0 {
            bytes.splice(0..0, GREETING);
        }
        if round % 4 == 0 {
            bytes.splice(64..64, READY.iter().copied());
        }
        let _ = stream.write_all(&bytes).await;
        is_served(&good).await;
    }
    let mut http = raw(&address).await;
    http.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    is_served(&good).await;
    task.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_73_bytes_that_abort_another_library_harm_nobody() {
    let (router, address) = router(&SocketSettings::default()).await;
    let task = echo(router);
    let good = dealer(&SocketSettings::default(), &address).await;
    let mut stream = raw(&address).await;
    stream.write_all(&GREETING).await.unwrap();
    stream.write_all(&[2, 0, 0, 1, 0, 0, 0, 0, 0]).await.unwrap();
    is_closed(&mut stream).await;
    let mut stream = shaken(&address).await;
    stream.write_all(&[2, 0, 0, 1, 0, 0, 0, 0, 0]).await.unwrap();
    is_closed(&mut stream).await;
    is_served(&good).await;
    task.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_too_large_closes_that_peer_alone() {
    let settings = SocketSettings { largest_message: 100_000, ..SocketSettings::default() };
    let (router, address) = router(&settings).await;
    let task = echo(router);
    let good = dealer(&SocketSettings::default(), &address).await;
    is_served(&good).await;
    let mut stream = shaken(&address).await;
    // A frame of 110,000 bytes: its head is enough.
    stream.write_all(&[2, 0, 0, 0, 0, 0, 1, 0xad, 0xb0]).await.unwrap();
    is_closed(&mut stream).await;
    let bad = dealer(&SocketSettings::default(), &address).await;
    give(&bad, frames(&[&"x".repeat(110_000)])).await;
    let mut messages = Vec::new();
    assert!(timeout(Duration::from_millis(100), bad.receive(&mut messages, 1)).await.is_err(), "{}", messages.len());
    is_served(&good).await;
    task.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_without_an_end_closes_that_peer_alone() {
    let settings = SocketSettings { largest_message: 100_000, ..SocketSettings::default() };
    let (router, address) = router(&settings).await;
    let task = echo(router);
    let good = dealer(&SocketSettings::default(), &address).await;
    // Empty frames and frames of one byte, each with the flag that says that more follow.
    for (frame, length) in [([1, 0].as_slice(), 2), (&[1, 1, b'x'], 3)] {
        let mut stream = shaken(&address).await;
        let written = pour(&mut stream, &frame.repeat(10_000), 50_000_000).await;
        assert!(written < 50_000_000, "{} frames were taken", written / length);
        is_served(&good).await;
    }
    task.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_that_are_left_halfway_keep_nobody_out_for_long() {
    let settings =
        SocketSettings { handshake: Duration::from_millis(300), pending_handshakes: 64, ..SocketSettings::default() };
    let (router, address) = router(&settings).await;
    let task = echo(router);
    let before = dealer(&SocketSettings::default(), &address).await;
    is_served(&before).await;
    let mut streams = Vec::new();
    for number in 0..200 {
        let mut stream = raw(&address).await;
        let _ = stream.write_all(&GREETING[..number % 64]).await;
        streams.push(stream);
    }
    is_served(&before).await;
    let patient = SocketSettings { first_retry: Duration::from_millis(20), ..SocketSettings::default() };
    let after = Socket::open(Kind::Dealer, &patient).unwrap();
    let mut changes = after.changes();
    after.connect(&address).await.unwrap();
    // What was sent before a connection that failed within its handshake is lost with that.
    assert_eq!(timeout(SOON, changes.next()).await.unwrap(), Some(Change::Connected));
    is_served(&after).await;
    for stream in &mut streams {
        is_closed(stream).await;
    }
    task.abort();
}

#[tokio::test]
async fn a_peer_that_resets_while_a_long_message_is_written_to_it_stalls_nobody() {
    let (router, address) = router(&SocketSettings { largest_message: 50_000_000, ..SocketSettings::default() }).await;
    let mut stream = shaken(&address).await;
    stream.write_all(b"\x00\x05hello").await.unwrap();
    let mut message = next(&router).await;
    let bad = message[0].clone();
    message[1] = vec![b'x'; 40_000_000].into();
    router.send(message).unwrap();
    let good = dealer(&SocketSettings::default(), &address).await;
    give(&good, frames(&["hello"])).await;
    let hello = next(&router).await;
    // A stream that is let go of with something unread is reset.
    drop(stream);
    assert_eq!(next(&router).await, [bad]);
    router.send(hello).unwrap();
    assert_eq!(next(&good).await, frames(&["hello"]));
    let task = echo(router);
    is_served(&good).await;
    task.abort();
}
