//! What a broker says about itself: to whoever asks `mmi.stats`, and to its own process.

use serde::{Deserialize, Serialize};

use super::counters::{Accounts, Counters};

/// What a broker says about itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BrokerStatistics {
    /// How many workers are registered.
    pub workers: usize,
    /// Whether it takes no new requests.
    pub stopping: bool,
    /// What became of the requests.
    pub accounts: Accounts,
    /// What it counts beside its requests.
    pub counters: Counters,
    /// The services that have a worker or a request that waits, by name.
    pub services: Vec<ServiceStatistics>,
}

/// The figures of one service, since it got its first worker or request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceStatistics {
    /// Its name.
    pub service: String,
    /// How many workers are registered for it.
    pub workers: usize,
    /// How many of them are idle.
    pub idle: usize,
    /// How many of them are busy.
    pub busy: usize,
    /// How many requests wait.
    pub queued: usize,
    /// How many requests come in a second, smoothed over some seconds.
    pub rate: f64,
    /// For how long the oldest request waits, in ms.
    pub oldest_wait_ms: u64,
    /// How many requests were accepted.
    pub requests: u64,
    /// How many were answered.
    pub replies: u64,
    /// How many waited for a worker too long.
    pub expired: u64,
    /// How many failed.
    pub failed: u64,
    /// How many were taken from a worker and left to another.
    pub redelivered: u64,
}
