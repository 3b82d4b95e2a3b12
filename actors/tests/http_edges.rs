//! What stands between the server and its clients: pages of other origins, proxies, and the log of what was answered.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used)]

mod http_support;

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use http_support::{Client, PATIENCE, Server, get, with_body};
use playhouse_actors::http::{AccessLog, Cors, HttpLimits, HttpReply, HttpRequest, HttpServer, Route};
use playhouse_engine::{
    Actor, Director, Error, Event, Format, Outbox, Policy, Ports, Result, assert_ledger, map, sink,
};

fn shop(server: HttpServer) -> HttpServer {
    let cors = Cors {
        origins: vec!["https://shop.example".into()],
        headers: vec!["content-type".into(), "x-key".into()],
        expose: vec!["x-total".into()],
        credentials: true,
        max_age: Duration::from_secs(60),
        ..Cors::default()
    };
    server
        .route(Route::post("/orders").outbox("orders"))
        .route(Route::put("/orders/{number}").outbox("orders"))
        .route(Route::new("/any").outbox("orders"))
        .with_cors(cors)
}

async fn started(make: impl FnOnce(HttpServer) -> HttpServer) -> Server {
    Server::start(make, |director, http| {
        let orders = director.register(
            "orders",
            map(|event: &Event| match event.payload().to_string().as_str() {
                "bad" => Err(Error::conflict("bad")),
                _ => Ok(event.derive("made").with_reply_header("x-total", "7").with_reply_header("vary", "accept")),
            }),
        );
        director.connect(http.port("orders"), orders);
        director.connect(orders, http);
        director.connect_error(orders, http);
    })
    .await
}

