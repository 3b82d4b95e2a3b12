//! Any sequence of inputs, failures of the disk and crashes: what was acknowledged is never lost.

use std::collections::BTreeMap;
use std::time::Duration;

use playhouse_engine::Error;
use proptest::prelude::*;

use super::super::TitanicSettings;
use super::disk::Disk;
use super::world::{World, frames, settings};
use crate::protocol::Ticket;

#[derive(Clone, Debug)]
enum Input {
    Request { service: u8, size: u16 },
    Store { orders: usize },
    Dispatch { workers: usize },
    Reply { which: usize },
    Fail { which: usize, is_transient: bool },
    Close { which: usize },
    Advance { milliseconds: u64 },
    FailSyncs { count: u32 },
    FillDisk { is_full: bool },
    Kill,
    LosePower { seed: u64 },
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        6 => (0..3u8, 0..600u16).prop_map(|(service, size)| Input::Request { service, size }),
        6 => (1..8usize).prop_map(|orders| Input::Store { orders }),
        4 => (0..3usize).prop_map(|workers| Input::Dispatch { workers }),
        4 => any::<usize>().prop_map(|which| Input::Reply { which }),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(which, is_transient)| Input::Fail { which, is_transient }),
        3 => any::<usize>().prop_map(|which| Input::Close { which }),
        2 => (0..5000u64).prop_map(|milliseconds| Input::Advance { milliseconds }),
        1 => (1..3u32).prop_map(|count| Input::FailSyncs { count }),
        1 => any::<bool>().prop_map(|is_full| Input::FillDisk { is_full }),
        1 => Just(Input::Kill),
        1 => any::<u64>().prop_map(|seed| Input::LosePower { seed }),
    ]
}

/// What the client side knows of an acknowledged request.
#[derive(Debug, Default)]
struct Known {
    runs: u32,
    /// A close was asked for; it may have been refused or lost.
    may_be_closed: bool,
    /// A close was acknowledged.
    is_closed: bool,
    /// The broker was told of an error that is final.
    may_have_failed: bool,
}

struct Player {
    world: World,
    known: BTreeMap<Ticket, Known>,
    /// How often each ticket was run, also such whose acknowledgement was lost.
    runs: BTreeMap<Ticket, u32>,
    submitted: Vec<Ticket>,
}

impl Player {
    fn play(&mut self, input: Input) {
        match input {
            Input::Request { service, size } => {
                let body = "x".repeat(size.into());
                self.world.ask("titanic.request", frames(&[&format!("service {service}"), &body]));
            }
            Input::Store { orders } => self.world.store(orders),
            Input::Dispatch { workers } => {
                self.world.workers = workers;
                self.world.dispatch();
            }
            Input::Reply { which } => {
                if let Some(ticket) = self.pick(which) {
                    self.world.end(ticket, Ok(frames(&["reply", &ticket.to_string()])));
                }
            }
            Input::Fail { which, is_transient } => {
                if let Some(ticket) = self.pick(which) {
                    let error = if is_transient { Error::timeout("late") } else { Error::malformed("wrong") };
                    if let Some(known) = self.known.get_mut(&ticket).filter(|_| !is_transient) {
                        known.may_have_failed = true;
                    }
                    self.world.end(ticket, Err(error));
                }
            }
            Input::Close { which } => {
                let tickets: Vec<_> = self.known.keys().copied().collect();
                if let Some(ticket) = tickets.get(which % tickets.len().max(1)) {
                    self.known.get_mut(ticket).unwrap().may_be_closed = true;
                    let text = ticket.to_string();
                    self.world.ask_as(&text, "titanic.close", frames(&[&text]));
                }
            }
            Input::Advance { milliseconds } => self.world.advance(Duration::from_millis(milliseconds)),
            Input::FailSyncs { count } => self.world.disk.fail_syncs(count),
            Input::FillDisk { is_full } => self.world.disk.limit(is_full.then(|| self.world.disk.used() + 100)),
            Input::Kill => self.restart(Disk::after_kill),
            Input::LosePower { seed } => {
                self.restart(|disk| disk.after_power_failure(&mut fastrand::Rng::with_seed(seed)));
            }
        }
        self.listen();
    }

