//! Event streams and WebSockets in a browser, where there is one: Chromium, on the PATH as `chromium`.

#![cfg(feature = "websocket")]
#![allow(clippy::unwrap_used)]

mod http_support;

use std::process::{Command, Stdio};
use std::sync::mpsc::channel;

use http_support::{Server, feeder};
use playhouse_actors::http::{EventStreamSettings, HttpReply, Route};
use playhouse_engine::{Event, map, sink};

/// Posts what it hears, once it has heard all that is meant for it.
const PAGE: &str = r#"<!doctype html><title>waiting</title><script>
const heard = [];
const say = (word) => {
    heard.push(word);
    if (["price 1 1", "price 2 2", "echo Ä☃", "bytes 2", "closed 1000"].every((word) => heard.includes(word))) {
        fetch("/heard", { method: "POST", headers: { "content-type": "text/plain" }, body: heard.sort().join(", ") });
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
    let (sender, heard) = channel();
    let mut feed = None;
    let server = Server::start(
        |server| {
            server
                .route(Route::get("/").outbox("page"))
                .route(Route::post("/heard").outbox("heard").accepted())
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
            let told = director.register(
                "heard",
                sink(move |event: &Event| {
                    // The test may have ended.
                    let _ = sender.send(event.payload().to_string());
                    Ok(())
                }),
            );
            director.connect(http.port("heard"), told);
            let (source, emitter) = feeder(director, "feed");
            director.connect(source, http.port("prices"));
            feed = Some(emitter);
        },
    )
    .await;
    let feed = feed.unwrap().recv_timeout(http_support::PATIENCE).unwrap();
    let profile = tempfile::tempdir().unwrap();
    let mut browser = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("http://{}/", server.address))
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    http_support::eventually("the browser listens", || server.statistics.open_streams() == 1);
    for number in 1..=2_i64 {
        let event =
            Event::new(number.to_string()).with_attribute("sse.event", "price").with_attribute("sse.id", number);
        feed.send(event).await.unwrap();
    }
    let said = heard.recv_timeout(http_support::PATIENCE);
    browser.kill().unwrap();
    browser.wait().unwrap();
    assert_eq!(said.unwrap(), "bytes 2, closed 1000, echo Ä☃, price 1 1, price 2 2");
    server.stop().await.unwrap();
}
