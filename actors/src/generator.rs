//! A source of events by the clock.

#[cfg(feature = "cron")]
mod calendar;
#[cfg(feature = "cron")]
mod cron;
#[cfg(feature = "cron")]
mod past;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use playhouse_engine::{Actor, Context, Emitter, Event, Format, Outbox, Payload, Ports, Result};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};
use tokio_util::sync::CancellationToken;

#[cfg(feature = "cron")]
pub use cron::{Cron, Missed};
#[cfg(feature = "cron")]
use cron::{Ticks, marked};

/// A time that no process lives to see the end of: from times much longer no clock can tell a point in time.
const NEVER: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);

/// Emits an event at each tick of a [`Schedule`] or of a `Cron`, and one for each event that comes in.
///
/// Where its receivers have no room, it waits for them; the ticks of that time are left out, and do not come in a burst
/// afterwards. It ends after the last tick or when the flow stops; a flow does not stop because its generators ended.
///
/// An event that comes in is delivered when what was emitted for it has ended: its receipt hangs on that too.
///
/// With the feature `cron` it can tick by the calendar of a time zone: [`Generator::cron`]. The pattern has five fields (minute,
/// hour, day of month, month, day of week), a second before them or not, and a year behind six or not. There are lists, ranges,
/// steps, names (`MON-FRI`), `L` and `W` for last days and working days, `FRI#2` for the second Friday, and `@daily` and the like.
/// Where both the day of the month and the day of the week are given, one of them is enough, but for `+MON` or where one begins with
/// a star. Each tick has two attributes: `tick.time`, when it was due in UTC (`2026-03-29T01:00:00Z`), which is the same in every
/// process, and `tick.number`, which counts the ticks of this one from 0.
///
/// What changes of the clock do, as vixie cron has it:
///
/// | pattern | an hour is skipped | an hour comes twice |
/// |---|---|---|
/// | minute and hour do not begin with `*`: `30 2 * * *`, `0,30 2-4 * * *` | what would tick in it ticks once, right after it | ticks in its first pass |
/// | one of them begins with `*`: `*/10 * * * *`, `0 */2 * * *` | does not tick in it | ticks in both passes |
///
/// Time zones are those of the system, and where it has none, those that were there when this was built. Waits are measured anew
/// every ten seconds at least, so a wall clock may be set and a machine may sleep. A clock that is set back makes no tick come
/// again: until it has caught up there are none. One that is set forward leaves ticks out, as a sleep does and receivers without
/// room: `missed` says what becomes of them.
///
/// # Ports
/// Inbox: `inbox`, for any format; it need not be connected. Outbox: `outbox`, with what was given or is made.
///
/// # Settings
/// | name | default | meaning |
/// |---|---|---|
/// | `interval` | 5 s | the time from one tick to the next; none at all is as fast as the receivers take the events |
/// | `delay` | none | the time from the start of the flow to the first tick |
/// | `count` | no end | how many ticks there are; with none, only events that come in make it emit |
///
/// Or, of a `Cron`:
///
/// | name | default | meaning |
/// |---|---|---|
/// | `pattern` | `*/12 * * * * *` | when it ticks |
/// | `zone` | `UTC` | the time zone, such as `Europe/Berlin` |
/// | `count` | no end | how many ticks there are |
/// | `missed` | `skip` | what becomes of ticks that were missed: `skip`, or `once`: the last of them comes late, for all |
/// | `grace` | 1 min | how late a tick may be before it was missed |
///
/// # Errors
/// | kind | when |
/// |---|---|
/// | `Malformed` | when it is made: the pattern or the zone is wrong, with the name of the field |
/// | `Internal` | what makes the events panicked: where an event had come in, that fails; a tick is left out, and counted as a restart |
///
/// # Example
/// ```
/// use std::time::Duration;
///
/// use playhouse_actors::{Generator, Schedule};
/// use playhouse_engine::Event;
///
/// let clock = Generator::every(Duration::from_secs(1), "tick");
/// let three = Schedule { interval: Duration::from_millis(10), count: Some(3), ..Schedule::default() };
/// let numbered = Generator::making(three, |number| Event::new(number.to_string()));
/// ```
#[derive(Clone)]
pub struct Generator(Arc<Inner>);