    fn pick(&mut self, which: usize) -> Option<Ticket> {
        let count = self.submitted.len();
        (count > 0).then(|| self.submitted.swap_remove(which % count))
    }

    fn restart(&mut self, crash: impl FnOnce(&Disk) -> Disk) {
        let disk = crash(&self.world.disk);
        disk.limit(None);
        let placeholder = World::new(settings());
        let world = std::mem::replace(&mut self.world, placeholder);
        self.world = world.restart(disk);
        self.submitted.clear();
    }

    /// Notes what clients were told and what was submitted.
    fn listen(&mut self) {
        for (ticket, ..) in self.world.submitted.drain(..) {
            *self.runs.entry(ticket).or_default() += 1;
            if let Some(known) = self.known.get_mut(&ticket) {
                assert!(!known.is_closed, "`{ticket}` was run though it is closed");
                known.runs += 1;
            }
            self.submitted.push(ticket);
        }
        for (requester, service, body) in std::mem::take(&mut self.world.answers) {
            match (service.as_str(), &body[0][..]) {
                ("titanic.request", b"200") => {
                    let ticket = Ticket::parse(&body[1]).unwrap();
                    let runs = self.runs.get(&ticket).copied().unwrap_or_default();
                    self.known.insert(ticket, Known { runs, ..Known::default() });
                }
                ("titanic.close", b"200") => {
                    // Whoever closes is called like the ticket.
                    let ticket = Ticket::parse(requester.address.as_bytes()).unwrap();
                    self.known.get_mut(&ticket).unwrap().is_closed = true;
                }
                _ => {}
            }
        }
    }

    /// Lets everything come to its end, and asks for every reply.
    fn finish(mut self) {
        self.restart(Disk::after_kill);
        self.world.workers = 1;
        loop {
            self.world.settle();
            self.listen();
            let Some(ticket) = self.submitted.pop() else {
                match self.world.titanic.statistics().pending {
                    0 => break,
                    _ => self.world.advance(Duration::from_secs(60)),
                }
                continue;
            };
            self.world.end(ticket, Ok(frames(&["reply", &ticket.to_string()])));
        }
        let texts: Vec<_> = self.known.keys().map(ToString::to_string).collect();
        for ((_, known), text) in self.known.iter().zip(&texts) {
            let answer = self.world.call("titanic.reply", &[text]);
            match answer[0].as_str() {
                "200" => assert_eq!(answer[1..], ["reply", text]),
                "400" => assert!(known.may_be_closed, "`{text}` was lost"),
                "500" => assert!(known.may_have_failed, "{answer:?}"),
                other => panic!("`{text}` is still {other}"),
            }
            if known.is_closed {
                assert_eq!(answer, ["400"], "`{text}` came back");
            }
            assert!(known.runs > 0 || known.may_be_closed, "`{text}` was never run");
        }
        let statistics = self.world.titanic.statistics();
        assert_eq!((statistics.pending, statistics.running, statistics.unsynced), (0, 0, 0));
        assert!(!self.world.titanic.waits_for_store());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_acknowledged_request_is_never_lost_and_a_closed_one_never_comes_back(
        inputs in prop::collection::vec(input(), 1..200)
    ) {
        let settings = TitanicSettings { ahead: 2, submitted: 8, unsynced: 16, ..settings() };
        let player = Player {
            world: World::new(settings),
            known: BTreeMap::new(),
            runs: BTreeMap::new(),
            submitted: Vec::new(),
        };
        inputs.into_iter().fold(player, |mut player, input| {
            player.play(input);
            player
        }).finish();
    }
}
