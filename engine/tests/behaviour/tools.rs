//! What a user tests an actor with.

use playhouse_engine::testing::{Probe, at_rest, feed, open_accounts};
use playhouse_engine::{
    Actor, Context, Error, Event, Format, Kind, Light, Outbox, Policy, Ports, Result, assert_ledger, map, sink, source,
};

/// Sends big orders one way and small ones the other, and fails on what is no number.
struct Sort;

impl Light for Sort {
    fn ports(&self) -> Ports {
        Ports::sink(Format::TEXT).with_outbox("small", Format::TEXT).with_outbox("big", Format::TEXT)
    }

    fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        let size: u64 = match event.payload().as_text()?.parse() {
            Ok(size) => size,
            Err(error) => return Err(Error::unprocessable("the size is no number").caused_by(error)),
        };
        match size {
            0..100 => out.push(event),
            _ => {
                out.push_to("big", event.derive("big"));
                out.push_to("big", event);
            }
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_handler_is_fed_alone_and_its_outputs_are_named() {
    let outputs = feed(&Sort, Event::new("7")).await.unwrap();
    let shown: Vec<_> =
        outputs.iter().map(|output| (output.outbox.as_str(), output.event.payload().to_string())).collect();
    assert_eq!(shown, [("small", "7".to_owned())]);
    let event = Event::new("700");
    let outputs = feed(&Sort, event.clone()).await.unwrap();
    let shown: Vec<_> =
        outputs.iter().map(|output| (output.outbox.as_str(), output.event.payload().to_string())).collect();
    assert_eq!(shown, [("big", "big".to_owned()), ("big", "700".to_owned())]);
    assert!(outputs.iter().all(|output| output.event.id() == event.id()));
}

#[tokio::test]
async fn what_a_fed_handler_does_wrong_is_its_error() {
    let error = feed(&Sort, Event::new("many")).await.unwrap_err();
    assert_eq!(error.to_string(), "the size is no number: invalid digit found in string");
    struct Wrong;
    impl Actor for Wrong {
        async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
            assert_eq!(out.inbox(), "inbox");
            out.push_to("nowhere", event);
            Ok(())
        }
    }
    let error = feed(&Wrong, Event::new(())).await.unwrap_err();
    assert_eq!(error.to_string(), "the actor has no outbox `nowhere`; it has `outbox`");
}

#[tokio::test]
async fn a_probe_sends_and_waits_for_outputs_and_errors() {
    let mut probe = Probe::new(Sort).await.unwrap();
    for text in ["1", "many", "100", "2"] {
        probe.send(Event::new(text)).await.unwrap();
    }
    assert_eq!(probe.output().await.unwrap().payload().to_string(), "1");
    assert_eq!(probe.output().await.unwrap().payload().to_string(), "2");
    assert_eq!(probe.output_from("big").await.unwrap().payload().to_string(), "big");
    assert_eq!(probe.output_from("big").await.unwrap().payload().to_string(), "100");
    let event = probe.error().await.unwrap();
    let error = event.error().unwrap();
    assert_eq!((error.kind(), error.actor()), (Kind::Unprocessable, Some("probed")));
    assert_eq!(probe.monitor().actor("probed").unwrap().failed, 1);
    let ledger = probe.stop().await.unwrap();
    assert_eq!((ledger.failed, ledger.in_flight), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_probe_says_what_did_not_come() {
    let mut probe = Probe::new(map(|_: &Event| None::<Event>)).await.unwrap();
    probe.send(Event::new("one")).await.unwrap();
    assert_eq!(probe.output().await.unwrap_err().to_string(), "no event came from `outbox` within 10s");
    assert_eq!(probe.error().await.unwrap_err().to_string(), "no event came from `error` within 10s");
    let error = probe.output_from("rest").await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (Kind::NotFound, "the probed actor has no outbox `rest`"));
    probe.stop().await.unwrap();
    let mut probe = Probe::new(sink(|_| Ok(()))).await.unwrap();
    assert_eq!(probe.output().await.unwrap_err().message(), "the probed actor has no outbox");
    probe.stop().await.unwrap();
}

#[tokio::test]
async fn a_probe_takes_what_a_source_sends() {
    let numbers = source(|emitter| async move { emitter.send_all(["a", "b"].map(Event::new)).await });
    let mut probe = Probe::new(numbers).await.unwrap();
    assert_eq!(probe.output().await.unwrap().payload().to_string(), "a");
    assert_eq!(probe.output().await.unwrap().payload().to_string(), "b");
    assert_eq!(probe.send(Event::new(())).await.unwrap_err().message(), "the probed actor has no inbox");
    probe.stop().await.unwrap();
}

#[tokio::test]
async fn a_probe_whose_actor_does_not_start_or_has_a_policy_of_nothing_says_so() {
    struct Broken;
    impl Actor for Broken {
        async fn start(&mut self, _: Context) -> Result<()> {
            Err(Error::unavailable("no connection"))
        }
        async fn handle(&self, _: &Event, _: &mut Outbox) -> Result<()> {
            Ok(())
        }
    }
    let error = Probe::new(Broken).await.unwrap_err();
    assert_eq!(error.to_string(), "`probed` did not start: no connection");
    let nothing = Policy { capacity: 0, ..Policy::default() };
    let error = Probe::with_policy(Sort, nothing).await.unwrap_err();
    let expected = "the flow `probe` has 1 problem\n- the policy of `probed` has a `capacity` of 0; expected more";
    assert_eq!(error.to_string(), expected);
}

/// Tells by which inbox an event came, and fails on what came by the other.
struct Sides;

impl Light for Sides {
    fn ports(&self) -> Ports {
        Ports::source(Format::ANY).with_inbox("left", Format::ANY).with_inbox("right", Format::ANY)
    }

    fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        match out.inbox() {
            "left" => out.push(event),
            other => return Err(Error::conflict(format!("it came by `{other}`"))),
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_probe_sends_to_the_inbox_that_is_named() {
    let mut probe = Probe::new(Sides).await.unwrap();
    probe.send_to("right", Event::new("r")).await.unwrap();
    assert_eq!(probe.error().await.unwrap().error().unwrap().message(), "it came by `right`");
    probe.send(Event::new("l")).await.unwrap();
    assert_eq!(probe.output().await.unwrap().payload().to_string(), "l");
    let error = probe.send_to("middle", Event::new("m")).await.unwrap_err();
    assert_eq!(error.message(), "the probed actor has no inbox `middle`");
    let monitor = probe.monitor();
    at_rest(&monitor).await.unwrap();
    let ledger = probe.stop().await.unwrap();
    assert_ledger!(ledger, failed = 1, dropped = 0);
}

#[tokio::test(start_paused = true)]
async fn accounts_that_are_open_are_shown_actor_by_actor() {
    let (gate, key) = crate::common::gate();
    let probe = Probe::new(gate).await.unwrap();
    probe.send(Event::new("a")).await.unwrap();
    key.came(1).await;
    let monitor = probe.monitor();
    let table = open_accounts(&probe, &[("failed", 2)]).unwrap();
    assert!(
        table.starts_with("the ledger is not as it should be: 1 in flight; 0 failed, where 2 were expected\n"),
        "{table}"
    );
    assert!(table.contains("\nactor        received      sent"), "{table}");
    assert!(at_rest(&monitor).await.unwrap_err().to_string().contains("`probed` 0 queued and 1 in hand"));
    key.open_wide();
    at_rest(&monitor).await.unwrap();
    assert_ledger!(probe, entered = 1);
    probe.stop().await.unwrap();
}
