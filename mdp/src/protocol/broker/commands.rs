//! What workers say.

use std::time::Instant;

use playhouse_engine::Error;

use super::super::message::{WorkerCommand, encode};
use super::super::{Address, Frames, Service, Version};
use super::limits::Limit;
use super::request::Source;
use super::services::Mark;
use super::workers::{Assignment, Work, Worker};
use super::{Broker, Output};

impl Broker {
    /// Takes a command of a worker. One that is not expected of it then costs it its registration.
    pub(super) fn take_command(
        &mut self,
        from: Address,
        version: Version,
        command: WorkerCommand,
        now: Instant,
        outputs: &mut Vec<Output>,
    ) {
        let Some(worker) = self.workers.get_mut(&from) else {
            return self.take_strange_command(from, version, command, now, outputs);
        };
        worker.heard = now;
        if worker.version != version || !worker.expects(&command) {
            self.counters.unexpected += 1;
            return self.dismiss(&from, now, outputs);
        }
        match command {
            WorkerCommand::Heartbeat => worker.note_heartbeat(now, self.settings.heartbeat),
            WorkerCommand::Disconnect => {
                self.counters.left += 1;
                self.remove(&from, now, outputs);
            }
            WorkerCommand::Partial { body, .. } => self.take_part(&from, body, now, outputs),
            WorkerCommand::Final { body, .. } => {
                self.turns += 1;
                let turn = self.turns;
                let work = std::mem::replace(&mut worker.work, Work::Idle { turn });
                let (address, service) = (worker.address.clone(), worker.service.clone());
                if let Some(state) = self.services.get_mut(&service) {
                    state.idle.put(address, turn, &self.workers);
                }
                if let Work::Busy(assignment) = work {
                    self.finish(&service, assignment, body, outputs);
                }
                self.dispatch(&service, now, outputs);
            }
            // Never expected.
            WorkerCommand::Ready { .. } | WorkerCommand::Request => {}
        }
    }

    fn take_strange_command(
        &mut self,
        from: Address,
        version: Version,
        command: WorkerCommand,
        now: Instant,
        outputs: &mut Vec<Output>,
    ) {
        match command {
            WorkerCommand::Ready { service } => self.register(from, version, &service, now, outputs),
            WorkerCommand::Disconnect => self.counters.strangers += 1,
            // This is how a worker learns that the broker was started anew, or took it for dead.
            _ => {
                self.counters.strangers += 1;
                self.disconnect(from, version, outputs);
            }
        }
    }

    fn register(
        &mut self,
        from: Address,
        version: Version,
        service: &Service,
        now: Instant,
        outputs: &mut Vec<Output>,
    ) {
        let limits = &self.settings.limits;
        let room = match self.services.admit_worker(service, limits) {
            Ok(()) if self.workers.len() >= limits.peers => Err(Limit::Peers),
            room => room,
        };
        if let Err(limit) = room {
            self.tallies.over_limit(limit);
        }
        if room.is_err() || self.is_reserved(service) {
            self.counters.registrations_refused += 1;
            return self.disconnect(from, version, outputs);
        }
        self.counters.registered += 1;
        let turn = self.next_turn();
        // What is kept for long must not keep a whole message in memory.
        let from = from.detached();
        let state = self.services.entry(service);
        state.workers += 1;
        let worker = Worker::new(from.clone(), version, service.detached(), turn, now);
        self.workers.insert(from.clone(), worker);
        state.idle.put(from, turn, &self.workers);
        self.dispatch(service, now, outputs);
    }

    /// Takes a part of an answer: to pass it on, or to keep it for those that want the whole.
    fn take_part(&mut self, from: &Address, body: Frames, now: Instant, outputs: &mut Vec<Output>) {
        let Some(worker) = self.workers.get_mut(from) else { return };
        let limits = &self.settings.limits;
        let limit = match &mut worker.work {
            Work::Busy(assignment) => {
                assignment.progress = now;
                match &assignment.request.source {
                    Source::Client(requester) if requester.version == Version::V2 => match limits.check(&body) {
                        Ok(()) => {
                            assignment.parts += 1;
                            self.counters.partials += 1;
                            let frames = encode::partial_reply(&worker.service, body);
                            outputs.push(Output::Send { to: requester.address.clone(), frames });
                            return;
                        }
                        Err(limit) => limit,
                    },
                    _ => {
                        assignment.collected.extend(body);
                        self.counters.collected += 1;
                        match limits.check(&assignment.collected) {
                            Ok(()) => return,
                            Err(limit) => limit,
                        }
                    }
                }
            }
            Work::Discarding { since, .. } => {
                *since = now;
                return;
            }
            Work::Idle { .. } => return,
        };
        self.give_up(from, limit, now, outputs);
    }

    /// Ends a request whose answer is too large while its worker is still at it.
    fn give_up(&mut self, from: &Address, limit: Limit, now: Instant, outputs: &mut Vec<Output>) {
        let Some(worker) = self.workers.get_mut(from) else { return };
        let Some(client) = worker.client().cloned() else { return };
        let service = worker.service.clone();
        if let Work::Busy(assignment) = std::mem::replace(&mut worker.work, Work::Discarding { client, since: now }) {
            let error = self.too_large(limit);
            self.fail(&service, &assignment.request, &error, outputs);
        }
    }

    /// Passes an answer on, or the last part of it.
    fn finish(&mut self, service: &Service, assignment: Assignment, body: Frames, outputs: &mut Vec<Output>) {
        let Assignment { request, collected: mut whole, .. } = assignment;
        let whole = if whole.is_empty() {
            body
        } else {
            whole.extend(body);
            whole
        };
        if let Err(limit) = self.settings.limits.check(&whole) {
            let error = self.too_large(limit);
            return self.fail(service, &request, &error, outputs);
        }
        self.ended.replied += 1;
        self.services.mark(service, Mark::Replied);
        match request.source {
            Source::Client(requester) => self.answer(&requester, service, whole, outputs),
            Source::Ticket(ticket) => outputs.push(Output::Ended { ticket, outcome: Ok(whole) }),
        }
    }

    fn too_large(&mut self, limit: Limit) -> Error {
        self.tallies.over_limit(limit);
        Error::too_large("the answer is over a limit of the broker").caused_by(self.settings.limits.error(limit))
    }
}

impl Worker {
    /// Returns the client that it has to name in its answer, where it works.
    fn client(&self) -> Option<&Address> {
        match &self.work {
            Work::Idle { .. } => None,
            Work::Busy(assignment) => Some(&assignment.client),
            Work::Discarding { client, .. } => Some(client),
        }
    }

    fn expects(&self, command: &WorkerCommand) -> bool {
        match command {
            WorkerCommand::Heartbeat | WorkerCommand::Disconnect => true,
            // An answer to somebody else's question would be a forgery.
            WorkerCommand::Partial { client, .. } | WorkerCommand::Final { client, .. } => {
                self.client() == Some(client)
            }
            WorkerCommand::Ready { .. } | WorkerCommand::Request => false,
        }
    }
}
