//! The sockets, by what their users see.

#![allow(dead_code, clippy::unwrap_used)]

mod connections;
mod exchange;
mod hostile;
mod lanes;
mod libzmq;
mod security;
mod servers;
mod support;
#[cfg(feature = "zeromq")]
mod zeromq;

#[path = "../support/pyzmq.rs"]
mod pyzmq;
