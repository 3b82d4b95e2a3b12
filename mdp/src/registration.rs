//! One registration of a worker at one broker: the state machine, its socket, and the task that runs them.
//!
//! A reply is sent by whoever has it, on his own task, under a lock that is held for the time of one message.

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use playhouse_engine::{Error, EventId, Result};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::protocol::{Address, Frames};
use crate::protocol::{Worker, WorkerOutput};
use crate::transport::{Change, Changes, Endpoint, Kind, Socket, SocketSettings};

/// How many messages are taken from a socket at a time. There is never more than a request and some heartbeats.
const BATCH: usize = 16;

/// A request that the broker gave, to be answered at its registration under its number.
#[derive(Debug)]
pub(crate) struct Assignment {
    pub(crate) registration: Arc<Registration>,
    pub(crate) number: u64,
    pub(crate) body: Frames,
}

/// Where the requests go.
pub(crate) trait Workplace: Clone + Send + Sync + 'static {
    /// Takes a request, and waits where there is no room for it; meanwhile the registration goes on to beat.
    fn take(&self, assignment: Assignment) -> impl Future<Output = ()> + Send + 'static;

    /// Answers a request whose time is up, as [`Registration::expires`] said.
    fn expire(&self, request: EventId);
}

/// A registration at one broker.
#[derive(Debug)]
pub(crate) struct Registration {
    state: Mutex<State>,
    /// There are orders for the task.
    ordered: Notify,
}

#[derive(Debug)]
struct State {
    worker: Worker,
    socket: Option<Arc<Socket>>,
    outputs: Vec<WorkerOutput>,
    /// What only the task can do.
    orders: VecDeque<WorkerOutput>,
    expiry: Option<Expiry>,
}

/// Until when a request must be answered, and by which event the workplace knows it.
#[derive(Clone, Copy, Debug)]
struct Expiry {
    number: u64,
    at: Instant,
    request: EventId,
}

impl Registration {
    pub(crate) fn new(worker: Worker) -> Arc<Self> {
        let state = State { worker, socket: None, outputs: Vec::new(), orders: VecDeque::new(), expiry: None };
        Arc::new(Self { state: Mutex::new(state), ordered: Notify::new() })
    }

    /// Has the workplace asked to [`Workplace::expire`] the request of this number, unless it is answered by then.
    pub(crate) fn expires(&self, number: u64, at: Instant, request: EventId) {
        self.lock().expiry = Some(Expiry { number, at, request });
        // The task may be waiting for room for this very request.
        self.ordered.notify_one();
    }

    /// Sends a partial reply. Returns whether anybody still wants it.
    pub(crate) fn reply_partially(&self, number: u64, body: Frames) -> bool {
        self.change(|worker, now, outputs| worker.reply_partially(number, body, now, outputs))
    }

    /// Sends the final reply. Returns whether anybody still wants it.
    pub(crate) fn reply(&self, number: u64, body: Frames) -> bool {
        self.forget_expiry(number);
        self.change(|worker, now, outputs| worker.reply(number, body, now, outputs))
    }

    /// Leaves the broker without an answer to the request, so that another worker gets it.
    pub(crate) fn give_back(&self, number: u64) {
        self.forget_expiry(number);
        self.change(|worker, now, outputs| worker.give_back(number, now, outputs));
    }

