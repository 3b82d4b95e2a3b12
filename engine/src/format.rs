//! Sets of payload formats: what a port takes or gives. Checked where two ports are connected, and again at run time.

use std::fmt;
use std::ops::BitOr;

use serde::Serialize;

/// A set of payload formats.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Format(u8);

/// Every single format and its name.
const NAMES: [(Format, &str); 5] = [
    (Format::EMPTY, "empty"),
    (Format::BYTES, "bytes"),
    (Format::TEXT, "text"),
    (Format::JSON, "json"),
    (Format::XML, "xml"),
];

impl Format {
    /// No payload.
    pub const EMPTY: Self = Self(1);
    /// Bytes of any meaning.
    pub const BYTES: Self = Self(2);
    /// UTF-8 text.
    pub const TEXT: Self = Self(4);
    /// A JSON value.
    pub const JSON: Self = Self(8);
    /// An XML document.
    pub const XML: Self = Self(16);
    /// Every format, those to come included.
    pub const ANY: Self = Self(u8::MAX);

    /// Returns the name of a single format, and of a set the name of its first one.
    pub(crate) fn name(self) -> &'static str {
        NAMES.iter().find(|(format, _)| self.intersects(*format)).map_or("unknown", |(_, name)| *name)
    }

    /// Returns the single format of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        NAMES.iter().find(|(_, known)| *known == name).map(|(format, _)| *format)
    }

    /// Says whether the two sets have a format in common.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Format {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ANY {
            return formatter.write_str("any");
        }
        let names: Vec<_> =
            NAMES.iter().filter(|(format, _)| self.intersects(*format)).map(|(_, name)| *name).collect();
        formatter.write_str(&names.join(" or "))
    }
}

impl fmt::Debug for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Serialize for Format {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_names_its_formats() {
        assert_eq!((Format::TEXT | Format::XML).to_string(), "text or xml");
        assert_eq!(Format::ANY.to_string(), "any");
    }
}
