//! How many bytes of mail all connections hold together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What is taken at a time at most beyond what is needed, so that not every line of a large mail touches the count.
const STEP: usize = 64 * 1024;

/// The room that all connections share.
#[derive(Debug)]
pub(crate) struct Memory {
    left: AtomicUsize,
}

/// A share of it, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    memory: Arc<Memory>,
    bytes: usize,
}

impl Memory {
    pub(crate) fn new(bytes: usize) -> Self {
        Self { left: AtomicUsize::new(bytes) }
    }
}

impl Share {
    pub(crate) fn new(memory: Arc<Memory>) -> Self {
        Self { memory, bytes: 0 }
    }

    /// Sees to it that there is room for so many bytes in all; says whether there is.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> bool {
        if bytes <= self.bytes {
            return true;
        }
        // A small mail takes little more than it needs, so that many of them fit.
        let more = (bytes - self.bytes).max(self.bytes.min(STEP));
        let take = |left: usize| left.checked_sub(more);
        let taken = self.memory.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
        if taken {
            self.bytes += more;
        }
        taken
    }

    /// Gives back all that was taken.
    pub(crate) fn give_back(&mut self) {
        self.memory.left.fetch_add(std::mem::take(&mut self.bytes), Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_given_back() {
        let memory = Arc::new(Memory::new(100));
        let mut first = Share::new(memory.clone());
        let mut second = Share::new(memory.clone());
        assert!(first.grow_to(60) && second.grow_to(40) && !second.grow_to(41) && first.grow_to(60));
        drop(first);
        assert_eq!(memory.left.load(Ordering::Relaxed), 60);
    }
}
