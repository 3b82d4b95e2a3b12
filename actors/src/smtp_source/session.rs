//! One client's session as a state machine without I/O: it takes bytes, and says what is to be sent and done.

mod security;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;

use bytes::BytesMut;
use memchr::memchr;
use playhouse_engine::Text;
use smtp_proto::{Error as Fault, MAIL_BODY_7BIT, MAIL_BODY_8BITMIME, MAIL_SMTPUTF8, MailFrom, RcptTo, Request};

use super::accepts::Accepts;
use super::command::{address_fault, has_huge_size, is_auth, is_for_postmaster};
use super::data::{Data, DataLimits, Fed};
use super::login::Login;
use super::memory::{Memory, Share};
use super::reply::{self, Reply};
use super::settings::SmtpSourceSettings;

/// How many times as many recipients as a mail may have a client may name for it.
const MOST_SURPLUS: usize = 10;

/// What all sessions of a source share.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) settings: SmtpSourceSettings,
    pub(crate) accepts: Accepts,
    pub(crate) offers_tls: bool,
    pub(crate) has_users: bool,
    pub(crate) memory: Arc<Memory>,
}

/// What is to be done before the session goes on.
#[derive(Debug)]
pub(crate) enum Step {
    /// Send what is to be sent, and give more input.
    More,
    /// Send what is to be sent, shake hands, and say [`Session::secured`].
    StartTls,
    /// Check a password, and say [`Session::checked`].
    Check { user: String, password: String },
    /// A mail is about to come: say [`Session::begin`].
    Begin,
    /// A mail has come: say [`Session::taken`].
    Mail(Mail),
    /// Send what is to be sent, and close.
    Close,
}

/// A mail with its envelope.
#[derive(Debug)]
pub(crate) struct Mail {
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) helo: String,
    pub(crate) user: Option<Text>,
    pub(crate) tls: bool,
    pub(crate) bytes: Vec<u8>,
    /// Held until the mail is answered for.
    pub(crate) share: Share,
}

#[derive(Debug)]
enum Phase {
    Command,
    /// `AUTH` waits for its next line.
    Login(Login),
    Data(Box<Data>),
    /// Something is done outside.
    Outside,
    Closed,
}

/// One client's session.
#[derive(Debug)]
pub(crate) struct Session {
    rules: Arc<Rules>,
    phase: Phase,
    pub(crate) input: BytesMut,
    pub(crate) output: Vec<u8>,
    helo: Option<String>,
    user: Option<Text>,
    tls: bool,
    /// The sender of the mail that has begun, and whether `SMTPUTF8` was said.
    from: Option<(String, bool)>,
    to: Vec<String>,
    /// How many recipients were refused because there were too many.
    surplus: usize,
    errors: u32,
    idle_commands: u32,
}

impl Session {
    /// Begins a session, with a greeting.
    pub(crate) fn new(rules: Arc<Rules>) -> Self {
        let output = format!("220 {} ESMTP\r\n", rules.settings.hostname).into_bytes();
        Self {
            rules,
            phase: Phase::Command,
            input: BytesMut::new(),
            output,
            helo: None,
            user: None,
            tls: false,
            from: None,
            to: Vec::new(),
            surplus: 0,
            errors: 0,
            idle_commands: 0,
        }
    }

    /// Says whether a mail is coming in.
    pub(crate) fn in_data(&self) -> bool {
        matches!(self.phase, Phase::Data(_))
    }

    /// Goes on with what has come, until something is to be done.
    pub(crate) fn step(&mut self) -> Step {
        loop {
            match &mut self.phase {
                Phase::Closed => return Step::Close,
                Phase::Outside => return Step::More,
                Phase::Data(data) => match data.feed(&mut self.input) {
                    Fed::More => return Step::More,
                    Fed::BareLineEnd => self.close(&reply::BARE_LINE_END),
                    Fed::Flood => self.close(&reply::TOO_MUCH),
                    Fed::End => {
                        if let Some(mail) = self.end_of_mail() {
                            return Step::Mail(mail);
                        }
                    }
                },
                Phase::Command | Phase::Login(_) => {
                    let Some(line) = self.line() else {
                        return if matches!(self.phase, Phase::Closed) { Step::Close } else { Step::More };
                    };
                    if let Some(step) = self.take_line(&line) {
                        return step;
                    }
                }
            }
        }
    }

