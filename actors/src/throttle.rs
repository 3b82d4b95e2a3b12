//! No more events than so many in a time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use playhouse_engine::{Actor, Error, Event, Outbox, Result};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::span;

/// Passes on no more events than `count` in each `time`, however they come; up to `burst` at once after a pause.
///
/// What is too much is refused with the time after which there is room, which an HTTP server tells as a 429 with
/// `Retry-After`; or it waits its turn, and holds up what comes behind it: how many wait is the inbox's capacity, and what a
/// full inbox does its policy's. What waits keeps its order where the actor has one worker.
///
/// # Ports
/// Inbox: `inbox`, for any format. Outbox: `outbox`.
///
/// # Settings
/// | name | default | meaning |
/// |---|---|---|
/// | `count` | 100 | how many events pass in each `time` |
/// | `time` | 1 s | the time in which they do |
/// | `burst` | `count` | how many may pass at once |
/// | `mode` | `refuse` | what becomes of the rest: `refuse`, or `wait` |
/// | `longest-wait` | 10 s | how long one event waits at most for its turn, once it is the first in line |
///
/// # Errors
/// | kind | when |
/// |---|---|
/// | `RateExceeded` | there is no room, or not within `longest-wait` |
/// | `Timeout` | the event's deadline, or that of the actor's policy, passed while it waited |
///
/// # Example
/// ```
/// use std::time::Duration;
///
/// use playhouse_actors::{Throttle, ThrottleMode, ThrottleSettings};
///
/// let visitors = Throttle::of(100, Duration::from_secs(1))?;
/// let settings = ThrottleSettings { count: 5, burst: Some(1), mode: ThrottleMode::Wait, ..ThrottleSettings::default() };
/// let letters = Throttle::new(settings)?; // one every 200 ms
/// # Ok::<_, playhouse_engine::Error>(())
/// ```
#[derive(Debug)]
pub struct Throttle {
    settings: ThrottleSettings,
    /// The time from one event to the next, in nanoseconds.
    interval: u64,
    /// How far the events may be ahead of that.
    burst: u64,
    origin: Instant,
    /// When the next event would be due if all came evenly, in nanoseconds since the origin.
    due: AtomicU64,
}

/// How many events a [`Throttle`] passes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ThrottleSettings {
    /// How many events pass in each `time`; 100 by default.
    pub count: u32,
    /// The time in which they do; 1 s by default.
    #[serde(with = "humantime_serde")]
    pub time: Duration,
    /// How many may pass at once; `count` by default.
    pub burst: Option<u32>,
    /// What becomes of the rest; it is refused by default.
    pub mode: ThrottleMode,
    /// How long one event waits at most for its turn, once it is the first in line; 10 s by default.
    #[serde(with = "humantime_serde")]
    pub longest_wait: Duration,
}

/// What a [`Throttle`] does with what is too much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ThrottleMode {
    /// It fails, as `RateExceeded`.
    #[default]
    Refuse,
    /// It waits its turn.
    Wait,
}

impl Default for ThrottleSettings {
    fn default() -> Self {
        Self {
            count: 100,
            time: Duration::from_secs(1),
            burst: None,
            mode: ThrottleMode::Refuse,
            longest_wait: Duration::from_secs(10),
        }
    }
}

impl Throttle {
    /// Passes on `count` events in each `time`, and refuses the rest.
    ///
    /// # Errors
    /// As [`Throttle::new`].
    pub fn of(count: u32, time: Duration) -> Result<Self> {
        Self::new(ThrottleSettings { count, time, ..ThrottleSettings::default() })
    }

    /// Passes on what `settings` allow.
    ///
    /// # Errors
    /// `Malformed` with all that is wrong with the settings.
    pub fn new(settings: ThrottleSettings) -> Result<Self> {
        let mut problems = Vec::new();
        if settings.count == 0 {
            problems.push("`count`: expected more than none".to_owned());
        }
        if settings.burst == Some(0) {
            problems.push("`burst`: expected more than none".to_owned());
        }
        problems.extend(span::problem("time", settings.time));
        if !problems.is_empty() {
            return Err(Error::malformed(format!("no throttle: {}", problems.join("; "))));
        }
        let interval = nanoseconds(settings.time) / u64::from(settings.count);
        let burst = u64::from(settings.burst.unwrap_or(settings.count)).saturating_mul(interval);
        Ok(Self { settings, interval, burst, origin: Instant::now(), due: AtomicU64::new(0) })
    }

    /// Takes the room for one event; how long there is none, where there is none.
    fn take(&self) -> Result<(), Duration> {
        let now = nanoseconds(self.origin.elapsed());
        let mut due = self.due.load(Ordering::Relaxed);
        loop {
            let next = due.max(now).saturating_add(self.interval);
            let ahead = next - now;
            if ahead > self.burst {
                return Err(Duration::from_nanos(ahead - self.burst));
            }
            match self.due.compare_exchange_weak(due, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(seen) => due = seen,
            }
        }
    }

    #[cold]
    fn refusal(&self, wait: Duration) -> Error {
        let ThrottleSettings { count, time, .. } = self.settings;
        let time = humantime::format_duration(time);
        Error::rate_exceeded(format!("more than {count} events came in {time}")).retry_after(wait)
    }
}

