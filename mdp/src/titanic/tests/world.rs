//! A machine with a log on a disk in memory, and a clock that is made up. Plays the runtime, the store's thread and the
//! broker.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use playhouse_engine::Error;

use super::super::log::Log;
use super::super::order::{Order, Report};
use super::super::{Titanic, TitanicOutput, TitanicSettings};
use super::disk::Disk;
use crate::protocol::{Address, Frames, Requester, Service, Ticket, Version};

pub(super) struct World {
    pub(super) titanic: Titanic,
    log: Log<Disk>,
    pub(super) disk: Disk,
    pub(super) settings: TitanicSettings,
    pub(super) now: Instant,
    /// Time since 1970, in microseconds.
    clock: u64,
    pub(super) orders: VecDeque<Order>,
    pub(super) answers: Vec<(Requester, Service, Frames)>,
    /// What is with the broker.
    pub(super) submitted: VecDeque<(Ticket, Service, Frames)>,
    /// How many workers each service has.
    pub(super) workers: usize,
}

pub(super) fn settings() -> TitanicSettings {
    TitanicSettings { disk_size: 1 << 20, segment_size: 2048, message_size: 4096, ..TitanicSettings::default() }
}

pub(super) fn service(name: &str) -> Service {
    Service::new(name.to_owned()).unwrap()
}

pub(super) fn frames(texts: &[&str]) -> Frames {
    texts.iter().map(|text| Bytes::copy_from_slice(text.as_bytes())).collect()
}

impl World {
    pub(super) fn new(settings: TitanicSettings) -> Self {
        Self::on(Disk::default(), settings, Instant::now(), 1_000_000_000)
    }

    fn on(disk: Disk, settings: TitanicSettings, now: Instant, clock: u64) -> Self {
        settings.check().unwrap();
        let (log, recovered) = Log::open(disk.clone(), settings.sizes(), clock).unwrap();
        let titanic = Titanic::new(settings.clone(), recovered, now);
        let (orders, submitted) = (VecDeque::new(), VecDeque::new());
        Self { titanic, log, disk, settings, now, clock, orders, answers: Vec::new(), submitted, workers: 1 }
    }

    /// Starts again from what is on the disk.
    pub(super) fn restart(self, disk: Disk) -> Self {
        let workers = self.workers;
        Self { workers, ..Self::on(disk, self.settings, self.now, self.clock) }
    }

    pub(super) fn after_kill(self) -> Self {
        let disk = self.disk.after_kill();
        self.restart(disk)
    }

    pub(super) fn advance(&mut self, time: Duration) {
        self.now += time;
        self.clock += time.as_micros() as u64;
    }

    /// Asks without letting the store do anything.
    pub(super) fn ask(&mut self, name: &str, body: Frames) {
        self.ask_as("client", name, body);
    }

    pub(super) fn ask_as(&mut self, address: &str, name: &str, body: Frames) {
        let requester = Requester { address: Address::new(address.to_owned()), version: Version::V1 };
        let mut outputs = Vec::new();
        self.titanic.request(requester, &service(name), body, self.now, &mut outputs);
        self.take(outputs);
    }

    pub(super) fn end(&mut self, ticket: Ticket, outcome: Result<Frames, Error>) {
        let mut outputs = Vec::new();
        self.titanic.ended(ticket, outcome, self.now, &mut outputs);
        self.take(outputs);
    }

    pub(super) fn dispatch(&mut self) {
        let mut outputs = Vec::new();
        let workers = self.workers;
        self.titanic.dispatch(|_| workers, self.now, &mut outputs);
        self.take(outputs);
    }

    /// Lets the store carry out the next `count` orders in one batch.
    pub(super) fn store(&mut self, count: usize) {
        let (mut records, mut loaded) = (Vec::new(), Vec::new());
        for order in self.orders.drain(..count.min(self.orders.len())) {
            match order {
                Order::Append(record) => records.push(record),
                Order::Load(ticket) => loaded.push((ticket, self.log.load(ticket))),
            }
        }
        let mut reports = Vec::new();
        if !loaded.is_empty() {
            reports.push(Report::Loaded(loaded));
        }
        if !records.is_empty() {
            reports.push(match self.log.append(&records, self.clock) {
                Ok(()) => Report::Committed { records: records.len(), disk_size: self.log.disk_size() },
                Err(error) => Report::Refused { records: records.len(), error },
            });
        }
        if self.log.wants_step() && self.log.step().is_ok() {
            reports.push(Report::Shrunk { disk_size: self.log.disk_size() });
        }
        for report in reports {
            let mut outputs = Vec::new();
            self.titanic.stored(report, self.now, &mut outputs);
            self.take(outputs);
        }
    }

    /// Lets the store carry out everything, and dispatches until nothing moves.
    pub(super) fn settle(&mut self) {
        loop {
            self.dispatch();
            if self.orders.is_empty() {
                return;
            }
            self.store(usize::MAX);
        }
    }

    /// Asks and returns the answer.
    #[track_caller]
    pub(super) fn call(&mut self, name: &str, body: &[&str]) -> Vec<String> {
        let before = self.answers.len();
        self.ask(name, frames(body));
        self.settle();
        assert_eq!(self.answers.len(), before + 1, "expected one answer to `{name}`");
        self.texts(before)
    }

    pub(super) fn texts(&self, answer: usize) -> Vec<String> {
        self.answers[answer].2.iter().map(|frame| String::from_utf8_lossy(frame).into_owned()).collect()
    }

    /// Hands a request in and returns its ticket.
    #[track_caller]
    pub(super) fn request(&mut self, body: &[&str]) -> String {
        let answer = self.call("titanic.request", body);
        assert_eq!(answer[0], "200");
        assert_eq!(answer.len(), 2);
        answer[1].clone()
    }

    /// Ends the request that was submitted first.
    #[track_caller]
    pub(super) fn work(&mut self, outcome: Result<Frames, Error>) -> Ticket {
        let (ticket, ..) = self.submitted.pop_front().expect("something was submitted");
        self.end(ticket, outcome);
        self.settle();
        ticket
    }

    fn take(&mut self, outputs: Vec<TitanicOutput>) {
        for output in outputs {
            match output {
                TitanicOutput::Answer { requester, service, body } => self.answers.push((requester, service, body)),
                TitanicOutput::Store(order) => self.orders.push_back(order),
                TitanicOutput::Submit { ticket, service, body } => self.submitted.push_back((ticket, service, body)),
            }
        }
        assert!(self.orders.len() <= self.settings.orders(), "the store's queue has room for all orders");
    }
}
