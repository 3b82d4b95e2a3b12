//! The registrations of a worker at one broker: their state machines, and what they send.
//!
//! Where there are several, they share a connection, in which each has a lane: an address of its own. The broker sees as many
//! workers, and both sides read and write for all of them at once.
//!
//! A reply is sent by whoever has it, on his own task, under a lock that is held for the time of one message.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use playhouse_engine::EventId;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::protocol::{Address, Frames};
use crate::protocol::{Worker, WorkerOutput};
use crate::transport::Socket;

mod run;

pub(crate) use run::{Outcome, Workplace, run};

/// A request that the broker gave.
#[derive(Debug)]
pub(crate) struct Assignment {
    pub(crate) job: Job,
    pub(crate) body: Frames,
}

/// Where a request is to be answered: the registration that was given it, and its number there.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    registrations: Arc<Registrations>,
    index: usize,
    number: u64,
}

impl Job {
    /// Has the workplace asked to [`Workplace::expire`] the request, unless it is answered by then.
    pub(crate) fn expires(&self, at: Instant, request: EventId) {
        let mut state = self.registrations.lock();
        state.all[self.index].expiry = Some(Expiry { number: self.number, at, request });
        if state.wake_by(at) {
            self.registrations.ordered.notify_one();
        }
    }

    /// Sends a partial reply. Returns whether anybody still wants it.
    pub(crate) fn reply_partially(&self, body: Frames) -> bool {
        let now = Instant::now().into_std();
        self.feed(|state| {
            state.feed(self.index, |worker, outputs| worker.reply_partially(self.number, body, now, outputs))
        })
    }

    /// Sends the final reply. Returns whether anybody still wants it.
    pub(crate) fn reply(&self, body: Frames) -> bool {
        let now = Instant::now().into_std();
        self.feed(|state| {
            state.forget_expiry(self.index, self.number);
            state.feed(self.index, |worker, outputs| worker.reply(self.number, body, now, outputs))
        })
    }

    /// Leaves the broker without an answer, so that another worker gets the request.
    pub(crate) fn give_back(&self) {
        let now = Instant::now().into_std();
        self.feed(|state| {
            state.forget_expiry(self.index, self.number);
            state.feed(self.index, |worker, outputs| worker.give_back(self.number, now, outputs));
        });
    }

    fn feed<R>(&self, feed: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.registrations.lock();
        let result = feed(&mut state);
        if !state.orders.is_empty() || state.is_refused {
            self.registrations.ordered.notify_one();
        }
        result
    }
}

/// All registrations at a broker that share a connection.
#[derive(Debug)]
struct Registrations {
    state: Mutex<State>,
    /// There are orders for the task, or something is to be done earlier than it knows.
    ordered: Notify,
}