fn preflight(path: &str, origin: &str, method: &str) -> String {
    format!(
        "OPTIONS {path} HTTP/1.1\r\nHost: test\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: {method}\r\n\
         Access-Control-Request-Headers: x-key\r\n\r\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_is_told_what_a_page_may_do() {
    let server = started(shop).await;
    let mut client = server.connect();
    for (path, methods) in [
        ("/orders", "POST, OPTIONS"),
        ("/orders/7", "PUT, OPTIONS"),
        ("/any", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
    ] {
        let answer = client.ask(preflight(path, "https://shop.example", "PUT"));
        assert_eq!((answer.status, answer.header("access-control-allow-methods")), (204, Some(methods)));
        assert_eq!(answer.header("access-control-allow-origin"), Some("https://shop.example"));
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
        assert_eq!(answer.header("access-control-allow-headers"), Some("content-type, x-key"));
        assert_eq!(answer.header("access-control-max-age"), Some("60"));
        let vary = answer.head.lines().filter(|line| line.to_ascii_lowercase().starts_with("vary: ")).count();
        assert_eq!(vary, 3, "{}", answer.head);
    }
    let stranger = client.ask(preflight("/orders", "https://evil.example", "POST"));
    assert_eq!((stranger.status, stranger.header("access-control-allow-methods")), (204, None));
    assert_eq!(stranger.header("access-control-allow-origin"), None);
    assert_eq!(client.ask(preflight("/nowhere", "https://shop.example", "POST")).status, 404);
    // Who does not ask for a page gets what it asked for.
    let options = client.ask("OPTIONS /orders HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!((options.status, options.header("allow")), (204, Some("POST, OPTIONS")));
    assert_ledger!(server.stop().await.unwrap(), delivered = 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_may_read_every_answer_errors_too() {
    let server = started(shop).await;
    let mut client = server.connect();
    let origin = |request: String| request.replacen("\r\n", "\r\nOrigin: https://shop.example\r\n", 1);
    for (request, status) in [
        (with_body("POST", "/orders", "text/plain", "good"), 200),
        (with_body("POST", "/orders", "text/plain", "bad"), 409),
        (get("/orders"), 405),
        (get("/nowhere"), 404),
    ] {
        let answer = client.ask(origin(request));
        assert_eq!(
            (answer.status, answer.header("access-control-allow-origin")),
            (status, Some("https://shop.example"))
        );
        assert_eq!(answer.header("access-control-expose-headers"), Some("x-total"));
        assert!(answer.head.to_ascii_lowercase().contains("vary: origin"), "{}", answer.head);
    }
    let other = client.ask(with_body("POST", "/orders", "text/plain", "good"));
    assert_eq!((other.status, other.header("access-control-allow-origin")), (200, None));
    assert!(
        other.head.to_ascii_lowercase().contains("vary: origin") && other.head.contains("accept"),
        "{}",
        other.head
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn rules_that_make_no_sense_stop_the_start() {
    let cors = Cors { origins: vec!["*".into()], credentials: true, ..Cors::default() };
    for (server, outbox, message) in [
        (HttpServer::bind("127.0.0.1:0").with_cors(cors), "outbox", "`*` in `origins` does not go with `credentials`"),
        (
            HttpServer::bind("127.0.0.1:0").with_access_log(AccessLog::Common).route(Route::get("/").outbox("access")),
            "access",
            "the outbox `access` is the access log's",
        ),
    ] {
        let mut director = Director::new("test");
        let http = director.register("http", server);
        let answer = director.register("answer", map(Event::clone));
        director.connect(http.port(outbox), answer);
        director.connect(answer, http);
        let error = director.build().unwrap().start().await.unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn known_proxies_say_who_the_client_is() {
    let reply = |event: &Event| {
        let of = |name: &str| event.attributes().text(name).unwrap_or_default().into_owned();
        let client = HttpRequest::of(event).unwrap().client().into_owned();
        let peer = of("http.peer");
        event.derive(format!("{client} {} {} {}", of("http.scheme"), of("http.host"), peer.starts_with("127.0.0.1:")))
    };
    let ask = |server: &Server, fields: &str| {
        let request = format!("GET / HTTP/1.1\r\nHost: inner\r\n{fields}\r\n");
        server.connect().ask(request).body
    };
    let trusting = Server::start(
        |server| server.trusting(["127.0.0.0/8", "10.0.0.0/8"]),
        |director, http| http_support::answer(director, http, reply),
    )
    .await;
    let through =
        "X-Forwarded-For: 1.1.1.1, 203.0.113.9, 10.0.0.2\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop\r\n";
    assert_eq!(ask(&trusting, through), "203.0.113.9 https shop true");
    assert_eq!(
        ask(&trusting, "Forwarded: for=\"[2001:db8::5]:4711\";proto=https;host=shop\r\n"),
        "2001:db8::5 https shop true"
    );
    assert_eq!(ask(&trusting, "X-Forwarded-For: nobody\r\n"), "127.0.0.1 http inner true");
    assert_eq!(ask(&trusting, ""), "127.0.0.1 http inner true");
    trusting.stop().await.unwrap();
    let trusting_nobody =
        Server::start(|server| server, |director, http| http_support::answer(director, http, reply)).await;
    assert_eq!(ask(&trusting_nobody, through), "127.0.0.1 http inner true");
    trusting_nobody.stop().await.unwrap();
}

async fn logged(form: AccessLog, make: impl FnOnce(HttpServer) -> HttpServer) -> (Server, Receiver<Event>) {
    let (sender, records) = channel();
    let server = Server::start(
        |server| make(server).with_access_log(form).trusting(["127.0.0.1"]),
        |director, http| {
            http_support::answer(director, http, Event::clone);
            let log = sink(move |event: &Event| {
                // The test may have seen enough.
                let _ = sender.send(event.clone());
                Ok(())
            });
            let log = director.register("log", log);
            director.connect(http.port("access"), log);
        },
    )
    .await;
    (server, records)
}

fn line(records: &Receiver<Event>) -> String {
    records.recv_timeout(PATIENCE).unwrap().payload().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_answer_has_its_line() {
    let (server, records) = logged(AccessLog::Combined, |server| server).await;
    let mut client = server.connect();
    let post = with_body("POST", "/a?b=%22", "text/plain", "hello");
    let extra = "\r\nX-Forwarded-For: 203.0.113.9\r\nReferer: http://a/\r\nUser-Agent: quotes \" and \\ \u{e9}\r\n";
    client.ask(post.replacen("\r\n", extra, 1).into_bytes());
    let record = records.recv_timeout(PATIENCE).unwrap();
    let text = record.payload().to_string();
    let (begin, end) = (text.find('[').unwrap(), text.find(']').unwrap());
    assert_eq!(&text[..begin], "203.0.113.9 - - ");
    assert_eq!(text[begin..=end].len(), "[10/Oct/2026:13:55:36 +0000]".len());
    assert_eq!(text[end..], *r#"] "POST /a?b=%22 HTTP/1.1" 200 5 "http://a/" "quotes \" and \\ é""#);
    for (name, value) in [
        ("access.client", "203.0.113.9"),
        ("access.peer", "127.0.0.1"),
        ("access.method", "POST"),
        ("access.uri", "/a?b=%22"),
        ("access.version", "HTTP/1.1"),
        ("access.status", "200"),
        ("access.bytes", "5"),
        ("access.host", "test"),
        ("access.referer", "http://a/"),
    ] {
        assert_eq!(record.attributes().text(name).as_deref(), Some(value), "{name}");
    }
    assert!(record.attributes().text("access.milliseconds").unwrap().parse::<f64>().unwrap() < 20_000.0);
    assert_eq!(
        record.attributes().text("access.id").unwrap().len(),
        playhouse_engine::EventId::unique().to_string().len()
    );
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_line_of_a_request_in_parts_names_it() {
    let (server, records) = logged(AccessLog::Short, |server| server.route(Route::post("/").streamed())).await;
    server.connect().ask(with_body("POST", "/", "text/plain", "hello"));
    let record = records.recv_timeout(PATIENCE).unwrap();
    assert!(record.attributes().text("access.id").is_some());
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_is_logged_too() {
    let limits = HttpLimits { head_time: Duration::from_millis(50), ..HttpLimits::default() };
    let routes = |server: HttpServer| server.route(Route::post("/a")).with_limits(limits);
    let (server, records) = logged(AccessLog::Short, routes).await;
    let mut client = server.connect();
    for (request, expected) in [
        (get("/a"), "[127.0.0.1] GET /a [405 Method Not Allowed] returned in "),
        (get("/b"), "[127.0.0.1] GET /b [404 Not Found] returned in "),
        (with_body("POST", "/a", "text/plain", "x"), "[127.0.0.1] POST /a [200 OK] returned in "),
    ] {
        client.ask(request);
        let line = line(&records);
        assert!(line.starts_with(expected) && line.ends_with(" ms"), "{line}");
    }
    let mut slow = server.connect();
    slow.send("GET / HT");
    assert_eq!(slow.answer().status, 408);
    assert!(line(&records).starts_with("[127.0.0.1] - [408 Request Timeout] returned in "));
    let statistics = server.statistics.clone();
    let ledger = server.stop().await.unwrap();
    assert_eq!(statistics.unlogged_answers(), 0);
    assert_ledger!(ledger, failed = 0, dropped = 0);
}

/// An actor that never gets done.
struct Stuck;

impl Actor for Stuck {
    fn ports(&self) -> Ports {
        Ports::sink(Format::ANY)
    }

    async fn handle(&self, _: &Event, _: &mut Outbox) -> Result<()> {
        std::future::pending().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_full_keeps_no_answer_waiting() {
    let server = Server::start(
        |server| server.with_access_log(AccessLog::Common),
        |director, http| {
            http_support::answer(director, http, Event::clone);
            let policy = Policy { capacity: 1, deadline: Duration::from_secs(1), ..Policy::default() };
            let stuck = director.register_with("stuck", Stuck, policy);
            director.connect(http.port("access"), stuck);
        },
    )
    .await;
    let mut client: Client = server.connect();
    for _ in 0..50 {
        assert_eq!(client.ask(get("/")).status, 200);
    }
    assert!(server.statistics.unlogged_answers() >= 47, "{}", server.statistics.unlogged_answers());
    let ledger = server.stop().await.unwrap();
    assert!(ledger.balances());
}
