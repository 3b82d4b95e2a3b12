//! Elections on a network that is made up: messages are lost, late, doubled and overtaken, links are cut, processes stand still,
//! are killed and start anew, and no two clocks go alike. At no true time may two have a lease.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::datagram::Message;
use super::machine::{Lease, Machine, Now, Rules};

/// All times are true ones, in microseconds, where nothing else is said.
const LEASE: u64 = 1_000_000;
const INTERVAL: u64 = 200_000;
/// When 2026 began, more or less.
const WALL: u64 = 1_767_000_000_000;

/// How bad it is, until it ends.
#[derive(Clone, Debug)]
struct Weather {
    seed: u64,
    members: usize,
    /// In percent.
    lost: u64,
    doubled: u64,
    /// How late a message may be.
    latest: u64,
    /// When each thing happens, what it is, and to whom.
    events: Vec<(u64, Event)>,
}

#[derive(Clone, Debug)]
enum Event {
    /// Cuts the network into those whose bit is set and the rest.
    Cut(u8),
    Heal,
    Kill(usize, u64),
    Pause(usize, u64),
    Leave(usize, u64),
}

struct Process {
    machine: Machine,
    /// How fast its clock is, in millionths, and what it showed at the true time 0.
    rate: u64,
    origin: u64,
    /// How far its wall clock is off, in milliseconds.
    skew: i64,
    /// Until when it stands still.
    paused: u64,
    /// When it is there again.
    dead: Option<u64>,
}

impl Process {
    fn time(&self, at: u64) -> Duration {
        Duration::from_micros(self.origin + at * self.rate / 1_000_000)
    }

    fn now(&self, at: u64) -> Now {
        Now { time: self.time(at), wall: (WALL + at / 1000).saturating_add_signed(self.skew) }
    }

    fn lease(&self, at: u64) -> Option<Lease> {
        let lease = self.machine.lease().filter(|_| self.dead.is_none());
        lease.filter(|lease| self.time(at) < lease.until)
    }

    /// Returns when its machine wants to be called.
    fn next(&self, at: u64) -> u64 {
        if let Some(dead) = self.dead {
            return dead;
        }
        let next = u64::try_from(self.machine.next().as_micros()).unwrap_or(u64::MAX);
        let next = (next.saturating_sub(self.origin)).saturating_mul(1_000_000) / self.rate + 1;
        next.max(at + 1).max(self.paused)
    }
}

struct World {
    rules: Rules,
    at: u64,
    chance: fastrand::Rng,
    processes: Vec<Process>,
    /// What is under way, by when it arrives: to whom and what.
    messages: BTreeMap<(u64, u64), (usize, Message)>,
    sent: u64,
    /// Who hears whom: those of equal numbers.
    side: Vec<u8>,
    lost: u64,
    doubled: u64,
    latest: u64,
    /// Which process had a lease last, counting starts, and its term.
    last: Option<((usize, u64), u64)>,
    starts: Vec<u64>,
}

