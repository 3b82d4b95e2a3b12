//! The log of durable requests: appends in batches, finds the record that counts for a ticket, survives a failing disk.
//! Knows no threads and no requesters.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use playhouse_engine::{Error, Result};
use tracing::{error, warn};

use super::compaction::Moving;
use super::files::{File, Files};
use super::order::{Content, Record};
use super::record::{self, Kind, Raw};
use super::segment::{self, HEADER, Segment};
use crate::protocol::Ticket;

/// The log in one folder.
#[derive(Debug)]
pub(crate) struct Log<F: Files> {
    pub(super) files: F,
    pub(super) sizes: Sizes,
    /// All files, the oldest first.
    pub(super) segments: BTreeMap<u32, Segment<F::File>>,
    /// No segment has ever had this number, nor a higher one.
    pub(super) next_number: u32,
    /// Where the record lies that counts, for each ticket that is not closed.
    pub(super) index: BTreeMap<Ticket, Place>,
    pub(super) moving: Option<Moving>,
    /// A segment was removed that may be back after a crash.
    pub(super) has_unsynced_removal: bool,
    /// The time of the record that was written last: each has its own, so that they can be put in order.
    pub(super) last_time: u64,
    /// What is about to be written, and what it will change.
    pub(super) buffer: Vec<u8>,
    pub(super) changes: Vec<Change>,
}

/// How large the log and its files may get, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) segment: u64,
    pub(crate) disk: u64,
}

/// Where a record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) segment: u32,
    pub(crate) offset: u32,
    pub(crate) length: u32,
}

/// What becomes true when a record is on the disk.
#[derive(Debug)]
pub(crate) struct Change {
    pub(super) ticket: Ticket,
    pub(super) kind: Kind,
    /// Where in the buffer the record begins and how long it is.
    pub(super) offset: u32,
    pub(super) length: u32,
}

impl<F: Files> Log<F> {
    /// Writes records and syncs them: all or none. `now` is in microseconds since 1970.
    ///
    /// # Errors
    /// `Unavailable` where the disk is full or fails. The log is then as it was before; the same records can be tried
    /// again.
    pub(crate) fn append(&mut self, records: &[Record], now: u64) -> Result<()> {
        let (number, base) = self.writable()?;
        for Record { ticket, content } in records {
            let start = self.buffer.len();
            self.last_time = now.max(self.last_time.saturating_add(1));
            let kind = record::write(*ticket, content, self.last_time, (number, base), &mut self.buffer);
            let (offset, length) = (start as u32, (self.buffer.len() - start) as u32);
            self.changes.push(Change { ticket: *ticket, kind, offset, length });
        }
        self.commit(number)
    }

    /// Reads the record that counts for a ticket.
    ///
    /// # Errors
    /// `NotFound` where there is none, or it is closed; `Unavailable` where the disk fails; `Internal` where it is
    /// damaged.
    pub(crate) fn load(&self, ticket: Ticket) -> Result<Content> {
        let Some(place) = self.index.get(&ticket) else {
            return Err(Error::not_found(format!("nothing is stored for ticket `{ticket}`")));
        };
        let failed = |what: &str| {
            let path = self.files.path(&segment::name(place.segment));
            format!("`{}` at byte {}: {what}", path.display(), place.offset)
        };
        let Some(segment) = self.segments.get(&place.segment) else {
            let message = failed("expected a record, found that the damaged segment was taken out of use");
            return Err(Error::internal(message));
        };
        let mut bytes = vec![0; place.length as usize];
        let outcome = segment.file.read_at(place.offset.into(), &mut bytes);
        outcome.map_err(|error| Error::unavailable(failed("cannot read the record")).caused_by(error))?;
        match Raw::parse(&bytes, place.segment, place.offset) {
            Some(Raw { kind, ticket: found, .. }) if found == ticket => {
                record::content(kind, Bytes::from(bytes).slice(record::HEAD..))
            }
            _ => Err(Error::internal(failed("expected a record, found damage"))),
        }
    }

