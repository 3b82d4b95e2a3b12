//! An answer that comes in parts, between the flow that makes it and the client that takes it. The flow never waits: each part is
//! held, so that its receipt stays open, until the client's connection has taken it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::Version;
use playhouse_engine::{Error, Event, Held, Result};

use super::body::Feed;
use super::clock::{Ticks, ticks};
use super::connection::{Connection, Excuse};
use super::intake::Intake;
use super::pending::Lease;
use super::reception::Reception;
use super::reply::into_bytes;
use crate::{Part, PartEnd};

/// How much is given to the connection at a time.
const PIECE: usize = 64 * 1024;

/// What a part counts for at least: what it costs beside its bytes.
const LEAST: usize = 1024;

/// How long a flow that stops may wait with the next part: what makes the parts has most likely stopped as well.
const WHILE_STOPPING: Duration = Duration::from_secs(2);

/// How often an answer that waits for its next part is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// An answer that comes in parts.
#[derive(Debug)]
pub(crate) struct Answer {
    reception: Arc<Reception>,
    // Held to put a part in or to take one out, and never while a receipt can settle.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    waiting: VecDeque<Waiting>,
    /// What all that waits counts for.
    size: usize,
    /// The number of the part that is to come.
    next: u64,
    /// How it ended, where no part comes any more.
    end: Option<Result<()>>,
    /// How many bytes the connection has taken, and how many it had when that was looked at.
    taken: u64,
    seen: u64,
    /// When it is looked at next whether the client takes enough.
    measured: Ticks,
    waker: Option<Waker>,
    /// What keeps an HTTP/2 connection open on which nothing moves.
    excuse: Option<Excuse>,
}

/// A part that waits for the client.
#[derive(Debug)]
struct Waiting {
    bytes: Bytes,
    /// What it still counts for.
    cost: usize,
    held: Held,
}

impl Answer {
    /// Begins an answer with its first part.
    pub(crate) fn begin(reception: &Arc<Reception>, event: &Event) -> Arc<Self> {
        let state = State {
            waiting: VecDeque::new(),
            size: 0,
            next: 1,
            end: None,
            taken: 0,
            seen: 0,
            measured: reception.until_idle(),
            waker: None,
            excuse: None,
        };
        let answer = Self { reception: reception.clone(), state: Mutex::new(state) };
        answer.put(&mut answer.lock(), into_bytes(event.payload().clone()), event);
        Arc::new(answer)
    }

    /// Takes a further part.
    ///
    /// # Errors
    /// `Gone` where nobody takes the answer any more; `Overloaded` where too much waits for the client, and `Malformed` where a
    /// part is missing, which break the answer off.
    pub(crate) fn push(&self, part: Part, event: &Event) -> Result<()> {
        let bytes = into_bytes(event.payload().clone());
        let mut state = self.lock();
        match &state.end {
            None => {}
            // Whatever broke it has been told already.
            Some(_) if part.end == PartEnd::Broken => return Ok(()),
            Some(Ok(())) => return Err(Error::gone("the answer is complete")),
            Some(Err(error)) => {
                return Err(Error::gone("the answer was broken off").caused_by(error.clone()));
            }
        }
        let limit = self.reception.limits.answer_window;
        let error = if part.end == PartEnd::Broken {
            drop(state);
            let error = event.error().cloned();
            self.break_off(&error.unwrap_or_else(|| Error::unavailable("the source of the answer broke off")));
            return Ok(());
        } else if part.number != state.next {
            let Part { number, .. } = part;
            Error::malformed(format!("part {number} of an answer came; expected part {}", state.next))
        } else if state.size > limit {
            Error::overloaded(format!("the client takes the answer too slowly: more than {limit} bytes wait for it"))
        } else {
            self.put(&mut state, bytes, event);
            state.next += 1;
            if part.end == PartEnd::Last {
                state.end = Some(Ok(()));
            }
            let waker = state.waker.take();
            drop(state);
            waker.into_iter().for_each(Waker::wake);
            return Ok(());
        };
        drop(state);
        self.break_off(&error);
        Err(error)
    }

    /// Ends the answer before it is complete; what waits for the client fails.
    pub(crate) fn break_off(&self, error: &Error) {
        let mut state = self.lock();
        if state.end.is_none() || !state.waiting.is_empty() {
            state.end = Some(Err(error.clone()));
        }
        state.size = 0;
        let waiting = std::mem::take(&mut state.waiting);
        let (waker, excuse) = (state.waker.take(), state.excuse.take());
        drop(state);
        drop(excuse);
        self.reception.partings.fail(waiting.into_iter().map(|part| part.held).collect(), error);
        waker.into_iter().for_each(Waker::wake);
    }

