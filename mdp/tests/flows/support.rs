use std::time::Duration;

use playhouse_engine::{Director, Event, IntoOutput, Ledger, Result, Running, map};
use playhouse_mdp::protocol::BrokerSettings;
use playhouse_mdp::protocol::ClientSettings;
use playhouse_mdp::protocol::Version;
use playhouse_mdp::protocol::WorkerSettings;
use playhouse_mdp::transport::SocketSettings;
use playhouse_mdp::{BrokerServer, Brokers, Caller, MdpWorker, ServerSettings};

pub(crate) const VERSIONS: [Version; 2] = [Version::V1, Version::V2];
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A broker on a free port, with short times.
pub(crate) struct Broker(BrokerServer);

impl Broker {
    pub(crate) async fn start() -> Self {
        Self::at("tcp://127.0.0.1:0").await
    }

    /// At an address that a broker had before, perhaps until just now.
    pub(crate) async fn at(address: &str) -> Self {
        Self::with(ServerSettings { broker: settings(), ..ServerSettings::bind(address).unwrap() }).await
    }

    pub(crate) async fn with(settings: ServerSettings) -> Self {
        Self(BrokerServer::start(settings).await.unwrap())
    }

    pub(crate) fn of(server: BrokerServer) -> Self {
        Self(server)
    }

    pub(crate) fn into_server(self) -> BrokerServer {
        self.0
    }

    pub(crate) fn address(&self) -> String {
        self.0.endpoints()[0].to_string()
    }

    pub(crate) fn brokers(&self) -> Brokers {
        Brokers::at(&self.address()).unwrap()
    }

    /// Waits until `count` workers serve `service`.
    pub(crate) async fn has_workers(&self, service: &str, count: usize) {
        let has = async {
            while self.workers(service).await != count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, has).await.unwrap();
    }

    async fn workers(&self, service: &str) -> usize {
        let services = self.0.statistics().await.unwrap().services;
        services.iter().find(|known| known.service == service).map_or(0, |known| known.workers)
    }

    pub(crate) fn server(&self) -> &BrokerServer {
        &self.0
    }

    pub(crate) async fn stop(self) {
        self.0.stop(PATIENCE).await.unwrap();
    }
}

pub(crate) fn settings() -> BrokerSettings {
    BrokerSettings { heartbeat: Duration::from_millis(200), ..BrokerSettings::default() }
}

pub(crate) fn worker_settings(version: Version) -> WorkerSettings {
    WorkerSettings { version, heartbeat: Duration::from_millis(200), ..WorkerSettings::default() }
}

pub(crate) fn worker(service: &str, brokers: &Brokers, version: Version) -> MdpWorker {
    MdpWorker::new(service, brokers.clone()).unwrap().settings(worker_settings(version))
}

/// A flow that answers requests by `answer`.
pub(crate) async fn serve<F, R>(worker: MdpWorker, answer: F) -> Running
where
    F: Fn(&Event) -> R + Send + Sync + 'static,
    R: IntoOutput + 'static,
{
    let mut director = Director::new("service");
    let worker = director.register("worker", worker);
    let answer = director.register("answer", map(answer));
    director.connect(worker, answer);
    director.connect(answer, worker);
    director.connect_default_error(worker);
    director.build().unwrap().start().await.unwrap()
}

pub(crate) async fn stop(flow: Running) -> Ledger {
    flow.stop(PATIENCE).await.unwrap()
}

pub(crate) fn echo(request: &Event) -> Event {
    request.clone()
}

pub(crate) fn caller(brokers: &Brokers, version: Version, envelope: bool) -> Caller {
    let settings = ClientSettings { version, envelope, ..ClientSettings::default() };
    Caller::with(brokers, settings, SocketSettings::default()).unwrap()
}

/// Calls with a text, and returns the reply as text.
pub(crate) async fn call(caller: &Caller, service: &str, text: &'static str) -> Result<String> {
    Ok(caller.call(service, &Event::new(text), PATIENCE).await?.payload().to_string())
}
