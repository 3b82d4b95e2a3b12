//! A built flow, and a running one: start, drain, stop.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at, timeout, timeout_at};
use tokio_util::task::TaskTracker;

use crate::connection::Kind;
use crate::context::Context;
use crate::director::Settings;
use crate::emitter::{Emitter, Route};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::ledger::Ledger;
use crate::line::Line;
use crate::log::{Level, Log};
use crate::moment::after;
use crate::monitor::{Monitor, Parts};
use crate::node::{Node, caught_async};
use crate::plan::{Plan, PlannedEdge};
use crate::policy::Policy;
use crate::ports::{Ports, Role};
use crate::progress::Progress;
use crate::station::Station;

/// How often a flow that is being drained says what it waits for.
const REPORT: Duration = Duration::from_secs(5);

/// How long a stop waits for tasks that it has aborted: those that do not block their thread end at once.
const GRACE: Duration = Duration::from_secs(1);

/// A flow that was checked and does not run yet.
pub struct Flow {
    plan: Plan,
    nodes: Vec<Box<dyn Node>>,
    settings: Settings,
    monitor: Monitor,
    log: Arc<Log>,
}

impl Flow {
    pub(crate) fn new(plan: Plan, nodes: Vec<Box<dyn Node>>, settings: Settings) -> Self {
        let stations: Vec<_> = plan
            .actors
            .iter()
            .zip(&plan.fusion.lends)
            .map(|(actor, lends)| {
                let (name, ports, policy) = (actor.name.clone(), actor.ports.clone(), actor.policy.clone());
                Arc::new(Station::new(name, ports, policy, *lends))
            })
            .collect();
        let log_ports = Arc::new(Ports::source(crate::format::Format::TEXT));
        let log_station = Arc::new(Station::new("log".into(), log_ports, Policy::default(), false));
        let log = Arc::new(Log::new(plan.name.clone()));
        let monitor = Monitor(Arc::new(Parts {
            graph: plan.graph(),
            stations,
            log_station,
            sent: plan.edges.iter().map(|_| Arc::new(AtomicU64::new(0))).collect(),
            progress: Arc::new(Progress::default()),
        }));
        Self { plan, nodes, settings, monitor, log }
    }

