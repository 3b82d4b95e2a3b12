//! On how many threads a race is run.

use tokio::runtime::{Builder, Runtime};

/// The runtime that an entrant runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavor {
    /// Two worker threads.
    MultiThread,
    /// The calling thread alone.
    CurrentThread,
}

impl Flavor {
    /// Every flavour.
    pub const ALL: [Self; 2] = [Self::MultiThread, Self::CurrentThread];

    /// Returns the word for it in the name of a case.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::MultiThread => "mt",
            Self::CurrentThread => "ct",
        }
    }

    /// Makes a tokio runtime of this flavour.
    ///
    /// # Panics
    /// Where the system refuses threads.
    #[must_use]
    pub fn runtime(self) -> Runtime {
        let mut builder = match self {
            Self::MultiThread => Builder::new_multi_thread(),
            Self::CurrentThread => Builder::new_current_thread(),
        };
        builder.worker_threads(2).enable_all().build().expect("the system gives threads to a bench")
    }
}
