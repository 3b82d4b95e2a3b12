//! What a hop costs: a chain of ten actors, in ns per hop. Smaller is better.

use std::time::Duration;

use bytes::Bytes;
use playhouse_benches::chain::{self, HOPS};
use playhouse_benches::{Flavor, Item, Race, wanted};

/// How many events run through the chain in one round.
const EVENTS: usize = 1_000_000;

/// For how long each of the four cases runs.
const BUDGET: Duration = Duration::from_secs(38);

fn main() {
    for flavor in Flavor::ALL {
        race::<Bytes>(flavor);
        race::<Vec<u8>>(flavor);
    }
}

fn race<T: Item + Unpin>(flavor: Flavor) {
    let case = format!("chain10-{}-{}", T::WORD, flavor.word());
    if !wanted(&case) {
        return;
    }
    Race::new(case, "ns per hop")
        .ours("", || per_hop(chain::playhouse::run::<T>(flavor, true, EVENTS)))
        .ours("-unfused", || per_hop(chain::playhouse::run::<T>(flavor, false, EVENTS)))
        .peer("flume", || per_hop(chain::flume::run::<T>(flavor, EVENTS)))
        .peer("tokio", || per_hop(chain::tokio::run::<T>(flavor, EVENTS)))
        .peer("actix", || per_hop(chain::actix::run::<T>(flavor, EVENTS)))
        .peer("ractor", || per_hop(chain::ractor::run::<T>(flavor, EVENTS)))
        .peer("kameo", || per_hop(chain::kameo::run::<T>(flavor, EVENTS)))
        .run(BUDGET, 9);
}

fn per_hop(time: Duration) -> f64 {
    time.as_nanos() as f64 / (EVENTS * HOPS) as f64
}
