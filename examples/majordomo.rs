//! HTTP requests answered by a service behind a Majordomo broker, all in one process. Ask it:
//!
//! ```text
//! curl http://127.0.0.1:7000/test_service      prints: Hello, this has been a test
//! ```
//!
//! Run: `cargo run --example majordomo -- --bind 127.0.0.1:7000`

use std::net::TcpListener;
use std::time::Duration;

use playhouse::actors::HttpServer;
use playhouse::actors::http::Route;
use playhouse::mdp::{Brokers, MdpBroker, MdpClient, MdpWorker};
use playhouse::{Director, Event, Result, map, shutdown_signal};

const BROKER: &str = "inproc://majordomo";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing::Level::WARN).init();
    let bind = std::env::args().skip_while(|argument| argument != "--bind").nth(1);
    let listener = TcpListener::bind(bind.as_deref().unwrap_or("127.0.0.1:7000"))?;
    println!("listening on http://{}", listener.local_addr()?);
    let brokers = Brokers::at(BROKER)?;

    let mut director = Director::new("majordomo");
    director.register("broker", MdpBroker::bind(BROKER)?);

    // The front: whatever path is asked for is the name of a service.
    let http = director.register("http", HttpServer::on(listener).route(Route::new("/{service}")));
    let client = director.register("client", MdpClient::new(brokers.clone()).service_from("http.path.service"));
    director.connect(http, client);
    director.connect(client, http);
    director.connect_error(client, http);

    // The service: it may as well run elsewhere, and in any number.
    let worker = director.register("worker", MdpWorker::new("test_service", brokers)?.concurrency(4));
    let greet = director.register("greet", map(|request: &Event| request.derive("Hello, this has been a test")));
    director.connect(worker, greet);
    director.connect(greet, worker);

    director.build()?.run_until(shutdown_signal(), Duration::from_secs(10)).await?;
    Ok(())
}
