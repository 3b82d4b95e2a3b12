//! What a server says, and what kind of error its no is.

use std::fmt;

use playhouse_engine::{Error, Kind};
use serde_json::{Value, json};

/// How much of what a server says is told on.
const LONGEST: usize = 300;

/// A server's reply to one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) code: u16,
    pub(super) text: String,
}

impl Reply {
    pub(super) fn new(code: u16, text: &str) -> Self {
        let shown = |letter: char| if letter.is_control() { ' ' } else { letter };
        Self { code, text: text.trim().chars().take(LONGEST).map(shown).collect() }
    }

    pub(super) fn is_yes(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// Says whether the server waits for the next line of a login.
    pub(super) fn is_more(&self) -> bool {
        self.code == 334
    }

    /// Says what a caller can do about a no. What is transient here is tried again by the engine.
    pub(super) fn kind(&self) -> Kind {
        match self.code {
            452 => Kind::Overloaded,
            400..=499 => Kind::Unavailable,
            530 | 534 | 535 | 538 => Kind::Unauthorized,
            523 | 552 => Kind::TooLarge,
            550..=599 => Kind::Unprocessable,
            // The others are of what was said and not of what was sent.
            _ => Kind::Unsupported,
        }
    }

    /// Makes the error of a no.
    pub(super) fn error(&self, server: &str, command: &str) -> Error {
        Error::new(self.kind(), format!("`{server}` answered `{command}` with {self}"))
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.code, self.text)
    }
}

/// A recipient that the server does not take.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    pub(super) address: String,
    pub(super) reply: Reply,
}

impl Refused {
    pub(super) fn to_json(&self) -> Value {
        let Reply { code, text } = &self.reply;
        json!({"address": self.address, "code": code, "message": text})
    }
}

/// Makes the error of recipients that were refused: one that may pass where all of them may.
pub(super) fn refusal(server: &str, refused: &[Refused], nobody_has_it: bool) -> Error {
    let named: Vec<String> = refused.iter().map(|one| format!("`{}` ({})", one.address, one.reply)).collect();
    let kind = refused.iter().map(|one| one.reply.kind()).find(|kind| !kind.is_transient());
    let kind = kind.or_else(|| refused.first().map(|one| one.reply.kind())).unwrap_or(Kind::Internal);
    let others = if nobody_has_it { "; the mail was sent to nobody" } else { "" };
    Error::new(kind, format!("`{server}` refused {}{others}", named.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_tried_again() {
        for (code, transient) in [
            (421, true),
            (450, true),
            (451, true),
            (452, true),
            (454, true),
            (500, false),
            (504, false),
            (530, false),
            (535, false),
            (550, false),
            (552, false),
            (554, false),
        ] {
            assert_eq!(Reply::new(code, "").kind().is_transient(), transient, "{code}");
        }
    }

    #[test]
    fn one_recipient_refused_for_good_is_no_cause_to_try_again() {
        let refused = |codes: &[u16]| {
            let refused: Vec<Refused> = codes
                .iter()
                .map(|code| Refused { address: "a@x.test".to_owned(), reply: Reply::new(*code, "no") })
                .collect();
            refusal("host:25", &refused, true)
        };
        assert_eq!(refused(&[450, 451]).kind(), Kind::Unavailable);
        assert_eq!(refused(&[450, 550]).kind(), Kind::Unprocessable);
        let message = "`host:25` refused `a@x.test` (452 no); the mail was sent to nobody";
        assert_eq!(refused(&[452]).message(), message);
    }
}
