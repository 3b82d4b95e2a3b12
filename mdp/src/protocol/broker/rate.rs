//! How often something happens, smoothed.

use std::time::Duration;

/// Over what time the rate is smoothed.
const WINDOW: Duration = Duration::from_secs(5);

/// How often something happens, smoothed over some seconds.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    since_last: u32,
    per_second: f64,
}

impl Rate {
    pub(crate) fn count(&mut self) {
        self.since_last = self.since_last.saturating_add(1);
    }

    /// Takes what was counted in `elapsed` into the rate.
    pub(crate) fn advance(&mut self, elapsed: Duration) {
        if elapsed.is_zero() {
            return;
        }
        let found = f64::from(std::mem::take(&mut self.since_last)) / elapsed.as_secs_f64();
        let weight = 1.0 - (-elapsed.as_secs_f64() / WINDOW.as_secs_f64()).exp();
        self.per_second += (found - self.per_second) * weight;
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.per_second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_rate_is_found_and_forgotten() {
        let mut rate = Rate::default();
        for _ in 0..200 {
            (0..25).for_each(|_| rate.count());
            rate.advance(Duration::from_millis(250));
        }
        assert!((rate.per_second() - 100.0).abs() < 0.1, "{}", rate.per_second());
        rate.advance(Duration::from_secs(3600));
        assert!(rate.per_second() < 0.1, "{}", rate.per_second());
    }
}
