//! A worker that takes several requests at a time, over one connection where the broker is ours.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use playhouse_engine::{Actor, Director, Error, Event, Outbox, Policy, Result, Running};
use playhouse_mdp::protocol::{Version, WorkerSettings};
use playhouse_mdp::{Caller, MdpWorker, ServerSettings};
use tokio::sync::{Barrier, Semaphore};

use crate::support::*;

/// A flow that answers requests by `actor`, four at a time.
async fn serve_by(worker: MdpWorker, actor: impl Actor) -> Running {
    let mut director = Director::new("service");
    let worker = director.register("worker", worker.concurrency(4));
    let policy = Policy { workers: 4.into(), ..Policy::default() };
    let actor = director.register_with("actor", actor, policy);
    director.connect(worker, actor);
    director.connect(actor, worker);
    director.build().unwrap().start().await.unwrap()
}

/// Answers when four requests are there at once.
struct Together(Barrier);

impl Actor for Together {
    async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        self.0.wait().await;
        out.push(event.clone());
        Ok(())
    }
}

fn together() -> Together {
    Together(Barrier::new(4))
}

async fn four_are_answered(caller: &Caller) {
    let one = || call(caller, "together", "x");
    let (a, b, c, d) = tokio::join!(one(), one(), one(), one());
    assert!([&a, &b, &c, &d].iter().all(|reply| reply.is_ok()), "{a:?} {b:?} {c:?} {d:?}");
}

/// A broker whose peers may be silent for long, so that none is given up where the machine is slow.
async fn patient_broker() -> Broker {
    Broker::with(ServerSettings::bind("tcp://127.0.0.1:0").unwrap()).await
}

fn patient_worker(service: &str, broker: &Broker, version: Version) -> MdpWorker {
    let settings = WorkerSettings { version, ..WorkerSettings::default() };
    MdpWorker::new(service, broker.brokers()).unwrap().settings(settings)
}

/// How many connections the broker has: it is in this process, so the kernel knows each by the broker's end.
fn connections(broker: &Broker) -> usize {
    let address = broker.address();
    let port: u16 = address.rsplit(':').next().unwrap().parse().unwrap();
    let (local, established) = (format!(":{port:04X}"), "01");
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    table.lines().map(fields).filter(|fields| fields[1].ends_with(&local) && fields[3] == established).count()
}

#[tokio::test]
async fn four_requests_at_a_time_share_a_connection() {
    for version in VERSIONS {
        let broker = patient_broker().await;
        let flow = serve_by(patient_worker("together", &broker, version), together()).await;
        broker.has_workers("together", 4).await;
        assert_eq!(connections(&broker), 1);
        let caller = caller(&broker.brokers(), version, true);
        for _ in 0..10 {
            four_are_answered(&caller).await;
        }
        stop(flow).await;
        broker.has_workers("together", 0).await;
        broker.stop().await;
    }
}

#[tokio::test]
async fn four_requests_at_a_time_come_from_a_broker_without_lanes() {
    // The library's sockets within a process know none.
    let broker = Broker::at("inproc://a-broker-without-lanes").await;
    let flow = serve_by(worker("together", &broker.brokers(), Version::V2), together()).await;
    let caller = caller(&broker.brokers(), Version::V2, true);
    four_are_answered(&caller).await;
    stop(flow).await;
    broker.has_workers("together", 0).await;
    broker.stop().await;
}

#[tokio::test]
async fn all_four_register_again_after_the_broker_came_back() {
    let broker = Broker::start().await;
    let address = broker.address();
    let flow = serve_by(worker("together", &broker.brokers(), Version::V2), together()).await;
    let caller = caller(&broker.brokers(), Version::V2, true);
    four_are_answered(&caller).await;
    broker.stop().await;
    let broker = Broker::at(&address).await;
    four_are_answered(&caller).await;
    stop(flow).await;
    broker.stop().await;
}

/// Holds the requests `hold` until it is told, and gives the first of the others back.
struct Moody {
    holding: Arc<Semaphore>,
    gave_back: AtomicBool,
}

impl Actor for Moody {
    async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        if event.payload().to_string() == "hold" {
            self.holding.acquire().await.unwrap().forget();
        } else if !self.gave_back.swap(true, Ordering::SeqCst) {
            return Err(Error::cancelled("not now"));
        }
        out.push(event.clone());
        Ok(())
    }
}

#[tokio::test]
async fn a_request_that_is_given_back_does_not_disturb_the_others() {
    let broker = patient_broker().await;
    let holding = Arc::new(Semaphore::new(0));
    let moody = Moody { holding: holding.clone(), gave_back: AtomicBool::new(false) };
    let flow = serve_by(patient_worker("moody", &broker, Version::V2), moody).await;
    broker.has_workers("moody", 4).await;
    let caller = caller(&broker.brokers(), Version::V2, true);
    let held = || call(&caller, "moody", "hold");
    let others = async {
        assert_eq!(call(&caller, "moody", "go").await.unwrap(), "go");
        // The one that gave its request back has begun anew by now, by another lane.
        broker.has_workers("moody", 4).await;
        assert_eq!(connections(&broker), 2, "the worker's and the client's");
        holding.add_permits(3);
    };
    let (a, b, c, ()) = tokio::join!(held(), held(), held(), others);
    assert!([&a, &b, &c].iter().all(|reply| matches!(reply.as_deref(), Ok("hold"))), "{a:?} {b:?} {c:?}");
    stop(flow).await;
    broker.stop().await;
}

#[tokio::test]
async fn a_stop_waits_for_all_that_is_under_way() {
    let broker = patient_broker().await;
    let (holding, arrived) = (Arc::new(Semaphore::new(0)), Arc::new(Barrier::new(5)));
    let flow = serve_by(patient_worker("slow", &broker, Version::V2), Slow(holding.clone(), arrived.clone())).await;
    let caller = caller(&broker.brokers(), Version::V2, true);
    let one = || call(&caller, "slow", "x");
    let stopping = async {
        arrived.wait().await;
        let stopped = tokio::spawn(stop(flow));
        // Those that are idle would leave at once; these four are not.
        tokio::task::yield_now().await;
        broker.has_workers("slow", 4).await;
        holding.add_permits(4);
        stopped.await.unwrap()
    };
    let (a, b, c, d, ledger) = tokio::join!(one(), one(), one(), one(), stopping);
    assert!([&a, &b, &c, &d].iter().all(|reply| reply.is_ok()), "{a:?} {b:?} {c:?} {d:?}");
    assert_eq!((ledger.in_flight, ledger.failed, ledger.dropped), (0, 0, 0));
    broker.has_workers("slow", 0).await;
    broker.stop().await;
}

/// Says that a request is there, and answers it when it is told.
struct Slow(Arc<Semaphore>, Arc<Barrier>);

impl Actor for Slow {
    async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        self.1.wait().await;
        self.0.acquire().await.unwrap().forget();
        out.push(event.clone());
        Ok(())
    }
}
