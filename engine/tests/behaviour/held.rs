//! Events that an actor keeps after its handler has returned.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use playhouse_engine::{
    Actor, Context, Director, Emitter, Error, Event, Format, Held, Kind, Ledger, Outbox, Ports, Result, Running,
    Settings,
};
use tokio::time::{Instant, sleep};

use crate::common::{
    Collected, Entry, SOON, both, collect, director, numbered, polled_once, receipted, records, room, tap,
};

/// Holds every event that comes.
#[derive(Default)]
struct Keeper {
    emitter: Option<Emitter>,
    kept: Kept,
}

/// What a [`Keeper`] holds, in the hands of the test too.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<Held>>>);

impl Kept {
    /// Takes what is held, once there is something.
    async fn take(&self) -> Held {
        loop {
            if let Some(held) = self.0.lock().unwrap().pop() {
                return held;
            }
            tokio::task::yield_now().await;
        }
    }
}

impl Actor for Keeper {
    fn ports(&self) -> Ports {
        Ports::endpoint(Format::ANY).with_outbox("replies", Format::ANY)
    }

    async fn start(&mut self, context: Context) -> Result<()> {
        self.emitter = Some(context.emitter()?);
        Ok(())
    }

    async fn handle(&self, event: &Event, _: &mut Outbox) -> Result<()> {
        let held = self.emitter.as_ref().unwrap().hold(event);
        self.kept.0.lock().unwrap().push(held);
        Ok(())
    }
}

/// A flow `tap -> keeper -> end`, whose keeper's errors go to `errors` where that is asked for.
async fn keeping(settings: Settings, has_error_route: bool) -> (Running, Entry, Kept, Collected, Collected) {
    let mut director = director(settings);
    let (tap, entry) = tap();
    let keeper = Keeper::default();
    let kept = keeper.kept.clone();
    let ((end, ended), (errors, failed)) = (collect(), collect());
    let tap = director.register("tap", tap);
    let keeper = director.register("keeper", keeper);
    let end = director.register("end", end);
    director.connect(tap, keeper);
    director.connect(keeper, end);
    if has_error_route {
        let errors = director.register("errors", errors);
        director.connect_error(keeper, errors);
    }
    (director.build().unwrap().start().await.unwrap(), entry, kept, ended, failed)
}

#[track_caller]
fn accounts(ledger: Ledger) -> (u64, u64, u64, u64, u64) {
    assert!(ledger.balances(), "{ledger}");
    (ledger.entered, ledger.delivered, ledger.failed, ledger.dropped, ledger.in_flight)
}

#[tokio::test]
async fn what_is_held_is_in_flight_until_it_is_done_and_replies_go_before() {
    both(async |settings| {
        let (running, entry, kept, ended, _) = keeping(settings, false).await;
        let (event, outcome) = receipted("question");
        entry.send(event).await.unwrap();
        let held = kept.take().await;
        assert_eq!(held.event().payload().to_string(), "question");
        assert_eq!(running.monitor().actor("keeper").unwrap().held, 1);
        held.send_from(0, held.event().derive("one part")).await.unwrap();
        held.offer_from(0, held.event().derive("another")).unwrap();
        let stopping = tokio::spawn(running.stop(SOON));
        while entry.permit().is_ok() {
            tokio::task::yield_now().await;
        }
        held.send_from(0, held.event().derive("the last")).await.unwrap();
        assert!(outcome.is_open() && !stopping.is_finished());
        held.done();
        let ledger = stopping.await.unwrap().unwrap();
        // The question, what was held of it, and three replies.
        assert_eq!(accounts(ledger), (5, 5, 0, 0, 0));
        assert_eq!(ended.texts(), ["one part", "another", "the last"]);
        assert!(outcome.is_open());
        ended.clear();
        outcome.once().unwrap();
    })
    .await;
}

#[tokio::test]
async fn many_that_are_done_together_count_each() {
    both(async |settings| {
        let (one, entry, kept, _ended, _) = keeping(settings.clone(), false).await;
        let (other, other_entry, other_kept, _others_ended, _) = keeping(settings, false).await;
        let (mut held, mut outcomes) = (Vec::new(), Vec::new());
        for (entry, kept) in [(&entry, &kept), (&entry, &kept), (&other_entry, &other_kept), (&entry, &kept)] {
            let (event, outcome) = receipted("question");
            entry.send(event).await.unwrap();
            held.push(kept.take().await);
            outcomes.push(outcome);
        }
        Held::all_done(held);
        outcomes.into_iter().for_each(|outcome| outcome.once().unwrap());
        assert_eq!(accounts(one.stop(SOON).await.unwrap()), (6, 6, 0, 0, 0));
        assert_eq!(accounts(other.stop(SOON).await.unwrap()), (2, 2, 0, 0, 0));
    })
    .await;
}

