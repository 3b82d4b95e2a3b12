use std::time::Duration;

use playhouse_engine::{Director, Event, Kind, map};
use playhouse_mdp::protocol::Version;
use playhouse_mdp::{BrokerServer, Brokers, DurableSettings, MdpBroker, MdpClient, ServerSettings};

use crate::support::*;

#[tokio::test]
async fn broker_client_and_worker_live_in_one_flow() {
    let mut director = Director::new("all");
    let at = "inproc://all-in-one-flow";
    director.register("broker", MdpBroker::bind(at).unwrap());
    let brokers = Brokers::at(at).unwrap();
    let client = director.register("client", MdpClient::new(brokers.clone()).service("echo").unwrap());
    let worker = director.register("worker", worker("echo", &brokers, Version::V2));
    let echo = director.register("echo", map(echo));
    let (sender, mut replies) = tokio::sync::mpsc::channel(100);
    let source = director.register(
        "source",
        playhouse_engine::source(|emitter: playhouse_engine::Emitter| async move {
            emitter.send_all((0..100).map(|number| Event::new(number.to_string()))).await
        }),
    );
    let sink = director.register(
        "sink",
        playhouse_engine::sink(move |event: &Event| {
            sender.try_send(event.payload().to_string()).map_err(|_| playhouse_engine::Error::internal("too many"))
        }),
    );
    director.connect(source, client);
    director.connect(client, sink);
    director.connect(worker, echo);
    director.connect(echo, worker);
    let flow = director.build().unwrap().start().await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..100 {
        let reply = tokio::time::timeout(PATIENCE, replies.recv()).await.unwrap().unwrap();
        seen.push(reply.parse::<usize>().unwrap());
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..100).collect::<Vec<_>>());
    let ledger = stop(flow).await;
    assert_eq!((ledger.in_flight, ledger.failed, ledger.dropped), (0, 0, 0));
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let broker = Broker::start().await;
    let address = broker.address();
    let error = BrokerServer::start(ServerSettings::bind(&address).unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.to_string().contains(&address), "{error}");
    broker.stop().await;
}

#[tokio::test]
async fn a_broker_open_to_the_network_wants_to_know_who_connects() {
    let error = BrokerServer::start(ServerSettings::bind("tcp://0.0.0.0:0").unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Forbidden);
    assert!(error.to_string().contains("--insecure"), "{error}");
    let settings = ServerSettings { insecure: true, ..ServerSettings::bind("tcp://0.0.0.0:0").unwrap() };
    BrokerServer::start(settings).await.unwrap().stop(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn a_broker_that_is_told_to_drain_refuses_what_is_new_and_finishes_what_it_has() {
    let broker = Broker::start().await;
    let mut service =
        playhouse_engine::testing::Probe::new(worker("slow", &broker.brokers(), Version::V2)).await.unwrap();
    let caller = std::sync::Arc::new(caller(&broker.brokers(), Version::V2, true));
    let ask = || {
        let caller = caller.clone();
        tokio::spawn(async move { call(&caller, "slow", "x").await })
    };
    let running = ask();
    let request = service.output().await.unwrap();
    broker.server().drain().begin().await;
    let refused = ask().await.unwrap().unwrap_err();
    assert_eq!(refused.kind(), Kind::Unavailable);
    service.send(request.derive("done")).await.unwrap();
    drop(request);
    assert_eq!(running.await.unwrap().unwrap(), "done");
    broker.stop().await;
    service.stop().await.unwrap();
}

#[tokio::test]
async fn a_stop_that_is_out_of_time_says_what_is_left() {
    let broker = Broker::start().await;
    let mut service =
        playhouse_engine::testing::Probe::new(worker("slow", &broker.brokers(), Version::V2)).await.unwrap();
    let caller = caller(&broker.brokers(), Version::V2, true);
    let asked = tokio::spawn(async move { call(&caller, "slow", "x").await });
    let request = service.output().await.unwrap();
    let error = broker.into_server().stop(Duration::from_millis(20)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout);
    assert!(error.to_string().contains("1 under way"), "{error}");
    drop(request);
    asked.abort();
    drop(service);
}

#[tokio::test]
async fn a_durable_request_survives_its_broker() {
    let directory = tempfile::tempdir().unwrap();
    let settings = |address: &str| ServerSettings {
        broker: settings(),
        durable: Some(DurableSettings::in_directory(directory.path())),
        ..ServerSettings::bind(address).unwrap()
    };
    let broker = Broker::with(settings("tcp://127.0.0.1:0")).await;
    let address = broker.address();
    let caller = caller(&broker.brokers(), Version::V2, false);
    let ticket = caller.submit("echo", vec!["keep me".into()], PATIENCE).await.unwrap();
    assert_eq!(caller.reply_to(ticket, PATIENCE).await.unwrap(), None);
    // Dropped and not stopped: nobody gets to say anything.
    drop(broker);
    let broker = restarted(|| settings(&address)).await;
    let flow = serve(worker("echo", &broker.brokers(), Version::V2), echo).await;
    assert_eq!(caller.wait_for(ticket, PATIENCE).await.unwrap(), ["keep me"]);
    caller.forget(ticket, PATIENCE).await.unwrap();
    assert_eq!(caller.reply_to(ticket, PATIENCE).await.unwrap_err().kind(), Kind::NotFound);
    stop(flow).await;
    broker.stop().await;
}

/// Starts a broker anew as soon as the one before has let go of its address and its directory.
async fn restarted(settings: impl Fn() -> ServerSettings) -> Broker {
    let started = async {
        loop {
            match BrokerServer::start(settings()).await {
                Ok(server) => return Broker::of(server),
                Err(error) => assert!(matches!(error.kind(), Kind::Unavailable | Kind::Conflict), "{error}"),
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, started).await.unwrap()
}
