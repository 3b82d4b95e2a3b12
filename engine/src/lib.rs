//! The engine of playhouse: actors with named inboxes and outboxes, wired into a flow by a [`Director`], over bounded
//! queues. It knows no protocol and no file format.
//!
//! An [`Event`] is a value. An [`Actor`] handles one at a time and pushes what it derives into an [`Outbox`]; nothing
//! leaves before the handler has returned `Ok`, and when it fails the event goes along the actor's error route instead.
//! The graph is data until [`Director::build`] has checked it whole. A [`Running`] flow accounts for every event in its
//! [`Ledger`], and stops when none is in flight.

mod actor;
mod attributes;
mod batch;
mod check;
mod closure;
mod connection;
mod context;
mod director;
mod emitter;
mod envelope;
mod error;
mod event;
mod flow;
mod format;
mod fusion;
mod graph;
mod held;
mod id;
mod inbox;
mod ledger;
mod lending;
mod line;
mod log;
mod moment;
mod monitor;
mod node;
mod outbox;
mod payload;
mod permit;
mod plan;
mod policy;
mod ports;
mod problem;
mod progress;
mod receipt;
mod station;
pub mod testing;
mod text;
mod worker;

pub use actor::{Actor, Light};
pub use attributes::{Attributes, Layer, Value};
pub use closure::{Filter, IntoOutput, Map, Sink, Source, filter, map, sink, source};
pub use connection::{ActorRef, IntoTargets, Kind as ConnectionKind, PortRef};
pub use context::Context;
pub use director::{Director, Settings};
pub use emitter::Emitter;
pub use envelope::{Envelope, EnvelopeLimits};
pub use error::{Error, Kind, Result};
pub use event::Event;
pub use flow::{Flow, Running};
pub use format::Format;
pub use graph::{ActorNode, Edge, Graph};
pub use held::Held;
pub use id::EventId;
pub use ledger::Ledger;
pub use monitor::{ActorStatistics, EdgeStatistics, Monitor, Statistics};
pub use node::IntoNode;
pub use outbox::Outbox;
pub use payload::{Payload, Xml};
pub use permit::Permit;
pub use policy::{Overflow, PerCore, Policy, Retry, Workers};
pub use ports::{Port, Ports};
pub use problem::{BuildErrors, Problem, ProblemKind};
pub use receipt::{Receipt, Settle};
pub use text::Text;
