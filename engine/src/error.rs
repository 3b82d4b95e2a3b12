//! What went wrong, in a form that a caller can act on: a kind, a message, a source. Knows no protocol: the mapping of
//! kinds to HTTP status codes and the like lives with the protocol.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::envelope::ForeignError;

/// The result of everything in playhouse that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a caller can do about an error: mend the input, log in, wait, or give up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Kind {
    /// The input cannot be read as what it claims to be.
    Malformed,
    /// Nobody is logged in, or the credentials are wrong.
    Unauthorized,
    /// The caller is known and may not do this.
    Forbidden,
    /// The thing named does not exist.
    NotFound,
    /// The thing exists and does not take this command or method.
    NotAllowed,
    /// The time allowed was up.
    Timeout,
    /// The state of the thing does not agree with the command.
    Conflict,
    /// The thing existed and is gone for good.
    Gone,
    /// A limit on size was passed.
    TooLarge,
    /// The format is not one that is taken here.
    Unsupported,
    /// The input can be read, and says something that makes no sense.
    Unprocessable,
    /// The caller asked too often.
    RateExceeded,
    /// A queue is full: the same request may go through later.
    Overloaded,
    /// Something that this depends on does not answer.
    Unavailable,
    /// The work was given up before its end, as at a stop.
    Cancelled,
    /// A defect, or a fault that the caller can do nothing about.
    Internal,
}

impl Kind {
    /// Every kind.
    const ALL: [Self; 16] = [
        Self::Malformed,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::NotAllowed,
        Self::Timeout,
        Self::Conflict,
        Self::Gone,
        Self::TooLarge,
        Self::Unsupported,
        Self::Unprocessable,
        Self::RateExceeded,
        Self::Overloaded,
        Self::Unavailable,
        Self::Cancelled,
        Self::Internal,
    ];

    /// Returns the kind of that name, such as `not-found`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Returns the kind's name as it stands in logs and files, such as `not-found`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not-found",
            Self::NotAllowed => "not-allowed",
            Self::Timeout => "timeout",
            Self::Conflict => "conflict",
            Self::Gone => "gone",
            Self::TooLarge => "too-large",
            Self::Unsupported => "unsupported",
            Self::Unprocessable => "unprocessable",
            Self::RateExceeded => "rate-exceeded",
            Self::Overloaded => "overloaded",
            Self::Unavailable => "unavailable",
            Self::Cancelled => "cancelled",
            Self::Internal => "internal",
        }
    }

    /// Says whether the same event may succeed when it is tried again a little later.
    #[must_use]
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Timeout | Self::RateExceeded | Self::Overloaded | Self::Unavailable)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// An error: what kind it is, what happened, and what caused it. A clone is one reference count.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: Kind,
    message: Cow<'static, str>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
    actor: Option<Arc<str>>,
    retry_after: Option<Duration>,
    /// What a newer version said of it and means nothing here.
    foreign: Option<Arc<ForeignError>>,
}

/// One constructor for each kind, so that a call reads as a sentence.
macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $kind:ident;)*) => {
        impl Error {
            $($(#[$doc])*
            #[must_use]
            pub fn $name(message: impl Into<Cow<'static, str>>) -> Self {
                Self::new(Kind::$kind, message)
            })*
        }
    };
}

constructors! {
    /// Makes an error of kind [`Kind::Malformed`].
    malformed => Malformed;
    /// Makes an error of kind [`Kind::Unauthorized`].
    unauthorized => Unauthorized;
    /// Makes an error of kind [`Kind::Forbidden`].
    forbidden => Forbidden;
    /// Makes an error of kind [`Kind::NotFound`].
    not_found => NotFound;
    /// Makes an error of kind [`Kind::NotAllowed`].
    not_allowed => NotAllowed;
    /// Makes an error of kind [`Kind::Timeout`].
    timeout => Timeout;
    /// Makes an error of kind [`Kind::Conflict`].
    conflict => Conflict;
    /// Makes an error of kind [`Kind::Gone`].
    gone => Gone;
    /// Makes an error of kind [`Kind::TooLarge`].
    too_large => TooLarge;
    /// Makes an error of kind [`Kind::Unsupported`].
    unsupported => Unsupported;
    /// Makes an error of kind [`Kind::Unprocessable`].
    unprocessable => Unprocessable;
    /// Makes an error of kind [`Kind::RateExceeded`].
    rate_exceeded => RateExceeded;
    /// Makes an error of kind [`Kind::Overloaded`].
    overloaded => Overloaded;
    /// Makes an error of kind [`Kind::Unavailable`].
    unavailable => Unavailable;
    /// Makes an error of kind [`Kind::Cancelled`].
    cancelled => Cancelled;
    /// Makes an error of kind [`Kind::Internal`].
    internal => Internal;
}

