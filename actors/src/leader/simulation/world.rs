//! A network and processes that are made up, and what must hold of them at each moment.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::datagram::Message;
use super::super::machine::{Lease, Machine, Now, Rules};

/// All times are true ones, in microseconds, where nothing else is said.
pub(crate) const LEASE: u64 = 1_000_000;
pub(crate) const INTERVAL: u64 = 200_000;
/// When 2026 began, more or less.
pub(crate) const WALL: u64 = 1_767_000_000_000;

/// How bad it is, until it ends.
#[derive(Clone, Debug)]
pub(crate) struct Weather {
    pub(crate) seed: u64,
    pub(crate) members: usize,
    /// In percent.
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    /// How late a message may be.
    pub(crate) latest: u64,
    /// When each thing happens, what it is, and to whom.
    pub(crate) events: Vec<(u64, Event)>,
}

#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// Cuts the network into those whose bit is set and the rest.
    Cut(u8),
    Heal,
    Kill(usize, u64),
    Pause(usize, u64),
    Leave(usize, u64),
}

pub(crate) struct Process {
    pub(crate) machine: Machine,
    /// How fast its clock is, in millionths, and what it showed at the true time 0.
    pub(crate) rate: u64,
    pub(crate) origin: u64,
    /// How far its wall clock is off, in milliseconds.
    pub(crate) skew: i64,
    /// Until when it stands still.
    pub(crate) paused: u64,
    /// When it is there again.
    pub(crate) dead: Option<u64>,
}

impl Process {
    pub(crate) fn time(&self, at: u64) -> Duration {
        Duration::from_micros(self.origin + at * self.rate / 1_000_000)
    }

    pub(crate) fn now(&self, at: u64) -> Now {
        Now { time: self.time(at), wall: (WALL + at / 1000).saturating_add_signed(self.skew) }
    }

    pub(crate) fn lease(&self, at: u64) -> Option<Lease> {
        let lease = self.machine.lease().filter(|_| self.dead.is_none());
        lease.filter(|lease| self.time(at) < lease.until)
    }

    /// Returns when its machine wants to be called.
    pub(crate) fn next(&self, at: u64) -> u64 {
        if let Some(dead) = self.dead {
            return dead;
        }
        let next = u64::try_from(self.machine.next().as_micros()).unwrap_or(u64::MAX);
        let next = (next.saturating_sub(self.origin)).saturating_mul(1_000_000) / self.rate + 1;
        next.max(at + 1).max(self.paused)
    }
}

pub(crate) struct World {
    pub(crate) rules: Rules,
    pub(crate) at: u64,
    pub(crate) chance: fastrand::Rng,
    pub(crate) processes: Vec<Process>,
    /// What is under way, by when it arrives: to whom and what.
    pub(crate) messages: BTreeMap<(u64, u64), (usize, Message)>,
    pub(crate) sent: u64,
    /// Who hears whom: those of equal numbers.
    pub(crate) side: Vec<u8>,
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) latest: u64,
    /// How late each message is at least.
    pub(crate) soonest: u64,
    /// Which process had a lease last, counting starts, and its term.
    pub(crate) last: Option<((usize, u64), u64)>,
    pub(crate) starts: Vec<u64>,
}

impl World {
    pub(crate) fn new(weather: &Weather, members: Option<u32>) -> Self {
        let micros = Duration::from_micros;
        let rules = Rules { members, interval: micros(INTERVAL), lease: micros(LEASE), burn_in: micros(LEASE) };
        let mut world = Self {
            rules,
            at: 0,
            chance: fastrand::Rng::with_seed(weather.seed),
            processes: Vec::new(),
            messages: BTreeMap::new(),
            sent: 0,
            side: vec![0; weather.members],
            lost: weather.lost,
            doubled: weather.doubled,
            latest: weather.latest,
            soonest: 100,
            last: None,
            starts: vec![0; weather.members],
        };
        for _ in 0..weather.members {
            let rate = world.chance.u64(990_000..=1_010_000);
            let origin = world.chance.u64(0..10_000_000);
            let skew = world.chance.i64(-300..=300);
            let process = Process {
                machine: world.machine(Duration::from_micros(origin)),
                rate,
                origin,
                skew,
                paused: 0,
                dead: None,
            };
            world.processes.push(process);
        }
        world
    }

    pub(crate) fn machine(&mut self, time: Duration) -> Machine {
        let (id, seed) = (self.chance.u128(..), self.chance.u64(..));
        Machine::new(self.rules, id, seed, Now { time, wall: WALL })
    }