    /// That of another request stays: a late reply to an earlier one must not take it away.
    fn forget_expiry(&self, number: u64) {
        self.lock().expiry.take_if(|expiry| expiry.number == number);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing of anybody else's runs while it is held, so nothing panics.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Feeds the machine, sends what it wants sent, and leaves the rest to the task.
    fn change<R>(&self, feed: impl FnOnce(&mut Worker, std::time::Instant, &mut Vec<WorkerOutput>) -> R) -> R {
        let now = Instant::now().into_std();
        let mut state = self.lock();
        let State { worker, socket, outputs, orders, .. } = &mut *state;
        let result = feed(worker, now, outputs);
        let mut is_refused = false;
        for output in outputs.drain(..) {
            match (output, &socket) {
                (WorkerOutput::Send(frames), Some(socket)) => is_refused |= socket.send(frames).is_err(),
                (WorkerOutput::Send(_), None) => {}
                (order, _) => orders.push_back(order),
            }
        }
        if is_refused {
            // The connection is gone, or the broker reads too slowly. It would wait for ever for what it was not sent: so it
            // must see the registration end, and do with the request as it does when a worker dies.
            worker.lost(now, outputs);
            orders.extend(outputs.drain(..));
        }
        if !orders.is_empty() {
            self.ordered.notify_one();
        }
        result
    }

    /// Returns when to beat, and when the request under way expires.
    fn times(&self) -> (Option<Instant>, Option<Expiry>) {
        let state = self.lock();
        (state.worker.next_tick().map(Instant::from), state.expiry)
    }

    fn next_order(&self) -> Option<WorkerOutput> {
        self.lock().orders.pop_front()
    }

    fn set_socket(&self, socket: Option<Arc<Socket>>) {
        self.lock().socket = socket;
    }

    /// Runs the registration until `stop`, and then until its last request is answered.
    pub(crate) async fn run<W: Workplace>(
        self: Arc<Self>,
        workplace: W,
        broker: Endpoint,
        settings: SocketSettings,
        stop: CancellationToken,
    ) -> Result<()> {
        let mut run = Run { registration: self, workplace, stop, is_stopping: false, taking: None };
        loop {
            // A new identity each time, so that nothing meant for an earlier registration reaches this one.
            let settings = SocketSettings { identity: Some(Address::unique()), ..settings.clone() };
            let socket = Arc::new(Socket::open(Kind::Dealer, &settings)?);
            let changes = socket.changes();
            socket.connect(&broker).await?;
            run.registration.set_socket(Some(socket.clone()));
            let end = run.serve(&socket, changes, &broker).await;
            run.registration.set_socket(None);
            match end? {
                End::Reopen(at) => {
                    // Now, and not after the wait: then the broker gives at once to others what this registration had.
                    drop(socket);
                    let mut wait = pin!(sleep_until(at));
                    while run.wait(&mut wait).await {}
                }
                End::Close => {
                    if let Some(socket) = Arc::into_inner(socket) {
                        socket.close().await;
                    }
                    return Ok(());
                }
            }
        }
    }
}

enum End {
    Reopen(Instant),
    Close,
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
    registration: Arc<Registration>,
    workplace: W,
    stop: CancellationToken,
    is_stopping: bool,
    /// The request that the workplace has no room for yet.
    taking: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl<W> Drop for Run<W> {
    /// An aborted task takes its connection with it, whoever still has a request of it in hand: so the broker notices.
    fn drop(&mut self) {
        self.registration.set_socket(None);
    }
}

impl<W: Workplace> Run<W> {
    /// Serves one socket until it is to be closed.
    async fn serve(&mut self, socket: &Socket, mut changes: Changes, broker: &Endpoint) -> Result<End> {
        let registration = self.registration.clone();
        let mut messages: Vec<Frames> = Vec::new();
        loop {
            while let Some(order) = registration.next_order() {
                match order {
                    WorkerOutput::Request { number, body, .. } => {
                        let assignment = Assignment { registration: registration.clone(), number, body };
                        self.taking = Some(Box::pin(self.workplace.take(assignment)));
                    }
                    WorkerOutput::Reopen { at } => return Ok(End::Reopen(at.into())),
                    WorkerOutput::Close => return Ok(End::Close),
                    WorkerOutput::Send(frames) => drop(socket.send(frames)),
                }
            }
            let (beat, expiry) = registration.times();
            let wake = [beat, expiry.map(|expiry| expiry.at)].into_iter().flatten().min();
            let woken = tokio::select! {
                biased;
                () = self.stop.cancelled(), if !self.is_stopping => Woken::Stop,
                () = taken(&mut self.taking) => Woken::Taken,
                received = socket.receive(&mut messages, BATCH) => Woken::Messages(received),
                change = changes.next() => Woken::Change(change),
                () = registration.ordered.notified() => Woken::Ordered,
                () = time(wake) => Woken::Time,
            };
            match woken {
                Woken::Stop => {
                    self.is_stopping = true;
                    registration.change(|worker, _, outputs| worker.stop(outputs));
                }
                Woken::Taken => self.taking = None,
                Woken::Messages(received) => {
                    received?;
                    registration.change(|worker, now, outputs| {
                        messages.drain(..).for_each(|frames| worker.receive(frames, now, outputs));
                    });
                }
                Woken::Change(Some(Change::Connected)) => {
                    registration.change(|worker, now, outputs| worker.opened(now, outputs));
                }
                Woken::Change(Some(Change::Lost)) => {
                    registration.change(|worker, now, outputs| worker.lost(now, outputs));
                }
                Woken::Change(Some(Change::Rejected(reason))) => {
                    return Err(Error::forbidden(format!("the broker at `{broker}` does not let us in: {reason}")));
                }
                Woken::Change(None) => return Err(Error::unavailable("the socket to the broker is closed")),
                Woken::Ordered => {}
                Woken::Time => {
                    if let Some(Expiry { number, request, .. }) = expiry.filter(|expiry| expiry.at <= Instant::now()) {
                        registration.forget_expiry(number);
                        self.workplace.expire(request);
                    }
                    registration.change(|worker, now, outputs| worker.tick(now, outputs));
                }
            }
        }
    }

