//! An actor that panics on every 100th event loses nothing: those events go along its error route, the others are handled,
//! and the ledger accounts for each.
//!
//! Run: `cargo run --example crash`
//! Output (and the panics, on standard error):
//!     handled 990, rescued 10
//!     ledger: in=2000 delivered=1990 failed=10 dropped=0 in_flight=0

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use playhouse::{Director, Emitter, Event, Result, map, sink, source};
use tokio::sync::Notify;

fn fragile(event: &Event) -> Event {
    let number = event.attributes().integer("number").unwrap_or_default();
    assert!(number % 100 != 99, "number {number} is too much");
    event.clone()
}

#[tokio::main]
async fn main() -> Result<()> {
    let done = Arc::new(Notify::new());
    let sent = done.clone();
    let numbers = source(move |emitter: Emitter| {
        let sent = sent.clone();
        async move {
            emitter.send_all((0..1000_i64).map(|number| Event::new(()).with_attribute("number", number))).await?;
            sent.notify_one();
            Ok(())
        }
    });
    let (handled, rescued) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let count = |counter: &Arc<AtomicU64>| {
        let counter = counter.clone();
        sink(move |_| {
            counter.fetch_add(1, Relaxed);
            Ok(())
        })
    };

    let mut director = Director::new("crash");
    let numbers = director.register("numbers", numbers);
    let fragile = director.register("fragile", map(fragile));
    let count_handled = director.register("handled", count(&handled));
    let count_rescued = director.register("rescued", count(&rescued));
    director.connect(numbers, fragile);
    director.connect(fragile, count_handled);
    director.connect_error(fragile, count_rescued);
    let ledger = director.build()?.run_until(done.notified(), Duration::from_secs(5)).await?;
    println!("handled {handled:?}, rescued {rescued:?}\nledger: {ledger}");
    Ok(())
}
