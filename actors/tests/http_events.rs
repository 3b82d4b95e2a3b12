//! Event streams: who gets what, who is closed, and what a client of its own makes of them.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used)]

mod http_support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_support::{Client, PATIENCE, Server, answer, eventually, feeder, get};
use playhouse_actors::http::{EventStreamSettings, HttpLimits, HttpReply, HttpRequest, HttpServer, Route};
use playhouse_engine::{Actor, Emitter, Error, Event, Kind, Outbox, Result, assert_ledger, map, sink};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

fn routes(server: HttpServer) -> HttpServer {
    server
        .route(Route::get("/prices").events("prices"))
        .route(Route::get("/prices/{symbol}").events("prices").topic("symbol"))
        .route(Route::get("/chosen").events("prices").topic("symbol"))
}

/// A server whose inbox `prices` the emitter feeds.
async fn started(make: impl FnOnce(HttpServer) -> HttpServer) -> (Server, Emitter) {
    let mut feed = None;
    let server = Server::start(make, |director, http| {
        let (source, emitter) = feeder(director, "feed");
        director.connect(source, http.port("prices"));
        feed = Some(emitter);
    })
    .await;
    (server, feed.unwrap().recv_timeout(PATIENCE).unwrap())
}

fn open(server: &Server, path: &str) -> Client {
    let mut client = server.connect();
    let answer = client.ask(get(path));
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/event-stream")), "{}", answer.head);
    client
}

