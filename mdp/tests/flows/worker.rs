use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use playhouse_engine::testing::Probe;
use playhouse_engine::{Director, Error, Event, Kind, Result, filter};
use playhouse_mdp::protocol::Version;
use playhouse_mdp::{PARTIAL, SERVICE};

use crate::support::*;

#[tokio::test]
async fn events_travel_whole_and_come_back_whole() {
    for version in VERSIONS {
        let broker = Broker::start().await;
        let flow = serve(worker("greeting", &broker.brokers(), version), |request: &Event| {
            assert_eq!(request.attribute(SERVICE), Some("greeting".into()));
            let greeting = format!("Hello, {}", request.payload());
            request.derive(greeting).with_attribute("colour", "red")
        })
        .await;
        let caller = caller(&broker.brokers(), version, true);
        let request = Event::new("Ada").with_attribute("user", "ada");
        let reply = caller.call("greeting", &request, PATIENCE).await.unwrap();
        assert_eq!((reply.id(), reply.payload().to_string().as_str()), (request.id(), "Hello, Ada"));
        assert_eq!((reply.attribute("user"), reply.attribute("colour")), (Some("ada".into()), Some("red".into())));
        stop(flow).await;
        broker.stop().await;
    }
}

#[tokio::test]
async fn a_version_serves_the_other() {
    for (served, asked) in [(Version::V1, Version::V2), (Version::V2, Version::V1)] {
        let broker = Broker::start().await;
        let flow = serve(worker("echo", &broker.brokers(), served), echo).await;
        for envelope in [true, false] {
            let caller = caller(&broker.brokers(), asked, envelope);
            assert_eq!(call(&caller, "echo", "hello").await.unwrap(), "hello");
        }
        stop(flow).await;
        broker.stop().await;
    }
}

#[tokio::test]
async fn an_error_of_the_flow_is_the_error_of_the_call() {
    let broker = Broker::start().await;
    let flow = serve(worker("picky", &broker.brokers(), Version::V2), |request: &Event| -> Result<Event> {
        Err(Error::unprocessable(format!("no {} today", request.payload())))
    })
    .await;
    for envelope in [true, false] {
        let caller = caller(&broker.brokers(), Version::V2, envelope);
        let error = call(&caller, "picky", "soup").await.unwrap_err();
        assert_eq!((error.kind(), error.message()), (Kind::Unprocessable, "no soup today"));
    }
    stop(flow).await;
    broker.stop().await;
}

#[tokio::test]
async fn a_request_whose_event_ends_without_a_reply_is_answered_at_once() {
    let broker = Broker::start().await;
    let mut director = Director::new("service");
    let worker = director.register("worker", worker("hole", &broker.brokers(), Version::V2));
    let hole = director.register("hole", filter(|_: &Event| false));
    director.connect(worker, hole);
    director.connect(hole, worker);
    let flow = director.build().unwrap().start().await.unwrap();
    for envelope in [true, false] {
        let caller = caller(&broker.brokers(), Version::V2, envelope);
        let error = call(&caller, "hole", "x").await.unwrap_err();
        assert_eq!(error.kind(), Kind::Internal);
        assert!(error.to_string().contains("without a reply"), "{error}");
    }
    stop(flow).await;
    broker.stop().await;
}

#[tokio::test]
async fn a_request_that_nobody_answers_ends_by_the_workers_deadline() {
    let broker = Broker::start().await;
    let slow = worker("slow", &broker.brokers(), Version::V2).deadline(Duration::from_millis(50));
    let mut probe = Probe::new(slow).await.unwrap();
    let caller = caller(&broker.brokers(), Version::V2, false);
    let event = Event::new("x");
    let (reply, request) = tokio::join!(caller.call("slow", &event, PATIENCE), probe.output());
    assert_eq!(reply.unwrap_err().kind(), Kind::Timeout);
    // The late reply disturbs nobody, and the worker serves on.
    probe.send(request.unwrap().derive("late")).await.unwrap();
    let (reply, ()) = tokio::join!(caller.call("slow", &event, PATIENCE), async {
        let next = probe.output().await.unwrap();
        probe.send(next.derive("in time")).await.unwrap();
    });
    assert_eq!(reply.unwrap().payload().to_string(), "in time");
    probe.stop().await.unwrap();
    broker.stop().await;
}

