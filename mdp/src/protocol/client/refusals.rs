//! Which brokers do not let a client in, and until when they are left alone.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use playhouse_engine::Error;

/// How long a broker that does not let the client in is left alone.
const PAUSE: Duration = Duration::from_secs(5);

/// The brokers that do not let the client in.
#[derive(Debug, Default)]
pub(super) struct Refusals(HashMap<String, (Instant, Error)>);

impl Refusals {
    /// Leaves a broker alone from now on.
    pub(super) fn add(&mut self, broker: &str, error: Error, now: Instant) {
        self.0.insert(broker.to_owned(), (now + PAUSE, error));
    }

    /// Forgets those that may be tried again.
    pub(super) fn expire(&mut self, now: Instant) {
        self.0.retain(|_, (until, _)| *until > now);
    }

    /// Says whether the broker is to be left alone.
    pub(super) fn has(&self, broker: &str) -> bool {
        self.0.contains_key(broker)
    }

    /// Returns why none of `brokers` lets the client in; nothing where one may, or where there is none.
    pub(super) fn of_all(&self, brokers: &[String]) -> Option<&Error> {
        let mut errors = brokers.iter().map(|broker| self.0.get(broker).map(|(_, error)| error));
        let first = errors.next()??;
        errors.all(|error| error.is_some()).then_some(first)
    }
}
