//! What an event carries. The engine knows the formats by name and reads none of them but to show them as text.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::format::Format;
use crate::text::Text;

/// What an event carries. A clone is at most one reference count.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Payload {
    /// Nothing.
    #[default]
    Empty,
    /// Bytes of any meaning.
    Bytes(Bytes),
    /// UTF-8 text.
    Text(Text),
    /// A JSON value.
    Json(Arc<Value>),
    /// An XML document.
    Xml(Xml),
}

impl Payload {
    /// Returns which format the payload has.
    #[must_use]
    pub fn format(&self) -> Format {
        match self {
            Self::Empty => Format::EMPTY,
            Self::Bytes(_) => Format::BYTES,
            Self::Text(_) => Format::TEXT,
            Self::Json(_) => Format::JSON,
            Self::Xml(_) => Format::XML,
        }
    }

    /// Returns the payload as bytes: as it stands, or a JSON value written out.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        match self {
            Self::Empty => Bytes::new(),
            Self::Bytes(bytes) => bytes.clone(),
            Self::Text(text) => text.clone().into_bytes(),
            Self::Json(value) => Bytes::from(value.to_string()),
            Self::Xml(xml) => xml.bytes().clone(),
        }
    }

    /// Returns the payload as text: as it stands, or a JSON value written out.
    ///
    /// # Errors
    /// `Malformed` where the bytes are not UTF-8.
    pub fn as_text(&self) -> Result<Cow<'_, str>> {
        let bytes = match self {
            Self::Empty => return Ok(Cow::Borrowed("")),
            Self::Text(text) => return Ok(Cow::Borrowed(text)),
            Self::Json(value) => return Ok(Cow::Owned(value.to_string())),
            Self::Bytes(bytes) => bytes,
            Self::Xml(xml) => xml.bytes(),
        };
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Cow::Borrowed(text)),
            Err(error) => Err(Error::malformed("the payload is not UTF-8 text").caused_by(error)),
        }
    }

    /// Returns the payload as a JSON value: as it stands, or text and bytes parsed.
    ///
    /// # Errors
    /// `Malformed` where the text is not JSON; `Unsupported` for XML and for an empty payload.
    pub fn as_json(&self) -> Result<Arc<Value>> {
        let text = match self {
            Self::Json(value) => return Ok(value.clone()),
            Self::Text(_) | Self::Bytes(_) => self.as_text()?,
            Self::Empty | Self::Xml(_) => {
                let message = format!("expected a json payload, found {}", self.format());
                return Err(Error::unsupported(message));
            }
        };
        match serde_json::from_str(&text) {
            Ok(value) => Ok(Arc::new(value)),
            Err(error) => Err(Error::malformed("the payload is not JSON").caused_by(error)),
        }
    }
}

/// Shows text as it stands; bytes that are not UTF-8 with the replacement character.
impl fmt::Display for Payload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_text() {
            Ok(text) => formatter.write_str(&text),
            Err(_) => formatter.write_str(&String::from_utf8_lossy(&self.to_bytes())),
        }
    }
}

impl From<()> for Payload {
    fn from((): ()) -> Self {
        Self::Empty
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<Text> for Payload {
    fn from(text: Text) -> Self {
        Self::Text(text)
    }
}

impl From<&'static str> for Payload {
    fn from(text: &'static str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Payload {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<Value> for Payload {
    fn from(value: Value) -> Self {
        Self::Json(Arc::new(value))
    }
}

impl From<Xml> for Payload {
    fn from(xml: Xml) -> Self {
        Self::Xml(xml)
    }
}

/// An XML document as it was written, in whatever encoding it declares. Nobody has checked it until an actor parses it.
///
/// A parsed form can ride along, for the next actor that understands it; to everybody else the document is its bytes.
#[derive(Clone)]
pub struct Xml(Arc<Document>);

struct Document {
    bytes: Bytes,
    parsed: Option<Box<dyn Any + Send + Sync>>,
}

impl Xml {
    /// Makes a document of its bytes, without a look at them.
    #[must_use]
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self(Arc::new(Document { bytes: bytes.into(), parsed: None }))
    }

    /// Makes a document of its bytes and a parsed form of the same.
    #[must_use]
    pub fn with_parsed(bytes: impl Into<Bytes>, parsed: impl Any + Send + Sync) -> Self {
        Self(Arc::new(Document { bytes: bytes.into(), parsed: Some(Box::new(parsed)) }))
    }

    /// Returns the document as it was written.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0.bytes
    }

    /// Returns the parsed form that rides along, where it is of type `T`.
    #[must_use]
    pub fn parsed<T: Any>(&self) -> Option<&T> {
        self.0.parsed.as_ref()?.downcast_ref()
    }
}

impl fmt::Debug for Xml {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0.bytes, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_are_read_as_json() {
        for payload in [Payload::from(r#"{"a":1}"#), Payload::from(br#"{"a":1}"#.to_vec())] {
            assert_eq!(*payload.as_json().unwrap(), serde_json::json!({"a": 1}));
        }
    }

    #[test]
    fn what_is_not_text_says_so() {
        let error = Payload::from(vec![0xff]).as_text().unwrap_err();
        assert!(error.to_string().starts_with("the payload is not UTF-8 text: "), "{error}");
    }

    #[test]
    fn bytes_are_shared_not_copied() {
        let bytes = Bytes::from(vec![1; 4096]);
        let payload = Payload::from(bytes.clone());
        assert_eq!(payload.to_bytes().as_ptr(), bytes.as_ptr());
    }
}
