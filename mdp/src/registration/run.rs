//! The task that runs the registrations of a worker at one broker.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use playhouse_engine::{Error, EventId, Result};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{Assignment, Job, Order, Registrations};
use crate::protocol::{Address, Frames};
use crate::protocol::{Worker, WorkerOutput};
use crate::transport::{Change, Changes, Endpoint, Kind, Socket, SocketSettings};

/// How many messages are taken from a socket at a time.
const BATCH: usize = 64;

/// Where the requests go.
pub(crate) trait Workplace: Clone + Send + Sync + 'static {
    /// Takes a request, and waits where there is no room for it; meanwhile the registration goes on to beat.
    fn take(&self, assignment: Assignment) -> impl Future<Output = ()> + Send + 'static;

    /// Answers a request whose time is up, as [`Job::expires`] said.
    fn expire(&self, request: EventId);
}

/// How a run came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The registrations have ended, as they were told to.
    Stopped,
    /// The broker does not let several registrations share a connection: each is to be run alone.
    Apart,
}

/// Runs registrations until `stop`, and then until their last request is answered.
pub(crate) async fn run<W: Workplace>(
    workers: Vec<Worker>,
    workplace: W,
    broker: &Endpoint,
    settings: &SocketSettings,
    stop: CancellationToken,
) -> Result<Outcome> {
    let count = workers.len();
    let registrations = Registrations::new(workers);
    let mut run = Run { registrations, workplace, stop, is_stopping: false, taking: JoinSet::new() };
    loop {
        // A new identity each time, so that nothing meant for an earlier registration reaches this one.
        let socket = if count > 1 {
            Socket::with_lanes(count, settings)?
        } else {
            let settings = SocketSettings { identity: Some(Address::unique()), ..settings.clone() };
            Socket::open(Kind::Dealer, &settings)?
        };
        let socket = Arc::new(socket);
        let changes = socket.changes();
        socket.connect(broker).await?;
        run.registrations.lock().socket = Some(socket.clone());
        let end = run.serve(&socket, changes, broker).await;
        run.let_go();
        let outcome = match end? {
            End::Reopen(at) => {
                // Now, and not after the wait: then the broker gives at once to others what these registrations had.
                drop(socket);
                let mut wait = pin!(sleep_until(at));
                while run.wait(&mut wait).await {}
                continue;
            }
            End::Close => Outcome::Stopped,
            End::Apart => Outcome::Apart,
        };
        if let Some(socket) = Arc::into_inner(socket) {
            socket.close().await;
        }
        return Ok(outcome);
    }
}

enum End {
    Reopen(Instant),
    Close,
    Apart,
}

/// What woke the task.
enum Woken {
    Stop,
    Taken,
    Messages(Result<()>),
    Change(Option<Change>),
    Ordered,
    Time,
}

struct Run<W> {
    registrations: Arc<Registrations>,
    workplace: W,
    stop: CancellationToken,
    is_stopping: bool,
    /// The requests that the workplace has no room for yet: one for each registration at most.
    taking: JoinSet<()>,
}

impl<W> Drop for Run<W> {
    /// An aborted task takes its connection with it, whoever still has a request of it in hand: so the broker notices.
    fn drop(&mut self) {
        self.let_go();
    }
}

impl<W> Run<W> {
    fn let_go(&self) {
        let mut state = self.registrations.lock();
        (state.socket, state.is_connected) = (None, false);
    }
}

