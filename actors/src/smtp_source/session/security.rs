//! How a session gets TLS and a user.

use playhouse_engine::{Kind, Result, Text};
use smtp_proto::{AUTH_LOGIN, AUTH_PLAIN};

use super::super::login::{Answered, Login};
use super::{Phase, Session, Step, reply};

impl Session {
    pub(super) fn start_tls(&mut self) -> Option<Step> {
        if !self.rules.offers_tls {
            self.refuse(&reply::NOT_OFFERED);
        } else if self.tls || self.helo.is_none() {
            self.refuse(&reply::OUT_OF_ORDER);
        } else {
            self.say(&reply::GO_AHEAD_WITH_TLS);
            self.phase = Phase::Outside;
            return Some(Step::StartTls);
        }
        None
    }

    /// Begins anew, over TLS. What came before the handshake is forgotten: it may be somebody else's (CVE-2011-0411).
    #[cfg(any(feature = "tls", test))]
    pub(crate) fn secured(&mut self) {
        self.input.clear();
        self.tls = true;
        self.helo = None;
        self.forget();
        self.phase = Phase::Command;
    }

    pub(super) fn auth(&mut self, mechanism: u64, initial: &str) -> Option<Step> {
        if !self.rules.has_users {
            self.refuse(&reply::NOT_OFFERED);
        } else if !self.tls {
            self.refuse(&reply::TLS_FOR_AUTH);
        } else if self.helo.is_none() || self.user.is_some() || self.from.is_some() {
            self.refuse(&reply::OUT_OF_ORDER);
        } else {
            self.phase = Phase::Login(match mechanism {
                AUTH_PLAIN => Login::Plain,
                AUTH_LOGIN => Login::User,
                _ => {
                    self.refuse(&reply::UNKNOWN_MECHANISM);
                    return None;
                }
            });
            match initial.trim() {
                "" => self.ask(),
                initial => return self.go_on_with_login(initial.as_bytes()),
            }
        }
        None
    }

    fn ask(&mut self) {
        if let Phase::Login(login) = &self.phase {
            self.output.extend_from_slice(login.question());
        }
    }

    pub(super) fn go_on_with_login(&mut self, line: &[u8]) -> Option<Step> {
        let Phase::Login(login) = std::mem::replace(&mut self.phase, Phase::Command) else { return None };
        match login.answered(line) {
            Ok(Answered::Done { user, password }) => {
                self.phase = Phase::Outside;
                return Some(Step::Check { user, password });
            }
            Ok(Answered::Next(next)) => {
                self.phase = Phase::Login(next);
                self.ask();
            }
            Err(refusal) => self.refuse(&refusal),
        }
        None
    }

    /// Tells the client whether its password is right.
    pub(crate) fn checked(&mut self, outcome: Result<Text>) {
        self.phase = Phase::Command;
        match outcome {
            Ok(user) => {
                self.user = Some(user);
                self.say(&reply::LOGGED_IN);
            }
            Err(error) => self.refuse(&match error.kind() {
                Kind::Unauthorized | Kind::Forbidden | Kind::Malformed => reply::WRONG_PASSWORD,
                _ => reply::AUTH_UNAVAILABLE,
            }),
        }
    }
}
