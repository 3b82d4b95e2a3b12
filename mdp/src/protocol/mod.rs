//! The protocol without I/O: state machines that take what came and the time, and say what is to be sent.

mod address;
mod broker;
mod client;
mod failure;
mod frames;
mod message;
mod registry;
mod requester;
mod service;
mod ticket;
mod version;
mod worker;

pub use address::Address;
pub(crate) use address::OURS;
pub use broker::{
    Accounts, Broker, BrokerLimits, BrokerSettings, BrokerStatistics, Counters, Output, ServiceStatistics,
};
pub use client::{Client, ClientCounters, ClientOutput, ClientSettings, LinkId};
pub use failure::{failure_body, read_failure};
pub use frames::Frames;
pub use message::{
    Malformed, ToBroker, ToClient, ToWorker, WorkerCommand, decode_at_broker, decode_at_client, decode_at_worker,
    encode,
};
pub use registry::{Registry, RegistrySettings, ToRegistry, decode_list, encode_list};
pub use requester::Requester;
pub use service::Service;
pub use ticket::Ticket;
pub use version::Version;
pub use worker::{Worker, WorkerOutput, WorkerSettings};
