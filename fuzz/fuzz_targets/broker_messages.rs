//! Lets six peers say to a broker whatever the input holds, well formed or not, while the clock jumps. Every request stays
//! accounted for, no worker has two requests at a time, and all are told when the broker ends.

#![no_main]

mod input;

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use input::Input;
use libfuzzer_sys::fuzz_target;
use playhouse_mdp::protocol::{
    Address, Broker, BrokerLimits, BrokerSettings, Output, Service, Ticket, ToWorker, Version, decode_at_worker, encode,
};

const PEERS: [&str; 6] = ["ph:one", "ph:two", "three", "four", "five", "\u{0}six"];

struct Bench {
    broker: Broker,
    now: Instant,
    outputs: Vec<Output>,
    /// The peers that were told something as workers, and whether they have a request; those that were sent away are not in
    /// it.
    told: HashMap<Address, bool>,
    submitted: HashSet<Ticket>,
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input::new(bytes);
    let limits = BrokerLimits {
        frame_size: 64,
        message_size: 128,
        frames: 4,
        peers: 3,
        queued_for_service: 3,
        queued: 5,
        queued_size: 512,
        services: 3,
    };
    let durable = input.byte().is_multiple_of(2);
    let settings = BrokerSettings { limits, attempts: 2, durable, ..BrokerSettings::default() };
    let now = Instant::now();
    let mut bench = Bench {
        broker: Broker::new(settings, now),
        now,
        outputs: Vec::new(),
        told: HashMap::new(),
        submitted: HashSet::new(),
    };
    while !input.is_empty() {
        bench.step(&mut input);
        bench.check();
    }
    let workers = bench.broker.statistics(bench.now).workers;
    bench.broker.disconnect_all(&mut bench.outputs);
    let told = bench.outputs.iter().filter(|output| matches!(tells(output), Some(ToWorker::Disconnect))).count();
    assert_eq!(told, workers, "a worker was not told that the broker ends");
    bench.check();
    assert!(bench.broker.is_drained() && bench.submitted.is_empty());
});

impl Bench {
    fn step(&mut self, input: &mut Input<'_>) {
        let peer = Address::new(PEERS[usize::from(input.byte()) % PEERS.len()]);
        let version = if input.byte().is_multiple_of(2) { Version::V1 } else { Version::V2 };
        let service = Service::new(["a", "b", "mmi.service", "titanic.reply", "c"][usize::from(input.byte()) % 5]);
        let service = service.expect("a name");
        let frames = match input.byte() % 12 {
            0 => input.frames(),
            1 | 2 => encode::request(version, &service, input.body()),
            3 => encode::ready(version, &service),
            4 => encode::heartbeat(version),
            5 => encode::disconnect(version),
            6 | 7 => encode::final_answer(version, &self.client(input), input.body()),
            8 => encode::partial_answer(&self.client(input), input.body()),
            9 => {
                self.now += Duration::from_millis(u64::from(input.byte()) * u64::from(input.byte()));
                return self.broker.tick(self.now, &mut self.outputs);
            }
            10 => {
                self.broker.unreachable(&peer, self.now, &mut self.outputs);
                self.told.remove(&peer);
                return;
            }
            _ => return self.command(input, service),
        };
        // What a worker sends may be its answer, or cost it its registration: it may have another request then.
        self.told.remove(&peer);
        self.broker.receive(peer, frames, self.now, &mut self.outputs);
        assert!(self.broker.statistics(self.now).workers <= 3);
    }

    fn command(&mut self, input: &mut Input<'_>, service: Service) {
        match input.byte() {
            0 => self.broker.stop(&mut self.outputs),
            number => {
                let ticket = Ticket::from_u128(u128::from(number));
                if self.submitted.insert(ticket) {
                    self.broker.submit(ticket, service, input.body(), self.now, &mut self.outputs);
                }
            }
        }
    }

    fn client(&self, input: &mut Input<'_>) -> Address {
        Address::new(PEERS[usize::from(input.byte()) % PEERS.len()])
    }

    fn check(&mut self) {
        for output in std::mem::take(&mut self.outputs) {
            match (tells(&output), output) {
                (Some(ToWorker::Request { .. }), Output::Send { to, .. }) => {
                    assert_ne!(self.told.insert(to, true), Some(true), "a worker has two requests");
                }
                (Some(ToWorker::Heartbeat), Output::Send { to, .. }) => drop(self.told.entry(to).or_insert(false)),
                (Some(ToWorker::Disconnect), Output::Send { to, .. }) => drop(self.told.remove(&to)),
                (_, Output::Ended { ticket, .. }) => assert!(self.submitted.remove(&ticket), "it ended twice"),
                _ => {}
            }
        }
        let accounts = self.broker.accounts();
        assert!(accounts.balance(), "{accounts:?}");
        assert!(accounts.queued <= 8 && accounts.running <= 3, "{accounts:?}");
        let next = self.broker.next_tick();
        assert!(next <= self.now + Duration::from_secs(1), "nothing would be looked at");
    }
}

/// What a worker is told.
fn tells(output: &Output) -> Option<ToWorker> {
    let Output::Send { frames, .. } = output else { return None };
    [Version::V1, Version::V2].into_iter().find_map(|version| decode_at_worker(version, frames.clone()).ok())
}
