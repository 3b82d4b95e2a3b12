//! The protocol without I/O: state machines that take what came and the time, and say what is to be sent.

mod address;
mod broker;
mod failure;
mod frames;
mod message;
mod requester;
mod service;
mod ticket;
mod version;

pub use address::Address;
pub use broker::{
    Accounts, Broker, BrokerLimits, BrokerSettings, BrokerStatistics, Counters, Output, ServiceStatistics,
};
pub use failure::{failure_body, read_failure};
pub use frames::Frames;
pub use message::{
    Malformed, ToBroker, ToClient, ToWorker, WorkerCommand, decode_at_broker, decode_at_client, decode_at_worker,
    encode,
};
pub use requester::Requester;
pub use service::Service;
pub use ticket::Ticket;
pub use version::Version;
