//! What a `TcpSink` and a `TcpSource` say to each other, as bytes. Does no I/O.
//!
//! Each side begins with a greeting of 16 bytes, numbers with the highest byte first:
//!
//! | bytes | |
//! |---|---|
//! | 0 to 3 | `c1 50 48 54`: a byte with which no text begins, and `PHT` |
//! | 4 | the version: 1 |
//! | 5 | the side: 1 is a sink, 2 is a source |
//! | 6 and 7 | nothing yet: written as 0, and not looked at |
//! | 8 to 11 | the milliseconds after which this side gives a sign of life |
//! | 12 to 15 | the bytes that a frame to this side may have |
//!
//! Then come frames: four bytes that say how many follow, one for the sort of the frame, and its body.
//!
//! | sort | from | body |
//! |---|---|---|
//! | 1, event | sink | an envelope. The first of a connection is number 0, the next one 1 |
//! | 2, delivered | source | any number of runs of events that were delivered: the number of the first (8 bytes) and how many (4) |
//! | 3, failed | source | the number of an event (8 bytes) and an envelope that holds its error |
//! | 4, heartbeat | both | nothing |
//! | 5, goodbye | source | an envelope that holds the error that says why. Nothing comes after it |

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use playhouse_engine::{Envelope, EnvelopeLimits, Error, Event, Result};

const MAGIC: [u8; 4] = [0xc1, b'P', b'H', b'T'];
const VERSION: u8 = 1;

/// The bytes of a frame before its body: its length and its sort.
pub(super) const HEAD: usize = 5;

/// How many bytes a frame of a source may have.
pub(super) const ANSWER: usize = 1 << 20;

/// How many runs one frame of answers tells at most, so that it stays below [`ANSWER`].
pub(super) const RUNS: usize = 4096;

/// How much is read at a time, and how little room is left before there is more made.
const READ: usize = 64 * 1024;
const LEAST_READ: usize = 4 * 1024;

/// How many letters of what a stranger said are shown.
const SHOWN: usize = 16;

/// An error of more bytes is told without its causes: what the other side does not read costs the connection.
const LARGEST_ERROR: usize = 32 * 1024;

/// How many characters of its message are told then.
const LONGEST_MESSAGE: usize = 1024;

/// The two sides of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Sink = 1,
    Source = 2,
}

/// What each side says first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Greeting {
    pub(super) side: Side,
    pub(super) heartbeat: Duration,
    pub(super) largest: u32,
}

impl Greeting {
    pub(super) const LENGTH: usize = 16;

    pub(super) fn to_bytes(&self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        let mut rest = &mut bytes[..];
        rest.put_slice(&MAGIC);
        rest.put_u8(VERSION);
        rest.put_u8(self.side as u8);
        rest.put_u16(0);
        rest.put_u32(u32::try_from(self.heartbeat.as_millis()).unwrap_or(u32::MAX));
        rest.put_u32(self.largest);
        bytes
    }

    /// Takes the greeting of the other side off the front of `input`; nothing where it has not come whole.
    ///
    /// # Errors
    /// `Malformed` as soon as it cannot be a greeting of that side; `Unsupported` for another version.
    pub(super) fn take(input: &mut BytesMut, expected: Side) -> Result<Option<Self>> {
        let came = input.len().min(MAGIC.len());
        if input[..came] != MAGIC[..came] {
            let shown = input[..input.len().min(SHOWN)].escape_ascii();
            return Err(Error::malformed(format!("expected the greeting of a playhouse peer, found `{shown}`")));
        }
        if let Some(&version) = input.get(4)
            && version != VERSION
        {
            return Err(Error::unsupported(format!("`version` of the peer: expected {VERSION}, found {version}")));
        }
        if let Some(&side) = input.get(5)
            && side != expected as u8
        {
            let (expected, found) = match expected {
                Side::Sink => ("sink", if side == Side::Source as u8 { "source" } else { "neither" }),
                Side::Source => ("source", if side == Side::Sink as u8 { "sink" } else { "neither" }),
            };
            return Err(Error::malformed(format!("expected the peer to be a {expected}, found a {found}")));
        }
        if input.len() < Self::LENGTH {
            return Ok(None);
        }
        let mut bytes = input.split_to(Self::LENGTH);
        bytes.advance(8);
        // A peer that never gives a sign of life would never be missed.
        let heartbeat = Duration::from_millis(bytes.get_u32().max(1).into());
        Ok(Some(Self { side: expected, heartbeat, largest: bytes.get_u32() }))
    }
}

/// A frame that came.
#[derive(Debug)]
pub(super) enum Frame {
    Event(Bytes),
    Delivered(Bytes),
    Failed(u64, Error),
    Heartbeat,
    Goodbye(Error),
}

mod sort {
    pub(super) const EVENT: u8 = 1;
    pub(super) const DELIVERED: u8 = 2;
    pub(super) const FAILED: u8 = 3;
    pub(super) const HEARTBEAT: u8 = 4;
    pub(super) const GOODBYE: u8 = 5;
}

/// What came of a stream and was not taken yet.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) bytes: BytesMut,
    largest: usize,
}

impl Input {
    pub(super) fn new(largest: usize) -> Self {
        Self { bytes: BytesMut::new(), largest }
    }

