//! The answers that are awaited, and who waits for each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use playhouse_engine::{Emitter, Error, Event, EventId, Held, Result};
use tokio::time::Instant;

use super::{Answer, CacheSettings, Shared};
use crate::key::Key;
use crate::upkeep::Tended;

/// How often at most the upkeep looks through all who wait.
const TICK: Duration = Duration::from_millis(10);

/// The answers that are awaited.
#[derive(Debug, Default)]
pub(super) struct Fills(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    awaited: HashMap<Key, Fill>,
    /// Which key the event that went out asks for.
    asked: HashMap<EventId, Key>,
    /// How many wait, for all keys.
    waiting: usize,
    /// What has failed, and must go along the error route: for the upkeep, which may wait.
    failed: Vec<(Held, Error)>,
}

#[derive(Debug)]
struct Fill {
    asker: EventId,
    until: Instant,
    waiting: Vec<(Instant, Held)>,
}

pub(super) enum Found {
    /// The answer came in this moment.
    Answer(Arc<Answer>),
    /// Somebody else asks, and the event waits for it.
    Waits,
    /// The event must ask.
    Nothing,
}

impl Fills {
    // Held for look-ups in memory alone; events and receipts are let go of without it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the answer that somebody else asks for, or begins to ask.
    pub(super) fn find(
        &self,
        key: Key,
        event: &Event,
        emitter: &Emitter,
        settings: &CacheSettings,
        known: impl FnOnce() -> Option<Arc<Answer>>,
    ) -> Result<Found> {
        let mut state = self.state();
        let State { awaited, asked, waiting, .. } = &mut *state;
        let full = || Error::overloaded("too many events wait for answers");
        if let Some(fill) = awaited.get_mut(&key) {
            if *waiting >= settings.most_waiting {
                return Err(full());
            }
            let until = event.deadline().map_or(fill.until, |deadline| deadline.min(fill.until));
            fill.waiting.push((until, emitter.hold(event)));
            *waiting += 1;
            return Ok(Found::Waits);
        }
        // An answer is kept before its fill ends: it may have come since the look before.
        if let Some(answer) = known() {
            return Ok(Found::Answer(answer));
        }
        if awaited.len() >= settings.most_waiting {
            return Err(full());
        }
        if asked.contains_key(&event.id()) {
            return Err(Error::conflict("the answer to an event of the same id, but another key, is awaited"));
        }
        asked.insert(event.id(), key);
        let until = Instant::now() + settings.fill_time_out;
        awaited.insert(key, Fill { asker: event.id(), until, waiting: Vec::new() });
        Ok(Found::Nothing)
    }

    /// Returns the key for which the event `id` asks.
    pub(super) fn key(&self, id: EventId) -> Option<Key> {
        self.state().asked.get(&id).copied()
    }

    /// Ends a fill, and returns who waited for it.
    pub(super) fn end(&self, id: EventId) -> impl Iterator<Item = Held> + use<> {
        let fill = self.state().end(id);
        fill.into_iter().flat_map(|fill| fill.waiting).map(|(_, held)| held)
    }

    /// Ends a fill to which no answer comes; true where somebody waited for it.
    pub(super) fn give_up(&self, id: EventId, error: impl FnOnce() -> Error) -> bool {
        let mut state = self.state();
        let Some(fill) = state.end(id).filter(|fill| !fill.waiting.is_empty()) else { return false };
        let error = error();
        state.failed.extend(fill.waiting.into_iter().map(|(_, held)| (held, error.clone())));
        true
    }

    /// Leaves an event to the upkeep, to go along the error route.
    pub(super) fn fail(&self, held: Held, error: Error) {
        self.state().failed.push((held, error));
    }

    /// Takes who has waited in vain, and says when to look again.
    fn overdue(&self, settings: &CacheSettings) -> (Vec<(Held, Error)>, Option<Instant>) {
        let now = Instant::now();
        let mut state = self.state();
        let mut failed = std::mem::take(&mut state.failed);
        let State { awaited, asked, waiting, .. } = &mut *state;
        let before = failed.len();
        let mut next: Option<Instant> = None;
        awaited.retain(|_, fill| {
            let late = fill.waiting.extract_if(.., |(until, _)| *until <= now);
            failed.extend(late.map(|(until, held)| {
                let error = match until < fill.until {
                    true => Error::timeout("no answer came by the event's deadline"),
                    false => unfilled(settings),
                };
                (held, error)
            }));
            if fill.until <= now {
                asked.remove(&fill.asker);
                return false;
            }
            let first = fill.waiting.iter().map(|(until, _)| *until).min().unwrap_or(fill.until);
            next = Some(next.map_or(first, |next| next.min(first)));
            true
        });
        *waiting -= failed.len() - before;
        (failed, next.map(|next| next.max(now + TICK)))
    }
}

impl State {
    fn end(&mut self, id: EventId) -> Option<Fill> {
        let key = self.asked.remove(&id)?;
        let fill = self.awaited.remove(&key)?;
        self.waiting -= fill.waiting.len();
        Some(fill)
    }
}

#[cold]
fn unfilled(settings: &CacheSettings) -> Error {
    let time = humantime::format_duration(settings.fill_time_out);
    Error::timeout(format!("no answer came within {time}"))
}

impl Tended for Shared {
    async fn tend(&self, _: Option<Instant>) -> Option<Instant> {
        loop {
            let (failed, next) = self.fills.overdue(&self.settings);
            if failed.is_empty() {
                return next;
            }
            for (held, error) in failed {
                held.fail(error).await;
            }
        }
    }
}
