//! How flows start and stop.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use playhouse_engine::{
    Actor, Context, Director, Emitter, Error, Event, Format, Kind, Outbox, Permit, Ports, Result, Settings, map, sink,
    source,
};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::common::{
    Key, Pass, SOON, both, collect, director, gate, numbered, polled_once, receipted, records, room, tap,
};

type Journal = Arc<Mutex<Vec<String>>>;

/// Notes its starts and stops.
struct Noted {
    name: &'static str,
    journal: Journal,
    start: Start,
    stop: Stop,
    ports: Ports,
}

#[derive(Clone, Copy, PartialEq)]
enum Start {
    Well,
    Fails,
    Panics,
    Hangs,
}

#[derive(Clone, Copy, PartialEq)]
enum Stop {
    Well,
    Panics,
    Hangs,
}

impl Actor for Noted {
    fn ports(&self) -> Ports {
        self.ports.clone()
    }

    async fn start(&mut self, context: Context) -> Result<()> {
        assert_eq!(context.name(), self.name);
        self.journal.lock().unwrap().push(format!("start {}", self.name));
        match self.start {
            Start::Well => Ok(()),
            Start::Fails => Err(Error::unavailable("no connection").caused_by("the cable is cut")),
            Start::Panics => panic!("the start is broken"),
            Start::Hangs => std::future::pending().await,
        }
    }

    async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        out.push(event);
        Ok(())
    }

    async fn stop(&mut self) {
        self.journal.lock().unwrap().push(format!("stop {}", self.name));
        match self.stop {
            Stop::Well => {}
            Stop::Panics => panic!("the stop is broken"),
            Stop::Hangs => std::future::pending().await,
        }
    }
}

/// A flow `source -> middle -> end`, registered in another order.
fn three(middle: Start, stop: Stop) -> (Director, Journal) {
    let journal = Journal::default();
    let noted = |name, start, stop, ports| Noted { name, journal: journal.clone(), start, stop, ports };
    let mut director = Director::new("test");
    let any = Format::ANY;
    let in_the_middle = director.register("middle", noted("middle", middle, stop, Ports::pipe(any, any)));
    let source = director.register("source", noted("source", Start::Well, Stop::Well, Ports::source(any)));
    let end = director.register("end", noted("end", Start::Well, Stop::Well, Ports::sink(any)));
    director.connect(source, in_the_middle);
    director.connect(in_the_middle, end);
    (director, journal)
}

#[tokio::test]
async fn receivers_start_before_their_senders_and_stop_after_them() {
    let (director, journal) = three(Start::Well, Stop::Well);
    let running = director.build().unwrap().start().await.unwrap();
    assert_eq!(*journal.lock().unwrap(), ["start end", "start middle", "start source"]);
    journal.lock().unwrap().clear();
    running.stop(SOON).await.unwrap();
    assert_eq!(*journal.lock().unwrap(), ["stop source", "stop middle", "stop end"]);
}

