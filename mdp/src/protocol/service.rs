//! The name of a service, as it stands on the wire.

use std::fmt;

use bytes::Bytes;
use playhouse_engine::{Error, Result};

/// How long a name may be, in bytes.
const LONGEST: usize = 255;

/// The name of a service: 1 to 255 bytes of printable UTF-8. A clone is one reference count.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Service(Bytes);

impl Service {
    /// Takes a name as it came from the wire or from a setting.
    ///
    /// # Errors
    /// `Malformed` where it is empty, too long, not UTF-8, or has a character that cannot be printed.
    pub fn new(name: impl Into<Bytes>) -> Result<Self> {
        let name = name.into();
        let shown = || name[..name.len().min(32)].escape_ascii();
        if name.is_empty() || name.len() > LONGEST {
            let message = format!("expected a service name of 1 to {LONGEST} bytes, found {}", name.len());
            return Err(Error::malformed(message));
        }
        match std::str::from_utf8(&name) {
            Ok(text) if !text.contains(char::is_control) => Ok(Self(name)),
            _ => Err(Error::malformed(format!("expected a service name of printable characters, found `{}`", shown()))),
        }
    }

    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Checked when it was made.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Returns a copy of its own, which keeps no larger message in memory that it came with.
    #[must_use]
    pub(crate) fn detached(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }

    /// Returns the name as it stands on the wire.
    #[must_use]
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// Says whether the broker answers for this service itself (RFC 8): `mmi.` and more.
    #[must_use]
    pub fn is_management(&self) -> bool {
        self.0.starts_with(b"mmi.")
    }

    /// Says whether the name is one of the durable services of RFC 9: `titanic.` and more.
    #[must_use]
    pub fn is_titanic(&self) -> bool {
        self.0.starts_with(b"titanic.")
    }
}

impl fmt::Display for Service {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{self}`")
    }
}
