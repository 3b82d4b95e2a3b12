//! Ticks by the calendar: which are due, by a wall clock that may be set, or stand still with its machine.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use playhouse_engine::{Error, Event, Result};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::calendar::{Calendar, written};
use super::past::Past;
use crate::span;

/// How long it sleeps at most: the wall clock may be set meanwhile, and a sleep does not notice.
const LOOKS_EVERY: Duration = Duration::from_secs(10);

/// The times of a calendar at which a [`Generator`](crate::Generator) ticks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Cron {
    /// Minute, hour, day of the month, month and day of the week; a second before them or not, and a year behind six or not.
    /// `*/12 * * * * *` by default: every twelve seconds.
    pub pattern: String,
    /// The time zone, by its name in the IANA database; `UTC` by default.
    pub zone: String,
    /// How many ticks there are; no end by default.
    pub count: Option<u64>,
    /// What becomes of ticks that were missed; they are left out by default.
    pub missed: Missed,
    /// How late a tick may be before it was missed; 1 minute by default.
    #[serde(with = "humantime_serde")]
    pub grace: Duration,
}

/// What becomes of ticks for which nobody was there: the clock was set forward, the machine slept, or the receivers had no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Missed {
    /// They are left out.
    #[default]
    Skip,
    /// The last of them comes late, for all.
    Once,
}

impl Default for Cron {
    fn default() -> Self {
        Self {
            pattern: "*/12 * * * * *".to_owned(),
            zone: "UTC".to_owned(),
            count: None,
            missed: Missed::default(),
            grace: Duration::from_secs(60),
        }
    }
}

impl Cron {
    /// Returns the ticks after a time, one after the other.
    ///
    /// # Errors
    /// `Malformed` with all that is wrong with the settings.
    pub fn ticks(&self, after: SystemTime) -> Result<impl Iterator<Item = SystemTime> + use<>> {
        let calendar = self.calendar()?;
        let first = seconds(after);
        Ok(std::iter::successors(calendar.after(first), move |tick| calendar.after(*tick)).map(time))
    }

    fn calendar(&self) -> Result<Calendar> {
        let (calendar, mut problems) = match Calendar::new(&self.pattern, &self.zone) {
            Ok(calendar) => (Some(calendar), Vec::new()),
            Err(problems) => (None, problems),
        };
        problems.extend(span::problem("grace", self.grace));
        match calendar {
            Some(calendar) if problems.is_empty() => Ok(calendar),
            _ => Err(Error::malformed(format!("no cron: {}", problems.join("; ")))),
        }
    }
}

type Clock = Box<dyn Fn() -> SystemTime + Send + Sync>;

/// The ticks of one generator, and how far it has come.
pub(super) struct Ticks {
    pub(super) cron: Cron,
    calendar: Calendar,
    clock: Clock,
    /// Nothing before the first look. Held for a few look-ups.
    past: Mutex<Option<Past>>,
}

/// What is to be done at a look at the clock.
enum Look {
    Tick(i64),
    Sleep(Duration),
    /// The calendar is at its end.
    End,
}

impl Ticks {
    pub(super) fn new(cron: Cron, clock: Clock) -> Result<Self> {
        let calendar = cron.calendar()?;
        Ok(Self { cron, calendar, clock, past: Mutex::default() })
    }

    /// Waits for the next tick, and returns its time; nothing where there will be none. What is given up here is not lost.
    pub(super) async fn next(&self) -> Option<i64> {
        loop {
            match self.look() {
                Look::Tick(tick) => return Some(tick),
                Look::Sleep(time) => sleep(time).await,
                Look::End => return None,
            }
        }
    }

    fn look(&self) -> Look {
        let clock = (self.clock)();
        let now = seconds(clock);
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        let past = past.get_or_insert_with(|| Past::new(now));
        if now < past.at() {
            tracing::warn!(
                seconds = past.at() - now,
                "the clock was set back: what ticked already does not tick again"
            );
            past.move_back(now);
        } else if now > past.at() {
            let due = self.due(past, now);
            past.move_on(now, due);
            if let Some(tick) = due {
                if self.cron.missed == Missed::Once || time(tick) + self.cron.grace >= clock {
                    return Look::Tick(tick);
                }
                tracing::warn!(tick = written(tick), "ticks were missed");
            }
        }
        let mut next = self.calendar.after(now);
        while let Some((_, until)) = next.and_then(|tick| past.span_of(tick)) {
            next = self.calendar.after(until);
        }
        match next {
            Some(next) => Look::Sleep(time(next).duration_since(clock).unwrap_or_default().min(LOOKS_EVERY)),
            // The clock may still be set back.
            None if past.span_of(now).is_some_and(|(_, until)| until > now) => Look::Sleep(LOOKS_EVERY),
            None => Look::End,
        }
    }

