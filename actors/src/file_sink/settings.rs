//! How files are written.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::span;

/// How a [`FileSink`](super::FileSink) writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct FileSinkSettings {
    /// What an event becomes; a line by default.
    pub form: FileSinkForm,
    /// What happens to a line break within a line; by default the event fails.
    pub line_breaks: LineBreaks,
    /// What happens where a whole's file is there already; by default it is replaced.
    pub existing: Existing,
    /// Whether an event is delivered only when it is on the disk; not by default.
    pub sync: bool,
    /// How many wholes in parts there are at once, or how many files for lines stay open; 256 by default.
    pub open: usize,
    /// How long a whole waits for its next part; 60 s by default.
    #[serde(with = "humantime_serde")]
    pub part_time_out: Duration,
    /// How many bytes of events wait for each writer; 4 MiB by default.
    pub buffer: usize,
    /// How many files are written at once; 4 by default.
    pub writers: usize,
}

/// What a [`FileSink`](super::FileSink) makes of an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FileSinkForm {
    /// A line that is appended to a file.
    #[default]
    Lines,
    /// A file of its own, which may come in parts.
    Wholes,
}

/// What a [`FileSink`](super::FileSink) does with a line break within a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LineBreaks {
    /// The event fails.
    #[default]
    Refuse,
    /// It is written as `\n` or `\r`, and `\` as `\\`.
    Escape,
}

/// What a [`FileSink`](super::FileSink) does where a whole's file is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Existing {
    /// The new one takes its place.
    #[default]
    Replace,
    /// The whole fails, as `Conflict`.
    Refuse,
}

impl Default for FileSinkSettings {
    fn default() -> Self {
        Self {
            form: FileSinkForm::default(),
            line_breaks: LineBreaks::default(),
            existing: Existing::default(),
            sync: false,
            open: 256,
            part_time_out: Duration::from_secs(60),
            buffer: 4 << 20,
            writers: 4,
        }
    }
}

impl FileSinkSettings {
    /// Says what is wrong with them.
    pub(super) fn problems(&self) -> Vec<String> {
        /// More threads than that write no file faster.
        const MOST_WRITERS: usize = 64;
        let mut problems: Vec<_> = span::problem("part-time-out", self.part_time_out).into_iter().collect();
        for (name, number) in [("open", self.open), ("buffer", self.buffer)] {
            if number == 0 {
                problems.push(format!("`{name}`: expected at least 1"));
            }
        }
        if !(1..=MOST_WRITERS).contains(&self.writers) {
            problems.push(format!("`writers`: expected 1 to {MOST_WRITERS}, found {}", self.writers));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_read_from_a_file() {
        let settings: FileSinkSettings =
            toml::from_str("form = 'wholes'\nexisting = 'refuse'\npart-time-out = '5s'\nsync = true").unwrap();
        assert_eq!((settings.form, settings.existing, settings.sync), (FileSinkForm::Wholes, Existing::Refuse, true));
        assert_eq!(settings.part_time_out, Duration::from_secs(5));
        assert!(toml::from_str::<FileSinkSettings>("append = true").is_err());
    }

    #[test]
    fn all_that_is_wrong_is_told() {
        let wrong = FileSinkSettings { open: 0, writers: 0, part_time_out: Duration::ZERO, ..Default::default() };
        let error = crate::FileSink::new("/tmp", "../a", wrong).unwrap_err().to_string();
        for part in ["`open`", "`writers`", "`part-time-out`", "`../a`"] {
            assert!(error.contains(part), "{error}");
        }
    }
}