/// When a [`Generator`] ticks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Schedule {
    /// The time from one tick to the next; 5 s by default. None at all is as fast as the receivers take the events.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// The time from the start of the flow to the first tick; none by default.
    #[serde(with = "humantime_serde")]
    pub delay: Duration,
    /// How many ticks there are; no end by default. With none, only events that come in make it emit.
    pub count: Option<u64>,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { interval: Duration::from_secs(5), delay: Duration::ZERO, count: None }
    }
}

struct Inner {
    when: When,
    make: Box<dyn Fn(u64) -> Event + Send + Sync>,
    made: AtomicU64,
    ticks: AtomicU64,
}

enum When {
    Every(Schedule),
    #[cfg(feature = "cron")]
    Cron(Box<Ticks>),
}

impl Generator {
    /// Makes a generator that emits `payload` every `interval`, for the first time at once, without an end.
    #[must_use]
    pub fn every(interval: Duration, payload: impl Into<Payload>) -> Self {
        Self::new(Schedule { interval, ..Schedule::default() }, payload)
    }

    /// Makes a generator that emits `payload` as `schedule` says.
    #[must_use]
    pub fn new(schedule: Schedule, payload: impl Into<Payload>) -> Self {
        let payload = payload.into();
        Self::making(schedule, move |_| Event::new(payload.clone()))
    }

    /// Makes a generator that emits what `make` makes, as `schedule` says. `make` gets the number of the event: 0, 1, 2.
    #[must_use]
    pub fn making(schedule: Schedule, make: impl Fn(u64) -> Event + Send + Sync + 'static) -> Self {
        Self::when(When::Every(schedule), make)
    }

    fn when(when: When, make: impl Fn(u64) -> Event + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner { when, make: Box::new(make), made: AtomicU64::new(0), ticks: AtomicU64::new(0) }))
    }
}

#[cfg(feature = "cron")]
impl Generator {
    /// Makes a generator that emits `payload` when a cron pattern says so in a time zone.
    ///
    /// ```
    /// use playhouse_actors::Generator;
    ///
    /// let nightly = Generator::cron("30 2 * * MON-FRI", "Europe/Berlin", "settle the accounts")?;
    /// # Ok::<_, playhouse_engine::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Malformed` where the pattern or the zone is wrong, with the name of the field.
    pub fn cron(pattern: impl Into<String>, zone: impl Into<String>, payload: impl Into<Payload>) -> Result<Self> {
        Self::by_cron(Cron { pattern: pattern.into(), zone: zone.into(), ..Cron::default() }, payload)
    }

    /// Makes a generator that emits `payload` as `cron` says.
    ///
    /// # Errors
    /// `Malformed` with all that is wrong with the settings.
    pub fn by_cron(cron: Cron, payload: impl Into<Payload>) -> Result<Self> {
        let payload = payload.into();
        Self::making_by_cron(cron, move |_| Event::new(payload.clone()))
    }

    /// Makes a generator that emits what `make` makes, as `cron` says. `make` gets the number of the event: 0, 1, 2.
    ///
    /// # Errors
    /// As [`Generator::by_cron`].
    pub fn making_by_cron(cron: Cron, make: impl Fn(u64) -> Event + Send + Sync + 'static) -> Result<Self> {
        let ticks = Box::new(Ticks::new(cron, Box::new(std::time::SystemTime::now))?);
        Ok(Self::when(When::Cron(ticks), make))
    }
}

impl Inner {
    fn event(&self) -> Event {
        (self.make)(self.made.fetch_add(1, Ordering::Relaxed))
    }

    /// Emits at each tick that is left, which are fewer than all where a task before this one died.
    async fn run(self: Arc<Self>, emitter: Emitter, stopping: CancellationToken) -> Result<()> {
        match &self.when {
            When::Every(schedule) => self.run_every(schedule, emitter, stopping).await,
            #[cfg(feature = "cron")]
            When::Cron(ticks) => self.run_cron(ticks, emitter, stopping).await,
        }
    }

