//! Majordomo brokers in processes of their own: ours, and a broker of the same duty in C on libzmq (`benches/c/broker.c`), with
//! clients and workers on libzmq (`benches/c`) or on ours (`src/bin/majordomo_peer.rs`).

mod broker;
mod build;
mod load;
mod peers;

pub use broker::{Broker, Maker, client_keys};
pub use load::{Load, Measured};
pub use peers::{Library, Workers, measure};

/// The service that the workers of a bench serve: they reply with what they were asked.
pub const SERVICE: &str = "echo";
