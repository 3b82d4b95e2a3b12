//! How much a line of a log matters.

use playhouse_engine::Event;
use serde::{Deserialize, Serialize};

/// How much a line of a log matters, the least first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// For each event.
    Trace,
    /// Rare, and for whoever looks for a fault.
    Debug,
    /// Something started, stopped or goes on.
    #[default]
    Info,
    /// Something went wrong and is mended.
    Warn,
    /// Something is lost.
    Error,
}

impl LogLevel {
    /// Returns the level's name as it stands in a log file.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        }
    }

    /// Returns how much an event matters: what its attribute `log.level` says, `error` where it has an error, else `info`.
    pub(crate) fn of(event: &Event) -> Self {
        match event.attributes().text("log.level").as_deref() {
            Some("trace") => Self::Trace,
            Some("debug") => Self::Debug,
            Some("info") => Self::Info,
            Some("warn") => Self::Warn,
            Some("error") => Self::Error,
            _ if event.error().is_some() => Self::Error,
            _ => Self::Info,
        }
    }
}
