//! The broker: it gives the requests of clients to the workers of their service, and the answers back, for both versions of
//! the protocol on one socket. It does no I/O and looks at no clock.

mod clients;
mod commands;
mod counters;
mod ends;
mod limits;
mod management;
mod queue;
mod rate;
mod request;
mod services;
mod settings;
mod statistics;
mod upkeep;
mod workers;

use std::time::Instant;

use playhouse_engine::Error;

pub use self::counters::{Accounts, Counters};
pub use self::limits::BrokerLimits;
pub use self::settings::BrokerSettings;
pub use self::statistics::{BrokerStatistics, ServiceStatistics};

use self::counters::Tallies;
use self::request::Source;
use self::services::Services;
use self::workers::{Work, Workers};
use super::message::{ToBroker, decode_at_broker, encode};
use super::{Address, Frames, Requester, Service, Ticket};

/// What is to be done after the broker took something in.
#[derive(Debug)]
pub enum Output {
    /// Send a message.
    Send {
        /// To whom.
        to: Address,
        /// The message, without the identity that a ROUTER takes from before it.
        frames: Frames,
    },
    /// A client asked one of the services `titanic.*`, which are durable: to be answered by [`Broker::answer`].
    Durable {
        /// Who asked.
        requester: Requester,
        /// Which of the services.
        service: Service,
        /// What it asked.
        body: Frames,
    },
    /// A request that was submitted has ended.
    Ended {
        /// Its ticket.
        ticket: Ticket,
        /// The frames of all parts of the answer, one after the other; or why there is none. `Overloaded` and `Cancelled` (at a
        /// stop) say that no worker has answered yet and that it may be submitted again; anything else is for good.
        outcome: Result<Frames, Error>,
    },
}

/// The state of a broker. Whoever owns it feeds it with what its socket receives and with the time, and does what the
/// [`Output`]s say, in their order.
///
/// A service is one for both versions. What a worker of MDP 0.2 sends in parts goes on to a client of MDP 0.2 part by part;
/// a client of MDP 0.1, which knows one reply only, gets the frames of all parts and of the final one together, within the
/// limits of one message. A request of which a part has gone out is not given to another worker where its own dies: the
/// client would take the parts of the second for the rest of the first. It fails.
#[derive(Debug)]
pub struct Broker {
    settings: BrokerSettings,
    workers: Workers,
    services: Services,
    /// Without what is queued and running.
    ended: Accounts,
    counters: Counters,
    tallies: Tallies,
    /// Gives requests and turns of workers their numbers.
    turns: u64,
    is_stopping: bool,
    ticked: Instant,
}

impl Broker {
    /// Makes a broker that knows nobody yet.
    #[must_use]
    pub fn new(settings: BrokerSettings, now: Instant) -> Self {
        Self {
            settings,
            workers: Workers::default(),
            services: Services::default(),
            ended: Accounts::default(),
            counters: Counters::default(),
            tallies: Tallies::default(),
            turns: 0,
            is_stopping: false,
            ticked: now,
        }
    }

    /// Takes a message that came from a peer. What is malformed is dropped and counted; from a worker, it costs the worker
    /// its registration.
    pub fn receive(&mut self, from: Address, frames: Frames, now: Instant, outputs: &mut Vec<Output>) {
        self.counters.messages += 1;
        match decode_at_broker(frames) {
            Ok(ToBroker::Request { version, service, body }) => {
                self.take_request(Requester { address: from, version }, service, body, now, outputs);
            }
            Ok(ToBroker::Worker { version, command }) => self.take_command(from, version, command, now, outputs),
            Err(reason) => {
                self.tallies.malformed(reason);
                self.dismiss(&from, now, outputs);
            }
        }
    }

    /// Takes a request that no socket waits for. It waits for a worker as long as it takes, and ends with
    /// [`Output::Ended`].
    pub fn submit(&mut self, ticket: Ticket, service: Service, body: Frames, now: Instant, outputs: &mut Vec<Output>) {
        self.ended.received += 1;
        let source = Source::Ticket(ticket);
        if self.is_reserved(&service) {
            let error = Error::not_allowed(format!("`{service}` is the broker's own and has no workers"));
            self.refuse(&source, &service, &body, &error, outputs);
        } else if self.is_stopping {
            let error = ends::stopped(&source);
            self.refuse(&source, &service, &body, &error, outputs);
        } else {
            self.accept(source, service, body, now, outputs);
        }
    }

