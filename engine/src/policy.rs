//! How an actor is run: how many workers, how long a queue, and what happens when that is full or a handler fails. The
//! same structure in code and in a file.

use std::num::NonZeroUsize;
use std::sync::LazyLock;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use serde::{Deserialize, Serialize};

/// How an actor is run.
///
/// ```
/// use playhouse_engine::{Overflow, Policy};
///
/// let in_code = Policy { capacity: 64, overflow: Overflow::Shed, ..Policy::default() };
/// let in_a_file: Policy = toml::from_str("capacity = 64\noverflow = 'shed'").unwrap();
/// assert_eq!(in_code, in_a_file);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Policy {
    /// How many tasks run the handler at once. One, the default, keeps the order of events.
    pub workers: Workers,
    /// How many events wait in the inbox at most; 1,024 by default, at least 1.
    pub capacity: usize,
    /// What a full inbox does; waits by default.
    pub overflow: Overflow,
    /// How often an event is tried again after a transient error; never by default.
    pub retry: Retry,
    /// How long one call of the handler may take, from where it first waits; 60 s by default. An event's own deadline
    /// counts where it is nearer.
    #[serde(with = "humantime_serde")]
    pub deadline: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            workers: Workers::default(),
            capacity: 1024,
            overflow: Overflow::default(),
            retry: Retry::default(),
            deadline: Duration::from_secs(60),
        }
    }
}

/// How many tasks run one actor's handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Workers {
    /// So many.
    Count(NonZeroUsize),
    /// One for each core.
    PerCore(PerCore),
}

/// The word for one worker for each core in a file: `per-core`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PerCore {
    /// One worker for each core.
    PerCore,
}

/// Asked once: the answer comes from files, and is needed for every event that is shed.
static CORES: LazyLock<usize> = LazyLock::new(|| std::thread::available_parallelism().map_or(1, NonZeroUsize::get));

impl Workers {
    /// One worker for each core.
    pub const PER_CORE: Self = Self::PerCore(PerCore::PerCore);

    pub(crate) fn count(self) -> usize {
        match self {
            Self::Count(count) => count.get(),
            Self::PerCore(_) => *CORES,
        }
    }
}

impl Default for Workers {
    fn default() -> Self {
        Self::Count(NonZeroUsize::MIN)
    }
}

/// Makes a number of workers; none is taken for one.
impl From<usize> for Workers {
    fn from(count: usize) -> Self {
        Self::Count(NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN))
    }
}

/// What happens to an event that finds its receiver's inbox full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overflow {
    /// The sender waits for room.
    #[default]
    Wait,
    /// The event goes to the sender's error route, with an error of kind `Overloaded`.
    Shed,
    /// The event is dropped and counted.
    Drop,
}

/// How an event is tried again, in place, when its handler fails with a transient error. Order is kept: the worker's next
/// event waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Retry {
    /// How often the handler is called for one event at most, the first time included; 1 is no retry.
    pub attempts: usize,
    /// How long to wait before the second attempt; each further wait is twice as long, and up to as much again is added
    /// by chance, so that many do not try at once.
    #[serde(with = "humantime_serde")]
    pub first_wait: Duration,
    /// The longest wait, before what chance adds.
    #[serde(with = "humantime_serde")]
    pub longest_wait: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 1, first_wait: Duration::from_millis(100), longest_wait: Duration::from_secs(10) }
    }
}

impl Retry {
    /// Tries up to `attempts` times in all, with the default waits.
    #[must_use]
    pub fn attempts(attempts: usize) -> Self {
        Self { attempts, ..Self::default() }
    }

    /// Returns the waits between the attempts, with what chance adds.
    pub fn waits(&self) -> impl Iterator<Item = Duration> + use<> {
        ExponentialBuilder::new()
            .with_min_delay(self.first_wait)
            .with_max_delay(self.longest_wait)
            .with_max_times(self.attempts.saturating_sub(1))
            .with_jitter_seed(fastrand::u64(..))
            .with_jitter()
            .build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_reads_from_a_file() {
        let policy: Policy = toml::from_str(
            "workers = 'per-core'\noverflow = 'drop'\ndeadline = '250ms'\nretry = { attempts = 3, first-wait = '1s' }",
        )
        .unwrap();
        assert_eq!(policy.workers, Workers::PER_CORE);
        assert_eq!(policy.deadline, Duration::from_millis(250));
        assert_eq!(policy.retry.first_wait, Duration::from_secs(1));
        assert_eq!(policy.capacity, 1024);
        assert_eq!(toml::from_str::<Policy>("workers = 4").unwrap().workers, 4.into());
    }

    #[test]
    fn an_unknown_setting_is_refused() {
        let error = toml::from_str::<Policy>("capacty = 3").unwrap_err();
        assert!(error.to_string().contains("unknown field `capacty`"), "{error}");
    }

    #[test]
    fn waits_grow_up_to_the_longest() {
        let retry = Retry { attempts: 6, first_wait: Duration::from_secs(1), longest_wait: Duration::from_secs(4) };
        let waits: Vec<_> = retry.waits().map(|wait| wait.as_secs_f64()).collect();
        assert_eq!(waits.len(), 5);
        for (wait, least) in waits.iter().zip([1.0, 2.0, 4.0, 4.0, 4.0]) {
            assert!((least..=2.0 * least).contains(wait), "{waits:?}");
        }
    }
}
