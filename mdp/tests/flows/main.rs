//! Brokers, clients and workers as a user has them: actors and processes over real sockets.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod broker;
mod client;
mod lanes;
mod registry;
mod support;
mod worker;
