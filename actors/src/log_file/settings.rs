//! How logs are written.

use serde::{Deserialize, Serialize};

use crate::log_level::LogLevel;

/// How a [`LogFile`](super::LogFile) writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct LogFileSettings {
    /// The file that events go to; `playhouse.log` by default.
    pub file_name: String,
    /// The attribute that names another file of the folder for an event; `logger_filename` by default.
    pub file_attribute: String,
    /// Events that matter less are not written; `info` by default.
    pub level: LogLevel,
    /// How large a file becomes before it is rotated, in bytes; 20,000,000 by default.
    pub size: u64,
    /// How often a file is rotated, too; never by default.
    pub period: LogPeriod,
    /// How many old files are kept; 10 by default.
    pub keep: usize,
    /// How many bytes of a message are written; 64 KiB by default.
    pub largest_message: usize,
    /// Patterns of what is not to be written: of each match, group 1, or the whole where it has none, becomes `REDACTED`.
    #[cfg(feature = "redact")]
    pub redact: Vec<String>,
    /// Whether a line is delivered only when it is on the disk; not by default.
    pub sync: bool,
    /// How many files stay open; 64 by default.
    pub open: usize,
    /// How many bytes of events wait to be written; 4 MiB by default.
    pub buffer: usize,
}

/// How often a [`LogFile`](super::LogFile) rotates its files, whatever their size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LogPeriod {
    /// At the beginning of an hour.
    Hourly,
    /// At midnight in UTC.
    Daily,
    /// By their size alone.
    #[default]
    Never,
}

impl Default for LogFileSettings {
    fn default() -> Self {
        Self {
            file_name: "playhouse.log".to_owned(),
            file_attribute: "logger_filename".to_owned(),
            level: LogLevel::default(),
            size: 20_000_000,
            period: LogPeriod::default(),
            keep: 10,
            largest_message: 64 << 10,
            #[cfg(feature = "redact")]
            redact: Vec::new(),
            sync: false,
            open: 64,
            buffer: 4 << 20,
        }
    }
}

impl LogFileSettings {
    /// Says what is wrong with them.
    pub(super) fn problems(&self) -> Vec<String> {
        /// A rotation renames each.
        const MOST_KEPT: usize = 1000;
        let mut problems = Vec::new();
        for (name, is_none) in [("size", self.size == 0), ("open", self.open == 0), ("buffer", self.buffer == 0)] {
            if is_none {
                problems.push(format!("`{name}`: expected at least 1"));
            }
        }
        if self.keep > MOST_KEPT {
            problems.push(format!("`keep`: expected at most {MOST_KEPT}, found {}", self.keep));
        }
        problems
    }
}
