//! Which events of a connection have ended, until the other side is told.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::BytesMut;
use playhouse_engine::{Error, Kind, Receipt, Result, Settle};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::wire::Output;

/// What became of the events of one connection.
#[derive(Debug)]
pub(super) struct Acknowledgements {
    settled: Mutex<Settled>,
    taken: AtomicU64,
    /// Something has ended.
    pub(super) news: Notify,
    /// Something that has ended was told, so there may be room for more.
    pub(super) room: Notify,
    stopping: CancellationToken,
}

#[derive(Debug, Default)]
struct Settled {
    count: u64,
    /// How many of these the other side was told of, or never will be.
    told: u64,
    /// Runs of numbers that were delivered, and were not told yet.
    runs: Vec<(u64, u32)>,
    failed: Vec<(u64, Error)>,
}

impl Acknowledgements {
    pub(super) fn new(stopping: CancellationToken) -> Self {
        let settled = Mutex::default();
        Self { settled, taken: AtomicU64::new(0), news: Notify::new(), room: Notify::new(), stopping }
    }

    fn settled(&self) -> MutexGuard<'_, Settled> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of the next event.
    pub(super) fn number(&self) -> u64 {
        self.taken.fetch_add(1, Ordering::Relaxed)
    }

    /// Makes the receipt of the event with a number.
    pub(super) fn receipt(self: &Arc<Self>, number: u64) -> Receipt {
        Receipt::numbered(self.clone(), number)
    }

    /// Returns how many events have not ended.
    pub(super) fn open(&self) -> u64 {
        // The ends first: nothing ends before it is taken.
        let count = self.settled().count;
        self.taken.load(Ordering::Relaxed) - count
    }

    /// Returns how many events the other side was not told of: what it does not listen to takes memory too.
    pub(super) fn untold(&self) -> u64 {
        let told = self.settled().told;
        self.taken.load(Ordering::Relaxed) - told
    }

    /// Says whether something is to be told.
    pub(super) fn has_news(&self) -> bool {
        let settled = self.settled();
        !settled.runs.is_empty() || !settled.failed.is_empty()
    }

    /// Writes what is to be told.
    pub(super) fn tell(&self, output: &mut BytesMut) {
        let mut settled = self.settled();
        output.delivered(&settled.runs);
        let delivered: u64 = settled.runs.iter().map(|(_, count)| u64::from(*count)).sum();
        settled.told += delivered + settled.failed.len() as u64;
        settled.runs.clear();
        let failed = std::mem::take(&mut settled.failed);
        drop(settled);
        for (number, error) in failed {
            output.failed(number, &error);
        }
        self.room.notify_one();
    }
}

impl Settle for Acknowledgements {
    fn settle(&self, number: u64, outcome: Result<()>) {
        let mut settled = self.settled();
        let is_first = settled.runs.is_empty() && settled.failed.is_empty();
        settled.count += 1;
        match outcome {
            Ok(()) => match settled.runs.last_mut() {
                Some((first, count)) if *first + u64::from(*count) == number && *count < u32::MAX => *count += 1,
                _ => settled.runs.push((number, 1)),
            },
            // Nobody has handled it. It is not answered, so it is sent again, to whoever comes after us.
            Err(error) if error.kind() == Kind::Cancelled && self.stopping.is_cancelled() => settled.told += 1,
            Err(error) => settled.failed.push((number, error)),
        }
        drop(settled);
        if is_first {
            self.news.notify_one();
        }
    }
}
