//! How a client asks. The same structure in code and in a file.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::Version;

/// How a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ClientSettings {
    /// The version of the protocol.
    pub version: Version,
    /// Whether requests travel as whole events, which every playhouse worker understands. Workers of others want the plain
    /// payload.
    pub envelope: bool,
    /// How often a request is sent, at most, when connections are lost under it.
    pub attempts: u32,
    /// How long to wait for a reply before the request is sent again, over a new connection. Without it, as long as the
    /// request's own time allows: work that takes long is then not done twice.
    #[serde(with = "humantime_serde")]
    pub attempt: Option<Duration>,
    /// How many requests in envelopes wait for their replies at one broker at a time.
    pub window: usize,
    /// How many connections plain requests have, each for one request at a time; never fewer than there are brokers.
    pub connections: usize,
    /// How many requests there are in all, those that wait for a connection included; more are refused.
    pub requests: usize,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            version: Version::default(),
            envelope: true,
            attempts: 3,
            attempt: None,
            window: 1_024,
            connections: 64,
            requests: 4_096,
        }
    }
}
