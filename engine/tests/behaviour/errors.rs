//! What becomes of an event whose handler fails.

use std::time::Duration;

use playhouse_engine::{Actor, Director, Error, Event, Format, Kind, Light, Outbox, Ports, Receipt, Result, map, sink};

use crate::common::{Collected, Entry, Pass, SOON, both, collect, director, receipted, records, tap};

/// How a handler can go wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Error,
    PanicAtOnce,
    PanicLater,
    PanicWithANumber,
}

impl Fault {
    fn happen(self) -> Result<()> {
        match self {
            Self::Error => Err(Error::unprocessable("it is bad").caused_by("a reason")),
            Self::PanicAtOnce | Self::PanicLater => panic!("it is {}", "broken"),
            Self::PanicWithANumber => std::panic::panic_any(7),
        }
    }

    fn shown(self) -> (Kind, &'static str) {
        match self {
            Self::Error => (Kind::Unprocessable, "it is bad: a reason"),
            Self::PanicAtOnce | Self::PanicLater => (Kind::Internal, "panicked: it is broken"),
            Self::PanicWithANumber => (Kind::Internal, "panicked: no message"),
        }
    }
}

/// Fails on the text `bad`, after it has pushed twice.
struct Faulty(Fault);

impl Actor for Faulty {
    async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        out.push(event);
        if event.payload().to_string() == "bad" {
            out.push(event.derive("half done"));
            if self.0 == Fault::PanicLater {
                tokio::task::yield_now().await;
            }
            self.0.happen()?;
        }
        Ok(())
    }
}

struct LightFaulty(Fault);

impl Light for LightFaulty {
    fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        out.push(event);
        if event.payload().to_string() == "bad" {
            out.push(event.derive("half done"));
            self.0.happen()?;
        }
        Ok(())
    }
}

/// Sends good and bad events through an actor, and checks that each goes where it belongs.
async fn goes_the_error_route(
    mut director: Director,
    fault: Fault,
    register: impl FnOnce(&mut Director) -> playhouse_engine::ActorRef,
) {
    let (tap, entry) = tap();
    let tap = director.register("tap", tap);
    let before = director.register("before", map(|event: &Event| event.clone().with_attribute("seen", true)));
    let faulty = register(&mut director);
    let after = director.register("after", map(Event::clone));
    let ((end, ended), (errors, failed)) = (collect(), collect());
    let (end, errors) = (director.register("end", end), director.register("errors", errors));
    director.connect(tap, before);
    director.connect(before, faulty);
    director.connect(faulty, after);
    director.connect(after, end);
    director.connect_error(faulty, errors);
    let running = director.build().unwrap().start().await.unwrap();
    let (bad, outcome) = receipted("bad");
    let id = bad.id();
    entry.send_all([Event::new("good"), bad, Event::new("well")]).await.unwrap();
    let monitor = running.monitor();
    let ledger = running.stop(SOON).await.unwrap();
    assert_eq!(ended.texts(), ["good", "well"], "{fault:?}");
    let event = failed.only();
    failed.clear();
    assert_eq!((event.id(), event.payload().to_string().as_str()), (id, "bad"));
    assert_eq!(event.attribute("seen"), Some(true.into()));
    let error = event.error().unwrap();
    assert_eq!((error.kind(), error.to_string().as_str()), fault.shown());
    assert_eq!(error.actor(), Some("faulty"));
    assert!(outcome.is_open());
    drop(event);
    // The error route's actor took it and returned `Ok`.
    outcome.once().unwrap();
    let statistics = monitor.actor("faulty").unwrap();
    assert_eq!((statistics.received, statistics.delivered, statistics.failed, statistics.sent), (3, 2, 1, 3));
    assert_eq!((ledger.failed, ledger.delivered, ledger.in_flight), (1, 3 + 2 + 2 + 2 + 1, 0));
}