#[tokio::test]
async fn partial_replies_are_several_events_and_come_in_order() {
    let broker = Broker::start().await;
    let mut probe = Probe::new(worker("count", &broker.brokers(), Version::V2)).await.unwrap();
    for envelope in [true, false] {
        let caller = caller(&broker.brokers(), Version::V2, envelope);
        let mut parts = caller.parts("count", &Event::new("to three"), PATIENCE).unwrap();
        let request = probe.output().await.unwrap();
        for part in ["one", "two"] {
            probe.send(request.derive(part).with_attribute(PARTIAL, true)).await.unwrap();
        }
        probe.send(request.derive("three")).await.unwrap();
        drop(request);
        let mut seen = Vec::new();
        while let Some(part) = parts.next().await {
            let (event, is_last) = part.unwrap();
            seen.push((event.payload().to_string(), is_last));
        }
        assert_eq!(seen, [("one".to_owned(), false), ("two".to_owned(), false), ("three".to_owned(), true)]);
    }
    probe.stop().await.unwrap();
    broker.stop().await;
}

#[tokio::test]
async fn a_part_of_a_reply_is_refused_where_the_version_has_none() {
    let broker = Broker::start().await;
    let mut probe = Probe::new(worker("count", &broker.brokers(), Version::V1)).await.unwrap();
    let caller = caller(&broker.brokers(), Version::V1, false);
    let event = Event::new("x");
    let (reply, ()) = tokio::join!(caller.call("count", &event, PATIENCE), async {
        let request = probe.output().await.unwrap();
        probe.send(request.derive("one").with_attribute(PARTIAL, true)).await.unwrap();
        let refused = probe.error().await.unwrap();
        assert_eq!(refused.error().unwrap().kind(), Kind::Unsupported);
        probe.send(request.derive("all")).await.unwrap();
    });
    assert_eq!(reply.unwrap().payload().to_string(), "all");
    probe.stop().await.unwrap();
    broker.stop().await;
}

#[tokio::test]
async fn a_worker_that_vanishes_leaves_its_request_to_another() {
    for version in VERSIONS {
        let broker = Broker::start().await;
        let mut first = Probe::new(worker("job", &broker.brokers(), version)).await.unwrap();
        let caller = caller(&broker.brokers(), version, true);
        let event = Event::new("x");
        let (reply, flow) = tokio::join!(caller.call("job", &event, PATIENCE), async {
            let request = first.output().await.unwrap();
            // As a process that is killed: its connection ends, and nothing is said.
            drop(first);
            broker.has_workers("job", 0).await;
            drop(request);
            serve(worker("job", &broker.brokers(), version), |job: &Event| job.derive("done by the second")).await
        });
        assert_eq!(reply.unwrap().payload().to_string(), "done by the second");
        stop(flow).await;
        broker.stop().await;
    }
}

#[tokio::test]
async fn a_worker_that_stops_finishes_its_request_and_takes_no_other() {
    let broker = Broker::start().await;
    let mut first = Probe::new(worker("job", &broker.brokers(), Version::V2)).await.unwrap();
    let caller = Arc::new(caller(&broker.brokers(), Version::V2, true));
    let ask = || {
        let caller = caller.clone();
        tokio::spawn(async move { call(&caller, "job", "x").await })
    };
    let running = ask();
    let request = first.output().await.unwrap();
    let waiting = ask();
    first.send(request.derive("first")).await.unwrap();
    drop(request);
    let second = serve(worker("job", &broker.brokers(), Version::V2), |job: &Event| job.derive("second")).await;
    let (stopped, done) = tokio::join!(first.stop(), async {
        assert_eq!(running.await.unwrap().unwrap(), "first");
        waiting.await.unwrap()
    });
    // Whoever got it, it was answered.
    assert!(matches!(done.as_deref(), Ok("second") | Err(_)), "{done:?}");
    stopped.ok();
    broker.has_workers("job", 1).await;
    stop(second).await;
    broker.stop().await;
}

