//! Reads the `Authorization` header.

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use playhouse_engine::{Error, Result};

/// Longer credentials are refused unread; no password needs as much.
const LONGEST: usize = 4096;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A name and a password that nobody has checked.
#[derive(PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(super) struct Credentials {
    pub(super) user: String,
    pub(super) password: String,
}

/// Returns the encoded credentials of a header that uses the scheme `Basic`.
pub(super) fn token(header: Option<&str>) -> Result<&str> {
    let Some(header) = header else {
        return Err(Error::unauthorized("expected a user name and a password, found no `Authorization` header"));
    };
    match header.trim().split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("basic") && token.len() <= LONGEST => {
            Ok(token.trim_start())
        }
        _ => Err(malformed()),
    }
}

/// Encodes a name and a password as a header would hold them.
#[cfg(feature = "smtp-in")]
pub(super) fn encode(user: &str, password: &str) -> Result<String> {
    // With a `:` the name would be another one, and the rest of it a part of the password.
    if user.contains(':') || user.len() + password.len() > LONGEST / 2 {
        return Err(Error::unauthorized("the user name or the password is wrong"));
    }
    Ok(BASE64.encode(format!("{user}:{password}")))
}

impl Credentials {
    /// Decodes what [`token`] returned.
    pub(super) fn decode(token: &str) -> Result<Self> {
        let decoded = BASE64.decode(token).map_err(|_| malformed())?;
        let decoded = String::from_utf8(decoded).map_err(|_| malformed())?;
        // RFC 7617 allows control characters in neither, and a `:` in the password only.
        match decoded.split_once(':') {
            Some((user, password)) if !decoded.contains(|character: char| character.is_control()) => {
                Ok(Self { user: user.to_owned(), password: password.to_owned() })
            }
            _ => Err(malformed()),
        }
    }
}

/// Says nothing of what was found: it may hold a password.
fn malformed() -> Error {
    Error::unauthorized("the `Authorization` header is not `Basic` and the base64 of `name:password` in UTF-8")
}

#[cfg(test)]
mod tests {
    use playhouse_engine::Kind;

    use super::*;

    fn read(header: &str) -> Result<Credentials> {
        Credentials::decode(token(Some(header))?)
    }

    fn credentials(user: &str, password: &str) -> Credentials {
        Credentials { user: user.to_owned(), password: password.to_owned() }
    }

    #[test]
    fn the_example_of_the_standard_is_read() {
        let aladdin = credentials("Aladdin", "open sesame");
        for header in [
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            "bAsIc QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            "Basic   QWxhZGRpbjpvcGVuIHNlc2FtZQ== ",
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ",
        ] {
            assert_eq!(read(header).unwrap(), aladdin, "{header}");
        }
        // RFC 7617, section 2.1: `test` and `123£` in UTF-8.
        assert_eq!(read("Basic dGVzdDoxMjPCow==").unwrap(), credentials("test", "123£"));
    }

    #[test]
    fn a_password_may_hold_colons_or_be_empty() {
        let encoded = |text: &str| format!("Basic {}", BASE64.encode(text));
        assert_eq!(read(&encoded("ada:a:b:")).unwrap(), credentials("ada", "a:b:"));
        assert_eq!(read(&encoded("ada:")).unwrap(), credentials("ada", ""));
    }

    #[test]
    fn a_malformed_header_is_unauthorized() {
        let latin_1 = BASE64.encode(b"test:123\xa3");
        let control = BASE64.encode("ada\n:x");
        let long = format!("Basic {}", "QUJD".repeat(2000));
        for header in [
            "",
            "Basic",
            "Basic ",
            "Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            "QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            "Basic QWxhZGRpbjpvcG VuIHNlc2FtZQ==",
            "Basic Q!==",
            "Basic bm8gY29sb24=",
            &format!("Basic {latin_1}"),
            &format!("Basic {control}"),
            &long,
        ] {
            let error = read(header).unwrap_err();
            assert_eq!(error.kind(), Kind::Unauthorized, "{header}");
            assert!(error.message().starts_with("the `Authorization` header is not `Basic` and"), "{header}");
        }
        assert_eq!(token(None).unwrap_err().kind(), Kind::Unauthorized);
    }
}
