//! How the event is taken out of an envelope that nobody has checked.

use std::error::Error as StdError;
use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use rmp::Marker;

use crate::attributes::{Attributes, Value};
use crate::envelope::head::{Prefix, VERSION, error_key, key};
use crate::envelope::reader::{Reader, cut_off, malformed, mismatch};
use crate::envelope::{EnvelopeLimits, Fields, Foreign, ForeignError, json};
use crate::error::{Error, Kind, Result};
use crate::event::Event;
use crate::format::Format;
use crate::payload::{Payload, Xml};
use crate::text::Text;

/// What a head says, before the payload is looked at.
#[derive(Default)]
struct Opened<'a> {
    format: Option<&'a str>,
    correlation: Option<Text>,
    created: Option<u64>,
    left: Option<u64>,
    attributes: Option<Attributes>,
    error: Option<Error>,
    fields: Fields,
}

pub(super) fn open(head: &Bytes, payload: Bytes, limits: &EnvelopeLimits) -> Result<Event> {
    limits.check_head(head.len())?;
    limits.check_payload(payload.len())?;
    let prefix = Prefix::of(head)?;
    if prefix.version != VERSION {
        let found = prefix.version;
        return Err(Error::unsupported(format!("`version` of the envelope: expected {VERSION}, found {found}")));
    }
    if prefix.head() != head.len() {
        let (expected, found) = (prefix.head(), head.len());
        return Err(Error::malformed(format!("`head` of the envelope: expected {expected} bytes, found {found}")));
    }
    let opened = read(&mut Reader::new(head, Prefix::LENGTH), limits)?;
    let mut foreign = Foreign { fields: opened.fields, format: None };
    let payload = match opened.format.map(|name| (name, Format::named(name))) {
        None if payload.is_empty() => Payload::Empty,
        None => return Err(malformed("payload", "nothing, as there is no `p`", &format!("{} bytes", payload.len()))),
        Some((name, None)) => {
            let name = Text::from(name.to_owned());
            foreign.format = Some((name, payload.clone()));
            Payload::Bytes(payload)
        }
        Some((_, Some(format))) => payload_of(format, payload, limits)?,
    };
    let mut event = Event::with_id(prefix.id, payload);
    if let Some(attributes) = opened.attributes {
        event = event.with_attributes(attributes);
    }
    if let Some(nanoseconds) = opened.created {
        event = event.created_at(UNIX_EPOCH + Duration::from_nanos(nanoseconds));
    }
    if let Some(milliseconds) = opened.left {
        event = event.expires_in(Duration::from_millis(milliseconds));
    }
    if let Some(correlation) = opened.correlation {
        event = event.with_correlation_id(correlation);
    }
    if let Some(error) = opened.error {
        event = event.with_error(error);
    }
    if !foreign.is_empty() {
        event = event.with_foreign(foreign);
    }
    Ok(event)
}

fn read<'a>(reader: &mut Reader<'a>, limits: &EnvelopeLimits) -> Result<Opened<'a>> {
    let mut opened = Opened::default();
    for _ in 0..reader.map("head")? {
        let before = reader.left();
        match reader.borrowed_text("head")? {
            key::FORMAT => once(key::FORMAT, &mut opened.format, reader.borrowed_text(key::FORMAT)?)?,
            key::CORRELATION => once(key::CORRELATION, &mut opened.correlation, reader.text(key::CORRELATION)?)?,
            key::CREATED => once(key::CREATED, &mut opened.created, reader.unsigned(key::CREATED)?)?,
            key::LEFT => once(key::LEFT, &mut opened.left, reader.unsigned(key::LEFT)?)?,
            key::ATTRIBUTES => once(key::ATTRIBUTES, &mut opened.attributes, read_attributes(reader, limits)?)?,
            key::ERROR => once(key::ERROR, &mut opened.error, read_error(reader, limits)?)?,
            _ => {
                reader.skip("a field of a newer version", limits)?;
                opened.fields.add(reader.read_since(before));
            }
        }
    }
    match reader.left() {
        0 => Ok(opened),
        left => Err(malformed("head", "its end behind its last field", &format!("{left} bytes more"))),
    }
}

fn once<T>(field: &str, place: &mut Option<T>, value: T) -> Result<()> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(malformed(field, "it once", "it twice")),
    }
}

fn payload_of(format: Format, bytes: Bytes, limits: &EnvelopeLimits) -> Result<Payload> {
    match format {
        Format::TEXT => match Text::from_utf8(bytes) {
            Ok(text) => Ok(Payload::Text(text)),
            Err(error) => Err(malformed("payload", "UTF-8 text", "other bytes").caused_by(error)),
        },
        Format::JSON => json::payload(&bytes, limits).map(Payload::Json),
        Format::XML => Ok(Payload::Xml(Xml::new(bytes))),
        Format::BYTES => Ok(Payload::Bytes(bytes)),
        _ if bytes.is_empty() => Ok(Payload::Empty),
        _ => Err(malformed("payload", "nothing", &format!("{} bytes", bytes.len()))),
    }
}

