//! The call into the libraries that is under way on this thread, where their callbacks find it.

use std::cell::RefCell;
use std::sync::Arc;

use super::limits::DocumentLimits;
use super::report::{Failure, Log};
use super::sources::{self, Sources};

/// At most so many problems of a stylesheet or a schema are told.
const MOST_PROBLEMS: usize = 100;

/// What a call may read, and what the libraries report of it.
pub(crate) struct Run {
    pub(crate) sources: Arc<Sources>,
    pub(crate) limits: DocumentLimits,
    pub(crate) log: Log,
    /// Whether what is read is trusted like code: a stylesheet or a schema.
    trusted: bool,
}

thread_local! {
    static RUN: RefCell<Option<Run>> = const { RefCell::new(None) };
}

impl Run {
    pub(crate) fn new(sources: Arc<Sources>, limits: DocumentLimits) -> Self {
        Self { sources, limits, log: Log::default(), trusted: false }
    }

    /// Makes the run of a compilation.
    pub(crate) fn trusted(sources: Arc<Sources>) -> Self {
        Self { trusted: true, ..Self::collecting(sources, MOST_PROBLEMS) }
    }

    /// Makes a run that reads nothing and keeps so many problems.
    pub(crate) fn collecting(sources: Arc<Sources>, most: usize) -> Self {
        Self { log: Log::collecting(most), ..Self::new(sources, DocumentLimits::default()) }
    }

    /// Reads what a parser asks for besides the document itself.
    pub(crate) fn input(&mut self, url: &str) -> Result<Arc<[u8]>, Failure> {
        if self.trusted {
            return Arc::make_mut(&mut self.sources).module(url);
        }
        self.sources.document(url, self.limits.bytes).map(Arc::from)
    }

    /// Takes that a parser got nothing. Documents do without what they may not read, as libxml2 has it: an external subset
    /// or an entity, never themselves.
    pub(crate) fn refuse(&mut self, failure: Failure) {
        if self.trusted {
            self.log.fail(failure);
        }
    }

    /// Takes that what `document()` or an import names may not or cannot be read.
    pub(crate) fn unread(&mut self, failure: Failure, is_module: bool) {
        if self.sources.lenient && !is_module {
            self.log.say(&failure.message);
        } else {
            self.log.fail(failure);
        }
    }

    /// Takes that what `document()` or an import names is no XML.
    pub(crate) fn unloaded(&mut self, name: &str) {
        if self.sources.lenient && !self.trusted {
            self.log.say(&format!("`{}` is not well-formed XML", sources::decode(name)));
        } else {
            self.log.failed = true;
        }
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
