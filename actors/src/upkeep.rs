//! The task of an actor that holds events for a time: it does what is due, even while the flow stops, and ends when the flow
//! stops and nothing is held.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use playhouse_engine::{Context, Error, Result};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// What needs a task to look after it.
pub(crate) trait Tended: Send + Sync + 'static {
    /// Does what is due, and returns when the next is due; nothing while nothing is held. `stopped` is since when the flow
    /// stops.
    fn tend(&self, stopped: Option<Instant>) -> impl Future<Output = Option<Instant>> + Send;
}

/// The task of one actor, once the actor has started.
#[derive(Clone, Default)]
pub(crate) struct Upkeep(Option<Arc<Inner>>);

struct Inner {
    context: Arc<Context>,
    wake: Notify,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    runs: bool,
    /// Whether something was held since the task last looked.
    wanted: bool,
}

impl Upkeep {
    /// Makes ready; the task begins when it is wanted.
    pub(crate) fn new(context: impl Into<Arc<Context>>) -> Self {
        Self(Some(Arc::new(Inner { context: context.into(), wake: Notify::new(), state: Mutex::default() })))
    }

    /// Makes the task look, for what was held just now may be due before all else, or be all there is.
    ///
    /// A flow waits for the tasks of its actors before it stops, so the task ends when nothing is held, and is made anew for
    /// what comes later, as from actors before this one that are drained.
    pub(crate) fn wanted<T: Tended>(&self, tended: &Arc<T>) {
        let Some(inner) = &self.0 else { return };
        let mut state = inner.state();
        state.wanted = true;
        if state.runs {
            drop(state);
            return inner.wake.notify_one();
        }
        state.runs = true;
        drop(state);
        let (tended, kept) = (tended.clone(), inner.clone());
        inner.context.spawn("upkeep", move || run(tended.clone(), kept.clone()));
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn run<T: Tended>(tended: Arc<T>, inner: Arc<Inner>) -> Result<()> {
    let stopping = inner.context.stopping();
    let mut stopped = None;
    loop {
        if stopped.is_none() && stopping.is_cancelled() {
            stopped = Some(Instant::now());
        }
        inner.state().wanted = false;
        let next = tended.tend(stopped).await;
        {
            let mut state = inner.state();
            if state.wanted {
                continue;
            }
            if next.is_none() && stopped.is_some() {
                state.runs = false;
                return Ok(());
            }
        }
        tokio::select! {
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            () = inner.wake.notified() => {}
            () = stopping.cancelled(), if stopped.is_none() => {}
        }
    }
}

/// Returns the error of an actor whose handler was called outside of a flow.
pub(crate) fn not_started() -> Error {
    Error::internal("the actor holds events, which it can only do in a flow that was started")
}

impl fmt::Debug for Upkeep {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Upkeep").field(&self.0.is_some()).finish()
    }
}
