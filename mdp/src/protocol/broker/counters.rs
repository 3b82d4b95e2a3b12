//! What the broker counts, and the accounts of its requests.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::message::Malformed;
use super::limits::Limit;

/// What became of the requests. Each ends once, so `accepted` is the sum of what is below it at any moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Accounts {
    /// Requests that were well formed, of clients and of the keeper of durable requests.
    pub received: u64,
    /// Of those, the ones that the broker answered itself (RFC 8).
    pub management: u64,
    /// Of those, the ones that were handed to the keeper of durable requests (RFC 9). What it then submits is received anew.
    pub durable: u64,
    /// Of those, the ones that were refused: over a limit, at a stop, or from a peer that is a worker.
    pub refused: u64,
    /// Of those, the ones that a worker is to answer.
    pub accepted: u64,
    /// Accepted requests that were answered.
    pub replied: u64,
    /// Accepted requests that waited for a worker too long.
    pub expired: u64,
    /// Accepted requests that failed: no worker survived them, an answer was too large, or the broker stopped.
    pub failed: u64,
    /// Accepted requests that wait for a worker.
    pub queued: u64,
    /// Accepted requests that a worker has.
    pub running: u64,
}

impl Accounts {
    /// Says whether every request is accounted for. If not, the broker has a defect.
    #[must_use]
    pub fn balance(&self) -> bool {
        let accepted = self.replied + self.expired + self.failed + self.queued + self.running;
        let received = self.management + self.durable + self.refused + self.accepted;
        self.accepted == accepted && self.received == received
    }
}

/// What the broker counts beside its requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Messages that came.
    pub messages: u64,
    /// Parts of answers that were passed on.
    pub partials: u64,
    /// Parts of answers that were kept until the answer was complete.
    pub collected: u64,
    /// Requests that were taken from a worker and left to another.
    pub redelivered: u64,
    /// Answers that found no client.
    pub undeliverable: u64,
    /// Workers that registered.
    pub registered: u64,
    /// Workers that were silent for too long.
    pub silent: u64,
    /// Workers that were busy for too long.
    pub overdue: u64,
    /// Workers that said that they leave.
    pub left: u64,
    /// Workers whose connection ended.
    pub gone: u64,
    /// Workers that the socket could not reach.
    pub unreachable: u64,
    /// Workers that said what was not expected of them then.
    pub unexpected: u64,
    /// Registrations that were refused, over a limit or for a service of the broker's own.
    pub registrations_refused: u64,
    /// Commands of workers that were not registered.
    pub strangers: u64,
    /// Heartbeats that were sent.
    pub heartbeats: u64,
    /// Workers that were told to begin anew, for whatever reason.
    pub disconnects: u64,
    /// Malformed messages, by their reason.
    pub malformed: BTreeMap<String, u64>,
    /// What was over a limit, by the limit's name.
    pub over_limit: BTreeMap<String, u64>,
}

/// The counters that are kept in arrays, so that hostile peers cost no table look-up.
#[derive(Debug, Default)]
pub(crate) struct Tallies {
    malformed: [u64; Malformed::ALL.len()],
    over_limit: [u64; Limit::ALL.len()],
}

impl Tallies {
    pub(crate) fn malformed(&mut self, reason: Malformed) {
        self.malformed[reason as usize] += 1;
    }

    pub(crate) fn over_limit(&mut self, limit: Limit) {
        self.over_limit[limit as usize] += 1;
    }

    /// Writes those that are not zero into the counters that are shown.
    pub(crate) fn show_in(&self, counters: &mut Counters) {
        let malformed = Malformed::ALL.iter().map(|reason| reason.as_str()).zip(self.malformed);
        counters.malformed = named(malformed);
        counters.over_limit = named(Limit::ALL.iter().map(|limit| limit.as_str()).zip(self.over_limit));
    }
}

fn named(counts: impl Iterator<Item = (&'static str, u64)>) -> BTreeMap<String, u64> {
    counts.filter(|(_, count)| *count > 0).map(|(name, count)| (name.to_owned(), count)).collect()
}