    pub(crate) fn send(&mut self, from: usize, messages: Vec<Message>) {
        for message in messages {
            for to in 0..self.processes.len() {
                let copies = 1 + u64::from(self.chance.u64(0..100) < self.doubled);
                for _ in 0..copies {
                    let is_cut = self.side[from] != self.side[to];
                    if to == from || is_cut || self.chance.u64(0..100) < self.lost {
                        continue;
                    }
                    self.sent += 1;
                    let late = self.chance.u64(self.soonest..=self.latest);
                    self.messages.insert((self.at + late, self.sent), (to, message));
                }
            }
        }
    }

    /// Lets the true time go on, and holds what must hold at each moment at which something changes.
    pub(crate) fn run_until(&mut self, end: u64) {
        loop {
            let arrival = self.messages.keys().next().map_or(u64::MAX, |(at, _)| *at);
            let (number, wake) = (0..self.processes.len())
                .map(|number| (number, self.processes[number].next(self.at)))
                .min_by_key(|(_, wake)| *wake)
                .unwrap();
            let next = arrival.min(wake);
            if next > end {
                self.at = end;
                return;
            }
            self.at = next;
            if arrival <= wake {
                let (_, (to, message)) = self.messages.pop_first().unwrap();
                self.deliver(to, message);
            } else {
                self.wake(number);
            }
            self.hold();
        }
    }

    pub(crate) fn deliver(&mut self, to: usize, message: Message) {
        let process = &mut self.processes[to];
        if process.dead.is_some() {
            return;
        }
        if process.paused > self.at {
            // It lies in the socket until then.
            self.sent += 1;
            self.messages.insert((process.paused, self.sent), (to, message));
            return;
        }
        let (now, mut out) = (process.now(self.at), Vec::new());
        process.machine.receive(&message, now, &mut out);
        self.send(to, out);
    }

    pub(crate) fn wake(&mut self, number: usize) {
        if self.processes[number].dead.is_some() {
            let time = self.processes[number].time(self.at);
            self.processes[number].machine = self.machine(time);
            self.processes[number].dead = None;
            self.starts[number] += 1;
            return;
        }
        let (now, mut out) = (self.processes[number].now(self.at), Vec::new());
        self.processes[number].machine.tick(now, &mut out);
        self.send(number, out);
    }

    pub(crate) fn leading(&self) -> Vec<(usize, Lease)> {
        let processes = self.processes.iter().enumerate();
        processes.filter_map(|(number, process)| Some((number, process.lease(self.at)?))).collect()
    }

    pub(crate) fn hold(&mut self) {
        let leading = self.leading();
        if self.rules.members.is_none() {
            return;
        }
        assert!(leading.len() <= 1, "at {} there are two leases: {leading:?}", self.at);
        if let Some(&(number, lease)) = leading.first() {
            let who = (number, self.starts[number]);
            if let Some((before, term)) = self.last {
                let grows = lease.term > term || (who == before && lease.term == term);
                assert!(grows, "at {} the term {} came after {term}", self.at, lease.term);
            }
            self.last = Some((who, lease.term));
        }
    }

    pub(crate) fn happen(&mut self, event: &Event) {
        let members = self.processes.len();
        match *event {
            Event::Cut(sides) => (0..members).for_each(|number| self.side[number] = sides >> number & 1),
            Event::Heal => self.side.fill(0),
            Event::Kill(number, time) => self.processes[number % members].dead = Some(self.at + time),
            Event::Pause(number, time) => self.processes[number % members].paused = self.at + time,
            Event::Leave(number, time) => {
                let number = number % members;
                let (now, mut out) = (self.processes[number].now(self.at), Vec::new());
                if self.processes[number].dead.is_none() && self.processes[number].paused <= self.at {
                    self.processes[number].machine.leave(now, &mut out);
                    self.processes[number].dead = Some(self.at + time);
                    self.send(number, out);
                }
            }
        }
        self.hold();
    }

    pub(crate) fn live_through(&mut self, weather: &Weather) {
        for (at, event) in &weather.events {
            self.run_until(*at);
            self.happen(event);
        }
        self.run_until(weather.events.last().map_or(0, |(at, _)| *at) + 500_000);
    }

    pub(crate) fn clear_up(&mut self) {
        self.happen(&Event::Heal);
        (self.lost, self.doubled, self.latest) = (0, 0, 20_000);
        for process in &mut self.processes {
            process.paused = process.paused.min(self.at);
            process.dead = process.dead.map(|_| self.at);
        }
    }
}
