//! Events as bytes, for whatever carries them to another process. Knows no transport.

mod foreign;
mod head;
mod json;
mod limits;
mod opening;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;

use bytes::{Bytes, BytesMut};

pub(crate) use foreign::{Fields, Foreign, ForeignError};
pub use limits::EnvelopeLimits;

use crate::error::{Error, Result};
use crate::event::Event;
use crate::id::EventId;
use crate::payload::Payload;
use head::Prefix;

/// An event as bytes: a head that says everything about it, and the payload as it stands, which is never copied.
///
/// A receipt stays where the event is: it is a promise between two actors of one process.
///
/// ```
/// use playhouse_engine::{Envelope, EnvelopeLimits, Event};
///
/// let event = Event::new("tea, 2 cups").with_attribute("table", 7_i64);
/// let envelope = Envelope::of(&event);
/// assert_eq!(Envelope::id_of(envelope.head()), Some(event.id()));
///
/// let sent = envelope.to_bytes();
/// let limits = EnvelopeLimits::default();
/// let opened = Envelope::from_bytes(sent, &limits)?.open(&limits)?;
/// assert_eq!(opened.id(), event.id());
/// assert_eq!(opened.attributes().integer("table"), Some(7));
/// # Ok::<(), playhouse_engine::Error>(())
/// ```
///
/// # The format, version 1
///
/// The head begins with 25 bytes that lie where they lie in every version, numbers with the highest byte first:
///
/// | bytes | |
/// |---|---|
/// | 0 to 3 | `c1 50 48 45`: a byte with which no MessagePack, JSON, XML or text begins, and `PHE` |
/// | 4 | the version: 1 |
/// | 5 to 20 | the event's id |
/// | 21 to 24 | how many bytes follow up to the head's end |
///
/// What follows is one MessagePack map. Its keys are text, in any order, each at most once:
///
/// | key | value | where it is missing |
/// |---|---|---|
/// | `p` | text: the payload's format, one of `bytes`, `text` (UTF-8), `json` (JSON text) and `xml` | there is no payload |
/// | `c` | text: the correlation id | it is the event's id |
/// | `t` | integer: when the event was created, in nanoseconds since 1970 (UTC) | it has entered no flow yet |
/// | `l` | integer: the milliseconds left until its deadline when it was sent; never a time of day, for the clocks of two hosts differ | it has no deadline |
/// | `a` | map: the attributes; a value is true or false, an integer (64 bits, signed), text, or a binary that holds any other value as JSON text. Of a name that comes twice the first one counts | there are none |
/// | `e` | map: the error that sent the event on an error route | there is none |
///
/// The error's keys:
///
/// | key | value | where it is missing |
/// |---|---|---|
/// | `k` | text: the kind, as [`Kind::as_str`](crate::Kind::as_str) writes it | refused |
/// | `m` | text: the message | refused |
/// | `a` | text: the actor in which it happened | none is known |
/// | `r` | integer: the milliseconds after which the caller may try again | no time is known |
/// | `s` | array of text: what caused it, and what caused that | nothing is known |
///
/// The payload follows the head, in a frame of its own where the transport has frames.
///
/// # Older and newer versions
///
/// A newer version that adds something adds a key, for the event or its error, or a payload format or an error kind. Who does
/// not know them carries them on: the fields stay with the event and with what is derived from it or branches off it, and
/// are in its envelope again; a payload of an unknown format is bytes, and keeps the format's name for as long as it is
/// not replaced; an unknown kind is `Internal` here and leaves under its own name. Any other change has a new version byte,
/// which older ones refuse with `Unsupported`, naming both.
#[derive(Clone)]
pub struct Envelope {
    head: Bytes,
    payload: Bytes,
}

impl Envelope {
    /// Puts an event into an envelope. The head costs one allocation; a JSON payload is written out as text.
    #[must_use]
    pub fn of(event: &Event) -> Self {
        Self { head: head::write(event), payload: event.payload().to_bytes() }
    }

    /// Writes the envelope of an event, as [`Envelope::to_bytes`] returns it, behind what `into` holds: for transports that
    /// send many together.
    pub fn write(event: &Event, into: &mut BytesMut) {
        head::write_into(event, into);
        match event.payload() {
            Payload::Empty => {}
            Payload::Bytes(bytes) => into.extend_from_slice(bytes),
            Payload::Text(text) => into.extend_from_slice(text.as_bytes()),
            other => into.extend_from_slice(&other.to_bytes()),
        }
    }

    /// Makes an envelope of the two frames that came; nothing is checked before [`Envelope::open`].
    #[must_use]
    pub fn from_parts(head: Bytes, payload: Bytes) -> Self {
        Self { head, payload }
    }

    /// Takes apart what [`Envelope::to_bytes`] made, without a copy.
    ///
    /// # Errors
    /// `Malformed` where the bytes are not an envelope or end within its head; `TooLarge` where the head or the payload
    /// passes its limit.
    pub fn from_bytes(mut bytes: Bytes, limits: &EnvelopeLimits) -> Result<Self> {
        let prefix = Prefix::of(&bytes)?;
        let (head, found) = (prefix.head(), bytes.len());
        limits.check_head(head)?;
        if found < head {
            return Err(Error::malformed(format!(
                "the envelope ends within its head: expected at least {head} bytes, found {found}"
            )));
        }
        limits.check_payload(found - head)?;
        let head = bytes.split_to(head);
        Ok(Self { head, payload: bytes })
    }

    /// Returns what says everything about the event but its payload.
    #[must_use]
    pub fn head(&self) -> &Bytes {
        &self.head
    }

    /// Returns the payload as it stands.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Returns the head and the payload behind it as one, for transports without frames.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(self.head.len() + self.payload.len());
        bytes.extend_from_slice(&self.head);
        bytes.extend_from_slice(&self.payload);
        bytes.freeze()
    }

    /// Opens the envelope and takes the event out. Text and bytes are not copied: they share the memory of what came.
    ///
    /// # Errors
    /// `Malformed` where something is not what the format says it is; `TooLarge` where a limit is passed, before memory is
    /// taken for it; `Unsupported` for another version. Each names the field and what was expected.
    pub fn open(self, limits: &EnvelopeLimits) -> Result<Event> {
        opening::open(&self.head, self.payload, limits)
    }

    /// Says whether `bytes` begin as a head does, of whatever version. Bytes, text and documents of others do not.
    #[must_use]
    pub fn is_head(bytes: &[u8]) -> bool {
        bytes.starts_with(&head::MAGIC)
    }

    /// Returns the id of the event whose head, of whatever version, `head` begins with, without a look at the rest: a
    /// client finds by it the request that a reply answers.
    #[must_use]
    pub fn id_of(head: &[u8]) -> Option<EventId> {
        Prefix::of(head).ok().map(|prefix| prefix.id)
    }
}

impl fmt::Debug for Envelope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut envelope = formatter.debug_struct("Envelope");
        envelope.field("id", &Self::id_of(&self.head)).field("head", &self.head.len());
        envelope.field("payload", &self.payload.len()).finish()
    }
}
