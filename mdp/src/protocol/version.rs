//! Which of the two versions of the protocol a peer speaks.

use std::fmt;
use std::str::FromStr;

use playhouse_engine::Error;
use serde::{Deserialize, Serialize};

/// A version of the Majordomo protocol. The two do not understand each other; the broker serves both on one socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Version {
    /// MDP 0.1, <https://rfc.zeromq.org/spec/7/>: a request has one reply.
    #[serde(rename = "0.1")]
    V1,
    /// MDP 0.2, <https://rfc.zeromq.org/spec/18/>: a request has any number of partial replies, then a final one.
    #[default]
    #[serde(rename = "0.2")]
    V2,
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::V1 => "0.1",
            Self::V2 => "0.2",
        })
    }
}

impl FromStr for Version {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "0.1" => Ok(Self::V1),
            "0.2" => Ok(Self::V2),
            _ => Err(Error::malformed(format!("expected the version `0.1` or `0.2` of the protocol, found `{text}`"))),
        }
    }
}
