//! Whatever peers do, in whatever order, at whatever time: nothing is lost, doubled, or told to the wrong one.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use playhouse_mdp::protocol::{
    Address, BrokerLimits, BrokerSettings, Output, Service, Ticket, ToClient, ToWorker, Version, decode_at_client,
    decode_at_worker, encode,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::stage::{Stage, address, raw};

const WORKERS: [&str; 6] = ["w0", "w1", "w2", "ph:w3", "ph:w4", "w5"];
const CLIENTS: [&str; 4] = ["c0", "c1", "ph:c2", "ph:c3"];
const SERVICES: [&str; 3] = ["a", "b", "c"];

#[derive(Clone, Debug)]
enum Step {
    Ready(usize, usize),
    Ask(usize, usize),
    Submit(usize),
    /// A worker answers what it holds: in part, or for good.
    Answer(usize, bool),
    /// A worker answers somebody.
    Forge(usize, usize),
    Beat(usize),
    Leave(usize),
    Garbage(usize),
    AskAsWorker(usize),
    Unreachable(usize),
    ClientGone(usize),
    Pass(u64),
    Jump(u64),
    Stop,
}

fn any_step() -> impl Strategy<Value = Step> {
    let worker = || 0..WORKERS.len();
    let client = || 0..CLIENTS.len();
    let service = || 0..SERVICES.len();
    prop_oneof![
        6 => (worker(), service()).prop_map(|(worker, service)| Step::Ready(worker, service)),
        12 => (client(), service()).prop_map(|(client, service)| Step::Ask(client, service)),
        3 => service().prop_map(Step::Submit),
        10 => (worker(), any::<bool>()).prop_map(|(worker, last)| Step::Answer(worker, last)),
        1 => (worker(), client()).prop_map(|(worker, client)| Step::Forge(worker, client)),
        3 => worker().prop_map(Step::Beat),
        2 => worker().prop_map(Step::Leave),
        1 => worker().prop_map(Step::Garbage),
        1 => worker().prop_map(Step::AskAsWorker),
        2 => worker().prop_map(Step::Unreachable),
        1 => client().prop_map(Step::ClientGone),
        4 => (0..20_000u64).prop_map(Step::Pass),
        1 => (0..200_000u64).prop_map(Step::Jump),
        1 => prop::bool::weighted(0.05).prop_map(|stops| if stops { Step::Stop } else { Step::Beat(0) }),
    ]
}

/// What the peers know, told by the messages alone.
struct World {
    stage: Stage,
    /// What each worker holds: its client and the number of the request.
    held: HashMap<Address, (Address, u64)>,
    registered: HashSet<Address>,
    /// Who asked each request, and whether the client is to hear of it in any case.
    asked: HashMap<u64, String>,
    ended: HashSet<u64>,
    tickets: HashMap<Ticket, u64>,
    next: u64,
}

fn worker_version(worker: &Address) -> Version {
    // Half of them speak each version.
    if worker.as_bytes().last().is_some_and(|last| last % 2 == 0) { Version::V1 } else { Version::V2 }
}

fn client_version(client: &Address) -> Version {
    worker_version(client)
}

fn number(frame: &[u8]) -> u64 {
    std::str::from_utf8(frame).unwrap().parse().unwrap()
}

impl World {
    fn new() -> Self {
        let limits = BrokerLimits { queued_for_service: 5, queued: 9, peers: 5, frames: 5, ..BrokerLimits::default() };
        let (expiry, busy_timeout) = (Duration::from_secs(10), Some(Duration::from_secs(20)));
        let settings = BrokerSettings { expiry, busy_timeout, limits, ..BrokerSettings::default() };
        Self {
            stage: Stage::new(settings),
            held: HashMap::new(),
            registered: HashSet::new(),
            asked: HashMap::new(),
            ended: HashSet::new(),
            tickets: HashMap::new(),
            next: 0,
        }
    }

    fn receive(&mut self, from: &Address, frames: Vec<bytes::Bytes>) {
        let from = from.clone();
        let outputs = self.stage.outputs(|broker, now, outputs| broker.receive(from, frames, now, outputs));
        self.read(outputs);
    }