    /// Takes one line off the input, with its end.
    fn line(&mut self) -> Option<BytesMut> {
        let limit = self.rules.settings.command_size;
        let end = match memchr(b'\n', &self.input) {
            Some(end) if end < limit => end,
            None if self.input.len() < limit => return None,
            _ => {
                // What follows cannot be told from the rest of it.
                self.close(&reply::COMMAND_TOO_LONG);
                return None;
            }
        };
        let line = self.input.split_to(end + 1);
        if !line.ends_with(b"\r\n") || memchr(b'\r', &line) != Some(line.len() - 2) {
            self.close(&reply::BARE_LINE_END);
            return None;
        }
        Some(line)
    }

    fn take_line(&mut self, line: &[u8]) -> Option<Step> {
        if let Phase::Login(_) = self.phase {
            return self.go_on_with_login(line.trim_ascii());
        }
        if memchr(0, line).is_some() || std::str::from_utf8(line).is_err() {
            self.refuse(&reply::SYNTAX);
            return None;
        }
        let request = match Request::parse(&mut line.iter()) {
            Ok(request) => request,
            Err(fault) => {
                self.refuse(&match fault {
                    Fault::UnknownCommand => reply::UNKNOWN,
                    Fault::InvalidSenderAddress | Fault::InvalidRecipientAddress => reply::BAD_ADDRESS,
                    Fault::UnsupportedParameter { .. } => reply::UNKNOWN_PARAMETER,
                    // Only `AUTH` names a mechanism, and one that is unknown is no mechanism to the parser.
                    Fault::SyntaxError { .. } if is_auth(line) => reply::UNKNOWN_MECHANISM,
                    _ => reply::SYNTAX,
                });
                return None;
            }
        };
        if !matches!(request, Request::Rcpt { .. } | Request::Data | Request::Quit) {
            self.idle_commands += 1;
            if self.idle_commands > self.rules.settings.idle_commands {
                self.close(&reply::TOO_MANY_COMMANDS);
                return None;
            }
        }
        match request {
            Request::Ehlo { host } => self.hello(&host, true),
            Request::Helo { host } => self.hello(&host, false),
            Request::Mail { from } if has_huge_size(line) => {
                self.mail(MailFrom { size: usize::MAX, ..from });
            }
            Request::Mail { from } => self.mail(from),
            Request::Rcpt { mut to } => {
                // The parser takes it for nobody, as it does `<>`.
                if to.address.is_empty() && is_for_postmaster(line) {
                    to.address = "postmaster".into();
                }
                self.recipient(to);
            }
            Request::Data => return self.data(),
            Request::Rset => {
                self.forget();
                self.say(&reply::OK);
            }
            Request::Noop { .. } => self.say(&reply::OK),
            Request::Vrfy { .. } => self.say(&reply::CANNOT_VERIFY),
            Request::Quit => self.close(&reply::BYE),
            Request::StartTls => return self.start_tls(),
            Request::Auth { mechanism, initial_response } => return self.auth(mechanism, &initial_response),
            _ => self.refuse(&reply::NOT_OFFERED),
        }
        None
    }

    fn hello(&mut self, host: &str, is_extended: bool) {
        // What a client calls itself ends up in attributes and logs.
        let host = host.trim();
        if host.is_empty() || host.len() > 255 || host.contains(|letter: char| letter.is_control()) {
            return self.refuse(&reply::SYNTAX);
        }
        self.forget();
        self.helo = Some(host.to_owned());
        let settings = &self.rules.settings;
        let mut lines = vec![Cow::Borrowed(settings.hostname.as_str())];
        if is_extended {
            lines.push(format!("SIZE {}", settings.size).into());
            lines.extend(["8BITMIME", "SMTPUTF8", "PIPELINING", "ENHANCEDSTATUSCODES"].map(Cow::Borrowed));
            if self.rules.offers_tls && !self.tls {
                lines.push("STARTTLS".into());
            }
            if self.rules.has_users && self.tls {
                lines.push("AUTH PLAIN LOGIN".into());
            }
        }
        let last = lines.len() - 1;
        for (number, line) in lines.iter().enumerate() {
            let mark = if number == last { ' ' } else { '-' };
            self.output.extend_from_slice(format!("250{mark}{line}\r\n").as_bytes());
        }
    }