    /// Waits while there is no socket. Returns whether to go on waiting.
    async fn wait(&mut self, until: &mut Pin<&mut tokio::time::Sleep>) -> bool {
        tokio::select! {
            () = self.stop.cancelled(), if !self.is_stopping => {
                self.is_stopping = true;
                self.registration.change(|worker, _, outputs| worker.stop(outputs));
                false
            }
            () = taken(&mut self.taking) => {
                self.taking = None;
                true
            }
            () = until.as_mut() => false,
        }
    }
}

async fn taken(taking: &mut Option<Pin<Box<dyn Future<Output = ()> + Send>>>) {
    match taking {
        Some(taking) => taking.await,
        None => std::future::pending().await,
    }
}

async fn time(wake: Option<Instant>) {
    match wake {
        Some(wake) => sleep_until(wake).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::protocol::{Service, Version, WorkerSettings, encode};

    fn give(registration: &Registration) {
        let request = encode::assignment(Version::V2, &Address::new("client"), &[Bytes::from_static(b"x")]);
        registration.change(|worker, now, outputs| {
            worker.opened(now, outputs);
            worker.receive(request, now, outputs);
        });
    }

    fn registration() -> Arc<Registration> {
        let now = std::time::Instant::now();
        Registration::new(Worker::new(Service::new("echo").unwrap(), WorkerSettings::default(), now))
    }

    #[tokio::test]
    async fn a_reply_that_the_socket_does_not_take_ends_the_registration() {
        let registration = registration();
        give(&registration);
        // It is not connected, so it takes nothing.
        let socket = Socket::open(Kind::Dealer, &SocketSettings::default()).unwrap();
        registration.set_socket(Some(Arc::new(socket)));
        registration.reply(1, Frames::new());
        assert!(matches!(registration.next_order(), Some(WorkerOutput::Request { number: 1, .. })));
        assert!(matches!(registration.next_order(), Some(WorkerOutput::Reopen { .. })));
    }

    #[tokio::test]
    async fn a_late_reply_does_not_take_away_the_time_of_the_request_that_came_since() {
        let registration = registration();
        let at = Instant::now();
        give(&registration);
        registration.expires(1, at, EventId::from_u128(1));
        registration.change(|worker, now, outputs| worker.lost(now, outputs));
        give(&registration);
        registration.expires(2, at, EventId::from_u128(2));
        assert!(!registration.reply(1, Frames::new()));
        assert_eq!(registration.times().1.map(|expiry| expiry.number), Some(2));
        assert!(registration.reply(2, Frames::new()));
        assert!(registration.times().1.is_none());
    }
}
