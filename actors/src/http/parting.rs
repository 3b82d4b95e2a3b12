//! What is left to be done for a request whose own task has ended or cannot wait: a receiver must be told that a body broke off, and
//! parts of an answer that nobody takes any more must fail. The accept task does it.

use std::sync::{Arc, Mutex, PoisonError};

use playhouse_engine::{Error, Event, Held, Permit};
use tokio::sync::Notify;

/// One thing that is left to be done.
#[derive(Debug)]
pub(crate) enum Parting {
    /// An event that found no room at once, and the outbox that it leaves from.
    Tell(Arc<Permit>, usize, Event),
    /// Parts that fail.
    Fail(Vec<Held>, Error),
}

impl Parting {
    /// Does it; it may wait for receivers that have no room.
    pub(crate) async fn done(self) {
        match self {
            Self::Tell(permit, outbox, event) => {
                if let Err(error) = permit.insist_from(outbox, event).await {
                    tracing::error!(%error, "a receiver could not be told that a body broke off");
                }
            }
            Self::Fail(parts, error) => {
                for part in parts {
                    part.fail(error.clone()).await;
                }
            }
        }
    }
}

/// All that is left to be done. Each entry stands for a request that was taken in, so they are no more than those.
#[derive(Debug, Default)]
pub(crate) struct Partings {
    left: Mutex<Vec<Parting>>,
    wake: Notify,
}

impl Partings {
    /// Tells the receivers of an outbox: at once where they have room.
    pub(crate) fn tell(&self, permit: Arc<Permit>, outbox: usize, event: Event) {
        if permit.offer_from(outbox, event.clone()).is_err() {
            self.leave(Parting::Tell(permit, outbox, event));
        }
    }

    /// Lets parts fail.
    pub(crate) fn fail(&self, parts: Vec<Held>, error: &Error) {
        if !parts.is_empty() {
            self.leave(Parting::Fail(parts, error.clone()));
        }
    }

    /// Waits until something is left to be done.
    pub(crate) async fn wanted(&self) {
        self.wake.notified().await;
    }

    /// Takes what is left to be done.
    pub(crate) fn take(&self) -> Vec<Parting> {
        std::mem::take(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn leave(&self, parting: Parting) {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).push(parting);
        self.wake.notify_one();
    }
}
