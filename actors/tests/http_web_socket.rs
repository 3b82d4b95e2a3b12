//! WebSockets of the server: by hand, frame by frame, and with a client of another make.

#![cfg(feature = "websocket")]
#![allow(clippy::unwrap_used)]

mod http_support;
mod web_socket_support;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use http_support::{Client, PATIENCE, Server, eventually, feeder};
use playhouse_actors::WebSocketLimits;
use playhouse_actors::http::{HttpLimits, HttpReply, HttpRequest, HttpServer, Route, WebSocketSettings};
use playhouse_engine::{Actor, Emitter, Error, Event, Outbox, Policy, Result, assert_ledger, map, sink};
use serde_json::json;
use tokio::sync::Semaphore;
use web_socket_support::Party;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

fn route(server: HttpServer) -> HttpServer {
    server.route(Route::get("/chat/{room}").outbox("chat").web_socket("chat"))
}

/// A server that sends each message back to who sent it.
async fn echo(make: impl FnOnce(HttpServer) -> HttpServer) -> Server {
    Server::start(make, |director, http| {
        let echo = director.register("echo", map(Event::clone));
        director.connect(http.port("chat"), echo);
        director.connect(echo, http.port("chat"));
    })
    .await
}

fn handshake(extra: &str) -> String {
    format!(
        "GET /chat/7?x=1 HTTP/1.1\r\nHost: test:80\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{extra}\r\n"
    )
}

fn open(server: &Server) -> Client {
    let mut client = server.connect();
    let answer = client.ask(handshake(""));
    assert_eq!(answer.status, 101, "{}", answer.head);
    client
}

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const LAST: u8 = 0x80;

/// A frame as a client sends it.
fn frame(head: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [7, 77, 177, 17];
    let mut frame = vec![head];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | u8::try_from(length).unwrap()),
        length @ 126..65536 => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// Reads a frame of the server's: its first byte, and what it carries.
#[track_caller]
fn hear(client: &mut Client) -> (u8, Vec<u8>) {
    let head = client.bytes(2);
    let length = match head[1] {
        126 => u16::from_be_bytes(client.bytes(2).try_into().unwrap()).into(),
        127 => usize::try_from(u64::from_be_bytes(client.bytes(8).try_into().unwrap())).unwrap(),
        length => length.into(),
    };
    (head[0], client.bytes(length))
}

/// Reads frames up to the one that closes, and returns its code.
#[track_caller]
fn closed(client: &mut Client) -> u16 {
    loop {
        let (head, payload) = hear(client);
        if head == LAST | CLOSE {
            return u16::from_be_bytes(payload[..2].try_into().unwrap());
        }
    }
}

