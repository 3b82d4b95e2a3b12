//! What the machine remembers of a request, and of what waits for the disk.

use super::order::Content;
use crate::protocol::{Requester, Service, Ticket};

/// What is known of one request. There may be a million, so it is small.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// When it was stored, or its reply, in seconds since the start.
    pub(super) changed: i32,
    /// The number of its service in the queues; means nothing once it is done.
    pub(super) service: u32,
    /// How many bytes its record has.
    pub(super) size: u32,
    pub(super) attempts: u8,
    pub(super) state: State,
    /// It will be gone when that is on the disk.
    pub(super) is_closing: bool,
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It waits for the disk, and nobody knows its ticket.
    Storing,
    /// It is in its service's queue.
    Pending,
    /// An attempt has failed, another one follows later.
    Paused,
    /// It is closing and is not in the queue: only if the close fails it goes there.
    Parked,
    /// Its body is read from the disk.
    Loading,
    /// It is with the broker.
    Running,
    /// It has ended; that waits for the disk.
    Ending,
    /// It has a reply, or has failed for good.
    Done,
    /// It was closed while it is with the broker.
    Dropped,
}

impl State {
    pub(super) const COUNT: usize = Self::Dropped as usize + 1;

    /// Says whether the request has a place among those that are with the broker.
    pub(super) fn is_running(self) -> bool {
        matches!(self, Self::Loading | Self::Running | Self::Ending | Self::Dropped)
    }
}

/// What waits for the disk.
#[derive(Debug)]
pub(super) struct Unsynced {
    pub(super) ticket: Ticket,
    pub(super) size: usize,
    pub(super) purpose: Purpose,
}

/// What is being read from the disk.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) ticket: Ticket,
    pub(super) size: usize,
    /// The client that wants to have it, and the service that it asked; otherwise it is to be submitted.
    pub(super) asked_by: Option<(Requester, Service)>,
}

/// Why something is appended.
#[derive(Debug)]
pub(super) enum Purpose {
    /// A client handed a request in.
    Request(Requester, Service),
    /// A request has ended like this.
    End(Content),
    /// A client closes a request.
    Close(Requester, Service),
    /// Nobody closed it in time.
    Expire,
}
