//! The clients of an event stream: each event is encoded once and put into the queue of every client that it is for.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use playhouse_engine::{Error, Event, Result};

use super::body::Feed;
use super::clock::{Ticks, ticks};
use super::connection::{Connection, Excuse};
use super::event_stream::{Encoded, EventStreamSettings, welcome};
use super::reception::Counters;

/// A comment: clients pass over it.
const HEARTBEAT: &[u8] = b":\n\n";

/// How long a client may take nothing of what waits for it when the flow stops.
const WHILE_STOPPING: Duration = Duration::from_secs(2);

/// The clients of the event streams that one inbox feeds.
#[derive(Debug)]
pub(crate) struct Audience {
    settings: EventStreamSettings,
    counters: Arc<Counters>,
    // Held while an event is put into all queues, so that all clients have the same order; never while one is woken.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Those who get everything.
    all: Vec<Arc<Seat>>,
    /// Those who get what is of their topic, and what is of none.
    topics: HashMap<Box<str>, Vec<Arc<Seat>>>,
    history: VecDeque<Encoded>,
    /// Where the flow stops: who comes then is not let in.
    closing: Option<Closing>,
}

/// Those who were there when the flow began to stop.
#[derive(Debug)]
struct Closing {
    looked: Ticks,
    /// What each had taken when it was looked at. A connection leads to the audience, so this must not keep it.
    clients: Vec<(Weak<Connection>, u64)>,
}

/// Where a client waits for its events.
#[derive(Debug)]
struct Seat {
    topic: Option<Box<str>>,
    /// Where it stands in its list; only used while the audience is locked.
    place: AtomicUsize,
    connection: Arc<Connection>,
    /// Whether the connection is closed when the client does not keep up; one of HTTP/2 has others too.
    is_alone: bool,
    queue: Mutex<Queue>,
}

#[derive(Debug)]
struct Queue {
    events: VecDeque<Bytes>,
    /// How many at the front were there before the client came, and count for nothing.
    replayed: usize,
    waker: Option<Waker>,
    end: Option<End>,
    /// When something was sent last.
    fed: Ticks,
    /// Keeps the connection until the client is too slow.
    excuse: Option<Excuse>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The stream ends when the client has what waits.
    Over,
    /// The client did not keep up.
    TooSlow,
}

impl Audience {
    pub(crate) fn new(settings: EventStreamSettings, counters: Arc<Counters>) -> Self {
        Self { settings, counters, state: Mutex::default() }
    }

    /// Sends an event to all whom it is for.
    ///
    /// # Errors
    /// Where it cannot be encoded; the error of an event that has one: it is none of the clients' business.
    pub(crate) fn publish(&self, event: &Event, now: Ticks) -> Result<()> {
        if let Some(error) = event.error() {
            return Err(error.clone());
        }
        let encoded = Encoded::of(event)?;
        let mut wakers = Vec::new();
        let mut state = self.state();
        let State { all, topics, .. } = &*state;
        let mut slow = Vec::new();
        let mut closed = 0;
        let seats: &mut dyn Iterator<Item = &Arc<Seat>> = match &encoded.topic {
            Some(topic) => &mut all.iter().chain(topics.get(topic).into_iter().flatten()),
            None => &mut all.iter().chain(topics.values().flatten()),
        };
        for seat in seats {
            let mut queue = seat.queue();
            if queue.end.is_some() {
                continue;
            }
            if queue.events.len() >= self.settings.backlog.max(1) + queue.replayed {
                queue.end = Some(End::TooSlow);
                queue.events = VecDeque::new();
                queue.excuse = None;
                closed += 1;
                slow.extend(seat.is_alone.then(|| seat.connection.clone()));
            } else {
                queue.events.push_back(encoded.bytes.clone());
                queue.fed = now;
            }
            wakers.extend(queue.waker.take());
        }
        if self.settings.history > 0 && (encoded.id.is_some() || !state.history.is_empty()) {
            if state.history.len() >= self.settings.history {
                state.history.pop_front();
            }
            state.history.push_back(encoded);
        }
        drop(state);
        self.counters.slow.fetch_add(closed, Ordering::Relaxed);
        slow.iter().for_each(|connection| connection.watch.cut());
        wakers.into_iter().for_each(Waker::wake);
        Ok(())
    }