    /// Answers a client that asked one of the durable services.
    pub fn answer(&self, requester: &Requester, service: &Service, body: Frames, outputs: &mut Vec<Output>) {
        let frames = encode::reply(requester.version, service, body);
        outputs.push(Output::Send { to: requester.address.clone(), frames });
    }

    /// Notes that the socket did not take what was just to be sent to a peer: that is gone, or takes nothing. A worker is removed,
    /// and its request given to another; an answer that found no client is counted.
    pub fn unreachable(&mut self, peer: &Address, now: Instant, outputs: &mut Vec<Output>) {
        let Some(worker) = self.workers.get_mut(peer) else {
            self.counters.undeliverable += 1;
            return;
        };
        self.counters.unreachable += 1;
        worker.take_back_what_was_given_at(now);
        self.remove(peer, now, outputs);
    }

    /// Notes that the connection of a peer has ended. A worker is removed, and its request given to another.
    pub fn gone(&mut self, peer: &Address, now: Instant, outputs: &mut Vec<Output>) {
        if self.workers.contains_key(peer) {
            self.counters.gone += 1;
            self.remove(peer, now, outputs);
        }
    }

    /// Begins to drain: new requests are refused, those that run, or wait for workers that there are, go on. Durable ones that
    /// wait end with `Cancelled`, for their keeper has them still.
    pub fn stop(&mut self, outputs: &mut Vec<Output>) {
        self.is_stopping = true;
        self.cancel_durable(outputs);
        for service in self.services.names().cloned().collect::<Vec<_>>() {
            self.give_up_unserved(&service, outputs);
            self.services.forget_unused(&service);
        }
    }

    /// Says whether no request waits or runs.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.ended.accepted == self.ended.replied + self.ended.expired + self.ended.failed
    }

    /// Tells every worker to begin anew elsewhere, and ends what waits or runs still: the last that a broker does.
    pub fn disconnect_all(&mut self, outputs: &mut Vec<Output>) {
        self.is_stopping = true;
        for (address, worker) in std::mem::take(&mut self.workers) {
            self.counters.disconnects += 1;
            outputs.push(Output::Send { to: address, frames: encode::disconnect(worker.version) });
            if let Work::Busy(assignment) = worker.work {
                let error = ends::stopped(&assignment.request.source);
                self.fail(&worker.service, &assignment.request, &error, outputs);
            }
        }
        for (service, request) in self.services.take_all() {
            self.fail(&service, &request, &ends::stopped(&request.source), outputs);
        }
        self.services = Services::default();
    }

    /// Returns how many workers of a service are idle.
    #[must_use]
    pub fn idle_workers(&self, service: &Service) -> usize {
        self.services.get(service).map_or(0, |state| state.idle.len())
    }

    /// Returns how many workers are registered for a service.
    #[must_use]
    pub fn workers(&self, service: &Service) -> usize {
        self.services.get(service).map_or(0, |state| state.workers)
    }

    /// Returns what became of the requests. It looks at every worker and every service.
    #[must_use]
    pub fn accounts(&self) -> Accounts {
        let running = self.workers.values().filter(|worker| matches!(worker.work, Work::Busy(_))).count();
        Accounts { queued: self.services.queued() as u64, running: running as u64, ..self.ended.clone() }
    }

    /// Returns what the broker says about itself. It looks at every worker and every service.
    #[must_use]
    pub fn statistics(&self, now: Instant) -> BrokerStatistics {
        let mut counters = self.counters.clone();
        self.tallies.show_in(&mut counters);
        BrokerStatistics {
            workers: self.workers.len(),
            stopping: self.is_stopping,
            accounts: self.accounts(),
            counters,
            services: self.services.statistics(now),
        }
    }

    /// Says whether the broker answers for a service itself, so that no worker can.
    fn is_reserved(&self, service: &Service) -> bool {
        service.is_management() || self.settings.durable && service.is_titanic()
    }

    fn next_turn(&mut self) -> u64 {
        self.turns += 1;
        self.turns
    }
}
