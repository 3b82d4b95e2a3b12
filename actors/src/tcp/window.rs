//! What a sink holds: events that wait to be sent, and those that were sent and not acknowledged.

mod inner;

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use playhouse_engine::{Emitter, Error, Event, Held, Result};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::framing::Framing;
use crate::content::weight;
use inner::{Entry, Inner};

/// A buffer that has grown beyond this is given back once it is written.
const KEPT: usize = 1 << 20;

/// What a held event counts beside its payload.
const ENTRY: usize = 256;

/// How much a sink may hold, and for how long.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    pub(super) framing: Framing,
    pub(super) events: usize,
    pub(super) bytes: usize,
    pub(super) largest: usize,
    pub(super) time: Duration,
}

/// The events that a sink holds.
#[derive(Debug)]
pub(super) struct Window {
    limits: Limits,
    // Held to put one event in, or to take out what came to an end together.
    inner: Mutex<Inner>,
    /// Somebody waits for room, and there may be some.
    room: Notify,
    /// There is something to send.
    pub(super) work: Notify,
    /// There is something to fail.
    pub(super) failures: Notify,
    /// The time at which the first event is due has become an earlier one.
    pub(super) sooner: Notify,
    /// Nothing is held any more.
    pub(super) emptied: Notify,
}

/// What became of an event that was to be held.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    Taken,
    /// It is, and nobody is there yet who sends it.
    Untended,
    Full,
}

