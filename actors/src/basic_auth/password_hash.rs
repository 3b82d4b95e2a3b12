//! The hash of one password: argon2id or bcrypt. Any other is refused, with what to do instead.

use std::fmt;

use argon2::password_hash::phc;
use argon2::{Argon2, Params, PasswordHasher, PasswordVerifier};
use playhouse_engine::{Error, Result};

/// What checks may cost at most, so that a slip of the pen in a file does not stop the service: 1 GiB and 64 passes over
/// it, and a bcrypt cost of 16, which is about 4 s.
const MOST_MEMORY: u32 = 1 << 20;
const MOST_PASSES: u32 = 64;
const BCRYPT_COSTS: std::ops::RangeInclusive<u32> = 4..=16;

const REMEDY: &str = "make the line anew with `htpasswd -B -C 12`";

/// The hash of a password, by a function that is slow on purpose.
pub(super) enum PasswordHash {
    Argon2id(Box<phc::PasswordHash>),
    Bcrypt(String),
}

impl PasswordHash {
    /// Hashes a password, by argon2id with the parameters that OWASP recommends and a salt of its own.
    pub(super) fn of(password: &str) -> Result<Self> {
        match Argon2::default().hash_password(password.as_bytes()) {
            Ok(hash) => Ok(Self::Argon2id(Box::new(hash))),
            Err(error) => Err(Error::internal("a password cannot be hashed").caused_by(error)),
        }
    }

    /// Reads a hash, or says in a sentence why it is refused. The sentence never holds what was found: it may be a
    /// password.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with("$argon2id$") {
            return parse_argon2id(text);
        }
        if ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| text.starts_with(prefix)) {
            return match text.parse::<bcrypt::HashParts>() {
                Ok(parts) if BCRYPT_COSTS.contains(&parts.get_cost()) => Ok(Self::Bcrypt(text.to_owned())),
                Ok(parts) => Err(format!("a bcrypt cost of {} is not within 4 to 16; {REMEDY}", parts.get_cost())),
                Err(_) => Err(format!("this is not a whole bcrypt hash; {REMEDY}")),
            };
        }
        Err(refusal(text))
    }

    /// Says whether `password` is the one that was hashed, in a time that does not depend on how much of it is right.
    pub(super) fn verify(&self, password: &str) -> bool {
        match self {
            Self::Argon2id(hash) => Argon2::default().verify_password(password.as_bytes(), hash.as_ref()).is_ok(),
            Self::Bcrypt(hash) => bcrypt::verify(password, hash).unwrap_or(false),
        }
    }
}

impl fmt::Display for PasswordHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argon2id(hash) => fmt::Display::fmt(hash, formatter),
            Self::Bcrypt(hash) => formatter.write_str(hash),
        }
    }
}

fn parse_argon2id(text: &str) -> Result<PasswordHash, String> {
    let broken = || format!("this is not a whole argon2id hash; {REMEDY}");
    let hash = phc::PasswordHash::new(text).map_err(|_| broken())?;
    let parameters = Params::try_from(&hash).map_err(|_| broken())?;
    if hash.salt.is_none() || hash.hash.is_none() {
        return Err(format!("this argon2id hash lacks its salt or its digest; {REMEDY}"));
    }
    if parameters.m_cost() > MOST_MEMORY || parameters.t_cost() > MOST_PASSES {
        return Err(format!("this argon2id hash costs more than 1 GiB and {MOST_PASSES} passes; {REMEDY}"));
    }
    Ok(PasswordHash::Argon2id(Box::new(hash)))
}

