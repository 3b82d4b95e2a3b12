//! An actor's queue: bounded in events, filled and emptied in batches, one lock for a batch. Knows nothing of policies and
//! accounts. That a light actor's line lies here while its worker has nothing to do is the matter of `lending`.

use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;

use crate::batch::Batch;
use crate::event::Event;
use crate::line::Line;

/// A bounded queue with one place to wait for each worker, and a line of senders.
///
/// A batch changes hands by changing places with the emptied one of the other side, so that in the steady state nothing
/// is copied and nothing allocated. The lock is held for the length of that.
#[derive(Debug)]
pub(crate) struct Inbox {
    capacity: usize,
    state: Mutex<State>,
    /// Tells the sender that waits longest that there is room.
    room: Notify,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) queue: Batch,
    /// Places that are promised to offers under way.
    pub(crate) reserved: usize,
    /// The workers that wait for events.
    pub(crate) idle: Vec<Option<Waker>>,
    /// How many senders wait for room. Whoever comes later waits behind them.
    pub(crate) waiting: usize,
    /// The worker's line, while the worker has nothing to do and nobody has borrowed it.
    pub(crate) parked: Option<Box<Line>>,
    pub(crate) closed: bool,
    /// Nobody will come for what is left.
    pub(crate) abandoned: bool,
}

/// How events were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// They were there.
    AtOnce,
    /// The worker had to wait for them.
    Waited,
    /// There are none, and there will be none.
    Closed,
}

/// What became of a batch that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// All of it is in the queue.
    All,
    /// What is left in the batch found no room.
    Full,
    /// What is left in the batch came too late: the actor has stopped.
    Closed,
}

impl Inbox {
    pub(crate) fn new(capacity: usize, workers: usize) -> Self {
        let idle = vec![None; workers];
        let queue = Batch::default();
        let state = State { queue, reserved: 0, idle, waiting: 0, parked: None, closed: false, abandoned: false };
        Self { capacity: capacity.max(1), state: Mutex::new(state), room: Notify::new() }
    }

    pub(crate) fn depth(&self) -> usize {
        self.lock().queue.len()
    }

    /// Moves as much of `batch` into the queue as there is room for.
    pub(crate) fn push(&self, batch: &mut Batch) -> Sent {
        let mut state = self.lock();
        let (sent, wakers) = self.fill(&mut state, batch, false);
        drop(state);
        wakers.wake();
        sent
    }

