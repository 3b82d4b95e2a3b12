//! A generator fans out to two actors that print, each every second. Ctrl-C ends it.
//!
//! Run: `cargo run --example hello`
//! Output:
//!     [2026-02-13 16:56:35.850659] I am number one: test
//!     [2026-02-13 16:56:35.850913] I am number two: test

use std::time::Duration;

use playhouse::actors::{Generator, Stdout, StdoutSettings};
use playhouse::{Director, Result, shutdown_signal};

#[tokio::main]
async fn main() -> Result<()> {
    let print =
        |prefix: &str| Stdout::new(StdoutSettings { prefix: prefix.into(), timestamp: true, ..Default::default() });

    let mut director = Director::new("hello");
    let generator = director.register("generator", Generator::every(Duration::from_secs(1), "test"));
    let one = director.register("output_one", print("I am number one: "));
    let two = director.register("output_two", print("I am number two: "));
    director.connect(generator, [one, two]);
    director.build()?.run_until(shutdown_signal(), Duration::from_secs(5)).await?;
    Ok(())
}
