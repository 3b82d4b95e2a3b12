//! The state machine of durable requests: what came and the time in, answers, orders to the store and requests for the broker
//! out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use playhouse_engine::{Error, Kind, Result};
use tracing::error;

use super::order::{self, Content, Order, Record, Report};
use super::queues::Queues;
use super::record;
use super::recovery::{Recovered, RecoveredState};
use super::request::status;
use super::settings::TitanicSettings;
use super::statistics::TitanicStatistics;
use super::sweep::Sweep;
use crate::protocol::{Frames, Requester, Service, Ticket};

/// How often to look whether workers have come for services that had none.
const LOOK: Duration = Duration::from_millis(250);
/// How long to wait before a reply is stored again that the disk did not take.
const REWRITE: Duration = Duration::from_secs(1);

/// The durable requests of one broker.
#[derive(Debug)]
pub struct Titanic {
    pub(super) settings: TitanicSettings,
    /// The moment from which entries count their seconds.
    start: Instant,
    pub(super) entries: BTreeMap<Ticket, Entry>,
    /// How many entries are in each state.
    tally: [usize; State::COUNT],
    pub(super) queues: Queues,
    /// What was given to the store to append, first to last.
    pub(super) unsynced: VecDeque<Unsynced>,
    pub(super) unsynced_size: usize,
    /// What was given to the store to load, first to last, and who asked for it: a client, or the broker.
    pub(super) loads: VecDeque<(Ticket, Option<(Requester, Service)>)>,
    /// How many of them are for clients.
    pub(super) reading: usize,
    running: usize,
    running_size: usize,
    /// When paused requests are to be tried again.
    paused: BTreeSet<(Instant, Ticket)>,
    /// Ends that the disk did not take, and when to try again. Each holds its place among the running.
    unwritten: VecDeque<(Instant, Record)>,
    pub(super) sweep: Sweep,
    next_look: Instant,
    pub(super) disk_size: u64,
    pub(super) statistics: TitanicStatistics,
}

/// What the machine wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TitanicOutput {
    /// To be sent to a client.
    Answer {
        /// Who asked.
        requester: Requester,
        /// Which service was asked.
        service: Service,
        /// The status, and what belongs to it.
        body: Frames,
    },
    /// To be given to the store, in this order.
    Store(Order),
    /// To be given to the broker, which says when it has ended: [`Titanic::ended`].
    Submit {
        /// By which number it is known.
        ticket: Ticket,
        /// Which service is to do it.
        service: Service,
        /// What the worker gets.
        body: Frames,
    },
}

/// What is known of one request. There may be a million, so it is small.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// When it was stored, or its reply, in seconds since the start.
    pub(super) changed: i32,
    /// The number of its service in the queues; means nothing once it is done.
    pub(super) service: u32,
    /// How many bytes its record has.
    pub(super) size: u32,
    pub(super) attempts: u8,
    pub(super) state: State,
    /// It will be gone when that is on the disk.
    pub(super) is_closing: bool,
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It waits for the disk, and nobody knows its ticket.
    Storing,
    /// It is in its service's queue.
    Pending,
    /// An attempt has failed, another one follows later.
    Paused,
    /// It is closing and is not in the queue: only if the close fails it goes there.
    Parked,
    /// Its body is read from the disk.
    Loading,
    /// It is with the broker.
    Running,
    /// It has ended; that waits for the disk.
    Ending,
    /// It has a reply, or has failed for good.
    Done,
    /// It was closed while it is with the broker.
    Dropped,
}

impl State {
    const COUNT: usize = Self::Dropped as usize + 1;

    /// Says whether the request has a place among those that are with the broker.
    fn is_running(self) -> bool {
        matches!(self, Self::Loading | Self::Running | Self::Ending | Self::Dropped)
    }
}

/// What waits for the disk.
#[derive(Debug)]
pub(super) struct Unsynced {
    pub(super) ticket: Ticket,
    pub(super) size: usize,
    pub(super) purpose: Purpose,
}

