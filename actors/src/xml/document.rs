//! How documents are read: from bytes, from text, from payloads.

use std::fmt;

use playhouse_engine::{Error, Payload, Result};

use super::libxml::Document;
use super::limits::DocumentLimits;

impl Document {
    /// Parses untrusted bytes, in the encoding that they declare. A `DOCTYPE` is refused, and nothing is fetched.
    ///
    /// # Errors
    /// `Malformed` where they are no XML or have a `DOCTYPE`; `TooLarge` beyond the limits.
    pub fn parse(bytes: &[u8], limits: &DocumentLimits) -> Result<Self> {
        Ok(Self::parse_as(bytes, false, limits)?)
    }

    /// Parses a payload: text is UTF-8 whatever its declaration says.
    ///
    /// # Errors
    /// As [`Document::parse`]; `Unsupported` where the payload is empty or JSON.
    pub fn read(payload: &Payload, limits: &DocumentLimits) -> Result<Self> {
        match payload {
            Payload::Text(text) => Ok(Self::parse_as(text.as_bytes(), true, limits)?),
            Payload::Bytes(bytes) => Self::parse(bytes, limits),
            Payload::Xml(xml) => Self::parse(xml.bytes(), limits),
            other => Err(Error::unsupported(format!("expected an XML document, found {}", other.format()))),
        }
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Document").field("depth", &self.depth()).finish_non_exhaustive()
    }
}
