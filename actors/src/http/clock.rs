//! A clock that is read with one load, because a server asks what time it is for every request. It is as right as the
//! last tick of the sweep, which is all that time-outs of seconds need.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Milliseconds since the server started.
pub(crate) type Ticks = u64;

/// The time that never comes.
pub(crate) const NEVER: Ticks = Ticks::MAX;

#[derive(Debug)]
pub(crate) struct Clock {
    origin: Instant,
    now: AtomicU64,
    /// How far behind the clock can be.
    tick: Ticks,
}

impl Clock {
    pub(crate) fn new(tick: Duration) -> Self {
        Self { origin: Instant::now(), now: AtomicU64::new(0), tick: ticks(tick) }
    }

    /// Sets the clock right.
    pub(crate) fn update(&self) {
        self.now.store(ticks(self.origin.elapsed()), Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> Ticks {
        self.now.load(Ordering::Relaxed)
    }

    /// Returns when `time` from now has passed for sure.
    pub(crate) fn after(&self, time: Ticks) -> Ticks {
        self.now().saturating_add(time).saturating_add(self.tick)
    }

    pub(crate) fn instant(&self, time: Ticks) -> Instant {
        self.origin + Duration::from_millis(time)
    }
}

/// Returns a time in the clock's unit.
pub(crate) fn ticks(time: Duration) -> Ticks {
    Ticks::try_from(time.as_millis()).unwrap_or(NEVER)
}