    async fn run_every(&self, schedule: &Schedule, emitter: Emitter, stopping: CancellationToken) -> Result<()> {
        let Schedule { interval, delay, count } = *schedule;
        let (interval, delay) = (interval.min(NEVER), delay.min(NEVER));
        let ticked = || self.ticks.load(Ordering::Relaxed);
        let first = Instant::now() + if ticked() == 0 { delay } else { interval };
        // An interval of nothing is no interval to tokio; the events then follow each other without a wait.
        let mut ticks = interval_at(first, interval.max(Duration::from_nanos(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let in_a_row = interval.is_zero();
        if in_a_row && stopping.run_until_cancelled(sleep_until(first)).await.is_none() {
            return Ok(());
        }
        while count.is_none_or(|count| ticked() < count) {
            if in_a_row {
                // A receiver that always has room must not keep other tasks from their turn.
                tokio::task::coop::consume_budget().await;
            } else if stopping.run_until_cancelled(ticks.tick()).await.is_none() {
                return Ok(());
            }
            self.ticks.fetch_add(1, Ordering::Relaxed);
            emitter.send(self.event()).await?;
        }
        Ok(())
    }

    #[cfg(feature = "cron")]
    async fn run_cron(&self, ticks: &Ticks, emitter: Emitter, stopping: CancellationToken) -> Result<()> {
        while ticks.cron.count.is_none_or(|count| self.ticks.load(Ordering::Relaxed) < count) {
            let Some(Some(tick)) = stopping.run_until_cancelled(ticks.next()).await else { return Ok(()) };
            let number = self.ticks.fetch_add(1, Ordering::Relaxed);
            emitter.send(marked(self.event(), tick, number)).await?;
        }
        Ok(())
    }
}

impl Actor for Generator {
    fn ports(&self) -> Ports {
        Ports::source(Format::ANY).with_inbox("inbox", Format::ANY)
    }

    async fn start(&mut self, context: Context) -> Result<()> {
        let (inner, emitter, stopping) = (self.0.clone(), context.emitter()?, context.stopping());
        context.spawn("ticks", move || inner.clone().run(emitter.clone(), stopping.clone()));
        Ok(())
    }

    async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        out.push(self.0.event().with_receipts_of([event]));
        Ok(())
    }
}

impl fmt::Debug for Generator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when: &dyn fmt::Debug = match &self.0.when {
            When::Every(schedule) => schedule,
            #[cfg(feature = "cron")]
            When::Cron(ticks) => ticks.as_ref(),
        };
        formatter.debug_tuple("Generator").field(when).finish()
    }
}

#[cfg(test)]
mod tests {
    use playhouse_engine::testing::{self, Probe};
    use playhouse_engine::{Director, Receipt, sink};
    use tokio::sync::mpsc;

    use super::*;

    fn numbered(schedule: Schedule) -> Generator {
        Generator::making(schedule, |number| Event::new(number.to_string()))
    }

    #[track_caller]
    fn text(event: &Event) -> String {
        event.payload().to_string()
    }

