//! A broker, its clock, and short words for what peers say to it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use playhouse_engine::{Error, Kind};
use playhouse_mdp::protocol::{
    Accounts, Address, Broker, BrokerSettings, Frames, Output, Service, ServiceStatistics, Ticket, ToClient, Version,
    decode_at_client, encode, read_failure,
};

pub(crate) const VERSIONS: [Version; 2] = [Version::V1, Version::V2];

/// A message that the broker sends.
pub(crate) type Sent = (Address, Frames);

pub(crate) struct Stage {
    pub(crate) broker: Broker,
    pub(crate) now: Instant,
}

impl Default for Stage {
    fn default() -> Self {
        Self::new(BrokerSettings::default())
    }
}

impl Stage {
    pub(crate) fn new(settings: BrokerSettings) -> Self {
        let now = Instant::now();
        Self { broker: Broker::new(settings, now), now }
    }

    pub(crate) fn outputs(&mut self, act: impl FnOnce(&mut Broker, Instant, &mut Vec<Output>)) -> Vec<Output> {
        let mut outputs = Vec::new();
        act(&mut self.broker, self.now, &mut outputs);
        assert!(self.accounts().balance(), "{:?}", self.accounts());
        outputs
    }

    #[track_caller]
    pub(crate) fn sent(&mut self, act: impl FnOnce(&mut Broker, Instant, &mut Vec<Output>)) -> Vec<Sent> {
        self.outputs(act).into_iter().map(into_sent).collect()
    }

    #[track_caller]
    pub(crate) fn receive(&mut self, from: &str, frames: Frames) -> Vec<Sent> {
        let from = address(from);
        self.sent(|broker, now, outputs| broker.receive(from, frames, now, outputs))
    }

    #[track_caller]
    pub(crate) fn ready(&mut self, version: Version, worker: &str, name: &str) -> Vec<Sent> {
        self.receive(worker, encode::ready(version, &service(name)))
    }

    #[track_caller]
    pub(crate) fn ask(&mut self, version: Version, client: &str, name: &str, question: &str) -> Vec<Sent> {
        self.receive(client, encode::request(version, &service(name), body(&[question])))
    }

    #[track_caller]
    pub(crate) fn part(&mut self, worker: &str, client: &str, answer: &str) -> Vec<Sent> {
        self.receive(worker, encode::partial_answer(&address(client), body(&[answer])))
    }

    #[track_caller]
    pub(crate) fn answer(&mut self, version: Version, worker: &str, client: &str, answer: &str) -> Vec<Sent> {
        self.receive(worker, encode::final_answer(version, &address(client), body(&[answer])))
    }

    #[track_caller]
    pub(crate) fn beat(&mut self, version: Version, worker: &str) -> Vec<Sent> {
        self.receive(worker, encode::heartbeat(version))
    }

    #[track_caller]
    pub(crate) fn tick(&mut self) -> Vec<Sent> {
        self.sent(Broker::tick)
    }

    /// Lets time pass as it does for a broker that runs, and returns what it sends meanwhile.
    #[track_caller]
    pub(crate) fn pass(&mut self, time: Duration) -> Vec<Sent> {
        let end = self.now + time;
        let mut sent = Vec::new();
        while self.now < end {
            self.now = self.broker.next_tick().clamp(self.now + Duration::from_millis(1), end);
            sent.extend(self.tick());
        }
        sent
    }

    /// Lets time pass while these workers beat.
    #[track_caller]
    pub(crate) fn pass_with_beats(&mut self, time: Duration, workers: &[(Version, &str)]) -> Vec<Sent> {
        let end = self.now + time;
        let mut sent = Vec::new();
        while self.now < end {
            for (version, worker) in workers {
                sent.extend(self.beat(*version, worker));
            }
            sent.extend(self.pass((end - self.now).min(Duration::from_secs(1))));
        }
        sent
    }