    /// Looks whether the client takes enough, where it is time to.
    pub(crate) fn sweep(&self, now: Ticks) {
        let reception = &self.reception;
        let mut state = self.lock();
        if now < state.measured {
            return;
        }
        // It cannot take what is not there, and takes what it takes in pieces.
        let least = reception.least_in(ticks(reception.limits.idle_time)).saturating_sub(PIECE as u64).max(1);
        let is_stalled = !state.waiting.is_empty() && state.taken - state.seen < least;
        state.measured = reception.until_idle();
        state.seen = state.taken;
        drop(state);
        if is_stalled {
            self.break_off(&Error::timeout("the client does not take the answer"));
        }
    }

    fn put(&self, state: &mut State, bytes: Bytes, event: &Event) {
        if state.waiting.is_empty() {
            // Only from now on there is something to take.
            state.measured = self.reception.until_idle();
            state.seen = state.taken;
        }
        let cost = bytes.len().max(LEAST);
        state.size += cost;
        state.waiting.push_back(Waiting { bytes, cost, held: self.reception.emitter.hold(event) });
    }

    fn poll_piece(&self, context: &Context<'_>) -> Poll<Option<Result<Bytes>>> {
        loop {
            let mut state = self.lock();
            let Some(part) = state.waiting.front_mut() else {
                return match &state.end {
                    Some(Ok(())) => Poll::Ready(None),
                    Some(Err(error)) => Poll::Ready(Some(Err(error.clone()))),
                    None => {
                        state.waker = Some(context.waker().clone());
                        Poll::Pending
                    }
                };
            };
            let piece = part.bytes.split_to(part.bytes.len().min(PIECE));
            let is_taken = !part.bytes.has_remaining();
            let paid = if is_taken { part.cost } else { piece.len() };
            part.cost -= paid;
            state.size -= paid;
            state.taken += piece.len() as u64;
            let done = if is_taken { state.waiting.pop_front() } else { None };
            drop(state);
            if let Some(part) = done {
                part.held.done();
            }
            if !piece.is_empty() {
                return Poll::Ready(Some(Ok(piece)));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the connection takes an answer from. While it does, it takes in what is left of the request too, so that an answer can be
/// made of a body as it comes.
#[derive(Debug)]
pub(crate) struct AnswerFeed {
    connection: Arc<Connection>,
    lease: Arc<Lease>,
    answer: Arc<Answer>,
    intake: Option<Box<Intake>>,
    version: Version,
    /// Since when the next part is waited for.
    since: Option<Ticks>,
}

impl AnswerFeed {
    pub(crate) fn new(
        connection: Arc<Connection>,
        lease: Arc<Lease>,
        answer: Arc<Answer>,
        intake: Option<Box<Intake>>,
        version: Version,
    ) -> Self {
        answer.lock().excuse = Some(Excuse::new(connection.clone()));
        Self { connection, lease, answer, intake, version, since: None }
    }

    fn take_in(&mut self, context: &mut Context<'_>) -> Result<()> {
        let Some(intake) = &mut self.intake else { return Ok(()) };
        match intake.poll(context) {
            Poll::Pending => {}
            Poll::Ready(outcome) => {
                self.intake = None;
                if let Err(refusal) = outcome {
                    self.answer.break_off(&refusal.error);
                    return Err(refusal.error);
                }
            }
        }
        Ok(())
    }

    fn wait(&mut self, context: &Context<'_>) -> Poll<Option<Result<Bytes>>> {
        if self.intake.is_some() {
            // It watches the time itself, and the next part may be made of what is still to come.
            self.since = None;
            return Poll::Pending;
        }
        let reception = &self.connection.reception;
        let limit = reception.limits.answer_idle;
        let limit = if reception.is_stopping() { limit.min(WHILE_STOPPING) } else { limit };
        let now = reception.clock.now();
        let until = self.since.get_or_insert(now).saturating_add(ticks(limit));
        if now >= until {
            let error = Error::timeout(format!("the next part of the answer did not come within {limit:?}"));
            tracing::warn!(peer = %self.connection.peer, %error, "an answer was broken off");
            self.answer.break_off(&error);
            return self.broken(error);
        }
        self.lease.wake_at(context.waker(), until.min(reception.clock.after(ticks(LOOK))));
        Poll::Pending
    }

    fn broken(&self, error: Error) -> Poll<Option<Result<Bytes>>> {
        if self.version == Version::HTTP_10 {
            // There the end of the connection is the end of the answer, unless it is no ordinary one.
            self.connection.watch.reset();
        }
        Poll::Ready(Some(Err(error)))
    }
}

impl Feed for AnswerFeed {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        if let Err(error) = self.take_in(context) {
            return self.broken(error);
        }
        match self.answer.poll_piece(context) {
            Poll::Pending => self.wait(context),
            Poll::Ready(Some(Err(error))) => self.broken(error),
            ready => {
                self.since = None;
                ready
            }
        }
    }
}

impl Drop for AnswerFeed {
    fn drop(&mut self) {
        if self.intake.is_some() {
            // The client may go on to send what nobody reads.
            self.connection.watch.set_unread(true);
        }
        self.answer.break_off(&Error::gone("the client has gone"));
        self.lease.close();
    }
}
