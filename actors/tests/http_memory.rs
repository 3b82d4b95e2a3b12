//! How much memory long bodies and answers take: alone in its process, so that nothing else counts.
#![cfg(all(target_os = "linux", feature = "http"))]
#![allow(clippy::unwrap_used)]

mod http_support;

use std::io::{Read, Write};
use std::net::TcpStream;

use http_support::Server;
use playhouse_actors::http::{HttpRequest, Route};
use playhouse_actors::{Part, PartEnd};
use playhouse_engine::{Actor, Event, Outbox, Result};

const LENGTH: usize = 64 << 20;

fn status(field: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).expect("Linux tells the memory");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number of KiB")
}

/// Takes longer for a part than the client for sending it, and counts or returns what comes.
struct Slow;

impl Actor for Slow {
    async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        let part = Part::of(event)?.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        if HttpRequest::of(event).unwrap().path() == "/back" {
            out.push(event);
        } else if part.end == PartEnd::Last {
            out.push(Part::unmark(event.derive("taken")));
        }
        Ok(())
    }
}

/// Sends a long body, and reads the answer meanwhile; returns how long that was.
fn send(address: std::net::SocketAddr, path: &str) -> usize {
    let mut socket = TcpStream::connect(address).unwrap();
    let mut reader = socket.try_clone().unwrap();
    let reading = std::thread::spawn(move || {
        let (mut space, mut length) = ([0; 64 * 1024], 0);
        loop {
            match reader.read(&mut space).unwrap() {
                0 => return length,
                count => length += count,
            }
        }
    });
    write!(socket, "POST {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: {LENGTH}\r\n\r\n")
        .unwrap();
    let piece = vec![b'x'; 64 * 1024];
    for _ in 0..LENGTH / piece.len() {
        socket.write_all(&piece).unwrap();
    }
    reading.join().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_body_and_a_long_answer_take_no_more_memory_than_their_windows() {
    let server = Server::start(
        |server| server.route(Route::post("/{*rest}").streamed()),
        |director, http| {
            let slow = director.register("slow", Slow);
            director.connect(http, slow);
            director.connect(slow, http);
        },
    )
    .await;
    let address = server.address;
    let before = status("VmRSS:");
    let lengths = tokio::task::spawn_blocking(move || (send(address, "/there"), send(address, "/back"))).await.unwrap();
    assert!(lengths.0 < 1000 && lengths.1 > LENGTH, "{lengths:?}");
    let grown = status("VmHWM:").saturating_sub(before);
    // A window of 1 MiB in the flow, what lies in buffers, and what the allocator keeps.
    assert!(grown < 16 * 1024, "{grown} KiB more for {} KiB", LENGTH / 1024);
    server.stop().await.unwrap();
}