    /// Returns the flow's graph.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        self.monitor.graph()
    }

    /// Returns a look into the flow that stays when it runs.
    #[must_use]
    pub fn monitor(&self) -> Monitor {
        self.monitor.clone()
    }

    /// Starts the flow, waits for `signal`, and stops the flow as [`Running::stop`] does.
    ///
    /// # Errors
    /// As [`Flow::start`] and [`Running::stop`].
    pub async fn run_until<T>(self, signal: impl Future<Output = T>, deadline: Duration) -> Result<Ledger> {
        let running = self.start().await?;
        signal.await;
        running.stop(deadline).await
    }

    /// Starts every actor, receivers before their senders, and then lets events move.
    ///
    /// # Errors
    /// The first actor that fails to start stops the start: those that had started are stopped again, and the error names
    /// the actor.
    pub async fn start(mut self) -> Result<Running> {
        let parts = self.monitor.0.clone();
        let tasks = TaskTracker::new();
        // Whoever gives up the start in the middle leaves nothing behind.
        let mut life = Life { monitor: self.monitor.clone(), workers: JoinSet::new() };
        self.connect_log();
        let order = self.plan.start_order();
        for (number, &index) in order.iter().enumerate() {
            let station = &parts.stations[index];
            let context = Context {
                station: station.clone(),
                emitter: station.ports.emits().then(|| self.emitter(index)),
                tasks: tasks.clone(),
                progress: parts.progress.clone(),
                log: self.log.clone(),
            };
            let deadline = self.settings.start_deadline;
            let outcome = match timeout(deadline, caught_async(|| self.nodes[index].start(context))).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(panic)) => Err(panic),
                Err(_) => Err(Error::timeout(format!("it did not start within {deadline:?}"))),
            };
            if let Err(error) = outcome {
                drop(life);
                tasks.close();
                tasks.wait().await;
                for &started in order[..number].iter().rev() {
                    // What does not stop in its time must not hold up the word of what went wrong.
                    let _ = timeout(deadline, caught_async(|| self.nodes[started].stop())).await;
                }
                let message = format!("`{}` did not start", station.name);
                return Err(Error::new(error.kind(), message).caused_by(error));
            }
        }
        for (index, node) in self.nodes.iter().enumerate() {
            if self.plan.fusion.within[index].is_none() {
                for seat in 0..parts.stations[index].policy.workers.count() {
                    life.workers.spawn(node.work(self.line(index), seat));
                }
            }
        }
        parts.progress.running.cancel();
        self.log.record(Level::Info, None, format_args!("the flow runs with {} actors", self.nodes.len()));
        let stop_order = order.into_iter().rev().collect();
        Ok(Running { nodes: self.nodes, stop_order, tasks, log: self.log, life })
    }

    fn connect_log(&self) {
        let log_edges = self.plan.edges.iter().enumerate().filter(|(_, edge)| edge.kind == Kind::Log);
        let routes: Vec<_> = log_edges.map(|(number, edge)| self.route(number, edge)).collect();
        if !routes.is_empty() {
            let takers = self.plan.behind_the_log().map(|index| self.plan.actors[index].name.clone()).collect();
            let parts = &self.monitor.0;
            let station = parts.log_station.clone();
            let emitter = Emitter::new(station, vec![routes], Vec::new(), parts.progress.clone(), self.log.clone());
            self.log.connect(emitter, takers);
        }
    }

    /// Makes the way into the flow of an actor that emits.
    fn emitter(&self, index: usize) -> Emitter {
        let parts = &self.monitor.0;
        let station = parts.stations[index].clone();
        let mut outboxes: Vec<_> = station.ports.outboxes.iter().map(|_| Vec::new()).collect();
        let mut errors = Vec::new();
        for &number in &self.plan.leaving[index] {
            let edge = &self.plan.edges[number];
            match edge.outbox {
                Some(outbox) => outboxes[outbox].push(self.route(number, edge)),
                None => errors.push(self.route(number, edge)),
            }
        }
        Emitter::new(station, outboxes, errors, parts.progress.clone(), self.log.clone())
    }

    fn route(&self, number: usize, edge: &PlannedEdge) -> Route {
        let parts = &self.monitor.0;
        Route { to: parts.stations[edge.to].clone(), inbox: edge.inbox, total: parts.sent[number].clone() }
    }

    /// Makes one task's part of the flow.
    fn line(&self, head: usize) -> Line {
        let parts = &self.monitor.0;
        let mut line = Line::new(parts.progress.clone(), self.log.clone());
        let mut growing = vec![(line.add_member(parts.stations[head].clone(), self.nodes[head].light()), head)];
        while let Some((member, actor)) = growing.pop() {
            for &number in &self.plan.leaving[actor] {
                let edge = &self.plan.edges[number];
                if edge.kind == Kind::Data && self.plan.actors[actor].ports.role == Role::Endpoint {
                    // Only its own tasks send there.
                    continue;
                }
                let to = parts.stations[edge.to].clone();
                let total = parts.sent[number].clone();
                if self.plan.fusion.by_call[number] {
                    let next = line.add_member(to, self.nodes[edge.to].light());
                    line.exit_within(member, edge.outbox, next, edge.inbox, total);
                    growing.push((next, edge.to));
                } else {
                    line.exit_to(member, edge.outbox, to, edge.inbox, total);
                }
            }
        }
        line.straighten();
        line
    }
}

/// A running flow. Dropping it aborts it; [`Running::stop`] ends it in good order.
pub struct Running {
    nodes: Vec<Box<dyn Node>>,
    /// Senders before their receivers.
    stop_order: Vec<usize>,
    tasks: TaskTracker,
    log: Arc<Log>,
    life: Life,
}

/// What must be aborted when nobody waits for its end any more.
struct Life {
    monitor: Monitor,
    workers: JoinSet<()>,
}

impl Drop for Life {
    fn drop(&mut self) {
        // An emitter may live on, and must take in no more.
        self.monitor.0.progress.begin_stop();
        self.monitor.0.progress.abort.cancel();
        // What waits in inboxes is abandoned, and its receipts say so, even if a monitor lives on.
        for station in &self.monitor.0.stations {
            station.inbox.abandon();
        }
    }
}

