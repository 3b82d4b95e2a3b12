//! What is told of the durable requests.

use serde::Serialize;

/// What the durable requests of one broker have come to since it was started, and how many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct TitanicStatistics {
    /// How many requests were stored and acknowledged.
    pub stored: u64,
    /// How many requests, reads and closes were answered with 500 because a limit was reached or the disk failed.
    pub refused: u64,
    /// How many requests made no sense, or named no ticket that is known (400).
    pub invalid: u64,
    /// How many requests were given to the broker, each attempt counted.
    pub submitted: u64,
    /// How many attempts ended with an error.
    pub errors: u64,
    /// How many replies were stored.
    pub replied: u64,
    /// How many requests failed for good.
    pub failed: u64,
    /// How many requests their clients closed.
    pub closed: u64,
    /// How many requests were removed because nobody closed them in time.
    pub expired: u64,
    /// How many answers came for requests that were closed meanwhile.
    pub late: u64,
    /// How many requests are stored now, done or not.
    pub requests: usize,
    /// How many of them wait for a worker, or for another attempt.
    pub pending: usize,
    /// How many of them are with the broker.
    pub running: usize,
    /// How many records wait for the disk.
    pub unsynced: usize,
    /// How many bytes the log has on disk.
    pub disk_size: u64,
}
