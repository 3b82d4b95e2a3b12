//! What the machine makes of the store's reports.

use std::time::{Duration, Instant};

use bytes::Bytes;
use playhouse_engine::{Error, Kind, Result};
use tracing::error;

use super::entry::{Purpose, State, Unsynced};
use super::machine::{Titanic, TitanicOutput};
use super::order::{Content, Record, Report};
use super::request::status;
use crate::protocol::{Frames, Ticket};

/// How long to wait before a reply is stored again that the disk did not take.
pub(super) const REWRITE: Duration = Duration::from_secs(1);

impl Titanic {
    /// Takes what the store has done.
    pub fn stored(&mut self, report: Report, now: Instant, outputs: &mut Vec<TitanicOutput>) {
        match report {
            Report::Committed { records, disk_size } => {
                self.disk_size = disk_size;
                for _ in 0..records {
                    if let Some(unsynced) = self.next_unsynced() {
                        self.committed(unsynced, now, outputs);
                    }
                }
            }
            Report::Refused { records, .. } => {
                for _ in 0..records {
                    if let Some(unsynced) = self.next_unsynced() {
                        self.refused(unsynced, now, outputs);
                    }
                }
            }
            Report::Shrunk { disk_size } => self.disk_size = disk_size,
            Report::Loaded(loaded) => {
                for (ticket, content) in loaded {
                    self.loaded(ticket, content, now, outputs);
                }
            }
        }
    }

    fn loaded(&mut self, ticket: Ticket, content: Result<Content>, now: Instant, outputs: &mut Vec<TitanicOutput>) {
        let Some(load) = self.loads.pop_front() else { return };
        debug_assert_eq!(load.ticket, ticket, "the store loads in the order in which it was asked");
        if let Err(error) = &content {
            // A close may have overtaken it.
            if self.entries.contains_key(&ticket) {
                error!(%ticket, %error, "what was stored cannot be read");
            }
        }
        match load.asked_by {
            Some((requester, service)) => {
                self.reading -= 1;
                self.reading_size -= load.size;
                let body = self.reply(ticket, content);
                outputs.push(TitanicOutput::Answer { requester, service, body });
            }
            None => self.submit(ticket, content, now, outputs),
        }
    }

    /// Returns what a client gets that asked for a reply.
    fn reply(&self, ticket: Ticket, content: Result<Content>) -> Frames {
        match content {
            Ok(Content::Reply(body)) => std::iter::once(status(200)).chain(body).collect(),
            Ok(Content::Failed(reason)) => vec![status(500), reason],
            // Closed while it was read.
            _ if !self.entries.contains_key(&ticket) => vec![status(400)],
            _ => vec![status(500), Bytes::from_static(b"the reply cannot be read")],
        }
    }

    fn submit(&mut self, ticket: Ticket, content: Result<Content>, now: Instant, outputs: &mut Vec<TitanicOutput>) {
        let Some(entry) = self.entries.get(&ticket).filter(|entry| entry.state == State::Loading) else { return };
        if entry.is_closing {
            self.shift(ticket, State::Parked);
            return;
        }
        let unreadable = "the stored request cannot be read";
        match content {
            Ok(Content::Request { service, body }) => {
                self.shift(ticket, State::Running);
                self.statistics.submitted += 1;
                outputs.push(TitanicOutput::Submit { ticket, service, body });
            }
            Err(error) if error.kind() == Kind::Unavailable => {
                self.try_again(ticket, &Error::unavailable(unreadable), now, outputs);
            }
            _ => self.fail(ticket, unreadable, outputs),
        }
    }

    fn committed(&mut self, unsynced: Unsynced, now: Instant, outputs: &mut Vec<TitanicOutput>) {
        let ticket = unsynced.ticket;
        match unsynced.purpose {
            Purpose::Request(requester, service) => {
                self.statistics.stored += 1;
                let body = vec![status(200), Bytes::from(ticket.to_string())];
                outputs.push(TitanicOutput::Answer { requester, service, body });
                self.shift(ticket, State::Pending);
                if let Some(entry) = self.entries.get(&ticket) {
                    self.queues.push_back(entry.service, ticket);
                }
            }
            Purpose::End(content) => {
                match content {
                    Content::Failed(_) => self.statistics.failed += 1,
                    _ => self.statistics.replied += 1,
                }
                self.shift(ticket, State::Done);
                let changed = self.seconds(now);
                if let Some(entry) = self.entries.get_mut(&ticket) {
                    (entry.changed, entry.size) = (changed, unsynced.size as u32);
                    self.queues.let_go(entry.service);
                }
            }
            Purpose::Close(requester, service) => {
                self.statistics.closed += u64::from(self.forget(ticket));
                outputs.push(TitanicOutput::Answer { requester, service, body: vec![status(200)] });
            }
            Purpose::Expire => self.statistics.expired += u64::from(self.forget(ticket)),
        }
    }

    fn refused(&mut self, unsynced: Unsynced, now: Instant, outputs: &mut Vec<TitanicOutput>) {
        let ticket = unsynced.ticket;
        let asked_by = match unsynced.purpose {
            Purpose::Request(requester, service) => {
                self.remove(ticket);
                Some((requester, service))
            }
            Purpose::End(content) => {
                self.unwritten.push_back((now + REWRITE, Record { ticket, content }));
                None
            }
            Purpose::Close(requester, service) => {
                self.stays(ticket);
                Some((requester, service))
            }
            Purpose::Expire => {
                self.stays(ticket);
                None
            }
        };
        if let Some((requester, service)) = asked_by {
            self.refuse(requester, service, "the disk does not take it", outputs);
        }
    }

    /// Notes that a close has failed.
    fn stays(&mut self, ticket: Ticket) {
        // Another one may be on its way to the disk: what was appended after that would undo it.
        let is_close = |purpose: &Purpose| matches!(purpose, Purpose::Close(..) | Purpose::Expire);
        if self.unsynced.iter().any(|unsynced| unsynced.ticket == ticket && is_close(&unsynced.purpose)) {
            return;
        }
        let Some(entry) = self.entries.get_mut(&ticket) else { return };
        entry.is_closing = false;
        if entry.state == State::Parked {
            let service = entry.service;
            self.shift(ticket, State::Pending);
            self.queues.push_front(service, ticket);
        }
    }

    /// Notes that a close is on the disk. Returns whether there was something to close.
    fn forget(&mut self, ticket: Ticket) -> bool {
        match self.entries.get(&ticket).map(|entry| entry.state) {
            None | Some(State::Dropped) => false,
            // Its place is taken until the broker has done with it.
            Some(State::Running) => {
                self.shift(ticket, State::Dropped);
                true
            }
            Some(_) => {
                self.remove(ticket);
                true
            }
        }
    }

    fn next_unsynced(&mut self) -> Option<Unsynced> {
        let unsynced = self.unsynced.pop_front()?;
        self.unsynced_size -= unsynced.size;
        Some(unsynced)
    }
}