impl World {
    fn new(weather: &Weather, members: Option<u32>) -> Self {
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

    fn machine(&mut self, time: Duration) -> Machine {
        let (id, seed) = (self.chance.u128(..), self.chance.u64(..));
        Machine::new(self.rules, id, seed, Now { time, wall: WALL })
    }

    fn send(&mut self, from: usize, messages: Vec<Message>) {
        for message in messages {
            for to in 0..self.processes.len() {
                let copies = 1 + u64::from(self.chance.u64(0..100) < self.doubled);
                for _ in 0..copies {
                    let is_cut = self.side[from] != self.side[to];
                    if to == from || is_cut || self.chance.u64(0..100) < self.lost {
                        continue;
                    }
                    self.sent += 1;
                    let late = self.chance.u64(100..=self.latest);
                    self.messages.insert((self.at + late, self.sent), (to, message));
                }
            }
        }
    }

    /// Lets the true time go on, and holds what must hold at each moment at which something changes.
    fn run_until(&mut self, end: u64) {
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

    fn deliver(&mut self, to: usize, message: Message) {
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

    fn wake(&mut self, number: usize) {
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

    fn leading(&self) -> Vec<(usize, Lease)> {
        let processes = self.processes.iter().enumerate();
        processes.filter_map(|(number, process)| Some((number, process.lease(self.at)?))).collect()
    }

    fn hold(&mut self) {
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

    fn happen(&mut self, event: &Event) {
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

    fn live_through(&mut self, weather: &Weather) {
        for (at, event) in &weather.events {
            self.run_until(*at);
            self.happen(event);
        }
        self.run_until(weather.events.last().map_or(0, |(at, _)| *at) + 500_000);
    }

    fn clear_up(&mut self) {
        self.happen(&Event::Heal);
        (self.lost, self.doubled, self.latest) = (0, 0, 20_000);
        for process in &mut self.processes {
            process.paused = process.paused.min(self.at);
            process.dead = process.dead.map(|_| self.at);
        }
    }
}

fn weather() -> impl Strategy<Value = Weather> {
    let time = 1000..3 * LEASE;
    let event = prop_oneof![
        3 => any::<u8>().prop_map(Event::Cut),
        2 => Just(Event::Heal),
        3 => (0..5_usize, time.clone()).prop_map(|(number, time)| Event::Kill(number, time)),
        3 => (0..5_usize, time.clone()).prop_map(|(number, time)| Event::Pause(number, time)),
        1 => (0..5_usize, time).prop_map(|(number, time)| Event::Leave(number, time)),
    ];
    let events = prop::collection::vec((1..2 * LEASE, event), 0..14).prop_map(|events| {
        let mut at = 2 * LEASE;
        let spaced = events.into_iter().map(|(gap, event)| {
            at += gap;
            (at, event)
        });
        spaced.collect()
    });
    let latest = prop_oneof![Just(1000), 1000..100_000_u64, 1000..3 * LEASE];
    (any::<u64>(), 3..=5_usize, 0..40_u64, 0..30_u64, latest, events).prop_map(
        |(seed, members, lost, doubled, latest, events)| Weather { seed, members, lost, doubled, latest, events },
    )
}

/// More by `PROPTEST_CASES`.
fn cases(least: u32) -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig { cases: config.cases.max(least), ..config }
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn with_a_majority_there_are_never_two_leases_and_one_at_last(weather in weather()) {
        let mut world = World::new(&weather, Some(u32::try_from(weather.members).unwrap()));
        world.live_through(&weather);
        world.clear_up();
        world.run_until(world.at + 10 * LEASE);
        let leading = world.leading();
        prop_assert_eq!(leading.len(), 1, "nobody leads at last");
        world.run_until(world.at + 3 * LEASE);
        prop_assert_eq!(world.leading()[0].0, leading[0].0, "it does not last");
    }
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn without_a_majority_one_leads_at_last(weather in weather()) {
        let mut world = World::new(&weather, None);
        world.live_through(&weather);
        world.clear_up();
        world.run_until(world.at + 10 * LEASE);
        let leading = world.leading();
        prop_assert_eq!(leading.len(), 1);
        world.run_until(world.at + 3 * LEASE);
        prop_assert_eq!(world.leading()[0].0, leading[0].0, "it does not last");
    }
}

fn fair(members: usize, events: Vec<(u64, Event)>) -> Weather {
    Weather { seed: 7, members, lost: 0, doubled: 0, latest: 1000, events }
}

#[test]
fn on_a_whole_network_without_known_members_there_are_never_two_leases() {
    for seed in 0..200 {
        let events =
            vec![(5 * LEASE, Event::Kill(0, LEASE)), (9 * LEASE, Event::Kill(1, LEASE)), (15 * LEASE, Event::Heal)];
        let weather = Weather { seed, ..fair(3, events) };
        let mut world = World::new(&weather, None);
        for at in 0..1800 {
            world.run_until(at * LEASE / 100);
            if let Some((_, event)) = weather.events.iter().find(|(when, _)| *when == at * LEASE / 100) {
                world.happen(event);
            }
            assert!(world.leading().len() <= 1, "seed {seed} at {}", world.at);
        }
        assert_eq!(world.leading().len(), 1);
    }
}

#[test]
fn a_leader_that_goes_is_followed_at_once_and_one_that_dies_within_a_lease_and_an_interval() {
    let (mut slowest_after_leave, mut slowest_after_kill) = (0, 0);
    for seed in 0..200 {
        let mut world = World::new(&Weather { seed, ..fair(3, vec![]) }, Some(3));
        world.run_until(4 * LEASE);
        for (leaves, slowest) in [(true, &mut slowest_after_leave), (false, &mut slowest_after_kill)] {
            let (leader, _) = world.leading()[0];
            let event = if leaves { Event::Leave(leader, 2 * LEASE) } else { Event::Kill(leader, 2 * LEASE) };
            world.happen(&event);
            let began = world.at;
            while world.leading().is_empty() {
                world.run_until(world.at + 1000);
            }
            *slowest = (*slowest).max(world.at - began);
            world.run_until(world.at + 6 * LEASE);
        }
    }
    assert!(slowest_after_leave < 3 * INTERVAL, "{slowest_after_leave}");
    assert!(slowest_after_kill < LEASE + 3 * INTERVAL, "{slowest_after_kill}");
}

#[test]
fn a_leader_keeps_leading_while_others_are_killed_one_after_the_other() {
    let mut world = World::new(&fair(3, vec![]), Some(3));
    world.run_until(4 * LEASE);
    let (leader, lease) = world.leading()[0];
    for number in 1..=8 {
        world.happen(&Event::Kill(leader + 1 + number % 2, LEASE / 2));
        for _ in 0..300 {
            world.run_until(world.at + LEASE / 100);
            assert_eq!(world.leading().first().map(|(leading, _)| *leading), Some(leader), "at {}", world.at);
        }
    }
    // Those who started anew made it take a higher term.
    assert!(world.leading()[0].1.term > lease.term);
}

#[test]
fn a_minority_never_leads() {
    let mut world = World::new(&fair(3, vec![]), Some(3));
    world.run_until(4 * LEASE);
    let (leader, _) = world.leading()[0];
    world.happen(&Event::Cut(1 << leader));
    world.run_until(world.at + LEASE);
    for _ in 0..500 {
        world.run_until(world.at + LEASE / 100);
        assert!(world.processes[leader].lease(world.at).is_none());
    }
    assert_eq!(world.leading().len(), 1);
}

#[test]
fn more_members_than_there_may_be_elect_nobody() {
    let mut world = World::new(&fair(5, vec![]), Some(3));
    world.run_until(10 * LEASE);
    assert!(world.leading().is_empty());
    assert!(world.processes.iter().all(|process| process.machine.is_crowded(process.time(world.at))));
}

#[test]
fn a_term_from_far_in_the_future_is_not_believed() {
    let mut world = World::new(&fair(3, vec![]), Some(3));
    world.run_until(4 * LEASE);
    let what = super::datagram::What::Here;
    let message = Message { from: 1, sequence: 1, term: u64::MAX, joins: true, leads: false, what };
    let process = &mut world.processes[0];
    let now = process.now(world.at);
    assert!(!process.machine.receive(&message, now, &mut Vec::new()));
    assert!(process.machine.receive(&Message { term: 5, ..message }, now, &mut Vec::new()));
    assert!(!process.machine.receive(&Message { term: 5, ..message }, now, &mut Vec::new()), "the same once more");
}

#[test]
fn a_leader_that_is_cut_off_ends_before_another_begins_however_slow_its_clock_is() {
    for seed in 0..600 {
        let latest = [200, 150_000, 400_000][seed as usize % 3];
        let mut world = World::new(&Weather { seed, latest, ..fair(3, vec![]) }, Some(3));
        world.run_until(4 * LEASE);
        let Some(&(leader, _)) = world.leading().first() else { continue };
        for (number, process) in world.processes.iter_mut().enumerate() {
            // What the clock showed until now stays.
            let rate = if number == leader { 990_000 } else { 1_010_000 };
            let shown = u64::try_from(process.time(world.at).as_micros()).unwrap();
            (process.rate, process.origin) = (rate, (shown + LEASE * 10) - world.at * rate / 1_000_000);
        }
        // The clocks have made a leap, so all begin anew with them.
        for number in 0..3 {
            world.happen(&Event::Kill(number, 1));
        }
        world.run_until(8 * LEASE + seed * 1000);
        let Some(&(now_leads, _)) = world.leading().first() else { continue };
        if now_leads == leader {
            world.happen(&Event::Cut(1 << leader));
        }
        world.run_until(world.at + 3 * LEASE);
    }
}

#[test]
fn terms_grow_although_a_voter_forgot_and_the_next_leader_has_a_clock_that_is_late() {
    for seed in 0..50 {
        let mut world = World::new(&Weather { seed, ..fair(3, vec![]) }, Some(3));
        world.processes[2].skew = -20_000;
        world.happen(&Event::Cut(0b100));
        world.run_until(4 * LEASE);
        let (leader, before) = world.leading()[0];
        // Now nobody but the leader itself knows of its term.
        world.happen(&Event::Kill(1 - leader, 1000));
        world.happen(&Event::Cut(1 << leader));
        world.run_until(world.at + 5 * LEASE);
        let (next, after) = world.leading()[0];
        assert!(next != leader && after.term > before.term, "{before:?}, {after:?}");
    }
}
