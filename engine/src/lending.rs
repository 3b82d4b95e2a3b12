//! How a source borrows a light actor's line. While the worker of such an actor has nothing to do, its line lies in the inbox,
//! and a source runs its events through it itself: without a queue, a wake-up and another task. Whoever finds the line lent
//! out or events before its own puts its own behind them, and the worker, woken when the line is back, goes on with these.

use std::future::poll_fn;
use std::ops::{Deref, DerefMut};
use std::task::Poll;

use crate::batch::Batch;
use crate::inbox::{Inbox, Taken};
use crate::line::Line;

impl Inbox {
    /// Does what [`Inbox::take`] does for a worker whose line may be borrowed: while it has nothing to do, the line lies
    /// here. When this returns, `line` is full again, and where a borrower left something to send, the batch may be empty.
    pub(crate) async fn take_lending(&self, line: &mut Option<Box<Line>>, batch: &mut Batch, limit: usize) -> Taken {
        let mut waited = false;
        poll_fn(|context| {
            let mut state = self.lock();
            if line.is_none() {
                *line = state.parked.take();
            }
            let has_work = !state.queue.is_empty() || line.as_ref().is_some_and(|line| line.is_unfinished());
            if line.is_none() || !(has_work || state.closed) {
                state.parked = line.take();
                state.idle[0] = Some(context.waker().clone());
                waited = true;
                return Poll::Pending;
            }
            drop(state);
            let taken = if waited { Taken::Waited } else { Taken::AtOnce };
            match self.poll_take(0, batch, limit, context) {
                Poll::Ready(true) => Poll::Ready(taken),
                Poll::Ready(false) if !has_work => Poll::Ready(Taken::Closed),
                // There are no events, but something to send.
                Poll::Ready(false) | Poll::Pending => Poll::Ready(taken),
            }
        })
        .await
    }

    /// Lends the worker's line out, where the worker has nothing to do and nobody has come before. What an earlier borrower
    /// left on its way out counts too: else nothing would bound what is taken in while a receiver has no room.
    pub(crate) fn borrow_line(&self) -> Option<Borrowed<'_>> {
        let mut state = self.lock();
        if state.closed || state.waiting > 0 || state.reserved > 0 || !state.queue.is_empty() {
            return None;
        }
        let line = state.parked.take_if(|line| !line.has_outgoing())?;
        Some(Borrowed { inbox: self, line: Some(line) })
    }

    /// Leaves a line here for whoever needs it next: a source, or the worker.
    pub(crate) fn return_line(&self, line: Box<Line>) {
        let mut state = self.lock();
        if state.abandoned {
            // Dropped without the lock: the receipts that it fails call out.
            drop(state);
            drop(line);
            return;
        }
        let has_work = state.closed || !state.queue.is_empty() || line.is_unfinished();
        state.parked = Some(line);
        let worker = if has_work { state.idle_worker() } else { None };
        drop(state);
        if let Some(worker) = worker {
            worker.wake();
        }
    }
}

/// A line that a source borrowed. It goes back when this is dropped, even in the middle of a wait.
#[derive(Debug)]
pub(crate) struct Borrowed<'a> {
    inbox: &'a Inbox,
    line: Option<Box<Line>>,
}

const BORROWED: &str = "the line is here until it goes back";

impl Deref for Borrowed<'_> {
    type Target = Line;

    fn deref(&self) -> &Line {
        self.line.as_ref().expect(BORROWED)
    }
}

impl DerefMut for Borrowed<'_> {
    fn deref_mut(&mut self) -> &mut Line {
        self.line.as_mut().expect(BORROWED)
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        if let Some(line) = self.line.take() {
            self.inbox.return_line(line);
        }
    }
}
