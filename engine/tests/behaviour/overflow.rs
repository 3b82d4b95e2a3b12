//! What a full inbox does to those who send there.

use std::time::Duration;

use playhouse_engine::{
    Actor, ActorRef, Director, Event, Kind, Outbox, Overflow, Policy, Result, Settings, map, sink, source,
};

use crate::common::{
    Collected, Entry, Key, Pass, SOON, both, collect, director, gate, numbered, numbers, receipted, records, room, tap,
};

fn policy(capacity: usize, overflow: Overflow) -> Policy {
    Policy { capacity, overflow, ..Policy::default() }
}

#[tokio::test(start_paused = true)]
async fn a_slow_receiver_paces_a_fast_source_and_nothing_is_lost() {
    both(async |settings| {
        let mut director = director(settings);
        let source = director.register(
            "source",
            source(|emitter| async move {
                for event in numbered(400) {
                    emitter.send(event).await?;
                }
                Ok(())
            }),
        );
        let light = director.register_with("light", map(Event::clone), room(4));
        let pass = director.register_with("pass", Pass, room(4));
        let (gate, key) = gate();
        let gate = director.register_with("gate", gate, room(4));
        director.connect(source, light);
        director.connect(light, pass);
        director.connect(pass, gate);
        let running = director.build().unwrap().start().await.unwrap();
        let monitor = running.monitor();
        for _ in 0..400 {
            key.came(1).await;
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            let statistics = monitor.statistics();
            for actor in &statistics.actors {
                assert!(actor.queued <= 4 + 4, "{actor:?}");
            }
            // Three inboxes, and what three workers have in hand and on its way out: as much again.
            let in_flight = statistics.ledger.in_flight;
            assert!(in_flight <= 2 * 3 * 4 + 2, "{in_flight} in flight");
            key.open(1);
        }
        running.stop(SOON).await.unwrap();
        assert_eq!(key.collected.texts(), numbers(400));
        assert!(monitor.statistics().ledger.balances());
    })
    .await;
}

/// A flow `tap -> pass -> gate` whose gate has little room, and whose error routes lead to `errors`.
struct Narrow {
    director: Director,
    entry: Entry,
    key: Key,
    errors: Collected,
    tap: ActorRef,
    pass: ActorRef,
    gate: ActorRef,
}

fn narrow(settings: Settings, overflow: Overflow, is_light: bool) -> Narrow {
    let mut director = director(settings);
    let (tap, entry) = tap();
    let tap = director.register("tap", tap);
    let pass = match is_light {
        true => director.register("pass", map(Event::clone)),
        false => director.register("pass", Pass),
    };
    let (gate, key) = gate();
    let gate = director.register_with("gate", gate, policy(2, overflow));
    let (collect, errors) = collect();
    let taker = director.register("errors", collect);
    director.connect_error(pass, taker);
    director.connect_error(tap, taker);
    Narrow { director, entry, key, errors, tap, pass, gate }
}

