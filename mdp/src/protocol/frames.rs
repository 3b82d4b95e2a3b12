//! The frames of one ZeroMQ message, without the address that a ROUTER puts before them.

use bytes::Bytes;

/// The frames of one message, first to last.
pub type Frames = Vec<Bytes>;
