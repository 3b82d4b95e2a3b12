//! Gives the disk back what closed requests took: copies what still counts out of the oldest segment, a little at a
//! time, and removes it.

use playhouse_engine::Result;
use tracing::{error, info};

use super::files::Files;
use super::log::{Change, Log, Place};
use super::segment::{self, Found, HEADER, Scan};

/// How many bytes of a segment are looked through in one step.
const STEP: u32 = 1 << 20;

/// How far the copying out of a segment has come.
#[derive(Debug)]
pub(crate) struct Moving {
    segment: u32,
    scan: Scan,
}

impl<F: Files> Log<F> {
    /// Says whether there is something to give back.
    ///
    /// A segment is emptied when the dead bytes outweigh the living, so that no byte is copied more than once for each
    /// byte that was newly written; when the disk is filling up, already when they are a quarter of all.
    pub(crate) fn wants_step(&self) -> bool {
        if self.moving.is_some() {
            return true;
        }
        let Some((_, oldest)) = self.segments.first_key_value().filter(|_| self.segments.len() > 1) else {
            return false;
        };
        let live: u64 = self.segments.values().map(|segment| segment.live).sum();
        let used = self.segments.values().map(|segment| u64::from(segment.length - HEADER)).sum::<u64>();
        let dead = used.saturating_sub(live);
        let is_filling_up = used > self.sizes.disk / 2;
        oldest.live == 0 || dead > live.max(self.sizes.segment) || (is_filling_up && dead > used / 4)
    }

    /// Does a little of what is to be done.
    ///
    /// # Errors
    /// `Unavailable` where the disk is full or fails. Nothing is lost; try again later.
    pub(crate) fn step(&mut self) -> Result<()> {
        let oldest = self.segments.first_key_value().filter(|_| self.segments.len() > 1);
        let Some((&oldest, segment)) = oldest else { return Ok(()) };
        if segment.live == 0 {
            return self.remove(oldest);
        }
        let end = segment.length;
        let moving = self.moving.take().filter(|moving| moving.segment == oldest);
        let mut moving = moving.unwrap_or_else(|| Moving { segment: oldest, scan: Scan::new(oldest, end) });
        let from = moving.scan.offset();
        let outcome = self.copy(&mut moving);
        match outcome {
            Ok(true) => return self.remove(oldest),
            Ok(false) => {}
            Err(_) => moving.scan.rewind(from),
        }
        self.moving = Some(moving);
        outcome.map(|_| ())
    }

    /// Copies what counts in the next bytes of the segment. Returns whether they were the last.
    fn copy(&mut self, moving: &mut Moving) -> Result<bool> {
        let (target, base) = self.writable()?;
        let (number, from) = (moving.segment, moving.scan.offset());
        let Some(segment) = self.segments.get_mut(&number) else { return Ok(true) };
        let mut is_done = false;
        while moving.scan.offset() - from < STEP {
            let found = match moving.scan.next(&segment.file) {
                Ok(found) => found,
                Err(error) => return Err(self.failed(&segment::name(number), "cannot read the file", error)),
            };
            match found {
                Found::Record(raw, bytes, offset) => {
                    let place = Place { segment: number, offset, length: bytes.len() as u32 };
                    if self.index.get(&raw.ticket) == Some(&place) {
                        let start = self.buffer.len() as u32;
                        super::record::copy(bytes, (target, base), &mut self.buffer);
                        let (ticket, kind) = (raw.ticket, raw.kind);
                        self.changes.push(Change { ticket, kind, offset: start, length: place.length });
                    }
                }
                Found::Damage { offset } | Found::Rest { offset } => {
                    segment.is_damaged = true;
                    let path = self.files.path(&segment::name(number));
                    error!(file = %path.display(), offset, "records are damaged");
                }
                Found::End => {
                    is_done = true;
                    break;
                }
            }
        }
        if !self.buffer.is_empty() {
            self.commit(target)?;
        }
        Ok(is_done)
    }

    /// Removes a segment of which nothing counts any more, or puts it aside if it is damaged.
    fn remove(&mut self, number: u32) -> Result<()> {
        self.moving = None;
        let Some(segment) = self.segments.get(&number) else { return Ok(()) };
        let name = segment::name(number);
        let sync = |log: &Self| {
            let what = "cannot sync the folder after a file was removed";
            log.files.sync().map_err(|error| log.failed(&name, what, error))
        };
        // Before another goes: a close must not go for good while what it closes could come back.
        if self.has_unsynced_removal {
            sync(self)?;
        }
        let outcome = if segment.is_damaged {
            info!(file = %name, "a damaged segment is put aside");
            self.files.rename(&name, &segment::damaged_name(number))
        } else {
            self.files.remove(&name)
        };
        outcome.map_err(|error| self.failed(&name, "cannot remove the file", error))?;
        self.segments.remove(&number);
        self.has_unsynced_removal = true;
        sync(self)?;
        self.has_unsynced_removal = false;
        Ok(())
    }
}
