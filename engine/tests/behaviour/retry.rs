//! Events that are tried again, and events that are too late.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use playhouse_engine::{
    Actor, Error, Event, Format, Kind, Light, Outbox, Policy, Ports, Result, Retry, Settings, map, sink,
};
use tokio::time::{Instant, sleep};

use crate::common::{Collected, SOON, both, collect, director, gate, numbered, numbers, receipted, room, tap};

type Calls = Arc<Mutex<Vec<(String, Instant)>>>;

/// Fails as often as the event's attribute `faults` says, and notes when it was called.
#[derive(Default)]
struct Flaky {
    kind: Option<Kind>,
    calls: Calls,
}

impl Actor for Flaky {
    async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        let text = event.payload().to_string();
        let before = {
            let mut calls = self.calls.lock().unwrap();
            let before = calls.iter().filter(|(known, _)| *known == text).count();
            calls.push((text, Instant::now()));
            before
        };
        out.push(event);
        let faults = event.attributes().integer("faults").unwrap_or_default();
        if (before as i64) < faults {
            return Err(Error::new(self.kind.unwrap_or(Kind::Unavailable), "not now"));
        }
        Ok(())
    }
}

struct Ran {
    ended: Collected,
    failed: Collected,
    calls: Calls,
}

impl Ran {
    fn calls_of(&self, text: &str) -> Vec<Instant> {
        self.calls.lock().unwrap().iter().filter(|(known, _)| known == text).map(|(_, at)| *at).collect()
    }
}

async fn run(settings: Settings, retry: Retry, kind: Option<Kind>, events: Vec<Event>) -> Ran {
    let calls = Calls::default();
    let mut director = director(settings);
    let (tap, entry) = tap();
    let tap = director.register("tap", tap);
    let policy = Policy { retry, ..Policy::default() };
    let flaky = director.register_with("flaky", Flaky { kind, calls: calls.clone() }, policy);
    let ((end, ended), (errors, failed)) = (collect(), collect());
    let (end, errors) = (director.register("end", end), director.register("errors", errors));
    director.connect(tap, flaky);
    director.connect(flaky, end);
    director.connect_error(flaky, errors);
    let running = director.build().unwrap().start().await.unwrap();
    entry.send_all(events).await.unwrap();
    running.stop(Duration::from_secs(3600)).await.unwrap();
    Ran { ended, failed, calls }
}

fn faulty(text: &str, faults: i64) -> Event {
    Event::new(text.to_owned()).with_attribute("faults", faults)
}