fn text(payload: &str) -> (u8, Vec<u8>) {
    (LAST | TEXT, payload.as_bytes().to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_an_event_and_what_is_derived_from_it_goes_back() {
    let server = Server::start(route, |director, http| {
        let tell = map(|event: &Event| {
            let request = HttpRequest::of(event).unwrap();
            let (room, x) = (request.variable("room").unwrap(), request.query("x").unwrap());
            let format = event.payload().format();
            event.derive(format!("{} in {room}, {x}: {format}", event.payload().to_bytes().len()))
        });
        let tell = director.register("tell", tell);
        director.connect(http.port("chat"), tell);
        director.connect(tell, http.port("chat"));
    })
    .await;
    let (mut client, mut other) = (open(&server), open(&server));
    client.send(frame(LAST | TEXT, "Äda".as_bytes())).send(frame(LAST | BINARY, b"ab"));
    assert_eq!(hear(&mut client), text("4 in 7, 1: text"));
    assert_eq!(hear(&mut client), text("2 in 7, 1: bytes"));
    other.send(frame(LAST | TEXT, b""));
    assert_eq!(hear(&mut other), text("0 in 7, 1: text"));
    client.send(frame(LAST | CLOSE, &[3, 232]));
    assert_eq!(hear(&mut client), (LAST | CLOSE, vec![3, 232]));
    assert!(client.is_closed());
    eventually("it has left", || server.statistics.open_web_sockets() == 1);
    let ledger = server.stop().await.unwrap();
    assert_eq!(closed(&mut other), 1001);
    assert_ledger!(ledger, delivered = 6, failed = 0, dropped = 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_handshake_is_checked_and_nothing_else_is_opened() {
    let settings =
        WebSocketSettings { protocols: vec!["chat.v1".into(), "chat.v2".into()], ..WebSocketSettings::default() };
    let server = echo(|server| route(server).with_web_sockets(settings)).await;
    let mut client = server.connect();
    let head = |extra: &str| handshake(extra);
    let accepted =
        server.connect().ask(head("Sec-WebSocket-Protocol: a, chat.v2, chat.v1\r\nOrigin: http://TEST:80\r\n"));
    assert_eq!(accepted.status, 101);
    // The pair of section 1.3 of the standard.
    assert_eq!(accepted.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(accepted.header("sec-websocket-protocol"), Some("chat.v2"));
    assert_eq!(accepted.header("upgrade"), Some("websocket"));
    for (request, status) in [
        (http_support::get("/chat/7"), 426),
        (head("").replace("GET", "POST"), 405),
        (head("").replace("WebSocket\r\n", "h2c\r\n"), 426),
        (head("").replace("keep-alive, Upgrade", "keep-alive"), 426),
        (head("").replace("Version: 13", "Version: 8"), 426),
        (head("").replace(KEY, "c2hvcnQ="), 400),
        (head("").replace(KEY, "dGhlIHNhbXBsZSBub25jZQ=!"), 400),
        (head(&format!("Sec-WebSocket-Key: {KEY}\r\n")), 400),
        (head("Origin: https://evil.example\r\n"), 403),
        (head("Origin: null\r\n"), 403),
        (head("Origin: http://test\r\n"), 403),
        (head("Origin: http://test:80\r\nOrigin: http://test:80\r\n"), 403),
        (head("").replace("/chat/7", "/nowhere"), 404),
    ] {
        let answer = client.ask(&request);
        assert_eq!(answer.status, status, "{request}");
        if status == 426 {
            assert_eq!(
                (answer.header("upgrade"), answer.header("sec-websocket-version")),
                (Some("websocket"), Some("13"))
            );
        }
    }
    // With a body it would not be known where the messages begin.
    assert_eq!(server.connect().ask(head("Content-Length: 5\r\n") + "hello").status, 400);
    server.stop().await.unwrap();
}

#[cfg(feature = "compression")]
#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_with_a_body_that_is_to_be_unpacked_is_refused() {
    let compression = playhouse_actors::http::Compression::default();
    let server = echo(|server| route(server).with_compression(compression)).await;
    let request = handshake("Content-Encoding: gzip\r\nContent-Length: 5\r\n") + "hello";
    assert_eq!(server.connect().ask(request).status, 400);
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn listed_origins_and_no_others_may_connect() {
    let settings = WebSocketSettings { origins: vec!["https://shop.example".into()], ..WebSocketSettings::default() };
    let server = echo(|server| route(server).with_web_sockets(settings)).await;
    for (origin, status) in [("https://shop.example", 101), ("http://test:80", 403), ("https://shop.example.evil", 403)]
    {
        assert_eq!(server.connect().ask(handshake(&format!("Origin: {origin}\r\n"))).status, status, "{origin}");
    }
    assert_eq!(server.connect().ask(handshake("")).status, 101);
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn fragments_are_put_together_with_control_frames_between() {
    let server = echo(route).await;
    let mut client = server.connect();
    // Frames may follow the handshake at once, and come byte by byte.
    let mut first = handshake("").into_bytes();
    first.extend(frame(TEXT, "hä".as_bytes().split_at(2).0));
    assert_eq!(client.ask(first).status, 101);
    for byte in frame(LAST | PING, b"are you there") {
        client.send([byte]);
    }
    assert_eq!(hear(&mut client), (LAST | PONG, b"are you there".to_vec()));
    client
        .send(frame(0, &"hä".as_bytes()[2..]))
        .send(frame(0, b""))
        .send(frame(LAST | PONG, b""))
        .send(frame(LAST, b"!"));
    assert_eq!(hear(&mut client), text("hä!"));
    let large = vec![b'x'; 1 << 20];
    client.send(frame(BINARY, &large[..70_000])).send(frame(LAST, &large[70_000..]));
    assert_eq!(hear(&mut client), (LAST | BINARY, large));
    assert_ledger!(server.stop().await.unwrap(), delivered = 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_the_protocol_is_closed_with_its_code() {
    let limits = WebSocketLimits { message_size: 1000, frame_size: 600, ..WebSocketLimits::default() };
    let settings = WebSocketSettings { limits, ..WebSocketSettings::default() };
    let server = echo(|server| route(server).with_web_sockets(settings)).await;
    let unmasked = [LAST | TEXT, 2, b'h', b'i'].to_vec();
    let two = |first: Vec<u8>, second: Vec<u8>| [first, second].concat();
    let cases = [
        ("unmasked", unmasked, 1002),
        ("a reserved bit", frame(LAST | 0x40 | TEXT, b"a"), 1002),
        ("an unknown frame", frame(LAST | 3, b"a"), 1002),
        ("an unknown control frame", frame(LAST | 11, b"a"), 1002),
        ("a ping in pieces", frame(PING, b"a"), 1002),
        ("a long ping", frame(LAST | PING, &[0; 126]), 1002),
        ("nothing to go on with", frame(LAST, b"a"), 1002),
        ("a message within another", two(frame(TEXT, b"a"), frame(LAST | TEXT, b"b")), 1002),
        ("no UTF-8", frame(LAST | TEXT, &[b'a', 0xff]), 1007),
        ("half a letter", frame(LAST | TEXT, &[0xc3]), 1007),
        ("no UTF-8 in a later piece", two(frame(TEXT, b"a"), frame(LAST, &[0xed, 0xa0, 0x80])), 1007),
        ("a reason that is no UTF-8", frame(LAST | CLOSE, &[3, 232, 0xff]), 1007),
        ("a close of one byte", frame(LAST | CLOSE, &[3]), 1002),
        ("a code that may not be sent", frame(LAST | CLOSE, &1005_u16.to_be_bytes()), 1002),
        ("a large frame", frame(LAST | TEXT, &[b'a'; 601]), 1009),
        ("a large message", two(frame(TEXT, &[b'a'; 600]), frame(LAST, &[b'a'; 401])), 1009),
        ("the announcement of a huge one", [&[LAST | BINARY, 0xff, 0x7f][..], &[0xff; 7], &[0; 4]].concat(), 1009),
    ];
    for (what, bytes, code) in cases {
        let mut client = open(&server);
        client.send(&bytes);
        assert_eq!(closed(&mut client), code, "{what}");
        client.end_sending();
        assert!(client.is_closed(), "{what}");
    }
    eventually("they have left", || server.statistics.open_web_sockets() == 0);
    assert_ledger!(server.stop().await.unwrap(), delivered = 0, failed = 0, dropped = 0);
}

/// A server whose inbox `chat` the emitter feeds, and what its messages and errors are.
async fn fed(make: impl FnOnce(HttpServer) -> HttpServer) -> (Server, Emitter, Receiver<Event>, Receiver<Event>) {
    let ((messages, came), (errors, failed)) = (channel(), channel());
    let mut feed = None;
    let server = Server::start(make, |director, http| {
        let (source, emitter) = feeder(director, "feed");
        director.connect(source, http.port("chat"));
        let keep = |to: std::sync::mpsc::Sender<Event>| {
            sink(move |event: &Event| {
                // The test may have seen enough.
                let _ = to.send(event.clone());
                Ok(())
            })
        };
        let (messages, errors) =
            (director.register("messages", keep(messages)), director.register("errors", keep(errors)));
        director.connect(http.port("chat"), messages);
        director.connect_error(http, errors);
        feed = Some(emitter);
    })
    .await;
    (server, feed.unwrap().recv_timeout(PATIENCE).unwrap(), came, failed)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_goes_to_the_connection_that_it_names_or_to_all() {
    let settings = WebSocketSettings { presence: true, ..WebSocketSettings::default() };
    let (server, feed, came, failed) = fed(|server| route(server).with_web_sockets(settings)).await;
    let mut clients = [open(&server), open(&server)];
    let mut ids = Vec::new();
    for client in &mut clients {
        client.send(frame(LAST | TEXT, b"me"));
        let id = loop {
            let event = came.recv_timeout(PATIENCE).unwrap();
            match event.attribute("websocket.event") {
                Some(what) => assert_eq!(
                    (what.to_string().as_str(), event.payload().format().to_string().as_str()),
                    ("open", "empty")
                ),
                None => break event.attribute("websocket.connection").unwrap(),
            }
        };
        ids.push(id);
    }
    assert_ne!(ids[0], ids[1]);
    let to = |number: usize, event: Event| event.with_attribute("websocket.connection", ids[number].clone());
    feed.send(to(1, Event::new("second"))).await.unwrap();
    feed.send(to(0, Event::new("first"))).await.unwrap();
    feed.send(Event::new("all")).await.unwrap();
    // An error is told to whom it concerns.
    feed.send(to(1, Event::new("secret").with_error(Error::conflict("the order is closed")))).await.unwrap();
    let [first, second] = &mut clients;
    assert_eq!([hear(first), hear(first)], [text("first"), text("all")]);
    assert_eq!([hear(second), hear(second)], [text("second"), text("all")]);
    let told: serde_json::Value = serde_json::from_slice(&hear(second).1).unwrap();
    assert_eq!(told, json!({"errors": [{"message": "the order is closed", "code": "conflict"}]}));
    feed.send(to(0, Event::new("go").with_attribute("websocket.close", 4001_i64))).await.unwrap();
    assert_eq!(hear(first), (LAST | CLOSE, [&4001_u16.to_be_bytes()[..], b"go"].concat()));
    first.send(frame(LAST | CLOSE, &4001_u16.to_be_bytes()));
    assert!(first.is_closed());
    let left = came.recv_timeout(PATIENCE).unwrap();
    assert_eq!(left.attribute("websocket.event").unwrap().to_string(), "close");
    assert_eq!(left.attribute("websocket.code").unwrap().as_integer(), Some(4001));
    assert_eq!(left.attribute("websocket.connection"), Some(ids[0].clone()));
    assert_eq!(HttpRequest::of(&left).unwrap().variable("room").as_deref(), Some("7"));
    feed.send(to(0, Event::new("late"))).await.unwrap();
    feed.send(Event::new("whose").with_error(Error::conflict("nobody's"))).await.unwrap();
    feed.send(Event::new("").with_attribute("websocket.close", "now")).await.unwrap();
    let kinds: Vec<_> =
        (0..3).map(|_| failed.recv_timeout(PATIENCE).unwrap().error().unwrap().kind().as_str()).collect();
    assert_eq!(kinds, ["gone", "conflict", "malformed"]);
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reply_that_lets_a_client_in_is_what_its_messages_say() {
    let server = Server::start(
        |server| server.route(Route::get("/chat/{room}").outbox("chat").web_socket("chat").admitted_by("door")),
        |director, http| {
            let door = map(|event: &Event| {
                let request = HttpRequest::of(event).unwrap();
                match request.header("authorization") {
                    Some(user) => {
                        let user = user.into_owned();
                        Ok(event.derive(()).with_attribute("user", user).with_reply_header("set-cookie", "a=1"))
                    }
                    None => Err(Error::unauthorized("who are you")),
                }
            });
            let door = director.register("door", door);
            director.connect(http.port("door"), door);
            director.connect(door, http);
            director.connect_error(door, http);
            let tell = map(|event: &Event| event.derive(event.attribute("user").unwrap().to_string()));
            let tell = director.register("tell", tell);
            director.connect(http.port("chat"), tell);
            director.connect(tell, http.port("chat"));
        },
    )
    .await;
    assert_eq!(server.connect().ask(handshake("")).status, 401);
    let mut client = server.connect();
    let answer = client.ask(handshake("Authorization: ada\r\n"));
    assert_eq!((answer.status, answer.header("set-cookie")), (101, Some("a=1")));
    client.send(frame(LAST | TEXT, b"who am i"));
    assert_eq!(hear(&mut client), text("ada"));
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_keep_up_is_closed_and_slows_nobody() {
    let limits = WebSocketLimits { backlog: 8, close_time: Duration::from_millis(100), ..WebSocketLimits::default() };
    let settings = WebSocketSettings { limits, ..WebSocketSettings::default() };
    let (server, feed, _came, _failed) = fed(|server| route(server).with_web_sockets(settings)).await;
    let stalled: Vec<_> = (0..10).map(|_| open(&server)).collect();
    let mut reader = open(&server);
    eventually("all are in", || server.statistics.open_web_sockets() == 11);
    let large = "x".repeat(256 * 1024);
    let (began, mut sent) = (Instant::now(), 0);
    while server.statistics.slow_clients() < 10 {
        assert!(began.elapsed() < PATIENCE, "{} are closed", server.statistics.slow_clients());
        feed.send(Event::new(large.clone())).await.unwrap();
        sent += 1;
        assert_eq!(hear(&mut reader).1.len(), large.len());
    }
    drop(stalled);
    eventually("they have left", || server.statistics.open_connections() == 1);
    assert_ledger!(server.stop().await.unwrap(), delivered = sent, failed = 0, dropped = 0);
    assert_eq!(closed(&mut reader), 1001);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_client_is_asked_and_given_up() {
    let (heartbeat, patience) = (Duration::from_millis(40), Duration::from_millis(160));
    let limits = WebSocketLimits { heartbeat, patience, ..WebSocketLimits::default() };
    let settings = WebSocketSettings { limits, ..WebSocketSettings::default() };
    let http_limits =
        HttpLimits { idle_time: heartbeat, deadline: heartbeat, head_time: heartbeat, ..HttpLimits::default() };
    let server = echo(|server| route(server).with_web_sockets(settings).with_limits(http_limits)).await;
    let (mut dead, mut alive) = (open(&server), open(&server));
    for _ in 0..6 {
        assert_eq!(hear(&mut alive), (LAST | PING, Vec::new()));
        alive.send(frame(LAST | PONG, b""));
    }
    eventually("the dead one is given up", || server.statistics.open_web_sockets() == 1);
    assert_eq!(hear(&mut dead), (LAST | PING, Vec::new()));
    assert!(dead.is_closed());
    server.stop().await.unwrap();
}

/// An actor that lets one event pass for each permit.
struct Gate(Arc<Semaphore>);

impl Actor for Gate {
    async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        self.0.acquire().await.map_err(|error| Error::internal("closed").caused_by(error))?.forget();
        out.push(event);
        Ok(())
    }
}

async fn gated(limits: WebSocketLimits) -> (Server, Arc<Semaphore>) {
    let open = Arc::new(Semaphore::new(0));
    let gate = Gate(open.clone());
    let settings = WebSocketSettings { limits, ..WebSocketSettings::default() };
    let server = Server::start(
        |server| route(server).with_web_sockets(settings),
        |director, http| {
            let gate = director.register_with("gate", gate, Policy { capacity: 4, ..Policy::default() });
            director.connect(http.port("chat"), gate);
            director.connect(gate, http.port("chat"));
        },
    )
    .await;
    (server, open)
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_read_from_while_the_flow_has_no_room() {
    let (server, gate) = gated(WebSocketLimits { backlog: 100_000, ..WebSocketLimits::default() }).await;
    let mut client = open(&server);
    let mut writer = client.socket.try_clone().unwrap();
    writer.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let large = "x".repeat(64 * 1024);
    let mut sent = 0_usize;
    // Until the sockets between are full, which the client notices.
    while std::io::Write::write_all(&mut writer, &frame(LAST | TEXT, large.as_bytes())).is_ok() {
        sent += 1;
        assert!(sent < 2000, "it is all taken in");
    }
    gate.add_permits(Semaphore::MAX_PERMITS / 2);
    for _ in 0..sent {
        assert_eq!(hear(&mut client).1.len(), large.len());
    }
    drop((client, writer));
    eventually("it has left", || server.statistics.open_web_sockets() == 0);
    let ledger = server.stop().await.unwrap();
    assert_ledger!(ledger, delivered = 2 * sent as u64, failed = 0, dropped = 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_in_is_answered_before_a_stop_closes() {
    let (server, gate) = gated(WebSocketLimits::default()).await;
    let mut client = open(&server);
    client.send(frame(LAST | TEXT, b"last words")).send(frame(LAST | PING, b""));
    // It was read before the ping was.
    assert_eq!(hear(&mut client), (LAST | PONG, Vec::new()));
    let address = server.address;
    let stopping = server.begin_stop();
    eventually("the server is closed", || std::net::TcpStream::connect(address).is_err());
    assert!(!client.has_word());
    gate.add_permits(1);
    assert_eq!(hear(&mut client), text("last words"));
    let (head, payload) = hear(&mut client);
    assert_eq!((head, &payload[..2]), (LAST | CLOSE, &1001_u16.to_be_bytes()[..]));
    client.send(frame(LAST | CLOSE, &1001_u16.to_be_bytes()));
    assert!(client.is_closed());
    assert_ledger!(stopping.await.unwrap().unwrap(), delivered = 2, failed = 0, dropped = 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_another_make_talks_and_closes() {
    let settings = WebSocketSettings { protocols: vec!["chat.v1".into()], ..WebSocketSettings::default() };
    let server = echo(|server| route(server).with_web_sockets(settings)).await;
    let url = format!("ws://{}/chat/7", server.address);
    let mut party = Party::start(&["client", &url]);
    let mut leaving = Party::start(&["client", &url]);
    assert_eq!((party.hear(), leaving.hear()), (json!({"open": "chat.v1"}), json!({"open": "chat.v1"})));
    party.tell(&json!({"text": "Äda ☃"}));
    assert_eq!(party.hear(), json!({"text": "Äda ☃"}));
    party.tell(&json!({"bytes": "00ff"}));
    assert_eq!(party.hear(), json!({"bytes": "00ff"}));
    party.tell(&json!({"fragments": ["a", "b", "c"]}));
    assert_eq!(party.hear(), json!({"text": "abc"}));
    party.tell(&json!({"ping": true}));
    assert_eq!(party.hear(), json!({"pong": true}));
    let large = "y".repeat(1 << 19);
    party.tell(&json!({"text": large}));
    assert_eq!(party.hear(), json!({"text": large}));
    leaving.tell(&json!({"close": 4321}));
    assert_eq!(leaving.hear(), json!({"closed": 4321, "reason": "done"}));
    party.tell(&json!({"text": "z".repeat(1 << 20) + "z"}));
    assert_eq!(party.hear(), json!({"closed": 1009, "reason": "the message is too large"}));
    let staying = Party::start(&["client", &url]);
    assert_eq!(staying.hear(), json!({"open": "chat.v1"}));
    assert_ledger!(server.stop().await.unwrap(), delivered = 8, failed = 0, dropped = 0);
    assert_eq!(staying.hear(), json!({"closed": 1001, "reason": "the server stops"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn half_open_handshakes_floods_and_the_killed_leave_nothing_behind() {
    let limits = HttpLimits { head_time: Duration::from_millis(500), connections: 2000, ..HttpLimits::default() };
    let server = echo(|server| route(server).with_limits(limits)).await;
    let mut half: Vec<_> = (0..1000).map(|_| server.connect()).collect();
    let whole = handshake("");
    for (number, client) in half.iter_mut().enumerate() {
        client.send(&whole[..whole.len() * (number % 10) / 10]);
    }
    // Meanwhile others are served.
    let mut client = open(&server);
    let pings: Vec<u8> = std::iter::repeat_n(frame(LAST | PING, b"flood"), 2000).flatten().collect();
    let mut flooding = open(&server);
    let mut writer = flooding.socket.try_clone().unwrap();
    let flood = std::thread::spawn(move || {
        // It is not read from while its answers are not taken; in the end it is closed.
        while std::io::Write::write_all(&mut writer, &pings).is_ok() {}
    });
    for number in 0..200 {
        let word = number.to_string();
        client.send(frame(LAST | TEXT, word.as_bytes()));
        assert_eq!(hear(&mut client), text(&word));
    }
    let huge = handshake(&format!("X-Huge: {}\r\n", "x".repeat(20_000)));
    assert_eq!(server.connect().ask(huge).status, 431);
    let killed: Vec<_> = (0..50).map(|_| open(&server)).collect();
    for client in killed {
        socket_reset(client);
    }
    eventually("the half-open ones are closed", || server.statistics.open_connections() == 2);
    flooding.end_sending();
    flood.join().unwrap();
    let began = Instant::now();
    let ledger = server.stop().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert_ledger!(ledger, delivered = 400, failed = 0, dropped = 0);
    drop(flooding);
}

/// Ends a connection as a process that is killed with unread data does.
fn socket_reset(client: Client) {
    socket2::SockRef::from(&client.socket).set_linger(Some(Duration::ZERO)).unwrap();
}
