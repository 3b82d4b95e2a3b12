//! Who is to be answered.

use super::{Address, Version};

/// The client that waits for an answer, and the version of the protocol in which it wants it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Requester {
    /// By what the broker's socket knows the client.
    pub address: Address,
    /// The version in which it asked.
    pub version: Version,
}
