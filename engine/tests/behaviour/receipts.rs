//! What a source learns of an event's end: once, and rightly.

use std::sync::Mutex;
use std::time::Duration;

use playhouse_engine::{
    Actor, Error, Event, Format, Kind, Light, Outbox, Overflow, Policy, Ports, Result, Settings, filter, map, sink,
};

use crate::common::{Pass, SOON, both, director, gate, numbered, polled_once, receipted, room, tap, tap_with};

#[tokio::test]
async fn it_settles_well_when_the_event_was_delivered_at_the_end() {
    both(async |settings| {
        let mut director = director(settings);
        let (tap, entry) = tap();
        let tap = director.register("tap", tap);
        let light = director.register("light", map(Event::clone));
        let (gate, key) = gate();
        let gate = director.register("gate", gate);
        director.connect(tap, light);
        director.connect(light, gate);
        let running = director.build().unwrap().start().await.unwrap();
        let (event, outcome) = receipted("one");
        entry.send(event).await.unwrap();
        key.came(1).await;
        assert!(outcome.is_open());
        key.open(1);
        running.stop(SOON).await.unwrap();
        key.collected.clear();
        outcome.once().unwrap();
    })
    .await;
}

#[tokio::test]
async fn it_settles_when_the_last_copy_of_a_fan_out_has_ended() {
    both(async |settings| {
        for fails in [false, true] {
            let mut director = director(settings.clone());
            let (tap, entry) = tap();
            let tap = director.register("tap", tap);
            let fan = director.register("fan", map(Event::clone));
            let last =
                director.register("last", sink(move |_| if fails { Err(Error::conflict("not here")) } else { Ok(()) }));
            let ((first, one), (second, two)) = (gate(), gate());
            let (first, second) = (director.register("first", first), director.register("second", second));
            director.connect(tap, fan);
            director.connect(fan, [first, second, last]);
            let running = director.build().unwrap().start().await.unwrap();
            let (event, outcome) = receipted("one");
            entry.send(event).await.unwrap();
            one.came(1).await;
            two.came(1).await;
            one.open(1);
            tokio::task::yield_now().await;
            assert!(outcome.is_open());
            two.open(1);
            running.stop(SOON).await.unwrap();
            one.collected.clear();
            two.collected.clear();
            assert_eq!(outcome.once().map_err(|error| error.kind()), if fails { Err(Kind::Conflict) } else { Ok(()) });
        }
    })
    .await;
}

#[tokio::test]
async fn it_settles_well_when_an_error_route_took_the_failure_and_badly_where_there_is_none() {
    both(async |settings| {
        for has_route in [true, false] {
            let mut director = director(settings.clone());
            let (tap, entry) = tap();
            let tap = director.register("tap", tap);
            let faulty = director.register("faulty", sink(|_| Err(Error::gone("gone"))));
            director.connect(tap, faulty);
            if has_route {
                let errors = director.register("errors", sink(|_| Ok(())));
                director.connect_error(faulty, errors);
            }
            let running = director.build().unwrap().start().await.unwrap();
            let (event, outcome) = receipted("one");
            entry.send(event).await.unwrap();
            running.stop(SOON).await.unwrap();
            assert_eq!(outcome.once().map_err(|error| error.kind()), if has_route { Ok(()) } else { Err(Kind::Gone) });
        }
    })
    .await;
}