    #[tokio::test(start_paused = true)]
    async fn it_emits_after_its_delay_and_then_at_each_interval_until_its_count() {
        let schedule = Schedule { interval: Duration::from_secs(2), delay: Duration::from_secs(3), count: Some(3) };
        let begin = Instant::now();
        let mut probe = Probe::new(numbered(schedule)).await.unwrap();
        for (number, second) in [("0", 3), ("1", 5), ("2", 7)] {
            assert_eq!(text(&probe.output().await.unwrap()), number);
            assert_eq!(begin.elapsed().as_secs(), second);
        }
        assert!(probe.output().await.is_err(), "a fourth event came");
        let ledger = probe.stop().await.unwrap();
        assert!(ledger.balances());
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_event_comes_at_once_where_there_is_no_delay() {
        let begin = Instant::now();
        let mut probe = Probe::new(Generator::every(Duration::from_secs(60), "tick")).await.unwrap();
        assert_eq!(text(&probe.output().await.unwrap()), "tick");
        assert!(begin.elapsed() < Duration::from_secs(1));
        probe.stop().await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_time_that_never_ends_is_no_harm() {
        for (interval, delay, expected) in
            [(Duration::MAX, Duration::ZERO, 1), (Duration::ZERO, Duration::MAX, 0), (Duration::MAX, Duration::MAX, 0)]
        {
            let probe = Probe::new(numbered(Schedule { interval, delay, count: None })).await.unwrap();
            tokio::time::sleep(Duration::from_secs(60)).await;
            let probed = probe.monitor().actor("probed").unwrap();
            assert_eq!((probed.sent, probed.restarts), (expected, 0), "{interval:?} {delay:?}");
            probe.stop().await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_that_comes_in_makes_it_emit_one() {
        let only_when_asked = Schedule { count: Some(0), ..Schedule::default() };
        let mut probe = Probe::new(numbered(only_when_asked)).await.unwrap();
        for number in ["0", "1"] {
            probe.send(Event::new("now")).await.unwrap();
            assert_eq!(text(&probe.output().await.unwrap()), number);
        }
        probe.stop().await.unwrap();
    }

    #[tokio::test]
    async fn an_event_that_comes_in_ends_with_what_was_emitted_for_it() {
        let (receipt, settled) = Receipt::awaited();
        let generator = Generator::every(Duration::from_secs(1), "tick");
        let outputs = testing::feed(&generator, Event::new("now").with_receipt(receipt)).await.unwrap();
        assert!(outputs[0].event.receipt().is_some());
        drop(outputs);
        settled.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn ticks_that_were_missed_do_not_come_in_a_burst() {
        let (sender, mut taken) = mpsc::channel(16);
        let (room, gate) = mpsc::channel::<()>(1);
        let gate = Arc::new(tokio::sync::Mutex::new(gate));
        let mut director = Director::new("slow");
        let policy = playhouse_engine::Policy { capacity: 1, ..Default::default() };
        let generator = director
            .register("generator", numbered(Schedule { interval: Duration::from_secs(1), ..Schedule::default() }));
        let slow = director.register_with("slow", Slow { gate, sender }, policy);
        director.connect(generator, slow);
        let running = director.build().unwrap().start().await.unwrap();
        // For half a minute nothing is taken, so that the inbox is full and ticks are missed.
        tokio::time::sleep(Duration::from_millis(30_500)).await;
        drop(room);
        let mut times = Vec::new();
        let begin = Instant::now();
        while times.last().is_none_or(|last| *last < 5) {
            taken.recv().await.unwrap();
            times.push(begin.elapsed().as_secs());
        }
        // What waited comes at once, which is a few; then one each second, and not the 30 that were missed.
        assert!(times.iter().filter(|time| **time == 0).count() <= 8, "{times:?}");
        running.stop(Duration::from_secs(5)).await.unwrap();
    }

    /// Takes nothing before its gate is dropped.
    struct Slow {
        gate: Arc<tokio::sync::Mutex<mpsc::Receiver<()>>>,
        sender: mpsc::Sender<()>,
    }

    impl Actor for Slow {
        fn ports(&self) -> Ports {
            Ports::sink(Format::ANY)
        }

        async fn handle(&self, _: &Event, _: &mut Outbox) -> Result<()> {
            self.gate.lock().await.recv().await;
            self.sender.send(()).await.map_err(|_| playhouse_engine::Error::gone("the test has ended"))
        }
    }

    #[tokio::test]
    async fn without_an_interval_it_emits_as_fast_as_is_taken_and_stops_when_told() {
        let (sender, mut taken) = mpsc::unbounded_channel();
        let mut director = Director::new("fast");
        let generator =
            director.register("generator", numbered(Schedule { interval: Duration::ZERO, ..Schedule::default() }));
        let count = director.register(
            "count",
            sink(move |event| {
                sender.send(text(event)).map_err(|_| playhouse_engine::Error::gone("the test has ended"))
            }),
        );
        director.connect(generator, count);
        let running = director.build().unwrap().start().await.unwrap();
        for number in 0..10_000 {
            assert_eq!(taken.recv().await.unwrap(), number.to_string());
        }
        let ledger = running.stop(Duration::from_secs(5)).await.unwrap();
        assert!(ledger.balances() && ledger.in_flight == 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_while_an_event_is_made_loses_no_further_tick() {
        let schedule = Schedule { interval: Duration::from_secs(1), count: Some(3), ..Schedule::default() };
        let generator = Generator::making(schedule, |number| {
            assert_ne!(number, 1, "the second event cannot be made");
            Event::new(number.to_string())
        });
        let mut probe = Probe::new(generator).await.unwrap();
        for number in ["0", "2"] {
            assert_eq!(text(&probe.output().await.unwrap()), number);
        }
        probe.stop().await.unwrap();
    }
}
