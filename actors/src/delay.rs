//! Events that go on later.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use playhouse_engine::{Actor, Context, Emitter, Error, Event, Format, Held, Outbox, Ports, Result};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::content::weight;
use crate::span;
use crate::upkeep::{Tended, Upkeep, not_started};

/// Passes on each event a time after it came, in the order in which they came.
///
/// # Ports
/// Inbox: `inbox`, for any format. Outbox: `outbox`. What is delayed is held in flight. When the flow stops all of it goes on at
/// once, and what comes while it stops is not delayed.
///
/// # Settings
/// | name | default | meaning |
/// |---|---|---|
/// | `time` | 1 s | for how long an event is held |
/// | `most` | 10,000 | how many events are held at most |
/// | `most-bytes` | 64 MiB | how many bytes of payload are held at most |
///
/// # Errors
/// | kind | when |
/// |---|---|
/// | `Overloaded` | `most` or `most-bytes` was reached |
/// | `Timeout` | the event's deadline comes before it would go on |
///
/// # Example
/// ```
/// use std::time::Duration;
///
/// use playhouse_actors::{Delay, DelaySettings};
///
/// let later = Delay::by(Duration::from_secs(5))?;
/// let few = Delay::new(DelaySettings { most: 10, ..DelaySettings::default() })?;
/// # Ok::<_, playhouse_engine::Error>(())
/// ```
#[derive(Debug)]
pub struct Delay {
    shared: Arc<Shared>,
    upkeep: Upkeep,
    emitter: Option<Emitter>,
}

/// For how long, and how many events, a [`Delay`] holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct DelaySettings {
    /// For how long an event is held; 1 s by default.
    #[serde(with = "humantime_serde")]
    pub time: Duration,
    /// How many events are held at most; 10,000 by default.
    pub most: usize,
    /// How many bytes of payload are held at most; 64 MiB by default.
    pub most_bytes: usize,
}

impl Default for DelaySettings {
    fn default() -> Self {
        Self { time: Duration::from_secs(1), most: 10_000, most_bytes: 64 << 20 }
    }
}

#[derive(Debug)]
struct Shared {
    settings: DelaySettings,
    // Held to put one event in or take one out.
    line: Mutex<Line>,
}

#[derive(Debug, Default)]
struct Line {
    held: VecDeque<(Instant, Held)>,
    bytes: usize,
}

impl Delay {
    /// Holds each event for `time`.
    ///
    /// # Errors
    /// As [`Delay::new`].
    pub fn by(time: Duration) -> Result<Self> {
        Self::new(DelaySettings { time, ..DelaySettings::default() })
    }

    /// Holds events as `settings` say.
    ///
    /// # Errors
    /// `Malformed` with all that is wrong with the settings.
    pub fn new(settings: DelaySettings) -> Result<Self> {
        let mut problems: Vec<_> = span::problem("time", settings.time).into_iter().collect();
        if settings.most == 0 {
            problems.push("`most`: expected more than none".to_owned());
        }
        if !problems.is_empty() {
            return Err(Error::malformed(format!("no delay: {}", problems.join("; "))));
        }
        Ok(Self {
            shared: Arc::new(Shared { settings, line: Mutex::default() }),
            upkeep: Upkeep::default(),
            emitter: None,
        })
    }
}

impl Shared {
    fn take_due(&self, stopped: Option<Instant>) -> Result<Held, Option<Instant>> {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let due = line.held.front().map(|(due, _)| *due);
        if due.is_none() || (stopped.is_none() && due > Some(Instant::now())) {
            return Err(due);
        }
        let (_, held) = line.held.pop_front().ok_or(None)?;
        line.bytes -= weight(held.event().payload());
        Ok(held)
    }
}

impl Tended for Shared {
    async fn tend(&self, stopped: Option<Instant>) -> Option<Instant> {
        loop {
            let held = match self.take_due(stopped) {
                Ok(held) => held,
                Err(next) => return next,
            };
            match held.send_from(0, held.event().clone()).await {
                Ok(()) => held.done(),
                Err(error) => held.fail(error).await,
            }
        }
    }
}