#[tokio::test]
async fn an_error_or_a_panic_of_an_actor_sends_the_event_its_error_route() {
    both(async |settings| {
        for fault in [Fault::Error, Fault::PanicAtOnce, Fault::PanicLater, Fault::PanicWithANumber] {
            let director = director(settings.clone());
            goes_the_error_route(director, fault, |director| director.register("faulty", Faulty(fault))).await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_error_or_a_panic_of_a_light_actor_sends_the_event_its_error_route() {
    both(async |settings| {
        for fault in [Fault::Error, Fault::PanicAtOnce, Fault::PanicWithANumber] {
            let director = director(settings.clone());
            goes_the_error_route(director, fault, |director| director.register("faulty", LightFaulty(fault))).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_failure_that_no_error_route_takes_is_logged_and_counted() {
    both(async |settings| {
        let records = records();
        let mut director = director(settings);
        let (tap, entry) = tap();
        let tap = director.register("tap", tap);
        let faulty = director.register("faulty", sink(|_| Err(Error::conflict("no").caused_by("a reason"))));
        director.connect(tap, faulty);
        let running = director.build().unwrap().start().await.unwrap();
        let (event, outcome) = receipted("bad");
        let id = event.id();
        entry.send(event).await.unwrap();
        let ledger = running.stop(SOON).await.unwrap();
        assert_eq!((ledger.entered, ledger.failed), (1, 1));
        let error = outcome.failed();
        assert_eq!((error.kind(), error.actor()), (Kind::Conflict, Some("faulty")));
        assert_eq!(
            records.with("event failed"),
            [format!(
                "ERROR message=event failed, and no error route is connected flow=test actor=faulty event={id} kind=conflict error=no: a reason"
            )]
        );
    })
    .await;
}

#[tokio::test]
async fn the_default_error_route_takes_from_every_actor_that_has_none() {
    both(async |settings| {
        let mut director = director(settings);
        let (tap, entry) = tap();
        let tap = director.register("tap", tap);
        let mut ends = Vec::new();
        for name in ["one", "two", "three"] {
            ends.push(director.register(name, sink(|_| Err(Error::gone("gone")))));
        }
        let ((own, owned), (rest, rested)) = (collect(), collect());
        let (own, rest) = (director.register("own", own), director.register("rest", rest));
        director.connect(tap, ends.clone());
        director.connect_error(ends[0], own);
        director.connect_default_error(rest);
        let running = director.build().unwrap().start().await.unwrap();
        entry.send(Event::new("bad")).await.unwrap();
        running.stop(SOON).await.unwrap();
        let actors = |collected: &Collected| {
            let mut actors: Vec<_> =
                collected.events().iter().map(|event| event.error().unwrap().actor().unwrap().to_owned()).collect();
            actors.sort();
            actors
        };
        assert_eq!((actors(&owned), actors(&rested)), (vec!["one".into()], vec!["three".into(), "two".into()]));
    })
    .await;
}

#[tokio::test]
async fn a_failure_on_an_error_route_is_a_failure_of_its_own() {
    both(async |settings| {
        let records = records();
        let mut director = director(settings);
        let (tap, entry) = tap();
        let tap = director.register("tap", tap);
        let first = director.register("first", sink(|_| Err(Error::gone("the first"))));
        let second = director.register("second", sink(|_| Err(Error::conflict("the second"))));
        director.connect(tap, first);
        director.connect_default_error(second);
        let running = director.build().unwrap().start().await.unwrap();
        let (event, outcome) = receipted("bad");
        entry.send(event).await.unwrap();
        let ledger = running.stop(SOON).await.unwrap();
        assert_eq!((ledger.entered, ledger.failed), (2, 2));
        assert_eq!((outcome.failed().message(), outcome.failed().actor()), ("the second", Some("second")));
        assert_eq!(records.with("event failed").len(), 1);
    })
    .await;
}

#[tokio::test]
async fn what_an_error_route_mends_travels_on_without_its_error() {
    both(async |settings| {
        let mut director = director(settings);
        let (tap, entry) = tap();
        let tap = director.register("tap", tap);
        let faulty = director.register("faulty", LightFaulty(Fault::Error));
        let mend = director.register("mend", map(|event: &Event| event.clone().without_error().with_payload("mended")));
        let (collect, collected) = collect();
        let end = director.register("end", collect);
        director.connect(tap, faulty);
        director.connect(faulty, end);
        director.connect_error(faulty, mend);
        director.connect(mend, end.port("mended"));
        let running = director.build().unwrap().start().await.unwrap();
        entry.send(Event::new("bad")).await.unwrap();
        running.stop(SOON).await.unwrap();
        let event = collected.only();
        assert_eq!(event.payload().to_string(), "mended");
        assert!(event.error().is_none());
    })
    .await;
}

struct Wrong {
    ports: Ports,
    name: Option<&'static str>,
}

impl Light for Wrong {
    fn ports(&self) -> Ports {
        self.ports.clone()
    }

    fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        match (self.name, event.payload().to_string().as_str()) {
            (_, "good") => {}
            (Some(name), _) => out.push_to(name, event),
            (None, _) => out.push_at(9, event),
        }
        Ok(())
    }
}

async fn mistake(wrong: Wrong) -> (String, u64) {
    let (tap, entry): (_, Entry) = tap();
    let mut director = Director::new("test");
    let tap = director.register("tap", tap);
    let endless = wrong.ports.outboxes().len();
    let names: Vec<_> = wrong.ports.outboxes().iter().map(|port| port.name().to_owned()).collect();
    let wrong = director.register("wrong", wrong);
    let (collect, collected) = collect();
    let errors = director.register("errors", collect);
    director.connect(tap, wrong);
    director.connect_error(wrong, errors);
    if endless > 0 {
        let end = director.register("end", sink(|_| Ok(())));
        for name in names {
            director.connect(wrong.port(name), end);
        }
    }
    let running = director.build().unwrap().start().await.unwrap();
    entry.send_all([Event::new("bad"), Event::new("good")]).await.unwrap();
    let monitor = running.monitor();
    running.stop(SOON).await.unwrap();
    let error = collected.only().error().unwrap().clone();
    assert_eq!((error.kind(), error.actor()), (Kind::Internal, Some("wrong")));
    (error.to_string(), monitor.actor("wrong").unwrap().delivered)
}

#[tokio::test]
async fn a_push_to_an_outbox_that_is_not_there_names_those_that_are() {
    let two = || Ports::pipe(Format::ANY, Format::ANY).with_outbox("rest", Format::ANY);
    let (text, delivered) = mistake(Wrong { ports: two(), name: Some("urgent") }).await;
    assert_eq!(text, "the actor has no outbox `urgent`; it has `outbox`, `rest`");
    assert_eq!(delivered, 1);
    let (text, _) = mistake(Wrong { ports: two(), name: None }).await;
    assert_eq!(text, "the actor has no outbox number 9; it has `outbox`, `rest`");
    let (text, _) = mistake(Wrong { ports: Ports::sink(Format::ANY), name: Some("outbox") }).await;
    assert_eq!(text, "the actor has no outbox `outbox`; it has none");
}

#[tokio::test]
async fn an_endpoints_handler_that_pushes_fails() {
    let ports = Ports::endpoint(Format::ANY).with_outbox("requests", Format::ANY);
    let (text, _) = mistake(Wrong { ports: ports.clone(), name: Some("requests") }).await;
    let expected = "the handler of an endpoint must not push: it answers, and sends from tasks of its own";
    assert_eq!(text, expected);
    let (text, _) = mistake(Wrong { ports, name: Some("unknown") }).await;
    assert_eq!(text, expected);
}

#[tokio::test]
async fn a_receipt_that_panics_when_it_settles_harms_no_worker() {
    both(async |settings| {
        for is_light in [true, false] {
            let records = records();
            let mut director = director(settings.clone());
            let (tap, entry) = tap();
            let tap = director.register("tap", tap);
            let pass = match is_light {
                true => director.register("pass", map(Event::clone)),
                false => director.register("pass", Pass),
            };
            let even = director.register("even", sink(|_| Ok(())));
            director.connect(tap, pass);
            director.connect(pass, even);
            let running = director.build().unwrap().start().await.unwrap();
            for _ in 0..3 {
                let receipt = Receipt::new(|_| panic!("the receipt is broken"));
                entry.send(Event::new("event").with_receipt(receipt)).await.unwrap();
            }
            let ledger = running.stop(Duration::from_secs(5)).await.unwrap();
            assert_eq!(ledger.delivered, 6);
            assert_eq!(records.with("panicked: the receipt is broken").len(), 3);
        }
    })
    .await;
}
