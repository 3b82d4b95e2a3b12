//! The actors: Majordomo and plain ZeroMQ within a flow.

mod intake;
mod mdp_broker;
mod mdp_client;
mod mdp_registry;
mod mdp_worker;
mod wire;
mod zmq_pub;
mod zmq_pull;
mod zmq_push;
mod zmq_settings;
mod zmq_sub;

pub use mdp_broker::MdpBroker;
pub use mdp_client::MdpClient;
pub use mdp_registry::MdpRegistry;
pub use mdp_worker::MdpWorker;
pub use zmq_pub::ZmqPub;
pub use zmq_pull::ZmqPull;
pub use zmq_push::ZmqPush;
pub use zmq_settings::ZmqSettings;
pub use zmq_sub::ZmqSub;