#[tokio::test]
async fn each_way_to_end_has_its_account() {
    both(async |settings| {
        let (running, entry, kept, _, failed) = keeping(settings, true).await;
        let mut held = Vec::new();
        for text in ["done", "failed", "abandoned"] {
            entry.send(Event::new(text)).await.unwrap();
            held.push(kept.take().await);
        }
        while running.ledger().delivered < 3 {
            tokio::task::yield_now().await;
        }
        // Three that the handler took and returned `Ok` for, and three that are held.
        assert_eq!(accounts(running.ledger()), (6, 3, 0, 0, 3));
        drop(held.pop());
        assert_eq!(accounts(running.ledger()), (6, 3, 0, 1, 2));
        held.pop().unwrap().fail(Error::timeout("no reply")).await;
        held.pop().unwrap().done();
        let monitor = running.monitor();
        let ledger = running.stop(SOON).await.unwrap();
        // And the error on its way to its actor.
        assert_eq!(accounts(ledger), (7, 5, 1, 1, 0));
        let keeper = monitor.actor("keeper").unwrap();
        assert_eq!((keeper.delivered, keeper.failed, keeper.dropped, keeper.held), (4, 1, 1, 0));
        assert_eq!(failed.only().payload().to_string(), "failed");
    })
    .await;
}

#[tokio::test]
async fn what_is_abandoned_fails_the_receipt() {
    let (running, entry, kept, _, failed) = keeping(Settings::default(), true).await;
    let (event, outcome) = receipted("question");
    entry.send(event).await.unwrap();
    drop(kept.take().await);
    running.stop(SOON).await.unwrap();
    let error = outcome.failed();
    assert_eq!((error.kind(), error.message()), (Kind::Cancelled, "the event was abandoned before its end"));
    assert_eq!(failed.len(), 0);
}

#[tokio::test]
async fn what_fails_goes_along_the_error_route_even_while_the_flow_stops() {
    both(async |settings| {
        let (running, entry, kept, _, failed) = keeping(settings, true).await;
        let (event, outcome) = receipted("question");
        entry.send(event).await.unwrap();
        let held = kept.take().await;
        let stopping = tokio::spawn(running.stop(SOON));
        while entry.permit().is_ok() {
            tokio::task::yield_now().await;
        }
        held.fail(Error::timeout("no reply")).await;
        let ledger = stopping.await.unwrap().unwrap();
        assert_eq!(accounts(ledger), (3, 2, 1, 0, 0));
        let error = failed.only().error().unwrap().clone();
        assert_eq!((error.kind(), error.message(), error.actor()), (Kind::Timeout, "no reply", Some("keeper")));
        failed.clear();
        // An actor took the failure in charge.
        outcome.once().unwrap();
    })
    .await;
}

#[tokio::test]
async fn what_fails_without_an_error_route_is_logged_and_fails_the_receipt() {
    let records = records();
    let (running, entry, kept, ..) = keeping(Settings::default(), false).await;
    let (event, outcome) = receipted("question");
    entry.send(event).await.unwrap();
    kept.take().await.fail(Error::timeout("no reply")).await;
    let ledger = running.stop(SOON).await.unwrap();
    assert_eq!(accounts(ledger), (2, 1, 1, 0, 0));
    assert_eq!(outcome.failed().to_string(), "no reply");
    let [line] = records.with("event failed").try_into().unwrap();
    assert!(line.contains("actor=keeper") && line.contains("error=no reply"), "{line}");
}

