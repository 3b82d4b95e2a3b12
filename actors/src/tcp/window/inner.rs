//! The queues of a sink, and how what is in them is encoded.

use std::collections::VecDeque;

use bytes::BytesMut;
use playhouse_engine::{Error, Held};
use tokio::time::Instant;

use super::Limits;
use crate::tcp::framing::{Framing, put};
use crate::tcp::wire::Output;

/// How much is encoded before it is written.
const AHEAD: usize = 256 * 1024;

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) waiting: VecDeque<Entry>,
    /// In the order of their numbers. Nothing where one has ended before those in front of it.
    pub(super) sent: VecDeque<Option<Entry>>,
    /// The number of the first that was sent.
    pub(super) first: u64,
    pub(super) failing: Vec<(Entry, Error)>,
    pub(super) count: usize,
    pub(super) bytes: usize,
    /// How large a frame the other side takes, while there is one.
    pub(super) connected: Option<usize>,
    pub(super) output: BytesMut,
    /// When the first is due, at the earliest.
    pub(super) due: Option<Instant>,
    /// Why there is no connection.
    pub(super) trouble: Option<Error>,
    /// Whether there is a task that sends.
    pub(super) is_tended: bool,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) held: Held,
    pub(super) due: Instant,
    pub(super) bytes: usize,
}

impl Inner {
    pub(super) fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            sent: VecDeque::new(),
            first: 0,
            failing: Vec::new(),
            count: 0,
            bytes: 0,
            connected: None,
            output: BytesMut::new(),
            due: None,
            trouble: None,
            is_tended: false,
        }
    }

    /// The number of the next event that is sent.
    pub(super) fn next(&self) -> u64 {
        self.first + self.sent.len() as u64
    }

    pub(super) fn slot(&mut self, number: u64) -> Option<&mut Option<Entry>> {
        self.sent.get_mut(usize::try_from(number - self.first).ok()?)
    }

    pub(super) fn take_sent(&mut self, number: u64) -> Option<Entry> {
        let entry = self.slot(number)?.take()?;
        self.count -= 1;
        self.bytes -= entry.bytes;
        Some(entry)
    }

    pub(super) fn forget_ended(&mut self) {
        while let Some(None) = self.sent.front() {
            self.sent.pop_front();
            self.first += 1;
        }
    }

    /// Encodes an event, or lets it wait. Says whether something cannot be sent.
    pub(super) fn add(&mut self, entry: Entry, limits: &Limits) -> bool {
        match self.connected {
            Some(largest) if self.waiting.is_empty() && self.output.len() < AHEAD => {
                self.encode(entry, limits.framing, largest)
            }
            _ => {
                self.waiting.push_back(entry);
                self.fill(limits)
            }
        }
    }

    /// Encodes what waits, as far ahead as makes sense. Says whether some of it cannot be sent.
    pub(super) fn fill(&mut self, limits: &Limits) -> bool {
        let Some(largest) = self.connected else { return false };
        let mut has_failures = false;
        while self.output.len() < AHEAD
            && let Some(entry) = self.waiting.pop_front()
        {
            has_failures |= self.encode(entry, limits.framing, largest);
        }
        has_failures
    }

    fn encode(&mut self, entry: Entry, framing: Framing, largest: usize) -> bool {
        let event = entry.held.event();
        let written = match framing {
            Framing::Events => self.output.event(event, largest),
            Framing::Lines | Framing::LengthPrefixed => {
                put(framing, &event.payload().to_bytes(), largest, &mut self.output)
            }
        };
        match written {
            Ok(()) => self.sent.push_back(Some(entry)),
            Err(error) => {
                self.failing.push((entry, error));
                return true;
            }
        }
        false
    }
}