    pub(crate) fn submit(&mut self, ticket: Ticket, name: &str, question: &str) -> Vec<Output> {
        let (service, body) = (service(name), body(&[question]));
        self.outputs(|broker, now, outputs| broker.submit(ticket, service, body, now, outputs))
    }

    /// The connection of a peer has ended.
    pub(crate) fn gone(&mut self, peer: &str) -> Vec<Sent> {
        let peer = address(peer);
        self.sent(|broker, now, outputs| broker.gone(&peer, now, outputs))
    }

    pub(crate) fn unreachable(&mut self, peer: &str) -> Vec<Sent> {
        let peer = address(peer);
        self.sent(|broker, now, outputs| broker.unreachable(&peer, now, outputs))
    }

    pub(crate) fn workers(&self, name: &str) -> (usize, usize) {
        let service = service(name);
        (self.broker.workers(&service), self.broker.idle_workers(&service))
    }

    pub(crate) fn accounts(&self) -> Accounts {
        self.broker.accounts()
    }

    pub(crate) fn service(&self, name: &str) -> ServiceStatistics {
        let all = self.broker.statistics(self.now).services;
        all.into_iter().find(|service| service.service == name).unwrap()
    }

    pub(crate) fn knows(&self, name: &str) -> bool {
        self.broker.statistics(self.now).services.iter().any(|service| service.service == name)
    }

    pub(crate) fn malformed(&self, reason: &str) -> u64 {
        self.broker.statistics(self.now).counters.malformed.get(reason).copied().unwrap_or(0)
    }

    pub(crate) fn over_limit(&self, limit: &str) -> u64 {
        self.broker.statistics(self.now).counters.over_limit.get(limit).copied().unwrap_or(0)
    }
}

pub(crate) fn into_sent(output: Output) -> Sent {
    match output {
        Output::Send { to, frames } => (to, frames),
        other => panic!("expected a message, found {other:?}"),
    }
}

pub(crate) fn address(name: &str) -> Address {
    Address::new(name.to_owned())
}

pub(crate) fn service(name: &str) -> Service {
    Service::new(name.to_owned()).unwrap()
}

pub(crate) fn body(parts: &[&str]) -> Frames {
    parts.iter().map(|part| Bytes::from((*part).to_owned())).collect()
}

/// Frames as they stand on the wire.
pub(crate) fn raw(parts: &[&[u8]]) -> Frames {
    parts.iter().map(|part| Bytes::copy_from_slice(part)).collect()
}

pub(crate) fn disconnect(version: Version, worker: &str) -> Sent {
    (address(worker), encode::disconnect(version))
}

pub(crate) fn heartbeat(version: Version, worker: &str) -> Sent {
    (address(worker), encode::heartbeat(version))
}

pub(crate) fn assignment(version: Version, worker: &str, client: &str, question: &str) -> Sent {
    (address(worker), encode::assignment(version, &address(client), &body(&[question])))
}

pub(crate) fn reply(version: Version, client: &str, name: &str, answer: &str) -> Sent {
    (address(client), encode::reply(version, &service(name), body(&[answer])))
}

pub(crate) fn part(client: &str, name: &str, answer: &str) -> Sent {
    (address(client), encode::partial_reply(&service(name), body(&[answer])))
}

/// Reads the one error that was sent to a client of ours.
#[track_caller]
pub(crate) fn failure(version: Version, client: &str, sent: &[Sent]) -> Error {
    let [(to, frames)] = sent else { panic!("expected one message, found {sent:?}") };
    assert_eq!(to, &address(client));
    match decode_at_client(version, frames.clone()) {
        Ok(ToClient::Final { body, .. }) => read_failure(&body).expect("the reply is a failure").0,
        other => panic!("expected a final reply, found {other:?}"),
    }
}

#[track_caller]
pub(crate) fn check_failure(version: Version, client: &str, sent: &[Sent], expected: Kind) {
    let error = failure(version, client, sent);
    assert_eq!(error.kind(), expected, "{error}");
}
