//! The head of an envelope: the beginning that every version has, and how an event is written.

use std::cell::Cell;
use std::error::Error as StdError;
use std::time::UNIX_EPOCH;

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use crate::attributes::{Seen, Value};
use crate::envelope::writer::{Entries, Writer};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::format::Format;
use crate::id::EventId;
use crate::payload::Payload;

pub(super) const MAGIC: [u8; 4] = [0xc1, b'P', b'H', b'E'];
pub(super) const VERSION: u8 = 1;

/// The keys of an event's fields.
pub(super) mod key {
    pub(in crate::envelope) const FORMAT: &str = "p";
    pub(in crate::envelope) const CORRELATION: &str = "c";
    pub(in crate::envelope) const CREATED: &str = "t";
    pub(in crate::envelope) const LEFT: &str = "l";
    pub(in crate::envelope) const ATTRIBUTES: &str = "a";
    pub(in crate::envelope) const ERROR: &str = "e";
}

/// The keys of an error's fields.
pub(super) mod error_key {
    pub(in crate::envelope) const KIND: &str = "k";
    pub(in crate::envelope) const MESSAGE: &str = "m";
    pub(in crate::envelope) const ACTOR: &str = "a";
    pub(in crate::envelope) const RETRY_AFTER: &str = "r";
    pub(in crate::envelope) const CAUSES: &str = "s";
}

/// How many causes of an error are written one by one; the last one holds those behind it too.
const CAUSES: usize = 16;

/// How large a thread's scratch may be to be kept for the next event.
const SCRATCH: usize = 64 * 1024;