#[tokio::test(start_paused = true)]
async fn transient_errors_are_tried_again_in_place_and_order_is_kept() {
    both(async |settings| {
        let events = (0..8).map(|number| faulty(&number.to_string(), number % 3)).collect();
        let ran = run(settings, Retry::attempts(3), None, events).await;
        assert_eq!(ran.ended.texts(), numbers(8));
        assert_eq!(ran.failed.len(), 0);
        let calls: Vec<_> = (0..8).map(|number| ran.calls_of(&number.to_string()).len()).collect();
        assert_eq!(calls, [1, 2, 3, 1, 2, 3, 1, 2]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn waits_between_attempts_grow_and_attempts_end() {
    let retry = Retry { attempts: 4, first_wait: Duration::from_secs(1), longest_wait: Duration::from_secs(2) };
    let ran = run(Settings::default(), retry, None, vec![faulty("bad", 99), faulty("good", 0)]).await;
    let calls = ran.calls_of("bad");
    let waits: Vec<_> = calls.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
    assert_eq!(waits.len(), 3);
    for (wait, least) in waits.iter().zip([1.0, 2.0, 2.0]) {
        assert!((least..=2.0 * least + 0.01).contains(wait), "{waits:?}");
    }
    assert_eq!((ran.ended.texts(), ran.failed.texts()), (vec!["good".to_owned()], vec!["bad".to_owned()]));
    assert_eq!(ran.failed.only().error().unwrap().message(), "not now");
}

#[tokio::test(start_paused = true)]
async fn only_transient_errors_are_tried_again() {
    let transient = [Kind::Timeout, Kind::RateExceeded, Kind::Overloaded, Kind::Unavailable];
    let lasting = [Kind::Malformed, Kind::NotFound, Kind::Conflict, Kind::Internal, Kind::Cancelled];
    for (kinds, calls) in [(&transient[..], 3), (&lasting[..], 1)] {
        for kind in kinds {
            let ran = run(Settings::default(), Retry::attempts(3), Some(*kind), vec![faulty("bad", 99)]).await;
            assert_eq!(ran.calls_of("bad").len(), calls, "{kind}");
            assert_eq!(ran.failed.only().error().unwrap().kind(), *kind);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_is_not_tried_again_after_its_own_deadline() {
    let retry = Retry { attempts: 100, first_wait: Duration::from_secs(1), longest_wait: Duration::from_secs(1) };
    let began = Instant::now();
    let event = faulty("bad", 99).expires_in(Duration::from_secs(5));
    let ran = run(Settings::default(), retry, None, vec![event]).await;
    let calls = ran.calls_of("bad");
    assert!((3..=5).contains(&calls.len()), "{calls:?}");
    assert!(*calls.last().unwrap() - began < Duration::from_secs(5));
    assert_eq!(ran.failed.only().error().unwrap().kind(), Kind::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn an_error_event_is_tried_again_even_after_its_deadline() {
    let event = faulty("late", 2).expires_in(Duration::from_millis(1)).with_error(Error::timeout("late"));
    let ran = run(Settings::default(), Retry::attempts(3), None, vec![event]).await;
    assert_eq!(ran.calls_of("late").len(), 3);
    assert_eq!(ran.ended.texts(), ["late"]);
}

#[tokio::test(start_paused = true)]
async fn what_waits_to_be_tried_again_holds_nothing_else_in_hand() {
    let mut director = director(Settings::default());
    let (tap, entry) = tap();
    let tap = director.register("tap", tap);
    let retry = Retry { attempts: 2, first_wait: Duration::from_secs(60), longest_wait: Duration::from_secs(60) };
    let flaky = director.register_with("flaky", Flaky::default(), Policy { retry, ..Policy::default() });
    let (end, ended) = collect();
    let end = director.register("end", end);
    director.connect(tap, flaky);
    director.connect(flaky, end);
    let running = director.build().unwrap().start().await.unwrap();
    // The actor learns to take many at a time.
    entry.send_all(numbered(1000)).await.unwrap();
    while ended.len() < 1000 {
        tokio::task::yield_now().await;
    }
    entry.send_all([faulty("a", 0), faulty("b", 1), faulty("c", 0)]).await.unwrap();
    sleep(Duration::from_secs(10)).await;
    let flaky = running.monitor().actor("flaky").unwrap();
    assert_eq!((ended.len(), flaky.queued, flaky.received - flaky.delivered), (1001, 1, 1));
    running.stop(Duration::from_secs(600)).await.unwrap();
    assert_eq!(ended.texts()[1000..], ["a", "b", "c"]);
}

/// Waits for ever where the event says so, and for as many seconds as it says otherwise.
struct Waits(Ports);

impl Actor for Waits {
    fn ports(&self) -> Ports {
        self.0.clone()
    }

    async fn handle(&self, event: &Event, _: &mut Outbox) -> Result<()> {
        match event.attributes().integer("seconds") {
            Some(seconds) => sleep(Duration::from_secs(seconds.unsigned_abs())).await,
            None => std::future::pending().await,
        }
        Ok(())
    }
}

async fn failure(policy: Policy, ports: Ports, event: Event) -> (Option<Error>, Duration) {
    let mut director = director(Settings::default());
    let (tap, entry) = tap();
    let tap = director.register("tap", tap);
    let waits = director.register_with("waits", Waits(ports), policy);
    let (errors, failed) = collect();
    let errors = director.register("errors", errors);
    director.connect(tap, waits);
    director.connect_error(waits, errors);
    let running = director.build().unwrap().start().await.unwrap();
    let began = Instant::now();
    entry.send(event).await.unwrap();
    running.stop(Duration::from_secs(3600)).await.unwrap();
    (failed.events().first().map(|event| event.error().unwrap().clone()), began.elapsed())
}

fn sink_ports() -> Ports {
    Ports::sink(Format::ANY)
}

fn allowing(deadline: Duration) -> Policy {
    Policy { deadline, ..Policy::default() }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_takes_longer_than_its_policy_allows_fails_with_a_timeout() {
    let (error, took) = failure(allowing(Duration::from_secs(3)), sink_ports(), Event::new("endless")).await;
    let error = error.unwrap();
    assert_eq!((error.kind(), error.message()), (Kind::Timeout, "the handler did not end within 3s"));
    assert_eq!(error.actor(), Some("waits"));
    assert!(took < Duration::from_secs(4), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_outlives_its_event_fails_with_a_timeout() {
    let event = Event::new("endless").expires_in(Duration::from_secs(2));
    let (error, took) = failure(allowing(Duration::from_secs(60)), sink_ports(), event).await;
    let error = error.unwrap();
    assert_eq!((error.kind(), error.message()), (Kind::Timeout, "the event's deadline passed while it was handled"));
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_policy_may_allow_any_time() {
    let event = Event::new("a day").with_attribute("seconds", 1000_i64);
    let (error, took) = failure(allowing(Duration::MAX), sink_ports(), event).await;
    assert!(error.is_none(), "{error:?}");
    assert!(took >= Duration::from_secs(1000));
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_decides_itself_what_is_late() {
    let event = Event::new("late").with_deadline(Instant::now()).with_attribute("seconds", 5_i64);
    sleep(Duration::from_secs(1)).await;
    let (error, _) = failure(Policy::default(), Ports::endpoint(Format::ANY), event.clone()).await;
    assert!(error.is_none(), "{error:?}");
    let (error, _) = failure(Policy::default(), sink_ports(), event).await;
    assert_eq!(error.unwrap().message(), "the event's deadline passed before it was handled");
}

#[tokio::test(start_paused = true)]
async fn an_error_event_is_handled_however_late_it_is() {
    let event = Event::new("late").with_deadline(Instant::now()).with_attribute("seconds", 5_i64);
    sleep(Duration::from_secs(1)).await;
    let (error, _) = failure(Policy::default(), sink_ports(), event.with_error(Error::timeout("late"))).await;
    assert!(error.is_none(), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_waited_past_its_deadline_is_not_handled_any_more() {
    both(async |settings| {
        let mut director = director(settings);
        let (tap, entry) = tap();
        let tap = director.register("tap", tap);
        let (gate, key) = gate();
        let gate = director.register_with("gate", gate, room(10));
        let (errors, failed) = collect();
        let errors = director.register("errors", errors);
        director.connect(tap, gate);
        director.connect_error(gate, errors);
        let running = director.build().unwrap().start().await.unwrap();
        entry.send(Event::new("first")).await.unwrap();
        key.came(1).await;
        let (event, outcome) = receipted("late");
        entry.send(event.expires_in(Duration::from_secs(5))).await.unwrap();
        entry.send(Event::new("patient").expires_in(Duration::from_secs(50))).await.unwrap();
        sleep(Duration::from_secs(10)).await;
        key.open_wide();
        running.stop(SOON).await.unwrap();
        assert_eq!(key.collected.texts(), ["first", "patient"]);
        let event = failed.only();
        let error = event.error().unwrap();
        assert_eq!((error.kind(), error.actor()), (Kind::Timeout, Some("gate")));
        assert_eq!(error.message(), "the event's deadline passed before it was handled");
        drop(event);
        failed.clear();
        outcome.once().unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_light_actor_does_not_handle_what_is_late_either() {
    both(async |settings| {
        let mut director = director(settings);
        let (tap, entry) = tap();
        let tap = director.register("tap", tap);
        let first = director.register("first", map(Event::clone));
        let second = director.register("second", sink(|_| Ok(())));
        let (errors, failed) = collect();
        let errors = director.register("errors", errors);
        director.connect(tap, first);
        director.connect(first, second);
        director.connect_default_error(errors);
        let running = director.build().unwrap().start().await.unwrap();
        let late = Event::new("late").with_deadline(Instant::now());
        sleep(Duration::from_secs(1)).await;
        entry.send_all([late, Event::new("fine").expires_in(Duration::from_secs(60))]).await.unwrap();
        running.stop(SOON).await.unwrap();
        assert_eq!(failed.texts(), ["late"]);
        assert_eq!(failed.only().error().unwrap().actor(), Some("first"));
    })
    .await;
}

/// A light actor cannot wait: retry is for others. Its errors go the error route at once.
#[tokio::test(start_paused = true)]
async fn a_light_actors_transient_error_is_not_tried_again() {
    struct Busy;
    impl Light for Busy {
        fn handle(&self, _: &Event, _: &mut Outbox) -> Result<()> {
            Err(Error::overloaded("busy"))
        }
    }
    let mut director = director(Settings::default());
    let (tap, entry) = tap();
    let tap = director.register("tap", tap);
    let busy = director.register("busy", Busy);
    let ((end, _), (errors, failed)) = (collect(), collect());
    let (end, errors) = (director.register("end", end), director.register("errors", errors));
    director.connect(tap, busy);
    director.connect(busy, end);
    director.connect_error(busy, errors);
    let running = director.build().unwrap().start().await.unwrap();
    entry.send(Event::new("one")).await.unwrap();
    running.stop(SOON).await.unwrap();
    assert_eq!(failed.only().error().unwrap().message(), "busy");
}
