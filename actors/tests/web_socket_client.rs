//! The client of WebSockets, with a server of another make at the other end: one that echoes, closes, is killed, and comes back.

#![cfg(feature = "websocket")]
#![allow(clippy::unwrap_used)]

mod web_socket_support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use playhouse_actors::{WebSocketClient, WebSocketClientSettings, WebSocketLimits};
use playhouse_engine::testing::Probe;
use playhouse_engine::{Event, Kind, assert_ledger};
use serde_json::json;
use tokio::time::timeout;
use web_socket_support::Party;

fn settings() -> WebSocketClientSettings {
    let short = Duration::from_millis(20);
    let protocols = vec!["chat.v1".into()];
    WebSocketClientSettings { first_wait: short, longest_wait: short, protocols, ..WebSocketClientSettings::default() }
}

/// A server in Python, and its port.
fn server(words: &[&str]) -> (Party, u64) {
    let party = Party::start(&[&["server", "0"], words].concat());
    let port = party.hear()["port"].as_u64().unwrap();
    (party, port)
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_messages_and_messages_are_events() {
    let (party, port) = server(&[]);
    let settings = WebSocketClientSettings {
        headers: [("x-key".into(), "secret".into())].into(),
        protocols: vec!["chat.v2".into(), "chat.v1".into()],
        ..settings()
    };
    let mut probe =
        Probe::new(WebSocketClient::new(&format!("ws://127.0.0.1:{port}/feed?a=1"), settings).unwrap()).await.unwrap();
    for (event, heard) in [
        (Event::new("Äda"), json!({"text": "Äda"})),
        (Event::new(json!([1])), json!({"text": "[1]"})),
        (Event::new(vec![0, 255]), json!({"bytes": "00ff"})),
        (Event::new("x".repeat(1 << 19)), json!({"text": "x".repeat(1 << 19)})),
    ] {
        let bytes = event.payload().to_bytes();
        probe.send(event).await.unwrap();
        let answer = probe.output().await.unwrap();
        assert_eq!(answer.payload().to_bytes(), bytes);
        assert_eq!(answer.attribute("websocket.url").unwrap().to_string(), format!("ws://127.0.0.1:{port}/feed"));
        loop {
            let line = party.hear();
            if line.get("path").is_some() {
                assert_eq!(line, json!({"path": "/feed?a=1", "key": "secret", "protocol": "chat.v1"}));
                continue;
            }
            assert_eq!(line, heard);
            break;
        }
    }
    let monitor = probe.monitor();
    probe.stop().await.unwrap();
    assert_eq!(party.hear(), json!({"closed": 1000, "reason": ""}));
    assert_ledger!(monitor, failed = 0, dropped = 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_closes_or_breaks_off_is_made_anew() {
    let (mut party, port) = server(&[]);
    let url = format!("ws://127.0.0.1:{port}/");
    let mut probe = Probe::new(WebSocketClient::new(&url, settings()).unwrap()).await.unwrap();
    probe.send(Event::new("bye")).await.unwrap();
    heard(&mut probe, "it closed").await;
    party.kill();
    let port = port.to_string();
    let back = Party::start(&["server", &port]);
    assert_eq!(back.hear()["port"].to_string(), port);
    heard(&mut probe, "it was killed").await;
    let monitor = probe.monitor();
    probe.stop().await.unwrap();
    let ledger = monitor.ledger();
    assert!(ledger.balances() && ledger.in_flight == 0, "{ledger}");
}

/// Sends until an echo comes: what was written before it was noticed that nobody reads is lost, as WebSockets have it.
async fn heard(probe: &mut Probe, word: &'static str) {
    for _ in 0..20 {
        probe.send(Event::new(word)).await.unwrap();
        while let Ok(Ok(echo)) = timeout(Duration::from_millis(500), probe.output()).await {
            if echo.payload().to_string() == word {
                return;
            }
        }
    }
    panic!("`{word}` does not come back");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_waits_for_the_connection_for_so_long_and_then_fails_at_once() {
    // Nobody listens at first.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let patience = Duration::from_millis(300);
    let client =
        WebSocketClient::new(&format!("ws://{address}/"), WebSocketClientSettings { patience, ..settings() }).unwrap();
    let mut probe = Probe::new(client).await.unwrap();
    let began = Instant::now();
    for _ in 0..20 {
        probe.send(Event::new("a")).await.unwrap();
    }
    for _ in 0..20 {
        let failed = probe.error().await.unwrap();
        let error = failed.error().unwrap();
        assert_eq!(
            (error.kind(), error.message()),
            (Kind::Unavailable, format!("there is no connection to ws://{address}/").as_str())
        );
    }
    // They wait together, not one after another.
    assert!(began.elapsed() < 4 * patience, "{:?}", began.elapsed());
    assert!(began.elapsed() >= patience / 2, "{:?}", began.elapsed());
    let ledger = probe.stop().await.unwrap();
    assert_ledger!(ledger);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_answers_the_handshake_wrongly_is_no_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answers = [
        "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: x\r\n\r\n".to_owned(),
        format!("HTTP/1.1 101 Switching Protocols\r\nx: {}\r\n\r\n", "y".repeat(1 << 20)),
        "nonsense\r\n\r\n".to_owned(),
        String::new(),
    ];
    let serving = std::thread::spawn(move || {
        for answer in answers {
            let mut socket = listener.accept().unwrap().0;
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                socket.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            // It may have seen enough before the end.
            let _ = socket.write_all(answer.as_bytes());
        }
    });
    let patience = Duration::from_secs(2);
    let client =
        WebSocketClient::new(&format!("ws://{address}/"), WebSocketClientSettings { patience, ..settings() }).unwrap();
    let mut probe = Probe::new(client).await.unwrap();
    tokio::task::spawn_blocking(|| serving.join().unwrap()).await.unwrap();
    probe.send(Event::new("a").expires_in(Duration::from_millis(100))).await.unwrap();
    let failed = probe.error().await.unwrap();
    assert!(matches!(failed.error().unwrap().kind(), Kind::Unavailable | Kind::Timeout));
    probe.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_nothing_or_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let limits = WebSocketLimits {
        heartbeat: Duration::from_millis(50),
        patience: Duration::from_millis(200),
        close_time: Duration::from_millis(50),
        ..WebSocketLimits::default()
    };
    let patience = Duration::from_secs(1);
    let settings = WebSocketClientSettings { limits, patience, ..settings() };
    let mut probe = Probe::new(WebSocketClient::new(&format!("ws://{address}/"), settings).unwrap()).await.unwrap();
    // Shakes hands and then does nothing.
    let shake = || {
        let mut socket = listener.accept().unwrap().0;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).unwrap();
            head.push(byte[0].into());
        }
        let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
        let accept = tungstenite_accept(key);
        write!(
            socket,
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: {accept}\r\n\r\n"
        )
        .unwrap();
        socket
    };
    let silent = tokio::task::block_in_place(shake);
    // It was given up, for it comes again.
    let stalled = tokio::task::block_in_place(shake);
    probe.send(Event::new("x".repeat(64 << 20))).await.unwrap();
    let failed = probe.error().await.unwrap();
    assert_eq!(failed.error().unwrap().kind(), Kind::Unavailable, "{failed:?}");
    drop((silent, stalled));
    assert_ledger!(probe.stop().await.unwrap());
}

fn tungstenite_accept(key: &str) -> String {
    tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes())
}

#[cfg(feature = "tls")]
#[tokio::test(flavor = "multi_thread")]
async fn a_secure_connection_trusts_the_authorities_of_a_file_only() {
    let folder = tempfile::tempdir().unwrap();
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificate, certified.cert.pem()).unwrap();
    std::fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
    let (_party, port) = server(&[certificate.to_str().unwrap(), key.to_str().unwrap()]);
    let url = format!("wss://localhost:{port}/");
    let trusting = WebSocketClientSettings { authorities: Some(certificate), ..settings() };
    let mut probe = Probe::new(WebSocketClient::new(&url, trusting).unwrap()).await.unwrap();
    probe.send(Event::new("secret")).await.unwrap();
    assert_eq!(probe.output().await.unwrap().payload().to_string(), "secret");
    probe.stop().await.unwrap();
    let patience = Duration::from_millis(300);
    let Ok(stranger) = WebSocketClient::new(&url, WebSocketClientSettings { patience, ..settings() }) else {
        // A machine without any authorities trusts nobody to begin with.
        return;
    };
    let mut probe = Probe::new(stranger).await.unwrap();
    probe.send(Event::new("secret")).await.unwrap();
    assert_eq!(probe.error().await.unwrap().error().unwrap().kind(), Kind::Unavailable);
    probe.stop().await.unwrap();
}

#[test]
fn what_cannot_be_called_is_refused_when_the_actor_is_made() {
    for url in ["http://a/", "ws:///a", "ws://user@a/", "a", "ws://"] {
        let error = WebSocketClient::to(url).unwrap_err();
        assert_eq!(error.kind(), Kind::Malformed, "{url}");
        assert!(error.message().contains("expected `ws://HOST/PATH`"), "{error}");
    }
    let headers = [("Upgrade".into(), "a".into()), ("a b".into(), "c".into()), ("d".into(), "\n".into())].into();
    let error = WebSocketClient::new("ws://a/", WebSocketClientSettings { headers, ..settings() }).unwrap_err();
    for named in ["`Upgrade` is none", "`a b` is none", "value of the header `d`"] {
        assert!(error.message().contains(named), "{error}");
    }
    let shown =
        format!("{:?}", WebSocketClientSettings { headers: [("a".into(), "secret".into())].into(), ..settings() });
    assert!(!shown.contains("secret"), "{shown}");
}
