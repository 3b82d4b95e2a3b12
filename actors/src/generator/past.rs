//! Which times of the wall clock were lived through already. A clock that is set back shows them again, and what ticked then
//! must not tick twice.

/// From this many seconds on, a clock that is ahead of what was expected is believed to be wrong just as well as right: should
/// it be set back, the time that it left out was not lived through.
const FAR: i64 = 3 * 60 * 60;

/// How many spans are remembered: a clock that is set more often than this is no clock.
const MOST: usize = 16;

#[derive(Debug)]
pub(super) struct Past {
    at: i64,
    /// Seconds after the first and until the second of each, in their order.
    spans: Vec<(i64, i64)>,
}

impl Past {
    pub(super) fn new(now: i64) -> Self {
        // What ticked shortly before may have done so in a process that ended then.
        Self { at: now, spans: vec![(now - FAR, now)] }
    }

    /// Returns when the clock was looked at last.
    pub(super) fn at(&self) -> i64 {
        self.at
    }

    /// Returns the span that a second lies in.
    pub(super) fn span_of(&self, second: i64) -> Option<(i64, i64)> {
        self.spans.iter().copied().find(|(after, until)| second > *after && second <= *until)
    }

    /// Moves on to `now`; `tick` is the last tick on the way.
    pub(super) fn move_on(&mut self, now: i64, tick: Option<i64>) {
        let after = if now - self.at <= FAR { self.at } else { tick.map_or(now, |tick| tick - 1) };
        self.at = now;
        let (mut after, mut until) = (after, now);
        self.spans.retain(|span| {
            let is_apart = span.1 < after || span.0 > until;
            if !is_apart {
                (after, until) = (after.min(span.0), until.max(span.1));
            }
            is_apart
        });
        let place = self.spans.partition_point(|span| span.0 < after);
        self.spans.insert(place, (after, until));
        if self.spans.len() > MOST {
            self.spans.remove(0);
        }
    }

    /// Moves back to `now`.
    pub(super) fn move_back(&mut self, now: i64) {
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lived_through_is_known_after_the_clock_was_set_back() {
        let mut past = Past::new(1000 + FAR);
        past.move_on(2000 + FAR, None);
        past.move_back(500);
        past.move_on(600, None);
        let spans = [550, 700, 1500].map(|second| past.span_of(second));
        assert_eq!(spans, [Some((500, 600)), None, Some((1000, 2000 + FAR))]);
        past.move_on(1200, None);
        assert_eq!(past.span_of(550), Some((500, 2000 + FAR)));
    }

    #[test]
    fn a_time_that_was_jumped_over_was_not_lived_through() {
        let mut past = Past::new(1000);
        past.move_on(1010, None);
        past.move_on(10_000_000, Some(9_999_000));
        assert_eq!((past.span_of(5_000_000), past.span_of(9_999_000)), (None, Some((9_998_999, 10_000_000))));
    }

    #[test]
    fn only_so_much_is_remembered() {
        let mut past = Past::new(0);
        for number in 1..100 {
            past.move_on(number * 1_000_000, None);
        }
        assert_eq!(past.spans.len(), MOST);
    }
}
