use playhouse_engine::{Kind, Receipt, Xml};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::stage::Stage;

async fn staged(settings: BatchSettings) -> Stage {
    Stage::new(Batch::new(settings).unwrap(), &["inbox"], &["outbox"]).await
}

#[tokio::test(start_paused = true)]
async fn a_batch_goes_when_it_has_enough_events() {
    let stage = staged(BatchSettings { count: 2, ..BatchSettings::default() }).await;
    for payload in [Payload::from("a"), json!({"b": 1}).into(), Payload::Empty, Xml::new("<d/>").into()] {
        stage.send("inbox", Event::new(payload)).await;
    }
    stage.ended(2).await;
    let sent = stage.sent("outbox");
    assert_eq!(sent.texts(), [r#"["a",{"b":1}]"#, r#"[null,"<d/>"]"#]);
    assert_eq!(sent.events()[0].attribute("batch.count"), Some(2_i64.into()));
    stage.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_goes_before_it_gets_too_large() {
    let stage = staged(BatchSettings { form: BatchForm::Bytes, bytes: 4, ..BatchSettings::default() }).await;
    for text in ["ab", "c", "de", "0123456789", "f"] {
        stage.send("inbox", Event::new(text)).await;
    }
    stage.ended(3).await;
    let sent = stage.sent("outbox");
    stage.stop().await;
    assert_eq!(sent.texts(), ["abc", "de", "0123456789", "f"]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_goes_when_its_first_event_has_waited_long_enough() {
    let begin = Instant::now();
    let stage = staged(BatchSettings { time: Duration::from_secs(3), ..BatchSettings::default() }).await;
    stage.send("inbox", Event::new("a")).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    stage.send("inbox", Event::new("b")).await;
    stage.ended(1).await;
    assert_eq!(begin.elapsed().as_secs(), 3);
    stage.send("inbox", Event::new("c")).await;
    stage.ended(2).await;
    assert_eq!(begin.elapsed().as_secs(), 6);
    assert_eq!(stage.sent("outbox").texts(), [r#"["a","b"]"#, r#"["c"]"#]);
    stage.stop().await;
}

#[tokio::test(start_paused = true)]
async fn lines_are_ended_each() {
    let stage = staged(BatchSettings { form: BatchForm::Lines, count: 3, ..BatchSettings::default() }).await;
    for payload in [Payload::from("a"), json!({"b": "x\ny"}).into(), Payload::Empty] {
        stage.send("inbox", Event::new(payload)).await;
    }
    stage.ended(1).await;
    assert_eq!(stage.sent("outbox").texts(), ["a\n{\"b\":\"x\\ny\"}\n\n"]);
    stage.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_in_a_batch_is_refused_and_the_rest_goes() {
    for (form, payload, kind) in [
        (BatchForm::List, Payload::from(vec![0xff]), Kind::Unsupported),
        (BatchForm::Lines, Payload::from(vec![0xff]), Kind::Unsupported),
        (BatchForm::Lines, Payload::from("a\nb"), Kind::Unprocessable),
    ] {
        let stage = staged(BatchSettings { form, ..BatchSettings::default() }).await;
        stage.send("inbox", Event::new("good")).await;
        stage.send("inbox", Event::new(payload)).await;
        stage.ended(2).await;
        assert_eq!(stage.failed().events()[0].error().unwrap().kind(), kind);
        assert_eq!(stage.sent("outbox").events().len(), 1);
        stage.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_flow_that_stops_does_not_wait_for_a_batch_to_fill() {
    let begin = Instant::now();
    let stage = staged(BatchSettings { time: Duration::from_secs(300), ..BatchSettings::default() }).await;
    let (receipt, settled) = Receipt::awaited();
    stage.send("inbox", Event::new("a").with_receipt(receipt)).await;
    let sent = stage.sent("outbox");
    stage.stop().await;
    assert_eq!(sent.texts(), [r#"["a"]"#]);
    assert!(begin.elapsed() < Duration::from_secs(1));
    drop(sent);
    settled.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_worth_handling_as_long_as_any_of_its_events_is() {
    let stage = staged(BatchSettings { count: 2, ..BatchSettings::default() }).await;
    let late = Instant::now() + Duration::from_secs(60);
    let soon = Event::new("a").expires_in(Duration::from_secs(5));
    for event in [soon.clone(), Event::new("b").with_deadline(late), soon, Event::new("c")] {
        stage.send("inbox", event).await;
    }
    stage.ended(2).await;
    let deadlines: Vec<_> = stage.sent("outbox").events().iter().map(Event::deadline).collect();
    assert_eq!(deadlines, [Some(late), None]);
    stage.stop().await;
}

#[test]
fn settings_that_make_no_sense_are_refused_all_at_once() {
    let settings = BatchSettings { count: 0, bytes: 0, time: Duration::ZERO, ..BatchSettings::default() };
    assert_eq!(Batch::new(settings).unwrap_err().message().matches("expected").count(), 3);
    let settings: BatchSettings = toml::from_str("form = 'lines'\ntime = '200ms'").unwrap();
    assert_eq!((settings.form, settings.time), (BatchForm::Lines, Duration::from_millis(200)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn each_event_is_in_one_batch_and_all_keep_their_order(
        pauses in prop::collection::vec(0..400_u64, 0..200), count in 1..20_usize, bytes in 1..40_usize
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let settings = BatchSettings { form: BatchForm::Lines, count, bytes, ..BatchSettings::default() };
            let stage = staged(settings).await;
            let sum = pauses.len();
            for (number, pause) in pauses.into_iter().enumerate() {
                tokio::time::sleep(Duration::from_millis(pause.saturating_sub(200))).await;
                stage.send("inbox", Event::new(number.to_string())).await;
            }
            let sent = stage.sent("outbox");
            stage.stop().await;
            let lines: Vec<_> = sent.texts().concat().lines().map(str::to_owned).collect();
            assert_eq!(lines, (0..sum).map(|number| number.to_string()).collect::<Vec<_>>());
            assert!(sent.texts().iter().all(|batch| batch.lines().count() <= count));
        });
    }
}
