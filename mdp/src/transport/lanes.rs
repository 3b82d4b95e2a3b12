//! Lanes: many addresses over one connection between sockets of ours, so that what they send is read and written together.
//!
//! A ROUTER that knows lanes says so by its identity, which means nothing to others. A DEALER that wants them has an identity
//! that says so too. Where both have, every message, both ways, begins with the address of its lane; one that has nothing
//! more says that the lane is closed. Any other pair of sockets exchanges messages as ever.

use omq_tokio::proto::command::PeerProperties;

use crate::protocol::{Address, OURS};

/// The identity of a ROUTER that knows lanes.
pub(super) const ROUTER: &[u8] = b"ph:lanes";

/// What the identity of a DEALER that wants lanes begins with.
const DEALER: &[u8] = b"ph:lanes:";

/// How many lanes a connection may have.
pub(super) const MOST: usize = 1024;

/// Makes the identity of a DEALER that wants lanes.
pub(super) fn identity() -> Address {
    Address::new([DEALER, Address::unique().as_bytes()].concat())
}

/// Says whether the peer is a ROUTER that knows lanes.
pub(super) fn are_known(router: &PeerProperties) -> bool {
    router.identity.as_deref() == Some(ROUTER)
}

/// Says whether the peer is a DEALER that wants lanes.
pub(super) fn are_wanted(dealer: &PeerProperties) -> bool {
    dealer.identity.as_ref().is_some_and(|identity| identity.starts_with(DEALER))
}

/// Says whether a lane may have this address: our lanes are known for ours by it, as our sockets are.
pub(super) fn is_address(bytes: &[u8]) -> bool {
    bytes.len() <= 255 && bytes.starts_with(OURS)
}
