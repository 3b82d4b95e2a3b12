//! How much a broker stores of durable requests, for how long, and how hard it tries. The same structure in code and in
//! a file.

use std::time::Duration;

use playhouse_engine::{Error, Result};
use serde::{Deserialize, Serialize};

use super::log::Sizes;

/// How much a broker stores of durable requests, for how long, and how hard it tries.
///
/// ```
/// use playhouse_mdp::titanic::TitanicSettings;
///
/// let in_code = TitanicSettings { requests: 5000, ..TitanicSettings::default() };
/// let in_a_file: TitanicSettings = toml::from_str("requests = 5000").unwrap();
/// assert_eq!(in_code, in_a_file);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct TitanicSettings {
    /// How long a request that nobody closes is kept, from when it was stored, or from its reply once it has one; 24 h
    /// by default.
    #[serde(with = "humantime_serde")]
    pub keep: Duration,
    /// How many bytes the log may have on disk; 4 GiB by default. Requests may take three quarters of them, the last
    /// quarter is for replies. Beyond: 500, and at the very limit no stored request is run until one is closed.
    pub disk_size: u64,
    /// How many requests may be stored at once, done or not; 1,000,000 by default. Beyond: 500.
    pub requests: usize,
    /// For how many services requests may wait at once; 1,000 by default. Beyond: 500.
    pub services: usize,
    /// How many bytes a request or a reply may have; 8 MiB by default. Beyond: 400, and a reply counts as a failure.
    pub message_size: usize,
    /// How many bytes one file of the log has; 64 MiB by default. It is kept between a thousandth and an eighth of
    /// [`TitanicSettings::disk_size`], and under 1 GiB.
    pub segment_size: u64,
    /// How often a request is given to the broker before it counts as failed; 5 by default. What says nothing about the
    /// request itself does not count: no worker came in time, a queue was full, the broker was stopped.
    pub attempts: u8,
    /// How long the first pause after a failed attempt is; 1 s by default. Each further one is twice as long.
    #[serde(with = "humantime_serde")]
    pub pause: Duration,
    /// How long such a pause is at most; 60 s by default.
    #[serde(with = "humantime_serde")]
    pub longest_pause: Duration,
    /// How many requests are given to the broker ahead of time for each worker of a service; 4 by default.
    pub ahead: usize,
    /// How many requests may be with the broker at once; 1,024 by default.
    pub submitted: usize,
    /// How many bytes such requests may have together; 64 MiB by default. One alone may be larger.
    pub submitted_size: usize,
    /// How many requests may wait for the disk at once; 8,192 by default. Beyond: 500.
    pub unsynced: usize,
    /// How many bytes such requests may have together; 64 MiB by default. Beyond: 500.
    pub unsynced_size: usize,
}

impl Default for TitanicSettings {
    fn default() -> Self {
        Self {
            keep: Duration::from_secs(24 * 60 * 60),
            disk_size: 4 << 30,
            requests: 1_000_000,
            services: 1000,
            message_size: 8 << 20,
            segment_size: 64 << 20,
            attempts: 5,
            pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
            ahead: 4,
            submitted: 1024,
            submitted_size: 64 << 20,
            unsynced: 8192,
            unsynced_size: 64 << 20,
        }
    }
}

impl TitanicSettings {
    /// How many replies may be on their way from the disk to clients at once.
    pub(crate) const READING: usize = 1024;
    /// How many bytes such replies may have together. One alone may be larger.
    pub(crate) const READING_SIZE: usize = 64 << 20;
    /// How long the largest file of the log may get: a record's place in it is a `u32`.
    const LARGEST_SEGMENT: u64 = 1 << 30;

    /// With less, hardly a message fits.
    const SMALLEST_DISK: u64 = 64 << 10;

    /// Returns how large the log and its files may get.
    pub(crate) fn sizes(&self) -> Sizes {
        let least = (self.disk_size / 1000).min(Self::LARGEST_SEGMENT);
        let most = (self.disk_size / 8).min(Self::LARGEST_SEGMENT);
        Sizes { segment: self.segment_size.clamp(least, most), disk: self.disk_size }
    }

    /// Returns how many orders the machine gives the store at most before the store has reported on one: requests,
    /// closes and expired requests up to `unsynced`, one load and one reply for each submitted request, and what
    /// clients read.
    pub(crate) fn orders(&self) -> usize {
        self.unsynced + 2 * self.submitted + Self::READING + 1
    }

    /// Says everything that is wrong at once.
    pub(crate) fn check(&self) -> Result<()> {
        let mut problems = Vec::new();
        let numbers = [
            ("requests", self.requests),
            ("services", self.services),
            ("message-size", self.message_size),
            ("attempts", usize::from(self.attempts)),
            ("ahead", self.ahead),
            ("submitted", self.submitted),
            ("unsynced", self.unsynced),
        ];
        for (name, number) in numbers {
            if number == 0 {
                problems.push(format!("`{name}`: expected at least 1, found 0"));
            }
        }
        if self.disk_size < Self::SMALLEST_DISK {
            let (least, found) = (Self::SMALLEST_DISK, self.disk_size);
            problems.push(format!("`disk-size`: expected at least {least} bytes, found {found}"));
        }
        if self.message_size as u64 > Self::LARGEST_SEGMENT {
            let (most, found) = (Self::LARGEST_SEGMENT, self.message_size);
            problems.push(format!("`message-size`: expected at most {most} bytes, found {found}"));
        }
        if problems.is_empty() { Ok(()) } else { Err(Error::malformed(problems.join("; "))) }
    }

    /// Returns how long to wait after so many failed attempts.
    pub(crate) fn pause_after(&self, attempts: u8) -> Duration {
        let doublings = u32::from(attempts.saturating_sub(1)).min(20);
        self.pause.saturating_mul(1 << doublings).min(self.longest_pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_make_no_sense_are_all_named() {
        let settings = TitanicSettings { requests: 0, disk_size: 1, ..TitanicSettings::default() };
        let error = settings.check().unwrap_err().to_string();
        let expected = "`requests`: expected at least 1, found 0; \
            `disk-size`: expected at least 65536 bytes, found 1";
        assert_eq!(error, expected);
        assert!(TitanicSettings::default().check().is_ok());
    }

    #[test]
    fn files_suit_the_size_of_the_log() {
        for (disk_size, segment) in [(64 << 10, 8 << 10), (4 << 30, 64 << 20), (100_u64 << 30, 107_374_182)] {
            let settings = TitanicSettings { disk_size, ..TitanicSettings::default() };
            assert_eq!(settings.sizes().segment, segment);
        }
    }

    #[test]
    fn a_pause_doubles_up_to_the_longest() {
        let settings = TitanicSettings::default();
        let pauses: Vec<_> = [0, 1, 2, 3, 7, 255].map(|attempts| settings.pause_after(attempts).as_secs()).into();
        assert_eq!(pauses, [1, 1, 2, 4, 60, 60]);
    }
}
