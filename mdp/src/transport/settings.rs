//! How a socket behaves: its limits, its times, its queues. The same structure in code and in a file.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Security;
use crate::protocol::Address;

/// How a socket behaves.
///
/// ```
/// use playhouse_mdp::transport::SocketSettings;
///
/// let in_code = SocketSettings { send_queue: 64, ..SocketSettings::default() };
/// let in_a_file: SocketSettings = toml::from_str("send-queue = 64").unwrap();
/// assert_eq!(in_code.send_queue, in_a_file.send_queue);
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SocketSettings {
    /// By what a ROUTER at the other end knows this socket; none by default: the ROUTER makes one up.
    #[serde(skip)]
    pub identity: Option<Address>,
    /// How many bytes the frames of a message may have in all; 8 MiB by default. The peer that sends more is cut off.
    pub largest_message: usize,
    /// How many frames a message may have; 64 by default. What a message has less of one it may have more of the other: a
    /// frame is worth 64 bytes. So whoever must be exact looks again.
    pub most_frames: usize,
    /// How long a peer may take from the connection to the end of the handshake; 10 s by default.
    #[serde(with = "humantime_serde")]
    pub handshake: Duration,
    /// How many peers may be within their handshake at once, an eighth of them from one other host; 256 by default.
    pub pending_handshakes: usize,
    /// How many peers a ROUTER may have at once over tcp and ipc; 4,096 by default.
    pub most_peers: usize,
    /// How many messages wait for one peer at most; 1,000 by default.
    pub send_queue: usize,
    /// How many messages wait to be received at most; 1,000 by default. Beyond, nothing is read from the peers.
    pub receive_queue: usize,
    /// How long a close goes on sending what is still queued; 5 s by default.
    #[serde(with = "humantime_serde")]
    pub linger: Duration,
    /// How often a peer is asked for a sign of life (ZMTP PING) while it is silent; 10 s by default, never with none. A
    /// peer that sends nothing for three times as long is taken for lost.
    #[serde(with = "humantime_serde")]
    pub heartbeat: Option<Duration>,
    /// How long to wait before a lost connection is tried again for the first time; 100 ms by default. Each further wait
    /// is twice as long.
    #[serde(with = "humantime_serde")]
    pub first_retry: Duration,
    /// The longest wait between two tries to connect; 5 s by default.
    #[serde(with = "humantime_serde")]
    pub longest_retry: Duration,
    /// What ZeroMQ library does the work.
    pub backend: Backend,
    /// Who the peers must be; anybody by default.
    #[serde(skip)]
    pub security: Security,
}

impl Default for SocketSettings {
    fn default() -> Self {
        Self {
            identity: None,
            largest_message: 8 * 1024 * 1024,
            most_frames: 64,
            handshake: Duration::from_secs(10),
            pending_handshakes: 256,
            most_peers: 4096,
            send_queue: 1000,
            receive_queue: 1000,
            linger: Duration::from_secs(5),
            heartbeat: Some(Duration::from_secs(10)),
            first_retry: Duration::from_millis(100),
            longest_retry: Duration::from_secs(5),
            backend: Backend::default(),
            security: Security::None,
        }
    }
}

/// A ZeroMQ library.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// The crate `omq-tokio`: all that a socket can do here.
    #[default]
    Omq,
    /// The crate `zeromq`: for loopback and ipc addresses only, without inproc, security, limits, signs of life, and without
    /// sending what is queued at a close.
    #[cfg(feature = "zeromq")]
    Zeromq,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_read_from_a_file() {
        let settings: SocketSettings = toml::from_str("linger = '250ms'\nbackend = 'omq'").unwrap();
        assert_eq!(settings.linger, Duration::from_millis(250));
        assert_eq!(settings.largest_message, 8 * 1024 * 1024);
    }

    #[test]
    fn an_unknown_setting_is_refused() {
        let error = toml::from_str::<SocketSettings>("lingr = 3").unwrap_err();
        assert!(error.to_string().contains("unknown field `lingr`"), "{error}");
    }
}
