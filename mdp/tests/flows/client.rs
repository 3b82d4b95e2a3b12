use std::time::Duration;

use playhouse_engine::testing::Probe;
use playhouse_engine::{Error, Event, Kind, Result};
use playhouse_mdp::protocol::ClientSettings;
use playhouse_mdp::protocol::Version;
use playhouse_mdp::transport::SocketSettings;
use playhouse_mdp::{Brokers, MdpClient, PARTIAL, SERVICE};

use crate::support::*;

#[tokio::test]
async fn an_event_goes_in_and_its_reply_comes_out() {
    for version in VERSIONS {
        for envelope in [true, false] {
            let broker = Broker::start().await;
            let flow = serve(worker("echo", &broker.brokers(), version), echo).await;
            let settings = ClientSettings { version, envelope, ..ClientSettings::default() };
            let client = MdpClient::new(broker.brokers()).service("echo").unwrap().settings(settings);
            let mut probe = Probe::new(client).await.unwrap();
            let request = Event::new("hello").with_attribute("user", "ada");
            probe.send(request.clone()).await.unwrap();
            let reply = probe.output().await.unwrap();
            assert_eq!((reply.id(), reply.payload().to_string().as_str()), (request.id(), "hello"));
            assert_eq!((reply.attribute("user"), reply.attribute(PARTIAL)), (Some("ada".into()), None));
            drop(reply);
            probe.stop().await.unwrap();
            stop(flow).await;
            broker.stop().await;
        }
    }
}

#[tokio::test]
async fn the_service_comes_from_the_event_between_prefix_and_postfix() {
    let broker = Broker::start().await;
    let flow = serve(worker("test.echo.v1", &broker.brokers(), Version::V2), echo).await;
    let client = MdpClient::new(broker.brokers()).service("other").unwrap().prefix("test.").postfix(".v1");
    let mut probe = Probe::new(client).await.unwrap();
    probe.send(Event::new("x").with_attribute(SERVICE, "echo")).await.unwrap();
    probe.output().await.unwrap();
    probe.stop().await.unwrap();
    stop(flow).await;
    broker.stop().await;
}

#[tokio::test]
async fn an_event_that_names_no_service_fails() {
    let broker = Broker::start().await;
    let mut probe = Probe::new(MdpClient::new(broker.brokers())).await.unwrap();
    probe.send(Event::new("x")).await.unwrap();
    let error = probe.error().await.unwrap().error().unwrap().clone();
    assert_eq!(error.kind(), Kind::Malformed);
    assert!(error.message().contains("`mdp.service`"), "{error}");
    probe.stop().await.unwrap();
    broker.stop().await;
}

#[tokio::test]
async fn what_the_worker_says_goes_along_the_error_route() {
    let broker = Broker::start().await;
    let flow = serve(worker("picky", &broker.brokers(), Version::V2), |_: &Event| -> Result<Event> {
        Err(Error::conflict("taken").retry_after(Duration::from_secs(7)))
    })
    .await;
    let mut probe = Probe::new(MdpClient::new(broker.brokers()).service("picky").unwrap()).await.unwrap();
    let request = Event::new("seat 7");
    probe.send(request.clone()).await.unwrap();
    let failed = probe.error().await.unwrap();
    let error = failed.error().unwrap();
    assert_eq!((failed.id(), failed.payload().to_string().as_str()), (request.id(), "seat 7"));
    assert_eq!((error.kind(), error.message(), error.wait()), (Kind::Conflict, "taken", Some(Duration::from_secs(7))));
    drop(failed);
    let ledger = probe.stop().await.unwrap();
    assert_eq!((ledger.failed, ledger.in_flight), (1, 0));
    stop(flow).await;
    broker.stop().await;
}

#[tokio::test]
async fn parts_of_a_reply_leave_before_its_end() {
    let broker = Broker::start().await;
    let mut service = Probe::new(worker("count", &broker.brokers(), Version::V2)).await.unwrap();
    let mut probe = Probe::new(MdpClient::new(broker.brokers()).service("count").unwrap()).await.unwrap();
    probe.send(Event::new("x")).await.unwrap();
    let request = service.output().await.unwrap();
    service.send(request.derive("one").with_attribute(PARTIAL, true)).await.unwrap();
    let part = probe.output().await.unwrap();
    assert_eq!((part.payload().to_string().as_str(), part.attribute(PARTIAL)), ("one", Some(true.into())));
    service.send(request.derive("two")).await.unwrap();
    let last = probe.output().await.unwrap();
    assert_eq!((last.payload().to_string().as_str(), last.attribute(PARTIAL)), ("two", None));
    drop((part, last, request));
    probe.stop().await.unwrap();
    service.stop().await.unwrap();
    broker.stop().await;
}

#[tokio::test]
async fn a_request_ends_by_its_deadline_where_nobody_serves_it() {
    let broker = Broker::start().await;
    let client = MdpClient::new(broker.brokers()).service("nobody").unwrap().deadline(Duration::from_millis(50));
    let mut probe = Probe::new(client).await.unwrap();
    probe.send(Event::new("x")).await.unwrap();
    assert_eq!(probe.error().await.unwrap().error().unwrap().kind(), Kind::Timeout);
    probe.stop().await.unwrap();
    broker.stop().await;
}

