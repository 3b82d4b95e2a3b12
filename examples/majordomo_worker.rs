//! A service of its own, as a process that can be started any number of times, on any host, and killed at any time.
//!
//! ```text
//! playhouse broker --bind tcp://127.0.0.1:5555
//! cargo run --example majordomo_worker -- tcp://127.0.0.1:5555
//! playhouse call greeting Ada --broker tcp://127.0.0.1:5555      prints: Hello, Ada
//! ```

use std::time::Duration;

use playhouse::mdp::{Brokers, MdpWorker};
use playhouse::{Director, Event, Result, map, shutdown_signal};

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing::Level::WARN).init();
    let broker = std::env::args().nth(1).unwrap_or_else(|| "tcp://127.0.0.1:5555".to_owned());

    let mut director = Director::new("greeter");
    let worker = director.register("worker", MdpWorker::new("greeting", Brokers::at(&broker)?)?.concurrency(2));
    let greet = director.register("greet", map(|name: &Event| name.derive(format!("Hello, {}", name.payload()))));
    director.connect(worker, greet);
    director.connect(greet, worker);
    director.connect_default_error(worker); // whatever fails is answered, with what failed

    director.build()?.run_until(shutdown_signal(), Duration::from_secs(10)).await?;
    Ok(())
}