#[tokio::test]
async fn a_failure_that_is_given_up_half_way_ends_all_the_same() {
    let mut director = director(Settings::default());
    let (tap, entry) = tap();
    let keeper = Keeper::default();
    let kept = keeper.kept.clone();
    let (gate, key) = crate::common::gate();
    let (end, _) = collect();
    let [tap, end] = [director.register("tap", tap), director.register("end", end)];
    let keeper = director.register("keeper", keeper);
    let gate = director.register_with("gate", gate, room(1));
    director.connect(tap, keeper);
    director.connect(keeper, end);
    director.connect_error(keeper, gate);
    let running = director.build().unwrap().start().await.unwrap();
    let (event, outcome) = receipted("never polled");
    entry.send(event).await.unwrap();
    drop(kept.take().await.fail(Error::timeout("no reply")));
    assert_eq!(outcome.failed().kind(), Kind::Cancelled);
    // One in the gate's hands, one in its inbox, and the third finds no room.
    let mut outcomes = Vec::new();
    for number in 0..3 {
        let (event, outcome) = receipted("question");
        entry.send(event).await.unwrap();
        let held = kept.take().await;
        let sent = polled_once(held.fail(Error::timeout("no reply"))).await;
        assert_eq!(sent.is_some(), number < 2);
        if number == 0 {
            key.came(1).await;
        }
        outcomes.push(outcome);
    }
    assert_eq!(outcomes[2].failed().kind(), Kind::Cancelled);
    key.open_wide();
    let ledger = running.stop(SOON).await.unwrap();
    // Four sent, four held, three errors; of these one was dropped, and so was what was never polled.
    assert_eq!(accounts(ledger), (11, 6, 3, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_stop_says_who_holds_how_many_and_waits_for_them() {
    let records = records();
    let (running, entry, kept, ..) = keeping(Settings::default(), false).await;
    entry.send_all([Event::new("one"), Event::new("two")]).await.unwrap();
    let (one, two) = (kept.take().await, kept.take().await);
    let began = Instant::now();
    let letting_go = tokio::spawn(async move {
        sleep(Duration::from_secs(7)).await;
        one.done();
        sleep(Duration::from_secs(5)).await;
        two.done();
    });
    let ledger = running.stop(SOON).await.unwrap();
    letting_go.await.unwrap();
    assert_eq!(began.elapsed(), Duration::from_secs(12));
    assert_eq!(accounts(ledger), (4, 4, 0, 0, 0));
    let waits = records.with("the flow waits");
    let expected =
        |held: usize| format!("INFO message=the flow waits: {held} in flight (`keeper` {held} held) flow=test");
    assert_eq!(waits, [expected(2), expected(1)]);
}

#[tokio::test(start_paused = true)]
async fn what_an_aborted_flow_held_fails_its_receipt() {
    let (running, entry, kept, ..) = keeping(Settings::default(), false).await;
    let (event, outcome) = receipted("question");
    entry.send(event).await.unwrap();
    while kept.0.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    // From here on nobody but the actor holds it.
    drop(kept);
    let error = running.stop(Duration::from_secs(1)).await.unwrap_err();
    let expected = "the flow was not drained within 1s and was aborted: 1 in flight (`keeper` 1 held)";
    assert_eq!(error.to_string(), expected);
    assert_eq!(outcome.failed().kind(), Kind::Cancelled);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_many_tasks_end_at_once_adds_up() {
    const EACH: u64 = 500;
    let (running, entry, kept, _, failed) = keeping(Settings::default(), true).await;
    let monitor = running.monitor();
    let sending = tokio::spawn(async move { entry.send_all(numbered(3 * EACH as usize)).await });
    let ending: Vec<_> = (0..3)
        .map(|way| {
            let (kept, monitor) = (kept.clone(), monitor.clone());
            tokio::spawn(async move {
                for _ in 0..EACH {
                    let held = kept.take().await;
                    assert!(monitor.ledger().balances());
                    match way {
                        0 => held.done(),
                        1 => held.fail(Error::timeout("no reply")).await,
                        _ => drop(held),
                    }
                }
            })
        })
        .collect();
    sending.await.unwrap().unwrap();
    for ending in ending {
        ending.await.unwrap();
    }
    let ledger = running.stop(SOON).await.unwrap();
    assert_eq!(accounts(ledger), (7 * EACH, 5 * EACH, EACH, EACH, 0));
    assert_eq!(failed.len() as u64, EACH);
}

/// Starts and stops with its flow, and takes part in nothing else.
struct Hermit(Arc<Mutex<Vec<&'static str>>>);

impl Actor for Hermit {
    fn ports(&self) -> Ports {
        Ports::alone()
    }

    async fn start(&mut self, _: Context) -> Result<()> {
        self.0.lock().unwrap().push("started");
        Ok(())
    }

    async fn handle(&self, _: &Event, _: &mut Outbox) -> Result<()> {
        Err(Error::internal("nothing is connected to it"))
    }

    async fn stop(&mut self) {
        self.0.lock().unwrap().push("stopped");
    }
}

#[tokio::test]
async fn an_actor_without_ports_starts_and_stops_with_its_flow() {
    let journal = Arc::default();
    let settings = Settings { demand_error_routes: true, ..Settings::default() };
    let mut director = Director::with_settings("test", settings);
    director.register("hermit", Hermit(Arc::clone(&journal)));
    let running = director.build().unwrap().start().await.unwrap();
    assert_eq!(*journal.lock().unwrap(), ["started"]);
    running.stop(SOON).await.unwrap();
    assert_eq!(*journal.lock().unwrap(), ["started", "stopped"]);
}