/// Why something is appended.
#[derive(Debug)]
pub(super) enum Purpose {
    /// A client handed a request in.
    Request(Requester, Service),
    /// A request has ended like this.
    End(Content),
    /// A client closes a request.
    Close(Requester, Service),
    /// Nobody closed it in time.
    Expire,
}

impl Titanic {
    /// Takes up what the log held.
    #[must_use]
    pub fn new(settings: TitanicSettings, recovered: Recovered, now: Instant) -> Self {
        let mut titanic = Self {
            sweep: Sweep::new(now),
            settings,
            start: now,
            entries: BTreeMap::new(),
            tally: [0; State::COUNT],
            queues: Queues::default(),
            unsynced: VecDeque::new(),
            unsynced_size: 0,
            loads: VecDeque::new(),
            reading: 0,
            running: 0,
            running_size: 0,
            paused: BTreeSet::new(),
            unwritten: VecDeque::new(),
            next_look: now,
            disk_size: recovered.disk_size,
            statistics: TitanicStatistics::default(),
        };
        for request in recovered.requests {
            let age = Duration::from_micros(recovered.now.saturating_sub(request.time));
            let changed = -i32::try_from(age.as_secs()).unwrap_or(i32::MAX);
            let (ticket, size) = (request.ticket, request.size);
            let mut entry = Entry { changed, service: 0, size, attempts: 0, state: State::Done, is_closing: false };
            if let RecoveredState::Waiting(number) = request.state {
                entry.state = State::Pending;
                entry.service = titanic.queues.hold(&recovered.services[number as usize]);
                titanic.queues.push_back(entry.service, ticket);
            }
            titanic.insert(ticket, entry);
        }
        titanic
    }

    /// Takes what the store has done.
    pub fn stored(&mut self, report: Report, now: Instant, outputs: &mut Vec<TitanicOutput>) {
        match report {
            Report::Committed { records, disk_size } => {
                self.disk_size = disk_size;
                for _ in 0..records {
                    if let Some(unsynced) = self.next_unsynced() {
                        self.committed(unsynced, now, outputs);
                    }
                }
            }
            Report::Refused { records, .. } => {
                for _ in 0..records {
                    if let Some(unsynced) = self.next_unsynced() {
                        self.refused(unsynced, now, outputs);
                    }
                }
            }
            Report::Shrunk { disk_size } => self.disk_size = disk_size,
            Report::Loaded(loaded) => {
                for (ticket, content) in loaded {
                    self.loaded(ticket, content, outputs);
                }
            }
        }
    }

    /// Takes the end of a request that was submitted: the frames of the reply, or why there is none.
    pub fn ended(
        &mut self,
        ticket: Ticket,
        outcome: Result<Frames, Error>,
        now: Instant,
        outputs: &mut Vec<TitanicOutput>,
    ) {
        let Some(entry) = self.entries.get(&ticket).copied() else {
            self.statistics.late += 1;
            return;
        };
        match entry.state {
            State::Running if !entry.is_closing => match outcome {
                Ok(body) if order::size(&body) <= self.settings.message_size => {
                    self.end(ticket, Content::Reply(body), outputs);
                }
                Ok(body) => {
                    let (most, found) = (self.settings.message_size, order::size(&body));
                    self.fail(ticket, &format!("expected a reply of at most {most} bytes, found {found}"), outputs);
                }
                Err(error) => self.try_again(ticket, &error, now, outputs),
            },
            State::Running => {
                self.statistics.late += 1;
                self.shift(ticket, State::Parked);
            }
            State::Dropped => {
                self.statistics.late += 1;
                self.remove(ticket);
            }
            _ => self.statistics.late += 1,
        }
    }

