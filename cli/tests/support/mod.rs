//! What the tests of the command share: processes that end with the test, peers on the bare wire, and peers on pyzmq.

#![allow(dead_code, clippy::unwrap_used)]

pub(crate) mod load;
pub(crate) mod namespace;
pub(crate) mod peer;
pub(crate) mod playhouse;
pub(crate) mod process;
pub(crate) mod python;
pub(crate) mod siege;
pub(crate) mod wire;

use std::time::{Duration, Instant};

/// How long a test waits for what should come at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Asks again and again until `found` has something.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, patience: Duration, mut found: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(began.elapsed() < patience, "{what}: not within {patience:?}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// Returns the number in the environment variable `name`, for a longer run by hand.
pub(crate) fn number(name: &str, otherwise: usize) -> usize {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("expected a number in `{name}`, found `{text}`")),
        Err(_) => otherwise,
    }
}

/// Lets this process, and those that it starts, open as many files as the system allows.
pub(crate) fn open_many_files() {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
}
