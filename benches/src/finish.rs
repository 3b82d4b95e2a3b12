//! The sink's part of a race, the same for everybody: it looks at each item, counts it, and says when the last has come.

use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

/// Counts what arrives at one sink.
#[derive(Debug)]
pub(crate) struct Finish {
    left: AtomicUsize,
    done: Mutex<Option<oneshot::Sender<()>>>,
}

impl Finish {
    /// Makes one that waits for `events`, and what is told of the last of them.
    pub(crate) fn after(events: usize) -> (Self, oneshot::Receiver<()>) {
        let (done, finished) = oneshot::channel();
        let finish = Self { left: AtomicUsize::new(events), done: Mutex::new(Some(done)) };
        (finish, finished)
    }

    /// Takes an item. One task at a time may call this.
    #[inline]
    pub(crate) fn take(&self, item: impl AsRef<[u8]>) {
        black_box(item.as_ref().len());
        // Only one task counts, so that a load and a store do, which cost no more than a number of one's own.
        let left = self.left.load(Ordering::Relaxed) - 1;
        self.left.store(left, Ordering::Relaxed);
        if left == 0 {
            self.finished();
        }
    }

    #[cold]
    fn finished(&self) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(done) = done.take() {
            // Nobody listens any more only where the race was broken off.
            let _ = done.send(());
        }
    }
}
