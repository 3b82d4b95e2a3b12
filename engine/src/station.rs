//! What the engine keeps for one actor of a flow: its name, ports, policy, inbox and accounts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::error::Error;
use crate::inbox::{Inbox, Sent};
use crate::policy::Policy;
use crate::ports::Ports;

#[derive(Debug)]
pub(crate) struct Station {
    pub(crate) name: Arc<str>,
    pub(crate) ports: Arc<Ports>,
    pub(crate) policy: Policy,
    pub(crate) inbox: Inbox,
    /// Whether sources may run their events through the actor's line while its worker has nothing to do.
    pub(crate) lends: bool,
    pub(crate) counters: Counters,
}

/// An actor's running totals. Written once for a batch; on cache lines of their own, so that actors on different cores
/// do not slow each other.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Counters {
    /// Copies that the actor sent: by its handler, its tasks and its error route.
    pub(crate) sent: AtomicU64,
    pub(crate) received: AtomicU64,
    pub(crate) delivered: AtomicU64,
    pub(crate) failed: AtomicU64,
    /// Events that found this actor's inbox full and went to their sender's error route.
    pub(crate) shed: AtomicU64,
    /// Events that found this actor's inbox full, or closed, and were dropped.
    pub(crate) dropped: AtomicU64,
    /// Events that the actor kept after its handler had returned, and how they ended.
    pub(crate) held: AtomicU64,
    pub(crate) released: AtomicU64,
    pub(crate) held_failed: AtomicU64,
    pub(crate) abandoned: AtomicU64,
    pub(crate) busy: AtomicU64,
    pub(crate) waiting: AtomicU64,
    pub(crate) restarts: AtomicU64,
}

/// Adds to a counter; nothing is written where there is nothing to add.
#[inline]
pub(crate) fn add(counter: &AtomicU64, count: u64) {
    if count > 0 {
        // Release: who sees an event's end must see its beginning. See `Ledger`.
        counter.fetch_add(count, Ordering::Release);
    }
}

pub(crate) fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Acquire)
}

impl Station {
    pub(crate) fn new(name: Arc<str>, ports: Arc<Ports>, policy: Policy, lends: bool) -> Self {
        let inbox = Inbox::new(policy.capacity, policy.workers.count());
        Self { name, ports, policy, inbox, lends, counters: Counters::default() }
    }

    /// Returns the error for an event that found the inbox full, with the time that the queue takes to run empty at its
    /// present rate.
    pub(crate) fn overloaded(&self) -> Error {
        let handled = read(&self.counters.delivered) + read(&self.counters.failed);
        let busy = read(&self.counters.busy);
        let each = busy.checked_div(handled).unwrap_or_default();
        let workers = self.policy.workers.count().max(1) as u64;
        let wait = Duration::from_nanos(each.saturating_mul(self.inbox.depth() as u64) / workers);
        let wait = wait.clamp(Duration::from_secs(1), Duration::from_secs(60));
        Error::overloaded(format!("the inbox of `{}` is full", self.name)).retry_after(wait)
    }

    /// Returns the error for what the inbox did not take.
    pub(crate) fn refusal(&self, sent: Sent) -> Error {
        match sent {
            Sent::Closed => Error::cancelled(format!("`{}` has stopped", self.name)),
            Sent::Full | Sent::All => self.overloaded(),
        }
    }

    /// Counts events that the actor keeps now.
    pub(crate) fn held(&self) -> u64 {
        let counters = &self.counters;
        let ended = read(&counters.released) + read(&counters.held_failed) + read(&counters.abandoned);
        read(&counters.held).saturating_sub(ended)
    }

    /// Counts events that were taken from the inbox and have not ended yet.
    pub(crate) fn in_hand(&self) -> u64 {
        let ended = read(&self.counters.delivered) + read(&self.counters.failed);
        read(&self.counters.received).saturating_sub(ended)
    }
}