    /// Returns how many bytes all files have.
    pub(crate) fn disk_size(&self) -> u64 {
        self.segments.values().map(|segment| u64::from(segment.length)).sum()
    }

    /// Returns the segment that takes the next records and where they go, and makes one where there is none.
    pub(super) fn writable(&mut self) -> Result<(u32, u32)> {
        self.buffer.clear();
        self.changes.clear();
        let has_room = |segment: &Segment<_>| !segment.is_sealed && u64::from(segment.length) < self.sizes.segment;
        if let Some((number, segment)) = self.segments.last_key_value().filter(|(_, segment)| has_room(segment)) {
            return Ok((*number, segment.length));
        }
        let number = self.next_number;
        let name = segment::name(number);
        let created = self.create(&name, number);
        let file = created.map_err(|error| self.failed(&name, "cannot make the file", error))?;
        self.next_number += 1;
        let segment = Segment { number, file, length: HEADER, live: 0, is_sealed: false, is_damaged: false };
        self.segments.insert(number, segment);
        Ok((number, HEADER))
    }

    fn create(&self, name: &str, number: u32) -> io::Result<F::File> {
        let file = self.files.create(name)?;
        let written =
            file.write_at(0, &segment::header(number)).and_then(|()| file.sync()).and_then(|()| self.files.sync());
        match written {
            Ok(()) => Ok(file),
            Err(error) => {
                // The same number is taken again, and the file made anew.
                let _ = self.files.remove(name);
                Err(error)
            }
        }
    }

    /// Writes the buffer to the end of the segment, syncs it, and only then lets the changes be seen.
    pub(super) fn commit(&mut self, number: u32) -> Result<()> {
        let Some(segment) = self.segments.get_mut(&number) else { return Ok(()) };
        let base = segment.length;
        let written = segment.file.write_at(base.into(), &self.buffer);
        let outcome = match written {
            Ok(()) => segment.file.sync().inspect_err(|_| {
                // What the system could not write it may forget, and say of the next sync that it went well.
                segment.is_sealed = true;
            }),
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            if let Err(error) = segment.file.truncate(base.into()) {
                segment.is_sealed = true;
                warn!(segment = number, error = %error, "cannot cut off what was written in part");
            }
            self.discard_empty(number);
            return Err(self.failed(&segment::name(number), "cannot write to the file", error));
        }
        segment.length = base + self.buffer.len() as u32;
        let changes = std::mem::take(&mut self.changes);
        for change in &changes {
            let place = Place { segment: number, offset: base + change.offset, length: change.length };
            self.change(change, place);
        }
        self.changes = changes;
        Ok(())
    }

    fn change(&mut self, change: &Change, place: Place) {
        let before = match change.kind {
            Kind::Close => self.index.remove(&change.ticket),
            Kind::Request | Kind::Reply | Kind::Failed => {
                if let Some(segment) = self.segments.get_mut(&place.segment) {
                    segment.live += u64::from(place.length);
                }
                self.index.insert(change.ticket, place)
            }
        };
        if let Some(before) = before {
            // A segment that was taken out of use for its damage is no longer there.
            if let Some(segment) = self.segments.get_mut(&before.segment) {
                segment.live -= u64::from(before.length);
            }
        }
    }

    /// Lets go of a segment that failed before it got a record, so that a failing disk does not fill with empty files.
    fn discard_empty(&mut self, number: u32) {
        let is_empty = |segment: &Segment<_>| segment.is_sealed && segment.length == HEADER;
        if self.segments.get(&number).is_some_and(is_empty) && self.files.remove(&segment::name(number)).is_ok() {
            self.segments.remove(&number);
        }
    }

    pub(super) fn failed(&self, name: &str, what: &str, error: io::Error) -> Error {
        let path = self.files.path(name);
        error!(file = %path.display(), error = %error, "{what}");
        Error::unavailable(format!("`{}`: {what}", path.display())).caused_by(error)
    }
}
