//! What happens because time passes.

use std::time::{Duration, Instant};

use super::super::message::encode;
use super::{Broker, Output, ends};

impl Broker {
    /// Sends the heartbeats that are due, removes workers that are silent or busy for too long, and ends requests that have
    /// waited for too long.
    ///
    /// Where it was not called for longer than a heartbeat, as when the process was halted, the time since is not held
    /// against the workers: what they said lies in the socket still.
    pub fn tick(&mut self, now: Instant, outputs: &mut Vec<Output>) {
        self.check_workers(now, outputs);
        for (service, request) in self.services.expired(now, self.settings.expiry) {
            self.expire(&service, &request, outputs);
        }
        self.services.advance(now.saturating_duration_since(self.ticked));
        self.ticked = now;
    }

    /// Returns when to call [`Broker::tick`] next.
    #[must_use]
    pub fn next_tick(&self) -> Instant {
        self.ticked + self.settings.interval()
    }

    fn check_workers(&mut self, now: Instant, outputs: &mut Vec<Output>) {
        let (heartbeat, lifetime) = (self.settings.heartbeat, self.settings.lifetime());
        let bound = self.settings.busy_bound();
        let interval = self.settings.interval();
        let elapsed = now.saturating_duration_since(self.ticked);
        let missed = if elapsed > heartbeat.max(2 * interval) { elapsed - interval } else { Duration::ZERO };
        let mut gone = Vec::new();
        for (address, worker) in &mut self.workers {
            worker.forgive(missed, now);
            let busy = worker.busy_since().map(|since| now.saturating_duration_since(since));
            if worker.is_silent(now, lifetime) {
                self.counters.silent += 1;
                gone.push(address.clone());
            } else if bound.zip(busy).is_some_and(|(bound, busy)| busy >= bound) {
                self.counters.overdue += 1;
                self.counters.disconnects += 1;
                outputs.push(Output::Send { to: address.clone(), frames: encode::disconnect(worker.version) });
                gone.push(address.clone());
            } else if let Some(output) = worker.heartbeat(now, heartbeat) {
                self.counters.heartbeats += 1;
                outputs.push(output);
            }
        }
        // First all are removed, so that no request goes from one dead worker to another.
        let mut services: Vec<_> = gone.iter().filter_map(|address| self.take_out(address, now, outputs)).collect();
        services.sort();
        services.dedup();
        for service in services {
            self.settle(&service, now, outputs);
        }
    }

    /// Ends the durable requests that wait, which their keeper has still.
    pub(super) fn cancel_durable(&mut self, outputs: &mut Vec<Output>) {
        for (service, request) in self.services.take_durable() {
            self.fail(&service, &request, &ends::stopped(&request.source), outputs);
        }
        self.services.advance(Duration::ZERO);
    }
}