fn nanoseconds(time: Duration) -> u64 {
    // 64 bits of nanoseconds last for 584 years.
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Actor for Throttle {
    async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        let longest = match self.settings.mode {
            ThrottleMode::Refuse => Duration::ZERO,
            ThrottleMode::Wait => self.settings.longest_wait,
        };
        let began = Instant::now();
        while let Err(wait) = self.take() {
            // Several workers can wait for the same turn, and all but one then wait for the next.
            if began.elapsed().saturating_add(wait) > longest {
                return Err(self.refusal(wait));
            }
            sleep(wait).await;
        }
        out.push(event);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use playhouse_engine::testing::{Probe, feed};
    use playhouse_engine::{Kind, Policy};
    use proptest::prelude::*;
    use tokio::time::advance;

    use super::*;

    fn waiting(count: u32, burst: u32, longest_wait: Duration) -> Throttle {
        let mode = ThrottleMode::Wait;
        let settings = ThrottleSettings { count, burst: Some(burst), mode, longest_wait, ..Default::default() };
        Throttle::new(settings).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_much_is_refused_with_the_time_to_wait() {
        let throttle = Throttle::of(4, Duration::from_secs(1)).unwrap();
        for _ in 0..4 {
            feed(&throttle, Event::new("a")).await.unwrap();
        }
        let error = feed(&throttle, Event::new("a")).await.unwrap_err();
        assert_eq!(error.kind(), Kind::RateExceeded);
        assert_eq!(error.message(), "more than 4 events came in 1s");
        assert_eq!(error.wait(), Some(Duration::from_millis(250)));
        advance(Duration::from_millis(249)).await;
        assert!(feed(&throttle, Event::new("a")).await.is_err());
        advance(Duration::from_millis(1)).await;
        feed(&throttle, Event::new("a")).await.unwrap();
        // A pause is worth a burst, and no more than that.
        advance(Duration::from_secs(60)).await;
        for passes in [true, true, true, true, false] {
            assert_eq!(feed(&throttle, Event::new("a")).await.is_ok(), passes);
        }
    }

    #[cfg(feature = "http")]
    #[test]
    fn a_refusal_is_a_429_to_http() {
        assert_eq!(crate::http::status_of(Kind::RateExceeded).as_u16(), 429);
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_keeps_its_order_and_the_rate() {
        let begin = Instant::now();
        let mut probe = Probe::new(waiting(10, 2, Duration::from_secs(1))).await.unwrap();
        for number in 0..6 {
            probe.send(Event::new(number.to_string())).await.unwrap();
        }
        for (number, passed) in [(0, 0), (1, 0), (2, 100), (3, 200), (4, 300), (5, 400)] {
            assert_eq!(probe.output().await.unwrap().payload().to_string(), number.to_string());
            assert_eq!(begin.elapsed().as_millis() / 10, passed / 10, "{number}");
        }
        assert!(probe.stop().await.unwrap().balances());
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_waits_longer_than_it_may() {
        let policy = Policy { workers: 3.into(), ..Policy::default() };
        let mut probe = Probe::with_policy(waiting(1, 1, Duration::from_millis(1500)), policy).await.unwrap();
        for _ in 0..3 {
            probe.send(Event::new("a")).await.unwrap();
        }
        probe.output().await.unwrap();
        probe.output().await.unwrap();
        let failed = probe.error().await.unwrap();
        assert_eq!(failed.error().unwrap().kind(), Kind::RateExceeded);
        let ledger = probe.stop().await.unwrap();
        assert!(ledger.balances() && ledger.failed == 1);
    }

    #[test]
    fn settings_that_make_no_sense_are_refused_all_at_once() {
        let settings = ThrottleSettings { count: 0, burst: Some(0), time: Duration::ZERO, ..Default::default() };
        let error = Throttle::new(settings).unwrap_err();
        assert_eq!(error.message().matches("expected").count(), 3, "{error}");
        let settings: ThrottleSettings = toml::from_str("count = 5\ntime = '1m'\nmode = 'wait'").unwrap();
        assert_eq!((settings.time, settings.mode), (Duration::from_secs(60), ThrottleMode::Wait));
    }

    proptest! {
        #[test]
        fn no_window_of_time_sees_more_than_the_rate_and_a_burst(
            count in 1..20_u32, burst in 1..10_u32, gaps in prop::collection::vec(0..200_u64, 1..200)
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            runtime.block_on(async {
                let settings = ThrottleSettings { count, burst: Some(burst), ..Default::default() };
                let throttle = Throttle::new(settings).unwrap();
                let begin = Instant::now();
                let mut passed = Vec::new();
                for gap in gaps {
                    advance(Duration::from_millis(gap)).await;
                    if throttle.take().is_ok() {
                        passed.push(begin.elapsed().as_secs_f64());
                    }
                }
                for (first, from) in passed.iter().enumerate() {
                    for (last, until) in passed.iter().enumerate().skip(first) {
                        let most = (until - from) * f64::from(count) + f64::from(burst);
                        assert!((last - first + 1) as f64 <= most + 1e-6, "{passed:?}");
                    }
                }
            });
        }
    }
}
