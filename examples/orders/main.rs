//! An order service: HTTP -> basic auth -> XSLT -> executor -> XSLT -> HTTP. Run it, and order something:
//!
//! ```text
//! cargo run --release --example orders -- --bind 127.0.0.1:8080
//! curl -u ada:lovelace -H 'content-type: application/xml' http://127.0.0.1:8080/orders -d '
//!   <order number="42"><customer>Ada</customer><line sku="A1" quantity="2" price="3.50"/></order>'
//! ```

use std::net::TcpListener;
use std::time::Duration;

use playhouse::actors::http::Route;
use playhouse::actors::{BasicAuth, HttpServer, Xslt};
use playhouse::{Director, Policy, Result, Workers, shutdown_signal};

mod executor;
use executor::Executor;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing::Level::WARN).init();
    let bind = std::env::args().skip_while(|argument| argument != "--bind").nth(1);
    let listener = TcpListener::bind(bind.as_deref().unwrap_or("127.0.0.1:8080"))?;
    println!("listening on http://{}", listener.local_addr()?);

    // Orders need not wait for each other: the transforms may use every core, and a wrong password, which takes long to
    // check, holds up nobody else.
    let workers = |workers| Policy { workers, ..Policy::default() };
    let orders = Route::post("/orders").takes(["application/xml", "text/xml"]);
    let submit = Xslt::from_text(include_str!("submit.xsl"))?;
    let acknowledge = Xslt::from_text(include_str!("acknowledge.xsl"))?;

    let mut director = Director::new("orders");
    let http = director.register("http", HttpServer::on(listener).route(orders));
    let auth = BasicAuth::from_text(include_str!("users.htpasswd"))?;
    let auth = director.register_with("auth", auth, workers(100.into()));
    let submit = director.register_with("submit", submit, workers(Workers::PER_CORE));
    let executor = director.register("executor", Executor);
    let acknowledge = director.register_with("acknowledge", acknowledge, workers(Workers::PER_CORE));

    director.connect(http, auth);
    director.connect(auth, submit);
    director.connect(submit, executor);
    director.connect(executor, acknowledge);
    director.connect(acknowledge, http);
    director.connect_default_error(http); // whatever fails is answered: 401, 400, 422, ...

    let ledger = director.build()?.run_until(shutdown_signal(), Duration::from_secs(30)).await?;
    println!("ledger: {ledger}");
    Ok(())
}