#[tokio::test]
async fn a_request_ends_by_its_deadline_where_there_is_no_broker() {
    // A port at which nobody listens: it was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let brokers = Brokers::at(&format!("tcp://127.0.0.1:{port}")).unwrap();
    let client = MdpClient::new(brokers).service("any").unwrap().deadline(Duration::from_millis(50));
    let mut probe = Probe::new(client).await.unwrap();
    probe.send(Event::new("x")).await.unwrap();
    let error = probe.error().await.unwrap().error().unwrap().clone();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.message().contains(&format!("tried `tcp://127.0.0.1:{port}`")), "{error}");
    probe.stop().await.unwrap();
}

#[tokio::test]
async fn requests_go_to_the_broker_that_lives() {
    let (first, second) = (Broker::start().await, Broker::start().await);
    let both = Brokers::List(vec![first.address().parse().unwrap(), second.address().parse().unwrap()]);
    let flow = serve(worker("echo", &both, Version::V2), echo).await;
    let caller = caller(&both, Version::V2, true);
    for _ in 0..4 {
        assert_eq!(call(&caller, "echo", "x").await.unwrap(), "x");
    }
    for broker in [&first, &second] {
        assert!(broker.server().statistics().await.unwrap().accounts.accepted > 0);
    }
    first.stop().await;
    for _ in 0..4 {
        assert_eq!(call(&caller, "echo", "y").await.unwrap(), "y");
    }
    stop(flow).await;
    second.stop().await;
}

#[tokio::test]
async fn a_stop_waits_for_the_replies() {
    let broker = Broker::start().await;
    let mut service = Probe::new(worker("slow", &broker.brokers(), Version::V2)).await.unwrap();
    let probe = Probe::new(MdpClient::new(broker.brokers()).service("slow").unwrap()).await.unwrap();
    probe.send(Event::new("x")).await.unwrap();
    let request = service.output().await.unwrap();
    let stopping = tokio::spawn(probe.stop());
    service.send(request.derive("y")).await.unwrap();
    drop(request);
    let ledger = stopping.await.unwrap().unwrap();
    assert_eq!((ledger.in_flight, ledger.dropped, ledger.failed), (0, 0, 0));
    service.stop().await.unwrap();
    broker.stop().await;
}

#[tokio::test]
async fn plain_frames_come_back_as_they_were_sent() {
    let broker = Broker::start().await;
    let flow = serve(worker("echo", &broker.brokers(), Version::V2), echo).await;
    broker.has_workers("echo", 1).await;
    let plain = caller(&broker.brokers(), Version::V1, false);
    let body = vec!["mmi".into()];
    let reply = plain.frames("mmi.service", vec!["echo".into()], PATIENCE).await.unwrap();
    assert_eq!(reply, ["200"]);
    assert_eq!(plain.frames("mmi.other", body, PATIENCE).await.unwrap(), ["501"]);
    let whole = caller(&broker.brokers(), Version::V1, true);
    assert_eq!(whole.frames("echo", vec![], PATIENCE).await.unwrap_err().kind(), Kind::NotAllowed);
    stop(flow).await;
    broker.stop().await;
}

#[tokio::test]
async fn a_call_that_is_given_up_is_forgotten() {
    let broker = Broker::start().await;
    let settings = ClientSettings { requests: 1, ..ClientSettings::default() };
    let caller = playhouse_mdp::Caller::with(&broker.brokers(), settings, SocketSettings::default()).unwrap();
    let event = Event::new("x");
    for _ in 0..3 {
        let given_up = tokio::time::timeout(Duration::from_millis(5), caller.call("nobody", &event, PATIENCE)).await;
        assert!(given_up.is_err());
    }
    broker.stop().await;
}

#[tokio::test]
async fn a_broker_to_which_nothing_can_be_connected_ends_requests_at_once() {
    for envelope in [true, false] {
        let caller = caller(&Brokers::at("tcp://127.0.0.1:0").unwrap(), Version::V2, envelope);
        let began = std::time::Instant::now();
        let error = call(&caller, "any", "x").await.unwrap_err();
        assert_eq!(error.kind(), Kind::Malformed);
        assert!(error.to_string().contains("`tcp://127.0.0.1:0`") && began.elapsed() < PATIENCE / 2, "{error}");
    }
}

#[tokio::test]
async fn whoever_takes_no_parts_keeps_nobody_else_from_his_end() {
    let broker = Broker::start().await;
    let mut service = Probe::new(worker("count", &broker.brokers(), Version::V2)).await.unwrap();
    let caller = caller(&broker.brokers(), Version::V2, true);
    let _idle = caller.parts("count", &Event::new("x"), PATIENCE / 20).unwrap();
    let request = service.output().await.unwrap();
    for _ in 0..100 {
        service.send(request.derive("part").with_attribute(PARTIAL, true)).await.unwrap();
    }
    let ask = async || caller.call("nobody", &Event::new("x"), PATIENCE / 10).await.unwrap_err().kind();
    let error = tokio::time::timeout(PATIENCE, ask()).await.unwrap();
    assert_eq!(error, Kind::Timeout);
    service.send(request.derive("the end")).await.unwrap();
    drop(request);
    service.stop().await.unwrap();
    broker.stop().await;
}

#[tokio::test]
async fn one_event_may_be_asked_several_times_at_once_and_for_as_long_as_it_takes() {
    let broker = Broker::start().await;
    let flow = serve(worker("echo", &broker.brokers(), Version::V2), echo).await;
    let caller = caller(&broker.brokers(), Version::V2, true);
    let event = Event::new("hello");
    let ask = || caller.call("echo", &event, Duration::MAX);
    let (first, second, third) = tokio::join!(ask(), ask(), ask());
    assert!([first, second, third].iter().all(Result::is_ok));
    stop(flow).await;
    broker.stop().await;
}