    fn mail(&mut self, from: MailFrom<Cow<'_, str>>) {
        const TAKEN: u64 = MAIL_BODY_7BIT | MAIL_BODY_8BITMIME | MAIL_SMTPUTF8;
        let settings = &self.rules.settings;
        let has_utf8 = from.flags & MAIL_SMTPUTF8 != 0;
        let refusal = if self.helo.is_none() || self.from.is_some() {
            reply::OUT_OF_ORDER
        } else if settings.require_tls && !self.tls {
            reply::TLS_FIRST
        } else if self.rules.has_users && settings.require_user && self.user.is_none() {
            if self.tls { reply::LOG_IN_FIRST } else { reply::TLS_FIRST }
        } else if from.flags & !TAKEN != 0 {
            reply::UNKNOWN_PARAMETER
        } else if from.size > settings.size {
            reply::TOO_LARGE
        } else if let Some(refusal) = address_fault(&from.address, has_utf8, true) {
            refusal
        } else {
            self.from = Some((from.address.into_owned(), has_utf8));
            return self.say(&reply::SENDER_OK);
        };
        self.refuse(&refusal);
    }

    fn recipient(&mut self, to: RcptTo<Cow<'_, str>>) {
        let refusal = match &self.from {
            None => reply::OUT_OF_ORDER,
            Some((_, has_utf8)) => match address_fault(&to.address, *has_utf8, false) {
                Some(refusal) => refusal,
                None if to.flags != 0 || to.orcpt.is_some() => reply::UNKNOWN_PARAMETER,
                None if !self.rules.accepts.takes(&to.address) => reply::NOT_HERE,
                None if self.to.len() >= self.rules.settings.recipients => return self.one_too_many(),
                None => {
                    self.to.push(to.address.into_owned());
                    return self.say(&reply::RECIPIENT_OK);
                }
            },
        };
        self.refuse(&refusal);
    }

    /// Refuses a recipient for whom there is no room, which is no fault of the client: RFC 5321 has it send the mail to those who
    /// were taken, and then to the others.
    fn one_too_many(&mut self) {
        self.surplus += 1;
        if self.surplus > self.rules.settings.recipients.saturating_mul(MOST_SURPLUS) {
            return self.close(&reply::TOO_MANY_ERRORS);
        }
        self.say(&reply::TOO_MANY_RECIPIENTS);
    }

    fn data(&mut self) -> Option<Step> {
        if self.from.is_none() {
            self.refuse(&reply::OUT_OF_ORDER);
        } else if self.to.is_empty() {
            self.refuse(&reply::NO_RECIPIENT);
        } else {
            self.phase = Phase::Outside;
            return Some(Step::Begin);
        }
        None
    }

    /// Asks for the mail that is about to come, or ends the session.
    pub(crate) fn begin(&mut self, refusal: Option<Reply>) {
        match refusal {
            None => {
                let SmtpSourceSettings { size, line_size, .. } = self.rules.settings;
                let share = Share::new(self.rules.memory.clone());
                self.phase = Phase::Data(Box::new(Data::new(DataLimits { size, line_size }, share)));
                self.output.extend_from_slice(b"354 end the mail by a line with a dot alone\r\n");
            }
            Some(refusal) => self.close(&refusal),
        }
    }

    /// Returns the mail that has ended, unless it is refused.
    fn end_of_mail(&mut self) -> Option<Mail> {
        let Phase::Data(data) = std::mem::replace(&mut self.phase, Phase::Command) else { return None };
        let (from, to) = (self.from.take(), std::mem::take(&mut self.to));
        self.forget();
        let (Some((from, _)), Some(helo)) = (from, self.helo.clone()) else { return None };
        match data.finish() {
            Ok((bytes, share)) => {
                self.phase = Phase::Outside;
                Some(Mail { from, to, helo, user: self.user.clone(), tls: self.tls, bytes, share })
            }
            Err(refusal) => {
                self.refuse(&refusal);
                None
            }
        }
    }

    /// Tells the client what became of its mail.
    pub(crate) fn taken(&mut self, reply: &Reply) {
        self.phase = Phase::Command;
        if !reply.is_refusal() {
            self.idle_commands = 0;
        }
        self.say(reply);
    }

    /// Ends the session with a last word.
    pub(crate) fn close(&mut self, reply: &Reply) {
        self.say(reply);
        self.phase = Phase::Closed;
        self.forget();
    }

    fn say(&mut self, reply: &Reply) {
        reply.write(&mut self.output);
    }

    /// Says no, and ends the session where that was said too often.
    fn refuse(&mut self, reply: &Reply) {
        self.say(reply);
        self.errors += 1;
        if self.errors > self.rules.settings.errors {
            self.close(&reply::TOO_MANY_ERRORS);
        }
    }

    /// Forgets the mail that has begun.
    fn forget(&mut self) {
        self.from = None;
        self.to.clear();
        self.surplus = 0;
    }
}
