//! What the machine orders from the store, and what the store reports.

use bytes::Bytes;
use playhouse_engine::{Error, Result};

use crate::protocol::{Frames, Service, Ticket};

/// One entry of the log: what became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The request that it is about.
    pub ticket: Ticket,
    /// What became of it.
    pub content: Content,
}

/// What became of a request. What is stored last counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// It was taken in.
    Request {
        /// Which service it is for.
        service: Service,
        /// The frames for the worker.
        body: Frames,
    },
    /// A worker has answered with these frames.
    Reply(Frames),
    /// It failed for good, for this reason.
    Failed(Bytes),
    /// Nobody wants to know of it any more.
    Close,
}

impl Content {
    /// Returns how many bytes the frames have together.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Request { service, body } => service.as_bytes().len() + size(body),
            Self::Reply(body) => size(body),
            Self::Failed(message) => message.len(),
            Self::Close => 0,
        }
    }
}

/// Returns how many bytes the frames have together.
pub(crate) fn size(frames: &Frames) -> usize {
    frames.iter().map(Bytes::len).sum()
}

/// What the store is to do. Orders are carried out first to last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Write a record and sync it.
    Append(Record),
    /// Read the record that was stored last for a ticket.
    Load(Ticket),
}

/// What the store has done. All appends are reported once, first to last, and so are all loads.
#[derive(Debug)]
pub enum Report {
    /// The next `records` of those to append are on the disk for good.
    Committed {
        /// How many.
        records: usize,
        /// How many bytes the log has now.
        disk_size: u64,
    },
    /// The next `records` of those to append could not be written, and count as never appended.
    Refused {
        /// How many.
        records: usize,
        /// What the disk said.
        error: Error,
    },
    /// Space was given back.
    Shrunk {
        /// How many bytes the log has now.
        disk_size: u64,
    },
    /// The next of those to load.
    Loaded(Vec<(Ticket, Result<Content>)>),
}
