//! What broken and hostile clients get: an answer or a refusal as RFC 9112 says, and no harm to others.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used)]

mod http_support;

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http_support::{PATIENCE, Server, get, with_body};
use playhouse_actors::http::HttpLimits;

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_slow_clients_keep_no_good_one_waiting_and_are_gone_after_the_head_time() {
    let head_time = Duration::from_secs(2);
    let server = Server::echo(HttpLimits { head_time, ..HttpLimits::default() }).await;
    let began = Instant::now();
    let mut slow: Vec<TcpStream> = (0..500).map(|_| TcpStream::connect(server.address).unwrap()).collect();
    let ended = Arc::new(AtomicBool::new(false));
    let dripping = {
        let (ended, mut slow) = (ended.clone(), slow.iter().map(|one| one.try_clone().unwrap()).collect::<Vec<_>>());
        std::thread::spawn(move || {
            for byte in b"GET / HTTP/1.1\r\nHost: test\r\nX-Slow: ".iter().chain(std::iter::repeat(&b'x')) {
                // Who was refused cannot send any more, which is what is wanted.
                slow.retain_mut(|one| one.write_all(&[*byte]).is_ok());
                let next = Instant::now() + Duration::from_secs(1);
                while Instant::now() < next {
                    if ended.load(Ordering::Relaxed) {
                        return;
                    }
                    std::thread::park_timeout(Duration::from_millis(20));
                }
            }
        })
    };
    while server.statistics.open_connections() < 500 {
        assert!(began.elapsed() < PATIENCE);
        tokio::task::yield_now().await;
    }
    for _ in 0..5 {
        let asked = Instant::now();
        assert_eq!(server.connect().ask(with_body("POST", "/", "text/plain", "good")).body, "good");
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    }
    for one in &mut slow {
        one.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut answer = [0; 12];
        std::io::Read::read_exact(one, &mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 408");
    }
    assert!((head_time..head_time * 4).contains(&began.elapsed()), "{:?}", began.elapsed());
    ended.store(true, Ordering::Relaxed);
    dripping.join().unwrap();
    drop(slow);
    while server.statistics.open_connections() > 0 {
        assert!(began.elapsed() < PATIENCE, "{} are left", server.statistics.open_connections());
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_answered_in_order() {
    let server = Server::echo(HttpLimits::default()).await;
    let mut client = server.connect();
    let requests: String =
        (0..50).map(|number| with_body("POST", "/", "text/plain", &number.to_string().repeat(number))).collect();
    client.send(requests);
    for number in 0..50 {
        let answer = client.answer();
        assert_eq!((answer.status, answer.body), (200, number.to_string().repeat(number)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_comes_byte_by_byte_is_answered() {
    let server = Server::echo(HttpLimits::default()).await;
    let mut client = server.connect();
    for byte in with_body("POST", "/", "text/plain", "split").bytes() {
        client.send([byte]);
        tokio::task::yield_now().await;
    }
    assert_eq!(client.answer().body, "split");
    // Post begins as the preface of HTTP/2 does.
    assert_eq!(client.ask(get("/")).status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_closes_its_side_after_its_request_is_still_answered() {
    let server = Server::echo(HttpLimits::default()).await;
    let mut client = server.connect();
    client.send(with_body("POST", "/", "text/plain", "half")).end_sending();
    assert_eq!(client.answer().body, "half");
    assert_eq!(client.rest(), "");
    let mut client = server.connect();
    client.send("GET / HTTP/1.0\r\n\r\n").end_sending();
    assert_eq!(client.answer().status, 200);
    assert_eq!(client.rest(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_closes_its_side_within_a_request_is_not_waited_for() {
    let server = Server::echo(HttpLimits::default()).await;
    for part in ["", "GE", "GET / HTTP/1.1\r\nHo", "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\npart"] {
        let mut client = server.connect();
        client.send(part).end_sending();
        let rest = client.rest();
        assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 400"), "{part}: {rest}");
    }
    assert_eq!(server.stop().await.unwrap().in_flight, 0);
}

/// Asks, and tells the status and whether the connection was then closed.
#[track_caller]
fn outcome(server: &Server, request: &str) -> (u16, bool) {
    let mut client = server.connect();
    let status = client.ask(request).status;
    // Where the connection has been closed, this cannot be sent.
    let _ = client.socket.write_all(get("/second").as_bytes());
    let _ = client.socket.shutdown(Shutdown::Write);
    (status, !client.rest().contains("HTTP/1.1 200"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_beside_chunks_is_answered_by_the_chunks_and_the_connection_closed() {
    let server = Server::echo(HttpLimits::default()).await;
    for headers in
        ["Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n"]
    {
        let request = format!("POST / HTTP/1.1\r\nHost: test\r\n{headers}\r\n1\r\na\r\n0\r\n\r\n");
        assert_eq!(outcome(&server, &request), (200, true), "{headers}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_frames_a_body_wrongly_is_400_and_closes() {
    let server = Server::echo(HttpLimits::default()).await;
    for (headers, body) in [
        ("Content-Length: 3\r\nContent-Length: 4\r\n", "abcd"),
        ("Content-Length: 3, 4\r\n", "abcd"),
        ("Content-Length: -1\r\n", ""),
        ("Content-Length: +1\r\n", "a"),
        ("Content-Length: 99999999999999999999\r\n", "a"),
        ("Transfer-Encoding: gzip\r\n", "a"),
        ("Transfer-Encoding: chunked, gzip\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "xyz\r\n"),
        ("Transfer-Encoding: chunked\r\n", "-1\r\n"),
        ("Transfer-Encoding: chunked\r\n", "ffffffffffffffffff\r\n"),
        ("Transfer-Encoding: chunked\r\n", "2\r\nabXY0\r\n\r\n"),
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: test\r\n{headers}\r\n{body}");
        assert_eq!(outcome(&server, &request), (400, true), "{headers} {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_not_as_it_must_be_is_400() {
    let server = Server::echo(HttpLimits::default()).await;
    for head in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: user@a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: test\r\nX: folded\r\n line\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: test\r\nX : space\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: test\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: test\r\nX: nul\0\r\n\r\n",
        "GET / HTTP/9.9\r\nHost: test\r\n\r\n",
        "GET /\r\n\r\n",
        "GET * HTTP/1.1\r\nHost: test\r\n\r\n",
        "no request at all\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0 a TLS handshake\r\n\r\n",
    ] {
        assert_eq!(server.connect().ask(head).status, 400, "{head:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_is_not_opened() {
    let server = Server::echo(HttpLimits::default()).await;
    let mut client = server.connect();
    client.send("CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n");
    assert_eq!(client.answer().status, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_take_its_answers_is_let_go() {
    let limits = HttpLimits { idle_time: Duration::from_millis(500), ..HttpLimits::default() };
    let server = Server::echo(limits).await;
    let mut client = server.connect();
    let request = with_body("POST", "/", "text/plain", &"x".repeat(1024 * 1024));
    // It sends and sends and never reads, until the server, which cannot answer, no longer takes more.
    client.socket.set_write_timeout(Some(PATIENCE)).unwrap();
    let began = Instant::now();
    while client.socket.write_all(request.as_bytes()).is_ok() {
        assert!(began.elapsed() < PATIENCE * 2, "it is not let go");
    }
    while server.statistics.open_connections() > 0 {
        assert!(began.elapsed() < PATIENCE * 2, "it is not let go");
        tokio::task::yield_now().await;
    }
}