    /// Moves one event into the queue, or hands it back where there is no room.
    pub(crate) fn push_one(&self, event: Event) -> Result<(), Event> {
        let mut state = self.lock();
        if state.closed || state.waiting > 0 || self.free(&state) == 0 {
            return Err(event);
        }
        state.queue.push(event);
        let waker = state.idle_worker();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// Moves all of `batch` into the queue, and waits for room where there is none.
    pub(crate) async fn send(&self, batch: &mut Batch) -> Sent {
        let place = {
            let mut state = self.lock();
            let (sent, wakers) = self.fill(&mut state, batch, false);
            if sent == Sent::Full {
                state.waiting += 1;
            }
            drop(state);
            wakers.wake();
            if sent != Sent::Full {
                return sent;
            }
            Place(self)
        };
        loop {
            place.0.room.notified().await;
            let mut state = self.lock();
            let (sent, wakers) = self.fill(&mut state, batch, true);
            drop(state);
            wakers.wake();
            if sent != Sent::Full {
                return sent;
            }
        }
    }

    /// Promises one place in the queue, where there is one.
    pub(crate) fn reserve(&self) -> bool {
        let mut state = self.lock();
        let granted = !state.closed && state.waiting == 0 && self.free(&state) > 0;
        if granted {
            state.reserved += 1;
        }
        granted
    }

    /// Gives a promised place back.
    pub(crate) fn release(&self) {
        let mut state = self.lock();
        state.reserved -= 1;
        let next = state.waiting > 0;
        drop(state);
        if next {
            self.room.notify_one();
        }
    }

    /// Fills a promised place.
    pub(crate) fn push_reserved(&self, event: Event) {
        let mut state = self.lock();
        state.reserved -= 1;
        if state.abandoned {
            drop(state);
            drop(Batch::from(event));
            return;
        }
        state.queue.push(event);
        let waker = state.idle_worker();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits for events, and moves up to `limit` of them into `batch`.
    pub(crate) async fn take(&self, worker: usize, batch: &mut Batch, limit: usize) -> Taken {
        let mut waited = false;
        poll_fn(|context| {
            let poll = self.poll_take(worker, batch, limit, context);
            let taken = if std::mem::replace(&mut waited, true) { Taken::Waited } else { Taken::AtOnce };
            poll.map(|open| if open { taken } else { Taken::Closed })
        })
        .await
    }

    /// Ready with false when the inbox is closed and empty.
    pub(crate) fn poll_take(
        &self,
        worker: usize,
        batch: &mut Batch,
        limit: usize,
        context: &mut Context<'_>,
    ) -> Poll<bool> {
        let mut state = self.lock();
        if state.queue.is_empty() {
            if state.closed {
                return Poll::Ready(false);
            }
            state.idle[worker] = Some(context.waker().clone());
            return Poll::Pending;
        }
        state.idle[worker] = None;
        // Each worker takes its share only, so that one does not hold what another could handle.
        let share = state.queue.len().div_ceil(state.idle.len());
        batch.take_from(&mut state.queue, share.min(limit));
        // Whoever takes wakes the next one where something is left: events that were put back woke one worker only.
        let worker = if state.queue.is_empty() { None } else { state.idle_worker() };
        let next = state.waiting > 0;
        drop(state);
        if let Some(worker) = worker {
            worker.wake();
        }
        if next {
            self.room.notify_one();
        }
        Poll::Ready(true)
    }

    /// Puts events that were taken and not handled back to the front. For a while the queue may so hold more than its
    /// capacity, by what was in hand.
    pub(crate) fn put_back(&self, batch: &mut Batch) {
        if batch.is_empty() {
            return;
        }
        let mut state = self.lock();
        if state.abandoned {
            // They stay in the hands that are about to let go of them.
            return;
        }
        state.queue.put_before(batch);
        let waker = state.idle_worker();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes in no more; workers end when the queue is empty, and senders that wait learn of it.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let idle: Vec<_> = state.idle.iter_mut().filter_map(Option::take).collect();
        drop(state);
        idle.into_iter().for_each(Waker::wake);
        self.room.notify_one();
    }

    /// Closes, and lets go of all events that wait.
    pub(crate) fn abandon(&self) {
        self.close();
        let mut state = self.lock();
        state.abandoned = true;
        let left = (std::mem::take(&mut state.queue), state.parked.take());
        // Dropped without the lock: the receipts that it fails call out.
        drop(state);
        drop(left);
    }

    fn free(&self, state: &State) -> usize {
        self.capacity.saturating_sub(state.queue.len() + state.reserved)
    }

    /// Moves what fits. A sender whose turn it is passes the turn on where room is left after it.
    fn fill(&self, state: &mut State, batch: &mut Batch, has_place: bool) -> (Sent, Wakers<'_>) {
        let mut wakers = Wakers { workers: Vec::new(), first: None, room: None };
        if state.closed {
            if has_place {
                // The line of senders dissolves one by one.
                wakers.room = Some(&self.room);
            }
            return (Sent::Closed, wakers);
        }
        let turn = has_place || state.waiting == 0;
        let room = if turn { self.free(state).min(batch.len()) } else { 0 };
        if room > 0 {
            state.queue.take_from(batch, room);
            wakers.first = state.idle_worker();
            if room > 1 && state.idle.len() > 1 {
                wakers.workers.extend((1..room).map_while(|_| state.idle_worker()));
            }
        }
        if has_place && batch.is_empty() && self.free(state) > 0 && state.waiting > 1 {
            wakers.room = Some(&self.room);
        }
        (if batch.is_empty() { Sent::All } else { Sent::Full }, wakers)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics under the lock but for want of memory.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    pub(crate) fn idle_worker(&mut self) -> Option<Waker> {
        self.idle.iter_mut().find_map(Option::take)
    }
}

/// Whom to wake when the lock has been released.
struct Wakers<'a> {
    first: Option<Waker>,
    workers: Vec<Waker>,
    room: Option<&'a Notify>,
}

impl Wakers<'_> {
    fn wake(self) {
        if let Some(waker) = self.first {
            waker.wake();
        }
        self.workers.into_iter().for_each(Waker::wake);
        if let Some(room) = self.room {
            room.notify_one();
        }
    }
}

/// A sender's place in the line. One that gives up leaves it, and lets the next one look.
struct Place<'a>(&'a Inbox);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.waiting -= 1;
        let next = state.waiting > 0 && (state.closed || self.0.free(&state) > 0);
        drop(state);
        if next {
            self.0.room.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn events(count: usize) -> Batch {
        let mut batch = Batch::default();
        batch.extend((0..count).map(|number| Event::new(number.to_string())));
        batch
    }

    #[tokio::test]
    async fn capacity_counts_events_not_batches() {
        let inbox = Inbox::new(5, 1);
        let mut batch = events(8);
        assert_eq!(inbox.push(&mut batch), Sent::Full);
        assert_eq!((inbox.depth(), batch.len()), (5, 3));
        assert!(inbox.push_one(Event::new(())).is_err());
        assert!(!inbox.reserve());
    }

    #[tokio::test]
    async fn a_sender_waits_for_room_and_keeps_its_order() {
        let inbox = Arc::new(Inbox::new(2, 1));
        let sender = tokio::spawn({
            let inbox = inbox.clone();
            async move { inbox.send(&mut events(5)).await }
        });
        let mut seen = Vec::new();
        while seen.len() < 5 {
            let mut batch = Batch::default();
            assert_ne!(inbox.take(0, &mut batch, 64).await, Taken::Closed);
            assert!(batch.len() <= 2);
            seen.extend(std::iter::from_fn(|| batch.pop()).map(|event| event.payload().to_string()));
        }
        assert_eq!(sender.await.unwrap(), Sent::All);
        assert_eq!(seen, ["0", "1", "2", "3", "4"]);
    }

    #[tokio::test]
    async fn every_waiting_sender_gets_its_turn_even_when_one_gives_up() {
        let inbox = Arc::new(Inbox::new(1, 1));
        inbox.push(&mut events(1));
        let mut senders: Vec<_> = (0..10)
            .map(|_| {
                let inbox = inbox.clone();
                tokio::spawn(async move { inbox.send(&mut events(3)).await })
            })
            .collect();
        tokio::task::yield_now().await;
        senders.remove(0).abort();
        let mut taken = 0;
        while taken < 28 {
            let mut batch = Batch::default();
            assert_ne!(inbox.take(0, &mut batch, 64).await, Taken::Closed);
            taken += batch.len();
            std::iter::from_fn(|| batch.pop()).for_each(drop);
        }
        for sender in senders {
            assert_eq!(sender.await.unwrap(), Sent::All);
        }
    }

    #[tokio::test]
    async fn closing_ends_workers_and_senders() {
        let inbox = Arc::new(Inbox::new(1, 1));
        inbox.push(&mut events(1));
        let senders: Vec<_> = (0..3)
            .map(|_| {
                let inbox = inbox.clone();
                tokio::spawn(async move { inbox.send(&mut events(1)).await })
            })
            .collect();
        tokio::task::yield_now().await;
        inbox.close();
        for sender in senders {
            assert_eq!(sender.await.unwrap(), Sent::Closed);
        }
        let mut batch = Batch::default();
        assert_ne!(inbox.take(0, &mut batch, 64).await, Taken::Closed);
        assert_eq!(inbox.take(0, &mut Batch::default(), 64).await, Taken::Closed);
    }

    #[tokio::test]
    async fn whoever_takes_wakes_the_next_where_something_is_left() {
        let inbox = Arc::new(Inbox::new(64, 3));
        let workers: Vec<_> = (0..3)
            .map(|worker| {
                let inbox = inbox.clone();
                tokio::spawn(async move {
                    let mut batch = Batch::default();
                    inbox.take(worker, &mut batch, 1).await;
                    let taken = batch.len();
                    std::iter::from_fn(|| batch.pop()).for_each(drop);
                    taken
                })
            })
            .collect();
        tokio::task::yield_now().await;
        // It wakes one worker, as if the events had been in another's hands.
        inbox.put_back(&mut events(3));
        for worker in workers {
            assert_eq!(worker.await.unwrap(), 1);
        }
    }

    #[tokio::test]
    async fn workers_share_what_is_there() {
        let inbox = Inbox::new(64, 4);
        inbox.push(&mut events(8));
        let mut batch = Batch::default();
        assert_ne!(inbox.take(0, &mut batch, 64).await, Taken::Closed);
        assert_eq!(batch.len(), 2);
    }
}
