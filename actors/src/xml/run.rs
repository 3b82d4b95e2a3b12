//! The call into the libraries that is under way on this thread, where their callbacks find it.

use std::cell::RefCell;
use std::sync::Arc;

use super::limits::DocumentLimits;
use super::report::Log;
use super::sources::Sources;

/// What a call may read, and what the libraries report of it.
pub(crate) struct Run {
    pub(crate) sources: Arc<Sources>,
    pub(crate) limits: DocumentLimits,
    pub(crate) log: Log,
}

thread_local! {
    static RUN: RefCell<Option<Run>> = const { RefCell::new(None) };
}

impl Run {
    pub(crate) fn new(sources: Arc<Sources>, limits: DocumentLimits) -> Self {
        Self { sources, limits, log: Log::default() }
    }

    /// Makes this the run of the thread.
    pub(crate) fn begin(self) {
        RUN.set(Some(self));
    }

    /// Takes the thread's run back, if there is one.
    pub(crate) fn end() -> Option<Self> {
        RUN.take()
    }

    /// Calls `f` with the thread's run, if there is one. Never panics, since C calls it.
    pub(crate) fn with<T>(f: impl FnOnce(&mut Self) -> T) -> Option<T> {
        RUN.try_with(|run| run.try_borrow_mut().ok()?.as_mut().map(f)).ok().flatten()
    }
}
