//! How much of one request's body is on its way through the flow: parts come in while there is room, and make room when their
//! receipts settle.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use playhouse_engine::{EventId, Receipt, Result};

use super::pending::{Lease, Outcome};

/// What a part counts for at least: what it costs beside its bytes.
const LEAST: usize = 1024;

/// The parts of one request that have not ended.
#[derive(Debug)]
pub(crate) struct Window {
    limit: usize,
    lease: Arc<Lease>,
    id: EventId,
    // Held for a few counts only, by the request and by whoever ends a part.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    in_flight: usize,
    parts: usize,
    /// Whether no part comes any more.
    is_whole: bool,
    has_failed: bool,
    waker: Option<Waker>,
}

impl Window {
    /// Makes a window for the request that waits as `id` at `lease`.
    pub(crate) fn new(limit: usize, lease: Arc<Lease>, id: EventId) -> Self {
        Self { limit, lease, id, state: Mutex::default() }
    }

    /// Says whether another part may come; if not, whoever asks is woken when it may.
    pub(crate) fn has_room(&self, context: &Context<'_>) -> bool {
        let mut state = self.lock();
        let has_room = state.in_flight < self.limit;
        if !has_room {
            state.waker = Some(context.waker().clone());
        }
        has_room
    }

    /// Makes the receipt of a part of so many bytes, which counts until it settles. The first that fails ends the request.
    pub(crate) fn receipt(self: &Arc<Self>, length: usize) -> Receipt {
        let cost = length.max(LEAST);
        let mut state = self.lock();
        state.in_flight += cost;
        state.parts += 1;
        drop(state);
        let window = self.clone();
        Receipt::new(move |outcome| window.settle(cost, outcome))
    }

    /// Notes that no part comes any more: when all have ended, so has what came of the request.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.is_whole = true;
        let has_ended = state.parts == 0 && !state.has_failed;
        drop(state);
        if has_ended {
            self.lease.end(self.id, Outcome::Ended(Ok(())));
        }
    }

    fn settle(&self, cost: usize, outcome: Result<()>) {
        let mut state = self.lock();
        state.in_flight -= cost;
        state.parts -= 1;
        let waker = if state.in_flight < self.limit { state.waker.take() } else { None };
        let end = match outcome {
            _ if state.has_failed => None,
            Err(error) => {
                state.has_failed = true;
                Some(Err(error))
            }
            Ok(()) if state.is_whole && state.parts == 0 => Some(Ok(())),
            Ok(()) => None,
        };
        drop(state);
        if let Some(end) = end {
            self.lease.end(self.id, Outcome::Ended(end));
        }
        waker.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use playhouse_engine::Error;

    use super::*;
    use crate::http::clock::NEVER;
    use crate::http::pending::Pending;

    fn window(limit: usize) -> (Arc<Lease>, Arc<Window>) {
        let lease = Arc::new(Arc::new(Pending::new()).lend().unwrap());
        let id = lease.open(NEVER);
        (lease.clone(), Arc::new(Window::new(limit, lease, id)))
    }

    fn outcome(lease: &Lease) -> Option<String> {
        match lease.poll(&Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => Some(format!("{outcome:?}")),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_part_makes_room_when_it_ends() {
        let (_, window) = window(10_000);
        let context = Context::from_waker(Waker::noop());
        let large = window.receipt(10_000);
        assert!(!window.has_room(&context));
        drop(large);
        let small: Vec<_> = (0..9).map(|_| window.receipt(1)).collect();
        assert!(window.has_room(&context));
        let one_more = window.receipt(1);
        assert!(!window.has_room(&context), "a part counts for {LEAST} bytes at least");
        drop((small, one_more));
        assert!(window.has_room(&context));
    }

    #[test]
    fn a_request_ends_when_its_last_part_has() {
        let (lease, window) = window(10_000);
        let (first, last) = (window.receipt(1), window.receipt(1));
        drop(first);
        window.close();
        assert_eq!(outcome(&lease), None);
        drop(last);
        assert_eq!(outcome(&lease).as_deref(), Some("Ended(Ok(()))"));
    }

    #[test]
    fn the_first_part_that_fails_ends_the_request() {
        let (lease, window) = window(10_000);
        let (first, second) = (window.receipt(1), window.receipt(1));
        first.fail(&Error::unavailable("the disk is full"));
        drop(first);
        assert!(outcome(&lease).unwrap().contains("the disk is full"));
        second.fail(&Error::internal("later"));
        drop(second);
        window.close();
        assert_eq!(outcome(&lease), None);
    }
}
