//! Several workers for one actor.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use playhouse_engine::{Actor, Event, Format, Outbox, Policy, Ports, Result, Settings, Workers, map};
use tokio::sync::Barrier;

use crate::common::{SOON, both, collect, director, gate, numbered, numbers, tap};

fn workers(count: usize) -> Policy {
    Policy { workers: count.into(), ..Policy::default() }
}

/// Ends an event when so many are in hand at once.
struct Together(Arc<Barrier>);

impl Actor for Together {
    fn ports(&self) -> Ports {
        Ports::sink(Format::ANY)
    }

    async fn handle(&self, _: &Event, _: &mut Outbox) -> Result<()> {
        self.0.wait().await;
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn as_many_events_are_handled_at_once_as_there_are_workers() {
    both(async |settings| {
        for count in [2, 5, 40] {
            let mut director = director(settings.clone());
            let (tap, entry) = tap();
            let tap = director.register("tap", tap);
            let together = director.register_with("together", Together(Arc::new(Barrier::new(count))), workers(count));
            director.connect(tap, together);
            let running = director.build().unwrap().start().await.unwrap();
            entry.send_all(numbered(count * 3)).await.unwrap();
            running.stop(SOON).await.unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_on_several_threads_lose_nothing() {
    both(async |settings| {
        let mut director = director(settings);
        let (tap, entry) = tap();
        let tap = director.register("tap", tap);
        let light = director.register_with("light", map(Event::clone), workers(4));
        let (collect, collected) = collect();
        let end = director.register_with("end", collect, workers(3));
        director.connect(tap, light);
        director.connect(light, end);
        let running = director.build().unwrap().start().await.unwrap();
        entry.send_all(numbered(5000)).await.unwrap();
        let ledger = running.stop(SOON).await.unwrap();
        let mut seen: Vec<usize> = collected.texts().iter().map(|text| text.parse().unwrap()).collect();
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..5000));
        assert_eq!(ledger.delivered, 10_000);
    })
    .await;
}

/// Takes a long time for an event named `slow`, and none for others.
struct Mixed(Arc<AtomicUsize>);

impl Actor for Mixed {
    fn ports(&self) -> Ports {
        Ports::sink(Format::ANY)
    }

    async fn handle(&self, event: &Event, _: &mut Outbox) -> Result<()> {
        if event.payload().to_string() == "slow" {
            tokio::time::sleep(Duration::from_secs(30)).await;
        }
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_event_holds_up_no_other_of_its_batch_while_another_worker_is_free() {
    let handled = Arc::new(AtomicUsize::new(0));
    let mut director = director(Settings::default());
    let (tap, entry) = tap();
    let tap = director.register("tap", tap);
    let mixed = director.register_with("mixed", Mixed(handled.clone()), workers(2));
    director.connect(tap, mixed);
    let running = director.build().unwrap().start().await.unwrap();
    // The workers learn to take many at a time.
    entry.send_all(numbered(2000)).await.unwrap();
    while handled.load(Ordering::SeqCst) < 2000 {
        tokio::task::yield_now().await;
    }
    entry.send_all([Event::new("slow")].into_iter().chain(numbered(50))).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(handled.load(Ordering::SeqCst), 2050);
    running.stop(Duration::from_secs(60)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn events_that_are_put_back_wake_every_worker_that_is_free() {
    let mut director = director(Settings::default());
    let (tap, entry) = tap();
    let tap = director.register("tap", tap);
    let handled = Arc::new(AtomicUsize::new(0));
    let mixed = director.register_with("mixed", Mixed(handled.clone()), workers(4));
    director.connect(tap, mixed);
    let running = director.build().unwrap().start().await.unwrap();
    entry.send_all(numbered(4000)).await.unwrap();
    while handled.load(Ordering::SeqCst) < 4000 {
        tokio::task::yield_now().await;
    }
    // Whoever takes them first takes several, and must wait for the first of them.
    let began = tokio::time::Instant::now();
    entry.send_all((0..4).map(|_| Event::new("slow"))).await.unwrap();
    running.stop(Duration::from_secs(600)).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(31), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn one_worker_for_each_core_is_a_policy() {
    let cores = std::thread::available_parallelism().unwrap().get();
    let mut director = director(Settings::default());
    let (tap, entry) = tap();
    let tap = director.register("tap", tap);
    let (gate, key) = gate();
    let policy = Policy { workers: Workers::PER_CORE, ..Policy::default() };
    let gate = director.register_with("gate", gate, policy);
    director.connect(tap, gate);
    let running = director.build().unwrap().start().await.unwrap();
    entry.send_all(numbered(cores + 3)).await.unwrap();
    key.came(cores as u32).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let gate = running.monitor().actor("gate").unwrap();
    assert_eq!((gate.received - gate.delivered, gate.queued), (cores as u64, 3));
    key.open_wide();
    running.stop(SOON).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_worker_keeps_order_though_each_event_waits() {
    let mut director = director(Settings::default());
    let (tap, entry) = tap();
    let tap = director.register("tap", tap);
    let (gate, key) = gate();
    let gate = director.register("gate", gate);
    director.connect(tap, gate);
    let running = director.build().unwrap().start().await.unwrap();
    entry.send_all(numbered(300)).await.unwrap();
    key.open_wide();
    running.stop(SOON).await.unwrap();
    assert_eq!(key.collected.texts(), numbers(300));
}
