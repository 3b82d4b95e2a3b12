//! The broker's state machine by the checklist of the protocol, without sockets and with a made-up clock.

#![allow(clippy::unwrap_used, reason = "helpers of tests too")]

mod durable;
mod frames;
mod heartbeats;
mod limits;
mod malformed;
mod management;
mod random;
mod redelivery;
mod requests;
mod stage;
mod stop;
mod versions;
mod workers;
