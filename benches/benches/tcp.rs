//! What it costs to carry events from one process to another over TCP: events a second. Larger is better.

use std::time::Duration;

use playhouse_benches::tcp::{playhouse, tokio};
use playhouse_benches::{Race, wanted};

/// The sizes of payloads, and how many of them are carried in one round.
const SIZES: [(usize, usize); 2] = [(100, 2_000_000), (1024, 1_000_000)];

/// For how long each case runs.
const BUDGET: Duration = Duration::from_secs(30);

fn main() {
    for (size, count) in SIZES {
        for flushes in [false, true] {
            let case = format!("tcp-{size}{}", if flushes { "-flushed" } else { "" });
            if wanted(&case) {
                Race::new(case, "events/s")
                    .ours("", || count as f64 / playhouse::run(count, size).as_secs_f64())
                    .peer("tokio", || count as f64 / tokio::run(count, size, flushes).as_secs_f64())
                    .run(BUDGET, 9);
            }
        }
    }
}
