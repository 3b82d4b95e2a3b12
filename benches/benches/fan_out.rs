//! What a copy costs: one source, several sinks, in ns per delivery. Smaller is better.

use std::time::Duration;

use bytes::Bytes;
use playhouse_benches::{Flavor, Item, Race, fan, wanted};

/// How many copies are delivered in one round.
const DELIVERIES: usize = 2_000_000;

/// For how long each of the eight cases runs.
const BUDGET: Duration = Duration::from_secs(12);

fn main() {
    for width in [2, 16] {
        for flavor in Flavor::ALL {
            race::<Bytes>(width, flavor);
            race::<Vec<u8>>(width, flavor);
        }
    }
}

fn race<T: Item + Into<Bytes>>(width: usize, flavor: Flavor) {
    let case = format!("fan{width}-{}-{}", T::WORD, flavor.word());
    if !wanted(&case) {
        return;
    }
    let events = DELIVERIES / width;
    Race::new(case, "ns per delivery")
        .ours("", || per_delivery(fan::playhouse::run::<T>(flavor, true, width, events)))
        .ours("-unfused", || per_delivery(fan::playhouse::run::<T>(flavor, false, width, events)))
        .peer("flume", || per_delivery(fan::flume::run::<T>(flavor, width, events)))
        .run(BUDGET, 15);
}

fn per_delivery(time: Duration) -> f64 {
    time.as_nanos() as f64 / DELIVERIES as f64
}
