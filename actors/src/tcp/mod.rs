//! Events, lines and frames over TCP.
//!
//! Between two processes of ours, a sink and a source carry whole events, and each is acknowledged: see [`TcpSink`]. To anybody
//! else they speak lines, or frames with a length before them.

mod accept;
mod acknowledgements;
mod connection;
mod dial;
mod events;
mod framing;
mod outgoing;
mod plain;
mod sink;
mod source;
mod stream;
mod window;
mod wire;

pub use framing::{Framing, InvalidText};
pub use sink::{TcpSink, TcpSinkSettings};
pub use source::{TcpSource, TcpSourceSettings};
