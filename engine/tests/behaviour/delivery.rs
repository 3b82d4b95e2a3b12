//! Where events go, in what order, and what of them stays as it was.

use std::time::Duration;

use playhouse_engine::{Actor, Event, Format, Kind, Light, Outbox, Policy, Ports, Result, Value, filter, map, source};
use tokio::time::Instant;

use crate::common::{Pass, SOON, both, collect, director, gate, numbered, numbers, receipted, room, tap};

#[tokio::test]
async fn order_holds_over_a_long_chain_of_light_and_other_actors() {
    both(async |settings| {
        let mut director = director(settings);
        let (tap, entry) = tap();
        let mut last = director.register("tap", tap);
        // Longer than what may run within one task.
        for number in 0..150 {
            let actor = match number % 50 {
                49 => director.register_with(format!("pass {number}"), Pass, room(7)),
                _ => director.register_with(format!("light {number}"), map(Event::clone), room(5)),
            };
            director.connect(last, actor);
            last = actor;
        }
        let (collect, collected) = collect();
        let end = director.register("end", collect);
        director.connect(last, end);
        let running = director.build().unwrap().start().await.unwrap();
        entry.send_all(numbered(500)).await.unwrap();
        let ledger = running.stop(SOON).await.unwrap();
        assert_eq!(collected.texts(), numbers(500));
        assert_eq!((ledger.entered, ledger.delivered), (500 * 151, 500 * 151));
    })
    .await;
}

#[tokio::test]
async fn order_holds_between_events_sent_offered_and_sent_together() {
    both(async |settings| {
        let mut director = director(settings);
        let (tap, entry) = tap();
        let tap = director.register("tap", tap);
        let light = director.register("light", map(Event::clone));
        let pass = director.register_with("pass", Pass, room(2));
        let (collect, collected) = collect();
        let end = director.register("end", collect);
        director.connect(tap, light);
        director.connect(light, pass);
        director.connect(pass, end);
        let running = director.build().unwrap().start().await.unwrap();
        let mut events = numbered(90);
        while let Some(event) = events.next() {
            entry.send(event).await.unwrap();
            for event in events.by_ref().take(4) {
                entry.offer(event).unwrap();
            }
            entry.send_all(events.by_ref().take(4).collect::<Vec<_>>()).await.unwrap();
        }
        running.stop(SOON).await.unwrap();
        assert_eq!(collected.texts(), numbers(90));
    })
    .await;
}

#[tokio::test]
async fn a_fan_out_gives_each_receiver_each_event_once() {
    both(async |settings| {
        let mut director = director(settings);
        let (tap, entry) = tap();
        let tap = director.register("tap", tap);
        let fan = director.register("fan", map(Event::clone));
        let mut receivers = Vec::new();
        let mut ends = Vec::new();
        for number in 0..5 {
            let (collect, collected) = collect();
            receivers.push(director.register(format!("end {number}"), collect));
            ends.push(collected);
        }
        director.connect(tap, fan);
        director.connect(fan, receivers);
        let running = director.build().unwrap().start().await.unwrap();
        entry.send_all(numbered(300)).await.unwrap();
        let ledger = running.stop(SOON).await.unwrap();
        for collected in ends {
            assert_eq!(collected.texts(), numbers(300));
        }
        assert_eq!(ledger.entered, 300 + 5 * 300);
    })
    .await;
}

#[tokio::test]
async fn what_one_receiver_derives_from_its_copy_another_does_not_see() {
    both(async |settings| {
        let mut director = director(settings);
        let (tap, entry) = tap();
        let tap = director.register("tap", tap);
        let paint = director.register(
            "paint",
            map(|event: &Event| event.clone().with_attribute("colour", "red").with_payload("painted")),
        );
        let ((left, painted), (right, plain)) = (collect(), collect());
        let (left, right) = (director.register("left", left), director.register("right", right));
        director.connect(tap, [paint, right]);
        director.connect(paint, left);
        let running = director.build().unwrap().start().await.unwrap();
        entry.send(Event::new("plain").with_attribute("size", 1_i64)).await.unwrap();
        running.stop(SOON).await.unwrap();
        let (painted, plain) = (painted.only(), plain.only());
        assert_eq!((painted.attribute("colour"), plain.attribute("colour")), (Some("red".into()), None));
        assert_eq!(painted.attribute("size"), plain.attribute("size"));
        assert_eq!(plain.payload().to_string(), "plain");
        assert_eq!(painted.id(), plain.id());
    })
    .await;
}

