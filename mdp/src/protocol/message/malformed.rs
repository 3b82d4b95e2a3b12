//! Why a message cannot be read.

use std::fmt;

use playhouse_engine::Error;

/// Why a message cannot be read. What is malformed is dropped; the broker counts each reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Malformed {
    /// There are too few frames to see what it is.
    TooFewFrames,
    /// The empty frame is missing that begins every message of MDP 0.1.
    NoDelimiter,
    /// An empty frame begins a message of MDP 0.2, which has none.
    StrayDelimiter,
    /// The header is none of this protocol, or not one that comes this way.
    UnknownHeader,
    /// The command is none of this version, or not one that comes this way.
    UnknownCommand,
    /// The service is missing.
    NoService,
    /// The name of the service cannot be one.
    InvalidService,
    /// The address of the client is missing, empty, or longer than an address can be.
    InvalidClient,
    /// The empty frame is missing between the address of the client and the body.
    NoClientDelimiter,
    /// The body is missing.
    NoBody,
    /// There are more frames than the command has.
    ExtraFrames,
}

impl Malformed {
    /// Every reason, in the order of their counters.
    pub const ALL: [Self; 11] = [
        Self::TooFewFrames,
        Self::NoDelimiter,
        Self::StrayDelimiter,
        Self::UnknownHeader,
        Self::UnknownCommand,
        Self::NoService,
        Self::InvalidService,
        Self::InvalidClient,
        Self::NoClientDelimiter,
        Self::NoBody,
        Self::ExtraFrames,
    ];

    /// Returns the name of the reason as it stands in statistics, such as `no-body`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooFewFrames => "too-few-frames",
            Self::NoDelimiter => "no-delimiter",
            Self::StrayDelimiter => "stray-delimiter",
            Self::UnknownHeader => "unknown-header",
            Self::UnknownCommand => "unknown-command",
            Self::NoService => "no-service",
            Self::InvalidService => "invalid-service",
            Self::InvalidClient => "invalid-client",
            Self::NoClientDelimiter => "no-client-delimiter",
            Self::NoBody => "no-body",
            Self::ExtraFrames => "extra-frames",
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl From<Malformed> for Error {
    fn from(reason: Malformed) -> Self {
        Self::malformed(match reason {
            Malformed::TooFewFrames => "a Majordomo message has too few frames",
            Malformed::NoDelimiter => "a message of MDP 0.1 does not begin with an empty frame",
            Malformed::StrayDelimiter => "a message of MDP 0.2 begins with an empty frame",
            Malformed::UnknownHeader => "expected the header of a Majordomo peer, found another",
            Malformed::UnknownCommand => "expected a command of this version, found another",
            Malformed::NoService => "a Majordomo message names no service",
            Malformed::InvalidService => "expected a service name of 1 to 255 printable bytes, found another",
            Malformed::InvalidClient => "expected the address of a client of 1 to 255 bytes, found none",
            Malformed::NoClientDelimiter => "no empty frame follows the address of the client",
            Malformed::NoBody => "a Majordomo message has no body",
            Malformed::ExtraFrames => "a Majordomo command has more frames than expected",
        })
    }
}