#[tokio::test(start_paused = true)]
async fn a_start_that_fails_stops_those_that_started_and_names_the_actor() {
    for (start, kind, text) in [
        (Start::Fails, Kind::Unavailable, "`middle` did not start: no connection: the cable is cut"),
        (Start::Panics, Kind::Internal, "`middle` did not start: panicked: the start is broken"),
        (Start::Hangs, Kind::Timeout, "`middle` did not start: it did not start within 30s"),
    ] {
        let (director, journal) = three(start, Stop::Well);
        let error = director.build().unwrap().start().await.unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (kind, text));
        assert_eq!(*journal.lock().unwrap(), ["start end", "start middle", "stop end"]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_for_a_start_is_a_setting() {
    let mut director = director(Settings { start_deadline: Duration::from_secs(2), ..Settings::default() });
    let noted = Noted {
        name: "source",
        journal: Journal::default(),
        start: Start::Hangs,
        stop: Stop::Well,
        ports: Ports::source(Format::ANY),
    };
    let source = director.register("source", noted);
    let end = director.register("end", sink(|_| Ok(())));
    director.connect(source, end);
    let began = Instant::now();
    let error = director.build().unwrap().start().await.unwrap_err();
    assert_eq!(error.to_string(), "`source` did not start: it did not start within 2s");
    assert_eq!(began.elapsed(), Duration::from_secs(2));
}

#[tokio::test]
async fn a_stop_that_panics_stops_the_others_and_names_the_actor() {
    let (director, journal) = three(Start::Well, Stop::Panics);
    let running = director.build().unwrap().start().await.unwrap();
    journal.lock().unwrap().clear();
    let error = running.stop(SOON).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Internal);
    assert_eq!(error.to_string(), "`middle` did not stop: panicked: the stop is broken");
    assert_eq!(*journal.lock().unwrap(), ["stop source", "stop middle", "stop end"]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_hangs_ends_at_the_deadline_and_names_the_actor() {
    let (director, journal) = three(Start::Well, Stop::Hangs);
    let running = director.build().unwrap().start().await.unwrap();
    journal.lock().unwrap().clear();
    let began = Instant::now();
    let error = running.stop(Duration::from_secs(7)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout);
    assert_eq!(error.to_string(), "`middle` did not stop within the 7s of the flow's stop");
    assert_eq!(began.elapsed(), Duration::from_secs(7));
    assert_eq!(*journal.lock().unwrap(), ["stop source", "stop middle", "stop end"]);
}

/// Hands its context's tasks something to hold, so that a test sees when they are gone.
struct Holding(Arc<()>);

impl Actor for Holding {
    fn ports(&self) -> Ports {
        Ports::source(Format::ANY)
    }

    async fn start(&mut self, context: Context) -> Result<()> {
        let (held, emitter) = (self.0.clone(), context.emitter()?);
        context.spawn("holding", move || {
            let (held, emitter) = (held.clone(), emitter.clone());
            async move {
                std::future::pending::<()>().await;
                drop((held, emitter));
                Ok(())
            }
        });
        Ok(())
    }

    async fn handle(&self, _: &Event, _: &mut Outbox) -> Result<()> {
        Ok(())
    }
}

async fn is_let_go(held: &Arc<()>) {
    let alone = async {
        while Arc::strong_count(held) > 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, alone).await.expect("nothing leaks");
}

fn holding(held: &Arc<()>, end: impl FnOnce(&mut Director) -> playhouse_engine::ActorRef) -> Director {
    let mut director = Director::new("test");
    let source = director.register("source", Holding(held.clone()));
    let end = end(&mut director);
    director.connect(source, end);
    director
}

#[tokio::test(start_paused = true)]
async fn nothing_leaks_of_a_flow_that_is_dropped_aborted_or_fails_to_start() {
    let held = Arc::new(());
    let end = |director: &mut Director| director.register("end", sink(|_| Ok(())));
    let running = holding(&held, end).build().unwrap().start().await.unwrap();
    tokio::task::yield_now().await;
    drop(running);
    is_let_go(&held).await;

    let running = holding(&held, end).build().unwrap().start().await.unwrap();
    let error = running.stop(Duration::from_secs(1)).await.unwrap_err();
    let message = "the flow was not drained within 1s and was aborted: 1 tasks of actors have not ended";
    assert_eq!(error.to_string(), message);
    is_let_go(&held).await;

    // The source starts last, so another actor's start must come after it: one that nothing connects to it.
    for start in [Start::Fails, Start::Hangs] {
        let mut director = holding(&held, end);
        let noted = Noted {
            name: "other",
            journal: Journal::default(),
            start,
            stop: Stop::Well,
            ports: Ports::source(Format::ANY),
        };
        let other = director.register("other", noted);
        let end = director.register("other end", sink(|_| Ok(())));
        director.connect(other, end);
        let mut starting = Box::pin(director.build().unwrap().start());
        if start == Start::Hangs {
            assert!(polled_once(&mut starting).await.is_none());
            drop(starting);
        } else {
            starting.await.unwrap_err();
        }
        is_let_go(&held).await;
    }
}

#[tokio::test]
async fn an_event_sent_in_a_start_that_fails_settles_its_receipt() {
    struct Early(Arc<Mutex<Option<Event>>>, Arc<Mutex<Option<Emitter>>>);
    impl Actor for Early {
        fn ports(&self) -> Ports {
            Ports::source(Format::ANY)
        }
        async fn start(&mut self, context: Context) -> Result<()> {
            let emitter = context.emitter()?;
            let event = self.0.lock().unwrap().take().unwrap();
            emitter.send(event).await?;
            *self.1.lock().unwrap() = Some(emitter);
            Err(Error::unavailable("no connection"))
        }
        async fn handle(&self, _: &Event, _: &mut Outbox) -> Result<()> {
            Ok(())
        }
    }
    let (event, outcome) = receipted("early");
    let emitter = Arc::new(Mutex::new(None));
    let mut director = Director::new("test");
    let early = director.register("early", Early(Arc::new(Mutex::new(Some(event))), emitter.clone()));
    let end = director.register("end", sink(|_| Ok(())));
    director.connect(early, end);
    director.build().unwrap().start().await.unwrap_err();
    assert_eq!(outcome.failed().kind(), Kind::Cancelled);
    let emitter = emitter.lock().unwrap().take().unwrap();
    assert_eq!(emitter.offer(Event::new("late")).unwrap_err().kind(), Kind::Cancelled);
}

#[tokio::test]
async fn no_event_moves_before_every_actor_has_started() {
    /// Sends in its start, and starts before the last actor does.
    struct Early;
    impl Actor for Early {
        fn ports(&self) -> Ports {
            Ports::source(Format::ANY)
        }
        async fn start(&mut self, context: Context) -> Result<()> {
            context.emitter()?.send(Event::new("early")).await
        }
        async fn handle(&self, _: &Event, _: &mut Outbox) -> Result<()> {
            Ok(())
        }
    }
    let started = Arc::new(AtomicUsize::new(0));
    struct Last(Arc<AtomicUsize>);
    impl Actor for Last {
        fn ports(&self) -> Ports {
            Ports::source(Format::ANY)
        }
        async fn start(&mut self, _: Context) -> Result<()> {
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
        async fn handle(&self, _: &Event, _: &mut Outbox) -> Result<()> {
            Ok(())
        }
    }
    for first in [true, false] {
        let mut director = Director::new("test");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (noted, count) = (seen.clone(), started.clone());
        let end = director.register(
            "end",
            sink(move |_| {
                noted.lock().unwrap().push(count.swap(0, Ordering::SeqCst));
                Ok(())
            }),
        );
        let mut register = |is_early: bool| match is_early {
            true => director.register("early", Early),
            false => director.register("last", Last(started.clone())),
        };
        let (one, two) = (register(first), register(!first));
        director.connect(one, end);
        director.connect(two, end);
        let running = director.build().unwrap().start().await.unwrap();
        running.stop(SOON).await.unwrap();
        assert_eq!(*seen.lock().unwrap(), [1]);
    }
}

/// A flow `tap -> pass -> gate` that runs.
async fn gated(settings: Settings) -> (playhouse_engine::Running, crate::common::Entry, Key) {
    let mut director = director(settings);
    let (tap, entry) = tap();
    let tap = director.register("tap", tap);
    let pass = director.register("pass", map(Event::clone));
    let (gate, key) = gate();
    let gate = director.register_with("gate", gate, room(8));
    director.connect(tap, pass);
    director.connect(pass, gate);
    (director.build().unwrap().start().await.unwrap(), entry, key)
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_what_is_in_flight_and_says_every_five_seconds_who_holds_it() {
    both(async |settings| {
        let records = records();
        let (running, entry, key) = gated(settings).await;
        entry.send_all(numbered(3)).await.unwrap();
        key.came(1).await;
        let began = Instant::now();
        let letting_go = tokio::spawn({
            let key = key.clone();
            async move {
                sleep(Duration::from_secs(12)).await;
                key.open(2);
                sleep(Duration::from_secs(5)).await;
                key.open(1);
            }
        });
        let ledger = running.stop(Duration::from_secs(60)).await.unwrap();
        letting_go.await.unwrap();
        assert_eq!(began.elapsed(), Duration::from_secs(17));
        assert_eq!((ledger.delivered, key.collected.len()), (6, 3));
        let waits = records.with("the flow waits");
        let expected = |queued: usize| {
            format!(
                "INFO message=the flow waits: {} in flight (`gate` {queued} queued and 1 in hand) flow=test",
                queued + 1
            )
        };
        assert_eq!(waits, [expected(2), expected(2), expected(0)]);
        assert_eq!(
            records.with("has stopped"),
            ["INFO message=the flow has stopped: in=6 delivered=6 failed=0 dropped=0 in_flight=0 flow=test"]
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_takes_too_long_aborts_and_names_what_was_abandoned() {
    both(async |settings| {
        let (running, entry, key) = gated(settings).await;
        let (events, outcomes): (Vec<_>, Vec<_>) = (0..3).map(|_| receipted("one")).unzip();
        entry.send_all(events).await.unwrap();
        key.came(1).await;
        let error = running.stop(Duration::from_secs(3)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Timeout);
        assert_eq!(
            error.to_string(),
            "the flow was not drained within 3s and was aborted: 3 in flight (`gate` 2 queued and 1 in hand)"
        );
        for outcome in outcomes {
            assert_eq!(outcome.failed().kind(), Kind::Cancelled);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_room_is_named_too() {
    both(async |settings| {
        let mut director = director(settings);
        let (tap, entry) = tap();
        let tap = director.register("tap", tap);
        let pass = director.register_with("pass", Pass, room(2));
        let (gate, key) = gate();
        let gate = director.register_with("gate", gate, room(1));
        director.connect(tap, pass);
        director.connect(pass, gate);
        let running = director.build().unwrap().start().await.unwrap();
        let sending = tokio::spawn(async move { entry.send_all(numbered(5)).await });
        key.came(1).await;
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        let error = running.stop(Duration::from_secs(3)).await.unwrap_err().to_string();
        let (_, holders) = error.split_once("aborted: ").unwrap();
        assert_eq!(
            holders,
            "5 in flight (`pass` 1 queued and 0 in hand, `gate` 1 queued and 1 in hand, 2 between actors or about to enter)"
        );
        sending.await.unwrap().unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_may_take_any_time() {
    let (running, entry, key) = gated(Settings::default()).await;
    entry.send(Event::new("one")).await.unwrap();
    key.came(1).await;
    tokio::spawn(async move {
        sleep(Duration::from_secs(1000)).await;
        key.open_wide();
    });
    running.stop(Duration::MAX).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_blocks_its_thread_does_not_hold_up_the_end_of_a_stop() {
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    let blocked = Mutex::new(blocked);
    let began = Arc::new(Notify::new());
    let mut director = director(Settings::default());
    let (tap, entry) = tap();
    let tap = director.register("tap", tap);
    let noted = began.clone();
    let block = director.register(
        "block",
        sink(move |_| {
            noted.notify_one();
            let _ = blocked.lock().unwrap().recv();
            Ok(())
        }),
    );
    director.connect(tap, block);
    let running = director.build().unwrap().start().await.unwrap();
    let sending = tokio::spawn(async move { entry.send(Event::new("one")).await });
    began.notified().await;
    let stopped = tokio::time::timeout(SOON, running.stop(Duration::from_millis(10))).await;
    drop(release);
    let error = stopped.expect("the stop ends").unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout);
    let _ = sending.await;
}

#[tokio::test(start_paused = true)]
async fn a_permit_holds_up_the_stop_and_sends_while_it_lasts() {
    both(async |settings| {
        let (running, entry, key) = gated(settings).await;
        key.open_wide();
        let permit: Permit = entry.permit().unwrap();
        let stopping = tokio::spawn(running.stop(SOON));
        sleep(Duration::from_secs(1)).await;
        assert!(!stopping.is_finished());
        entry.send(Event::new("refused")).await.unwrap_err();
        permit.send_from(0, Event::new("sent")).await.unwrap();
        permit.offer_from(0, Event::new("offered")).unwrap();
        sleep(Duration::from_secs(1)).await;
        assert!(!stopping.is_finished());
        drop(permit);
        let ledger = stopping.await.unwrap().unwrap();
        assert_eq!(key.collected.texts(), ["sent", "offered"]);
        assert_eq!((ledger.entered, ledger.delivered), (4, 4));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_permit_that_is_held_for_ever_is_named_when_the_stop_aborts() {
    let (running, entry, _key) = gated(Settings::default()).await;
    let _permit = entry.permit().unwrap();
    let error = running.stop(Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the flow was not drained within 1s and was aborted: 1 in flight (1 between actors or about to enter)"
    );
}

#[tokio::test(start_paused = true)]
async fn a_task_that_fails_or_panics_is_made_anew_after_a_growing_wait_and_counted() {
    let records = records();
    let calls = Arc::new(Mutex::new(Vec::new()));
    let mut director = director(Settings::default());
    let noted = calls.clone();
    let source = director.register(
        "source",
        source(move |emitter| {
            let calls = noted.clone();
            async move {
                let call = {
                    let mut calls = calls.lock().unwrap();
                    calls.push(Instant::now());
                    calls.len()
                };
                match call {
                    1 => Err(Error::unavailable("no connection")),
                    2 => panic!("the task is broken"),
                    3 => {
                        emitter.send(Event::new("one")).await?;
                        Err(Error::unavailable("no connection any more"))
                    }
                    _ => Ok(()),
                }
            }
        }),
    );
    let (end, ended) = collect();
    let end = director.register("end", end);
    director.connect(source, end);
    let running = director.build().unwrap().start().await.unwrap();
    sleep(Duration::from_secs(30)).await;
    let statistics = running.monitor().actor("source").unwrap();
    running.stop(SOON).await.unwrap();
    let calls = calls.lock().unwrap();
    assert_eq!((calls.len(), statistics.restarts, ended.len()), (4, 3, 1));
    let waits: Vec<_> = calls.windows(2).map(|pair| (pair[1] - pair[0]).as_millis()).collect();
    for (wait, least) in waits.iter().zip([100, 200, 400]) {
        assert!((least..=2 * least + 10).contains(wait), "{waits:?}");
    }
    let failures = records.with("task `source` failed");
    assert_eq!(failures.len(), 3);
    assert_eq!(failures[1], "WARN message=task `source` failed: panicked: the task is broken flow=test actor=source");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_waits_to_be_made_anew_does_not_hold_up_a_stop() {
    let mut director = director(Settings::default());
    let source = director.register("source", source(|_| async { Err(Error::unavailable("never")) }));
    let end = director.register("end", sink(|_| Ok(())));
    director.connect(source, end);
    let running = director.build().unwrap().start().await.unwrap();
    sleep(Duration::from_secs(300)).await;
    let began = Instant::now();
    running.stop(SOON).await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_source_in_the_middle_of_its_work_is_stopped_by_its_next_send() {
    both(async |settings| {
        let mut director = director(settings);
        let source = director.register(
            "source",
            source(|emitter| async move {
                loop {
                    emitter.send(Event::new("one")).await?;
                    sleep(Duration::from_millis(1)).await;
                }
            }),
        );
        let (end, ended) = collect();
        let end = director.register("end", end);
        director.connect(source, end);
        let flow = director.build().unwrap();
        let monitor = flow.monitor();
        let ledger = flow.run_until(sleep(Duration::from_secs(1)), SOON).await.unwrap();
        assert!(ledger.delivered >= 900);
        assert_eq!(ledger.delivered, ended.len() as u64);
        assert_eq!(monitor.actor("source").unwrap().restarts, 0);
    })
    .await;
}

/// Emits what the test asks for, and answers what comes back.
struct Endpoint {
    emitter: Arc<Mutex<Option<Emitter>>>,
    answered: Arc<AtomicUsize>,
}

impl Actor for Endpoint {
    fn ports(&self) -> Ports {
        Ports::endpoint(Format::ANY).with_outbox("requests", Format::ANY)
    }

    async fn start(&mut self, context: Context) -> Result<()> {
        *self.emitter.lock().unwrap() = Some(context.emitter()?);
        Ok(())
    }

    async fn handle(&self, _: &Event, _: &mut Outbox) -> Result<()> {
        self.answered.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_ring_through_an_endpoint_drains() {
    both(async |settings| {
        let (emitter, answered) = (Arc::new(Mutex::new(None)), Arc::new(AtomicUsize::new(0)));
        let mut director = director(settings);
        let endpoint = Endpoint { emitter: emitter.clone(), answered: answered.clone() };
        let http = director.register_with("http", endpoint, room(2));
        let light = director.register_with("light", map(Event::clone), room(2));
        let pass = director.register_with("pass", Pass, room(2));
        director.connect(http, light);
        director.connect(light, pass);
        director.connect(pass, http);
        director.connect_error(pass, http);
        let running = director.build().unwrap().start().await.unwrap();
        let emitter = emitter.lock().unwrap().clone().unwrap();
        let sending = tokio::spawn(async move {
            for event in numbered(1000) {
                emitter.send(event).await?;
            }
            Ok::<_, Error>(())
        });
        while answered.load(Ordering::SeqCst) < 100 {
            tokio::task::yield_now().await;
        }
        let ledger = running.stop(SOON).await.unwrap();
        assert_eq!(sending.await.unwrap().map_err(|error| error.kind()), Err(Kind::Cancelled));
        assert_eq!(ledger.delivered, 3 * answered.load(Ordering::SeqCst) as u64);
    })
    .await;
}

#[tokio::test]
async fn an_actor_that_does_not_say_that_it_emits_gets_no_emitter() {
    struct Silent(Arc<Mutex<Option<Error>>>);
    impl Actor for Silent {
        fn ports(&self) -> Ports {
            Ports::sink(Format::ANY)
        }
        async fn start(&mut self, context: Context) -> Result<()> {
            *self.0.lock().unwrap() = context.emitter().err();
            Ok(())
        }
        async fn handle(&self, _: &Event, _: &mut Outbox) -> Result<()> {
            Ok(())
        }
    }
    let error = Arc::new(Mutex::new(None));
    let mut director = director(Settings::default());
    let (tap, _) = tap();
    let tap = director.register("tap", tap);
    let silent = director.register("silent", Silent(error.clone()));
    director.connect(tap, silent);
    let running = director.build().unwrap().start().await.unwrap();
    running.stop(SOON).await.unwrap();
    assert_eq!(
        error.lock().unwrap().take().unwrap().message(),
        "the actor's ports do not say that it emits: expected `Ports::source`, `endpoint` or `emitting`"
    );
}