#[tokio::test]
async fn a_fan_in_takes_all_and_keeps_each_senders_order() {
    both(async |settings| {
        let mut director = director(settings);
        let (collect, collected) = collect();
        let end = director.register_with("end", collect, room(3));
        for name in ["a", "b", "c"] {
            let from = director.register(
                name,
                source(move |emitter| async move {
                    for number in 0..100 {
                        emitter.send(Event::new(format!("{name} {number}"))).await?;
                    }
                    Ok(())
                }),
            );
            let light = director.register(format!("{name} light"), map(Event::clone));
            director.connect(from, light);
            director.connect(light, end);
        }
        let running = director.build().unwrap().start().await.unwrap();
        let monitor = running.monitor();
        tokio::time::timeout(SOON, async {
            while monitor.actor("end").unwrap().received < 300 {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
        running.stop(SOON).await.unwrap();
        for name in ["a", "b", "c"] {
            let texts = collected.texts();
            let of_one: Vec<_> = texts.iter().filter_map(|text| text.strip_prefix(name)).map(str::trim).collect();
            assert_eq!(of_one, numbers(100));
        }
    })
    .await;
}

/// Sends events to the outbox that their text names.
struct Sort;

impl Light for Sort {
    fn ports(&self) -> Ports {
        Ports::sink(Format::ANY)
            .with_outbox("even", Format::ANY)
            .with_outbox("odd", Format::ANY)
            .with_optional_outbox("rest", Format::ANY)
    }

    fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        match event.payload().to_string().parse::<u64>() {
            Ok(number) if number % 2 == 0 => out.push_to("even", event),
            Ok(_) => out.push_to("odd", event),
            Err(_) => out.push_to("rest", event),
        }
        Ok(())
    }
}

#[tokio::test]
async fn named_outboxes_and_inboxes_lead_where_they_are_connected() {
    both(async |settings| {
        let mut director = director(settings);
        let (tap, entry) = tap();
        let tap = director.register("tap", tap);
        let sort = director.register("sort", Sort);
        let (collect, collected) = collect();
        let end = director.register("end", collect);
        director.connect(tap, sort);
        director.connect(sort.port("even"), end.port("left"));
        director.connect(sort.port("odd"), end.port("right"));
        let running = director.build().unwrap().start().await.unwrap();
        entry.send_all(numbered(4)).await.unwrap();
        running.stop(SOON).await.unwrap();
        let pairs = collected.by_inbox();
        let pairs: Vec<_> = pairs.iter().map(|(inbox, text)| (inbox.as_str(), text.as_str())).collect();
        assert_eq!(pairs, [("left", "0"), ("right", "1"), ("left", "2"), ("right", "3")]);
    })
    .await;
}

#[tokio::test]
async fn what_goes_to_an_unconnected_optional_outbox_ends_well() {
    both(async |settings| {
        let mut director = director(settings);
        let (tap, entry) = tap();
        let tap = director.register("tap", tap);
        let sort = director.register("sort", Sort);
        let (collect, collected) = collect();
        let end = director.register("end", collect);
        director.connect(tap, sort);
        director.connect(sort.port("even"), end);
        director.connect(sort.port("odd"), end);
        let running = director.build().unwrap().start().await.unwrap();
        let (event, outcome) = receipted("neither");
        entry.send(event).await.unwrap();
        let ledger = running.stop(SOON).await.unwrap();
        assert_eq!((ledger.entered, ledger.delivered), (1, 1));
        assert_eq!(collected.len(), 0);
        outcome.once().unwrap();
    })
    .await;
}

#[tokio::test]
async fn connecting_an_outbox_again_adds_a_receiver() {
    both(async |settings| {
        let mut director = director(settings);
        let (tap, entry) = tap();
        let tap = director.register("tap", tap);
        let ((first, firsts), (second, seconds)) = (collect(), collect());
        let (first, second) = (director.register("first", first), director.register("second", second));
        director.connect(tap, first);
        director.connect(tap, second);
        let running = director.build().unwrap().start().await.unwrap();
        entry.send(Event::new("both")).await.unwrap();
        running.stop(SOON).await.unwrap();
        assert_eq!((firsts.texts(), seconds.texts()), (vec!["both".to_owned()], vec!["both".to_owned()]));
    })
    .await;
}

/// Pushes to its outboxes in turn.
#[derive(Clone, Copy)]
struct Turns;

impl Turns {
    fn push(event: &Event, out: &mut Outbox) {
        let text = event.payload().to_string();
        out.push_to("x", event.derive(format!("{text} x1")));
        out.push_to("y", event.derive(format!("{text} y")));
        out.push_to("x", event);
        out.push_to("y", event);
        out.push_to("x", event.derive(format!("{text} x2")));
    }

    fn outboxes() -> Ports {
        Ports::sink(Format::ANY).with_outbox("x", Format::ANY).with_outbox("y", Format::ANY)
    }
}

impl Light for Turns {
    fn ports(&self) -> Ports {
        Self::outboxes()
    }

    fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        Self::push(event, out);
        Ok(())
    }
}

struct SlowTurns;

impl Actor for SlowTurns {
    fn ports(&self) -> Ports {
        Turns::outboxes()
    }

    async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        Turns::push(event, out);
        Ok(())
    }
}

