//! How files are read.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::span;

/// How a [`FileSource`](super::FileSource) reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct FileSourceSettings {
    /// What becomes an event; a line by default.
    pub form: FileSourceForm,
    /// Whether payloads are text, else bytes; text by default. Parts are always bytes.
    pub text: bool,
    /// Whether what is written later is read too; not by default.
    pub follow: bool,
    /// How often a followed file and its path are looked at; 250 ms by default.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// How long a followed file that has lost its path is still read; 5 s by default.
    #[serde(with = "humantime_serde")]
    pub linger: Duration,
    /// The file that keeps how far was read and handled; none by default.
    pub resume: Option<PathBuf>,
    /// How often that file is written; 1 s by default.
    #[serde(with = "humantime_serde")]
    pub resume_interval: Duration,
    /// Whether that file is synced to the disk each time; it is by default.
    pub sync: bool,
    /// What happens where an event fails; by default the source goes on.
    pub on_failure: OnFailure,
    /// The longest line, in bytes; 1 MiB by default.
    pub line_size: usize,
    /// The largest file that is one event, in bytes; 16 MiB by default.
    pub whole_size: usize,
    /// How large a part is, in bytes; 256 KiB by default.
    pub part_size: usize,
    /// How many bytes of events are under way at once; 16 MiB by default.
    pub window: usize,
    /// How many files are read at once at most; 256 by default.
    pub files: usize,
}

/// What a [`FileSource`](super::FileSource) makes an event of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FileSourceForm {
    /// A line, without its line break.
    #[default]
    Lines,
    /// A file.
    Wholes,
    /// A part of a file.
    Parts,
}

/// What a [`FileSource`](super::FileSource) does where an event fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// It goes on: the failure went its own way.
    #[default]
    GoOn,
    /// It begins again with what failed, after a while, and so on until it goes through.
    Again,
}

impl Default for FileSourceSettings {
    fn default() -> Self {
        Self {
            form: FileSourceForm::default(),
            text: true,
            follow: false,
            interval: Duration::from_millis(250),
            linger: Duration::from_secs(5),
            resume: None,
            resume_interval: Duration::from_secs(1),
            sync: true,
            on_failure: OnFailure::default(),
            line_size: 1 << 20,
            whole_size: 16 << 20,
            part_size: 256 << 10,
            window: 16 << 20,
            files: 256,
        }
    }
}

impl FileSourceSettings {
    /// Says what is wrong with them.
    pub(super) fn problems(&self) -> Vec<String> {
        let spans = [("interval", self.interval), ("linger", self.linger), ("resume-interval", self.resume_interval)];
        let mut problems: Vec<_> = spans.into_iter().filter_map(|(name, time)| span::problem(name, time)).collect();
        let numbers = [
            ("line-size", self.line_size),
            ("whole-size", self.whole_size),
            ("part-size", self.part_size),
            ("window", self.window),
            ("files", self.files),
        ];
        let none = numbers.into_iter().filter(|(_, number)| *number == 0);
        problems.extend(none.map(|(name, _)| format!("`{name}`: expected at least 1")));
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_read_from_a_file() {
        let settings: FileSourceSettings =
            toml::from_str("form = 'parts'\nfollow = true\ninterval = '10ms'\non-failure = 'again'").unwrap();
        assert_eq!((settings.form, settings.on_failure), (FileSourceForm::Parts, OnFailure::Again));
        assert_eq!(settings.interval, Duration::from_millis(10));
        assert!(toml::from_str::<FileSourceSettings>("tail = true").is_err());
    }

    #[test]
    fn all_that_is_wrong_is_told() {
        let wrong = FileSourceSettings { window: 0, interval: Duration::ZERO, ..Default::default() };
        let error = crate::FileSource::new("log", wrong).unwrap_err().to_string();
        assert!(error.contains("`window`") && error.contains("`interval`"), "{error}");
    }
}
