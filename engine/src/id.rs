//! The identity of an event. Unique across processes without a look at the operating system for each event.

use std::cell::Cell;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::str::FromStr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};

/// The identity of an event: 128 bits, written as 32 hexadecimal digits.
///
/// The upper half is drawn at random once for each process, the lower half counts. It is not a secret: who has seen one
/// can guess others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    process: u64,
    count: u64,
}

/// How many ids a thread takes from the process at a time.
const BLOCK: u64 = 1 << 16;

static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().build_hasher().finish());
static NEXT_BLOCK: AtomicU64 = AtomicU64::new(0);

thread_local! {
    // The process's half, the next id of this thread, and the end of its block.
    static RESERVED: Cell<(u64, u64, u64)> = const { Cell::new((0, 0, 0)) };
}

impl EventId {
    /// Draws an id that no other event has.
    #[must_use]
    pub fn unique() -> Self {
        RESERVED.with(|reserved| {
            let (mut process, mut count, mut end) = reserved.get();
            if count == end {
                process = *PROCESS;
                count = NEXT_BLOCK.fetch_add(BLOCK, Ordering::Relaxed);
                end = count + BLOCK;
            }
            reserved.set((process, count + 1, end));
            Self { process, count }
        })
    }

    /// Returns the id as the number that its hexadecimal digits write.
    #[must_use]
    pub fn as_u128(self) -> u128 {
        (u128::from(self.process) << 64) | u128::from(self.count)
    }

    /// Makes the id that another process wrote as a number.
    #[must_use]
    pub fn from_u128(number: u128) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
        Self { process: (number >> 64) as u64, count: number as u64 }
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}{:016x}", self.process, self.count)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for EventId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let is_id = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match u128::from_str_radix(text, 16) {
            Ok(number) if is_id => Ok(Self::from_u128(number)),
            _ => Err(Error::malformed("an event id is 32 hexadecimal digits")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_of_several_threads_never_meet() {
        let threads: Vec<_> = (0..4)
            .map(|_| std::thread::spawn(|| (0..100_000).map(|_| EventId::unique()).collect::<Vec<_>>()))
            .collect();
        let ids: HashSet<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert_eq!(ids.len(), 400_000);
    }

    #[test]
    fn an_id_reads_back_from_its_digits() {
        let id = EventId::unique();
        assert_eq!(id.to_string().parse::<EventId>().unwrap(), id);
        for wrong in ["", "12", "+2345678901234567890123456789012", "g2345678901234567890123456789012"] {
            assert!(wrong.parse::<EventId>().is_err(), "{wrong}");
        }
    }
}