    /// Lets a client in, which gets what came after the event `last` first.
    ///
    /// # Errors
    /// `Unavailable` where the flow stops.
    pub(crate) fn admit(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        is_alone: bool,
        topic: Option<Box<str>>,
        last: Option<&str>,
    ) -> Result<Place> {
        let mut events: VecDeque<Bytes> = self.settings.retry.map(welcome).into_iter().collect();
        let mut state = self.state();
        if state.closing.is_some() {
            return Err(Error::unavailable("the server stops"));
        }
        if let Some(last) = last {
            // What is not known any more was missed: then all that is kept is what can be made good.
            let known = state.history.iter().rposition(|event| event.id.as_deref() == Some(last));
            let missed = state.history.iter().skip(known.map_or(0, |known| known + 1));
            let is_for = |event: &&Encoded| topic.is_none() || event.topic.is_none() || event.topic == topic;
            events.extend(missed.filter(is_for).map(|event| event.bytes.clone()));
        }
        let replayed = events.len();
        let (fed, excuse) = (connection.reception.clock.now(), Some(Excuse::new(connection.clone())));
        let queue = Queue { events, replayed, waker: None, end: None, fed, excuse };
        let list = state.list(topic.as_deref());
        let seat = Arc::new(Seat {
            place: AtomicUsize::new(list.len()),
            connection: connection.clone(),
            is_alone,
            queue: Mutex::new(queue),
            topic,
        });
        list.push(seat.clone());
        drop(state);
        connection.watch.stream_more();
        self.counters.streams.fetch_add(1, Ordering::Relaxed);
        Ok(Place { audience: self.clone(), seat })
    }

    /// Sends a heartbeat to all who have not been sent anything for a while, and cuts off who takes nothing while the flow stops.
    pub(crate) fn sweep(&self, now: Ticks) {
        self.cut_stalled(now);
        let heartbeat = ticks(self.settings.heartbeat);
        let mut wakers = Vec::new();
        for seat in self.state().seats() {
            let mut queue = seat.queue();
            if queue.fed.saturating_add(heartbeat) <= now {
                queue.fed = now;
                // Who has not taken what waits needs no more of it.
                if queue.events.is_empty() && queue.end.is_none() {
                    queue.events.push_back(Bytes::from_static(HEARTBEAT));
                    wakers.extend(queue.waker.take());
                }
            }
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Ends the connections on which nothing has moved for a while since the flow began to stop. No end of a stream reaches their
    /// clients: hyper asks for no more while they take nothing.
    fn cut_stalled(&self, now: Ticks) {
        let mut state = self.state();
        let Some(closing) = &mut state.closing else { return };
        if now < closing.looked.saturating_add(ticks(WHILE_STOPPING)) {
            return;
        }
        closing.looked = now;
        let mut stalled = Vec::new();
        closing.clients.retain_mut(|(connection, written)| {
            let Some(connection) = connection.upgrade() else { return false };
            let before = std::mem::replace(written, connection.watch.written());
            // Another request may still get its answer, which comes or fails within its deadline.
            if before == *written && connection.watch.has_only_streams() {
                stalled.push(connection);
            }
            true
        });
        drop(state);
        stalled.iter().for_each(|connection| connection.watch.cut());
    }

    /// Ends all streams, when their clients have what waits for them.
    pub(crate) fn close(&self, now: Ticks) {
        let mut wakers = Vec::new();
        let mut state = self.state();
        let client = |seat: &Arc<Seat>| (Arc::downgrade(&seat.connection), seat.connection.watch.written());
        let clients = state.seats().map(client).collect();
        state.closing = Some(Closing { looked: now, clients });
        for seat in state.seats() {
            let mut queue = seat.queue();
            queue.end.get_or_insert(End::Over);
            queue.excuse = None;
            wakers.extend(queue.waker.take());
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn leave(&self, seat: &Arc<Seat>) {
        let mut state = self.state();
        let list = state.list(seat.topic.as_deref());
        let place = seat.place.load(Ordering::Relaxed);
        list.swap_remove(place);
        if let Some(moved) = list.get(place) {
            moved.place.store(place, Ordering::Relaxed);
        }
        if let Some(topic) = &seat.topic
            && list.is_empty()
        {
            state.topics.remove(topic);
        }
        drop(state);
        seat.connection.watch.stream_less();
        self.counters.streams.fetch_sub(1, Ordering::Relaxed);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic cannot happen while it is held, for nothing of anybody else's runs then.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn list(&mut self, topic: Option<&str>) -> &mut Vec<Arc<Seat>> {
        let Some(topic) = topic else { return &mut self.all };
        self.topics.entry(topic.into()).or_default()
    }

    fn seats(&self) -> impl Iterator<Item = &Arc<Seat>> {
        self.all.iter().chain(self.topics.values().flatten())
    }
}

impl Seat {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client's place in the audience, which is free again when this goes: the body of its answer.
pub(crate) struct Place {
    audience: Arc<Audience>,
    seat: Arc<Seat>,
}

impl Feed for Place {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        let mut queue = self.seat.queue();
        if queue.end == Some(End::TooSlow) {
            return Poll::Ready(Some(Err(Error::rate_exceeded("the client does not keep up with the events"))));
        }
        if let Some(event) = queue.events.pop_front() {
            queue.replayed = queue.replayed.saturating_sub(1);
            return Poll::Ready(Some(Ok(event)));
        }
        if queue.end.is_some() {
            return Poll::Ready(None);
        }
        match &mut queue.waker {
            Some(known) if known.will_wake(context.waker()) => {}
            known => *known = Some(context.waker().clone()),
        }
        Poll::Pending
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.audience.leave(&self.seat);
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Place").field(&self.seat.topic).finish()
    }
}