    /// Submits what is due, for services that have workers: `workers` says how many. To be called after each input, and at
    /// [`Titanic::next_tick`].
    pub fn dispatch(&mut self, workers: impl Fn(&Service) -> usize, now: Instant, outputs: &mut Vec<TitanicOutput>) {
        self.rewrite(now, outputs);
        while let Some(&(due, ticket)) = self.paused.first().filter(|(due, _)| *due <= now) {
            self.paused.remove(&(due, ticket));
            if let Some(entry) = self.entries.get(&ticket).filter(|entry| entry.state == State::Paused) {
                let service = entry.service;
                self.shift(ticket, State::Pending);
                self.queues.push_front(service, ticket);
            }
        }
        self.sweep(now, outputs);
        if self.next_look <= now {
            self.next_look = now + LOOK;
            self.queues.touch_all();
        }
        while self.has_room() {
            let Some(number) = self.queues.next_ready() else { break };
            let queue = self.queues.get(number);
            if queue.running < workers(&queue.service).saturating_mul(self.settings.ahead) {
                self.load_next(number, outputs);
                self.queues.touch(number);
            }
        }
    }

    /// Says that workers have come for a service: its requests are submitted with the next [`Titanic::dispatch`], not only when
    /// it looks again by itself.
    pub fn workers_came(&mut self, service: &Service) {
        self.queues.touch_service(service);
    }

    /// Returns when [`Titanic::dispatch`] is to be called though nothing came.
    #[must_use]
    pub fn next_tick(&self) -> Option<Instant> {
        let look = (self.count(State::Pending) > 0).then_some(self.next_look);
        let paused = self.paused.first().map(|(due, _)| *due);
        let unwritten = self.unwritten.front().map(|(due, _)| *due);
        let sweep = self.sweep.due().filter(|_| !self.entries.is_empty());
        [look, paused, unwritten, sweep].into_iter().flatten().min()
    }

    /// Says whether the store still owes a report, so that a broker that stops knows when all that were promised an answer
    /// have it.
    #[must_use]
    pub fn waits_for_store(&self) -> bool {
        !self.unsynced.is_empty() || !self.loads.is_empty()
    }

    /// Returns what has been done since the start, and what there is.
    #[must_use]
    pub fn statistics(&self) -> TitanicStatistics {
        TitanicStatistics {
            requests: self.entries.len() - self.count(State::Dropped) - self.count(State::Storing),
            pending: self.count(State::Pending) + self.count(State::Paused) + self.count(State::Parked),
            running: self.running,
            unsynced: self.unsynced.len(),
            disk_size: self.disk_size,
            ..self.statistics
        }
    }

    fn has_room(&self) -> bool {
        self.running < self.settings.submitted
            && (self.running == 0 || self.running_size < self.settings.submitted_size)
            && self.disk_size < self.settings.disk_size
    }

    /// Has the body of the next request of a service read, if one is pending.
    fn load_next(&mut self, number: u32, outputs: &mut Vec<TitanicOutput>) {
        while let Some(ticket) = self.queues.pop(number) {
            let Some(entry) = self.entries.get(&ticket).filter(|entry| entry.state == State::Pending) else { continue };
            if entry.is_closing {
                self.shift(ticket, State::Parked);
                continue;
            }
            self.shift(ticket, State::Loading);
            self.loads.push_back((ticket, None));
            outputs.push(TitanicOutput::Store(Order::Load(ticket)));
            return;
        }
    }

    fn loaded(&mut self, ticket: Ticket, content: Result<Content>, outputs: &mut Vec<TitanicOutput>) {
        let Some((expected, asked_by)) = self.loads.pop_front() else { return };
        debug_assert_eq!(expected, ticket, "the store loads in the order in which it was asked");
        if let Some((requester, service)) = asked_by {
            self.reading -= 1;
            let is_known = self.entries.contains_key(&ticket);
            let body = match content {
                Ok(Content::Reply(body)) => std::iter::once(status(200)).chain(body).collect(),
                Ok(Content::Failed(reason)) => vec![status(500), reason],
                // Closed while it was read.
                _ if !is_known => vec![status(400)],
                Ok(_) => vec![status(500), Bytes::from_static(b"the reply cannot be read")],
                Err(error) => {
                    error!(%ticket, %error, "a reply cannot be read");
                    vec![status(500), Bytes::from_static(b"the reply cannot be read")]
                }
            };
            outputs.push(TitanicOutput::Answer { requester, service, body });
            return;
        }
        let Some(entry) = self.entries.get(&ticket).filter(|entry| entry.state == State::Loading) else { return };
        if entry.is_closing {
            self.shift(ticket, State::Parked);
            return;
        }
        match content {
            Ok(Content::Request { service, body }) => {
                self.shift(ticket, State::Running);
                self.statistics.submitted += 1;
                outputs.push(TitanicOutput::Submit { ticket, service, body });
            }
            content => {
                error!(%ticket, error = ?content.err(), "a stored request cannot be read");
                self.fail(ticket, "the stored request cannot be read", outputs);
            }
        }
    }

