//! The loops that empty an inbox: one for actors, compiled for each type, and one for light actors.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{sleep, timeout_at};

use crate::actor::Actor;
use crate::batch::{Batch, InHand};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::inbox::Taken;
use crate::line::Line;
use crate::moment::{Moment, after};
use crate::node::caught;
use crate::outbox::Outbox;
use crate::station::Station;

/// Runs an actor until its inbox is closed and empty.
pub(crate) async fn work<A: Actor>(actor: &A, line: Line, seat: usize) {
    let station = line.head().clone();
    let mut outbox = line.new_outbox();
    let mut hands = Hands { line, batch: Batch::default(), waited: false };
    let mut pace = Pace::default();
    loop {
        let taken = station.inbox.take(seat, &mut hands.batch, pace.limit).await;
        if !pace.begin(taken, &mut hands.line, hands.batch.len()) {
            return;
        }
        while let Some(event) = hands.batch.pop() {
            handle(actor, &mut hands, &mut outbox, event).await;
            if hands.line.is_full() {
                hands.line.flush().await;
            }
        }
        pace.end(&mut hands.line, std::mem::take(&mut hands.waited)).await;
    }
}

/// Runs a light actor, and the light actors behind it in its task, until its inbox is closed and empty. A line that may be
/// borrowed lies in the inbox while there is nothing to do, and from the start: `line` is none then.
pub(crate) async fn work_light(station: Arc<Station>, mut line: Option<Box<Line>>, seat: usize) {
    let mut batch = Batch::default();
    let mut pace = Pace::default();
    loop {
        let taken = match station.lends {
            true => station.inbox.take_lending(&mut line, &mut batch, pace.limit).await,
            false => station.inbox.take(seat, &mut batch, pace.limit).await,
        };
        let line = line.as_mut().expect("the line comes back with the batch");
        if !pace.begin(taken, line, batch.len()) {
            return;
        }
        while !batch.is_empty() {
            line.run_batch(&mut batch);
            if line.is_full() {
                line.flush().await;
            }
        }
        pace.end(line, false).await;
    }
}

/// What a worker holds: what it took and has not handled, and what it handled and has not sent.
struct Hands {
    line: Line,
    batch: Batch,
    /// Whether a handler of the present batch had to wait for something.
    waited: bool,
}

impl Hands {
    /// Lets go of everything that need not wait for a handler that waits: what is not handled goes back to the inbox,
    /// for other workers and for the sake of its bound; what is handled goes on.
    async fn let_go(&mut self) {
        self.waited = true;
        let held = self.batch.len();
        self.line.head().inbox.put_back(&mut self.batch);
        self.line.gave_back(held - self.batch.len());
        // Written even where nothing leaves, so that who asks sees what is in hand.
        self.line.flush().await;
    }
}

/// Handles one event: at once where the handler does not wait, and with every promise kept where it does.
async fn handle<A: Actor>(actor: &A, hands: &mut Hands, outbox: &mut Outbox, event: Event) {
    if let Some(error) = hands.line.refusal(0, &event) {
        return hands.line.fail(0, event, error);
    }
    let event = InHand::new(event);
    let mut waits = None;
    loop {
        outbox.begin(event.event());
        let outcome = attempt(actor, hands, outbox, event.event()).await;
        let Err(error) = outbox.check(outcome) else {
            return hands.line.deliver(event.take(), outbox);
        };
        outbox.clear();
        let retry = &hands.line.head().policy.retry;
        let wait = match retry.attempts > 1 && error.kind().is_transient() {
            true => waits.get_or_insert_with(|| retry.waits()).next(),
            false => None,
        };
        let expiry = hands.line.expiry(event.event());
        match wait {
            Some(wait) if expiry.is_none_or(|expiry| after(wait) < expiry) => {
                hands.let_go().await;
                sleep(wait).await;
                hands.line.set_now(Moment::now());
            }
            _ => return hands.line.fail(0, event.take(), error),
        }
    }
}

/// Calls the handler once. It is polled once without any preparation, and only where it then waits for something is the
/// rest of the batch let go and the deadline watched.
async fn attempt<A: Actor>(actor: &A, hands: &mut Hands, outbox: &mut Outbox, event: &Event) -> Result<()> {
    // The handler cannot change the actor, and what it pushed is forgotten: nothing broken is seen after a panic.
    let mut future = pin!(caught(move || actor.handle(event, outbox))?);
    if let Poll::Ready(outcome) = poll_fn(|context| Poll::Ready(poll_caught(future.as_mut(), context))).await {
        return outcome;
    }
    hands.let_go().await;
    let allowed = hands.line.head().policy.deadline;
    let latest = after(allowed);
    let own = hands.line.expiry(event).filter(|own| *own < latest);
    let rest = poll_fn(|context| poll_caught(future.as_mut(), context));
    let outcome = timeout_at(own.unwrap_or(latest), rest).await;
    hands.line.set_now(Moment::now());
    outcome.unwrap_or_else(|_| Err(overdue(own.is_some(), allowed)))
}

#[cold]
fn overdue(is_own: bool, allowed: Duration) -> Error {
    if is_own {
        Error::timeout("the event's deadline passed while it was handled")
    } else {
        Error::timeout(format!("the handler did not end within {allowed:?}"))
    }
}

/// Polls a handler; a panic is an error.
pub(crate) fn poll_caught<F: Future<Output = Result<()>>>(
    future: Pin<&mut F>,
    context: &mut Context<'_>,
) -> Poll<Result<()>> {
    caught(|| future.poll(context)).unwrap_or_else(|panic| Poll::Ready(Err(panic)))
}

/// How much a worker takes at a time, and when it lets other tasks run.
///
/// A worker takes as many events as it can handle in a moment: many where that is cheap, one by one where it is not, so
/// that neither the queue's bound nor the other workers suffer.
struct Pace {
    limit: usize,
    began: Moment,
    /// How long the task has run without a pause, in nanoseconds.
    unbroken: u64,
    full: bool,
}

impl Pace {
    const LARGEST: usize = 256;
    /// A batch shorter than this may be larger the next time.
    const SHORT: u64 = 50_000;
    /// A batch longer than this is smaller the next time, and a task that has run for so long lets others run.
    const LONG: u64 = 200_000;

    /// Begins a batch; false when there will be no more.
    fn begin(&mut self, taken: Taken, line: &mut Line, count: usize) -> bool {
        match taken {
            Taken::Closed => return false,
            Taken::AtOnce => {}
            Taken::Waited => {
                self.unbroken = 0;
                self.began = Moment::now();
            }
        }
        self.full = count == Self::LARGEST;
        line.set_now(self.began);
        line.received(count);
        true
    }

    /// Sends what the batch brought forth, and draws the lesson for the next one.
    async fn end(&mut self, line: &mut Line, waited: bool) {
        let ended = Moment::now();
        let busy = ended.nanoseconds_since(self.began);
        line.busy(busy);
        line.flush().await;
        self.began = line.now().max(ended);
        self.limit = match waited {
            true => 1,
            false if busy < Self::SHORT => (self.limit * 2).min(Self::LARGEST),
            false if busy > Self::LONG => (self.limit / 2).max(1),
            false => self.limit,
        };
        self.unbroken += busy;
        if self.unbroken > Self::LONG || self.full {
            self.unbroken = 0;
            tokio::task::yield_now().await;
            self.began = Moment::now();
        }
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self { limit: 1, began: Moment::now(), unbroken: 0, full: false }
    }
}
