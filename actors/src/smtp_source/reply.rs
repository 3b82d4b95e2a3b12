//! What is said to a client, with the status codes of RFC 3463.

use std::borrow::Cow;

use playhouse_engine::{Error, Kind};

/// How much of an error's message a client is told.
const LONGEST_TEXT: usize = 200;

/// A reply of one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    status: &'static str,
    text: Cow<'static, str>,
}

impl Reply {
    pub(crate) const fn new(code: u16, status: &'static str, text: &'static str) -> Self {
        Self { code, status, text: Cow::Borrowed(text) }
    }

    /// Says how the flow fared with a mail.
    pub(crate) fn of(error: &Error) -> Self {
        match error.kind() {
            Kind::Overloaded | Kind::RateExceeded => NO_ROOM,
            Kind::Timeout | Kind::Unavailable | Kind::Cancelled => {
                Self::new(451, "4.3.0", "the mail could not be handled for now; try again later")
            }
            // A defect here is mended sooner or later; what was refused for good would be lost.
            Kind::Internal => Self::new(451, "4.3.5", "the mail could not be handled; try again later"),
            Kind::TooLarge => Self { code: 552, status: "5.3.4", text: told(error) },
            Kind::NotFound | Kind::Gone => Self { code: 554, status: "5.1.1", text: told(error) },
            Kind::Unauthorized | Kind::Forbidden | Kind::NotAllowed => {
                Self { code: 554, status: "5.7.1", text: told(error) }
            }
            _ => Self { code: 554, status: "5.6.0", text: told(error) },
        }
    }

    pub(crate) fn is_refusal(&self) -> bool {
        self.code >= 400
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("{} {} {}\r\n", self.code, self.status, self.text).as_bytes());
    }
}

/// Returns an error's message as a client may see it: one line of ASCII.
fn told(error: &Error) -> Cow<'static, str> {
    let shown = |letter: char| if letter == ' ' || letter.is_ascii_graphic() { letter } else { '?' };
    error.message().chars().take(LONGEST_TEXT).map(shown).collect::<String>().into()
}

pub(crate) const OK: Reply = Reply::new(250, "2.0.0", "ok");
pub(crate) const TAKEN: Reply = Reply::new(250, "2.6.0", "the mail is taken");
pub(crate) const SENDER_OK: Reply = Reply::new(250, "2.1.0", "ok");
pub(crate) const RECIPIENT_OK: Reply = Reply::new(250, "2.1.5", "ok");
pub(crate) const CANNOT_VERIFY: Reply = Reply::new(252, "2.1.5", "send some mail, and it will be seen");
pub(crate) const BYE: Reply = Reply::new(221, "2.0.0", "bye");
pub(crate) const GO_AHEAD_WITH_TLS: Reply = Reply::new(220, "2.0.0", "go ahead");
pub(crate) const LOGGED_IN: Reply = Reply::new(235, "2.7.0", "logged in");
pub(crate) const STOPPING: Reply = Reply::new(421, "4.3.2", "the service stops");
pub(crate) const TOO_SLOW: Reply = Reply::new(421, "4.4.2", "that took too long");
pub(crate) const TOO_MANY_ERRORS: Reply = Reply::new(421, "4.7.0", "too many commands were refused");
pub(crate) const TOO_MANY_COMMANDS: Reply = Reply::new(421, "4.7.0", "too many commands without a mail");
pub(crate) const TOO_MANY_CONNECTIONS: Reply = Reply::new(421, "4.7.0", "too many connections; try again later");
pub(crate) const TOO_MUCH: Reply = Reply::new(421, "4.3.4", "far more came than may");
pub(crate) const LATE: Reply = Reply::new(451, "4.3.0", "the mail was not handled in time; try again later");
pub(crate) const NO_ROOM: Reply = Reply::new(452, "4.3.1", "there is no room for the mail; try again later");
pub(crate) const TOO_MANY_RECIPIENTS: Reply = Reply::new(452, "4.5.3", "too many recipients");
pub(crate) const AUTH_UNAVAILABLE: Reply = Reply::new(454, "4.7.0", "the password could not be checked for now");
pub(crate) const COMMAND_TOO_LONG: Reply = Reply::new(500, "5.5.2", "the command is too long");
pub(crate) const UNKNOWN: Reply = Reply::new(500, "5.5.1", "there is no such command");
pub(crate) const SYNTAX: Reply = Reply::new(501, "5.5.4", "the command is not well-formed");
pub(crate) const NOT_BASE64: Reply = Reply::new(501, "5.5.2", "expected base64");
pub(crate) const AUTH_GIVEN_UP: Reply = Reply::new(501, "5.7.0", "given up");
pub(crate) const NOT_OFFERED: Reply = Reply::new(502, "5.5.1", "that is not offered");
pub(crate) const OUT_OF_ORDER: Reply = Reply::new(503, "5.5.1", "that is not the command for now");
pub(crate) const NO_RECIPIENT: Reply = Reply::new(554, "5.5.1", "no valid recipients");
pub(crate) const UNKNOWN_MECHANISM: Reply = Reply::new(504, "5.5.4", "expected `PLAIN` or `LOGIN`");
pub(crate) const BARE_LINE_END: Reply =
    Reply::new(521, "5.5.2", "a line must end by CR and LF, and hold neither alone");
pub(crate) const TLS_FIRST: Reply = Reply::new(530, "5.7.0", "expected `STARTTLS` first");
pub(crate) const LOG_IN_FIRST: Reply = Reply::new(530, "5.7.0", "expected `AUTH` first");
pub(crate) const WRONG_PASSWORD: Reply = Reply::new(535, "5.7.8", "the user name or the password is wrong");
pub(crate) const TLS_FOR_AUTH: Reply = Reply::new(538, "5.7.11", "expected `STARTTLS` before `AUTH`");
pub(crate) const NOT_HERE: Reply = Reply::new(550, "5.1.1", "no mail is taken for this recipient");
pub(crate) const TOO_LARGE: Reply = Reply::new(552, "5.3.4", "the mail is too large");
pub(crate) const BAD_ADDRESS: Reply = Reply::new(553, "5.1.3", "that is not an address");
pub(crate) const NEEDS_SMTPUTF8: Reply = Reply::new(553, "5.6.7", "such an address needs the parameter `SMTPUTF8`");
pub(crate) const NUL_BYTE: Reply = Reply::new(554, "5.6.0", "the mail holds a NUL byte");
pub(crate) const LINE_TOO_LONG: Reply = Reply::new(554, "5.6.0", "the mail has a line that is too long");
pub(crate) const UNKNOWN_PARAMETER: Reply = Reply::new(555, "5.5.4", "that parameter is not taken");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_flow_says_cannot_break_out_of_its_line() {
        let mut out = Vec::new();
        Reply::of(&Error::malformed("no `ü`\r\n250 ok")).write(&mut out);
        assert_eq!(out, b"554 5.6.0 no `?`??250 ok\r\n");
    }

    #[test]
    fn a_defect_here_does_not_lose_the_mail() {
        for (kind, code) in [
            (Kind::Internal, 451),
            (Kind::Timeout, 451),
            (Kind::Unavailable, 451),
            (Kind::Cancelled, 451),
            (Kind::Overloaded, 452),
            (Kind::RateExceeded, 452),
            (Kind::Malformed, 554),
            (Kind::Unprocessable, 554),
            (Kind::Forbidden, 554),
            (Kind::TooLarge, 552),
        ] {
            assert_eq!(Reply::of(&Error::new(kind, "x")).code, code, "{kind}");
        }
    }
}
