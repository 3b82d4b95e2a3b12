//! Cookies that nobody else can make: a value, until when it holds, and HMAC-SHA256 of both and of the cookie's name.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// How long a cookie may be, name and all: what browsers take at least.
pub(crate) const LONGEST: usize = 4096;

/// How short a key may be, in bytes: as long as what it makes.
const SHORTEST_KEY: usize = 32;

/// Signs with the first of several keys, and knows what any of them signed.
#[derive(Clone)]
pub(crate) struct Seal(Vec<Hmac<Sha256>>);

/// Why a sealed value is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    Forged,
    Expired,
}

impl Seal {
    /// Makes a seal of keys, or says in a sentence what is wrong with each.
    pub(crate) fn new(keys: &[String], problems: &mut Vec<String>) -> Self {
        let mut made = Vec::new();
        for (number, key) in (1..).zip(keys) {
            match Hmac::new_from_slice(key.as_bytes()) {
                Ok(hmac) if key.len() >= SHORTEST_KEY => made.push(hmac),
                _ => problems.push(format!("key {number} has {} bytes; expected {SHORTEST_KEY} at least", key.len())),
            }
        }
        Self(made)
    }

    /// Seals the value of the cookie `name`; without a time it holds as long as the key.
    pub(crate) fn seal(&self, name: &str, value: &str, until: Option<SystemTime>) -> String {
        let until = until.map_or(0, seconds);
        let mut sealed = format!("{}.{until}", URL_SAFE_NO_PAD.encode(value));
        if let Some(key) = self.0.first() {
            let tag = signed(key, name, &sealed).finalize().into_bytes();
            sealed.push('.');
            URL_SAFE_NO_PAD.encode_string(tag, &mut sealed);
        }
        sealed
    }

    /// Returns the value that was sealed. The comparison takes the same time whatever differs.
    pub(crate) fn open(&self, name: &str, sealed: &str, now: SystemTime) -> Result<String, Broken> {
        if sealed.len() > LONGEST {
            return Err(Broken::Forged);
        }
        let (body, tag) = sealed.rsplit_once('.').ok_or(Broken::Forged)?;
        let tag = URL_SAFE_NO_PAD.decode(tag).map_err(|_| Broken::Forged)?;
        if !self.0.iter().any(|key| signed(key, name, body).verify_slice(&tag).is_ok()) {
            return Err(Broken::Forged);
        }
        let (value, until) = body.split_once('.').ok_or(Broken::Forged)?;
        let until: u64 = until.parse().map_err(|_| Broken::Forged)?;
        if until != 0 && seconds(now) >= until {
            return Err(Broken::Expired);
        }
        let value = URL_SAFE_NO_PAD.decode(value).map_err(|_| Broken::Forged)?;
        String::from_utf8(value).map_err(|_| Broken::Forged)
    }
}

/// The name of a cookie has no `=`, so that no other name and body are signed alike.
fn signed(key: &Hmac<Sha256>, name: &str, body: &str) -> Hmac<Sha256> {
    key.clone().chain_update(name).chain_update("=").chain_update(body)
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

impl fmt::Debug for Seal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Seal").field("keys", &self.0.len()).finish_non_exhaustive()
    }
}

/// Says in a sentence what is wrong with the name of a cookie.
pub(crate) fn check_name(name: &str, problems: &mut Vec<String>) {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        problems.push(format!("`{name}` is no name of a cookie"));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sealed_by(keys: &[&str]) -> Seal {
        let mut problems = Vec::new();
        let seal = Seal::new(&keys.iter().map(|&key| key.to_owned()).collect::<Vec<_>>(), &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        seal
    }

    const OLD: &str = "an old key that is long enough: yes";
    const NEW: &str = "a new key that is as long as needed";

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn another_program_seals_alike() {
        // Computed by Python: hmac.new(OLD, b"session=YWRh.1000", sha256).
        let sealed = sealed_by(&[OLD]).seal("session", "ada", Some(at(1000)));
        assert_eq!(sealed, "YWRh.1000.ntFRmyNM6GOONEkwCVWq--Lelct9EHauXfhxOIdtQFQ");
    }

    #[test]
    fn a_value_holds_until_its_time() {
        let seal = sealed_by(&[OLD]);
        let sealed = seal.seal("session", "ada", Some(at(1000)));
        assert_eq!(seal.open("session", &sealed, at(999)).as_deref(), Ok("ada"));
        assert_eq!(seal.open("session", &sealed, at(1000)), Err(Broken::Expired));
        let for_ever = seal.seal("session", "ada", None);
        assert_eq!(seal.open("session", &for_ever, at(u64::from(u32::MAX))).as_deref(), Ok("ada"));
    }

    #[test]
    fn keys_can_be_changed_while_cookies_live() {
        let old = sealed_by(&[OLD]).seal("session", "ada", None);
        let both = sealed_by(&[NEW, OLD]);
        assert_eq!(both.open("session", &old, at(0)).as_deref(), Ok("ada"));
        let new = both.seal("session", "ada", None);
        assert_eq!(sealed_by(&[NEW]).open("session", &new, at(0)).as_deref(), Ok("ada"));
        assert_eq!(sealed_by(&[NEW]).open("session", &old, at(0)), Err(Broken::Forged));
    }

    #[test]
    fn a_value_belongs_to_one_cookie() {
        let seal = sealed_by(&[OLD]);
        let sealed = seal.seal("colour", "admin", None);
        assert_eq!(seal.open("role", &sealed, at(0)), Err(Broken::Forged));
    }

    #[test]
    fn a_short_key_is_refused_without_being_shown() {
        let mut problems = Vec::new();
        Seal::new(&["secret".to_owned()], &mut problems);
        assert_eq!(problems, ["key 1 has 6 bytes; expected 32 at least"]);
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_and_what_is_changed_does_not(value in ".{0,40}", at_byte in any::<prop::sample::Index>(), to in any::<u8>()) {
            let seal = sealed_by(&[OLD]);
            let sealed = seal.seal("session", &value, Some(at(5)));
            prop_assert_eq!(seal.open("session", &sealed, at(1)), Ok(value));
            let mut bytes = sealed.clone().into_bytes();
            let at_byte = at_byte.index(bytes.len());
            bytes[at_byte] = to;
            let changed = String::from_utf8_lossy(&bytes).into_owned();
            prop_assume!(changed != sealed);
            prop_assert_eq!(seal.open("session", &changed, at(1)), Err(Broken::Forged));
        }

        #[test]
        fn any_text_is_refused_without_a_panic(text in ".{0,60}") {
            prop_assert_eq!(sealed_by(&[OLD]).open("session", &text, at(1)), Err(Broken::Forged));
        }
    }
}
