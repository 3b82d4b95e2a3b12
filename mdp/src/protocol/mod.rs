//! The protocol without I/O: state machines that take what came and the time, and say what is to be sent.

mod address;
mod frames;
mod service;
mod version;

pub use address::Address;
pub use frames::Frames;
pub use service::Service;
pub use version::Version;
