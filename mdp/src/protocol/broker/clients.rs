//! What clients ask: answered, refused, or accepted and given to a worker as soon as one is idle.

use std::time::Instant;

use playhouse_engine::{Error, Kind};

use super::super::{Frames, Requester, Service};
use super::limits::Limit;
use super::request::{Request, Source};
use super::{Broker, Output, ends};

impl Broker {
    /// Takes a request of a client.
    pub(super) fn take_request(
        &mut self,
        requester: Requester,
        service: Service,
        body: Frames,
        now: Instant,
        outputs: &mut Vec<Output>,
    ) {
        self.ended.received += 1;
        if self.workers.contains_key(&requester.address) {
            // A peer is either a client or a worker; one that is both is no worker to rely on.
            self.ended.refused += 1;
            self.counters.unexpected += 1;
            self.dismiss(&requester.address, now, outputs);
            return;
        }
        let limit = self.settings.limits.check(&body);
        let source = Source::Client(requester);
        if let Err(limit) = limit {
            let error = self.over(limit, &service);
            return self.refuse(&source, &service, &body, &error, outputs);
        }
        let Source::Client(requester) = &source else { return };
        if service.is_management() {
            self.ended.management += 1;
            self.answer(requester, &service, self.management(&service, &body, now), outputs);
        } else if self.is_stopping {
            self.refuse(&source, &service, &body, &ends::stopped(&source), outputs);
        } else if self.is_reserved(&service) {
            self.ended.durable += 1;
            outputs.push(Output::Durable { requester: requester.clone(), service, body });
        } else {
            self.accept(source, service, body, now, outputs);
        }
    }

    /// Accepts a request, unless it would have to wait and too many do already.
    pub(super) fn accept(
        &mut self,
        source: Source,
        service: Service,
        body: Frames,
        now: Instant,
        outputs: &mut Vec<Output>,
    ) {
        let request = Request::new(self.next_turn(), source, body, now);
        match self.services.hand_over(&service, request, &mut self.workers, now) {
            Ok(output) => outputs.push(output),
            Err(request) => {
                if let Err(limit) = self.services.admit(&service, request.size, &self.settings.limits) {
                    let error = self.over(limit, &service);
                    return self.refuse(&request.source, &service, &request.body, &error, outputs);
                }
                self.services.put(&service, request);
            }
        }
        self.ended.accepted += 1;
    }

    /// Gives what waits for a service to its idle workers.
    pub(super) fn dispatch(&mut self, service: &Service, now: Instant, outputs: &mut Vec<Output>) {
        self.services.pair(service, &mut self.workers, now, outputs);
    }

    /// Ends a request that was not accepted.
    pub(super) fn refuse(
        &mut self,
        source: &Source,
        service: &Service,
        body: &Frames,
        error: &Error,
        outputs: &mut Vec<Output>,
    ) {
        self.ended.refused += 1;
        ends::tell(source, service, body, error, outputs);
    }

    /// Counts what was over a limit, and says so.
    fn over(&mut self, limit: Limit, service: &Service) -> Error {
        self.tallies.over_limit(limit);
        let error = self.settings.limits.error(limit);
        if error.kind() == Kind::Overloaded {
            error.retry_after(self.services.wait(service, self.settings.expiry))
        } else {
            error
        }
    }
}
