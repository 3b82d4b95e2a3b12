//! A record of the log as bytes. The format of the whole log is specified in the module `segment`.

use bytes::Bytes;
use playhouse_engine::{Error, Result};

use super::order::Content;
use crate::protocol::{Frames, Service, Ticket};

/// How many bytes come before the frames of a record.
pub(crate) const HEAD: usize = 33;
/// How many bytes come before each frame.
const FRAME_HEAD: usize = 4;

/// What a record says became of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Request = 1,
    Reply = 2,
    Failed = 3,
    Close = 4,
}

impl Kind {
    fn of(number: u8) -> Option<Self> {
        [Self::Request, Self::Reply, Self::Failed, Self::Close].into_iter().find(|kind| *kind as u8 == number)
    }
}

/// A record's head, and its frames as they lie in the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Raw<'a> {
    pub(crate) kind: Kind,
    pub(crate) ticket: Ticket,
    /// When the request or the reply was stored, in microseconds since 1970.
    pub(crate) time: u64,
    pub(crate) frames: &'a [u8],
}

impl<'a> Raw<'a> {
    /// Reads the record that takes up all of `bytes`, which come from `offset` of the segment `segment`. `None` where
    /// it is none, or not as it was written.
    pub(crate) fn parse(bytes: &'a [u8], segment: u32, offset: u32) -> Option<Self> {
        let crc = u32::from_le_bytes(*bytes.get(4..HEAD)?.first_chunk()?);
        if length(bytes) != bytes.len() || checksum(bytes, segment, offset) != crc {
            return None;
        }
        Self::of_valid(bytes)
    }

    /// Reads a record whose checksum is known to be right.
    pub(crate) fn of_valid(bytes: &'a [u8]) -> Option<Self> {
        let (head, frames) = bytes.split_first_chunk::<HEAD>()?;
        let kind = Kind::of(head[8])?;
        let ticket = Ticket::from_u128(u128::from_be_bytes(*head[9..].first_chunk()?));
        let time = u64::from_le_bytes(*head[25..].first_chunk()?);
        Some(Self { kind, ticket, time, frames })
    }

    /// Returns the name of the service of a request.
    pub(crate) fn service(&self) -> Option<&'a [u8]> {
        let (length, rest) = self.frames.split_first_chunk::<FRAME_HEAD>()?;
        rest.get(..u32::from_le_bytes(*length) as usize)
    }
}

/// Returns how many bytes the record has that begins with `head`, or none where less than a head says so.
pub(crate) fn length(head: &[u8]) -> usize {
    head.first_chunk().map_or(0, |length| u32::from_le_bytes(*length) as usize)
}

/// Returns how many bytes a record has.
pub(crate) fn size(content: &Content) -> usize {
    let frames = match content {
        Content::Request { body, .. } => body.len() + 1,
        Content::Reply(body) => body.len(),
        Content::Failed(_) => 1,
        Content::Close => 0,
    };
    HEAD + frames * FRAME_HEAD + content.size()
}

/// Appends a record to `buffer`, the first byte of which goes to `base` of the segment. Returns the record's kind.
pub(crate) fn write(
    ticket: Ticket,
    content: &Content,
    time: u64,
    (segment, base): (u32, u32),
    buffer: &mut Vec<u8>,
) -> Kind {
    let start = buffer.len();
    let kind = match content {
        Content::Request { .. } => Kind::Request,
        Content::Reply(_) => Kind::Reply,
        Content::Failed(_) => Kind::Failed,
        Content::Close => Kind::Close,
    };
    buffer.extend_from_slice(&[0; 8]);
    buffer.push(kind as u8);
    buffer.extend_from_slice(&ticket.as_u128().to_be_bytes());
    buffer.extend_from_slice(&time.to_le_bytes());
    let mut frame = |bytes: &[u8]| {
        buffer.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        buffer.extend_from_slice(bytes);
    };
    match content {
        Content::Request { service, body } => {
            frame(service.as_bytes());
            body.iter().for_each(|bytes| frame(bytes));
        }
        Content::Reply(body) => body.iter().for_each(|bytes| frame(bytes)),
        Content::Failed(message) => frame(message),
        Content::Close => {}
    }
    seal(buffer, start, segment, base);
    kind
}

/// Appends a record as it lies elsewhere in the log.
pub(crate) fn copy(record: &[u8], (segment, base): (u32, u32), buffer: &mut Vec<u8>) {
    let start = buffer.len();
    buffer.extend_from_slice(record);
    seal(buffer, start, segment, base);
}

