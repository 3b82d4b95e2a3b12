//! Checks of passwords that are under way: a few at once, and each credential once at a time.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use playhouse_engine::{Error, Result};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

use super::BasicAuthSettings;
use super::remembered::Tag;

type Verdict = OnceCell<Result<bool>>;

/// The checks that are under way.
pub(super) struct Checks {
    permits: Arc<Semaphore>,
    most_waiting: usize,
    waiting: AtomicUsize,
    under_way: Mutex<HashMap<Tag, Arc<Verdict>>>,
}

impl Checks {
    pub(super) fn new(settings: &BasicAuthSettings) -> Self {
        let at_once = settings.checks_at_once.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            permits: Arc::new(Semaphore::new(at_once)),
            most_waiting: at_once.saturating_add(settings.checks_waiting),
            waiting: AtomicUsize::new(0),
            under_way: Mutex::default(),
        }
    }

    /// Runs `check`, once it has a permit, unless the same credentials are under way: then waits for their verdict. The
    /// check holds the permit for as long as it works, which may be longer than anybody waits.
    pub(super) async fn once<F, V>(&self, tag: Tag, check: F) -> Result<bool>
    where
        F: FnOnce(OwnedSemaphorePermit) -> V,
        V: Future<Output = Result<bool>>,
    {
        let waiting = self.wait_for(tag)?;
        let verdict = waiting.verdict.get_or_init(|| async {
            match self.permits.clone().acquire_owned().await {
                Ok(permit) => check(permit).await,
                Err(closed) => Err(Error::cancelled("passwords are no longer checked").caused_by(closed)),
            }
        });
        verdict.await.clone()
    }

    fn wait_for(&self, tag: Tag) -> Result<Waiting<'_>> {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.most_waiting {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(Error::overloaded("too many passwords wait to be checked").retry_after(Duration::from_secs(1)));
        }
        let verdict = self.lock().entry(tag).or_default().clone();
        Ok(Waiting { checks: self, tag, verdict })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Tag, Arc<Verdict>>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One that waits for a verdict. The last one to go takes it along, be it because its time is up.
struct Waiting<'a> {
    checks: &'a Checks,
    tag: Tag,
    verdict: Arc<Verdict>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.checks.waiting.fetch_sub(1, Ordering::Relaxed);
        let mut under_way = self.checks.lock();
        if let Entry::Occupied(entry) = under_way.entry(self.tag) {
            // The map's own and this one. None is added meanwhile: that takes the lock.
            if Arc::strong_count(entry.get()) == 2 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use playhouse_engine::Kind;
    use tokio::sync::Notify;

    use super::*;

    fn checks(at_once: usize, waiting: usize) -> Arc<Checks> {
        let settings = BasicAuthSettings { checks_at_once: at_once, checks_waiting: waiting, ..Default::default() };
        Arc::new(Checks::new(&settings))
    }

    /// Starts a check that counts itself and ends when told to.
    fn start(
        checks: &Arc<Checks>,
        tag: u8,
        count: &Arc<AtomicUsize>,
        end: &Arc<Notify>,
    ) -> tokio::task::JoinHandle<Result<bool>> {
        let (checks, count, end) = (checks.clone(), count.clone(), end.clone());
        tokio::spawn(async move {
            let check = |permit| async move {
                let _permit = permit;
                count.fetch_add(1, Ordering::Relaxed);
                end.notified().await;
                Ok(true)
            };
            checks.once([tag; 16], check).await
        })
    }

    /// Lets every task run until it waits.
    async fn settle() {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn the_same_credentials_are_checked_once_at_a_time() {
        let (checks, count, end) = (checks(4, 64), Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let started: Vec<_> = (0..8).map(|_| start(&checks, 1, &count, &end)).collect();
        settle().await;
        end.notify_one();
        for check in started {
            assert!(check.await.unwrap().unwrap());
        }
        assert_eq!(count.load(Ordering::Relaxed), 1);
        assert!(checks.lock().is_empty());
        assert_eq!(checks.waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn no_more_are_checked_at_once_than_there_are_permits() {
        let (checks, count, end) = (checks(2, 64), Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let started: Vec<_> = (0..5).map(|tag| start(&checks, tag, &count, &end)).collect();
        for expected in [2, 3, 4, 5, 5] {
            settle().await;
            assert_eq!(count.load(Ordering::Relaxed), expected);
            end.notify_one();
        }
        for check in started {
            assert!(check.await.unwrap().unwrap());
        }
    }

    #[tokio::test]
    async fn whoever_would_wait_too_long_is_refused_at_once() {
        let (checks, count, end) = (checks(1, 2), Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let started: Vec<_> = (0..4).map(|tag| start(&checks, tag, &count, &end)).collect();
        settle().await;
        assert!(started[..3].iter().all(|check| !check.is_finished()));
        assert!(started[3].is_finished());
        for _ in 0..3 {
            end.notify_one();
            settle().await;
        }
        let mut refused = Vec::new();
        for check in started {
            refused.extend(check.await.unwrap().err());
        }
        let [error] = &refused[..] else { panic!("{refused:?}") };
        assert_eq!(error.kind(), Kind::Overloaded);
        assert_eq!(error.wait(), Some(Duration::from_secs(1)));
    }

    #[tokio::test]
    async fn another_takes_over_from_one_that_is_given_up() {
        let (checks, count, end) = (checks(1, 64), Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let first = start(&checks, 1, &count, &end);
        settle().await;
        let second = start(&checks, 1, &count, &end);
        settle().await;
        first.abort();
        settle().await;
        assert_eq!(count.load(Ordering::Relaxed), 2);
        end.notify_one();
        assert!(second.await.unwrap().unwrap());
        assert!(checks.lock().is_empty());
    }
}