fn read_attributes(reader: &mut Reader<'_>, limits: &EnvelopeLimits) -> Result<Attributes> {
    let count = reader.map(key::ATTRIBUTES)?;
    limits.check_attributes(count)?;
    // An attribute has two bytes at the least.
    let mut set: Vec<(Text, Option<Value>)> = Vec::with_capacity(count.min(reader.left() / 2));
    for _ in 0..count {
        let name = reader.text(key::ATTRIBUTES)?;
        let value = read_value(reader, limits)?;
        if !set.iter().any(|(known, _)| *known == name) {
            set.push((name, Some(value)));
        }
    }
    Ok(Attributes::of(set))
}

fn read_value(reader: &mut Reader<'_>, limits: &EnvelopeLimits) -> Result<Value> {
    const FIELD: &str = key::ATTRIBUTES;
    match reader.next() {
        None => Err(cut_off(FIELD)),
        Some(Marker::True | Marker::False) => reader.boolean(FIELD).map(Value::Boolean),
        Some(Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32) => reader.text(FIELD).map(Value::Text),
        Some(Marker::Bin8 | Marker::Bin16 | Marker::Bin32) => {
            json::attribute(FIELD, reader.binary(FIELD)?, limits).map(Value::Json)
        }
        Some(
            Marker::FixPos(_)
            | Marker::FixNeg(_)
            | Marker::U8
            | Marker::U16
            | Marker::U32
            | Marker::U64
            | Marker::I8
            | Marker::I16
            | Marker::I32
            | Marker::I64,
        ) => reader.integer(FIELD).map(Value::Integer),
        Some(found) => Err(mismatch(FIELD, "true or false, an integer, text or a binary", found)),
    }
}

fn read_error(reader: &mut Reader<'_>, limits: &EnvelopeLimits) -> Result<Error> {
    const FIELD: &str = key::ERROR;
    let (mut kind, mut message, mut actor, mut wait, mut causes) = (None, None, None, None, None);
    let mut foreign = ForeignError::default();
    for _ in 0..reader.map(FIELD)? {
        let before = reader.left();
        match reader.borrowed_text(FIELD)? {
            error_key::KIND => once("e.k", &mut kind, reader.borrowed_text("e.k")?)?,
            error_key::MESSAGE => once("e.m", &mut message, reader.borrowed_text("e.m")?)?,
            error_key::ACTOR => once("e.a", &mut actor, reader.borrowed_text("e.a")?)?,
            error_key::RETRY_AFTER => once("e.r", &mut wait, reader.unsigned("e.r")?)?,
            error_key::CAUSES => once("e.s", &mut causes, read_causes(reader, limits)?)?,
            _ => {
                reader.skip("a field of a newer version", limits)?;
                foreign.fields.add(reader.read_since(before));
            }
        }
    }
    let Some((name, message)) = kind.zip(message) else {
        return Err(malformed(FIELD, "a kind `k` and a message `m`", "an error without"));
    };
    let kind = Kind::named(name).unwrap_or_else(|| {
        foreign.kind = Some(Text::from(name.to_owned()));
        Kind::Internal
    });
    let mut error = Error::new(kind, message.to_owned());
    if let Some(actor) = actor {
        error = error.at(&actor.into());
    }
    if let Some(milliseconds) = wait {
        error = error.retry_after(Duration::from_millis(milliseconds));
    }
    if let Some(Some(cause)) = causes {
        error = error.caused_by(cause);
    }
    if !foreign.is_empty() {
        error = error.with_foreign(foreign);
    }
    Ok(error)
}

fn read_causes(reader: &mut Reader<'_>, limits: &EnvelopeLimits) -> Result<Option<Cause>> {
    const FIELD: &str = "e.s";
    let count = reader.array(FIELD)?;
    limits.check_depth(FIELD, count)?;
    let mut texts = Vec::with_capacity(count.min(reader.left()));
    for _ in 0..count {
        texts.push(reader.text(FIELD)?);
    }
    Ok(texts.into_iter().rev().fold(None, |source, text| Some(Cause { text, source: source.map(Box::new) })))
}

/// What caused an error in another process, as it was told.
#[derive(Debug)]
struct Cause {
    text: Text,
    source: Option<Box<Self>>,
}

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl StdError for Cause {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|cause| cause as _)
    }
}
