//! Requests and replies: routes, methods, content types, attributes, headers, and what ends a request.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used)]

mod http_support;

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_support::{Server, get, with_body};
use playhouse_actors::http::{HttpLimits, HttpReply, HttpRequest, Method, Route, status_of};
use playhouse_engine::{Actor, Error, Event, Kind, Outbox, Payload, Policy, Result, filter, map, sink};
use tokio::sync::Semaphore;

#[tokio::test(flavor = "multi_thread")]
async fn a_body_comes_back_as_what_it_was() {
    let server = Server::echo(HttpLimits::default()).await;
    let mut client = server.connect();
    for (sent, body, answered) in [
        ("application/xml", "<a/>", "application/xml"),
        ("application/soap+xml; charset=utf-8", "<a/>", "application/xml"),
        ("application/json", "{\"a\":1}", "text/plain; charset=utf-8"),
        ("text/csv", "a,b", "text/plain; charset=utf-8"),
        ("image/png", "bytes", "application/octet-stream"),
    ] {
        let answer = client.ask(with_body("POST", "/", sent, body));
        assert_eq!((answer.status, answer.body.as_str()), (200, body));
        assert_eq!(answer.header("content-type"), Some(answered));
        assert!(answer.header("date").is_some() && answer.header("server").is_none(), "{answer:?}");
    }
    assert_eq!(server.stop().await.unwrap().in_flight, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_and_a_chunked_one_come_whole() {
    let server = Server::echo(HttpLimits::default()).await;
    let body = "0123456789abcdef".repeat(40_000);
    let answer = server.connect().ask(with_body("POST", "/", "text/plain", &body));
    assert!(answer.status == 200 && answer.body == body);
    let head = "PUT / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\nContent-Type: text/plain\r\n\r\n";
    let answer = server.connect().ask(format!("{head}4\r\nHell\r\n6;x=y\r\no, you\r\n0\r\nTrailer: a\r\n\r\n"));
    assert_eq!((answer.status, answer.body.as_str()), (200, "Hello, you"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_answer_comes_whole_before_its_connection_closes() {
    let server = Server::echo(HttpLimits { body_size: 16 * 1024 * 1024, ..HttpLimits::default() }).await;
    let body = "0123456789abcdef".repeat(512 * 1024);
    let head = "POST / HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Type: text/plain\r\n";
    let mut client = server.connect();
    let answer = client.ask(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()));
    assert!(answer.status == 200 && answer.body == body);
    assert_eq!(client.rest(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn text_in_a_character_set_that_it_is_not_in_is_400() {
    let server = Server::echo(HttpLimits::default()).await;
    let head = "POST / HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: 1\r\n\r\n";
    let answer = server.connect().ask([head.as_bytes(), b"\xff"].concat());
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("the body is not UTF-8 text"), "{}", answer.body);
}

fn shop(director: &mut playhouse_engine::Director, http: playhouse_engine::ActorRef) {
    let look_up = director.register(
        "look-up",
        map(|event: &Event| {
            let request = HttpRequest::of(event).unwrap();
            let query = request.query("colour").unwrap_or_default();
            let (number, agent) = (request.variable("number").unwrap_or_default(), request.header("user-agent"));
            event.derive(format!("{} {number} {query} {}", request.method(), agent.unwrap_or_default()))
        }),
    );
    let create = director.register(
        "create",
        map(|event: &Event| event.derive(Payload::Empty).with_status(201).with_reply_header("Location", "/orders/7")),
    );
    director.connect(http.port("look-up"), look_up);
    director.connect(look_up, http);
    director.connect(http.port("create"), create);
    director.connect(create, http.port("created"));
}

async fn shop_server() -> Server {
    let make = |server: playhouse_actors::HttpServer| {
        server
            .route(Route::get("/orders/{number}").outbox("look-up"))
            .route(Route::post("/orders").outbox("create").takes(["application/xml", "text/*"]))
            .route(Route::new("/orders").methods([Method::PUT]).outbox("create"))
    };
    Server::start(make, shop).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_goes_by_its_route_and_shows_its_attributes() {
    let server = shop_server().await;
    let mut client = server.connect();
    let answer = client.ask("GET /orders/a%20b?colour=dark+blue HTTP/1.1\r\nHost: test\r\nUser-Agent: me\r\n\r\n");
    assert_eq!((answer.status, answer.body.as_str()), (200, "GET a b dark blue me"));
    let answer = client.ask(with_body("POST", "/orders/", "text/xml", "<a/>"));
    assert_eq!((answer.status, answer.header("location")), (201, Some("/orders/7")));
    assert_eq!(answer.header("content-length"), Some("0"));
    // As another program sees it.
    let url = format!("http://{}/orders/7?colour=red", server.address);
    let curl = Command::new("curl").args(["-sS", "-A", "curl", &url]).output().unwrap();
    assert_eq!(String::from_utf8(curl.stdout).unwrap(), "GET 7 red curl");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_route_is_404_405_or_415() {
    let server = shop_server().await;
    let mut client = server.connect();
    let answer = client.ask(get("/nowhere"));
    assert_eq!(answer.status, 404);
    assert_eq!(answer.body, r#"{"errors":[{"message":"there is nothing at `/nowhere`","code":"not-found"}]}"#);
    let answer = client.ask("DELETE /orders HTTP/1.1\r\nHost: test\r\nAccept: text/xml\r\n\r\n");
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST, PUT, OPTIONS")));
    let message = "`/orders` does not take `DELETE`";
    let body = format!("<errors><error><message>{message}</message><code>not-allowed</code></error></errors>");
    assert_eq!((answer.header("content-type"), answer.body.as_str()), (Some("application/xml"), body.as_str()));
    let answer = client.ask(with_body("POST", "/orders", "image/png", "png"));
    assert_eq!((answer.status, answer.header("accept")), (415, Some("application/xml, text/*")));
    assert!(answer.body.contains("`image/png` is not taken here; expected `application/xml`, `text/*`"), "{answer:?}");
    let answer = client.ask("POST /orders HTTP/1.1\r\nHost: test\r\nContent-Length: 1\r\n\r\nx");
    assert_eq!(answer.status, 415);
    assert!(answer.body.contains("the body has no `content-type`"), "{answer:?}");
    let answer = client.ask("POST /orders HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(answer.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn head_is_answered_as_get_without_the_body() {
    let server = shop_server().await;
    let mut client = server.connect();
    client.send("HEAD /orders/7 HTTP/1.1\r\nHost: test\r\n\r\n");
    let answer = client.answer_to("HEAD");
    assert_eq!((answer.status, answer.header("content-length")), (200, Some("8")));
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    client.send("HEAD /nowhere HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.answer_to("HEAD").status, 404);
    assert_eq!(client.ask(get("/orders/7")).status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn options_says_what_can_be_done() {
    let server = shop_server().await;
    let mut client = server.connect();
    for (target, allow) in
        [("/orders", "POST, PUT, OPTIONS"), ("/orders/7", "GET, HEAD, OPTIONS"), ("*", "GET, HEAD, POST, PUT, OPTIONS")]
    {
        let answer = client.ask(format!("OPTIONS {target} HTTP/1.1\r\nHost: test\r\n\r\n"));
        assert_eq!((answer.status, answer.header("allow")), (204, Some(allow)), "{target}");
        assert_eq!(answer.header("content-length"), None);
    }
    assert_eq!(client.ask("OPTIONS /nowhere HTTP/1.1\r\nHost: test\r\n\r\n").status, 404);
}

/// A server that fails each request by an error of the kind that its path names.
async fn failing() -> Server {
    let fail = |event: &Event| -> Result<Event> {
        let path = HttpRequest::of(event).unwrap().path().into_owned();
        match path.trim_start_matches('/') {
            "panic" => panic!("the secret of the panic"),
            "internal" => Err(Error::internal("secret").caused_by("more secrets")),
            "unauthorized" => Err(Error::unauthorized("who are you")),
            "rate-exceeded" => Err(Error::rate_exceeded("too often").retry_after(Duration::from_millis(1500))),
            "conflict" => Err(Error::conflict("`order` 7 exists").caused_by("made by `Ada`")),
            _ => Err(Error::unavailable("the stock is away")),
        }
    };
    Server::start(
        |server| server.with_realm("the \"shop\""),
        move |director, http| {
            let actor = director.register("fails", map(fail));
            director.connect(http, actor);
            director.connect(actor, http);
            director.connect_error(actor, http);
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_becomes_its_status_and_says_what_helps() {
    let server = failing().await;
    let mut client = server.connect();
    let answer = client.ask(get("/conflict"));
    assert_eq!(answer.status, 409);
    assert_eq!(answer.body, r#"{"errors":[{"message":"`order` 7 exists: made by `Ada`","code":"conflict"}]}"#);
    let answer = client.ask(get("/unauthorized"));
    let challenge = r#"Basic realm="the \"shop\"", charset="UTF-8""#;
    assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some(challenge)));
    let answer = client.ask(get("/rate-exceeded"));
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("2")));
    let answer = client.ask(get("/unavailable"));
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    let answer = client.ask(with_body("POST", "/conflict", "application/xml", "<a/>"));
    assert!(answer.status == 409 && answer.body.starts_with("<errors>"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_internal_error_says_stays_in_the_log() {
    let server = failing().await;
    let mut client = server.connect();
    for path in ["/internal", "/panic"] {
        let answer = client.ask(get(path));
        assert_eq!(answer.status, status_of(Kind::Internal));
        assert!(answer.body.contains("an internal error happened") && !answer.body.contains("secret"), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_comes_by_any_inbox() {
    let wire = |director: &mut playhouse_engine::Director, http: playhouse_engine::ActorRef| {
        let actor = director.register("answer", map(Event::clone));
        director.connect(http, actor);
        director.connect(actor, http.port("some-name"));
    };
    let server = Server::start(|server| server, wire).await;
    assert_eq!(server.connect().ask(get("/")).status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_reply_is_counted_and_dropped() {
    let server = Server::start(
        |server| server,
        |director, http| {
            let twice = director.register("twice", map(|event: &Event| vec![event.derive("one"), event.derive("two")]));
            director.connect(http, twice);
            director.connect(twice, http);
        },
    )
    .await;
    let mut client = server.connect();
    for _ in 0..10 {
        assert_eq!(client.ask(get("/")).body, "one");
    }
    let statistics = server.statistics.clone();
    server.stop().await.unwrap();
    assert_eq!(statistics.late_replies(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_ends_without_a_reply_is_answered_at_once() {
    let server = Server::start(
        |server| {
            server
                .route(Route::new("/lost").outbox("lost"))
                .route(Route::new("/filtered").outbox("filtered"))
                .route(Route::new("/failed").outbox("failed"))
                .route(Route::new("/accepted").outbox("lost").accepted())
                .route(Route::new("/accepted-and-failed").outbox("failed").accepted())
        },
        |director, http| {
            let lost = director.register("lost", sink(|_| Ok(())));
            let filtered = director.register("filtered", filter(|_| false));
            let failed = director.register("failed", sink(|_| Err(Error::gone("it is gone"))));
            director.connect(http.port("lost"), lost);
            director.connect(http.port("filtered"), filtered);
            director.connect(filtered, lost);
            director.connect(http.port("failed"), failed);
        },
    )
    .await;
    let mut client = server.connect();
    let began = Instant::now();
    for (path, status) in
        [("/lost", 500), ("/filtered", 500), ("/failed", 410), ("/accepted", 202), ("/accepted-and-failed", 410)]
    {
        let answer = client.ask(get(path));
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.body.is_empty(), status == 202, "{path}");
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

/// An actor that answers when it is let.
struct Gate(Arc<Semaphore>);

impl Actor for Gate {
    async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        let permit = self.0.acquire().await.map_err(|error| Error::internal("closed").caused_by(error))?;
        permit.forget();
        out.push(event);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_flow_sheds_with_503_at_once() {
    let gate = Arc::new(Semaphore::new(0));
    let inner = gate.clone();
    let server = Server::start(
        |server| server,
        move |director, http| {
            let gate = director.register_with("gate", Gate(inner), Policy { capacity: 1, ..Policy::default() });
            director.connect(http, gate);
            director.connect(gate, http);
        },
    )
    .await;
    // One is handled and one waits in the queue; the others find no room.
    let (sender, answers) = std::sync::mpsc::channel();
    for _ in 0..8 {
        let (mut client, sender) = (server.connect(), sender.clone());
        std::thread::spawn(move || sender.send(client.ask(get("/"))).unwrap());
    }
    for _ in 0..4 {
        let answer = answers.recv_timeout(http_support::PATIENCE).unwrap();
        assert_eq!(answer.status, 503);
        assert!(answer.header("retry-after").is_some() && answer.body.contains("overloaded"), "{answer:?}");
    }
    gate.add_permits(8);
    let statuses: Vec<_> = (0..4).map(|_| answers.recv_timeout(http_support::PATIENCE).unwrap().status).collect();
    assert!(statuses.contains(&200), "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_nobody_answers_in_time_is_504() {
    let gate = Arc::new(Semaphore::new(0));
    let inner = gate.clone();
    let limits = HttpLimits { deadline: Duration::from_millis(200), ..HttpLimits::default() };
    let server = Server::start(
        |server| server.with_limits(limits),
        move |director, http| {
            let gate = director.register("gate", Gate(inner));
            director.connect(http, gate);
            director.connect(gate, http);
        },
    )
    .await;
    let answer = server.connect().ask(get("/"));
    assert_eq!(answer.status, 504);
    assert!(answer.body.contains("timeout"), "{}", answer.body);
    gate.add_permits(1);
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_gone_leaves_nothing_behind() {
    let gate = Arc::new(Semaphore::new(0));
    let inner = gate.clone();
    let (sender, arrived) = std::sync::mpsc::channel();
    let server = Server::start(
        |server| server,
        move |director, http| {
            let tell = director.register(
                "tell",
                map(move |event: &Event| {
                    sender.send(()).unwrap();
                    event.clone()
                }),
            );
            let gate = director.register("gate", Gate(inner));
            director.connect(http, tell);
            director.connect(tell, gate);
            director.connect(gate, http);
        },
    )
    .await;
    let mut client = server.connect();
    client.send(get("/"));
    arrived.recv_timeout(http_support::PATIENCE).unwrap();
    drop(client);
    gate.add_permits(1);
    let statistics = server.statistics.clone();
    assert_eq!(server.stop().await.unwrap().in_flight, 0);
    assert_eq!(statistics.open_connections(), 0);
}