fn with(name: &'static str, value: &'static str, payload: &'static str) -> Event {
    Event::new(payload).with_attribute(name, value)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_gets_every_event_and_the_streams_end_with_the_flow() {
    let (server, feed) = started(routes).await;
    let mut clients: Vec<_> = (0..50).map(|_| open(&server, "/prices")).collect();
    for number in 0..100 {
        feed.send(Event::new(format!("price {number}"))).await.unwrap();
    }
    feed.send(Event::new("the end")).await.unwrap();
    for client in &mut clients {
        let all = client.until("data: the end\n\n\r\n");
        let prices: Vec<_> = all.lines().filter_map(|line| line.strip_prefix("data: price ")).collect();
        assert_eq!(prices, (0..100).map(|number| number.to_string()).collect::<Vec<_>>());
    }
    assert_eq!(server.statistics.open_streams(), 50);
    let statistics = server.statistics.clone();
    let ledger = server.stop().await.unwrap();
    assert_ledger!(ledger, delivered = 101, failed = 0, dropped = 0);
    for client in &mut clients {
        assert_eq!(client.rest(), "0\r\n\r\n");
    }
    assert_eq!((statistics.open_streams(), statistics.slow_clients()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_head_keeps_proxies_from_holding_back() {
    let (server, _feed) = started(routes).await;
    let mut client = server.connect();
    let answer = client.ask(get("/prices"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("x-accel-buffering"), Some("no"));
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
    let mut client = server.connect();
    client.send("HEAD /prices HTTP/1.1\r\nHost: test\r\n\r\n");
    let answer = client.answer_to("HEAD");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/event-stream")));
    // The connection is free for the next.
    let refused = client.ask("GET /prices HTTP/1.1\r\nHost: test\r\nAccept: application/json\r\n\r\n");
    assert_eq!(refused.status, 406);
    assert!(refused.body.contains("there is only `text/event-stream` here"), "{}", refused.body);
    let refused = client.ask("POST /prices HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n");
    assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD, OPTIONS")));
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_gets_what_is_of_its_topic_and_what_is_of_none() {
    let (server, feed) = started(routes).await;
    let paths = ["/prices", "/prices/ACME", "/prices/b%20b", "/chosen?symbol=ACME", "/chosen"];
    let mut clients = paths.map(|path| open(&server, path));
    for event in [with("sse.topic", "ACME", "1"), with("sse.topic", "b b", "2"), with("sse.topic", "other", "3")] {
        feed.send(event).await.unwrap();
    }
    feed.send(Event::new("end")).await.unwrap();
    let heard = clients.each_mut().map(|client| {
        let all = client.until("data: end\n\n");
        all.lines().filter_map(|line| line.strip_prefix("data: ")).collect::<Vec<_>>().concat()
    });
    assert_eq!(heard, ["123end", "1end", "2end", "1end", "123end"]);
    server.stop().await.unwrap();
}

/// A client in Python.
fn event_source(server: &Server, path: &str, last: &str) -> impl Iterator<Item = Value> + use<> {
    let mut process = Command::new("python3")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracles/event_source.py"))
        .args([&server.address.to_string(), path, last])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut lines = lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap());
    std::iter::from_fn(move || {
        lines.next().or_else(|| {
            assert!(process.wait().unwrap().success());
            None
        })
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_the_standard_reads_what_was_meant() {
    let settings = EventStreamSettings { retry: Some(Duration::from_millis(1500)), ..EventStreamSettings::default() };
    let (server, feed) = started(|server| routes(server).with_event_streams(settings)).await;
    let mut python = event_source(&server, "/prices", "");
    assert_eq!(python.next().unwrap(), json!({"status": 200, "type": "text/event-stream"}));
    assert_eq!(python.next().unwrap(), json!({"retry": 1500}));
    for event in [
        with("sse.event", "price", "a\nb\r\nc\rd").with_attribute("sse.id", 1_i64),
        Event::new(json!({"Ä": [1, 2]})).with_attribute("sse.retry", 20_i64),
        Event::new(" : data: x\n\n"),
        Event::new(()).with_attribute("sse.id", "2"),
    ] {
        feed.send(event).await.unwrap();
    }
    assert_eq!(python.next().unwrap(), json!({"event": "price", "data": "a\nb\nc\nd", "id": "1"}));
    assert_eq!(python.next().unwrap(), json!({"retry": 20}));
    assert_eq!(python.next().unwrap(), json!({"event": "message", "data": "{\"Ä\":[1,2]}", "id": "1"}));
    assert_eq!(python.next().unwrap(), json!({"event": "message", "data": " : data: x\n\n", "id": "1"}));
    assert_eq!(python.next().unwrap(), json!({"event": "message", "data": "", "id": "2"}));
    assert_ledger!(server.stop().await.unwrap(), delivered = 4, failed = 0);
    assert_eq!(python.next(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_comes_again_gets_what_it_missed() {
    let settings = EventStreamSettings { history: 4, backlog: 1, ..EventStreamSettings::default() };
    let (server, feed) = started(|server| routes(server).with_event_streams(settings)).await;
    feed.send(Event::new("before any id")).await.unwrap();
    for number in 1..=6_i64 {
        let topic = if number % 2 == 0 { "even" } else { "odd" };
        let event = Event::new(number.to_string()).with_attribute("sse.topic", topic).with_attribute("sse.id", number);
        feed.send(event).await.unwrap();
    }
    // A client that comes last sees that all have been handled.
    let heard = |path: &str, last: &str| {
        let mut client = server.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\nLast-Event-ID: {last}\r\n\r\n"));
        client
    };
    let end = |client: &mut Client| {
        let all = client.until("data: end\n\n");
        all.lines().filter_map(|line| line.strip_prefix("data: ")).collect::<Vec<_>>().join(" ")
    };
    let asked = [
        ("/prices", "4"),
        ("/prices", "6"),
        ("/prices", "1"),
        ("/prices", "what"),
        ("/prices/even", "3"),
        ("/prices", ""),
    ];
    let mut clients = asked.map(|(path, last)| heard(path, last));
    eventually("all are in", || server.statistics.open_streams() == asked.len());
    feed.send(Event::new("end")).await.unwrap();
    let found = clients.each_mut().map(end);
    assert_eq!(found, ["5 6 end", "end", "3 4 5 6 end", "3 4 5 6 end", "4 6 end", "end"]);
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_keep_up_is_closed_and_slows_nobody() {
    let settings = EventStreamSettings { backlog: 8, history: 0, ..EventStreamSettings::default() };
    let (server, feed) = started(|server| routes(server).with_event_streams(settings)).await;
    let stalled: Vec<_> = (0..20).map(|_| open(&server, "/prices")).collect();
    let mut reader = open(&server, "/prices");
    let large = "x".repeat(256 * 1024);
    let began = Instant::now();
    let mut sent = 0;
    while server.statistics.slow_clients() < 20 {
        assert!(began.elapsed() < PATIENCE, "{} are closed", server.statistics.slow_clients());
        feed.send(Event::new(large.clone())).await.unwrap();
        sent += 1;
        // The one that reads has each before the next.
        reader.until("\n\n\r\n");
    }
    eventually("the streams are closed", || server.statistics.open_streams() == 1);
    eventually("the connections are closed", || server.statistics.open_connections() == 1);
    for mut client in stalled {
        // It broke off: there is no last chunk.
        assert!(!client.rest().ends_with("0\r\n\r\n"));
    }
    let ledger = server.stop().await.unwrap();
    assert_ledger!(ledger, delivered = sent, failed = 0, dropped = 0);
    assert_eq!(reader.rest(), "0\r\n\r\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_keep_a_silent_stream_and_find_clients_that_are_gone() {
    let short = Duration::from_millis(100);
    let limits = HttpLimits {
        idle_time: short,
        deadline: short,
        head_time: short,
        rate_window: short,
        slowest_rate: 1 << 20,
        ..HttpLimits::default()
    };
    let settings = EventStreamSettings { heartbeat: Duration::from_millis(20), ..EventStreamSettings::default() };
    let (server, feed) = started(|server| routes(server).with_limits(limits).with_event_streams(settings)).await;
    let (mut client, gone) = (open(&server, "/prices"), open(&server, "/prices"));
    drop(gone);
    let began = Instant::now();
    while began.elapsed() < 6 * short {
        client.until(":\n\n\r\n");
    }
    eventually("the client that has gone is noticed", || server.statistics.open_streams() == 1);
    feed.send(Event::new("still there")).await.unwrap();
    client.until("data: still there\n\n\r\n");
    server.stop().await.unwrap();
    client.until("0\r\n\r\n");
}

/// Reads a stream of HTTP/2 until `end` has come.
async fn heard(body: &mut h2::RecvStream, end: &str) -> String {
    let mut heard = String::new();
    while !heard.contains(end) {
        let data = timeout(PATIENCE, body.data()).await.unwrap().unwrap().unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        heard.push_str(std::str::from_utf8(&data).unwrap());
    }
    heard
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http2_connection_has_many_streams_and_other_requests() {
    let short = Duration::from_millis(100);
    let limits = HttpLimits { idle_time: short, deadline: short, ..HttpLimits::default() };
    let settings = EventStreamSettings { heartbeat: Duration::from_millis(20), ..EventStreamSettings::default() };
    let (server, feed) = started(|server| routes(server).with_limits(limits).with_event_streams(settings)).await;
    let socket = TcpStream::connect(server.address).await.unwrap();
    let (client, connection) = h2::client::handshake(socket).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let mut ask = |path: &str| {
        let request = http::Request::get(format!("http://test{path}")).body(()).unwrap();
        client.send_request(request, true).unwrap().0
    };
    let (all, acme) = (ask("/prices").await.unwrap(), ask("/prices/ACME").await.unwrap());
    assert_eq!(all.headers()["content-type"], "text/event-stream");
    let (mut all, mut acme) = (all.into_body(), acme.into_body());
    let began = Instant::now();
    // Longer than any idle connection would live.
    while began.elapsed() < 5 * short {
        assert_eq!(heard(&mut all, ":").await, ":\n\n");
    }
    feed.send(with("sse.topic", "ACME", "1")).await.unwrap();
    heard(&mut all, "data: 1\n\n").await;
    heard(&mut acme, "data: 1\n\n").await;
    assert_eq!(ask("/nowhere").await.unwrap().status(), 404);
    server.stop().await.unwrap();
    timeout(PATIENCE, connection).await.unwrap().unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_take_nothing_do_not_hold_up_a_stop() {
    let settings = EventStreamSettings { backlog: 1000, history: 0, ..EventStreamSettings::default() };
    let (server, feed) = started(|server| routes(server).with_event_streams(settings)).await;
    let mut old = open(&server, "/prices");
    let socket = TcpStream::connect(server.address).await.unwrap();
    let (client, connection) = h2::client::handshake(socket).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let request = http::Request::get("http://test/prices").body(()).unwrap();
    let stalled = client.send_request(request, true).unwrap().0.await.unwrap();
    let large = "x".repeat(1 << 20);
    for _ in 0..32 {
        feed.send(Event::new(large.clone())).await.unwrap();
    }
    let (began, statistics) = (Instant::now(), server.statistics.clone());
    let ledger = server.stop().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert_ledger!(ledger, delivered = 32, failed = 0, dropped = 0);
    assert_eq!((statistics.open_streams(), statistics.open_connections()), (0, 0));
    assert!(!old.rest().ends_with("0\r\n\r\n"), "it was broken off");
    drop(stalled);
    connection.abort();
}

/// Answers when it is let.
struct Gate(Arc<Semaphore>);

impl Actor for Gate {
    async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        self.0.acquire().await.map_err(|error| Error::internal("closed").caused_by(error))?.forget();
        out.push(event);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_beside_a_stalled_stream_is_answered_while_the_flow_stops() {
    let (gate, mut feed) = (Arc::new(Semaphore::new(0)), None);
    let open = gate.clone();
    let server = Server::start(
        |server| routes(server).route(Route::get("/late")),
        |director, http| {
            let (source, emitter) = feeder(director, "feed");
            director.connect(source, http.port("prices"));
            feed = Some(emitter);
            let gate = director.register("gate", Gate(gate));
            director.connect(http, gate);
            director.connect(gate, http);
        },
    )
    .await;
    let feed = feed.unwrap().recv_timeout(PATIENCE).unwrap();
    let socket = TcpStream::connect(server.address).await.unwrap();
    // So that only the stream stalls, and not the connection.
    let mut settings = h2::client::Builder::new();
    settings.initial_connection_window_size(1 << 24);
    let (client, connection) = settings.handshake::<_, &[u8]>(socket).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let mut ask = |path: &str| {
        let request = http::Request::get(format!("http://test{path}")).body(()).unwrap();
        client.send_request(request, true).unwrap().0
    };
    let (stalled, late) = (ask("/prices").await.unwrap(), ask("/late"));
    feed.send(Event::new("x".repeat(1 << 20))).await.unwrap();
    // An answer shows that the one before has been taken in.
    assert_eq!(ask("/nowhere").await.unwrap().status(), 404);
    let stopping = server.begin_stop();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(!stopping.is_finished());
    open.add_permits(1);
    assert_eq!(timeout(PATIENCE, late).await.unwrap().unwrap().status(), 200);
    assert_eq!(stopping.await.unwrap().unwrap().in_flight, 0);
    drop(stalled);
    connection.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_flow_may_decide_who_is_let_in() {
    let server = Server::start(
        |server| server.route(Route::get("/prices").events("prices").admitted_by("admission")),
        |director, http| {
            let door = director.register(
                "door",
                map(|event: &Event| {
                    let key = HttpRequest::of(event).and_then(|request| request.header("x-key"));
                    match key.as_deref() {
                        Some("secret") => Ok(event.derive("body").with_reply_header("set-cookie", "a=1")),
                        Some("moved") => Ok(event.derive("elsewhere").with_status(404)),
                        _ => Err(Error::unauthorized("who are you")),
                    }
                }),
            );
            director.connect(http.port("admission"), door);
            director.connect(door, http);
            director.connect_error(door, http);
        },
    )
    .await;
    let ask = |key: &str| server.connect().ask(format!("GET /prices HTTP/1.1\r\nHost: test\r\nX-Key: {key}\r\n\r\n"));
    let mut client = server.connect();
    let let_in = client.ask("GET /prices HTTP/1.1\r\nHost: test\r\nX-Key: secret\r\n\r\n");
    assert_eq!((let_in.status, let_in.header("set-cookie")), (200, Some("a=1")));
    assert_eq!(let_in.header("content-type"), Some("text/event-stream"));
    assert_eq!((ask("other").status, ask("moved").status), (401, 404));
    assert_eq!(server.statistics.open_streams(), 1);
    server.stop().await.unwrap();
    assert_eq!(client.rest(), "0\r\n\r\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sent_fails_and_nobody_sees_errors_of_others() {
    let (errors, seen) = std::sync::mpsc::channel();
    let mut feed = None;
    let server = Server::start(routes, |director, http| {
        let (source, emitter) = feeder(director, "feed");
        director.connect(source, http.port("prices"));
        let errors = director.register(
            "errors",
            sink(move |event: &Event| {
                errors.send(event.error().unwrap().kind()).unwrap();
                Ok(())
            }),
        );
        director.connect_error(http, errors);
        feed = Some(emitter);
    })
    .await;
    let feed = feed.unwrap().recv_timeout(PATIENCE).unwrap();
    let mut client = open(&server, "/prices");
    for event in [
        with("sse.event", "a\nb", ""),
        Event::new(vec![0xff, 0xfe]),
        Event::new("secret").with_error(Error::conflict("secret")),
        Event::new("fine"),
    ] {
        feed.send(event).await.unwrap();
    }
    assert_eq!(client.until("data: fine\n\n"), "C\r\ndata: fine\n\n");
    let kinds: Vec<_> = (0..3).map(|_| seen.recv_timeout(PATIENCE).unwrap()).collect();
    assert_eq!(kinds, [Kind::Malformed, Kind::Unsupported, Kind::Conflict]);
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_count_as_connections() {
    let limits = HttpLimits { connections: 3, ..HttpLimits::default() };
    let (server, _feed) = started(|server| routes(server).with_limits(limits)).await;
    let streams: Vec<_> = (0..3).map(|_| open(&server, "/prices")).collect();
    assert_eq!(server.connect().answer().status, 503);
    drop(streams);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn routes_that_make_no_sense_stop_the_start() {
    for (server, message) in [
        (HttpServer::bind("127.0.0.1:0").route(Route::get("/a").events("inbox")), "the inbox `inbox` takes replies"),
        (HttpServer::bind("127.0.0.1:0").trusting(["10/8"]), "`10/8` are no networks to trust"),
    ] {
        let mut director = playhouse_engine::Director::new("test");
        let http = director.register("http", server.route(Route::post("/b")));
        answer(&mut director, http, Event::clone);
        let error = director.build().unwrap().start().await.unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
    }
}