/// Says why a hash that is neither argon2id nor bcrypt is refused.
fn refusal(text: &str) -> String {
    const WEAK: [(&str, &str); 7] = [
        ("$apr1$", "an MD5 hash (apr1) is weak"),
        ("$1$", "an MD5 hash is weak"),
        ("{SHA}", "a SHA-1 hash is weak"),
        ("{SSHA}", "a SHA-1 hash is weak"),
        ("$2x$", "a bcrypt hash by the faulty version 2x is weak"),
        ("$argon2i$", "argon2i is weaker than argon2id"),
        ("$argon2d$", "argon2d is weaker than argon2id"),
    ];
    const OTHER: [(&str, &str); 5] = [
        ("$5$", "a SHA-256 crypt hash"),
        ("$6$", "a SHA-512 crypt hash"),
        ("$7$", "an scrypt hash"),
        ("$y$", "a yescrypt hash"),
        ("$pbkdf2", "a PBKDF2 hash"),
    ];
    if let Some((_, reason)) = WEAK.iter().find(|(prefix, _)| text.starts_with(prefix)) {
        return format!("{reason}; {REMEDY}");
    }
    if let Some((_, name)) = OTHER.iter().find(|(prefix, _)| text.starts_with(prefix)) {
        return format!("{name} is not taken, only argon2id and bcrypt are; {REMEDY}");
    }
    let is_crypt_character = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'/';
    if text.len() == 13 && text.bytes().all(is_crypt_character) {
        return format!("a crypt hash, or a password in plain text, is weak; {REMEDY}");
    }
    if text.starts_with('$') || text.starts_with('{') {
        return format!("this kind of hash is not known, only argon2id and bcrypt are; {REMEDY}");
    }
    format!("a password in plain text is not taken; {REMEDY}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn parsed(text: &str) -> PasswordHash {
        PasswordHash::parse(text).unwrap_or_else(|problem| panic!("{problem}"))
    }

    #[test]
    fn hashes_of_other_tools_are_verified() {
        for (hash, password) in [
            // htpasswd -nbB, and the three ways to write the version.
            ("$2y$05$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe", "password"),
            ("$2a$05$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe", "password"),
            ("$2b$05$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe", "password"),
            // The reference program: echo -n password | argon2 somesalt -id -t 2 -m 16 -p 1 -e -l 32
            ("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "password"),
        ] {
            assert!(parsed(hash).verify(password), "{hash}");
            assert!(!parsed(hash).verify("Password"), "{hash}");
        }
    }

    #[test]
    fn a_hash_is_read_back_from_its_text() {
        let hash = PasswordHash::of("lovelace").unwrap().to_string();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(parsed(&hash).verify("lovelace") && !parsed(&hash).verify("lovelac"));
    }

    #[test]
    fn a_weak_or_unknown_hash_is_refused_with_what_to_do() {
        for (hash, problem) in [
            ("$apr1$x$y", "an MD5 hash (apr1) is weak"),
            ("$1$x$y", "an MD5 hash is weak"),
            ("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "a SHA-1 hash is weak"),
            ("$5$x$y", "a SHA-256 crypt hash is not taken, only argon2id and bcrypt are"),
            ("$6$x$y", "a SHA-512 crypt hash is not taken, only argon2id and bcrypt are"),
            ("rqXexS6ZhobKA", "a crypt hash, or a password in plain text, is weak"),
            ("hunter2", "a password in plain text is not taken"),
            ("$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$x", "argon2i is weaker than argon2id"),
            ("$2y$05$short", "this is not a whole bcrypt hash"),
            (
                "$2y$31$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe",
                "a bcrypt cost of 31 is not within 4 to 16",
            ),
            ("$argon2id$v=19$m=65536", "this argon2id hash lacks its salt or its digest"),
            ("$argon2id$v=19$m=1,t=x$c29tZXNhbHQ", "this is not a whole argon2id hash"),
            (
                "$argon2id$v=19$m=4294967295,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
                "this argon2id hash costs more than 1 GiB and 64 passes",
            ),
            ("$unknown$x", "this kind of hash is not known, only argon2id and bcrypt are"),
        ] {
            let found = PasswordHash::parse(hash).err();
            assert_eq!(found, Some(format!("{problem}; make the line anew with `htpasswd -B -C 12`")), "{hash}");
        }
    }
}
