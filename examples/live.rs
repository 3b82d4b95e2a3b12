//! What a browser hears without asking again: ticks on an event stream, and a chat of all who have a WebSocket open.
//!
//! ```text
//! curl -N http://127.0.0.1:8082/ticks
//! websocat ws://127.0.0.1:8082/chat
//! ```
//!
//! Run: `cargo run --example live -- --bind 127.0.0.1:8082`

use std::net::TcpListener;
use std::time::Duration;

use playhouse::actors::http::Route;
use playhouse::actors::{Generator, HttpServer, Schedule};
use playhouse::{Director, Event, map, shutdown_signal};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing::Level::WARN).init();
    let bind = std::env::args().skip_while(|argument| argument != "--bind").nth(1);
    let listener = TcpListener::bind(bind.as_deref().unwrap_or("127.0.0.1:8082"))?;
    println!("listening on http://{}", listener.local_addr()?);

    let ticks = Route::get("/ticks").events("ticks");
    let chat = Route::get("/chat").web_socket("chat").outbox("said");
    let mut director = Director::new("live");
    let http = director.register("http", HttpServer::on(listener).route(ticks).route(chat));

    let every_second = Schedule { interval: Duration::from_secs(1), ..Schedule::default() };
    let clock = Generator::making(every_second, |number| Event::new(format!("tick {number}")));
    let clock = director.register("clock", clock);
    director.connect(clock, http.port("ticks"));

    // With the connection that it came by it would go back to that one; without, it goes to all.
    let to_all = map(|said: &Event| said.clone().without_attribute("websocket.connection"));
    let to_all = director.register("to all", to_all);
    director.connect(http.port("said"), to_all);
    director.connect(to_all, http.port("chat"));

    director.build()?.run_until(shutdown_signal(), Duration::from_secs(5)).await?;
    Ok(())
}
