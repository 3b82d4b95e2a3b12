//! Points in time that fit into eight bytes, so that an event stays small. They follow `tokio::time`, so that tests can
//! pause them.

use std::num::NonZeroU64;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// Returns the instant after `time` from now; one that never comes where that is too late to count.
pub(crate) fn after(time: Duration) -> Instant {
    const NEVER: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);
    Instant::now() + time.min(NEVER)
}

/// Nanoseconds since a while before the process first asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Moment(NonZeroU64);

struct Origin {
    instant: std::time::Instant,
    time: SystemTime,
}

static ORIGIN: LazyLock<Origin> =
    // A while ago, for the instants of a clock that was paused before anybody asked.
    LazyLock::new(|| {
        const WHILE: Duration = Duration::from_secs(60);
        let (instant, time) = (std::time::Instant::now(), SystemTime::now());
        match (instant.checked_sub(WHILE), time.checked_sub(WHILE)) {
            (Some(instant), Some(time)) => Origin { instant, time },
            _ => Origin { instant, time },
        }
    });

impl Moment {
    pub(crate) fn now() -> Self {
        Self::from(Instant::now())
    }

    pub(crate) fn instant(self) -> Instant {
        Instant::from_std(ORIGIN.instant + Duration::from_nanos(self.0.get()))
    }

    pub(crate) fn system_time(self) -> SystemTime {
        ORIGIN.time + Duration::from_nanos(self.0.get())
    }

    /// Returns the moment at which the clock on the wall shows `time`; none before the first moment that there is.
    pub(crate) fn at(time: SystemTime) -> Option<Self> {
        let elapsed = time.duration_since(ORIGIN.time).ok()?;
        u64::try_from(elapsed.as_nanos()).ok().and_then(NonZeroU64::new).map(Self)
    }

    pub(crate) fn nanoseconds_since(self, earlier: Self) -> u64 {
        self.0.get().saturating_sub(earlier.0.get())
    }
}

impl From<Instant> for Moment {
    fn from(instant: Instant) -> Self {
        let elapsed = instant.into_std().saturating_duration_since(ORIGIN.instant);
        // 64 bits of nanoseconds last for 584 years.
        let nanoseconds = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        Self(NonZeroU64::new(nanoseconds).unwrap_or(NonZeroU64::MIN))
    }
}
