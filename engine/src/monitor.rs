//! A look into a running flow: its graph, its statistics and its ledger.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use serde::Serialize;

use crate::graph::Graph;
use crate::ledger::Ledger;
use crate::progress::Progress;
use crate::station::{Station, read};

/// A look into a flow, for as long as anybody holds it. A clone is one reference count.
#[derive(Clone, Debug)]
pub struct Monitor(pub(crate) Arc<Parts>);

#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) graph: Graph,
    pub(crate) stations: Vec<Arc<Station>>,
    /// The sender of the flow's own log.
    pub(crate) log_station: Arc<Station>,
    /// How many events each connection has carried, in the order of the graph's.
    pub(crate) sent: Vec<Arc<AtomicU64>>,
    pub(crate) progress: Arc<Progress>,
}

/// The figures of one actor.
#[derive(Clone, Debug, Serialize)]
pub struct ActorStatistics {
    /// The actor's name.
    pub name: String,
    /// Events that it took from its inbox.
    pub received: u64,
    /// Copies that it sent, on its outboxes and its error route.
    pub sent: u64,
    /// Events for which its handler returned `Ok`, and those that it held and that are done.
    pub delivered: u64,
    /// Events on which its handler failed, and those that it held and that failed.
    pub failed: u64,
    /// Events that found its inbox full and went to their sender's error route.
    pub shed: u64,
    /// Events that found its inbox full, or came after it had stopped, and were dropped, and those that it held and abandoned.
    pub dropped: u64,
    /// How often one of its own tasks was made anew.
    pub restarts: u64,
    /// Events that wait in its inbox now.
    pub queued: usize,
    /// Events that it holds now: see [`Emitter::hold`](crate::Emitter::hold).
    pub held: u64,
    /// How long its handler was busy, over all workers. Light actors that run within one task share its time by how many
    /// events each handled.
    pub busy: Duration,
    /// How long it waited for room in the inboxes of its receivers, over all workers.
    pub waiting: Duration,
}

/// The figures of one connection.
#[derive(Clone, Debug, Serialize)]
pub struct EdgeStatistics {
    /// The connection's place in [`Graph::connections`].
    pub connection: usize,
    /// Events that it carried.
    pub sent: u64,
}

/// The figures of a flow at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Statistics {
    /// One entry for each actor, in the order of [`Graph::actors`].
    pub actors: Vec<ActorStatistics>,
    /// One entry for each connection, in the order of [`Graph::connections`].
    pub connections: Vec<EdgeStatistics>,
    /// Where every event is or how it ended.
    pub ledger: Ledger,
}

impl Monitor {
    /// Returns the flow's graph.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        &self.0.graph
    }

    /// Returns where every event is or how it ended.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        Ledger::of(self.0.stations.iter().chain([&self.0.log_station]).map(|station| &**station))
    }

    /// Returns the figures of every actor and connection. They are written once for a batch of events, so they trail the
    /// events by that much.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let actors = self.0.stations.iter().map(|station| statistics(station)).collect();
        let connections = self.0.sent.iter().enumerate();
        let connections = connections.map(|(connection, sent)| EdgeStatistics { connection, sent: read(sent) });
        Statistics { actors, connections: connections.collect(), ledger: self.ledger() }
    }

    /// Returns the figures of the actor `name`.
    #[must_use]
    pub fn actor(&self, name: &str) -> Option<ActorStatistics> {
        self.0.stations.iter().find(|station| &*station.name == name).map(|station| statistics(station))
    }

    /// Says which actors hold how many events, in words.
    pub(crate) fn holders(&self) -> String {
        let mut held = 0;
        let mut words = Vec::new();
        for station in &self.0.stations {
            let (queued, in_hand, kept) = (station.inbox.depth(), station.in_hand(), station.held());
            held += queued as u64 + in_hand + kept;
            match (queued as u64 + in_hand, kept) {
                (0, 0) => {}
                (_, 0) => words.push(format!("`{}` {queued} queued and {in_hand} in hand", station.name)),
                (0, _) => words.push(format!("`{}` {kept} held", station.name)),
                _ => words.push(format!("`{}` {queued} queued, {in_hand} in hand and {kept} held", station.name)),
            }
        }
        // What is neither was sent and has not arrived, or has not begun and is expected.
        let between = self.0.progress.outstanding() - held.cast_signed();
        if between > 0 {
            words.push(format!("{between} between actors or about to enter"));
        }
        words.join(", ")
    }
}

fn statistics(station: &Station) -> ActorStatistics {
    let counters = &station.counters;
    ActorStatistics {
        name: station.name.to_string(),
        received: read(&counters.received),
        sent: read(&counters.sent),
        delivered: read(&counters.delivered) + read(&counters.released),
        failed: read(&counters.failed) + read(&counters.held_failed),
        shed: read(&counters.shed),
        dropped: read(&counters.dropped) + read(&counters.abandoned),
        restarts: read(&counters.restarts),
        queued: station.inbox.depth(),
        held: station.held(),
        busy: Duration::from_nanos(read(&counters.busy)),
        waiting: Duration::from_nanos(read(&counters.waiting)),
    }
}
