//! How workers and requests end otherwise than well.

use std::time::Instant;

use playhouse_engine::Error;

use super::super::failure::failure_body;
use super::super::message::encode;
use super::super::{Address, Frames, Service, Version};
use super::request::{Request, Source};
use super::services::Mark;
use super::workers::{Assignment, Work};
use super::{Broker, Output};

impl Broker {
    /// Tells a worker to begin anew, and removes it. Nothing happens where the peer is no worker.
    pub(super) fn dismiss(&mut self, address: &Address, now: Instant, outputs: &mut Vec<Output>) {
        if let Some(worker) = self.workers.get(address) {
            self.disconnect(address.clone(), worker.version, outputs);
            self.remove(address, now, outputs);
        }
    }

    pub(super) fn disconnect(&mut self, to: Address, version: Version, outputs: &mut Vec<Output>) {
        self.counters.disconnects += 1;
        outputs.push(Output::Send { to, frames: encode::disconnect(version) });
    }

    /// Removes a worker, and gives its request to another.
    pub(super) fn remove(&mut self, address: &Address, now: Instant, outputs: &mut Vec<Output>) {
        if let Some(service) = self.take_out(address, now, outputs) {
            self.settle(&service, now, outputs);
        }
    }

    /// Removes a worker, and lets its request wait. Returns its service, which is to be settled.
    pub(super) fn take_out(&mut self, address: &Address, now: Instant, outputs: &mut Vec<Output>) -> Option<Service> {
        let worker = self.workers.remove(address)?;
        let state = self.services.entry(&worker.service);
        state.workers -= 1;
        match worker.work {
            Work::Idle { .. } => state.idle.note_gone(),
            Work::Busy(assignment) => self.redeliver(&worker.service, assignment, now, outputs),
            Work::Discarding { .. } => {}
        }
        Some(worker.service)
    }

    /// Gives what waits for a service to its idle workers, and forgets the service where it has neither.
    pub(super) fn settle(&mut self, service: &Service, now: Instant, outputs: &mut Vec<Output>) {
        self.dispatch(service, now, outputs);
        if self.is_stopping {
            self.give_up_unserved(service, outputs);
        }
        self.services.forget_unused(service);
    }

    /// Ends what waits for a service without workers: when a stop has begun, nobody waits for one to come.
    pub(super) fn give_up_unserved(&mut self, service: &Service, outputs: &mut Vec<Output>) {
        for (service, request) in self.services.take_unserved(service) {
            self.fail(&service, &request, &stopped(&request.source), outputs);
        }
    }

    /// Lets a request wait for another worker, unless that would do harm.
    fn redeliver(&mut self, service: &Service, assignment: Assignment, now: Instant, outputs: &mut Vec<Output>) {
        let Assignment { mut request, parts, .. } = assignment;
        let error = if parts > 0 {
            Error::unavailable(format!("a worker of `{service}` was lost when it had sent {parts} parts of its answer"))
        } else if request.attempts >= self.settings.attempts.max(1) {
            let attempts = request.attempts;
            Error::unavailable(format!("no worker of `{service}` has answered; {attempts} were lost over the request"))
        } else if self.is_stopping && !request.can_expire() {
            stopped(&request.source)
        } else {
            request.queued = now;
            self.counters.redelivered += 1;
            self.services.mark(service, Mark::Redelivered);
            return self.services.put(service, request);
        };
        self.fail(service, &request, &error, outputs);
    }

    /// Ends an accepted request without an answer.
    pub(super) fn fail(&mut self, service: &Service, request: &Request, error: &Error, outputs: &mut Vec<Output>) {
        self.ended.failed += 1;
        self.services.mark(service, Mark::Failed);
        tell(&request.source, service, &request.body, error, outputs);
    }

    /// Ends an accepted request that no worker came for.
    pub(super) fn expire(&mut self, service: &Service, request: &Request, outputs: &mut Vec<Output>) {
        self.ended.expired += 1;
        self.services.mark(service, Mark::Expired);
        let error = Error::timeout(format!("no worker of `{service}` was free in time"));
        tell(&request.source, service, &request.body, &error, outputs);
    }
}

/// Says why there is no answer, to those who understand it: others get silence, as the protocol has it.
pub(super) fn tell(source: &Source, service: &Service, body: &Frames, error: &Error, outputs: &mut Vec<Output>) {
    match source {
        Source::Client(requester) if requester.address.is_ours() => {
            let frames = encode::reply(requester.version, service, failure_body(error, body));
            outputs.push(Output::Send { to: requester.address.clone(), frames });
        }
        Source::Client(_) => {}
        Source::Ticket(ticket) => outputs.push(Output::Ended { ticket: *ticket, outcome: Err(error.clone()) }),
    }
}

/// Makes the error of a request that a stop ends: a client may try another broker, a durable one is kept for later.
pub(super) fn stopped(source: &Source) -> Error {
    match source {
        Source::Client(_) => Error::unavailable("the broker stops"),
        Source::Ticket(_) => Error::cancelled("the broker stops"),
    }
}
