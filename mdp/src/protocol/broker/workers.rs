//! The registered workers, and what each of them does.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::super::message::encode;
use super::super::{Address, Frames, Service, Version};
use super::Output;
use super::request::Request;

/// The registered workers, by the identity of their sockets. Peers choose those themselves, so the table must not be one
/// that they could crowd.
pub(crate) type Workers = HashMap<Address, Worker>;

/// A registered worker.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) address: Address,
    pub(crate) version: Version,
    pub(crate) service: Service,
    /// When it last said something.
    pub(crate) heard: Instant,
    /// When it was last told something.
    pub(crate) told: Instant,
    /// Whether it speaks while it works.
    pub(crate) beats_while_busy: bool,
    pub(crate) work: Work,
}

/// What a worker does.
#[derive(Debug)]
pub(crate) enum Work {
    /// It waits; `turn` tells its entry in the line of the idle from older ones.
    Idle { turn: u64 },
    /// It works for somebody.
    Busy(Assignment),
    /// It works on a request that has failed already: what it answers is dropped.
    Discarding { client: Address, since: Instant },
}

/// A request in the hands of a worker.
#[derive(Debug)]
pub(crate) struct Assignment {
    /// What the worker has to name in its answer.
    pub(crate) client: Address,
    pub(crate) request: Box<Request>,
    pub(crate) began: Instant,
    /// When the worker got it, or sent the last part of its answer.
    pub(crate) progress: Instant,
    /// How many parts of the answer the client has got.
    pub(crate) parts: u64,
    /// The parts that are kept until the answer is complete.
    pub(crate) collected: Frames,
}

impl Worker {
    pub(crate) fn new(address: Address, version: Version, service: Service, turn: u64, now: Instant) -> Self {
        let beats_while_busy = address.is_ours();
        let work = Work::Idle { turn };
        Self { address, version, service, heard: now, told: now, beats_while_busy, work }
    }

    /// Gives it a request, and returns the message that does so.
    pub(crate) fn assign(&mut self, mut request: Box<Request>, now: Instant) -> Output {
        let client = request.source.address();
        let frames = encode::assignment(self.version, &client, &request.body);
        request.attempts += 1;
        self.told = now;
        let collected = Frames::new();
        let assignment = Assignment { client, request, began: now, progress: now, parts: 0, collected };
        self.work = Work::Busy(assignment);
        Output::Send { to: self.address.clone(), frames }
    }

    /// Takes an attempt back that was made at `now`, for the message that made it was not taken by the socket.
    pub(crate) fn take_back_what_was_given_at(&mut self, now: Instant) {
        if let Work::Busy(assignment) = &mut self.work
            && assignment.began == now
        {
            assignment.request.attempts -= 1;
        }
    }

    /// Notes a heartbeat. One that comes long after a request was given to it was sent while it worked; one that comes soon
    /// after may have crossed the request.
    pub(crate) fn note_heartbeat(&mut self, now: Instant, heartbeat: Duration) {
        if let Work::Busy(assignment) = &self.work
            && now.saturating_duration_since(assignment.began) >= heartbeat
        {
            self.beats_while_busy = true;
        }
    }

    /// Says whether it has been silent for longer than a live worker is.
    pub(crate) fn is_silent(&self, now: Instant, lifetime: Duration) -> bool {
        let must_speak = self.beats_while_busy || matches!(self.work, Work::Idle { .. });
        must_speak && now.saturating_duration_since(self.heard) >= lifetime
    }

    /// Returns since when it works without anything to show for it.
    pub(crate) fn busy_since(&self) -> Option<Instant> {
        match &self.work {
            Work::Idle { .. } => None,
            Work::Busy(assignment) => Some(assignment.progress),
            Work::Discarding { since, .. } => Some(*since),
        }
    }

    /// Forgives it a time in which the broker itself did not look, so that what it said then may lie in the socket still.
    pub(crate) fn forgive(&mut self, missed: Duration, now: Instant) {
        let later = |time: &mut Instant| *time = time.checked_add(missed).map_or(now, |time| time.min(now));
        later(&mut self.heard);
        match &mut self.work {
            Work::Idle { .. } => {}
            Work::Busy(assignment) => later(&mut assignment.progress),
            Work::Discarding { since, .. } => later(since),
        }
    }

    fn waits(&self, turn: u64) -> bool {
        matches!(self.work, Work::Idle { turn: own } if own == turn)
    }

    /// Returns a heartbeat for it, if it was told nothing for so long that it is due.
    pub(crate) fn heartbeat(&mut self, now: Instant, heartbeat: Duration) -> Option<Output> {
        if now.saturating_duration_since(self.told) < heartbeat {
            return None;
        }
        // However long it was: one is enough.
        self.told = now;
        Some(Output::Send { to: self.address.clone(), frames: encode::heartbeat(self.version) })
    }
}

/// The idle workers of one service, the one that waits longest first. Entries of workers that are gone or busy stay until
/// they come to the front or are too many: so taking one and putting one in never depends on their number.
#[derive(Debug, Default)]
pub(crate) struct IdleLine {
    entries: VecDeque<(Address, u64)>,
    count: usize,
}

impl IdleLine {
    /// How many workers are idle.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Puts a worker at the end, which must be idle with that turn.
    pub(crate) fn put(&mut self, address: Address, turn: u64, workers: &Workers) {
        self.count += 1;
        self.entries.push_back((address, turn));
        if self.entries.len() > 2 * self.count + 16 {
            self.entries.retain(|(address, turn)| workers.get(address).is_some_and(|worker| worker.waits(*turn)));
        }
    }

    /// Gives a request to the worker that waits longest, and returns the message that does so; or the request, where none
    /// waits.
    pub(crate) fn assign(
        &mut self,
        request: Box<Request>,
        workers: &mut Workers,
        now: Instant,
    ) -> Result<Output, Box<Request>> {
        while let Some((address, turn)) = self.entries.pop_front() {
            if let Some(worker) = workers.get_mut(&address).filter(|worker| worker.waits(turn)) {
                self.count -= 1;
                return Ok(worker.assign(request, now));
            }
        }
        Err(request)
    }

    /// Notes that an idle worker is gone.
    pub(crate) fn note_gone(&mut self) {
        self.count -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(line: &mut IdleLine, workers: &mut Workers, name: &'static str, turn: u64) {
        let address = Address::new(name);
        let service = Service::new("echo").unwrap();
        workers.insert(address.clone(), Worker::new(address.clone(), Version::V2, service, turn, Instant::now()));
        line.put(address, turn, workers);
    }

    #[test]
    fn workers_that_come_and_go_leave_no_long_line_behind() {
        let (mut line, mut workers) = (IdleLine::default(), Workers::new());
        add(&mut line, &mut workers, "first", 0);
        for turn in 1..1000 {
            add(&mut line, &mut workers, "restless", turn);
            assert!(line.entries.len() <= 2 * line.count + 16, "{} for {}", line.entries.len(), line.count);
            workers.remove(&Address::new("restless"));
            line.note_gone();
        }
        assert_eq!((line.len(), &line.entries[0].0), (1, &Address::new("first")));
    }
}
