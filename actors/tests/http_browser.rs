//! Event streams and WebSockets in a browser, where there is one: Chromium, on the PATH as `chromium`.

#![cfg(feature = "websocket")]
#![allow(clippy::unwrap_used)]

mod http_support;

use std::process::{Command, Stdio};

use http_support::{Server, feeder};
use playhouse_actors::http::{EventStreamSettings, HttpReply, Route};
use playhouse_engine::{Event, map};

/// Writes into the page what it hears, and then `done`: an event before the stream breaks off and one after, and an echo.
const PAGE: &str = r#"<!doctype html><title>waiting</title><pre id="heard"></pre><script>
const heard = [];
const say = (word) => {
    heard.push(word);
    if (["price 1 1", "price 2 2", "echo Ä☃", "bytes 2", "closed 1000"].every((word) => heard.includes(word))) {
        document.getElementById("heard").textContent = heard.sort().join(", ") + ", done";
    }
};
const source = new EventSource("/prices");
source.addEventListener("price", (event) => say(`price ${event.data} ${event.lastEventId}`));
const socket = new WebSocket(`ws://${location.host}/echo`);
socket.binaryType = "arraybuffer";
socket.onopen = () => { socket.send("Ä☃"); socket.send(new Uint8Array([0, 255])); };
socket.onmessage = (event) => {
    if (typeof event.data === "string") return say(`echo ${event.data}`);
    say(`bytes ${event.data.byteLength}`);
    socket.close(1000);
};
socket.onclose = (event) => say(`closed ${event.code}`);
</script>"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_hears_events_and_talks() {
    if Command::new("chromium").arg("--version").stdout(Stdio::null()).status().is_err() {
        eprintln!("not run: there is no `chromium` on the PATH");
        return;
    }
    let settings =
        EventStreamSettings { retry: Some(std::time::Duration::from_millis(50)), ..EventStreamSettings::default() };
    let mut feed = None;
    let server = Server::start(
        |server| {
            server
                .route(Route::get("/").outbox("page"))
                .route(Route::get("/prices").events("prices"))
                .route(Route::get("/echo").outbox("echo").web_socket("echo"))
                .with_event_streams(settings)
        },
        |director, http| {
            let page =
                map(|event: &Event| event.derive(PAGE).with_reply_header("content-type", "text/html; charset=utf-8"));
            let page = director.register("page", page);
            director.connect(http.port("page"), page);
            director.connect(page, http);
            let echo = director.register("echo", map(Event::clone));
            director.connect(http.port("echo"), echo);
            director.connect(echo, http.port("echo"));
            let (source, emitter) = feeder(director, "feed");
            director.connect(source, http.port("prices"));
            feed = Some(emitter);
        },
    )
    .await;
    let feed = feed.unwrap().recv_timeout(http_support::PATIENCE).unwrap();
    let profile = tempfile::tempdir().unwrap();
    let browser = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("http://{}/", server.address))
        .stderr(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    http_support::eventually("the browser listens", || server.statistics.open_streams() == 1);
    for number in 1..=2_i64 {
        let event =
            Event::new(number.to_string()).with_attribute("sse.event", "price").with_attribute("sse.id", number);
        feed.send(event).await.unwrap();
    }
    let page = tokio::task::spawn_blocking(|| browser.wait_with_output().unwrap()).await.unwrap();
    let page = String::from_utf8(page.stdout).unwrap();
    assert!(page.contains("bytes 2, closed 1000, echo Ä☃, price 1 1, price 2 2, done"), "{page}");
    server.stop().await.unwrap();
}