impl Window {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            inner: Mutex::new(Inner::new()),
            room: Notify::new(),
            work: Notify::new(),
            failures: Notify::new(),
            sooner: Notify::new(),
            emptied: Notify::new(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds an event, if there is room for it. There always is where nothing else is held.
    pub(super) fn push(&self, event: &Event, emitter: &Emitter) -> Pushed {
        let bytes = weight(event.payload()) + ENTRY;
        let mut inner = self.inner();
        if inner.count > 0 && (inner.count >= self.limits.events || inner.bytes + bytes > self.limits.bytes) {
            return Pushed::Full;
        }
        let is_first = inner.output.is_empty() && inner.waiting.is_empty();
        let due = Instant::now() + self.limits.time;
        let due = event.deadline().map_or(due, |deadline| deadline.min(due));
        inner.count += 1;
        inner.bytes += bytes;
        let entry = Entry { held: emitter.hold(event), due, bytes };
        let is_sooner = inner.due.is_none_or(|first| due < first);
        if is_sooner {
            inner.due = Some(due);
        }
        let has_failures = inner.add(entry, &self.limits);
        let is_tended = std::mem::replace(&mut inner.is_tended, true);
        drop(inner);
        if is_first {
            self.work.notify_one();
        }
        if is_sooner {
            self.sooner.notify_one();
        }
        if has_failures {
            self.failures.notify_one();
        }
        if is_tended { Pushed::Taken } else { Pushed::Untended }
    }

    /// Holds an event as soon as there is room for it.
    ///
    /// # Errors
    /// `Unavailable` where there is none in the time that an event may take in all.
    pub(super) async fn push_later(&self, event: &Event, emitter: &Emitter) -> Result<Pushed> {
        let due = Instant::now() + self.limits.time;
        let due = event.deadline().map_or(due, |deadline| deadline.min(due));
        let pushed = tokio::time::timeout_at(due, async {
            loop {
                let mut room = std::pin::pin!(self.room.notified());
                room.as_mut().enable();
                match self.push(event, emitter) {
                    Pushed::Full => room.await,
                    pushed => return pushed,
                }
            }
        });
        pushed.await.map_err(|_| {
            let error = Error::unavailable("no room for the event: too many before it are not acknowledged");
            self.explained(error)
        })
    }

    fn explained(&self, error: Error) -> Error {
        match &self.inner().trouble {
            Some(trouble) => error.caused_by(trouble.clone()),
            None => error,
        }
    }

    /// Begins to send, to one who takes frames of `largest` bytes.
    pub(super) fn connect(&self, largest: usize) {
        self.inner().connected = Some(largest.min(self.limits.largest));
    }

    /// Ends sending, because of an error: what was not acknowledged will be sent again, in its order.
    pub(super) fn disconnect(&self, trouble: Option<Error>) {
        let mut inner = self.inner();
        inner.connected = None;
        inner.output.clear();
        inner.first = 0;
        let sent = std::mem::take(&mut inner.sent);
        sent.into_iter().rev().flatten().for_each(|entry| inner.waiting.push_front(entry));
        if trouble.is_some() {
            inner.trouble = trouble;
        }
    }

    /// Says whether something waits to be sent.
    pub(super) fn has_waiting(&self) -> bool {
        !self.inner().waiting.is_empty()
    }

    /// Swaps what is to be written with the empty `output`, and returns the number of the first event that is not in it.
    pub(super) fn take(&self, output: &mut BytesMut) -> u64 {
        if output.capacity() > KEPT {
            *output = BytesMut::new();
        }
        let mut inner = self.inner();
        let has_failures = inner.fill(&self.limits);
        std::mem::swap(&mut inner.output, output);
        let next = inner.next();
        drop(inner);
        if has_failures {
            self.failures.notify_one();
        }
        next
    }

    /// Ends events that were delivered: `count` of them from the number `first` on.
    ///
    /// # Errors
    /// `Malformed` where they were never sent.
    pub(super) fn delivered(&self, first: u64, count: u64, ended: &mut Vec<Held>) -> Result<()> {
        let mut inner = self.inner();
        let (begin, next) = (inner.first, inner.next());
        let end = first.checked_add(count).filter(|end| *end <= next).ok_or_else(never_sent)?;
        for number in first.max(begin)..end {
            if let Some(entry) = inner.take_sent(number) {
                ended.push(entry.held);
            }
        }
        inner.trouble = None;
        inner.forget_ended();
        Ok(())
    }

    /// Ends an event that failed at the other side.
    ///
    /// # Errors
    /// `Malformed` where it was never sent.
    pub(super) fn failed(&self, number: u64, error: Error) -> Result<()> {
        let mut inner = self.inner();
        if number >= inner.next() {
            return Err(never_sent());
        }
        if number >= inner.first
            && let Some(slot) = inner.slot(number)
            && let Some(entry) = slot.take()
        {
            inner.failing.push((entry, error));
        }
        inner.trouble = None;
        inner.forget_ended();
        drop(inner);
        self.failures.notify_one();
        Ok(())
    }

    /// Ends what is due, and returns when the next is.
    pub(super) fn expire(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut inner = self.inner();
        let Inner { waiting, sent, failing, trouble, connected, .. } = &mut *inner;
        let mut next: Option<Instant> = None;
        let mut is_due = |entry: &Entry| {
            let is_due = entry.due <= now;
            if !is_due {
                next = Some(next.map_or(entry.due, |next| next.min(entry.due)));
            }
            is_due
        };
        let mut unsent = Error::unavailable("the event could not be sent in its time");
        if let Some(trouble) = trouble
            && connected.is_none()
        {
            unsent = unsent.caused_by(trouble.clone());
        }
        let unanswered = Error::timeout("the event was sent and not acknowledged in its time: it may have been taken");
        for slot in sent.iter_mut() {
            if slot.as_ref().is_some_and(&mut is_due)
                && let Some(entry) = slot.take()
            {
                failing.push((entry, unanswered.clone()));
            }
        }
        let (due, left): (VecDeque<_>, VecDeque<_>) = std::mem::take(waiting).into_iter().partition(is_due);
        *waiting = left;
        failing.extend(due.into_iter().map(|entry| (entry, unsent.clone())));
        let has_failures = !failing.is_empty();
        inner.due = next;
        inner.forget_ended();
        drop(inner);
        if has_failures {
            self.failures.notify_one();
        }
        next
    }

    /// Fails what has failed, along the sink's error route.
    pub(super) async fn fail(&self) {
        loop {
            let failing = std::mem::take(&mut self.inner().failing);
            if failing.is_empty() {
                return;
            }
            for (entry, error) in failing {
                let bytes = entry.bytes;
                entry.held.fail(error).await;
                let mut inner = self.inner();
                inner.count -= 1;
                inner.bytes -= bytes;
                drop(inner);
            }
            self.made_room();
        }
    }

    /// Tells who waits that there is room, or that nothing is held.
    pub(super) fn made_room(&self) {
        self.room.notify_waiters();
        if self.is_empty() {
            self.emptied.notify_one();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.inner().count == 0
    }

    /// Says whether the task that sends may end; for what comes later there will be another.
    pub(super) fn leave(&self) -> bool {
        let mut inner = self.inner();
        inner.is_tended = inner.count > 0;
        !inner.is_tended
    }
}

fn never_sent() -> Error {
    Error::malformed("expected answers to what was sent, found one to what was not")
}