    fn committed(&mut self, unsynced: Unsynced, now: Instant, outputs: &mut Vec<TitanicOutput>) {
        let ticket = unsynced.ticket;
        match unsynced.purpose {
            Purpose::Request(requester, service) => {
                self.statistics.stored += 1;
                let body = vec![status(200), Bytes::from(ticket.to_string())];
                outputs.push(TitanicOutput::Answer { requester, service, body });
                self.shift(ticket, State::Pending);
                if let Some(entry) = self.entries.get(&ticket) {
                    self.queues.push_back(entry.service, ticket);
                }
            }
            Purpose::End(content) => {
                match content {
                    Content::Failed(_) => self.statistics.failed += 1,
                    _ => self.statistics.replied += 1,
                }
                self.shift(ticket, State::Done);
                let changed = self.seconds(now);
                if let Some(entry) = self.entries.get_mut(&ticket) {
                    (entry.changed, entry.size) = (changed, unsynced.size as u32);
                    self.queues.let_go(entry.service);
                }
            }
            Purpose::Close(requester, service) => {
                self.statistics.closed += u64::from(self.forget(ticket));
                outputs.push(TitanicOutput::Answer { requester, service, body: vec![status(200)] });
            }
            Purpose::Expire => self.statistics.expired += u64::from(self.forget(ticket)),
        }
    }

    fn refused(&mut self, unsynced: Unsynced, now: Instant, outputs: &mut Vec<TitanicOutput>) {
        let ticket = unsynced.ticket;
        let asked_by = match unsynced.purpose {
            Purpose::Request(requester, service) => {
                self.remove(ticket);
                Some((requester, service))
            }
            Purpose::End(content) => {
                self.unwritten.push_back((now + REWRITE, Record { ticket, content }));
                None
            }
            Purpose::Close(requester, service) => {
                self.stays(ticket);
                Some((requester, service))
            }
            Purpose::Expire => {
                self.stays(ticket);
                None
            }
        };
        if let Some((requester, service)) = asked_by {
            self.refuse(requester, service, "the disk does not take it", outputs);
        }
    }

    /// Notes that a close has failed.
    fn stays(&mut self, ticket: Ticket) {
        let Some(entry) = self.entries.get_mut(&ticket) else { return };
        entry.is_closing = false;
        if entry.state == State::Parked {
            let service = entry.service;
            self.shift(ticket, State::Pending);
            self.queues.push_front(service, ticket);
        }
    }

    /// Notes that a close is on the disk. Returns whether there was something to close.
    fn forget(&mut self, ticket: Ticket) -> bool {
        match self.entries.get(&ticket).map(|entry| entry.state) {
            None | Some(State::Dropped) => false,
            // Its place is taken until the broker has done with it.
            Some(State::Running) => {
                self.shift(ticket, State::Dropped);
                true
            }
            Some(_) => {
                self.remove(ticket);
                true
            }
        }
    }

    fn try_again(&mut self, ticket: Ticket, error: &Error, now: Instant, outputs: &mut Vec<TitanicOutput>) {
        self.statistics.errors += 1;
        let Some(entry) = self.entries.get_mut(&ticket) else { return };
        let is_blameless = matches!(error.kind(), Kind::Timeout | Kind::Overloaded | Kind::Cancelled);
        if !is_blameless {
            entry.attempts = entry.attempts.saturating_add(1);
        }
        if !is_blameless && (!error.kind().is_transient() || entry.attempts >= self.settings.attempts) {
            self.fail(ticket, &error.to_string(), outputs);
            return;
        }
        let due = now + self.settings.pause_after(entry.attempts);
        self.shift(ticket, State::Paused);
        self.paused.insert((due, ticket));
    }

