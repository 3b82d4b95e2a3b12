//! The services that have a worker or a request that waits. One that has neither is forgotten.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::super::Service;
use super::Output;
use super::limits::{BrokerLimits, Limit};
use super::queue::Queue;
use super::rate::Rate;
use super::request::Request;
use super::statistics::ServiceStatistics;
use super::workers::{IdleLine, Workers};

/// The services that have a worker or a request that waits.
#[derive(Debug, Default)]
pub(crate) struct Services {
    services: HashMap<Service, State>,
    /// How many requests wait at all of them.
    queued: usize,
    /// The bytes of their bodies.
    queued_size: usize,
}

/// One service.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) workers: usize,
    pub(crate) idle: IdleLine,
    queue: Queue,
    arrivals: Rate,
    departures: Rate,
    requests: u64,
    replies: u64,
    expired: u64,
    failed: u64,
    redelivered: u64,
}

/// How an accepted request went on, as the figures of its service have it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mark {
    Replied,
    Expired,
    Failed,
    Redelivered,
}

impl Services {
    pub(crate) fn get(&self, service: &Service) -> Option<&State> {
        self.services.get(service)
    }

    pub(crate) fn get_mut(&mut self, service: &Service) -> Option<&mut State> {
        self.services.get_mut(service)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &Service> {
        self.services.keys()
    }

    /// How many requests wait, counted anew.
    pub(crate) fn queued(&self) -> usize {
        let queued = self.services.values().map(|state| state.queue.len()).sum();
        debug_assert_eq!(queued, self.queued, "what waits is counted twice");
        queued
    }

    /// Looks whether one more worker may register for a service.
    pub(crate) fn admit_worker(&self, service: &Service, limits: &BrokerLimits) -> Result<(), Limit> {
        let is_new = !self.services.contains_key(service);
        if is_new && self.services.len() >= limits.services { Err(Limit::Services) } else { Ok(()) }
    }

    /// Looks whether one more request may wait.
    pub(crate) fn admit(&self, service: &Service, size: usize, limits: &BrokerLimits) -> Result<(), Limit> {
        let state = self.services.get(service);
        if state.is_none() && self.services.len() >= limits.services {
            return Err(Limit::Services);
        }
        if state.is_some_and(|state| state.queue.len() >= limits.queued_for_service) || limits.queued_for_service == 0 {
            return Err(Limit::QueuedForService);
        }
        if self.queued >= limits.queued {
            return Err(Limit::Queued);
        }
        if self.queued_size.saturating_add(size) > limits.queued_size {
            return Err(Limit::QueuedSize);
        }
        Ok(())
    }

    /// Returns a service, which becomes known now if it was not.
    pub(crate) fn entry(&mut self, service: &Service) -> &mut State {
        // In two steps, so that a name is copied only when it is new.
        if !self.services.contains_key(service) {
            self.services.insert(service.detached(), State::default());
        }
        self.services.get_mut(service).expect("the service is there or was put in")
    }

    /// Lets a request wait that is new, or whose worker is gone.
    pub(crate) fn put(&mut self, service: &Service, request: Box<Request>) {
        self.queued += 1;
        self.queued_size += request.size;
        let state = self.entry(service);
        if request.attempts == 0 {
            state.note_arrival();
        }
        state.queue.put(request);
    }

    /// Gives a new request to the worker that waits longest, and returns the message that does so; or the request, where
    /// all are busy.
    pub(crate) fn hand_over(
        &mut self,
        service: &Service,
        request: Box<Request>,
        workers: &mut Workers,
        now: Instant,
    ) -> Result<Output, Box<Request>> {
        let Some(state) = self.services.get_mut(service) else { return Err(request) };
        // Where a worker is idle, no other request waits.
        let output = state.idle.assign(request, workers, now)?;
        state.note_arrival();
        Ok(output)
    }

    /// Gives what waits for a service to its idle workers, first to first.
    pub(crate) fn pair(&mut self, service: &Service, workers: &mut Workers, now: Instant, outputs: &mut Vec<Output>) {
        let Some(state) = self.services.get_mut(service) else { return };
        while state.idle.len() > 0 {
            let Some(request) = state.queue.take() else { return };
            let size = request.size;
            match state.idle.assign(request, workers, now) {
                Ok(output) => outputs.push(output),
                Err(request) => return state.queue.put(request),
            }
            self.queued -= 1;
            self.queued_size -= size;
        }
    }

    /// Takes out every request that has waited for too long, with its service.
    pub(crate) fn expired(&mut self, now: Instant, expiry: Duration) -> Vec<(Service, Box<Request>)> {
        let mut all = Vec::new();
        for (service, state) in &mut self.services {
            all.extend(state.queue.expired(now, expiry).into_iter().map(|request| (service.clone(), request)));
        }
        self.note_taken(&all);
        all
    }

    /// Takes out what waits for a service that has no workers.
    pub(crate) fn take_unserved(&mut self, service: &Service) -> Vec<(Service, Box<Request>)> {
        let Some(state) = self.services.get_mut(service).filter(|state| state.workers == 0) else { return Vec::new() };
        let taken: Vec<_> =
            std::iter::from_fn(|| state.queue.take()).map(|request| (service.clone(), request)).collect();
        self.note_taken(&taken);
        taken
    }

    /// Takes out every request that waits, with its service.
    pub(crate) fn take_all(&mut self) -> Vec<(Service, Box<Request>)> {
        let mut all = Vec::new();
        for (service, state) in &mut self.services {
            all.extend(std::iter::from_fn(|| state.queue.take()).map(|request| (service.clone(), request)));
        }
        self.note_taken(&all);
        all
    }

    /// Takes out every durable request that waits, with its service.
    pub(crate) fn take_durable(&mut self) -> Vec<(Service, Box<Request>)> {
        let mut all = Vec::new();
        for (service, state) in &mut self.services {
            all.extend(state.queue.take_durable().into_iter().map(|request| (service.clone(), request)));
        }
        self.note_taken(&all);
        all
    }

    fn note_taken(&mut self, taken: &[(Service, Box<Request>)]) {
        self.queued -= taken.len();
        self.queued_size -= taken.iter().map(|(_, request)| request.size).sum::<usize>();
    }

    /// Counts what became of a request; nothing where its service is forgotten by now.
    pub(crate) fn mark(&mut self, service: &Service, mark: Mark) {
        let Some(state) = self.services.get_mut(service) else { return };
        match mark {
            Mark::Replied => {
                state.replies += 1;
                state.departures.count();
            }
            Mark::Expired => state.expired += 1,
            Mark::Failed => state.failed += 1,
            Mark::Redelivered => state.redelivered += 1,
        }
    }

    /// Says how long it may take until what waits for a service has been answered, so far as the last seconds tell.
    pub(crate) fn wait(&self, service: &Service, longest: Duration) -> Duration {
        const SHORTEST: Duration = Duration::from_millis(100);
        let Some(state) = self.services.get(service) else { return SHORTEST };
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let seconds = state.queue.len() as f64 / state.departures.per_second();
        Duration::try_from_secs_f64(seconds).unwrap_or(longest).min(longest).max(SHORTEST)
    }

    /// Forgets a service that has no worker and no request.
    pub(crate) fn forget_unused(&mut self, service: &Service) {
        if self.services.get(service).is_some_and(State::is_unused) {
            self.services.remove(service);
        }
    }

    /// Forgets every service that has no worker and no request, and takes what was counted into the rates of the others.
    pub(crate) fn advance(&mut self, elapsed: Duration) {
        self.services.retain(|_, state| !state.is_unused());
        for state in self.services.values_mut() {
            state.arrivals.advance(elapsed);
            state.departures.advance(elapsed);
        }
    }

    /// Returns the figures of every service, by name.
    pub(crate) fn statistics(&self, now: Instant) -> Vec<ServiceStatistics> {
        let mut all: Vec<_> =
            self.services.iter().map(|(service, state)| state.statistics(service.as_str(), now)).collect();
        all.sort_by(|one, other| one.service.cmp(&other.service));
        all
    }
}

impl State {
    fn note_arrival(&mut self) {
        self.requests += 1;
        self.arrivals.count();
    }

    fn is_unused(&self) -> bool {
        self.workers == 0 && self.queue.is_empty()
    }

    fn statistics(&self, service: &str, now: Instant) -> ServiceStatistics {
        let oldest = self.queue.first().map(|request| now.saturating_duration_since(request.accepted));
        ServiceStatistics {
            service: service.to_owned(),
            workers: self.workers,
            idle: self.idle.len(),
            busy: self.workers - self.idle.len(),
            queued: self.queue.len(),
            rate: self.arrivals.per_second(),
            oldest_wait_ms: oldest.map_or(0, |wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
            requests: self.requests,
            replies: self.replies,
            expired: self.expired,
            failed: self.failed,
            redelivered: self.redelivered,
        }
    }
}
