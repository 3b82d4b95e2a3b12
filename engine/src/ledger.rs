//! The account of a flow: where every event is or how it ended.

use std::fmt;

use serde::Serialize;

use crate::station::{Station, read};

/// The account of a flow. Each copy of an event is an entry: what a source emits, a handler pushes, a fan-out adds, an
/// error route carries, and an actor holds. Every entry ends once, so that `entered = delivered + failed + dropped + in_flight` at every
/// moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Ledger {
    /// Copies that were sent, or held.
    pub entered: u64,
    /// Copies that a handler took and returned `Ok` for, or that were held and done.
    pub delivered: u64,
    /// Copies that ended with an error, each of which went its way to an error route or to the log.
    pub failed: u64,
    /// Copies that found no room where the policy is to drop, that came after a stop, or that were held and abandoned.
    pub dropped: u64,
    /// Copies that have not ended.
    pub in_flight: u64,
}

impl Ledger {
    /// Reads the accounts while they are being written: first what has ended, then what has begun. An end is written
    /// after its beginning, so no end is seen without it.
    pub(crate) fn of<'a>(stations: impl Iterator<Item = &'a Station> + Clone) -> Self {
        let mut ledger = Self { entered: 0, delivered: 0, failed: 0, dropped: 0, in_flight: 0 };
        for station in stations.clone() {
            let counters = &station.counters;
            ledger.delivered += read(&counters.delivered) + read(&counters.released);
            ledger.failed += read(&counters.failed) + read(&counters.shed) + read(&counters.held_failed);
            ledger.dropped += read(&counters.dropped) + read(&counters.abandoned);
        }
        ledger.entered = stations.map(|station| read(&station.counters.sent) + read(&station.counters.held)).sum();
        ledger.in_flight = ledger.entered.saturating_sub(ledger.delivered + ledger.failed + ledger.dropped);
        ledger
    }

    /// Says whether every entry is accounted for.
    #[must_use]
    pub fn balances(&self) -> bool {
        self.entered == self.delivered + self.failed + self.dropped + self.in_flight
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { entered, delivered, failed, dropped, in_flight } = self;
        write!(formatter, "in={entered} delivered={delivered} failed={failed} dropped={dropped} in_flight={in_flight}")
    }
}
