//! Events that came before.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use playhouse_engine::{Error, Event, Format, Light, Outbox, Ports, Receipt, Result};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::key::{Key, KeyFrom, Keys};
use crate::keyed_queue::{self, KeyedQueue};
use crate::span;
use crate::tally::Tally;

/// Passes on the first event of each key, and no other of that key for a time.
///
/// An event that fails further on is forgotten, so that it passes when its source sends it again. What was seen is known to
/// this process alone, and not after a restart.
///
/// # Ports
/// Inbox: `inbox`, for any format. Outboxes: `outbox` for what is new; `duplicate`, which may stay unconnected, for what is
/// not. [`Dedup::duplicates`] counts those either way.
///
/// # Settings
/// | name | default | meaning |
/// |---|---|---|
/// | `key` | `id` | what makes two events the same: `id`, `correlation`, `payload`, or `{ attribute = "name" }` |
/// | `time-to-live` | 10 min | for how long an event is remembered |
/// | `most` | 100,000 | how many are remembered at most; the oldest is forgotten for a new one |
///
/// What is remembered takes about 60 bytes, whatever the key is.
///
/// # Errors
/// | kind | when |
/// |---|---|
/// | `Unprocessable` | there is no such attribute |
///
/// # Example
/// ```
/// use playhouse_actors::{Dedup, DedupSettings, KeyFrom};
/// use playhouse_engine::{Event, testing};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> playhouse_engine::Result<()> {
/// let once = Dedup::new(DedupSettings { key: KeyFrom::Payload, ..DedupSettings::default() })?;
/// assert_eq!(testing::feed(&once, Event::new("order 7")).await?[0].outbox, "outbox");
/// assert_eq!(testing::feed(&once, Event::new("order 7")).await?[0].outbox, "duplicate");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Dedup {
    settings: DedupSettings,
    keys: Keys,
    duplicates: Tally,
    // Held for one look-up in memory: by the workers, and by whoever lets go last of an event that failed.
    seen: Arc<Seen>,
}

type Seen = Mutex<KeyedQueue<()>>;

/// What a [`Dedup`] takes for the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct DedupSettings {
    /// What makes two events the same; their id by default.
    pub key: KeyFrom,
    /// For how long an event is remembered; 10 minutes by default.
    #[serde(with = "humantime_serde")]
    pub time_to_live: Duration,
    /// How many are remembered at most; 100,000 by default.
    pub most: usize,
}

impl Default for DedupSettings {
    fn default() -> Self {
        Self { key: KeyFrom::Id, time_to_live: Duration::from_secs(600), most: 100_000 }
    }
}

/// Knows events by their ids for ten minutes.
impl Default for Dedup {
    fn default() -> Self {
        Self::with(DedupSettings::default())
    }
}

impl Dedup {
    /// Passes on what `settings` do not take for the same.
    ///
    /// # Errors
    /// `Malformed` with all that is wrong with the settings.
    pub fn new(settings: DedupSettings) -> Result<Self> {
        let mut problems: Vec<_> = span::problem("time-to-live", settings.time_to_live).into_iter().collect();
        if !(1..=keyed_queue::MOST).contains(&settings.most) {
            problems.push(format!("`most`: expected 1 to {}, found {}", keyed_queue::MOST, settings.most));
        }
        match problems.is_empty() {
            true => Ok(Self::with(settings)),
            false => Err(Error::malformed(format!("no dedup: {}", problems.join("; ")))),
        }
    }

    /// Returns the count of events that were not new.
    #[must_use]
    pub fn duplicates(&self) -> Tally {
        self.duplicates.clone()
    }

    fn with(settings: DedupSettings) -> Self {
        let keys = Keys::new(settings.key.clone());
        Self { settings, keys, duplicates: Tally::default(), seen: Arc::new(Mutex::new(KeyedQueue::new())) }
    }

    /// Remembers a key; false where it is known already.
    fn note(&self, key: Key) -> bool {
        let now = Instant::now();
        let mut seen = lock(&self.seen);
        while seen.oldest().is_some_and(|since| now >= since + self.settings.time_to_live) {
            seen.pop();
        }
        if seen.get_mut(key).is_some() {
            return false;
        }
        if seen.len() >= self.settings.most {
            seen.pop();
        }
        seen.push(key, now, ());
        true
    }
}

