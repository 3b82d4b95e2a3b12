//! WebSockets (RFC 6455): what the server's connections and the client's have in common.

mod client;
mod dialer;
mod intake;
mod limits;
mod link;
mod message;

pub use client::{WebSocketClient, WebSocketClientSettings};
pub(crate) use intake::Intake;
pub use limits::WebSocketLimits;
pub(crate) use link::{Leave, Link, Outgoing, PARTY};
pub(crate) use message::{close_of, message_of};
