//! Events of one leader at a time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use playhouse_engine::{Error, Event, Light, Outbox, Receipt, Result};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::key::{Key, KeyFrom, Keys};
use crate::keyed_queue::{self, KeyedQueue};

/// Lets through what the latest leader sends, and nothing of those before it.
///
/// It stands where the events of all members of a service arrive, before what must not be done twice. A [`Leader`](crate::Leader)
/// that stood still between its look at the clock and the sending would else be heard beside its successor. Of ticks of a calendar,
/// those with the attribute `tick.time`, it lets each through once, whoever leads; one that fails further on may come again. Give
/// each generator a fence of its own: two may tick at the same time.
///
/// What it has seen is known to this process alone, and not after a restart. Terms grow across restarts of the members where their
/// wall clocks are within a lease of each other. Where they are further apart, a fence may refuse the next leader for as long as
/// they differ: keep the clocks of members in step.
///
/// # Ports
/// Inbox: `inbox`, for any format. Outbox: `outbox`.
///
/// # Settings
/// | name | default | meaning |
/// |---|---|---|
/// | `most-ticks` | 10,000 | how many ticks are remembered; the oldest is forgotten for a new one |
///
/// # Errors
/// | kind | when |
/// |---|---|
/// | `Conflict` | a later leader was heard already, or the tick has come |
/// | `Unprocessable` | there is no attribute `leader.term`, or it is no whole number |
///
/// # Example
/// ```
/// use playhouse_actors::Fence;
/// use playhouse_engine::{Event, Kind, testing};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> playhouse_engine::Result<()> {
/// let fence = Fence::default();
/// testing::feed(&fence, Event::new("by the second leader").with_attribute("leader.term", 2_i64)).await?;
/// let late = testing::feed(&fence, Event::new("by the first").with_attribute("leader.term", 1_i64)).await;
/// assert_eq!(late.unwrap_err().kind(), Kind::Conflict);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Fence {
    most_ticks: usize,
    keys: Keys,
    // Held for one look-up in memory: by the workers, and by whoever lets go last of an event that failed.
    seen: Arc<Mutex<Seen>>,
}

/// How much a [`Fence`] remembers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct FenceSettings {
    /// How many ticks are remembered; 10,000 by default.
    pub most_ticks: usize,
}

impl Default for FenceSettings {
    fn default() -> Self {
        Self { most_ticks: 10_000 }
    }
}

#[derive(Debug)]
struct Seen {
    term: i64,
    ticks: KeyedQueue<()>,
}

impl Default for Fence {
    fn default() -> Self {
        Self::with(&FenceSettings::default())
    }
}

impl Fence {
    /// Makes a fence.
    ///
    /// # Errors
    /// `Malformed` where it would remember nothing, or more than there is room for.
    pub fn new(settings: FenceSettings) -> Result<Self> {
        if (1..=keyed_queue::MOST).contains(&settings.most_ticks) {
            return Ok(Self::with(&settings));
        }
        let (most, found) = (keyed_queue::MOST, settings.most_ticks);
        Err(Error::malformed(format!("no fence: `most-ticks`: expected 1 to {most}, found {found}")))
    }

    fn with(settings: &FenceSettings) -> Self {
        let seen = Seen { term: i64::MIN, ticks: KeyedQueue::new() };
        let keys = Keys::new(KeyFrom::Attribute("tick.time".into()));
        Self { most_ticks: settings.most_ticks, keys, seen: Arc::new(Mutex::new(seen)) }
    }

    /// Notes the term and the tick, or says why they are too late.
    fn note(&self, term: i64, tick: Option<Key>) -> Result<()> {
        let mut seen = lock(&self.seen);
        if term < seen.term {
            let latest = seen.term;
            return Err(Error::conflict(format!("the leader's term is {term}, and {latest} was heard already")));
        }
        seen.term = term;
        let Some(tick) = tick else { return Ok(()) };
        if seen.ticks.get_mut(tick).is_some() {
            return Err(Error::conflict("the tick has come already"));
        }
        if seen.ticks.len() >= self.most_ticks {
            seen.ticks.pop();
        }
        seen.ticks.push(tick, Instant::now(), ());
        Ok(())
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the receipt by which a tick that fails is forgotten.
fn forgetting(seen: &Arc<Mutex<Seen>>, tick: Key) -> Receipt {
    let seen: Weak<Mutex<Seen>> = Arc::downgrade(seen);
    Receipt::new(move |outcome| {
        if let (Err(_), Some(seen)) = (outcome, seen.upgrade()) {
            lock(&seen).ticks.remove(tick);
        }
    })
}

impl Light for Fence {
    fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        let term = event.attribute("leader.term").and_then(|term| term.as_integer());
        let term =
            term.ok_or_else(|| Error::unprocessable("expected a whole number in the attribute `leader.term`"))?;
        let tick = event.attribute("tick.time").map(|_| self.keys.of(event)).transpose()?;
        self.note(term, tick)?;
        match tick {
            Some(tick) => out.push(event.clone().with_receipt(forgetting(&self.seen, tick))),
            None => out.push(event),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use playhouse_engine::Kind;
    use playhouse_engine::testing::feed;

    use super::*;

    fn tick(term: i64, time: &'static str) -> Event {
        Event::new("tick").with_attribute("leader.term", term).with_attribute("tick.time", time)
    }

    async fn passes(fence: &Fence, event: Event) -> bool {
        match feed(fence, event).await {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error.kind(), Kind::Conflict, "{error}");
                false
            }
        }
    }

    #[tokio::test]
    async fn a_tick_passes_once_and_none_of_an_earlier_leader() {
        let fence = Fence::default();
        for (term, time, expected) in [
            (5, "12:00", true),
            (5, "12:00", false),
            (5, "12:01", true),
            (7, "12:01", false),
            (5, "12:02", false),
            (7, "12:02", true),
            (7, "11:59", true),
        ] {
            assert_eq!(passes(&fence, tick(term, time)).await, expected, "{term} {time}");
        }
    }

    #[tokio::test]
    async fn a_tick_that_failed_may_come_again() {
        let fence = Fence::default();
        let passed = feed(&fence, tick(1, "12:00")).await.unwrap().remove(0).event;
        passed.receipt().unwrap().fail(&Error::unavailable("the store is away"));
        drop(passed);
        assert!(passes(&fence, tick(1, "12:00")).await);
    }

    #[tokio::test]
    async fn only_so_many_ticks_are_remembered() {
        let fence = Fence::new(FenceSettings { most_ticks: 2 }).unwrap();
        for time in ["1", "2", "3", "1"] {
            assert!(passes(&fence, tick(1, time)).await);
        }
        assert!(!passes(&fence, tick(1, "3")).await);
        assert_eq!(Fence::new(FenceSettings { most_ticks: 0 }).unwrap_err().kind(), Kind::Malformed);
    }

    #[tokio::test]
    async fn an_event_without_a_term_is_refused() {
        for event in [Event::new("a"), Event::new("a").with_attribute("leader.term", "7")] {
            assert_eq!(feed(&Fence::default(), event).await.unwrap_err().kind(), Kind::Unprocessable);
        }
    }
}
