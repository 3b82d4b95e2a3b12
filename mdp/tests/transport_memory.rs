//! What peers cost in memory: measured in a process in which nothing else happens.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use bytes::Bytes;
use playhouse_mdp::transport::{Kind, Socket, SocketSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

const SOON: Duration = Duration::from_secs(20);

/// How much memory this process has, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    status.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// Sends one message and takes the answer.
async fn is_served(dealer: &Socket) {
    let hello = vec![Bytes::from_static(b"hello")];
    dealer.send_waiting(hello.clone(), Instant::now() + SOON).await.unwrap();
    let mut answers = Vec::new();
    timeout(SOON, dealer.receive(&mut answers, 1)).await.expect("an answer came in time").unwrap();
    assert_eq!(answers, [hello]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_never_reads_costs_bounded_memory() {
    let settings = SocketSettings { send_queue: 20, receive_queue: 20, ..SocketSettings::default() };
    let router = Socket::open(Kind::Router, &settings).unwrap();
    let address = router.bind(&"tcp://127.0.0.1:0".parse().unwrap()).await.unwrap();
    let echo = tokio::spawn(async move {
        let mut messages = Vec::new();
        while router.receive(&mut messages, 100).await.is_ok() {
            // What a peer does not take is not sent to it.
            messages.drain(..).for_each(|message| drop(router.send(message)));
        }
    });
    let good = Socket::open(Kind::Dealer, &SocketSettings::default()).unwrap();
    good.connect(&address).await.unwrap();
    is_served(&good).await;

    let before = resident();
    let mut stream = TcpStream::connect(address.to_string().trim_start_matches("tcp://")).await.unwrap();
    // The greeting of ZMTP 3.1 with the mechanism NULL, and READY.
    let mut greeting = [0; 64];
    (greeting[0], greeting[9], greeting[10], greeting[11]) = (0xff, 0x7f, 3, 1);
    greeting[12..16].copy_from_slice(b"NULL");
    stream.write_all(&greeting).await.unwrap();
    stream.write_all(b"\x04\x1c\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER").await.unwrap();
    stream.read_exact(&mut greeting).await.unwrap();
    // A message of one frame of 64 KiB, again and again; the answers are never read.
    let mut message = vec![2, 0, 0, 0, 0, 0, 1, 0, 0];
    message.resize(9 + 65_536, b'x');
    for _ in 0..2000 {
        stream.write_all(&message).await.unwrap();
    }
    is_served(&good).await;
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 * 1024 * 1024, "{grown} bytes for 131 MB of answers that nobody reads");
    echo.abort();
}
