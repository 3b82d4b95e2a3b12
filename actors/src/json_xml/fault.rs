//! What is wrong with a document, before anybody knows where.

use std::borrow::Cow;

use playhouse_engine::{Error, Kind, Result};

/// Why a document cannot be read or written.
#[derive(Debug)]
pub(crate) struct Fault {
    kind: Kind,
    message: Cow<'static, str>,
}

impl Fault {
    pub(super) fn new(kind: Kind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, message: message.into() }
    }

    /// The document is not well-formed.
    pub(super) fn malformed(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Malformed, message)
    }

    pub(super) fn too_large(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::TooLarge, message)
    }

    /// The value cannot be said in XML.
    pub(super) fn unprocessable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Unprocessable, message)
    }

    pub(super) fn is_too_large(&self) -> bool {
        self.kind == Kind::TooLarge
    }

    /// Adds the line, counted from 1.
    pub(super) fn at_line(self, line: usize) -> Self {
        Self { message: format!("line {line}: {}", self.message).into(), ..self }
    }
}

impl From<Fault> for Error {
    fn from(Fault { kind, message }: Fault) -> Self {
        Self::new(kind, message)
    }
}

/// Refuses settings that have problems, and names them all.
pub(crate) fn refuse(problems: impl Iterator<Item = String>) -> Result<()> {
    let problems: Vec<_> = problems.collect();
    if problems.is_empty() { Ok(()) } else { Err(Error::malformed(problems.join("; "))) }
}
