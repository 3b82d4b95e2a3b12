//! The flow's own log as events.

use playhouse_engine::{Error, Event, Overflow, Policy, Settings, map, sink, source};

use crate::common::{SOON, both, collect, director, gate, records, tap};

#[tokio::test]
async fn what_the_flow_logs_comes_as_events() {
    both(async |settings| {
        let mut director = director(settings);
        let (tap, entry) = tap();
        let tap = director.register("tap", tap);
        let faulty = director.register("faulty", sink(|_| Err(Error::gone("it is gone"))));
        let (log, logged) = collect();
        let log = director.register("log", log);
        director.connect(tap, faulty);
        director.connect_log(log);
        let running = director.build().unwrap().start().await.unwrap();
        let event = Event::new("bad").with_correlation_id("order-7");
        let id = event.id().to_string();
        entry.send(event).await.unwrap();
        while logged.len() < 2 {
            tokio::task::yield_now().await;
        }
        let ledger = running.stop(SOON).await.unwrap();
        let texts = logged.texts();
        assert_eq!(texts[0], "the flow runs with 3 actors");
        assert_eq!(texts[1..], ["event failed: it is gone", "the flow stops: sources take in no more"]);
        let failure = &logged.events()[1];
        assert_eq!(failure.correlation_id(), "order-7");
        let attribute = |name: &str| failure.attributes().text(name).map(|text| text.into_owned());
        assert_eq!(attribute("log.level").as_deref(), Some("error"));
        assert_eq!(attribute("log.flow").as_deref(), Some("test"));
        assert_eq!(attribute("log.actor").as_deref(), Some("faulty"));
        assert_eq!(attribute("log.event"), Some(id));
        assert_eq!(logged.events()[0].attributes().text("log.actor"), None);
        assert_eq!((ledger.entered, ledger.delivered, ledger.failed), (4, 3, 1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_log_actor_that_fails_begets_no_loop() {
    both(async |settings| {
        let records = records();
        let mut director = director(settings);
        let (tap, entry) = tap();
        let tap = director.register("tap", tap);
        let end = director.register("end", sink(|_| Ok(())));
        let log = director.register("log", sink(|_| Err(Error::unavailable("the log is broken"))));
        director.connect(tap, end);
        director.connect_log(log);
        let running = director.build().unwrap().start().await.unwrap();
        entry.send(Event::new("one")).await.unwrap();
        running.stop(SOON).await.unwrap();
        assert_eq!(records.with("the log is broken").len(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_actor_behind_the_log_actor_that_fails_begets_no_loop() {
    both(async |settings| {
        let records = records();
        let mut director = director(settings);
        let (tap, entry) = tap();
        let tap = director.register("tap", tap);
        let end = director.register("end", sink(|_| Ok(())));
        // It says nothing of where the record came from.
        let log = director.register("log", map(|event: &Event| Event::new(event.payload().clone())));
        let write = director.register("write", sink(|_| Err(Error::unavailable("the disk is full"))));
        director.connect(tap, end);
        director.connect(log, write);
        director.connect_log(log);
        let running = director.build().unwrap().start().await.unwrap();
        entry.send(Event::new("one")).await.unwrap();
        running.stop(SOON).await.unwrap();
        assert_eq!(records.with("the disk is full").len(), 2);
    })
    .await;
}

#[tokio::test]
async fn several_actors_may_take_the_log() {
    both(async |settings| {
        let mut director = director(settings);
        let source = director.register("source", source(|_| async { Ok(()) }));
        let end = director.register("end", sink(|_| Ok(())));
        let ((one, ones), (two, twos)) = (collect(), collect());
        let (one, two) = (director.register("one", one), director.register("two", two));
        director.connect(source, end);
        director.connect_log(one);
        director.connect_log(two);
        let running = director.build().unwrap().start().await.unwrap();
        running.stop(SOON).await.unwrap();
        assert_eq!(ones.texts(), ["the flow runs with 4 actors", "the flow stops: sources take in no more"]);
        assert_eq!(ones.texts(), twos.texts());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_record_that_finds_no_room_is_dropped_and_counted() {
    for overflow in [Overflow::Wait, Overflow::Shed, Overflow::Drop] {
        let mut director = director(Settings::default());
        let (tap, entry) = tap();
        let tap = director.register("tap", tap);
        let faulty = director.register("faulty", sink(|_| Err(Error::gone("it is gone"))));
        let (log, key) = gate();
        let log = director.register_with("log", log, Policy { capacity: 1, overflow, ..Policy::default() });
        director.connect(tap, faulty);
        director.connect_log(log);
        let running = director.build().unwrap().start().await.unwrap();
        key.came(1).await;
        entry.send_all((0..3).map(|_| Event::new("bad"))).await.unwrap();
        let monitor = running.monitor();
        while monitor.ledger().dropped < 2 {
            tokio::task::yield_now().await;
        }
        key.open_wide();
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let ledger = running.stop(SOON).await.unwrap();
        // The start, one failure and the stop came; two failures did not.
        assert_eq!((key.collected.len(), ledger.dropped, ledger.failed), (3, 2, 3));
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_made_anew_is_in_the_log() {
    let mut director = director(Settings::default());
    let calls = std::sync::atomic::AtomicUsize::new(0);
    let calls = std::sync::Arc::new(calls);
    let source = director.register(
        "source",
        source(move |_| {
            let first = calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
            async move { if first { Err(Error::unavailable("no connection")) } else { Ok(()) } }
        }),
    );
    let end = director.register("end", sink(|_| Ok(())));
    let (log, logged) = collect();
    let log = director.register("log", log);
    director.connect(source, end);
    director.connect_log(log);
    let running = director.build().unwrap().start().await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    running.stop(SOON).await.unwrap();
    let record = logged.events().remove(1);
    assert_eq!(record.payload().to_string(), "task `source` failed: no connection");
    assert_eq!(record.attributes().text("log.level").as_deref(), Some("warn"));
    assert_eq!(record.attributes().text("log.actor").as_deref(), Some("source"));
}
