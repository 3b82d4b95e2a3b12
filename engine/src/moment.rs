//! Points in time that fit into eight bytes, so that an event stays small. They follow `tokio::time`, so that tests can
//! pause them.

use std::num::NonZeroU64;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// Nanoseconds since shortly before the process first asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Moment(NonZeroU64);

struct Origin {
    instant: std::time::Instant,
    time: SystemTime,
}

static ORIGIN: LazyLock<Origin> =
    LazyLock::new(|| Origin { instant: std::time::Instant::now(), time: SystemTime::now() });

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
