//! One file of the log, and the format of all of them.
//!
//! # Format, version 1
//!
//! The log is a folder with segments `titanic-NNNNNNNNNN.log` (the segment's number in ten decimal digits, from 1) and
//! the file `lock`, which is empty and locked by the broker that uses the folder. Only the segment with the highest
//! number is written to, at its end; the one with the lowest number is the first to go. All numbers are little-endian,
//! but for the ticket.
//!
//! A segment begins with a header of 20 bytes:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `PHTITAN` and a line feed |
//! | 4 | version of the format: 1 |
//! | 4 | number of the segment |
//! | 4 | CRC-32 (IEEE) of the 16 bytes before |
//!
//! Then come records without a gap:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | length of the whole record, these 4 bytes included: at least 33 |
//! | 4 | CRC-32 of: number of the segment (4), offset of the record in it (4), length (4), all from the kind to the end |
//! | 1 | kind: 1 request, 2 reply, 3 failed, 4 close |
//! | 16 | ticket, most significant byte first |
//! | 8 | when the record was first written, microseconds since 1970 |
//! | rest | frames, each as its length (4) and its bytes |
//!
//! The frames of a request are the service and the body, those of a reply its body, that of a failure the reason; a
//! close has none.
//!
//! **Meaning.** The last record of a ticket counts: read from the lowest segment to the highest, a request is pending
//! after `request`, done after `reply` or `failed`, and gone after `close`. A record was acknowledged only after its
//! segment was synced, and a segment gets a record only after the folder was synced that names it.
//!
//! **Damage.** What follows the last whole record of the highest segment is taken for what a kill left of a batch that
//! was never acknowledged: it is cut off. A bad record that is followed by a whole one is damage: it is passed over and
//! reported. What follows a bad record in any other segment is passed over likewise. A damaged segment is never written
//! to, and once its live records have been copied it is renamed to `titanic-NNNNNNNNNN.damaged` instead of being
//! removed. A header of a higher version is refused.
//!
//! **Compaction.** Records of the lowest segment that still count are copied to the end of the highest, with a new
//! checksum and otherwise as they are; once that is synced, the lowest segment is removed and the folder synced. Since
//! only the lowest segment ever goes, no close goes before the records that it closes. A crash in between leaves a
//! copy, which says the same.

use std::io;

use super::files::File;
use super::record::{self, Raw};

/// How many bytes come before the first record.
pub(crate) const HEADER: u32 = 20;
const MAGIC: &[u8; 8] = b"PHTITAN\n";
const VERSION: u32 = 1;
/// How much is read at once where a segment is read from end to end.
const CHUNK: usize = 256 * 1024;

/// One file of the log.
#[derive(Debug)]
pub(crate) struct Segment<F> {
    pub(crate) number: u32,
    pub(crate) file: F,
    /// Where the next record goes: all before is synced.
    pub(crate) length: u32,
    /// How many bytes of records still count.
    pub(crate) live: u64,
    /// Takes no more records.
    pub(crate) is_sealed: bool,
    /// Has bytes that were a record once.
    pub(crate) is_damaged: bool,
}

/// What the first bytes of a file say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    /// It is the segment that it should be.
    Good,
    /// It was written by a later version of this crate.
    Version(u32),
    /// It is something else.
    Bad,
}

/// Returns the name of a segment's file.
pub(crate) fn name(number: u32) -> String {
    format!("titanic-{number:010}.log")
}

/// Returns the name of a damaged segment's file that is no longer needed.
pub(crate) fn damaged_name(number: u32) -> String {
    format!("titanic-{number:010}.damaged")
}

/// Returns the number of the segment, or the damaged one, that has this file name.
pub(crate) fn number_of(file_name: &str) -> Option<(u32, bool)> {
    let number = file_name.strip_prefix("titanic-")?.split('.').next()?.parse().ok()?;
    let is_damaged = file_name == damaged_name(number);
    (is_damaged || file_name == name(number)).then_some((number, is_damaged))
}