#[tokio::test]
async fn it_settles_well_when_a_filter_ends_the_event() {
    both(async |settings| {
        let mut director = director(settings);
        let (tap, entry) = tap();
        let tap = director.register("tap", tap);
        let none = director.register("none", filter(|_| false));
        let end = director.register("end", sink(|_| Ok(())));
        director.connect(tap, none);
        director.connect(none, end);
        let running = director.build().unwrap().start().await.unwrap();
        let (event, outcome) = receipted("one");
        entry.send(event).await.unwrap();
        running.stop(SOON).await.unwrap();
        outcome.once().unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_settles_badly_when_the_event_was_dropped_or_shed() {
    both(async |settings| {
        for (overflow, has_route) in [(Overflow::Drop, false), (Overflow::Shed, false), (Overflow::Shed, true)] {
            for by_handler in [true, false] {
                let mut director = director(settings.clone());
                let (tap, entry) = tap();
                let tap = director.register("tap", tap);
                let (gate, key) = gate();
                let gate = director.register_with("gate", gate, Policy { capacity: 1, overflow, ..Policy::default() });
                let mut sender = tap;
                if by_handler {
                    sender = director.register("pass", Pass);
                    director.connect(tap, sender);
                }
                director.connect(sender, gate);
                if has_route {
                    let errors = director.register("errors", sink(|_| Ok(())));
                    director.connect_error(sender, errors);
                }
                let running = director.build().unwrap().start().await.unwrap();
                entry.send(Event::new("held")).await.unwrap();
                key.came(1).await;
                entry.send(Event::new("queued")).await.unwrap();
                let (event, outcome) = receipted("one");
                entry.send(event).await.unwrap();
                while outcome.is_open() {
                    tokio::task::yield_now().await;
                }
                let settled = outcome.once().map_err(|error| error.kind());
                assert_eq!(settled, if has_route { Ok(()) } else { Err(Kind::Overloaded) });
                key.open_wide();
                running.stop(SOON).await.unwrap();
                outcome.once().ok();
            }
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_settles_badly_when_the_flow_is_aborted_at_its_deadline() {
    both(async |settings| {
        let mut director = director(settings);
        let (tap, entry) = tap();
        let tap = director.register("tap", tap);
        let light = director.register_with("light", map(Event::clone), room(1));
        let pass = director.register_with("pass", Pass, room(1));
        let (gate, key) = gate();
        let gate = director.register_with("gate", gate, room(1));
        director.connect(tap, light);
        director.connect(light, pass);
        director.connect(pass, gate);
        let running = director.build().unwrap().start().await.unwrap();
        let (events, outcomes): (Vec<_>, Vec<_>) = (0..12).map(|_| receipted("one")).unzip();
        let sending = tokio::spawn(async move {
            // One at a time: so some are in hand, some wait in inboxes, some on their way, and one has not entered.
            for event in events {
                entry.send(event).await?;
            }
            Ok::<_, Error>(())
        });
        key.came(1).await;
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        assert!(outcomes.iter().all(|outcome| outcome.is_open()));
        let monitor = running.monitor();
        let error = running.stop(Duration::from_secs(3)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Timeout);
        sending.abort();
        sending.await.unwrap_err();
        let entered = usize::try_from(monitor.ledger().entered).unwrap();
        assert!(entered > 2);
        for outcome in outcomes.iter().take(4) {
            assert_eq!(outcome.failed().kind(), Kind::Cancelled);
        }
        for outcome in outcomes.iter().skip(4).filter(|outcome| !outcome.is_open()) {
            outcome.once().ok();
        }
    })
    .await;
}

/// Joins every two events.
#[derive(Default)]
struct Pairs(Mutex<Option<Event>>);

impl Light for Pairs {
    fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        let mut first = self.0.lock().unwrap();
        match first.take() {
            None => *first = Some(event.clone()),
            Some(first) => out.push(Event::new("pair").with_receipts_of([&first, event])),
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_joined_event_settles_the_receipts_of_all_its_parts() {
    both(async |settings| {
        for fails in [true, false] {
            let mut director = director(settings.clone());
            let (tap, entry) = tap();
            let tap = director.register("tap", tap);
            let pairs = director.register("pairs", Pairs::default());
            let end = director
                .register("end", sink(move |_| if fails { Err(Error::conflict("the pair is bad")) } else { Ok(()) }));
            director.connect(tap, pairs);
            director.connect(pairs, end);
            let running = director.build().unwrap().start().await.unwrap();
            let ((first, one), (second, two)) = (receipted("first"), receipted("second"));
            entry.send(first).await.unwrap();
            while running.monitor().actor("pairs").unwrap().delivered < 1 {
                tokio::task::yield_now().await;
            }
            assert!(one.is_open());
            entry.send(second).await.unwrap();
            running.stop(SOON).await.unwrap();
            for outcome in [one, two] {
                let settled = outcome.once().map_err(|error| error.kind());
                assert_eq!(settled, if fails { Err(Kind::Conflict) } else { Ok(()) });
            }
        }
    })
    .await;
}

/// Pushes what it made of several events, and then waits for ever.
struct PairsAndWaits(Pairs);

impl Actor for PairsAndWaits {
    async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        Light::handle(&self.0, event, out)?;
        if self.0.0.lock().unwrap().is_none() {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_handler_had_pushed_when_its_flow_was_aborted_settles_badly() {
    let mut director = director(Settings::default());
    let (tap, entry) = tap();
    let tap = director.register("tap", tap);
    let pairs = director.register("pairs", PairsAndWaits(Pairs::default()));
    let end = director.register("end", sink(|_| Ok(())));
    director.connect(tap, pairs);
    director.connect(pairs, end);
    let running = director.build().unwrap().start().await.unwrap();
    let ((first, one), (second, two)) = (receipted("first"), receipted("second"));
    entry.send_all([first, second]).await.unwrap();
    running.stop(Duration::from_secs(1)).await.unwrap_err();
    assert_eq!((one.failed().kind(), two.failed().kind()), (Kind::Cancelled, Kind::Cancelled));
}

#[tokio::test]
async fn a_receipt_that_was_joined_again_and_again_settles_without_an_overflow_of_the_stack() {
    let (event, first) = receipted("first");
    let mut sum = event;
    for _ in 0..200_000 {
        sum = Event::new("next").with_receipt(playhouse_engine::Receipt::new(|_| {})).with_receipts_of([&sum]);
    }
    drop(sum);
    first.once().unwrap();
}

#[tokio::test(start_paused = true)]
async fn it_settles_badly_when_the_sender_gives_up() {
    both(async |settings| {
        let mut director = director(settings);
        let (tap, entry) = tap();
        let tap = director.register("tap", tap);
        let (gate, key) = gate();
        let gate = director.register_with("gate", gate, room(1));
        let end = director.register("end", sink(|_| Ok(())));
        director.connect(tap, [gate, end]);
        let running = director.build().unwrap().start().await.unwrap();
        entry.send(Event::new("held")).await.unwrap();
        key.came(1).await;
        entry.send(Event::new("queued")).await.unwrap();
        let (waiting, outcome) = receipted("waiting");
        tokio::time::timeout(Duration::from_secs(1), entry.send(waiting)).await.unwrap_err();
        assert_eq!(outcome.failed().kind(), Kind::Cancelled);
        let (unpolled, outcome) = receipted("unpolled");
        drop(entry.send(unpolled));
        assert_eq!(outcome.failed().kind(), Kind::Cancelled);
        let (bad, outcome) = receipted("bad");
        drop(entry.fail(bad, Error::malformed("bad")));
        assert_eq!(outcome.failed().kind(), Kind::Cancelled);
        let (events, outcomes): (Vec<_>, Vec<_>) = (0..3).map(|_| receipted("together")).unzip();
        tokio::time::timeout(Duration::from_secs(1), entry.send_all(events)).await.unwrap_err();
        for outcome in outcomes {
            assert_eq!(outcome.failed().kind(), Kind::Cancelled);
        }
        key.open_wide();
        let ledger = running.stop(SOON).await.unwrap();
        assert_eq!(key.collected.texts(), ["held", "queued"]);
        assert_eq!((ledger.entered, ledger.delivered, ledger.dropped), (4 + 2 + 6, 4, 8));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_send_that_is_given_up_at_any_point_leaves_nothing_in_flight() {
    both(async |settings| {
        let mut director = director(settings);
        let (tap, entry) = tap();
        let tap = director.register("tap", tap);
        let light = director.register_with("light", map(Event::clone), room(1000));
        let end = director.register_with("end", Pass, room(1000));
        let last = director.register("last", sink(|_| Ok(())));
        director.connect(tap, light);
        director.connect(light, end);
        director.connect(end, last);
        let running = director.build().unwrap().start().await.unwrap();
        let mut outcomes = Vec::new();
        let mut sent = 0;
        // More in one turn than a task's budget allows, so that some are given up before they have entered.
        for _ in 0..400 {
            let (event, outcome) = receipted("one");
            outcomes.push(outcome);
            sent += usize::from(polled_once(entry.send(event)).await.is_some());
        }
        assert!(sent < 400, "the budget was never spent");
        running.stop(SOON).await.unwrap();
        let well = outcomes.iter().filter(|outcome| outcome.once().is_ok()).count();
        assert_eq!(well, sent);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_settles_badly_when_an_offer_is_refused() {
    let mut director = director(Settings::default());
    let (tap, entry) = tap();
    let tap = director.register("tap", tap);
    let (gate, key) = gate();
    let gate = director.register_with("gate", gate, room(1));
    director.connect(tap, gate);
    let running = director.build().unwrap().start().await.unwrap();
    entry.offer(Event::new("held")).unwrap();
    key.came(1).await;
    entry.offer(Event::new("queued")).unwrap();
    let (event, outcome) = receipted("refused");
    let error = entry.offer(event).unwrap_err();
    assert_eq!((error.kind(), outcome.failed().kind()), (Kind::Overloaded, Kind::Overloaded));
    key.open_wide();
    let ledger = running.stop(SOON).await.unwrap();
    assert_eq!((ledger.entered, ledger.dropped), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn it_settles_badly_when_the_event_comes_after_the_stop() {
    both(async |settings| {
        let mut director = director(settings);
        let (tap, entry) = tap();
        let tap = director.register("tap", tap);
        let end = director.register("end", sink(|_| Ok(())));
        director.connect(tap, end);
        let running = director.build().unwrap().start().await.unwrap();
        running.stop(SOON).await.unwrap();
        let (sent, sent_outcome) = receipted("sent");
        let (offered, offered_outcome) = receipted("offered");
        let (failing, failing_outcome) = receipted("failing");
        let (together, together_outcome) = receipted("together");
        let errors = [
            entry.send(sent).await.unwrap_err(),
            entry.offer(offered).unwrap_err(),
            entry.fail(failing, Error::malformed("bad")).await.unwrap_err(),
            entry.send_all([together]).await.unwrap_err(),
            entry.permit().unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), Kind::Cancelled);
            assert_eq!(error.message(), "the flow is stopping and takes in no more events");
        }
        for outcome in [sent_outcome, offered_outcome, failing_outcome, together_outcome] {
            assert_eq!(outcome.failed().kind(), Kind::Cancelled);
        }
    })
    .await;
}

#[tokio::test]
async fn it_settles_badly_when_there_is_no_such_outbox() {
    let mut director = director(Settings::default());
    let (tap, entry) = tap();
    let tap = director.register("tap", tap);
    let end = director.register("end", sink(|_| Ok(())));
    director.connect(tap, end);
    let running = director.build().unwrap().start().await.unwrap();
    let ((sent, one), (offered, two), (permitted, three)) = (receipted("1"), receipted("2"), receipted("3"));
    let error = entry.send_from(3, sent).await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (Kind::Internal, "`tap` has no outbox number 3"));
    entry.offer_from(1, offered).unwrap_err();
    let permit = entry.permit().unwrap();
    permit.send_from(7, permitted).await.unwrap_err();
    drop(permit);
    for outcome in [one, two, three] {
        assert_eq!(outcome.failed().kind(), Kind::Internal);
    }
    running.stop(SOON).await.unwrap();
}

#[tokio::test]
async fn it_settles_well_when_the_outbox_is_optional_and_unconnected() {
    let mut director = director(Settings::default());
    let (tap, entry) = tap_with(Ports::source(Format::ANY).with_optional_outbox("rest", Format::ANY));
    let tap = director.register("tap", tap);
    let end = director.register("end", sink(|_| Ok(())));
    director.connect(tap, end);
    let running = director.build().unwrap().start().await.unwrap();
    let ((sent, one), (offered, two)) = (receipted("1"), receipted("2"));
    entry.send_from(1, sent).await.unwrap();
    entry.offer_from(1, offered).unwrap();
    one.once().unwrap();
    two.once().unwrap();
    let ledger = running.stop(SOON).await.unwrap();
    assert_eq!(ledger.entered, 0);
}

#[tokio::test]
async fn a_flow_that_is_dropped_settles_the_receipts_of_what_it_held() {
    both(async |settings| {
        let mut director = director(settings);
        let (tap, entry) = tap();
        let tap = director.register("tap", tap);
        let pass = director.register_with("pass", Pass, room(2));
        let (gate, key) = gate();
        let gate = director.register_with("gate", gate, room(2));
        director.connect(tap, pass);
        director.connect(pass, gate);
        let running = director.build().unwrap().start().await.unwrap();
        let (events, outcomes): (Vec<_>, Vec<_>) = (0..4).map(|_| receipted("one")).unzip();
        for event in events {
            entry.send(event).await.unwrap();
        }
        key.came(1).await;
        let monitor = running.monitor();
        drop(running);
        let all_settled = async {
            while outcomes.iter().any(|outcome| outcome.is_open()) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(SOON, all_settled).await.unwrap();
        for outcome in &outcomes {
            assert_eq!(outcome.failed().kind(), Kind::Cancelled);
        }
        // The emitter learns of it too.
        let (late, outcome) = receipted("late");
        assert_eq!(entry.send(late).await.unwrap_err().kind(), Kind::Cancelled);
        assert_eq!(outcome.failed().kind(), Kind::Cancelled);
        assert_eq!(entry.offer(Event::new("later")).unwrap_err().kind(), Kind::Cancelled);
        drop(monitor);
    })
    .await;
}

#[tokio::test]
async fn an_iterator_that_panics_in_the_middle_of_a_send_leaves_nothing_in_flight() {
    both(async |settings| {
        let mut director = director(settings);
        let (tap, entry) = tap();
        let tap = director.register("tap", tap);
        let light = director.register("light", map(Event::clone));
        let end = director.register("end", sink(|_| Ok(())));
        director.connect(tap, light);
        director.connect(light, end);
        let running = director.build().unwrap().start().await.unwrap();
        tokio::task::yield_now().await;
        let broken = numbered(10).map(|event| match event.payload().to_string().as_str() {
            "7" => panic!("the source is broken"),
            _ => event,
        });
        let sending = tokio::spawn(async move { entry.send_all(broken).await });
        assert!(sending.await.unwrap_err().is_panic());
        running.stop(SOON).await.unwrap();
    })
    .await;
}