fn lock(seen: &Seen) -> MutexGuard<'_, KeyedQueue<()>> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the receipt by which an event that fails is forgotten.
fn forgetting(seen: &Arc<Seen>, key: Key) -> Receipt {
    let seen: Weak<Seen> = Arc::downgrade(seen);
    Receipt::new(move |outcome| {
        if let (Err(_), Some(seen)) = (outcome, seen.upgrade()) {
            lock(&seen).remove(key);
        }
    })
}

impl Light for Dedup {
    fn ports(&self) -> Ports {
        Ports::pipe(Format::ANY, Format::ANY).with_optional_outbox("duplicate", Format::ANY)
    }

    fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        let key = self.keys.of(event)?;
        if self.note(key) {
            out.push(event.clone().with_receipt(forgetting(&self.seen, key)));
        } else {
            self.duplicates.add_one();
            out.push_at(1, event);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use playhouse_engine::testing::{Probe, feed};
    use playhouse_engine::{Director, Kind, sink};
    use tokio::time::advance;

    use super::*;
    use crate::Generator;

    async fn outbox(dedup: &Dedup, text: &'static str) -> String {
        feed(dedup, Event::new(text)).await.unwrap()[0].outbox.clone()
    }

    fn by_payload(most: usize) -> Dedup {
        let settings = DedupSettings { key: KeyFrom::Payload, most, ..DedupSettings::default() };
        Dedup::new(settings).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_passes_once_in_its_time() {
        let dedup = by_payload(10);
        assert_eq!(outbox(&dedup, "a").await, "outbox");
        advance(Duration::from_secs(599)).await;
        assert_eq!(outbox(&dedup, "a").await, "duplicate");
        advance(Duration::from_secs(1)).await;
        assert_eq!(outbox(&dedup, "a").await, "outbox");
        assert_eq!(dedup.duplicates().get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_is_forgotten_where_there_is_no_room() {
        let dedup = by_payload(2);
        for text in ["a", "b", "c"] {
            assert_eq!(outbox(&dedup, text).await, "outbox");
        }
        assert_eq!(outbox(&dedup, "c").await, "duplicate");
        assert_eq!(outbox(&dedup, "a").await, "outbox");
    }

    #[tokio::test]
    async fn an_event_that_failed_may_come_again() {
        let mut probe = Probe::new(by_payload(10)).await.unwrap();
        probe.send(Event::new("a")).await.unwrap();
        let first = probe.output().await.unwrap();
        first.receipt().unwrap().fail(&Error::unavailable("the store is away"));
        drop(first);
        probe.send(Event::new("a")).await.unwrap();
        let second = probe.output().await.unwrap();
        drop(second);
        probe.send(Event::new("a")).await.unwrap();
        probe.output_from("duplicate").await.unwrap();
        assert!(probe.stop().await.unwrap().balances());
    }

    #[tokio::test]
    async fn duplicates_end_where_nobody_takes_them() {
        let dedup = by_payload(10);
        let duplicates = dedup.duplicates();
        let mut director = Director::new("once");
        let source = crate::Schedule { interval: Duration::ZERO, count: Some(5), ..Default::default() };
        let source = director.register("source", Generator::new(source, "same"));
        let dedup = director.register("dedup", dedup);
        let (sender, mut taken) = tokio::sync::mpsc::channel(10);
        let end = sink(move |event: &Event| {
            sender.try_send(event.payload().to_string()).map_err(|_| Error::gone("the test has ended"))
        });
        let end = director.register("end", end);
        director.connect(source, dedup);
        director.connect(dedup, end);
        let running = director.build().unwrap().start().await.unwrap();
        assert_eq!(taken.recv().await.unwrap(), "same");
        while duplicates.get() < 4 {
            tokio::task::yield_now().await;
        }
        let ledger = running.stop(Duration::from_secs(5)).await.unwrap();
        assert!(ledger.balances());
        assert_eq!((ledger.entered, ledger.delivered), (6, 6));
    }

    #[tokio::test]
    async fn an_event_without_its_key_is_refused() {
        let dedup =
            Dedup::new(DedupSettings { key: KeyFrom::Attribute("order".into()), ..Default::default() }).unwrap();
        assert_eq!(feed(&dedup, Event::new("a")).await.unwrap_err().kind(), Kind::Unprocessable);
    }

    #[test]
    fn settings_that_make_no_sense_are_refused_all_at_once() {
        let settings = DedupSettings { time_to_live: Duration::ZERO, most: 0, ..DedupSettings::default() };
        let error = Dedup::new(settings).unwrap_err();
        let expected = "no dedup: `time-to-live`: expected more than nothing, and a year at most; `most`: expected 1 to 4294966271, found 0";
        assert_eq!(error.message(), expected);
    }
}