/// Reads the frames of a record.
///
/// # Errors
/// `Malformed` where they are not what such a record holds, though its checksum is right.
pub(crate) fn content(kind: Kind, frames: Bytes) -> Result<Content> {
    let malformed = |what: &str| Error::malformed(format!("expected a record with {what}, found one without"));
    let mut frames = split(frames).ok_or_else(|| malformed("whole frames"))?;
    match kind {
        Kind::Request if frames.is_empty() => Err(malformed("a service")),
        Kind::Request => {
            let service = Service::new(frames.remove(0))?;
            Ok(Content::Request { service, body: frames })
        }
        Kind::Reply => Ok(Content::Reply(frames)),
        Kind::Failed => frames.pop().map(Content::Failed).ok_or_else(|| malformed("a reason")),
        Kind::Close => Ok(Content::Close),
    }
}

fn split(mut bytes: Bytes) -> Option<Frames> {
    let mut frames = Frames::new();
    while !bytes.is_empty() {
        let length = u32::from_le_bytes(*bytes.first_chunk::<FRAME_HEAD>()?) as usize;
        if length > bytes.len() - FRAME_HEAD {
            return None;
        }
        frames.push(bytes.slice(FRAME_HEAD..FRAME_HEAD + length));
        bytes = bytes.slice(FRAME_HEAD + length..);
    }
    Some(frames)
}

/// Fills in the length and the checksum of the record that begins at `start` and ends with the buffer.
fn seal(buffer: &mut [u8], start: usize, segment: u32, base: u32) {
    let record = &mut buffer[start..];
    let length = record.len() as u32;
    record[..4].copy_from_slice(&length.to_le_bytes());
    let crc = checksum(record, segment, base + start as u32);
    record[4..8].copy_from_slice(&crc.to_le_bytes());
}

/// The place is part of the sum: a record is valid nowhere but where it was written, so that no body can pass for one.
fn checksum(record: &[u8], segment: u32, offset: u32) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&segment.to_le_bytes());
    hasher.update(&offset.to_le_bytes());
    hasher.update(&record[..4]);
    hasher.update(&record[8..]);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Content {
        let body = vec![Bytes::from_static(b"one"), Bytes::new()];
        Content::Request { service: Service::new("echo").unwrap(), body }
    }

    #[test]
    fn every_content_comes_back_as_it_was_written() {
        let failed = Content::Failed(Bytes::from_static(b"no"));
        for content in [request(), Content::Reply(vec![]), Content::Reply(vec![Bytes::new()]), failed, Content::Close] {
            let mut buffer = b"before".to_vec();
            let kind = write(Ticket::from_u128(7), &content, 1234, (3, 100), &mut buffer);
            assert_eq!(buffer.len() - 6, size(&content));
            let raw = Raw::parse(&buffer[6..], 3, 106).unwrap();
            assert_eq!((raw.kind, raw.ticket, raw.time), (kind, Ticket::from_u128(7), 1234));
            assert_eq!(super::content(kind, Bytes::copy_from_slice(raw.frames)).unwrap(), content);
        }
    }

    #[test]
    fn a_record_is_valid_only_at_its_place() {
        let mut buffer = Vec::new();
        write(Ticket::from_u128(7), &request(), 0, (3, 100), &mut buffer);
        assert!(Raw::parse(&buffer, 3, 100).is_some());
        assert!(Raw::parse(&buffer, 4, 100).is_none());
        assert!(Raw::parse(&buffer, 3, 101).is_none());
        let mut elsewhere = Vec::new();
        copy(&buffer, (4, 0), &mut elsewhere);
        assert!(Raw::parse(&elsewhere, 4, 0).is_some());
    }

    #[test]
    fn no_flipped_bit_goes_unseen() {
        let mut buffer = Vec::new();
        write(Ticket::from_u128(7), &request(), 0, (3, 100), &mut buffer);
        for bit in 0..buffer.len() * 8 {
            let mut flipped = buffer.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Raw::parse(&flipped, 3, 100).is_none(), "bit {bit}");
        }
    }

    #[test]
    fn frames_that_do_not_fit_their_record_are_refused() {
        for bytes in [&b"\x05\0\0\0abcd"[..], b"\x01\0\0", b"\xff\xff\xff\xffa"] {
            assert!(content(Kind::Reply, Bytes::from_static(bytes)).is_err());
        }
        assert!(content(Kind::Request, Bytes::new()).is_err());
        assert!(content(Kind::Request, Bytes::from_static(b"\0\0\0\0")).is_err());
        assert!(content(Kind::Failed, Bytes::new()).is_err());
    }
}