thread_local! {
    // Heads are written here first, because nobody knows before how long they are: so each costs one allocation.
    static LAST: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What a head of any version begins with.
pub(super) struct Prefix {
    pub(super) version: u8,
    pub(super) id: EventId,
    /// How many bytes follow up to the head's end.
    rest: u32,
}

impl Prefix {
    pub(super) const LENGTH: usize = 25;

    pub(super) fn of(bytes: &[u8]) -> Result<Self> {
        let Some(rest) = bytes.strip_prefix(&MAGIC) else {
            return Err(Error::malformed("not an event envelope: expected it to begin with c1 50 48 45"));
        };
        let (Some(version), Some(id), Some(rest)) = (rest.first(), part(rest, 1), part(rest, 17)) else {
            let (expected, found) = (Self::LENGTH, bytes.len());
            return Err(Error::malformed(format!(
                "the envelope ends within its head: expected at least {expected} bytes, found {found}"
            )));
        };
        let id = EventId::from_u128(u128::from_be_bytes(id));
        Ok(Self { version: *version, id, rest: u32::from_be_bytes(rest) })
    }

    /// Returns how many bytes the whole head has.
    pub(super) fn head(&self) -> usize {
        usize::try_from(self.rest).unwrap_or(usize::MAX).saturating_add(Self::LENGTH)
    }
}

fn part<const LENGTH: usize>(bytes: &[u8], at: usize) -> Option<[u8; LENGTH]> {
    bytes.get(at..at + LENGTH)?.try_into().ok()
}

/// Writes the head of an event's envelope.
pub(super) fn write(event: &Event) -> Bytes {
    written(event, Bytes::copy_from_slice)
}

/// Writes the head of an event's envelope behind what `into` holds.
pub(super) fn write_into(event: &Event, into: &mut BytesMut) {
    written(event, |head| into.extend_from_slice(head));
}

fn written<T>(event: &Event, done: impl FnOnce(&[u8]) -> T) -> T {
    // Taken out and not borrowed: a layer of attributes may put an event into an envelope in the middle of this one.
    let mut scratch = LAST.take();
    scratch.clear();
    scratch.extend_from_slice(&MAGIC);
    scratch.push(VERSION);
    scratch.extend_from_slice(&event.id().as_u128().to_be_bytes());
    scratch.extend_from_slice(&[0; 4]);
    let mut writer = Writer(scratch);
    writer.map(|entries| write_event(entries, event));
    let mut scratch = writer.0;
    let rest = u32::try_from(scratch.len() - Prefix::LENGTH).unwrap_or(u32::MAX);
    scratch[Prefix::LENGTH - 4..Prefix::LENGTH].copy_from_slice(&rest.to_be_bytes());
    let outcome = done(&scratch);
    if scratch.capacity() <= SCRATCH {
        LAST.set(scratch);
    }
    outcome
}

fn write_event(entries: &mut Entries<'_>, event: &Event) {
    if let Some(format) = format_name(event) {
        entries.entry(key::FORMAT).text(format);
    }
    if let Some(correlation) = event.own_correlation_id() {
        entries.entry(key::CORRELATION).text(correlation);
    }
    let created = event.created().and_then(|created| created.duration_since(UNIX_EPOCH).ok());
    if let Some(nanoseconds) = created.and_then(|created| u64::try_from(created.as_nanos()).ok()) {
        entries.entry(key::CREATED).unsigned(nanoseconds);
    }
    if let Some(deadline) = event.deadline() {
        let left = deadline.saturating_duration_since(Instant::now());
        entries.entry(key::LEFT).unsigned(u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
    }
    if !event.attributes().is_empty() {
        entries.entry(key::ATTRIBUTES).map(|attributes| {
            event.attributes().visit(|name, seen| {
                let writer = attributes.entry(name);
                match seen {
                    Seen::Layer(text) => writer.text(text),
                    Seen::Own(value) => write_value(writer, value),
                }
            });
        });
    }
    if let Some(error) = event.error() {
        entries.entry(key::ERROR).map(|entries| write_error(entries, error));
    }
    if let Some(foreign) = event.foreign() {
        entries.fields(&foreign.fields);
    }
}

/// Returns the name of the payload's format; nothing where there is no payload.
fn format_name(event: &Event) -> Option<&str> {
    let payload = event.payload();
    if let (Payload::Bytes(bytes), Some(foreign)) = (payload, event.foreign())
        && let Some((name, named)) = &foreign.format
        // The very bytes that came under this name, and not others that took their place.
        && (named.as_ptr(), named.len()) == (bytes.as_ptr(), bytes.len())
    {
        return Some(name);
    }
    (payload.format() != Format::EMPTY).then(|| payload.format().name())
}

fn write_value(writer: &mut Writer, value: &Value) {
    match value {
        Value::Boolean(value) => writer.boolean(*value),
        Value::Integer(number) => writer.integer(*number),
        Value::Text(text) => writer.text(text),
        Value::Json(value) => writer.binary(value.to_string().as_bytes()),
    }
}

fn write_error(entries: &mut Entries<'_>, error: &Error) {
    let foreign = error.foreign();
    let kind = foreign.and_then(|foreign| foreign.kind.as_deref());
    entries.entry(error_key::KIND).text(kind.unwrap_or(error.kind().as_str()));
    entries.entry(error_key::MESSAGE).text(error.message());
    if let Some(actor) = error.actor() {
        entries.entry(error_key::ACTOR).text(actor);
    }
    if let Some(wait) = error.wait() {
        // Not a moment too early.
        let milliseconds = wait.as_nanos().div_ceil(1_000_000);
        entries.entry(error_key::RETRY_AFTER).unsigned(u64::try_from(milliseconds).unwrap_or(u64::MAX));
    }
    let causes = causes(error);
    if !causes.is_empty() {
        entries.entry(error_key::CAUSES).texts(&causes);
    }
    if let Some(foreign) = foreign {
        entries.fields(&foreign.fields);
    }
}

fn causes(error: &Error) -> Vec<String> {
    let mut causes: Vec<String> = Vec::new();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = match cause.downcast_ref::<Error>() {
            // It would show its own causes, which come next.
            Some(error) => error.message().to_owned(),
            None => cause.to_string(),
        };
        let is_full = causes.len() == CAUSES;
        match causes.last_mut() {
            Some(last) if is_full => {
                last.push_str(": ");
                last.push_str(&text);
            }
            _ => causes.push(text),
        }
        source = cause.source();
    }
    causes
}
