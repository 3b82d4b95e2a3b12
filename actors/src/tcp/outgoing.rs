//! What goes back over the connections of a source: answers that are held until they are written.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::BytesMut;
use playhouse_engine::{Emitter, Error, Event, Held, Result};
use tokio::sync::Notify;

use super::framing::{Framing, put};

/// The connections that answers can go to.
#[derive(Debug, Default)]
pub(super) struct Connections {
    next: AtomicI64,
    open: Mutex<HashMap<i64, Arc<Outgoing>>>,
}

/// What goes to one connection.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    waiting: Mutex<Waiting>,
    pub(super) news: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    held: Vec<Held>,
    bytes: BytesMut,
    is_closed: bool,
}

impl Connections {
    fn open(&self) -> MutexGuard<'_, HashMap<i64, Arc<Outgoing>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a connection, and returns its number.
    pub(super) fn add(&self, outgoing: Arc<Outgoing>) -> i64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.open().insert(number, outgoing);
        number
    }

    pub(super) fn remove(&self, number: i64) {
        self.open().remove(&number);
    }

    /// Returns the connection with a number, as long as it is open.
    pub(super) fn find(&self, number: i64) -> Result<Arc<Outgoing>> {
        self.open().get(&number).cloned().ok_or_else(|| gone(number))
    }
}

fn gone(number: i64) -> Error {
    Error::gone(format!("the connection `{number}` is closed"))
}

impl Outgoing {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an answer, which is held until it is written. An answer that is an error is told in words.
    ///
    /// # Errors
    /// `Overloaded` where the other side does not take what is there already; those of [`put`].
    pub(super) fn add(
        &self,
        number: i64,
        emitter: &Emitter,
        event: &Event,
        framing: Framing,
        (longest, most): (usize, usize),
    ) -> Result<()> {
        let payload = match event.error() {
            Some(error) => format!("error: {error} ({})", error.kind()).replace(['\r', '\n'], " ").into(),
            None => event.payload().to_bytes(),
        };
        let mut waiting = self.waiting();
        if waiting.is_closed {
            return Err(gone(number));
        }
        if !waiting.bytes.is_empty() && waiting.bytes.len().saturating_add(payload.len()) > most {
            return Err(Error::overloaded(format!("the connection `{number}` does not take its answers")));
        }
        put(framing, &payload, longest, &mut waiting.bytes)?;
        let is_first = waiting.held.is_empty();
        waiting.held.push(emitter.hold(event));
        drop(waiting);
        if is_first {
            self.news.notify_one();
        }
        Ok(())
    }

    /// Takes what is to be written.
    pub(super) fn take(&self) -> (Vec<Held>, BytesMut) {
        let mut waiting = self.waiting();
        (std::mem::take(&mut waiting.held), waiting.bytes.split())
    }

    /// Takes no more, and returns what is left.
    pub(super) fn close(&self) -> Vec<Held> {
        let mut waiting = self.waiting();
        waiting.is_closed = true;
        waiting.bytes = BytesMut::new();
        std::mem::take(&mut waiting.held)
    }
}

/// Fails answers that could not be written.
pub(super) async fn fail(answers: Vec<Held>, number: i64) {
    for answer in answers {
        answer.fail(gone(number)).await;
    }
}