impl<W: Workplace> Run<W> {
    /// Serves one socket until it is to be closed.
    async fn serve(&mut self, socket: &Socket, mut changes: Changes, broker: &Endpoint) -> Result<End> {
        let registrations = self.registrations.clone();
        let mut messages: Vec<Frames> = Vec::new();
        let mut orders = VecDeque::new();
        let mut timer = pin!(sleep_until(Instant::now()));
        loop {
            if let Some(end) = self.carry_out(&mut orders).await {
                return Ok(end);
            }
            let wake = registrations.lock().wake;
            let woken = tokio::select! {
                biased;
                () = self.stop.cancelled(), if !self.is_stopping => Woken::Stop,
                Some(_) = self.taking.join_next(), if !self.taking.is_empty() => Woken::Taken,
                received = socket.receive(&mut messages, BATCH) => Woken::Messages(received),
                change = changes.next() => Woken::Change(change),
                () = registrations.ordered.notified() => Woken::Ordered,
                () = time(&mut timer, wake) => Woken::Time,
            };
            let now = Instant::now();
            match woken {
                Woken::Stop => self.begin_to_stop(),
                Woken::Taken | Woken::Ordered => {}
                Woken::Messages(received) => {
                    received?;
                    registrations.lock().receive(&mut messages, now.into_std());
                }
                Woken::Change(Some(change @ (Change::Connected | Change::Trunk))) => {
                    let mut state = registrations.lock();
                    if state.share_a_connection() && change != Change::Trunk {
                        return Ok(End::Apart);
                    }
                    state.is_connected = true;
                    state.open(now);
                }
                Woken::Change(Some(Change::Lost)) => {
                    let mut state = registrations.lock();
                    state.is_connected = false;
                    state.feed_all(|worker, outputs| worker.lost(now.into_std(), outputs));
                }
                Woken::Change(Some(Change::Rejected(reason))) => {
                    return Err(Error::forbidden(format!("the broker at `{broker}` does not let us in: {reason}")));
                }
                Woken::Change(None) => return Err(Error::unavailable("the socket to the broker is closed")),
                Woken::Time => {
                    let expired = registrations.lock().tick(now);
                    for request in expired {
                        self.workplace.expire(request);
                    }
                }
            }
        }
    }

    /// Does what the machines want, until they want nothing more or the socket is to be closed. Takes `orders` for room.
    async fn carry_out(&mut self, orders: &mut VecDeque<Order>) -> Option<End> {
        loop {
            {
                let mut state = self.registrations.lock();
                state.end_refused(Instant::now().into_std());
                std::mem::swap(&mut state.orders, orders);
            }
            if orders.is_empty() {
                return None;
            }
            let mut left = false;
            for (index, order) in orders.drain(..) {
                match order {
                    WorkerOutput::Request { number, body, .. } => {
                        let job = Job { registrations: self.registrations.clone(), index, number };
                        self.take(Assignment { job, body }).await;
                    }
                    WorkerOutput::Reopen { at } => {
                        self.registrations.lock().leave(index, Some(at.into()));
                        left = true;
                    }
                    WorkerOutput::Close => {
                        self.registrations.lock().leave(index, None);
                        left = true;
                    }
                    WorkerOutput::Send(_) => {}
                }
            }
            if left && let Some(end) = self.end() {
                return Some(end);
            }
        }
    }

    /// Returns what is to become of the socket, where no registration is left on it.
    fn end(&self) -> Option<End> {
        let state = self.registrations.lock();
        if state.all.iter().any(|registration| registration.is_registered) || !state.orders.is_empty() {
            return None;
        }
        match state.all.iter().filter_map(|registration| registration.opens).min() {
            Some(at) => Some(End::Reopen(at)),
            None => Some(End::Close),
        }
    }

    /// Hands a request over, now where there is room for it, else by a task of its own.
    async fn take(&mut self, assignment: Assignment) {
        let mut taking = Box::pin(self.workplace.take(assignment));
        if poll_fn(|context| Poll::Ready(taking.as_mut().poll(context))).await.is_pending() {
            self.taking.spawn(taking);
        }
    }

    fn begin_to_stop(&mut self) {
        self.is_stopping = true;
        self.registrations.lock().feed_all(Worker::stop);
    }

    /// Waits while there is no socket. Returns whether to go on waiting.
    async fn wait(&mut self, until: &mut Pin<&mut Sleep>) -> bool {
        tokio::select! {
            () = self.stop.cancelled(), if !self.is_stopping => {
                self.begin_to_stop();
                false
            }
            Some(_) = self.taking.join_next(), if !self.taking.is_empty() => true,
            () = until.as_mut() => false,
        }
    }
}

async fn time(timer: &mut Pin<&mut Sleep>, wake: Option<Instant>) {
    match wake {
        Some(wake) => {
            if timer.deadline() != wake {
                timer.as_mut().reset(wake);
            }
            timer.await;
        }
        None => std::future::pending().await,
    }
}
