//! A request at the broker, and who waits for its answer.

use std::time::Instant;

use super::super::{Address, Frames, Requester, Ticket};
use super::limits::size_of;

/// Who waits for the answer.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// A client, by its socket.
    Client(Requester),
    /// The keeper of durable requests.
    Ticket(Ticket),
}

impl Source {
    /// Returns the address under which a worker gets the request.
    pub(crate) fn address(&self) -> Address {
        match self {
            Self::Client(requester) => requester.address.clone(),
            // No peer can have it: a ROUTER takes no identity that begins with a zero, and the ones that it makes itself
            // for peers without, which may, are 5, 9 or 16 bytes long.
            Self::Ticket(ticket) => {
                let mut bytes = Vec::with_capacity(18);
                bytes.extend_from_slice(b"\0T");
                bytes.extend_from_slice(&ticket.as_u128().to_be_bytes());
                Address::new(bytes)
            }
        }
    }
}

/// A request that was accepted and has not ended. It goes from hand to hand in a box, for it is large.
#[derive(Debug)]
pub(crate) struct Request {
    /// Its place in the order of arrival.
    pub(crate) number: u64,
    pub(crate) source: Source,
    pub(crate) body: Frames,
    /// The bytes of its body.
    pub(crate) size: usize,
    pub(crate) accepted: Instant,
    /// Since when it waits for a worker.
    pub(crate) queued: Instant,
    /// To how many workers it was given.
    pub(crate) attempts: u32,
}

impl Request {
    pub(crate) fn new(number: u64, source: Source, body: Frames, now: Instant) -> Box<Self> {
        let size = size_of(&body);
        Box::new(Self { number, source, body, size, accepted: now, queued: now, attempts: 0 })
    }

    /// A durable request waits as long as it takes.
    pub(crate) fn can_expire(&self) -> bool {
        matches!(self.source, Source::Client(_))
    }
}