#[tokio::test]
async fn a_worker_registers_again_after_the_broker_came_back() {
    for version in VERSIONS {
        let broker = Broker::start().await;
        let address = broker.address();
        let served = Arc::new(AtomicUsize::new(0));
        let counted = served.clone();
        let flow = serve(worker("echo", &broker.brokers(), version), move |request: &Event| {
            counted.fetch_add(1, Ordering::Relaxed);
            request.clone()
        })
        .await;
        let caller = caller(&broker.brokers(), version, true);
        assert_eq!(call(&caller, "echo", "before").await.unwrap(), "before");
        broker.stop().await;
        let broker = Broker::at(&address).await;
        assert_eq!(call(&caller, "echo", "after").await.unwrap(), "after");
        assert_eq!(served.load(Ordering::Relaxed), 2);
        stop(flow).await;
        broker.stop().await;
    }
}

#[tokio::test]
async fn a_reply_over_the_limits_is_an_error_at_once_and_the_worker_stays() {
    // The first is too large for a frame, the second for the connection.
    for size in [2 << 20, 9 << 20] {
        let broker = Broker::start().await;
        let served = Arc::new(AtomicUsize::new(0));
        let counted = served.clone();
        let flow = serve(worker("large", &broker.brokers(), Version::V2), move |request: &Event| {
            counted.fetch_add(1, Ordering::Relaxed);
            if request.payload().to_string() == "small" { request.clone() } else { request.derive(vec![7; size]) }
        })
        .await;
        for envelope in [true, false] {
            let caller = caller(&broker.brokers(), Version::V2, envelope);
            let error = call(&caller, "large", "large").await.unwrap_err();
            assert_eq!(error.kind(), Kind::TooLarge, "{error}");
            assert_eq!(call(&caller, "large", "small").await.unwrap(), "small");
        }
        assert_eq!(served.load(Ordering::Relaxed), 4, "no request was given to a worker twice");
        assert_eq!(broker.server().statistics().await.unwrap().counters.registered, 1);
        stop(flow).await;
        broker.stop().await;
    }
}

#[tokio::test]
async fn a_part_over_the_limits_ends_its_request() {
    let broker = Broker::start().await;
    let mut probe = Probe::new(worker("count", &broker.brokers(), Version::V2)).await.unwrap();
    let caller = caller(&broker.brokers(), Version::V2, true);
    for size in [2 << 20, 9 << 20] {
        let event = Event::new("x");
        let (reply, ()) = tokio::join!(caller.call("count", &event, PATIENCE), async {
            let request = probe.output().await.unwrap();
            probe.send(request.derive(vec![7; size]).with_attribute(PARTIAL, true)).await.unwrap();
            probe.send(request.derive("the end")).await.unwrap();
        });
        assert_eq!(reply.unwrap_err().kind(), Kind::TooLarge);
    }
    assert_eq!(broker.server().statistics().await.unwrap().counters.registered, 1);
    probe.stop().await.unwrap();
    broker.stop().await;
}

#[tokio::test]
async fn an_error_that_carries_a_large_payload_is_told_without_it() {
    let broker = Broker::start().await;
    let mut probe = Probe::new(worker("job", &broker.brokers(), Version::V2)).await.unwrap();
    let caller = caller(&broker.brokers(), Version::V2, true);
    let event = Event::new("x");
    let (reply, ()) = tokio::join!(caller.call("job", &event, PATIENCE), async {
        let failed = probe.output().await.unwrap().derive(vec![7; 9 << 20]).with_error(Error::conflict("no"));
        probe.send(failed.with_attribute(PARTIAL, true)).await.unwrap();
    });
    assert_eq!(reply.unwrap_err().kind(), Kind::Conflict);
    probe.stop().await.unwrap();
    broker.stop().await;
}
