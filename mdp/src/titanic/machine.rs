//! The state machine of durable requests: what came and the time in, answers, orders to the store and requests for the
//! broker out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use playhouse_engine::{Error, Kind, Result};

use super::entry::{Entry, Load, Purpose, State, Unsynced};
use super::order::{self, Content, Order, Record};
use super::queues::Queues;
use super::record;
use super::recovery::{Recovered, RecoveredState};
use super::report::REWRITE;
use super::settings::TitanicSettings;
use super::statistics::TitanicStatistics;
use super::sweep::Sweep;
use crate::protocol::{Frames, Requester, Service, Ticket};

/// How often to look whether workers have come for services that had none.
const LOOK: Duration = Duration::from_millis(250);

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
    /// What was given to the store to load, first to last.
    pub(super) loads: VecDeque<Load>,
    /// How many of them are for clients, and how many bytes those have.
    pub(super) reading: usize,
    pub(super) reading_size: usize,
    running: usize,
    running_size: usize,
    /// When paused requests are to be tried again.
    paused: BTreeSet<(Instant, Ticket)>,
    /// Ends that the disk did not take, and when to try again. Each holds its place among the running.
    pub(super) unwritten: VecDeque<(Instant, Record)>,
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
            reading_size: 0,
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

    /// Submits what is due, for services that have workers: `workers` says how many. To be called after each input, and
    /// at [`Titanic::next_tick`].
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

    /// Says that workers have come for a service: its requests are submitted with the next [`Titanic::dispatch`], not
    /// only when it looks again by itself.
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

    /// Says whether the store still owes a report, so that a broker that stops knows when all that were promised an
    /// answer have it.
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
            let size = entry.size as usize;
            self.shift(ticket, State::Loading);
            self.loads.push_back(Load { ticket, size, asked_by: None });
            outputs.push(TitanicOutput::Store(Order::Load(ticket)));
            return;
        }
    }

    pub(super) fn try_again(&mut self, ticket: Ticket, error: &Error, now: Instant, outputs: &mut Vec<TitanicOutput>) {
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

    pub(super) fn fail(&mut self, ticket: Ticket, reason: &str, outputs: &mut Vec<TitanicOutput>) {
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
    pub(super) fn shift(&mut self, ticket: Ticket, state: State) {
        let Some(entry) = self.entries.get_mut(&ticket) else { return };
        let (before, entry) = (std::mem::replace(&mut entry.state, state), *entry);
        self.tally[state as usize] += 1;
        self.leave(before, entry, Some(state));
    }

    pub(super) fn remove(&mut self, ticket: Ticket) {
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
