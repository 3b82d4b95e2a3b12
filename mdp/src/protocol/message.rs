//! What the frames of a message say, for whoever receives it. Knows the form of both versions of the protocol; what is
//! expected of whom, and when, is the business of the machines.

mod decode;
pub mod encode;
mod malformed;
#[cfg(test)]
mod tests;

pub use decode::{decode_at_broker, decode_at_client, decode_at_worker};
pub use malformed::Malformed;

use super::{Address, Frames, Service, Version};

/// What a client or a worker says to the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToBroker {
    /// A client asks for a service.
    Request {
        /// The version in which it asks, and wants its answer.
        version: Version,
        /// The service that it asks for.
        service: Service,
        /// What it asks; at least one frame.
        body: Frames,
    },
    /// A worker gives a command.
    Worker {
        /// The version that the worker speaks.
        version: Version,
        /// What it says.
        command: WorkerCommand,
    },
}

/// What a worker says to the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkerCommand {
    /// It serves `service` from now on.
    Ready {
        /// The service that it serves.
        service: Service,
    },
    /// A part of its answer; more follows. In MDP 0.2 only.
    Partial {
        /// The client that the request named.
        client: Address,
        /// The part; at least one frame.
        body: Frames,
    },
    /// Its answer, or the last part of it. In MDP 0.1 this is REPLY.
    Final {
        /// The client that the request named.
        client: Address,
        /// The answer; at least one frame.
        body: Frames,
    },
    /// It lives.
    Heartbeat,
    /// It serves no more.
    Disconnect,
    /// It says what only a broker may say.
    Request,
}

/// What the broker says to a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToWorker {
    /// A request to answer.
    Request {
        /// The client to name in the answer.
        client: Address,
        /// What it asks; at least one frame.
        body: Frames,
    },
    /// The broker lives.
    Heartbeat,
    /// The broker knows the worker no more: it is to begin anew with another socket.
    Disconnect,
}

/// What the broker says to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToClient {
    /// A part of the answer; more follows. In MDP 0.2 only.
    Partial {
        /// The service that was asked.
        service: Service,
        /// The part; at least one frame.
        body: Frames,
    },
    /// The answer, or the last part of it. In MDP 0.1 this is REPLY.
    Final {
        /// The service that was asked.
        service: Service,
        /// The answer; at least one frame.
        body: Frames,
    },
}

/// The frame by which a client's message is known.
fn client_header(version: Version) -> &'static [u8] {
    match version {
        Version::V1 => b"MDPC01",
        Version::V2 => b"MDPC02",
    }
}

/// The frame by which a worker's message is known, and the broker's to it.
fn worker_header(version: Version) -> &'static [u8] {
    match version {
        Version::V1 => b"MDPW01",
        Version::V2 => b"MDPW02",
    }
}

/// The numbers of the commands between broker and worker.
struct Numbers {
    partial: Option<u8>,
    last: u8,
    heartbeat: u8,
    disconnect: u8,
}

const READY: u8 = 1;
const REQUEST: u8 = 2;

/// The numbers of the commands between a client and the broker in MDP 0.2; MDP 0.1 has none.
const CLIENT_REQUEST: u8 = 1;
const CLIENT_PARTIAL: u8 = 2;
const CLIENT_FINAL: u8 = 3;

fn numbers(version: Version) -> Numbers {
    // The same numbers mean other things in the other version.
    match version {
        Version::V1 => Numbers { partial: None, last: 3, heartbeat: 4, disconnect: 5 },
        Version::V2 => Numbers { partial: Some(3), last: 4, heartbeat: 5, disconnect: 6 },
    }
}