#[tokio::test(start_paused = true)]
async fn what_a_handler_sends_to_a_full_inbox_that_sheds_goes_the_handlers_error_route() {
    both(async |settings| {
        for is_light in [true, false] {
            let mut narrow = narrow(settings.clone(), Overflow::Shed, is_light);
            narrow.director.connect(narrow.tap, narrow.pass);
            narrow.director.connect(narrow.pass, narrow.gate);
            let running = narrow.director.build().unwrap().start().await.unwrap();
            narrow.entry.send(Event::new("held")).await.unwrap();
            narrow.key.came(1).await;
            narrow.entry.send_all(numbered(5)).await.unwrap();
            // Two wait in the inbox, three do not find room.
            while narrow.errors.len() < 3 {
                tokio::task::yield_now().await;
            }
            narrow.key.open_wide();
            let monitor = running.monitor();
            let ledger = running.stop(SOON).await.unwrap();
            assert_eq!(narrow.key.collected.texts(), ["held", "0", "1"]);
            assert_eq!(narrow.errors.texts(), ["2", "3", "4"]);
            let error = narrow.errors.events()[0].error().unwrap().clone();
            assert_eq!((error.kind(), error.message()), (Kind::Overloaded, "the inbox of `gate` is full"));
            assert_eq!(error.actor(), Some("pass"));
            assert!(error.wait().unwrap() >= Duration::from_secs(1));
            assert_eq!(monitor.actor("gate").unwrap().shed, 3);
            assert_eq!((ledger.failed, ledger.dropped), (3, 0));
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_a_handler_sends_to_a_full_inbox_that_drops_is_counted() {
    both(async |settings| {
        for is_light in [true, false] {
            let mut narrow = narrow(settings.clone(), Overflow::Drop, is_light);
            narrow.director.connect(narrow.tap, narrow.pass);
            narrow.director.connect(narrow.pass, narrow.gate);
            let running = narrow.director.build().unwrap().start().await.unwrap();
            narrow.entry.send(Event::new("held")).await.unwrap();
            narrow.key.came(1).await;
            narrow.entry.send_all(numbered(5)).await.unwrap();
            let monitor = running.monitor();
            while monitor.actor("gate").unwrap().dropped < 3 {
                tokio::task::yield_now().await;
            }
            narrow.key.open_wide();
            let ledger = running.stop(SOON).await.unwrap();
            assert_eq!(narrow.key.collected.texts(), ["held", "0", "1"]);
            assert_eq!((ledger.failed, ledger.dropped, narrow.errors.len()), (0, 3, 0));
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_a_source_sends_to_a_full_inbox_is_shed_or_dropped_as_its_policy_says() {
    both(async |settings| {
        for (overflow, together) in
            [(Overflow::Shed, false), (Overflow::Shed, true), (Overflow::Drop, false), (Overflow::Drop, true)]
        {
            let mut narrow = narrow(settings.clone(), overflow, true);
            narrow.director.connect(narrow.tap, narrow.gate);
            let (rest, rested) = collect();
            let rest = narrow.director.register("rest", rest);
            narrow.director.connect(narrow.tap, rest);
            narrow.director.connect(narrow.pass, rest.port("unused"));
            let nothing = rest_source(&mut narrow.director);
            narrow.director.connect(nothing, narrow.pass);
            let running = narrow.director.build().unwrap().start().await.unwrap();
            narrow.entry.send(Event::new("held")).await.unwrap();
            narrow.key.came(1).await;
            if together {
                narrow.entry.send_all(numbered(5)).await.unwrap();
            } else {
                for event in numbered(5) {
                    narrow.entry.send(event).await.unwrap();
                }
            }
            narrow.key.open_wide();
            let monitor = running.monitor();
            let ledger = running.stop(SOON).await.unwrap();
            assert_eq!(narrow.key.collected.texts(), ["held", "0", "1"]);
            // The other receiver has room, and misses nothing.
            assert_eq!(rested.len(), 6);
            let gate = monitor.actor("gate").unwrap();
            if overflow == Overflow::Shed {
                assert_eq!(narrow.errors.texts(), ["2", "3", "4"]);
                let error = narrow.errors.events()[0].error().unwrap().clone();
                assert_eq!((error.kind(), error.actor()), (Kind::Overloaded, Some("tap")));
                assert!(error.wait().is_some());
                assert_eq!((gate.shed, gate.dropped, ledger.failed, ledger.dropped), (3, 0, 3, 0));
            } else {
                assert_eq!((gate.shed, gate.dropped, ledger.failed, ledger.dropped), (0, 3, 0, 3));
                assert_eq!(narrow.errors.len(), 0);
            }
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_insists_waits_whatever_the_receivers_policy_says() {
    both(async |settings| {
        for overflow in [Overflow::Shed, Overflow::Drop, Overflow::Wait] {
            let mut director = director(settings.clone());
            let (tap, entry) = tap();
            let tap = director.register("tap", tap);
            let (gate, key) = gate();
            let gate = director.register_with("gate", gate, policy(1, overflow));
            director.connect(tap, gate);
            let running = director.build().unwrap().start().await.unwrap();
            entry.send(Event::new("held")).await.unwrap();
            key.came(1).await;
            let permit = entry.permit().unwrap();
            let sending = tokio::spawn(async move {
                for event in numbered(5) {
                    permit.insist_from(0, event).await.unwrap();
                }
            });
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert!(!sending.is_finished());
            key.open_wide();
            sending.await.unwrap();
            let ledger = running.stop(SOON).await.unwrap();
            assert_eq!(key.collected.texts(), ["held", "0", "1", "2", "3", "4"]);
            assert_eq!((ledger.failed, ledger.dropped), (0, 0));
        }
    })
    .await;
}

/// A source that sends nothing.
fn rest_source(director: &mut Director) -> ActorRef {
    director.register("nothing", source(|_| async { Ok(()) }))
}

#[tokio::test(start_paused = true)]
async fn what_is_shed_where_no_error_route_is_connected_is_logged_and_fails_its_receipt() {
    both(async |settings| {
        let records = records();
        let mut director = director(settings);
        let (tap, entry) = tap();
        let tap = director.register("tap", tap);
        let (gate, key) = gate();
        let gate = director.register_with("gate", gate, policy(1, Overflow::Shed));
        director.connect(tap, gate);
        let running = director.build().unwrap().start().await.unwrap();
        entry.send(Event::new("held")).await.unwrap();
        key.came(1).await;
        entry.send(Event::new("queued")).await.unwrap();
        let (event, outcome) = receipted("shed");
        entry.send(event).await.unwrap();
        assert_eq!(outcome.failed().kind(), Kind::Overloaded);
        assert_eq!(records.with("kind=overloaded").len(), 1);
        key.open_wide();
        let ledger = running.stop(SOON).await.unwrap();
        assert_eq!((ledger.entered, ledger.delivered, ledger.failed), (3, 2, 1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_offer_enters_all_of_several_receivers_or_none() {
    both(async |settings| {
        let mut director = director(settings);
        let (tap, entry) = tap();
        let tap = director.register("tap", tap);
        let ((wide, widened), (gate, key)) = (collect(), gate());
        let wide = director.register("wide", wide);
        let gate = director.register_with("gate", gate, room(2));
        director.connect(tap, [wide, gate]);
        let running = director.build().unwrap().start().await.unwrap();
        entry.offer(Event::new("held")).unwrap();
        key.came(1).await;
        entry.offer(Event::new("first")).unwrap();
        entry.offer(Event::new("second")).unwrap();
        let (event, outcome) = receipted("refused");
        let error = entry.offer(event).unwrap_err();
        assert_eq!((error.kind(), error.message()), (Kind::Overloaded, "the inbox of `gate` is full"));
        assert!(error.wait().is_some());
        assert_eq!(outcome.failed().kind(), Kind::Overloaded);
        key.open_wide();
        let ledger = running.stop(SOON).await.unwrap();
        assert_eq!((widened.texts(), key.collected.texts()).0, ["held", "first", "second"]);
        assert_eq!(key.collected.texts(), ["held", "first", "second"]);
        assert_eq!((ledger.entered, ledger.delivered), (6, 6));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn offers_are_refused_at_last_when_what_is_behind_the_first_receiver_is_full() {
    both(async |settings| {
        let mut director = director(settings);
        let (tap, entry) = tap();
        let tap = director.register("tap", tap);
        let light = director.register_with("light", map(Event::clone), room(4));
        let (gate, key) = gate();
        let gate = director.register_with("gate", gate, room(4));
        director.connect(tap, light);
        director.connect(light, gate);
        let running = director.build().unwrap().start().await.unwrap();
        let monitor = running.monitor();
        tokio::task::yield_now().await;
        // Nobody else runs in between: so nothing but the refusal bounds what is taken in.
        let taken = numbered(1000).take_while(|event| entry.offer(event.clone()).is_ok()).count();
        assert!((4..=16).contains(&taken), "{taken} were taken in");
        key.open_wide();
        running.stop(SOON).await.unwrap();
        assert_eq!(key.collected.texts(), numbers(taken));
        assert_eq!(monitor.actor("gate").unwrap().received, taken as u64);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_error_that_finds_no_room_is_dropped_and_does_not_fail_again() {
    both(async |settings| {
        for overflow in [Overflow::Shed, Overflow::Drop] {
            let mut director = director(settings.clone());
            let (tap, entry) = tap();
            let tap = director.register("tap", tap);
            let faulty = director.register("faulty", sink(|_| Err(playhouse_engine::Error::gone("gone"))));
            let (gate, key) = gate();
            let gate = director.register_with("gate", gate, policy(1, overflow));
            director.connect(tap, faulty);
            director.connect_error(faulty, gate);
            director.connect_error(tap, gate);
            let running = director.build().unwrap().start().await.unwrap();
            entry.send(Event::new("held")).await.unwrap();
            key.came(1).await;
            entry.send(Event::new("queued")).await.unwrap();
            let (event, outcome) = receipted("dropped");
            entry.send(event).await.unwrap();
            let (event, other) = receipted("dropped too");
            while outcome.is_open() {
                tokio::task::yield_now().await;
            }
            entry.fail(event, playhouse_engine::Error::malformed("bad from the start")).await.unwrap();
            assert_eq!(outcome.failed().message(), "the inbox of `gate` is full");
            assert_eq!(other.failed().message(), "the inbox of `gate` is full");
            key.open_wide();
            let monitor = running.monitor();
            let ledger = running.stop(SOON).await.unwrap();
            assert_eq!((ledger.failed, ledger.dropped), (3, 2));
            assert_eq!(monitor.actor("gate").unwrap().dropped, 2);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_bad_from_the_start_goes_the_sources_error_route() {
    let mut director = director(Settings::default());
    let (tap, entry) = tap();
    let tap = director.register("tap", tap);
    let ((end, ended), (errors, failed)) = (collect(), collect());
    let (end, errors) = (director.register("end", end), director.register("errors", errors));
    director.connect(tap, end);
    director.connect_error(tap, errors);
    let running = director.build().unwrap().start().await.unwrap();
    entry.fail(Event::new("bad"), playhouse_engine::Error::malformed("it is no order")).await.unwrap();
    let ledger = running.stop(SOON).await.unwrap();
    let event = failed.only();
    let error = event.error().unwrap();
    assert_eq!((error.message(), error.actor(), ended.len()), ("it is no order", Some("tap"), 0));
    assert_eq!((ledger.entered, ledger.delivered), (1, 1));
}

/// Takes a turn of the scheduler for each event.
struct Slow;

impl Actor for Slow {
    fn ports(&self) -> playhouse_engine::Ports {
        playhouse_engine::Ports::sink(playhouse_engine::Format::ANY)
    }

    async fn handle(&self, _: &Event, _: &mut Outbox) -> Result<()> {
        tokio::task::yield_now().await;
        Ok(())
    }
}

#[tokio::test]
async fn a_source_that_never_finds_room_lets_others_run() {
    for overflow in [Overflow::Shed, Overflow::Drop] {
        let mut director = director(Settings::default());
        let source = director.register(
            "source",
            source(|emitter| async move {
                loop {
                    emitter.send(Event::new("one")).await?;
                    emitter.send_all(numbered(10)).await?;
                }
            }),
        );
        let slow = director.register_with("slow", Slow, policy(1, overflow));
        let errors = director.register("errors", sink(|_| Ok(())));
        director.connect(source, slow);
        director.connect_error(source, errors);
        let running = director.build().unwrap().start().await.unwrap();
        let monitor = running.monitor();
        while monitor.actor("slow").unwrap().delivered < 10 {
            tokio::task::yield_now().await;
        }
        running.stop(SOON).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_of_two_actors_of_which_one_sends_to_the_other_is_paced_and_does_not_stand_still() {
    both(async |settings| {
        let mut director = director(settings);
        let (tap, entry) = tap();
        let tap = director.register("tap", tap);
        let first = director.register_with("first", map(Event::clone), room(4));
        let second = director.register_with("second", map(Event::clone), room(4));
        let (end, ended) = collect();
        let end = director.register_with("end", end, room(4));
        director.connect(tap, [first, second]);
        director.connect(first, second);
        director.connect(second, end);
        let running = director.build().unwrap().start().await.unwrap();
        tokio::task::yield_now().await;
        tokio::time::timeout(SOON, entry.send_all(numbered(300))).await.expect("there is room at last").unwrap();
        for event in numbered(100) {
            tokio::time::timeout(SOON, entry.send(event)).await.expect("there is room at last").unwrap();
        }
        let ledger = running.stop(SOON).await.unwrap();
        assert_eq!((ended.len(), ledger.delivered), (800, 400 * 5));
    })
    .await;
}