    /// Makes room to read into. Memory grows with what came and never with what a peer says that will come, and small frames
    /// share it until it is used up.
    pub(super) fn room(&mut self) -> &mut BytesMut {
        if self.bytes.capacity() - self.bytes.len() < LEAST_READ {
            self.bytes.reserve(READ.max(self.bytes.len()));
        }
        &mut self.bytes
    }

    /// Takes the next frame; nothing where it has not come whole.
    ///
    /// # Errors
    /// `TooLarge` or `Malformed` where what comes is no frame: nothing behind it can be read.
    pub(super) fn next(&mut self) -> Result<Option<Frame>> {
        let Some(length) = self.bytes.first_chunk().map(|length| u32::from_be_bytes(*length)) else { return Ok(None) };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > self.largest {
            return Err(Error::too_large(format!(
                "expected a frame of {} bytes at most, found {length}",
                self.largest
            )));
        }
        if self.bytes.len() < 4 + length {
            return Ok(None);
        }
        let mut frame = self.bytes.split_to(4 + length).freeze();
        let Some(&found) = frame.get(4) else {
            return Err(Error::malformed("expected a frame to say what it is, found an empty one"));
        };
        frame.advance(HEAD);
        match found {
            sort::EVENT => Ok(Frame::Event(frame)),
            sort::DELIVERED if frame.len().is_multiple_of(12) => Ok(Frame::Delivered(frame)),
            sort::FAILED if frame.len() >= 8 => {
                let number = frame.get_u64();
                // What cannot be read is of this event alone.
                let unread = |cause| Error::internal("the error of the other side cannot be read").caused_by(cause);
                Ok(Frame::Failed(number, error_of(frame).unwrap_or_else(unread)))
            }
            sort::HEARTBEAT => Ok(Frame::Heartbeat),
            sort::GOODBYE => Ok(Frame::Goodbye(error_of(frame)?)),
            _ => Err(Error::malformed(format!("expected a frame that is known, found one of sort {found}"))),
        }
        .map(Some)
    }
}

/// Reads the runs of a frame of deliveries.
pub(super) fn runs(mut body: Bytes) -> impl Iterator<Item = (u64, u32)> {
    std::iter::from_fn(move || body.has_remaining().then(|| (body.get_u64(), body.get_u32())))
}

fn error_of(body: Bytes) -> Result<Error> {
    let limits = EnvelopeLimits::default();
    let event = Envelope::from_bytes(body, &limits)?.open(&limits)?;
    event.error().cloned().ok_or_else(|| Error::malformed("expected a frame that tells of an error to hold one"))
}

/// Writes frames into memory.
pub(super) trait Output {
    fn event(&mut self, event: &Event, largest: usize) -> Result<()>;
    fn delivered(&mut self, runs: &[(u64, u32)]);
    fn failed(&mut self, number: u64, error: &Error);
    fn heartbeat(&mut self);
    fn goodbye(&mut self, error: &Error);
}

impl Output for BytesMut {
    /// Writes an event.
    ///
    /// # Errors
    /// `TooLarge` where the frame is larger than the other side takes; nothing is written then.
    fn event(&mut self, event: &Event, largest: usize) -> Result<()> {
        let before = self.len();
        frame(self, sort::EVENT, |body| Envelope::write(event, body));
        let length = self.len() - before - 4;
        if length <= largest {
            return Ok(());
        }
        self.truncate(before);
        Err(Error::too_large(format!(
            "the other side takes frames of {largest} bytes at most, and this is of {length}"
        )))
    }

    fn delivered(&mut self, runs: &[(u64, u32)]) {
        for runs in runs.chunks(RUNS) {
            frame(self, sort::DELIVERED, |body| {
                for (first, count) in runs {
                    body.put_u64(*first);
                    body.put_u32(*count);
                }
            });
        }
    }

    fn failed(&mut self, number: u64, error: &Error) {
        error_frame(self, sort::FAILED, Some(number), error);
    }

    fn heartbeat(&mut self) {
        frame(self, sort::HEARTBEAT, |_| {});
    }

    fn goodbye(&mut self, error: &Error) {
        error_frame(self, sort::GOODBYE, None, error);
    }
}

/// Writes an error, without its causes where it is larger than the other side would read.
fn error_frame(into: &mut BytesMut, sort: u8, number: Option<u64>, error: &Error) {
    let before = into.len();
    let write = |into: &mut BytesMut, error: Error| {
        frame(into, sort, |body| {
            number.into_iter().for_each(|number| body.put_u64(number));
            Envelope::write(&Event::new(()).with_error(error), body);
        });
    };
    write(into, error.clone());
    if into.len() - before > LARGEST_ERROR {
        into.truncate(before);
        let message: String = error.message().chars().take(LONGEST_MESSAGE).collect();
        write(into, Error::new(error.kind(), message));
    }
}

fn frame(into: &mut BytesMut, sort: u8, body: impl FnOnce(&mut BytesMut)) {
    let at = into.len();
    into.put_u32(0);
    into.put_u8(sort);
    body(into);
    // What does not fit is far beyond any limit, and refused for it.
    let length = u32::try_from(into.len() - at - 4).unwrap_or(u32::MAX);
    into[at..at + 4].copy_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
mod tests;
