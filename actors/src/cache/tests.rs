use std::collections::HashMap;

use playhouse_engine::testing::Probe;
use playhouse_engine::{Director, Kind, map};
use proptest::prelude::*;
use serde_json::json;
use tokio::time::sleep;

use super::*;
use crate::stage::Stage;

async fn staged(settings: CacheSettings) -> Stage {
    let key = KeyFrom::Attribute("sku".into());
    let cache = Cache::new(CacheSettings { key, ..settings }).unwrap();
    Stage::new(cache, &["inbox", "fill"], &["outbox", "miss"]).await
}

fn asking(sku: i64) -> Event {
    Event::new("?").with_attribute("sku", sku)
}

#[tokio::test(start_paused = true)]
async fn what_was_answered_once_is_not_asked_again_in_its_time() {
    let stage = staged(CacheSettings::default()).await;
    stage.send("inbox", asking(7)).await;
    stage.ended(1).await;
    let [asked] = stage.sent("miss").events().try_into().unwrap();
    let answer = asked.derive(json!({"price": 1})).with_attribute("http.status", 203_i64).with_attribute("own", "x");
    stage.send("fill", answer).await;
    stage.ended(2).await;
    let again = asking(7);
    stage.send("inbox", again.clone()).await;
    stage.ended(3).await;
    let answers = stage.sent("outbox").events();
    assert_eq!(stage.sent("outbox").texts(), [r#"{"price":1}"#, r#"{"price":1}"#]);
    assert_eq!(answers[1].id(), again.id());
    assert_eq!(answers[1].attribute("http.status"), Some(203_i64.into()));
    assert_eq!(answers[1].attribute("own"), None);
    sleep(Duration::from_secs(60)).await;
    stage.send("inbox", asking(7)).await;
    stage.ended(4).await;
    assert_eq!(stage.sent("miss").events().len(), 2);
    stage.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_asks_and_the_others_wait_for_its_answer() {
    let stage = staged(CacheSettings::default()).await;
    for _ in 0..5 {
        stage.send("inbox", asking(7)).await;
    }
    stage.send("inbox", asking(8)).await;
    stage.ended(2).await;
    stage.taken(6).await;
    let asked = stage.sent("miss").events();
    assert_eq!(asked.len(), 2);
    stage.send("fill", asked[0].derive("seven")).await;
    stage.ended(7).await;
    assert_eq!(stage.sent("outbox").texts(), ["seven"; 5]);
    stage.send("fill", asked[1].derive("eight")).await;
    stage.ended(8).await;
    stage.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_error_is_told_to_all_who_wait_and_is_not_kept() {
    let stage = staged(CacheSettings::default()).await;
    stage.send("inbox", asking(7)).await;
    stage.send("inbox", asking(7)).await;
    stage.taken(2).await;
    stage.ended(1).await;
    let asked = stage.sent("miss").events();
    stage.send("fill", asked[0].clone().with_error(Error::gone("sold out"))).await;
    stage.ended(3).await;
    assert_eq!(stage.failed().errors(), ["gone: sold out", "gone: sold out"]);
    stage.send("inbox", asking(7)).await;
    stage.ended(4).await;
    assert_eq!(stage.sent("miss").events().len(), 2);
    assert_eq!(stage.sent("outbox").events().len(), 0);
    drop(asked);
    stage.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_the_fill_or_its_own_deadline() {
    let begin = Instant::now();
    let stage = staged(CacheSettings::default()).await;
    stage.send("inbox", asking(7)).await;
    stage.send("inbox", asking(7)).await;
    stage.send("inbox", asking(7).expires_in(Duration::from_secs(5))).await;
    stage.ended(2).await;
    assert_eq!(begin.elapsed().as_secs(), 5);
    stage.ended(3).await;
    assert_eq!(begin.elapsed().as_secs(), 30);
    let errors = ["timeout: no answer came by the event's deadline", "timeout: no answer came within 30s"];
    assert_eq!(stage.failed().errors(), errors);
    // An answer that comes too late goes to who asked, and the next one asks anew.
    let asked = stage.sent("miss").events();
    stage.send("fill", asked[0].derive("late")).await;
    stage.ended(4).await;
    assert_eq!(stage.sent("outbox").texts(), ["late"]);
    stage.send("inbox", asking(7)).await;
    stage.ended(5).await;
    assert_eq!(stage.sent("miss").events().len(), 2);
    stage.stop().await;
}

#[tokio::test(start_paused = true)]
async fn where_what_was_asked_ends_without_an_answer_those_who_wait_fail_at_once() {
    let begin = Instant::now();
    let key = KeyFrom::Attribute("sku".into());
    let cache = Cache::new(CacheSettings { key, ..CacheSettings::default() }).unwrap();
    let mut probe = Probe::new(cache).await.unwrap();
    probe.send(asking(7)).await.unwrap();
    let asked = probe.output_from("miss").await.unwrap();
    probe.send(asking(7)).await.unwrap();
    while probe.monitor().actor("probed").unwrap().held < 1 {
        tokio::task::yield_now().await;
    }
    drop(asked);
    let failed = probe.error().await.unwrap();
    assert_eq!(failed.error().unwrap().kind(), Kind::Unavailable);
    assert!(begin.elapsed() < Duration::from_secs(1));
    assert!(probe.stop().await.unwrap().balances());
}

#[tokio::test(start_paused = true)]
async fn no_more_wait_than_may() {
    let stage = staged(CacheSettings { most_waiting: 1, ..CacheSettings::default() }).await;
    for sku in [7, 7, 7, 8] {
        stage.send("inbox", asking(sku)).await;
    }
    stage.taken(4).await;
    stage.ended(3).await;
    assert_eq!(stage.failed().errors(), ["overloaded: too many events wait for answers"; 2]);
    stage.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_too_large_is_passed_on_and_not_kept() {
    let stage = staged(CacheSettings { most_bytes: 10, most: 5, ..CacheSettings::default() }).await;
    for number in [1, 2] {
        stage.send("inbox", asking(7)).await;
        stage.ended(2 * number - 1).await;
        let asked = stage.sent("miss").events();
        stage.send("fill", asked[number - 1].derive("x".repeat(11))).await;
        stage.ended(2 * number).await;
    }
    assert_eq!(stage.sent("miss").events().len(), 2);
    stage.stop().await;
}

#[tokio::test(start_paused = true)]
async fn no_more_answers_are_kept_than_may_be() {
    let settings = CacheSettings { most: 10, ..CacheSettings::default() };
    let cache = Cache::new(settings).unwrap();
    let shared = cache.shared.clone();
    let stage = Stage::new(cache, &["inbox", "fill"], &["outbox", "miss"]).await;
    for number in 0..100_usize {
        stage.send("inbox", Event::new(number.to_string())).await;
        stage.ended(2 * number + 1).await;
        let asked = stage.sent("miss").events();
        stage.send("fill", asked[number].derive("answer")).await;
        stage.ended(2 * number + 2).await;
    }
    shared.store.run_pending_tasks();
    assert!(shared.store.entry_count() <= 10, "{}", shared.store.entry_count());
    stage.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_event_of_the_same_id_and_another_key_is_refused() {
    let stage = staged(CacheSettings::default()).await;
    let event = asking(7);
    stage.send("inbox", event.clone()).await;
    stage.ended(1).await;
    stage.send("inbox", event.with_attribute("sku", 8_i64)).await;
    stage.ended(2).await;
    assert_eq!(stage.failed().events()[0].error().unwrap().kind(), Kind::Conflict);
    stage.stop().await;
}

#[tokio::test]
async fn the_ring_through_what_makes_the_answers_runs_within_one_call() {
    let mut director = Director::new("prices");
    let (sender, mut answers) = tokio::sync::mpsc::channel(1000);
    let count = crate::Schedule { interval: Duration::ZERO, count: Some(1000), ..Default::default() };
    let numbers = crate::Generator::making(count, |number| Event::new((number % 10).to_string()));
    let source = director.register("source", numbers);
    let cache = Cache::keeping(Duration::from_secs(60)).unwrap();
    let (hits, misses) = (cache.hits(), cache.misses());
    let cache = director.register("cache", cache);
    let twice = map(|event: &Event| event.derive(event.payload().to_string().repeat(2)));
    let twice = director.register("twice", twice);
    let end = playhouse_engine::sink(move |event: &Event| {
        sender.try_send(event.payload().to_string()).map_err(|_| Error::gone("the test has ended"))
    });
    let end = director.register("end", end);
    director.connect(source, cache);
    director.connect(cache, end);
    director.connect(cache.port("miss"), twice);
    director.connect(twice, cache.port("fill"));
    let running = director.build().unwrap().start().await.unwrap();
    for _ in 0..1000 {
        let answer = answers.recv().await.unwrap();
        assert_eq!(answer[..1], answer[1..]);
    }
    let ledger = running.stop(Duration::from_secs(5)).await.unwrap();
    assert!(ledger.balances());
    assert_eq!((misses.get(), hits.get()), (10, 990));
}

#[test]
fn settings_that_make_no_sense_are_refused_all_at_once() {
    let settings = CacheSettings { time_to_live: Duration::ZERO, most: 0, most_waiting: 0, ..CacheSettings::default() };
    assert_eq!(Cache::new(settings).unwrap_err().message().matches("expected").count(), 3);
    let settings: CacheSettings = toml::from_str("key = { attribute = 'sku' }\ntime-to-live = '5m'").unwrap();
    assert_eq!(settings.time_to_live, Duration::from_secs(300));
}

/// One step of a random course.
#[derive(Clone, Debug)]
enum Step {
    Ask {
        sku: i64,
        hurried: bool,
    },
    /// Answers, well or with an error, one of those that went out.
    Answer {
        which: usize,
        well: bool,
    },
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..6_i64, any::<bool>()).prop_map(|(sku, hurried)| Step::Ask { sku, hurried }),
        4 => (0..100_usize, prop::bool::weighted(0.7)).prop_map(|(which, well)| Step::Answer { which, well }),
        1 => (1..40_000_u64).prop_map(Step::Pass),
    ]
}

/// Plays a course, and checks that each event that asked has one end: an answer to its key, or an error.
async fn play(steps: Vec<Step>, most_waiting: usize) {
    let stage = staged(CacheSettings { most_waiting, ..CacheSettings::default() }).await;
    let mut asked = HashMap::new();
    let mut unanswered = Vec::new();
    let (mut taken, mut seen) = (0, 0);
    for step in steps {
        match step {
            Step::Pass(time) => sleep(Duration::from_millis(time)).await,
            Step::Ask { sku, hurried } => {
                let event = asking(sku);
                asked.insert(event.id(), (sku, 0));
                let event = if hurried { event.expires_in(Duration::from_secs(10)) } else { event };
                stage.send("inbox", event).await;
                taken += 1;
            }
            Step::Answer { which, well } => {
                if unanswered.is_empty() {
                    continue;
                }
                let event: Event = unanswered.swap_remove(which % unanswered.len());
                let sku = event.attribute("sku").unwrap().to_string();
                // An answer comes in time, or the engine itself would end it.
                let event = event.derive(sku).with_deadline(Instant::now() + Duration::from_secs(1));
                let event = if well { event } else { event.with_error(Error::gone("sold out")) };
                stage.send("fill", event).await;
                taken += 1;
            }
        }
        stage.taken(taken).await;
        let out = stage.sent("miss").events();
        unanswered.extend(out[seen..].iter().cloned());
        seen = out.len();
    }
    sleep(Duration::from_secs(31)).await;
    assert_eq!(stage.ledger().in_flight, 0);
    for event in stage.sent("outbox").events() {
        let (sku, ends) = asked.get_mut(&event.id()).unwrap();
        assert_eq!(event.payload().to_string(), sku.to_string());
        *ends += 1;
    }
    for event in stage.failed().events() {
        asked.get_mut(&event.id()).unwrap().1 += 1;
    }
    for event in unanswered {
        // What went out and was never answered is somebody else's; its copy is in nobody's hands here.
        asked.get_mut(&event.id()).unwrap().1 += 1;
    }
    stage.stop().await;
    assert!(asked.values().all(|(_, ends)| *ends == 1), "{asked:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn each_event_that_asks_has_one_end(steps in prop::collection::vec(step(), 0..150), most_waiting in 1..6_usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(play(steps, most_waiting));
    }
}