#[tokio::test]
async fn what_is_pushed_to_several_outboxes_comes_to_one_receiver_in_the_order_of_pushing() {
    both(async |settings| {
        for is_light in [true, false] {
            let mut director = director(settings.clone());
            let (tap, entry) = tap();
            let tap = director.register("tap", tap);
            let turns = match is_light {
                true => director.register("turns", Turns),
                false => director.register("turns", SlowTurns),
            };
            let (collect, collected) = collect();
            let end = director.register("end", collect);
            director.connect(tap, turns);
            director.connect(turns.port("x"), end.port("x"));
            director.connect(turns.port("y"), end.port("y"));
            let running = director.build().unwrap().start().await.unwrap();
            entry.send_all(numbered(3)).await.unwrap();
            running.stop(SOON).await.unwrap();
            let expected = (0..3).flat_map(|number| {
                ["x1", "y", "", "", "x2"].map(|part| format!("{number} {part}").trim_end().to_owned())
            });
            assert_eq!(collected.texts(), expected.collect::<Vec<_>>(), "light: {is_light}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_an_actor_sends_and_what_it_fails_on_come_to_one_receiver_in_order() {
    both(async |settings| {
        let mut director = director(settings);
        let (tap, entry) = tap();
        let tap = director.register("tap", tap);
        let odd = director.register(
            "odd",
            map(|event: &Event| match event.payload().to_string().parse::<u64>() {
                Ok(number) if number % 2 == 0 => Ok(event.clone()),
                _ => Err(playhouse_engine::Error::unprocessable("it is odd")),
            }),
        );
        let (collect, collected) = collect();
        let end = director.register("end", collect);
        director.connect(tap, odd);
        director.connect(odd, end);
        director.connect_error(odd, end.port("errors"));
        let running = director.build().unwrap().start().await.unwrap();
        entry.send_all(numbered(20)).await.unwrap();
        running.stop(SOON).await.unwrap();
        assert_eq!(collected.texts(), numbers(20));
    })
    .await;
}

#[tokio::test]
async fn a_derived_event_keeps_everything_but_its_payload() {
    both(async |settings| {
        let mut director = director(settings);
        let (tap, entry) = tap();
        let tap = director.register("tap", tap);
        let derive = director.register("derive", map(|event: &Event| event.derive("derived")));
        let branch = director.register("branch", map(|event: &Event| event.branch("branch")));
        let ((first, derived), (second, branched)) = (collect(), collect());
        let (first, second) = (director.register("first", first), director.register("second", second));
        director.connect(tap, [derive, branch]);
        director.connect(derive, first);
        director.connect(branch, second);
        let running = director.build().unwrap().start().await.unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        let event = Event::new("original")
            .with_attribute("user", "ada")
            .with_attribute("size", Value::Integer(3))
            .with_correlation_id("order-7")
            .with_deadline(deadline);
        let id = event.id();
        entry.send(event).await.unwrap();
        running.stop(SOON).await.unwrap();
        let (derived, branched) = (derived.only(), branched.only());
        assert_eq!((derived.id() == id, branched.id() == id), (true, false));
        for event in [derived, branched] {
            assert_eq!(event.correlation_id(), "order-7");
            assert_eq!(event.attributes().text("user").as_deref(), Some("ada"));
            assert_eq!(event.attributes().integer("size"), Some(3));
            assert_eq!(event.deadline(), Some(deadline));
            assert!(event.created().is_some());
        }
    })
    .await;
}

#[tokio::test]
async fn a_branch_of_an_event_without_a_correlation_id_answers_for_its_id() {
    let event = Event::new("original");
    let branch = event.branch("branch");
    assert_eq!(branch.correlation_id(), event.id().to_string());
    assert_ne!(branch.id(), event.id());
}

#[tokio::test]
async fn a_filter_ends_what_it_does_not_let_through() {
    both(async |settings| {
        let mut director = director(settings);
        let (tap, entry) = tap();
        let tap = director.register("tap", tap);
        let even = director.register("even", filter(|event| event.payload().to_string().ends_with(['0', '2'])));
        let (collect, collected) = collect();
        let end = director.register("end", collect);
        director.connect(tap, even);
        director.connect(even, end);
        let running = director.build().unwrap().start().await.unwrap();
        entry.send_all(numbered(10)).await.unwrap();
        let ledger = running.stop(SOON).await.unwrap();
        assert_eq!(collected.texts(), ["0", "2"]);
        assert_eq!((ledger.entered, ledger.delivered), (12, 12));
    })
    .await;
}

#[tokio::test]
async fn a_payload_of_a_format_that_is_not_taken_fails_there() {
    struct Texts;
    impl Light for Texts {
        fn ports(&self) -> Ports {
            Ports::sink(Format::TEXT | Format::JSON)
        }
        fn handle(&self, _: &Event, _: &mut Outbox) -> Result<()> {
            Ok(())
        }
    }
    both(async |settings| {
        let mut director = director(settings);
        let (tap, entry) = tap();
        let tap = director.register("tap", tap);
        let texts = director.register("texts", Texts);
        let (collect, collected) = collect();
        let errors = director.register("errors", collect);
        director.connect(tap, texts);
        director.connect_error(texts, errors);
        let running = director.build().unwrap().start().await.unwrap();
        entry.send(Event::new(vec![0_u8])).await.unwrap();
        entry.send(Event::new("text")).await.unwrap();
        running.stop(SOON).await.unwrap();
        let event = collected.only();
        let error = event.error().unwrap();
        assert_eq!(error.kind(), Kind::Unsupported);
        assert_eq!(error.message(), "expected text or json in inbox `inbox`, found bytes");
        assert_eq!(error.actor(), Some("texts"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn capacity_counts_events_and_not_batches() {
    let mut director = director(playhouse_engine::Settings::default());
    let (tap, entry) = tap();
    let tap = director.register("tap", tap);
    let (gate, key) = gate();
    let gate = director.register_with("gate", gate, room(5));
    director.connect(tap, gate);
    let running = director.build().unwrap().start().await.unwrap();
    let sending = tokio::spawn(async move { entry.send_all(numbered(64)).await });
    key.came(1).await;
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    assert_eq!(running.monitor().actor("gate").unwrap().queued, 5);
    assert!(!sending.is_finished());
    key.open_wide();
    sending.await.unwrap().unwrap();
    running.stop(SOON).await.unwrap();
    assert_eq!(key.collected.texts(), numbers(64));
}

/// Makes many of one, and never waits.
struct Multiply(std::sync::Arc<std::sync::atomic::AtomicUsize>);

impl Actor for Multiply {
    async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        if event.payload().to_string() == "many" {
            self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            (0..500).for_each(|_| out.push(event.derive("one")));
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_on_its_way_out_of_an_actor_that_never_waits_is_bounded() {
    let mut director = director(playhouse_engine::Settings::default());
    let calls = std::sync::Arc::default();
    let (tap, entry) = tap();
    let tap = director.register("tap", tap);
    let multiply = director.register_with("multiply", Multiply(std::sync::Arc::clone(&calls)), Policy::default());
    let (gate, key) = gate();
    let gate = director.register_with("gate", gate, room(10));
    director.connect(tap, multiply);
    director.connect(multiply, gate);
    let running = director.build().unwrap().start().await.unwrap();
    // The actor has learnt to take many at a time.
    entry.send_all((0..20_000).map(|_| Event::new("nothing"))).await.unwrap();
    entry.send_all((0..200).map(|_| Event::new("many"))).await.unwrap();
    key.came(1).await;
    let calls = calls.load(std::sync::atomic::Ordering::SeqCst);
    assert!(calls <= 4, "{calls} events were multiplied before any left");
    key.open_wide();
    let ledger = running.stop(Duration::from_secs(600)).await.unwrap();
    assert_eq!(ledger.delivered, 20_200 + 100_000);
}
