//! What actors count beside the flow's statistics.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A count that an actor keeps, to be read by whoever took it before the actor was registered. A clone shows the same count.
///
/// ```
/// use playhouse_actors::Dedup;
///
/// let dedup = Dedup::default();
/// let duplicates = dedup.duplicates();
/// assert_eq!(duplicates.get(), 0);
/// ```
#[derive(Clone, Default)]
pub struct Tally(Arc<AtomicU64>);

impl Tally {
    /// Returns how many there were until now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.get(), formatter)
    }
}
