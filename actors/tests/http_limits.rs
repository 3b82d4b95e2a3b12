//! How much a client may ask for, and for how long.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used)]

mod http_support;

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use http_support::{Server, get, with_body};
use playhouse_actors::http::HttpLimits;

const SHORT: Duration = Duration::from_millis(300);

fn headers(count: usize) -> String {
    (0..count).map(|number| format!("X-{number}: a\r\n")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_of_too_many_bytes_or_fields_is_431() {
    let server = Server::echo(HttpLimits::default()).await;
    let large = format!("GET / HTTP/1.1\r\nHost: test\r\nX: {}\r\n\r\n", "x".repeat(17 * 1024));
    assert_eq!(server.connect().ask(large).status, 431);
    let many = |count: usize| format!("GET / HTTP/1.1\r\nHost: test\r\n{}\r\n", headers(count - 1));
    assert_eq!(server.connect().ask(many(101)).status, 431);
    assert_eq!(server.connect().ask(many(100)).status, 200);
    let large = format!("GET / HTTP/1.1\r\nHost: test\r\nX: {}\r\n\r\n", "x".repeat(15 * 1024));
    assert_eq!(server.connect().ask(large).status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_of_a_head_are_settings() {
    let limits = HttpLimits { head_size: 512, head_fields: 3, uri_size: 64, ..HttpLimits::default() };
    let server = Server::echo(limits).await;
    let many = |count: usize| format!("GET / HTTP/1.1\r\nHost: test\r\n{}\r\n", headers(count - 1));
    assert_eq!(server.connect().ask(many(4)).status, 431);
    assert_eq!(server.connect().ask(many(3)).status, 200);
    let large = format!("GET / HTTP/1.1\r\nHost: test\r\nX: {}\r\n\r\n", "x".repeat(512));
    assert_eq!(server.connect().ask(large).status, 431);
    assert_eq!(server.connect().ask(get(&format!("/{}", "x".repeat(64)))).status, 414);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_uri_that_is_too_long_is_414_however_long_it_is() {
    let server = Server::echo(HttpLimits::default()).await;
    for length in [8 * 1024, 9 * 1024, 20 * 1024, 200 * 1024] {
        let mut client = server.connect();
        client.send(get(&format!("/{}", "x".repeat(length))));
        let answer = client.answer();
        assert_eq!(answer.status, 414, "{length}");
        assert!(answer.body.contains("too-large"), "{answer:?}");
    }
    assert_eq!(server.connect().ask(get(&format!("/{}", "x".repeat(8 * 1024 - 1)))).status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_is_413_before_it_is_read() {
    let server = Server::echo(HttpLimits::default()).await;
    let mut client = server.connect();
    let head = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1048577\r\nExpect: 100-continue\r\n\r\n";
    let answer = client.ask(head);
    assert_eq!(answer.status, 413, "no `100 Continue` comes before it");
    assert!(answer.body.contains("expected at most 1048576 bytes"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_is_413_though_the_client_reads_only_when_it_has_sent_it() {
    let server = Server::echo(HttpLimits::default()).await;
    let body = "x".repeat(2 * 1024 * 1024);
    let answer = server.connect().ask(with_body("POST", "/", "text/plain", &body));
    assert_eq!(answer.status, 413);
    let head = "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n200000\r\n";
    assert_eq!(server.connect().ask(format!("{head}{body}\r\n0\r\n\r\n")).status, 413);
    // As another program sees it.
    let url = format!("http://{}/", server.address);
    let mut curl = Command::new("curl")
        .args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Expect:", "--data-binary", "@-", &url])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    curl.stdin.take().unwrap().write_all(body.as_bytes()).unwrap();
    assert_eq!(curl.wait_with_output().unwrap().stdout, b"413");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_the_largest_size_is_taken() {
    let server = Server::echo(HttpLimits { body_size: 1000, ..HttpLimits::default() }).await;
    assert_eq!(server.connect().ask(with_body("POST", "/", "text/plain", &"x".repeat(1000))).status, 200);
    assert_eq!(server.connect().ask(with_body("POST", "/", "text/plain", &"x".repeat(1001))).status, 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_expects_100_continue_gets_it_and_then_the_answer() {
    let server = Server::echo(HttpLimits::default()).await;
    let mut client = server.connect();
    let head = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";
    assert_eq!(client.ask(head).status, 100);
    let answer = client.ask("body");
    assert_eq!((answer.status, answer.body.as_str()), (200, "body"));
    assert_eq!(client.ask(get("/")).status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_does_not_come_in_time_is_408() {
    let server = Server::echo(HttpLimits { head_time: SHORT, ..HttpLimits::default() }).await;
    let mut client = server.connect();
    let began = Instant::now();
    let answer = client.ask("GET / HTTP/1.1\r\nHos");
    assert_eq!((answer.status, answer.header("connection")), (408, Some("close")));
    assert!(answer.body.contains("timeout") && answer.header("date").is_some(), "{answer:?}");
    assert!((SHORT..SHORT * 10).contains(&began.elapsed()), "{:?}", began.elapsed());
    assert_eq!(client.rest(), "");
    // The second request of a connection too.
    let mut client = server.connect();
    assert_eq!(client.ask(get("/")).status, 200);
    assert_eq!(client.ask("G").status, 408);
    // A client that says nothing at all is not told anything.
    assert_eq!(server.connect().rest(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_comes_too_slowly_is_408() {
    let limits = HttpLimits { rate_window: SHORT, ..HttpLimits::default() };
    let server = Server::echo(limits).await;
    let mut client = server.connect();
    let answer = client.ask("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\nsome");
    assert_eq!((answer.status, answer.header("connection")), (408, Some("close")));
    assert!(answer.body.contains("the body comes too slowly; expected at least 1024 bytes a second"), "{answer:?}");
    assert_eq!(client.rest(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_within_the_deadline_is_408() {
    let limits = HttpLimits { deadline: SHORT, slowest_rate: 0, ..HttpLimits::default() };
    let server = Server::echo(limits).await;
    let answer = server.connect().ask("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\nsome");
    assert_eq!(answer.status, 408);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_a_request_is_closed_after_a_while() {
    let idle_time = Duration::from_secs(1);
    let server = Server::echo(HttpLimits { idle_time, ..HttpLimits::default() }).await;
    let mut client = server.connect();
    let body = "x".repeat(10_000);
    assert_eq!(client.ask(with_body("POST", "/", "text/plain", &body)).body, body);
    let began = Instant::now();
    assert_eq!(client.rest(), "");
    assert!((idle_time / 2..idle_time * 19 / 10).contains(&began.elapsed()), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_one_too_many_is_503_and_closed() {
    let server = Server::echo(HttpLimits { connections: 2, ..HttpLimits::default() }).await;
    let mut clients = [server.connect(), server.connect()];
    for client in &mut clients {
        assert_eq!(client.ask(get("/")).status, 200);
    }
    let mut third = server.connect();
    let answer = third.ask(get("/"));
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    assert!(answer.body.contains("2 connections are open already"), "{answer:?}");
    third.end_sending();
    assert_eq!(third.rest(), "");
    assert_eq!((server.statistics.open_connections(), server.statistics.refused_connections()), (2, 1));
    drop(clients);
    let began = Instant::now();
    while server.statistics.open_connections() > 0 {
        assert!(began.elapsed() < http_support::PATIENCE);
        tokio::task::yield_now().await;
    }
}