    fn fail(&mut self, ticket: Ticket, reason: &str, outputs: &mut Vec<TitanicOutput>) {
        self.end(ticket, Content::Failed(Bytes::copy_from_slice(reason.as_bytes())), outputs);
    }

    fn end(&mut self, ticket: Ticket, content: Content, outputs: &mut Vec<TitanicOutput>) {
        self.shift(ticket, State::Ending);
        self.append(ticket, content.clone(), Purpose::End(content), outputs);
    }

    /// Stores again what the disk did not take.
    fn rewrite(&mut self, now: Instant, outputs: &mut Vec<TitanicOutput>) {
        for _ in 0..self.unwritten.len() {
            let Some((due, record)) = self.unwritten.pop_front() else { return };
            if due > now {
                self.unwritten.push_front((due, record));
                return;
            }
            match self.entries.get(&record.ticket) {
                // What comes after a close would undo it.
                Some(entry) if entry.is_closing => self.unwritten.push_back((now + REWRITE, record)),
                Some(_) => self.end(record.ticket, record.content, outputs),
                None => {}
            }
        }
    }

    pub(super) fn append(
        &mut self,
        ticket: Ticket,
        content: Content,
        purpose: Purpose,
        outputs: &mut Vec<TitanicOutput>,
    ) {
        let size = record::size(&content);
        self.unsynced_size += size;
        self.unsynced.push_back(Unsynced { ticket, size, purpose });
        outputs.push(TitanicOutput::Store(Order::Append(Record { ticket, content })));
    }

    fn next_unsynced(&mut self) -> Option<Unsynced> {
        let unsynced = self.unsynced.pop_front()?;
        self.unsynced_size -= unsynced.size;
        Some(unsynced)
    }

    pub(super) fn seconds(&self, now: Instant) -> i32 {
        i32::try_from(now.saturating_duration_since(self.start).as_secs()).unwrap_or(i32::MAX)
    }

    fn count(&self, state: State) -> usize {
        self.tally[state as usize]
    }

    pub(super) fn insert(&mut self, ticket: Ticket, entry: Entry) {
        self.tally[entry.state as usize] += 1;
        self.entries.insert(ticket, entry);
    }

    /// Moves a request on to another state, and keeps all accounts. Whoever makes it pending puts it into its queue.
    fn shift(&mut self, ticket: Ticket, state: State) {
        let Some(entry) = self.entries.get_mut(&ticket) else { return };
        let (before, entry) = (std::mem::replace(&mut entry.state, state), *entry);
        self.tally[state as usize] += 1;
        self.leave(before, entry, Some(state));
    }

    fn remove(&mut self, ticket: Ticket) {
        let Some(entry) = self.entries.remove(&ticket) else { return };
        self.leave(entry.state, entry, None);
        if entry.state != State::Done {
            self.queues.let_go(entry.service);
        }
    }

    fn leave(&mut self, before: State, entry: Entry, after: Option<State>) {
        self.tally[before as usize] -= 1;
        if before == State::Pending && after != Some(State::Pending) {
            let entries = &self.entries;
            let is_pending = |ticket: &Ticket| entries.get(ticket).is_some_and(|entry| entry.state == State::Pending);
            self.queues.no_longer_pending(entry.service, is_pending);
        }
        let runs = after.is_some_and(State::is_running);
        let size = entry.size as usize;
        if runs && !before.is_running() {
            self.running += 1;
            self.running_size += size;
            self.queues.get(entry.service).running += 1;
        } else if before.is_running() && !runs {
            self.running -= 1;
            self.running_size -= size;
            self.queues.get(entry.service).running -= 1;
            self.queues.touch(entry.service);
        }
    }
}
