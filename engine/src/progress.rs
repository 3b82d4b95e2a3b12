//! How far a flow is: what is in flight, whether it stops, and when it is drained.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};

/// The count of what is in flight, events and permits, kept apart from the ledger's accounts, so that the two check each
/// other.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    outstanding: AtomicI64,
    stopping: AtomicBool,
    drained: Notify,
    /// Set when the actors have started: until then no event moves.
    pub(crate) running: CancellationToken,
    /// Set when sources must take in no more.
    pub(crate) stop: CancellationToken,
    /// Set when the deadline of the stop has passed: tasks end where they are.
    pub(crate) abort: CancellationToken,
}

impl Progress {
    /// Counts `count` more in flight, unless the flow is stopping.
    ///
    /// The count is raised before the look at the flag, and a stop sets the flag before it looks at the count: so either
    /// this sees the stop, or the stop sees this.
    pub(crate) fn enter(&self, count: usize) -> Result<()> {
        // Looked at before too, so that who goes on and on sending does not disturb a flow that has stopped.
        if !self.stopping.load(Ordering::SeqCst) {
            self.change(signed(count));
            if !self.stopping.load(Ordering::SeqCst) {
                return Ok(());
            }
            self.change(-signed(count));
        }
        Err(Error::cancelled("the flow is stopping and takes in no more events"))
    }

    /// Changes the count by what has begun less what has ended.
    #[inline]
    pub(crate) fn change(&self, difference: i64) {
        if difference != 0 {
            let before = self.outstanding.fetch_add(difference, Ordering::SeqCst);
            if before + difference == 0 && self.stopping.load(Ordering::SeqCst) {
                self.drained.notify_waiters();
            }
        }
    }

    pub(crate) fn outstanding(&self) -> i64 {
        self.outstanding.load(Ordering::SeqCst)
    }

    /// Begins the stop: from now on nothing enters.
    pub(crate) fn begin_stop(&self) {
        // Told first: whoever is refused because of the stop can see that there is one.
        self.stop.cancel();
        self.stopping.store(true, Ordering::SeqCst);
    }

    /// Waits until nothing is in flight. Call it after [`Progress::begin_stop`].
    pub(crate) async fn drained(&self) {
        loop {
            let mut notified = std::pin::pin!(self.drained.notified());
            notified.as_mut().enable();
            if self.outstanding() == 0 {
                return;
            }
            notified.await;
        }
    }
}

pub(crate) fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
