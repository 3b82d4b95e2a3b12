//! The actors: Majordomo and plain ZeroMQ within a flow.

mod mdp_broker;
mod mdp_client;
mod mdp_registry;
mod mdp_worker;

pub use mdp_broker::MdpBroker;
pub use mdp_client::MdpClient;
pub use mdp_registry::MdpRegistry;
pub use mdp_worker::MdpWorker;
