//! How much the other side of a WebSocket may ask for, and for how long. The same structure in code and in a file.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// What a message may be read and written with at a time.
const BUFFER: usize = 4 * 1024;

/// How much the other side of a WebSocket may ask for, and for how long.
///
/// ```
/// use playhouse_actors::WebSocketLimits;
///
/// let in_code = WebSocketLimits { message_size: 4096, ..WebSocketLimits::default() };
/// let in_a_file: WebSocketLimits = toml::from_str("message-size = 4096").unwrap();
/// assert_eq!(in_code, in_a_file);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct WebSocketLimits {
    /// How many bytes a message may have that comes; 1 MiB by default. Beyond: it is closed with 1009.
    pub message_size: usize,
    /// How many bytes one frame of it may have; 1 MiB by default. Beyond: it is closed with 1009.
    pub frame_size: usize,
    /// How many messages may wait to be sent; 256 by default. On a server, a client that is further behind is closed with 1008;
    /// a client waits.
    pub backlog: usize,
    /// After what silence the other side is asked whether it is still there; 20 s by default.
    #[serde(with = "humantime_serde")]
    pub heartbeat: Duration,
    /// How long it may take to answer that, and to take what is sent; 20 s by default. Later: the connection is given up.
    #[serde(with = "humantime_serde")]
    pub patience: Duration,
    /// How long the other side may take to close when it is told to; 2 s by default.
    #[serde(with = "humantime_serde")]
    pub close_time: Duration,
}

impl Default for WebSocketLimits {
    fn default() -> Self {
        Self {
            message_size: 1024 * 1024,
            frame_size: 1024 * 1024,
            backlog: 256,
            heartbeat: Duration::from_secs(20),
            patience: Duration::from_secs(20),
            close_time: Duration::from_secs(2),
        }
    }
}

impl WebSocketLimits {
    pub(crate) fn config(&self) -> WebSocketConfig {
        WebSocketConfig::default()
            // For each connection, from its beginning on.
            .read_buffer_size(BUFFER)
            .write_buffer_size(BUFFER)
            .max_message_size(Some(self.message_size))
            .max_frame_size(Some(self.frame_size))
    }

    /// Returns how often to look whether the other side is still there.
    pub(crate) fn tick(&self) -> Duration {
        (self.heartbeat.min(self.patience) / 4).max(Duration::from_millis(5))
    }
}
