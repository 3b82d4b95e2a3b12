//! How much the peers of a broker may ask for. The same structure in code and in a file.

use bytes::Bytes;
use playhouse_engine::Error;
use serde::{Deserialize, Serialize};

/// How much the peers of a broker may ask for. What is over a limit is dropped and counted; our own clients are told.
///
/// ```
/// use playhouse_mdp::protocol::BrokerLimits;
///
/// let in_code = BrokerLimits { frames: 16, ..BrokerLimits::default() };
/// let in_a_file: BrokerLimits = toml::from_str("frames = 16").unwrap();
/// assert_eq!(in_code, in_a_file);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct BrokerLimits {
    /// How many bytes a frame may have; 1 MiB by default.
    pub frame_size: usize,
    /// How many bytes the frames of a body may have together; 8 MiB by default.
    pub message_size: usize,
    /// How many frames a body may have; 64 by default.
    pub frames: usize,
    /// How many peers may be connected; 4,096 by default. The state machine, which knows no connection, registers no more
    /// workers than this.
    pub peers: usize,
    /// How many requests may wait for one service; 10,000 by default.
    pub queued_for_service: usize,
    /// How many requests may wait for all services together; 100,000 by default.
    pub queued: usize,
    /// How many bytes the bodies of all waiting requests may have together; 32 MiB by default.
    pub queued_size: usize,
    /// How many services there may be, with a worker or with a waiting request; 1,000 by default.
    pub services: usize,
}

impl Default for BrokerLimits {
    fn default() -> Self {
        Self {
            frame_size: 1024 * 1024,
            message_size: 8 * 1024 * 1024,
            frames: 64,
            peers: 4096,
            queued_for_service: 10_000,
            queued: 100_000,
            queued_size: 32 * 1024 * 1024,
            services: 1000,
        }
    }
}

impl BrokerLimits {
    /// Looks whether a body is within the limits.
    pub(crate) fn check(&self, body: &[Bytes]) -> Result<(), Limit> {
        if body.len() > self.frames {
            return Err(Limit::Frames);
        }
        if body.iter().any(|frame| frame.len() > self.frame_size) {
            return Err(Limit::FrameSize);
        }
        if size_of(body) > self.message_size {
            return Err(Limit::MessageSize);
        }
        Ok(())
    }

    /// Makes the error that tells a client what it went beyond.
    pub(crate) fn error(&self, limit: Limit) -> Error {
        let (thing, most) = match limit {
            Limit::FrameSize => ("a frame is too large; expected at most", self.frame_size),
            Limit::MessageSize => ("the message is too large; expected at most", self.message_size),
            Limit::Frames => return Error::too_large(format!("expected at most {} frames, found more", self.frames)),
            Limit::Peers => return Error::overloaded("the broker has as many workers as it takes"),
            Limit::QueuedForService => return Error::overloaded("too many requests wait for this service"),
            Limit::Queued | Limit::QueuedSize => return Error::overloaded("too many requests wait at the broker"),
            Limit::Services => return Error::overloaded("the broker knows as many services as it takes"),
        };
        Error::too_large(format!("{thing} {most} bytes"))
    }
}

/// Returns the bytes of all frames together.
pub(crate) fn size_of(body: &[Bytes]) -> usize {
    body.iter().map(Bytes::len).sum()
}

/// Which limit was passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    FrameSize,
    MessageSize,
    Frames,
    Peers,
    QueuedForService,
    Queued,
    QueuedSize,
    Services,
}

impl Limit {
    /// Every limit, in the order of their counters.
    pub(crate) const ALL: [Self; 8] = [
        Self::FrameSize,
        Self::MessageSize,
        Self::Frames,
        Self::Peers,
        Self::QueuedForService,
        Self::Queued,
        Self::QueuedSize,
        Self::Services,
    ];

    /// Returns the name of the limit as it stands in files and in statistics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::FrameSize => "frame-size",
            Self::MessageSize => "message-size",
            Self::Frames => "frames",
            Self::Peers => "peers",
            Self::QueuedForService => "queued-for-service",
            Self::Queued => "queued",
            Self::QueuedSize => "queued-size",
            Self::Services => "services",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counters_of_the_limits_have_the_names_of_the_settings() {
        for (index, limit) in Limit::ALL.into_iter().enumerate() {
            assert_eq!(limit as usize, index);
            toml::from_str::<BrokerLimits>(&format!("{} = 1", limit.as_str())).unwrap();
        }
    }

    #[test]
    fn an_unknown_limit_is_refused() {
        let error = toml::from_str::<BrokerLimits>("clients = 3").unwrap_err();
        assert!(error.to_string().contains("unknown field `clients`"), "{error}");
    }
}