impl Actor for Delay {
    fn ports(&self) -> Ports {
        Ports::pipe(Format::ANY, Format::ANY).emitting()
    }

    async fn start(&mut self, context: Context) -> Result<()> {
        self.emitter = Some(context.emitter()?);
        self.upkeep = Upkeep::new(context);
        Ok(())
    }

    async fn handle(&self, event: &Event, _: &mut Outbox) -> Result<()> {
        let emitter = self.emitter.as_ref().ok_or_else(not_started)?;
        let Shared { settings, line } = &*self.shared;
        let due = Instant::now() + settings.time;
        if event.deadline().is_some_and(|deadline| deadline < due) {
            return Err(Error::timeout("the event's deadline comes before the end of its delay"));
        }
        let bytes = weight(event.payload());
        let mut line = line.lock().unwrap_or_else(PoisonError::into_inner);
        if line.held.len() >= settings.most || line.bytes.saturating_add(bytes) > settings.most_bytes {
            let wait = line.held.front().map(|(due, _)| due.saturating_duration_since(Instant::now()));
            drop(line);
            let error = Error::overloaded("too many events, or too large ones, are delayed");
            return Err(error.retry_after(wait.unwrap_or_default()));
        }
        let is_first = line.held.is_empty();
        line.held.push_back((due, emitter.hold(event)));
        line.bytes += bytes;
        drop(line);
        if is_first {
            self.upkeep.wanted(&self.shared);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use playhouse_engine::testing::Probe;
    use playhouse_engine::{Kind, Receipt};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_event_goes_on_when_its_time_has_come() {
        let begin = Instant::now();
        let mut probe = Probe::new(Delay::by(Duration::from_secs(5)).unwrap()).await.unwrap();
        probe.send(Event::new("a")).await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
        probe.send(Event::new("b")).await.unwrap();
        for (text, second) in [("a", 5), ("b", 7)] {
            assert_eq!(probe.output().await.unwrap().payload().to_string(), text);
            assert_eq!(begin.elapsed().as_secs(), second);
        }
        assert!(probe.stop().await.unwrap().balances());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_delayed_goes_on_at_once_when_the_flow_stops() {
        let begin = Instant::now();
        let probe = Probe::new(Delay::by(Duration::from_secs(3600)).unwrap()).await.unwrap();
        let (receipt, settled) = Receipt::awaited();
        probe.send(Event::new("a").with_receipt(receipt)).await.unwrap();
        let ledger = probe.stop().await.unwrap();
        assert!(ledger.balances() && ledger.failed == 0 && ledger.dropped == 0, "{ledger}");
        assert!(begin.elapsed() < Duration::from_secs(1));
        settled.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_finds_no_room_is_refused() {
        for settings in [
            DelaySettings { most: 1, ..DelaySettings::default() },
            DelaySettings { most_bytes: 4, ..DelaySettings::default() },
        ] {
            let mut probe = Probe::new(Delay::new(settings).unwrap()).await.unwrap();
            probe.send(Event::new("one")).await.unwrap();
            probe.send(Event::new("two")).await.unwrap();
            let failed = probe.error().await.unwrap();
            let error = failed.error().unwrap();
            assert_eq!((error.kind(), error.wait()), (Kind::Overloaded, Some(Duration::from_secs(1))));
            assert_eq!(probe.output().await.unwrap().payload().to_string(), "one");
            assert!(probe.stop().await.unwrap().balances());
        }
    }

    #[test]
    fn settings_that_make_no_sense_are_refused_all_at_once() {
        let settings = DelaySettings { time: Duration::MAX, most: 0, ..DelaySettings::default() };
        assert_eq!(Delay::new(settings).unwrap_err().message().matches("expected").count(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_would_be_too_late_fails_at_once() {
        let mut probe = Probe::new(Delay::by(Duration::from_secs(5)).unwrap()).await.unwrap();
        probe.send(Event::new("a").expires_in(Duration::from_secs(4))).await.unwrap();
        assert_eq!(probe.error().await.unwrap().error().unwrap().kind(), Kind::Timeout);
        assert!(probe.stop().await.unwrap().balances());
    }
}
