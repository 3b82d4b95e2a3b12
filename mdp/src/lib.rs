//! The ZeroMQ Majordomo protocol, versions 0.1 (RFC 7) and 0.2 (RFC 18): broker, client and worker that lose nothing.
//!
//! A client sends requests to a broker by the name of a service; the broker gives each to a worker that registered for that name,
//! one at a time, and hands the reply back. Workers that die are noticed, and their requests go to others.
//!
//! Within a flow there are the actors [`MdpBroker`], [`MdpClient`], [`MdpWorker`] and [`MdpRegistry`]; ordinary code has
//! [`Caller`], [`BrokerServer`] and [`RegistryServer`]. [`ZmqPush`], [`ZmqPull`], [`ZmqPub`] and [`ZmqSub`] carry events, or frames
//! of others, without a broker. Under them, [`protocol`] holds the state machines, which do no I/O, and
//! [`transport`] the sockets, the only part that knows a ZeroMQ library.

mod actors;
mod body;
mod broker;
mod caller;
mod calls;
mod durable;
pub mod protocol;
mod registration;
mod registry;
pub mod titanic;
pub mod transport;

pub use actors::{MdpBroker, MdpClient, MdpRegistry, MdpWorker, ZmqPub, ZmqPull, ZmqPush, ZmqSettings, ZmqSub};
pub use body::{FRAMES, PARTIAL, SERVICE};
pub use broker::{BrokerServer, Drain, DurableSettings, ServerSettings};
pub use caller::{Caller, Parts};
pub use registry::{Brokers, RegistryAddress, RegistryServer};
