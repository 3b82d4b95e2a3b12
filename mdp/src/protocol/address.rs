//! By what a ROUTER socket knows a peer: the identity that came in the first frame.

use std::fmt;

use bytes::Bytes;

/// The identity of a peer at a ROUTER socket: 1 to 255 bytes. A clone is one reference count.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address(Bytes);

/// What the identities of our own sockets begin with, so that a broker can tell them errors that the protocol has no words
/// for.
pub(crate) const OURS: &[u8] = b"ph:";

impl Address {
    /// Takes the bytes as they came.
    #[must_use]
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// Makes a new identity for a socket of our own, unlike any other.
    #[must_use]
    pub fn unique() -> Self {
        let mut bytes = OURS.to_vec();
        bytes.extend_from_slice(&fastrand::u128(..).to_be_bytes()[..12]);
        Self(bytes.into())
    }

    /// Says whether the peer is a playhouse client, which understands a typed error in place of a reply.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.0.starts_with(OURS)
    }

    /// Returns a copy of its own, which keeps no larger message in memory that it came with.
    #[must_use]
    pub(crate) fn detached(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }

    /// Returns the bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}`", self.0.escape_ascii())
    }
}