/// Returns the first bytes of a segment.
pub(crate) fn header(number: u32) -> [u8; HEADER as usize] {
    let mut header = [0; HEADER as usize];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[12..16].copy_from_slice(&number.to_le_bytes());
    let crc = crc32fast::hash(&header[..16]);
    header[16..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// Says what a header is.
pub(crate) fn read_header(bytes: &[u8; HEADER as usize], number: u32) -> Header {
    if bytes == &header(number) {
        return Header::Good;
    }
    let crc = crc32fast::hash(&bytes[..16]);
    let version = bytes[8..].first_chunk().map_or(0, |version| u32::from_le_bytes(*version));
    if bytes.starts_with(MAGIC) && bytes[16..] == crc.to_le_bytes() && version > VERSION {
        return Header::Version(version);
    }
    Header::Bad
}

/// What is found where a record should begin.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    /// A record, its bytes, and its offset.
    Record(Raw<'a>, &'a [u8], u32),
    /// No record, though one follows.
    Damage {
        /// Where the bytes begin that are none.
        offset: u32,
    },
    /// No record, from `offset` on.
    Rest {
        /// Where the bytes begin that are none.
        offset: u32,
    },
    /// The end.
    End,
}

/// Reads the records of a segment first to last.
#[derive(Debug)]
pub(crate) struct Scan {
    number: u32,
    offset: u32,
    end: u32,
    /// What was read, and where it begins in the file.
    chunk: Vec<u8>,
    chunk_offset: u32,
}

impl Scan {
    /// Reads from the first record up to `end`.
    pub(crate) fn new(number: u32, end: u32) -> Self {
        Self { number, offset: HEADER, end, chunk: Vec::new(), chunk_offset: 0 }
    }

    /// Returns how far it has read.
    pub(crate) fn offset(&self) -> u32 {
        self.offset
    }

    /// Goes back to where it has been.
    pub(crate) fn rewind(&mut self, offset: u32) {
        self.offset = offset;
    }

    /// Reads the next record, or passes over what is none.
    pub(crate) fn next<F: File>(&mut self, file: &F) -> io::Result<Found<'_>> {
        let offset = self.offset;
        if offset >= self.end {
            return Ok(Found::End);
        }
        let length = self.length_at(file, offset)?;
        if length > 0 && self.is_record(file, offset, length)? {
            self.offset = offset + length;
            let bytes = self.bytes(file, offset, length)?;
            return Ok(match Raw::of_valid(bytes) {
                Some(raw) => Found::Record(raw, bytes, offset),
                None => Found::Damage { offset },
            });
        }
        // Where lengths were spared, they lead past the damage.
        let (mut next, mut length) = (offset, length);
        while length > 0 {
            next += length;
            length = self.length_at(file, next)?;
            if length > 0 && self.is_record(file, next, length)? {
                self.offset = next;
                return Ok(Found::Damage { offset });
            }
        }
        self.offset = self.end;
        Ok(Found::Rest { offset })
    }

    /// Returns the length of what may be a record at `offset`, or none where no record can be there.
    fn length_at<F: File>(&mut self, file: &F, offset: u32) -> io::Result<u32> {
        let rest = self.end.saturating_sub(offset);
        if (rest as usize) < record::HEAD {
            return Ok(0);
        }
        let length = record::length(self.bytes(file, offset, record::HEAD as u32)?);
        Ok(if (record::HEAD..=rest as usize).contains(&length) { length as u32 } else { 0 })
    }

    fn is_record<F: File>(&mut self, file: &F, offset: u32, length: u32) -> io::Result<bool> {
        let number = self.number;
        Ok(Raw::parse(self.bytes(file, offset, length)?, number, offset).is_some())
    }

    /// Returns bytes that are in the file, reading ahead.
    fn bytes<F: File>(&mut self, file: &F, offset: u32, length: u32) -> io::Result<&[u8]> {
        let length = length as usize;
        let is_there =
            offset >= self.chunk_offset && (offset - self.chunk_offset) as usize + length <= self.chunk.len();
        if !is_there {
            let wanted = length.max(CHUNK).min((self.end - offset) as usize);
            self.chunk.resize(wanted, 0);
            self.chunk_offset = offset;
            if let Err(error) = file.read_at(offset.into(), &mut self.chunk) {
                self.chunk.clear();
                return Err(error);
            }
        }
        let start = (offset - self.chunk_offset) as usize;
        Ok(&self.chunk[start..start + length])
    }
}