    /// Returns the last tick since the last look that has not come before.
    fn due(&self, past: &Past, now: i64) -> Option<i64> {
        let mut until = now;
        loop {
            let tick = self.calendar.latest(past.at(), until)?;
            match past.span_of(tick) {
                None => return Some(tick),
                Some((after, _)) => until = after,
            }
        }
    }
}

/// Adds to an event which tick it is: the same in every process.
pub(super) fn marked(event: Event, tick: i64, number: u64) -> Event {
    let number = i64::try_from(number).unwrap_or(i64::MAX);
    event.with_attribute("tick.time", written(tick)).with_attribute("tick.number", number)
}

fn seconds(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        // Before 1970 is a clock that was never set.
        Err(_) => 0,
    }
}

fn time(second: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(second).unwrap_or(0))
}

impl fmt::Debug for Ticks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.cron, formatter)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use playhouse_engine::Payload;
    use playhouse_engine::testing::Probe;
    use tokio::time::{Instant, advance};

    use super::super::When;
    use super::*;
    use crate::Generator;

    /// A wall clock that goes on with the test's time and can be set.
    #[derive(Clone)]
    struct Wall(Arc<AtomicI64>, Instant);

    impl Wall {
        fn at(text: &str) -> Self {
            let at = text.parse::<jiff::Timestamp>().unwrap().as_second();
            Self(Arc::new(AtomicI64::new(at)), Instant::now())
        }

        fn set(&self, by: i64) {
            self.0.fetch_add(by, Ordering::Relaxed);
        }

        fn now(&self) -> SystemTime {
            time(self.0.load(Ordering::Relaxed)) + self.1.elapsed()
        }
    }

    fn generator(cron: Cron, wall: &Wall) -> Generator {
        let wall = wall.clone();
        let ticks = Ticks::new(cron, Box::new(move || wall.now())).unwrap();
        Generator::when(When::Cron(Box::new(ticks)), |number| Event::new(Payload::from(number.to_string())))
    }

    fn every_minute() -> Cron {
        Cron { pattern: "* * * * *".into(), ..Cron::default() }
    }

    /// Returns the next event, or nothing where none comes for two days.
    async fn next(probe: &mut Probe) -> Option<Event> {
        // The probe is impatient.
        for _ in 0..2 * 24 * 360 {
            if let Ok(event) = probe.output().await {
                return Some(event);
            }
        }
        None
    }

    /// Returns the hour, the minute and the second of the next tick.
    async fn tick(probe: &mut Probe) -> String {
        let event = next(probe).await.unwrap();
        event.attribute("tick.time").unwrap().as_str().unwrap()[11..19].to_owned()
    }

    /// Lets a time go by, in steps in which everything that is due is done.
    async fn pass(seconds: u64) {
        for _ in 0..seconds {
            advance(Duration::from_secs(1)).await;
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_tick_tells_when_it_was_due_and_its_number() {
        let wall = Wall::at("2026-03-29T00:59:30Z");
        let mut probe =
            Probe::new(generator(Cron { zone: "Europe/Berlin".into(), ..every_minute() }, &wall)).await.unwrap();
        for (number, due) in [(0, "2026-03-29T01:00:00Z"), (1, "2026-03-29T01:01:00Z")] {
            let event = next(&mut probe).await.unwrap();
            assert_eq!(event.attribute("tick.time").unwrap().as_str(), Some(due));
            assert_eq!(event.attribute("tick.number").unwrap().as_integer(), Some(number));
            let late = wall.now().duration_since(UNIX_EPOCH).unwrap().as_millis() % 60_000;
            assert!(late < 5, "late by {late} ms");
        }
        assert!(probe.stop().await.unwrap().balances());
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_goes_wrong_does_not_move_the_ticks() {
        let wall = Wall::at("2026-03-01T12:00:00Z");
        let mut probe = Probe::new(generator(every_minute(), &wall)).await.unwrap();
        for number in 1..30 {
            // The wall clock is set by three seconds each minute.
            wall.set(if number % 2 == 0 { 3 } else { -3 });
            assert_eq!(tick(&mut probe).await, format!("12:{number:02}:00"));
        }
        probe.stop().await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_back_repeats_no_tick() {
        let wall = Wall::at("2026-03-01T11:59:30Z");
        let mut probe = Probe::new(generator(every_minute(), &wall)).await.unwrap();
        assert_eq!(tick(&mut probe).await, "12:00:00");
        assert_eq!(tick(&mut probe).await, "12:01:00");
        wall.set(-30 * 60);
        let begin = Instant::now();
        assert_eq!(tick(&mut probe).await, "12:02:00");
        assert_eq!(begin.elapsed().as_secs() / 60, 31);
        probe.stop().await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_was_wrong_by_years_and_is_set_right_ticks_again_at_once() {
        let wall = Wall::at("2026-03-01T11:59:30Z");
        let mut probe = Probe::new(generator(every_minute(), &wall)).await.unwrap();
        let years = 20 * 365 * 24 * 60 * 60;
        let mut ticked = Vec::new();
        // The last time it comes back to where it was.
        for set in [0, years, -years, years, -years] {
            wall.set(set);
            ticked.push(next(&mut probe).await.unwrap().attribute("tick.time").unwrap().to_string());
        }
        let expected =
            ["2026-03-01T12:00", "2046-02-24T12:00", "2026-03-01T12:01", "2046-02-24T12:01", "2026-03-01T12:02"];
        assert_eq!(ticked, expected.map(|minute| format!("{minute}:00Z")));
        probe.stop().await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_clock_that_is_set_forward_jumps_over_is_left_out_or_comes_once() {
        for (missed, expected) in [(Missed::Skip, ["10:00:00", "13:00:00"]), (Missed::Once, ["10:00:00", "12:00:00"])] {
            let wall = Wall::at("2026-03-01T09:59:50Z");
            let cron = Cron { pattern: "0 * * * *".into(), missed, ..Cron::default() };
            let mut probe = Probe::new(generator(cron, &wall)).await.unwrap();
            assert_eq!(tick(&mut probe).await, expected[0]);
            wall.set(2 * 60 * 60 + 60 * 5);
            let begin = Instant::now();
            assert_eq!(tick(&mut probe).await, expected[1]);
            if missed == Missed::Once {
                assert!(begin.elapsed() <= LOOKS_EVERY, "{:?}", begin.elapsed());
            }
            assert!(probe.stop().await.unwrap().balances());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_tick_within_the_grace_comes_although_the_machine_slept() {
        let wall = Wall::at("2026-03-01T01:00:00Z");
        let cron = Cron { pattern: "0 2 * * *".into(), ..Cron::default() };
        let mut probe = Probe::new(generator(cron, &wall)).await.unwrap();
        pass(1).await;
        // It sleeps until half a minute after the tick.
        wall.set(60 * 60 + 20);
        assert_eq!(tick(&mut probe).await, "02:00:00");
        probe.stop().await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_after_its_last_tick() {
        let wall = Wall::at("2026-12-31T23:59:00Z");
        let cron = Cron { count: Some(2), ..every_minute() };
        let mut probe = Probe::new(generator(cron, &wall)).await.unwrap();
        assert_eq!([tick(&mut probe).await, tick(&mut probe).await], ["00:00:00", "00:01:00"]);
        assert!(next(&mut probe).await.is_none());
        probe.stop().await.unwrap();
        let this_year = Cron { pattern: "0 * * * * * 2026".into(), ..Cron::default() };
        let mut probe = Probe::new(generator(this_year, &Wall::at("2026-12-31T23:58:30Z"))).await.unwrap();
        assert_eq!(tick(&mut probe).await, "23:59:00");
        assert!(next(&mut probe).await.is_none());
        probe.stop().await.unwrap();
    }

    #[test]
    fn settings_are_the_same_in_a_file() {
        let cron: Cron =
            toml::from_str("pattern = '@daily'\nzone = 'Asia/Kolkata'\nmissed = 'once'\ngrace = '5m'").unwrap();
        assert_eq!((cron.missed, cron.grace), (Missed::Once, Duration::from_secs(300)));
        let day = cron.ticks(UNIX_EPOCH).unwrap().next().unwrap();
        assert_eq!(day, UNIX_EPOCH + Duration::from_secs(24 * 3600 - 5 * 3600 - 30 * 60));
        assert!(toml::from_str::<Cron>("pattren = '@daily'").is_err());
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let cron = Cron { pattern: "99 * * * *".into(), zone: "Mars".into(), grace: Duration::ZERO, ..Cron::default() };
        let error = Generator::by_cron(cron, "").unwrap_err();
        for field in ["the minute is `99`", "`zone`: there is no `Mars`", "`grace`: expected"] {
            assert!(error.message().contains(field), "{error}");
        }
    }
}
