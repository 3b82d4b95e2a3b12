//! Receipts: how a source learns that everything that came of an event has ended.
//!
//! A receipt is counted like any shared value: each copy of the event and each event derived from it holds it, and it
//! settles when the last of them lets go. Whoever ends a copy badly notes the failure first; the first one noted counts.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, OnceLock};

use tokio::sync::oneshot;
use tracing::error;

use crate::error::{Error, Result};
use crate::node::caught;

/// A promise to tell a source how an event ended, once: `Ok` when every copy of it and every event derived from it was
/// delivered, else the first failure.
#[derive(Clone)]
pub struct Receipt(Arc<Slip>);

/// What is told how each of many events ended, by its number. See [`Receipt::numbered`].
pub trait Settle: Send + Sync + 'static {
    /// Takes note of how the event with that number ended. It must not block; where it panics, that is logged.
    fn settle(&self, number: u64, outcome: Result<()>);
}

enum Told {
    Call(Box<dyn FnOnce(Result<()>) + Send + Sync>),
    Numbered(Arc<dyn Settle>, u64),
}

struct Slip {
    failure: OnceLock<Error>,
    told: Option<Told>,
    /// The receipts that this one answers for, where an event was made of several.
    answers_for: Vec<Receipt>,
}

impl Receipt {
    /// Makes a receipt that calls `settled` once, from whichever task lets go last. The call must not block; where it
    /// panics, that is logged.
    #[must_use]
    pub fn new(settled: impl FnOnce(Result<()>) + Send + Sync + 'static) -> Self {
        Self::telling(Told::Call(Box::new(settled)))
    }

    /// Makes a receipt that tells `to` once how the event with that number ended: for a source with many events under way, to which
    /// it costs less than a closure for each.
    #[must_use]
    pub fn numbered(to: Arc<dyn Settle>, number: u64) -> Self {
        Self::telling(Told::Numbered(to, number))
    }

    fn telling(told: Told) -> Self {
        Self(Arc::new(Slip { failure: OnceLock::new(), told: Some(told), answers_for: Vec::new() }))
    }

    /// Makes a receipt and a future that resolves when it has settled.
    pub fn awaited() -> (Self, impl Future<Output = Result<()>> + Send + use<>) {
        let (sender, receiver) = oneshot::channel();
        let receipt = Self::new(move |outcome| {
            // Nobody waits any more: then nobody wants to know.
            let _ = sender.send(outcome);
        });
        let settled = async move { receiver.await.unwrap_or_else(|_| Err(Error::cancelled("the receipt was lost"))) };
        (receipt, settled)
    }

    /// Makes one receipt that answers for all of `receipts`: each of them settles as this one does, or worse.
    #[must_use]
    pub(crate) fn joined(receipts: Vec<Self>) -> Self {
        Self(Arc::new(Slip { failure: OnceLock::new(), told: None, answers_for: receipts }))
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Notes that a copy ended badly. The first failure stays.
    pub fn fail(&self, error: &Error) {
        // An error means that one was noted already.
        let _ = self.0.failure.set(error.clone());
    }
}

impl Slip {
    /// Tells whoever waits, and hands the receipts that this one answers for over to `open`.
    fn settle(&mut self, open: &mut Vec<Receipt>) {
        let failure = self.failure.take();
        if let Some(error) = &failure {
            for receipt in &self.answers_for {
                receipt.fail(error);
            }
        }
        open.append(&mut self.answers_for);
        let outcome = failure.map_or(Ok(()), Err);
        if let Some(told) = self.told.take()
            && let Err(panic) = caught(|| match told {
                Told::Call(settled) => settled(outcome),
                Told::Numbered(to, number) => to.settle(number, outcome),
            })
        {
            // It runs in the task of whoever lets go last, who must not suffer for it.
            error!(error = %panic, "a receipt failed to settle");
        }
    }
}

impl Drop for Slip {
    fn drop(&mut self) {
        let mut open = Vec::new();
        self.settle(&mut open);
        // One after the other and not one within the other: receipts can be joined again and again.
        while let Some(Receipt(slip)) = open.pop() {
            if let Some(mut slip) = Arc::into_inner(slip) {
                slip.settle(&mut open);
            }
        }
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Receipt").field("failure", &self.0.failure.get()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[tokio::test]
    async fn it_settles_when_the_last_copy_is_gone() {
        let (receipt, settled) = Receipt::awaited();
        let copy = receipt.clone();
        drop(receipt);
        let settled = tokio::spawn(settled);
        tokio::task::yield_now().await;
        assert!(!settled.is_finished());
        drop(copy);
        settled.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn the_first_failure_counts() {
        let (receipt, settled) = Receipt::awaited();
        receipt.fail(&Error::timeout("first"));
        receipt.fail(&Error::internal("second"));
        drop(receipt);
        assert_eq!(settled.await.unwrap_err().message(), "first");
    }

    #[test]
    fn a_numbered_receipt_tells_its_number_once() {
        struct Note(Mutex<Vec<(u64, bool)>>);
        impl Settle for Note {
            fn settle(&self, number: u64, outcome: Result<()>) {
                self.0.lock().unwrap().push((number, outcome.is_ok()));
            }
        }
        let note = Arc::new(Note(Mutex::default()));
        let (first, second) = (Receipt::numbered(note.clone(), 1), Receipt::numbered(note.clone(), 2));
        let copy = first.clone();
        second.fail(&Error::internal("boom"));
        drop((second, first));
        assert_eq!(*note.0.lock().unwrap(), [(2, false)]);
        drop(copy);
        assert_eq!(*note.0.lock().unwrap(), [(2, false), (1, true)]);
    }

    #[tokio::test]
    async fn a_joined_receipt_fails_all_that_it_answers_for() {
        let (first, first_settled) = Receipt::awaited();
        let (second, second_settled) = Receipt::awaited();
        let joined = Receipt::joined(vec![first, second]);
        joined.fail(&Error::internal("boom"));
        drop(joined);
        assert!(first_settled.await.is_err() && second_settled.await.is_err());
    }
}
