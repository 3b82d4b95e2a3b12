//! The ZeroMQ Majordomo protocol, versions 0.1 (RFC 7) and 0.2 (RFC 18): broker, client and worker that lose nothing.
//!
//! [`protocol`] holds the state machines, which do no I/O. [`transport`] is the only part that knows a ZeroMQ library. [`actors`]
//! are what a flow is made of.

pub mod actors;
pub mod protocol;
pub mod transport;