impl Registrations {
    fn new(workers: impl IntoIterator<Item = Worker>) -> Arc<Self> {
        let now = Instant::now();
        let new = |worker| Registration { worker, lane: None, expiry: None, opens: Some(now), is_registered: false };
        let state = State {
            all: workers.into_iter().map(new).collect(),
            lanes: HashMap::new(),
            socket: None,
            is_connected: false,
            is_refused: false,
            outputs: Vec::new(),
            orders: VecDeque::new(),
            wake: None,
        };
        Arc::new(Self { state: Mutex::new(state), ordered: Notify::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing of anybody else's runs while it is held, so nothing panics.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Registration {
    worker: Worker,
    /// Its address within the connection, where it shares that and is registered.
    lane: Option<Bytes>,
    expiry: Option<Expiry>,
    /// From when on it may begin; none while it runs, and once it has ended.
    opens: Option<Instant>,
    is_registered: bool,
}

/// Until when a request must be answered, and by which event the workplace knows it.
#[derive(Clone, Copy, Debug)]
struct Expiry {
    number: u64,
    at: Instant,
    request: EventId,
}

/// What is to be done by the task, for the registration of this index.
type Order = (usize, WorkerOutput);

#[derive(Debug)]
struct State {
    all: Vec<Registration>,
    /// Who has which lane.
    lanes: HashMap<Bytes, usize>,
    socket: Option<Arc<Socket>>,
    /// Messages go over the socket.
    is_connected: bool,
    /// The socket did not take something.
    is_refused: bool,
    outputs: Vec<WorkerOutput>,
    orders: VecDeque<Order>,
    /// When to look at the times of all registrations, which is no later than the first of these.
    wake: Option<Instant>,
}

impl State {
    fn share_a_connection(&self) -> bool {
        self.all.len() > 1
    }

    /// Has the task look at the times by then. Returns whether it would have been later.
    fn wake_by(&mut self, at: Instant) -> bool {
        let is_earlier = self.wake.is_none_or(|wake| at < wake);
        if is_earlier {
            self.wake = Some(at);
        }
        is_earlier
    }

    /// Feeds a machine, sends what it wants sent, and leaves the rest to the task.
    fn feed<R>(&mut self, index: usize, feed: impl FnOnce(&mut Worker, &mut Vec<WorkerOutput>) -> R) -> R {
        let Self { all, socket, is_refused, outputs, orders, .. } = self;
        let registration = &mut all[index];
        let result = feed(&mut registration.worker, outputs);
        for output in outputs.drain(..) {
            match (output, &socket) {
                (WorkerOutput::Send(frames), Some(socket)) => {
                    *is_refused |= socket.send(registration.by_lane(frames)).is_err();
                }
                (WorkerOutput::Send(_), None) => {}
                (order, _) => orders.push_back((index, order)),
            }
        }
        if let Some(next) = registration.worker.next_tick() {
            self.wake_by(next.into());
        }
        result
    }

    /// Takes what came from the broker.
    fn receive(&mut self, messages: &mut Vec<Frames>, now: std::time::Instant) {
        for mut frames in messages.drain(..) {
            let index = if self.share_a_connection() {
                if frames.is_empty() {
                    continue;
                }
                match self.lanes.get(&frames.remove(0)) {
                    Some(index) => *index,
                    // It was for a registration of before.
                    None => continue,
                }
            } else {
                0
            };
            self.feed(index, |worker, outputs| worker.receive(frames, now, outputs));
        }
    }

    /// Ends all registrations where the socket did not take something: the connection is gone, or the broker reads too slowly. It
    /// would wait for ever for what it was not sent, so it must see that they end, and do with their requests as it does when
    /// a worker dies.
    fn end_refused(&mut self, now: std::time::Instant) {
        if std::mem::take(&mut self.is_refused) {
            self.feed_all(|worker, outputs| worker.lost(now, outputs));
        }
    }

    /// That of another request stays: a late reply to an earlier one must not take it away.
    fn forget_expiry(&mut self, index: usize, number: u64) {
        self.all[index].expiry.take_if(|expiry| expiry.number == number);
    }

    fn feed_all(&mut self, mut feed: impl FnMut(&mut Worker, &mut Vec<WorkerOutput>)) {
        for index in 0..self.all.len() {
            self.feed(index, &mut feed);
        }
    }

    /// Begins the registrations whose time it is. The others are looked at again in time.
    fn open(&mut self, now: Instant) {
        for index in 0..self.all.len() {
            match self.all[index].opens {
                Some(at) if at <= now => {
                    if self.share_a_connection() {
                        // A new address each time, so that nothing meant for an earlier registration reaches this one.
                        let lane = Address::unique().as_bytes().clone();
                        self.lanes.insert(lane.clone(), index);
                        self.all[index].lane = Some(lane);
                    }
                    self.all[index].opens = None;
                    self.all[index].is_registered = true;
                    self.feed(index, |worker, outputs| worker.opened(now.into_std(), outputs));
                }
                Some(at) => drop(self.wake_by(at)),
                None => {}
            }
        }
    }

    /// Takes a registration off the connection, until then where it is to begin anew.
    fn leave(&mut self, index: usize, opens: Option<Instant>) {
        let registration = &mut self.all[index];
        registration.opens = opens;
        registration.is_registered = false;
        if let Some(lane) = registration.lane.take() {
            self.lanes.remove(&lane);
            if let Some(socket) = &self.socket {
                // Where there is no connection, there is no lane either.
                let _ = socket.send(vec![lane]);
            }
        }
        if let Some(at) = opens
            && self.is_connected
        {
            self.wake_by(at);
        }
    }

    /// Does what is due by now. Returns the requests that were to be answered by now.
    fn tick(&mut self, now: Instant) -> Vec<EventId> {
        self.wake = None;
        let mut expired = Vec::new();
        for index in 0..self.all.len() {
            if let Some(expiry) = self.all[index].expiry.take_if(|expiry| expiry.at <= now) {
                expired.push(expiry.request);
            } else if let Some(Expiry { at, .. }) = self.all[index].expiry {
                self.wake_by(at);
            }
            self.feed(index, |worker, outputs| worker.tick(now.into_std(), outputs));
        }
        if self.is_connected {
            self.open(now);
        }
        expired
    }
}

impl Registration {
    fn by_lane(&self, mut frames: Frames) -> Frames {
        if let Some(lane) = &self.lane {
            frames.insert(0, lane.clone());
        }
        frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Service, Version, WorkerSettings, encode};
    use crate::transport::{Kind, SocketSettings};

    fn registrations() -> Arc<Registrations> {
        let now = std::time::Instant::now();
        Registrations::new([Worker::new(Service::new("echo").unwrap(), WorkerSettings::default(), now)])
    }

    /// Gives the registration a request, and says where to answer it.
    fn give(registrations: &Arc<Registrations>, number: u64) -> Job {
        let request = encode::assignment(Version::V2, &Address::new("client"), &[Bytes::from_static(b"x")]);
        let now = std::time::Instant::now();
        let mut state = registrations.lock();
        state.feed(0, |worker, outputs| {
            worker.opened(now, outputs);
            worker.receive(request, now, outputs);
        });
        assert!(matches!(state.orders.pop_front(), Some((0, WorkerOutput::Request { .. }))));
        Job { registrations: registrations.clone(), index: 0, number }
    }

    #[tokio::test]
    async fn a_reply_that_the_socket_does_not_take_ends_the_registration() {
        let registrations = registrations();
        let job = give(&registrations, 1);
        // It is not connected, so it takes nothing.
        let socket = Socket::open(Kind::Dealer, &SocketSettings::default()).unwrap();
        registrations.lock().socket = Some(Arc::new(socket));
        job.reply(Frames::new());
        let mut state = registrations.lock();
        state.end_refused(std::time::Instant::now());
        assert!(matches!(state.orders.pop_front(), Some((0, WorkerOutput::Reopen { .. }))));
    }

    #[tokio::test]
    async fn a_late_reply_does_not_take_away_the_time_of_the_request_that_came_since() {
        let registrations = registrations();
        let at = Instant::now();
        let early = give(&registrations, 1);
        early.expires(at, EventId::from_u128(1));
        {
            let mut state = registrations.lock();
            state.feed_all(|worker, outputs| worker.lost(at.into_std(), outputs));
            state.orders.clear();
        }
        let later = give(&registrations, 2);
        later.expires(at, EventId::from_u128(2));
        assert!(!early.reply(Frames::new()));
        assert_eq!(registrations.lock().all[0].expiry.map(|expiry| expiry.number), Some(2));
        assert!(later.reply(Frames::new()));
        assert!(registrations.lock().all[0].expiry.is_none());
    }
}
