//! Actors that talk ZeroMQ.
//!
//! [`ZmqPush`], [`ZmqPull`], [`ZmqPub`] and [`ZmqSub`] carry events between flows, or frames between a flow and whatever else
//! talks ZeroMQ: see [`ZmqSettings::raw`].

mod intake;
mod wire;
mod zmq_pub;
mod zmq_pull;
mod zmq_push;
mod zmq_settings;
mod zmq_sub;

pub use zmq_pub::ZmqPub;
pub use zmq_pull::ZmqPull;
pub use zmq_push::ZmqPush;
pub use zmq_settings::ZmqSettings;
pub use zmq_sub::ZmqSub;
