//! Who leads, as it is seen from outside and by each event.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use super::machine::Lease;
use crate::tally::Tally;

/// What a [`Leader`](crate::Leader) tells of itself while it runs. A clone shows the same.
#[derive(Clone)]
pub struct LeaderStatus(pub(super) Arc<Shared>);

/// How many datagrams a [`Leader`](crate::Leader) has sent and got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeaderDatagrams {
    /// Those that were sent, one for each peer.
    pub sent: u64,
    /// Those that were taken.
    pub taken: u64,
    /// Those of members that were not believed: garbled, not signed, come twice, or by members with other settings.
    pub ignored: u64,
    /// Those of other services.
    pub foreign: u64,
}

pub(super) struct Shared {
    clock: Clock,
    /// Until when it leads, in nanoseconds of the clock; 0 where it does not.
    until: AtomicU64,
    term: AtomicU64,
    leads: watch::Sender<bool>,
    pub(super) refused: Tally,
    pub(super) sent: AtomicU64,
    pub(super) taken: AtomicU64,
    pub(super) ignored: AtomicU64,
    pub(super) foreign: AtomicU64,
}

impl LeaderStatus {
    /// Says whether this process leads at this moment.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.0.term().is_some()
    }

    /// Returns the term in which this process leads; nothing where it does not.
    #[must_use]
    pub fn term(&self) -> Option<u64> {
        self.0.term()
    }

    /// Waits until this process leads.
    pub async fn wait_until_leader(&self) {
        self.wait_until(true).await;
    }

    /// Waits until this process does not lead.
    pub async fn wait_until_standby(&self) {
        self.wait_until(false).await;
    }

    /// Returns the count of events that were not passed on.
    #[must_use]
    pub fn refused(&self) -> Tally {
        self.0.refused.clone()
    }

    /// Returns how many datagrams there were until now.
    #[must_use]
    pub fn datagrams(&self) -> LeaderDatagrams {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (sent, taken) = (count(&self.0.sent), count(&self.0.taken));
        LeaderDatagrams { sent, taken, ignored: count(&self.0.ignored), foreign: count(&self.0.foreign) }
    }

    async fn wait_until(&self, leads: bool) {
        let mut changes = self.0.leads.subscribe();
        // The sender lives as long as this does.
        let _ = changes.wait_for(|leading| *leading == leads).await;
    }
}

impl Shared {
    pub(super) fn new() -> Self {
        Self {
            clock: Clock::new(),
            until: AtomicU64::new(0),
            term: AtomicU64::new(0),
            leads: watch::Sender::new(false),
            refused: Tally::default(),
            sent: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            ignored: AtomicU64::new(0),
            foreign: AtomicU64::new(0),
        }
    }

    pub(super) fn time(&self) -> Duration {
        self.clock.now()
    }

    /// Returns the term where the lease has not ended. It is asked for each event.
    #[inline]
    pub(super) fn term(&self) -> Option<u64> {
        let until = self.until.load(Ordering::Acquire);
        if until == 0 || nanoseconds(self.clock.now()) >= until {
            return None;
        }
        Some(self.term.load(Ordering::Acquire))
    }

    /// Shows the lease, or that there is none; true where that is a change.
    pub(super) fn show(&self, lease: Option<Lease>) -> bool {
        match lease {
            Some(lease) => {
                // The term first: an event that sees the new lease must not see an old term.
                self.term.store(lease.term, Ordering::Release);
                self.until.store(nanoseconds(lease.until), Ordering::Release);
            }
            None => self.until.store(0, Ordering::Release),
        }
        self.leads.send_if_modified(|leads| std::mem::replace(leads, lease.is_some()) != lease.is_some())
    }
}

fn nanoseconds(time: Duration) -> u64 {
    // 64 bits of nanoseconds last for 584 years.
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A clock that nobody sets. That of Linux goes on while the machine sleeps, so a leader that wakes up knows that its lease is
/// over; [`std::time::Instant`] stands still there.
struct Clock {
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    origin: std::time::Instant,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl Clock {
    fn new() -> Self {
        Self {}
    }

    #[inline]
    fn now(&self) -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        // Neither is ever negative: it counts from the machine's start.
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl Clock {
    fn new() -> Self {
        Self { origin: std::time::Instant::now() }
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }
}

impl fmt::Debug for LeaderStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LeaderStatus").field("term", &self.term()).finish_non_exhaustive()
    }
}
