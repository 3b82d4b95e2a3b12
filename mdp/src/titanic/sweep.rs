//! Removes what nobody closed in time, a part of all requests at a time.

use std::ops::Bound;
use std::time::{Duration, Instant};

use super::entry::{Purpose, State};
use super::machine::{Titanic, TitanicOutput};
use super::order::Content;
use crate::protocol::Ticket;

/// How many requests are looked at in one go.
const PART: usize = 4096;
/// How soon the next part follows.
const BREATH: Duration = Duration::from_millis(1);

/// How far the look for expired requests has come.
#[derive(Debug)]
pub(super) struct Sweep {
    /// When to go on; never where nothing ever expires.
    due: Option<Instant>,
    /// The last that was looked at, while a look is under way.
    after: Option<Ticket>,
    /// The earliest change of those that stay.
    earliest: i32,
}

impl Sweep {
    pub(super) fn new(now: Instant) -> Self {
        Self { due: Some(now), after: None, earliest: i32::MAX }
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }
}

impl Titanic {
    /// Closes what has expired, if it is time to look.
    pub(super) fn sweep(&mut self, now: Instant, outputs: &mut Vec<TitanicOutput>) {
        if self.sweep.due.is_none_or(|due| due > now) {
            return;
        }
        let keep = self.keep_seconds();
        let seconds = self.seconds(now);
        // The other half is for clients.
        let room = (self.settings.unsynced / 2).saturating_sub(self.unsynced.len());
        let from = self.sweep.after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut expired = Vec::new();
        let mut looked_at = 0;
        for (ticket, entry) in self.entries.range_mut((from, Bound::Unbounded)).take(PART) {
            if expired.len() == room {
                break;
            }
            looked_at += 1;
            self.sweep.after = Some(*ticket);
            let is_settled = !matches!(entry.state, State::Storing | State::Loading | State::Ending | State::Dropped);
            if i64::from(seconds) - i64::from(entry.changed) <= keep {
                self.sweep.earliest = self.sweep.earliest.min(entry.changed);
            } else if is_settled && !entry.is_closing {
                entry.is_closing = true;
                expired.push(*ticket);
            } else {
                // It is looked at again in the next round.
                self.sweep.earliest = self.sweep.earliest.min(entry.changed);
            }
        }
        let is_done = looked_at < PART && expired.len() < room;
        for ticket in expired {
            self.append(ticket, Content::Close, Purpose::Expire, outputs);
        }
        if !is_done {
            self.sweep.due = Some(now + BREATH);
            return;
        }
        let earliest = i64::from(self.sweep.earliest.min(seconds));
        let ahead = (earliest + keep + 1 - i64::from(seconds)).max(0) as u64;
        // Where requests expire one by one, each round takes some of them.
        let pause = (self.settings.keep / 64).clamp(Duration::from_secs(1), Duration::from_secs(60));
        self.sweep =
            Sweep { due: now.checked_add(Duration::from_secs(ahead).max(pause)), after: None, earliest: i32::MAX };
    }

    /// How long a request is kept, in seconds and never too short.
    fn keep_seconds(&self) -> i64 {
        let keep = self.settings.keep;
        i64::try_from(keep.as_secs()).map_or(i64::MAX / 2, |seconds| seconds.min(i64::MAX / 2 - 1))
            + i64::from(keep.subsec_nanos() > 0)
    }
}