    /// Hears what the broker says, as every peer would.
    fn read(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Send { to, frames } if WORKERS.iter().any(|worker| address(worker) == to) => {
                    let version = worker_version(&to);
                    match decode_at_worker(version, frames).expect("what the broker sends can be read") {
                        ToWorker::Request { client, body } => {
                            assert!(self.registered.contains(&to), "{to:?} is not registered");
                            let number = number(&body[0]);
                            assert!(!self.ended.contains(&number), "{number} has ended");
                            let before = self.held.insert(to.clone(), (client, number));
                            assert!(before.is_none(), "{to:?} holds two requests");
                        }
                        ToWorker::Heartbeat => assert!(self.registered.contains(&to), "{to:?} is not registered"),
                        ToWorker::Disconnect => self.forget(&to),
                    }
                }
                Output::Send { to, frames } => {
                    let version = client_version(&to);
                    match decode_at_client(version, frames).expect("what the broker sends can be read") {
                        ToClient::Partial { body, .. } => self.hear(&to, number(&body[0]), false),
                        ToClient::Final { body, .. } => {
                            let frame = match playhouse_mdp::protocol::read_failure(&body) {
                                Some((_, echo)) => echo,
                                None => body[0].clone(),
                            };
                            self.hear(&to, number(&frame), true);
                        }
                    }
                }
                Output::Ended { ticket, outcome } => {
                    let number = self.tickets[&ticket];
                    if let Ok(body) = outcome {
                        assert!(body.iter().all(|frame| *frame == number.to_string()));
                    }
                    assert!(self.ended.insert(number), "{number} ended twice");
                }
                Output::Durable { .. } => panic!("nothing is durable here"),
            }
        }
    }

    fn hear(&mut self, client: &Address, number: u64, is_last: bool) {
        assert_eq!(address(&self.asked[&number]), *client, "{number} is another's");
        assert!(!self.ended.contains(&number), "{number} was answered already");
        if is_last {
            self.ended.insert(number);
        }
    }

    fn forget(&mut self, worker: &Address) {
        self.registered.remove(worker);
        self.held.remove(worker);
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Ready(worker, service) => {
                let worker = address(WORKERS[worker]);
                let was_registered = !self.registered.insert(worker.clone());
                if was_registered {
                    self.forget(&worker);
                }
                let service = Service::new(SERVICES[service]).unwrap();
                self.receive(&worker.clone(), encode::ready(worker_version(&worker), &service));
            }
            Step::Ask(client, service) => {
                self.next += 1;
                self.asked.insert(self.next, CLIENTS[client].to_owned());
                let client = address(CLIENTS[client]);
                let body = vec![self.next.to_string().into()];
                let service = Service::new(SERVICES[service]).unwrap();
                self.receive(&client, encode::request(client_version(&client), &service, body));
            }
            Step::Submit(service) => {
                self.next += 1;
                let ticket = Ticket::from_u128(self.next.into());
                self.tickets.insert(ticket, self.next);
                let outputs = self.stage.submit(ticket, SERVICES[service], &self.next.to_string());
                self.read(outputs);
            }
            Step::Answer(worker, is_last) => {
                let worker = address(WORKERS[worker]);
                let Some((client, number)) = self.held.get(&worker).cloned() else { return };
                let body = vec![number.to_string().into()];
                let version = worker_version(&worker);
                if is_last || version == Version::V1 {
                    self.held.remove(&worker);
                    self.receive(&worker, encode::final_answer(version, &client, body));
                } else {
                    self.receive(&worker, encode::partial_answer(&client, body));
                }
            }
            Step::Forge(worker, client) => {
                let worker = address(WORKERS[worker]);
                let client = address(CLIENTS[client]);
                if self.held.get(&worker).is_some_and(|(held, _)| *held == client) {
                    return;
                }
                let frames = encode::final_answer(worker_version(&worker), &client, vec!["0".into()]);
                self.forget(&worker);
                self.receive(&worker, frames);
            }
            Step::Beat(worker) => {
                let worker = address(WORKERS[worker]);
                self.receive(&worker, encode::heartbeat(worker_version(&worker)));
            }
            Step::Leave(worker) => {
                let worker = address(WORKERS[worker]);
                self.forget(&worker);
                self.receive(&worker, encode::disconnect(worker_version(&worker)));
            }
            Step::Garbage(worker) => {
                let worker = address(WORKERS[worker]);
                self.forget(&worker);
                self.receive(&worker, raw(&[b"MDPW02", b"\x09"]));
            }
            Step::AskAsWorker(worker) => {
                let worker = address(WORKERS[worker]);
                if self.registered.contains(&worker) {
                    self.forget(&worker);
                    let service = Service::new("a").unwrap();
                    self.receive(&worker, encode::request(Version::V2, &service, vec!["0".into()]));
                }
            }
            Step::Unreachable(worker) => {
                let worker = address(WORKERS[worker]);
                self.forget(&worker);
                let outputs = self.stage.outputs(|broker, now, outputs| broker.unreachable(&worker, now, outputs));
                self.read(outputs);
            }
            Step::ClientGone(client) => {
                let client = address(CLIENTS[client]);
                let outputs = self.stage.outputs(|broker, now, outputs| broker.unreachable(&client, now, outputs));
                assert!(outputs.is_empty());
            }
            Step::Pass(time) => {
                let end = self.stage.now + Duration::from_millis(time);
                while self.stage.now < end {
                    self.stage.now = self.stage.broker.next_tick().min(end);
                    self.tick();
                }
            }
            Step::Jump(time) => {
                self.stage.now += Duration::from_millis(time);
                self.tick();
            }
            Step::Stop => {
                let outputs = self.stage.outputs(|broker, _, outputs| broker.stop(outputs));
                self.read(outputs);
            }
        }
        self.check();
    }

    fn tick(&mut self) {
        let outputs = self.stage.outputs(playhouse_mdp::protocol::Broker::tick);
        self.read(outputs);
        // A worker that was silent is removed without a word; it finds out by its next heartbeat.
        let idle = self.stage.broker.statistics(self.stage.now);
        if idle.workers < self.registered.len() {
            self.find_out();
        }
    }

    fn find_out(&mut self) {
        for worker in self.registered.clone() {
            let frames = encode::heartbeat(worker_version(&worker));
            self.receive(&worker, frames);
        }
    }

    fn check(&self) {
        let accounts = self.stage.accounts();
        assert!(accounts.balance(), "{accounts:?}");
        let is_drained = accounts.queued == 0 && accounts.running == 0;
        assert_eq!(self.stage.broker.is_drained(), is_drained, "{accounts:?}");
        let statistics = self.stage.broker.statistics(self.stage.now);
        assert_eq!(statistics.workers, self.registered.len());
        assert_eq!(statistics.workers, statistics.services.iter().map(|service| service.workers).sum::<usize>());
        assert!(accounts.running <= self.held.len() as u64);
        for service in &statistics.services {
            assert!(service.idle == 0 || service.queued == 0, "{service:?}");
            assert!(service.queued <= 5 + WORKERS.len() && (service.workers > 0 || service.queued > 0), "{service:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_request_ends_once_and_for_the_one_who_asked(steps in vec(any_step(), 1..150)) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
        }
        // After enough time everything has ended, but for durable requests, which wait for a worker.
        world.take(&Step::Pass(100_000));
        let accounts = world.stage.accounts();
        let waiting = world.tickets.values().filter(|number| !world.ended.contains(number)).count() as u64;
        prop_assert_eq!((accounts.queued, accounts.running), (waiting, 0));
        // Our own clients have heard of every request of theirs.
        for (number, client) in &world.asked {
            prop_assert!(!client.starts_with("ph:") || world.ended.contains(number), "{} of {}", number, client);
        }
        let outputs = world.stage.outputs(|broker, _, outputs| broker.disconnect_all(outputs));
        world.read(outputs);
        world.check();
        prop_assert!(world.tickets.values().all(|number| world.ended.contains(number)));
    }
}
