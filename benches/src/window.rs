//! A limit on what is in flight, for peers whose mailboxes have none of their own.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// How many items enter and leave at a time, so that the limit costs next to nothing for each.
const CHUNK: u16 = 256;

/// A limit on what is in flight. A clone is the same window.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    free: Arc<Semaphore>,
    counted: u16,
}

impl Window {
    /// Makes a window of `size` items.
    pub(crate) fn new(size: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(size)), counted: 0 }
    }

    /// Waits until one more item may enter.
    #[inline]
    pub(crate) async fn enter(&mut self) {
        if self.counted == 0 {
            let permit = self.free.acquire_many(CHUNK.into()).await;
            permit.expect("the window is never closed").forget();
            self.counted = CHUNK;
        }
        self.counted -= 1;
    }

    /// Notes that an item has left.
    #[inline]
    pub(crate) fn leave(&mut self) {
        self.counted += 1;
        if self.counted == CHUNK {
            self.free.add_permits(CHUNK.into());
            self.counted = 0;
        }
    }
}
