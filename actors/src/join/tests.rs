use std::collections::HashMap;

use playhouse_engine::{EventId, Kind, Payload, Policy, Receipt, Xml};
use proptest::prelude::*;
use serde_json::json;
use tokio::time::advance;

use super::*;
use crate::stage::Stage;

async fn staged(join: Join) -> Stage {
    Stage::new(join, &["a", "b"], &["outbox"]).await
}

fn joining(mode: JoinMode) -> Join {
    Join::new(["a", "b"], JoinSettings { mode, ..JoinSettings::default() }).unwrap()
}

/// Joins two payloads, of which the second comes first, and returns what came out.
async fn joined(mode: JoinMode, a: impl Into<Payload>, b: impl Into<Payload>) -> Event {
    let stage = staged(joining(mode)).await;
    let event = Event::new(());
    stage.send("b", event.derive(b)).await;
    stage.taken(1).await;
    stage.send("a", event.derive(a)).await;
    stage.ended(1).await;
    assert_eq!(stage.failed().errors(), [""; 0]);
    let [joined] = stage.sent("outbox").events().try_into().unwrap();
    assert_eq!(joined.id(), event.id());
    stage.stop().await;
    joined
}

#[tokio::test(start_paused = true)]
async fn the_parts_stand_in_the_order_of_the_inboxes_whatever_came_first() {
    let list = joined(JoinMode::List, "text", json!({"b": [1]})).await;
    assert_eq!(list.payload().to_string(), r#"["text",{"b":[1]}]"#);
}

#[tokio::test(start_paused = true)]
async fn what_is_false_or_nothing_counts_as_a_part() {
    for (payload, expected) in [
        (Payload::Empty, "[null,false]"),
        (json!(0).into(), "[0,false]"),
        (json!(null).into(), "[null,false]"),
        ("".into(), r#"["",false]"#),
        (json!([]).into(), "[[],false]"),
    ] {
        assert_eq!(joined(JoinMode::List, payload, json!(false)).await.payload().to_string(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn members_are_merged_and_the_later_inbox_counts() {
    let merged = joined(JoinMode::Merge, r#"{"x": 1, "y": 1}"#, json!({"y": 2, "z": {}})).await;
    assert_eq!(merged.payload().to_string(), r#"{"x":1,"y":2,"z":{}}"#);
}

#[tokio::test(start_paused = true)]
async fn documents_become_the_children_of_one_root() {
    let declared = "<?xml version='1.0'?>\n<a xmlns='u'>&amp;</a><!-- end -->";
    let whole = joined(JoinMode::Xml, declared, Xml::new("<b x='1'/>")).await;
    assert_eq!(whole.payload().to_string(), "<joined><a xmlns='u'>&amp;</a><b x='1'/></joined>");
    assert!(matches!(whole.payload(), Payload::Xml(_)));
}

#[tokio::test(start_paused = true)]
async fn events_are_joined_by_what_was_chosen() {
    for (key, a, b) in [
        (KeyFrom::Correlation, Event::new("a").with_correlation_id("c"), Event::new("b").with_correlation_id("c")),
        (
            KeyFrom::Attribute("n".into()),
            Event::new("a").with_attribute("n", 7_i64),
            Event::new("b").with_attribute("n", "7"),
        ),
    ] {
        let stage = staged(Join::new(["a", "b"], JoinSettings { key, ..JoinSettings::default() }).unwrap()).await;
        stage.send("a", a).await;
        stage.send("b", b).await;
        stage.ended(1).await;
        assert_eq!(stage.sent("outbox").texts(), [r#"["a","b"]"#]);
        stage.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_is_named_when_its_time_is_up() {
    let begin = Instant::now();
    let join = Join::of(["a", "b", "c"]).unwrap();
    let stage = Stage::new(join, &["a", "b", "c"], &["outbox"]).await;
    let (receipt, settled) = Receipt::awaited();
    stage.send("b", Event::new("alone").with_receipt(receipt)).await;
    stage.ended(1).await;
    assert_eq!(begin.elapsed().as_secs(), 30);
    assert_eq!(stage.failed().errors(), ["timeout: no event came from `a`, `c` within 30s"]);
    assert_eq!(stage.failed().texts(), ["alone"]);
    let failed = stage.failed();
    let ledger = stage.stop().await;
    assert_eq!(ledger.failed, 1);
    drop(failed);
    // The error route took it, which is a delivery.
    settled.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_second_event_of_one_inbox_is_refused_and_the_first_stays() {
    let join = joining(JoinMode::List);
    let duplicates = join.duplicates();
    let stage = staged(join).await;
    let event = Event::new("first");
    stage.send("a", event.clone()).await;
    stage.send("a", event.derive("second")).await;
    stage.ended(1).await;
    stage.send("b", event.derive("other")).await;
    stage.ended(2).await;
    assert_eq!(stage.failed().errors(), ["conflict: `a` has delivered an event of this key, which waits"]);
    assert_eq!(stage.sent("outbox").texts(), [r#"["first","other"]"#]);
    assert_eq!(duplicates.get(), 1);
    stage.stop().await;
}

#[tokio::test(start_paused = true)]
async fn no_more_are_held_than_may_be() {
    for settings in
        [JoinSettings { most: 2, ..JoinSettings::default() }, JoinSettings { most_bytes: 2, ..JoinSettings::default() }]
    {
        let stage = staged(Join::new(["a", "b"], settings).unwrap()).await;
        let events: Vec<_> = (0..3).map(|number| Event::new(number.to_string())).collect();
        for event in &events {
            stage.send("a", event.clone()).await;
        }
        stage.ended(1).await;
        assert_eq!(stage.failed().texts(), ["2"]);
        assert_eq!(stage.failed().events()[0].error().unwrap().kind(), Kind::Overloaded);
        // What is held is still joined, and leaves room.
        stage.send("b", events[0].clone()).await;
        stage.send("a", events[2].clone()).await;
        stage.send("b", events[2].clone()).await;
        stage.ended(3).await;
        assert_eq!(stage.sent("outbox").texts(), [r#"["0","0"]"#, r#"["2","2"]"#]);
        stage.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_that_cannot_be_joined_is_refused_and_the_others_wait() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for (mode, payload, kind) in [
        (JoinMode::List, Payload::from(vec![0xff]), Kind::Unsupported),
        (JoinMode::List, "x".repeat((1 << 20) + 1).into(), Kind::TooLarge),
        (JoinMode::List, json!(vec![0; 1 << 16]).into(), Kind::TooLarge),
        (JoinMode::Merge, "{".into(), Kind::Malformed),
        (JoinMode::Merge, deep.into(), Kind::Malformed),
        (JoinMode::Merge, json!([1]).into(), Kind::Unprocessable),
        (JoinMode::Merge, "7".into(), Kind::Unprocessable),
        (JoinMode::Merge, Payload::Empty, Kind::Unsupported),
        (JoinMode::Merge, Xml::new("<a/>").into(), Kind::Unsupported),
        (JoinMode::Xml, "<a>".into(), Kind::Malformed),
        (JoinMode::Xml, "<a/></joined><joined>".into(), Kind::Malformed),
        (JoinMode::Xml, "<!DOCTYPE a [<!ENTITY e 'x'>]><a>&e;</a>".into(), Kind::Malformed),
        (JoinMode::Xml, "<a>".repeat(100_000).into(), Kind::TooLarge),
        (JoinMode::Xml, json!({}).into(), Kind::Unsupported),
        (JoinMode::Xml, vec![0xff, 0xfe].into(), Kind::Malformed),
    ] {
        let stage = staged(joining(mode)).await;
        let event = Event::new(());
        let good = match mode {
            JoinMode::List | JoinMode::Merge => Payload::from("{}"),
            JoinMode::Xml => Payload::from("<a/>"),
        };
        stage.send("a", event.derive(good.clone())).await;
        stage.send("b", event.derive(payload.clone())).await;
        stage.ended(1).await;
        assert_eq!(stage.failed().events()[0].error().unwrap().kind(), kind, "{mode:?}");
        stage.send("b", event.derive(good)).await;
        stage.ended(2).await;
        assert_eq!(stage.sent("outbox").events().len(), 1, "{mode:?}");
        stage.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_flow_that_stops_waits_for_what_is_missing_for_a_while() {
    let begin = Instant::now();
    let stage = staged(joining(JoinMode::List)).await;
    stage.send("a", Event::new("alone")).await;
    stage.taken(1).await;
    advance(Duration::from_secs(1)).await;
    let failed = stage.failed();
    stage.stop().await;
    assert_eq!(begin.elapsed().as_secs(), 6);
    assert_eq!(failed.errors(), ["timeout: no event came from `b` before the flow stopped"]);
}

#[tokio::test]
async fn the_receipts_of_all_parts_hang_on_what_was_joined() {
    let stage = staged(joining(JoinMode::List)).await;
    let event = Event::new("x");
    let (first, first_settled) = Receipt::awaited();
    let (second, second_settled) = Receipt::awaited();
    stage.send("a", event.clone().with_receipt(first)).await;
    stage.send("b", event.clone().with_receipt(second)).await;
    stage.ended(1).await;
    let collected = stage.sent("outbox");
    stage.stop().await;
    let first_settled = tokio::spawn(first_settled);
    tokio::task::yield_now().await;
    assert!(!first_settled.is_finished());
    collected.events()[0].receipt().unwrap().fail(&Error::internal("boom"));
    drop(collected);
    assert!(first_settled.await.unwrap().is_err() && second_settled.await.is_err());
}

#[tokio::test(start_paused = true)]
async fn what_is_joined_is_worth_handling_as_long_as_all_of_its_parts_are() {
    let stage = staged(joining(JoinMode::List)).await;
    let event = Event::new("x");
    let soon = Instant::now() + Duration::from_secs(3);
    stage.send("a", event.clone()).await;
    stage.send("b", event.clone().with_deadline(soon)).await;
    stage.ended(1).await;
    assert_eq!(stage.sent("outbox").events()[0].deadline(), Some(soon));
    stage.stop().await;
}

#[test]
fn a_join_that_makes_no_sense_is_refused_with_all_that_is_wrong() {
    let settings = JoinSettings {
        mode: JoinMode::Xml,
        root: "not a name".into(),
        time_out: Duration::ZERO,
        time_out_at_stop: Duration::MAX,
        most: 0,
        ..JoinSettings::default()
    };
    let message = Join::new(["a", "a", "b", "a"], settings).unwrap_err().message().to_owned();
    for expected in ["`a` is named twice", "`root`: `not a name`", "`time-out`", "`time-out-at-stop`", "`most`"] {
        assert!(message.contains(expected), "{message}");
    }
    assert!(Join::of(["alone"]).is_err());
    let settings: JoinSettings = toml::from_str("mode = 'xml'\nkey = 'correlation'\ntime-out = '2m'").unwrap();
    assert_eq!((settings.key, settings.time_out), (KeyFrom::Correlation, Duration::from_secs(120)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_workers_join_what_several_sources_send_at_once() {
    const PAIRS: u128 = 20_000;
    let policy = Policy { workers: 4.into(), ..Policy::default() };
    let stage = Stage::with_policy(joining(JoinMode::List), policy, &["a", "b"], &["outbox"]).await;
    let halves = |inbox: &'static str| {
        let emitter = stage.inbox(inbox).clone();
        let events = (0..PAIRS).map(move |number| Event::with_id(EventId::from_u128(number), inbox));
        tokio::spawn(async move { emitter.send_all(events).await })
    };
    let (left, right) = (halves("a"), halves("b"));
    left.await.unwrap().unwrap();
    right.await.unwrap().unwrap();
    let (joined, failed) = (stage.sent("outbox"), stage.failed());
    let ledger = stage.stop().await;
    assert_eq!((failed.errors().len(), ledger.failed), (0, 0));
    let mut ids: Vec<_> = joined.events().iter().map(|event| event.id().as_u128()).collect();
    ids.sort_unstable();
    assert!(ids.into_iter().eq(0..PAIRS));
    assert!(joined.texts().iter().all(|text| text == r#"["a","b"]"#));
}

/// One step of a random course: an event of a key to an inbox, or time that passes.
#[derive(Clone, Debug)]
enum Step {
    Send { key: u8, inbox: usize, bad: bool },
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..12_u8, 0..3_usize, prop::bool::weighted(0.05)).prop_map(|(key, inbox, bad)| Step::Send { key, inbox, bad }),
        1 => (1..20_000_u64).prop_map(Step::Pass),
    ]
}

const INBOXES: [&str; 3] = ["a", "b", "c"];

/// Plays a course, and checks that each event came out once: in an output, or with an error.
async fn play(steps: Vec<Step>, most: usize, stop_at_once: bool) {
    let settings = JoinSettings { most, ..JoinSettings::default() };
    let stage = Stage::new(Join::new(INBOXES, settings).unwrap(), &INBOXES, &["outbox"]).await;
    let mut numbers = HashMap::new();
    for (number, step) in steps.into_iter().enumerate() {
        match step {
            Step::Pass(time) => tokio::time::sleep(Duration::from_millis(time)).await,
            Step::Send { key, inbox, bad } => {
                let id = EventId::from_u128(key.into());
                let payload = if bad {
                    Payload::from([&[0xff], number.to_string().as_bytes()].concat())
                } else {
                    json!(number).into()
                };
                numbers.insert(number, 0);
                stage.send(INBOXES[inbox], Event::with_id(id, payload)).await;
            }
        }
    }
    if !stop_at_once {
        tokio::time::sleep(Duration::from_secs(31)).await;
        assert_eq!(stage.ledger().in_flight, 0);
    }
    let (joined, failed) = (stage.sent("outbox"), stage.failed());
    stage.stop().await;
    let mut count = |text: &str| *numbers.get_mut(&text.parse().unwrap()).expect("it was sent") += 1;
    for event in joined.events() {
        let parts = event.payload().as_json().unwrap();
        assert_eq!(parts.as_array().unwrap().len(), 3);
        parts.as_array().unwrap().iter().for_each(|part| count(&part.to_string()));
    }
    for event in failed.events() {
        let bytes = event.payload().to_bytes();
        count(std::str::from_utf8(bytes.strip_prefix(&[0xff]).unwrap_or(&bytes)).unwrap());
    }
    assert!(numbers.values().all(|times| *times == 1), "{numbers:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn each_event_ends_in_one_output_or_with_one_error(
        steps in prop::collection::vec(step(), 0..300), most in 1..10_usize, stop_at_once: bool
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(play(steps, most, stop_at_once));
    }
}
