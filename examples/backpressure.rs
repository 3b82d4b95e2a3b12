//! A slow actor paces a fast source: its inbox holds 16 events, and when it is full the source waits. However long this
//! runs, memory stays flat.
//!
//! Run: `cargo run --example backpressure`
//! Output:
//!     sent 500, at most 17 of them waited
//!     taken 500

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use playhouse::{Actor, Director, Emitter, Event, Format, Outbox, Policy, Ports, Result, source};
use tokio::sync::Notify;

const EVENTS: u64 = 500;

struct Slow(Arc<AtomicU64>);

impl Actor for Slow {
    fn ports(&self) -> Ports {
        Ports::sink(Format::ANY)
    }

    async fn handle(&self, _: &Event, _: &mut Outbox) -> Result<()> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.0.fetch_add(1, Relaxed);
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let (taken, done) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
    let fast = source({
        let (taken, done) = (taken.clone(), done.clone());
        move |emitter: Emitter| {
            let (taken, done) = (taken.clone(), done.clone());
            async move {
                let mut most = 0;
                for sent in 1..=EVENTS {
                    emitter.send(Event::new(vec![0; 64 * 1024])).await?;
                    most = most.max(sent - taken.load(Relaxed).min(sent));
                }
                println!("sent {EVENTS}, at most {most} of them waited");
                done.notify_one();
                Ok(())
            }
        }
    });

    let mut director = Director::new("backpressure");
    let fast = director.register("fast", fast);
    let policy = Policy { capacity: 16, ..Policy::default() };
    let slow = director.register_with("slow", Slow(taken.clone()), policy);
    director.connect(fast, slow);
    director.build()?.run_until(done.notified(), Duration::from_secs(30)).await?;
    println!("taken {}", taken.load(Relaxed));
    Ok(())
}