impl Running {
    /// Returns the flow's graph.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        self.life.monitor.graph()
    }

    /// Returns a look into the flow.
    #[must_use]
    pub fn monitor(&self) -> Monitor {
        self.life.monitor.clone()
    }

    /// Returns where every event is or how it ended.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.life.monitor.ledger()
    }

    /// Stops the flow: sources take in no more, what is in flight is handled, actors stop, senders before their receivers.
    /// While it waits it says every five seconds which actors hold how many events.
    ///
    /// # Errors
    /// `Timeout` where that takes longer than `deadline`: everything is aborted then, and the error names what was
    /// abandoned. `Internal` where the ledger does not balance, which is a defect of the engine.
    pub async fn stop(mut self, deadline: Duration) -> Result<Ledger> {
        let limit = after(deadline);
        let progress = self.life.monitor.0.progress.clone();
        progress.begin_stop();
        self.log.record(Level::Info, None, format_args!("the flow stops: sources take in no more"));
        self.tasks.close();
        if timeout_at(limit, self.drained()).await.is_err() {
            return Err(self.abandon(deadline).await);
        }
        for station in &self.life.monitor.0.stations {
            station.inbox.close();
        }
        let workers = &mut self.life.workers;
        let joined = timeout_at(limit, async {
            let mut outcome = Ok(());
            while let Some(joined) = workers.join_next().await {
                outcome = outcome.and(joined);
            }
            outcome
        });
        match joined.await {
            Err(_) => return Err(self.abandon(deadline).await),
            Ok(Err(error)) => return Err(Error::internal("a worker died").caused_by(error)),
            Ok(Ok(())) => {}
        }
        let mut outcome = Ok(());
        for &index in &self.stop_order {
            let name = &self.life.monitor.0.stations[index].name;
            let error = match timeout_at(limit, caught_async(|| self.nodes[index].stop())).await {
                Ok(Ok(())) => continue,
                Ok(Err(panic)) => Error::internal(format!("`{name}` did not stop")).caused_by(panic),
                Err(_) => Error::timeout(format!("`{name}` did not stop within the {deadline:?} of the flow's stop")),
            };
            // The others must stop all the same.
            self.log.record(Level::Error, Some(name), format_args!("{error}"));
            outcome = outcome.and(Err(error));
        }
        outcome?;
        let ledger = self.ledger();
        // Waited for once more: a sender that comes too late is counted for a moment, until it sees that it does.
        if ledger.in_flight != 0 || timeout_at(limit, progress.drained()).await.is_err() {
            let outstanding = progress.outstanding();
            return Err(Error::internal(format!("the ledger does not balance: {ledger}, {outstanding} outstanding")));
        }
        self.log.record(Level::Info, None, format_args!("the flow has stopped: {ledger}"));
        Ok(ledger)
    }

    /// Waits until nothing is in flight and the actors' own tasks have ended, and says what it waits for.
    async fn drained(&self) {
        let parts = &self.life.monitor.0;
        let mut reports = interval_at(Instant::now() + REPORT, REPORT);
        let drained = async {
            // A task that ends may send a last event.
            loop {
                parts.progress.drained().await;
                self.tasks.wait().await;
                if parts.progress.outstanding() == 0 {
                    return;
                }
            }
        };
        tokio::pin!(drained);
        loop {
            tokio::select! {
                biased;
                () = &mut drained => return,
                _ = reports.tick() => {
                    self.log.record(Level::Info, None, format_args!("the flow waits: {}", self.waits_for()));
                }
            }
        }
    }

    fn waits_for(&self) -> String {
        let monitor = &self.life.monitor;
        let outstanding = monitor.0.progress.outstanding();
        let mut what = Vec::new();
        if outstanding != 0 {
            what.push(format!("{outstanding} in flight ({})", monitor.holders()));
        }
        if !self.tasks.is_empty() {
            what.push(format!("{} tasks of actors have not ended", self.tasks.len()));
        }
        what.join(", ")
    }

    /// Aborts everything, and returns the error that names what was abandoned.
    async fn abandon(&mut self, deadline: Duration) -> Error {
        let waits_for = self.waits_for();
        let mut message = format!("the flow was not drained within {deadline:?} and was aborted: {waits_for}");
        self.life.monitor.0.progress.abort.cancel();
        self.life.workers.abort_all();
        let ended = timeout(GRACE, async {
            while self.life.workers.join_next().await.is_some() {}
            self.tasks.wait().await;
        });
        if ended.await.is_err() {
            message.push_str("; something blocks its thread and could not be aborted");
        }
        self.log.record(Level::Error, None, format_args!("{message}"));
        Error::timeout(message)
    }
}

impl fmt::Debug for Flow {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Flow").field("name", &self.plan.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Running").field("ledger", &self.ledger()).finish_non_exhaustive()
    }
}
