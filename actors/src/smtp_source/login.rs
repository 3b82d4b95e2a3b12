//! What is said back and forth for a password: the mechanisms `PLAIN` and `LOGIN`.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::reply::{AUTH_GIVEN_UP, NOT_BASE64, Reply, SYNTAX};

/// What is asked for next.
#[derive(Debug)]
pub(crate) enum Login {
    /// Name and password in one.
    Plain,
    User,
    Password {
        user: String,
    },
}

/// What an answer led to.
pub(crate) enum Answered {
    Next(Login),
    Done { user: String, password: String },
}

impl Login {
    /// Returns the line that asks.
    pub(crate) fn question(&self) -> &'static [u8] {
        match self {
            Self::Plain => b"334 \r\n",
            // `Username:` and `Password:`, which clients expect word for word.
            Self::User => b"334 VXNlcm5hbWU6\r\n",
            Self::Password { .. } => b"334 UGFzc3dvcmQ6\r\n",
        }
    }

    /// Takes the answer.
    ///
    /// # Errors
    /// The reply that refuses it.
    pub(crate) fn answered(self, line: &[u8]) -> Result<Answered, Reply> {
        if line == b"*" {
            return Err(AUTH_GIVEN_UP);
        }
        // A lone `=` stands for nothing, where nothing at all would stand for no answer.
        let line = if line == b"=" { b"" } else { line };
        let decoded = STANDARD.decode(line).map_err(|_| NOT_BASE64)?;
        let text = String::from_utf8(decoded).map_err(|_| SYNTAX)?;
        match self {
            Self::User => Ok(Answered::Next(Self::Password { user: text })),
            Self::Password { user } => Ok(Answered::Done { user, password: text }),
            Self::Plain => {
                let mut parts = text.split('\0');
                match (parts.next(), parts.next(), parts.next(), parts.next()) {
                    // Nobody acts for somebody else here.
                    (Some(other), Some(user), Some(password), None) if other.is_empty() || other == user => {
                        Ok(Answered::Done { user: user.to_owned(), password: password.to_owned() })
                    }
                    _ => Err(SYNTAX),
                }
            }
        }
    }
}

/// Never shows a password.
impl fmt::Debug for Answered {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Next(login) => formatter.debug_tuple("Next").field(login).finish(),
            Self::Done { user, .. } => formatter.debug_struct("Done").field("user", user).finish_non_exhaustive(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Result<(String, String), Reply> {
        match Login::Plain.answered(STANDARD.encode(text).as_bytes())? {
            Answered::Done { user, password } => Ok((user, password)),
            Answered::Next(_) => panic!("one answer is all"),
        }
    }

    #[test]
    fn one_acts_for_oneself_only() {
        let ada = || ("ada".to_owned(), "secret".to_owned());
        assert_eq!(plain("\0ada\0secret"), Ok(ada()));
        assert_eq!(plain("ada\0ada\0secret"), Ok(ada()));
        for text in ["bob\0ada\0secret", "ada\0secret", "ada", "\0ada\0secret\0"] {
            assert_eq!(plain(text), Err(SYNTAX), "{text:?}");
        }
    }

    #[test]
    fn a_client_may_give_up() {
        assert_eq!(Login::User.answered(b"*").unwrap_err(), AUTH_GIVEN_UP);
        assert_eq!(Login::User.answered(b"?").unwrap_err(), NOT_BASE64);
    }
}
