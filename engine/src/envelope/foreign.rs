//! What came in an envelope of a newer version and means nothing here: it is kept, and leaves as it came.

use std::sync::Arc;

use bytes::Bytes;

use crate::text::Text;

/// Fields with keys that this version does not know, keys and values as they came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields(Option<Arc<Inner>>);

#[derive(Clone, Debug, Default)]
struct Inner {
    count: u32,
    bytes: Vec<u8>,
}

impl Fields {
    /// Adds a field. It is copied: it may stay for longer than the envelope that it came in.
    pub(super) fn add(&mut self, field: &[u8]) {
        let inner = Arc::make_mut(self.0.get_or_insert_default());
        inner.count += 1;
        inner.bytes.extend_from_slice(field);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Returns how many fields there are, and their bytes.
    pub(super) fn parts(&self) -> (u32, &[u8]) {
        self.0.as_ref().map_or((0, &[]), |inner| (inner.count, &inner.bytes))
    }
}

/// What an event has that means nothing here.
#[derive(Clone, Debug, Default)]
pub(crate) struct Foreign {
    pub(super) fields: Fields,
    /// The name of the payload's format, and the payload that it is the format of: what replaces it has another.
    pub(super) format: Option<(Text, Bytes)>,
}

impl Foreign {
    pub(super) fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.format.is_none()
    }
}

/// What an error has that means nothing here.
#[derive(Clone, Debug, Default)]
pub(crate) struct ForeignError {
    pub(super) fields: Fields,
    /// The name of the error's kind.
    pub(super) kind: Option<Text>,
}

impl ForeignError {
    pub(super) fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.kind.is_none()
    }
}
