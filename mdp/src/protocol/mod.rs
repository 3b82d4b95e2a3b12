//! The protocol without I/O: state machines that take what came and the time, and say what is to be sent.

mod address;
pub mod client;
pub mod failure;
mod frames;
pub mod message;
pub mod registry;
mod requester;
mod service;
mod ticket;
mod version;
pub mod worker;

pub use address::Address;
pub use frames::Frames;
pub use requester::Requester;
pub use service::Service;
pub use ticket::Ticket;
pub use version::Version;
