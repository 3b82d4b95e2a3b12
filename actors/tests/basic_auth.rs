//! Basic authentication behind a real HTTP server, as a client sees it.

#![cfg(all(feature = "auth", feature = "http"))]
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use playhouse_actors::{BasicAuth, BasicAuthSettings, HttpServer};
use playhouse_engine::{Director, Error, Event, Kind, Policy, Result, Running, map, testing::Probe};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// Starts a flow that greets whom `auth` lets in, and returns the port that it listens on.
async fn start(auth: BasicAuth) -> (Running, u16) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut director = Director::new("greetings");
    let http = director.register("http", HttpServer::on(listener).with_realm("the \"shop\""));
    let auth = director.register("auth", auth);
    let greet = director.register("greet", map(greet));
    director.connect(http, auth);
    director.connect(auth, greet);
    director.connect(greet, http);
    director.connect_error(auth, http);
    (director.build().unwrap().start().await.unwrap(), port)
}

fn greet(event: &Event) -> Event {
    let seen = event.attributes().text("http.header.authorization").is_some();
    let user = event.attributes().text(BasicAuth::USER).unwrap_or_default().into_owned();
    event.derive(format!("{user} {seen}"))
}

/// Sends a request on a connection that stays open, and returns the head and the body of the answer.
async fn get(stream: &mut TcpStream, credentials: Option<&str>) -> (String, String) {
    let header = credentials.map(|text| format!("authorization: Basic {}\r\n", STANDARD.encode(text)));
    let request = format!("GET / HTTP/1.1\r\nhost: test\r\n{}\r\n", header.unwrap_or_default());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    loop {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "the server closed the connection");
        let text = std::str::from_utf8(&answer).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if body.len() == length.parse::<usize>().unwrap() {
            return (head.to_owned(), body.to_owned());
        }
    }
}

#[tokio::test]
async fn a_client_logs_in_or_is_challenged() {
    let users = BasicAuth::line("ada", "love:lace").unwrap();
    let (running, port) = start(BasicAuth::from_text(&users).unwrap()).await;
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    for credentials in [None, Some("ada:lovelace"), Some("bob:love:lace"), Some("no colon")] {
        let (head, _) = get(&mut stream, credentials).await;
        assert!(head.starts_with("HTTP/1.1 401 "), "{credentials:?}: {head}");
        let challenge = "\r\nwww-authenticate: Basic realm=\"the \\\"shop\\\"\", charset=\"UTF-8\"";
        assert!(head.contains(challenge), "{credentials:?}: {head}");
    }
    for _ in 0..2 {
        let (head, body) = get(&mut stream, Some("ada:love:lace")).await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert_eq!(body, "ada false");
    }
    drop(stream);
    running.stop(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn a_client_that_stays_connected_is_checked_once() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let auth = BasicAuth::with(move |_, _| {
        count.fetch_add(1, Ordering::Relaxed);
        true
    });
    let (running, port) = start(auth).await;
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    for _ in 0..10 {
        assert!(get(&mut stream, Some("ada:x")).await.0.starts_with("HTTP/1.1 200 "));
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    drop(stream);
    running.stop(Duration::from_secs(5)).await.unwrap();
}

/// A user whose password is remembered passes while checks are stuck, and the flood is told to come back later.
#[tokio::test]
async fn a_flood_of_unknown_passwords_keeps_nobody_waiting_who_is_remembered() -> Result<()> {
    let gate = Arc::new(Semaphore::new(0));
    let held = gate.clone();
    let auth = BasicAuth::with_async(move |user, _| {
        let held = held.clone();
        async move {
            if user != "ada" {
                held.acquire().await.map_err(|error| Error::internal("closed").caused_by(error))?.forget();
            }
            Ok(user == "ada")
        }
    });
    let settings = BasicAuthSettings { checks_at_once: 2, checks_waiting: 1, ..BasicAuthSettings::default() };
    let policy = Policy { workers: 4.into(), ..Policy::default() };
    let mut probe = Probe::with_policy(auth.with_settings(&settings), policy).await?;
    let request = |user: &str| {
        let token = STANDARD.encode(format!("{user}:x"));
        Event::new(()).with_attribute("http.header.authorization", format!("Basic {token}"))
    };
    probe.send(request("ada")).await?;
    probe.output().await?;
    for number in 0..4 {
        probe.send(request(&number.to_string())).await?;
    }
    // Two are checked, one waits, and one is one too many.
    let refused = probe.error().await?;
    assert_eq!(refused.error().map(Error::kind), Some(Kind::Overloaded));
    assert!(refused.error().and_then(Error::wait).is_some());
    probe.send(request("ada")).await?;
    probe.output().await?;
    gate.add_permits(3);
    for _ in 0..3 {
        assert_eq!(probe.error().await?.error().map(Error::kind), Some(Kind::Unauthorized));
    }
    assert!(probe.stop().await?.balances());
    Ok(())
}