impl Error {
    /// Makes an error of `kind`. The message is lower case, without a full stop, and names the thing in backticks.
    #[must_use]
    pub fn new(kind: Kind, message: impl Into<Cow<'static, str>>) -> Self {
        let message = message.into();
        Self(Arc::new(Inner { kind, message, source: None, actor: None, retry_after: None, foreign: None }))
    }

    /// Attaches what caused this error; it shows in [`StdError::source`].
    #[must_use]
    pub fn caused_by(self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let source = Arc::from(source.into());
        self.changed(|inner| inner.source = Some(source))
    }

    /// Says after what time a caller may try again.
    #[must_use]
    pub fn retry_after(self, wait: Duration) -> Self {
        self.changed(|inner| inner.retry_after = Some(wait))
    }

    /// Names the actor in which the error happened, unless one is named already.
    #[must_use]
    pub(crate) fn at(self, actor: &Arc<str>) -> Self {
        if self.0.actor.is_some() {
            return self;
        }
        self.changed(|inner| inner.actor = Some(actor.clone()))
    }

    /// Keeps what a newer version said of it.
    pub(crate) fn with_foreign(self, foreign: ForeignError) -> Self {
        self.changed(|inner| inner.foreign = Some(Arc::new(foreign)))
    }

    pub(crate) fn foreign(&self) -> Option<&ForeignError> {
        self.0.foreign.as_deref()
    }

    /// Returns what a caller can do about it.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Returns the message alone, without the actor and the source.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Returns the name of the actor in which it happened, where the engine knows one.
    #[must_use]
    pub fn actor(&self) -> Option<&str> {
        self.0.actor.as_deref()
    }

    /// Returns the time after which a caller may try again, where one is known.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        self.0.retry_after
    }

    fn changed(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.message)?;
        let mut source = self.source();
        while let Some(cause) = source {
            match cause.downcast_ref::<Self>() {
                // It would show its own causes, which come next.
                Some(error) => write!(formatter, ": {}", error.0.message)?,
                None => write!(formatter, ": {cause}")?,
            }
            source = cause.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `fn main() -> Result<()>` prints this form, so it reads as a sentence.
        if let Some(actor) = self.actor() {
            write!(formatter, "`{actor}`: ")?;
        }
        write!(formatter, "{self} ({})", self.0.kind)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().map(|source| source.as_ref() as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_its_message_and_its_causes() {
        let error = Error::malformed("the body is not JSON").caused_by("expected `}` at line 1");
        assert_eq!(error.to_string(), "the body is not JSON: expected `}` at line 1");
        assert_eq!(error.kind(), Kind::Malformed);
        assert_eq!(error.message(), "the body is not JSON");
        let outer = Error::unavailable("no order").caused_by(error);
        assert_eq!(outer.to_string(), "no order: the body is not JSON: expected `}` at line 1");
    }

    #[test]
    fn the_first_actor_that_is_named_stays() {
        let error = Error::internal("boom").at(&"first".into()).at(&"second".into());
        assert_eq!(error.actor(), Some("first"));
    }

    #[test]
    fn a_clone_is_not_changed_by_what_is_added_later() {
        let plain = Error::overloaded("full");
        let with_wait = plain.clone().retry_after(Duration::from_secs(2));
        assert_eq!((plain.wait(), with_wait.wait()), (None, Some(Duration::from_secs(2))));
    }
}
