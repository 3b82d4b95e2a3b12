//! The ZeroMQ Majordomo protocol, versions 0.1 (RFC 7) and 0.2 (RFC 18): broker, client and worker that lose nothing.
//!
//! [`protocol`] holds the state machines, which do no I/O. [`transport`] is the only part that knows a ZeroMQ library.

pub mod protocol;
pub mod titanic;
pub mod transport;
