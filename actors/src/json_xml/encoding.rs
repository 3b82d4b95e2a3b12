//! Bytes of an XML document as text, in the encodings that every processor of XML has.

use std::borrow::Cow;

use playhouse_engine::Kind;

use super::attributes::Attributes;
use super::fault::Fault;
use super::names::shown;

const UTF_8_MARK: &[u8] = b"\xef\xbb\xbf";

/// Returns the document's text: by its byte order mark, else by the encoding that it declares, else as UTF-8.
pub(super) fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, Fault> {
    match bytes {
        [0xfe, 0xff, rest @ ..] => utf_16(rest, u16::from_be_bytes),
        [0xff, 0xfe, rest @ ..] => utf_16(rest, u16::from_le_bytes),
        _ if bytes.starts_with(UTF_8_MARK) => utf_8(&bytes[UTF_8_MARK.len()..]),
        _ => match declared(bytes) {
            None => utf_8(bytes),
            Some(name) => by_name(name, bytes),
        },
    }
}

fn by_name<'x>(name: &str, bytes: &'x [u8]) -> Result<Cow<'x, str>, Fault> {
    let is = |names: &[&str]| names.iter().any(|known| name.eq_ignore_ascii_case(known));
    if is(&["utf-8", "utf8"]) {
        utf_8(bytes)
    } else if is(&["us-ascii", "ascii"]) {
        if bytes.is_ascii() { utf_8(bytes) } else { Err(Fault::malformed("the document is not US-ASCII, as it says")) }
    } else if is(&["iso-8859-1", "latin-1", "latin1"]) {
        Ok(bytes.iter().map(|byte| char::from(*byte)).collect())
    } else {
        let message = format!(
            "the encoding `{}` is not supported; expected UTF-8, UTF-16 with a byte order mark, ISO-8859-1 or US-ASCII",
            shown(name)
        );
        Err(Fault::new(Kind::Unsupported, message))
    }
}

/// Returns the encoding that the document declares.
fn declared(bytes: &[u8]) -> Option<&str> {
    let rest = bytes.strip_prefix(b"<?xml")?;
    let end = memchr::memchr(b'>', rest)?;
    let declaration = std::str::from_utf8(&rest[..end]).ok()?.strip_suffix('?')?;
    Attributes(declaration).map_while(Result::ok).find(|(name, _)| *name == "encoding").and_then(|(_, value)| {
        match value {
            Cow::Borrowed(name) => Some(name),
            Cow::Owned(_) => None,
        }
    })
}

fn utf_8(bytes: &[u8]) -> Result<Cow<'_, str>, Fault> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Cow::Borrowed(text)),
        Err(error) => Err(Fault::malformed(format!("the document is not UTF-8 at byte {}", error.valid_up_to()))),
    }
}

fn utf_16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Cow<'static, str>, Fault> {
    let (units, rest) = bytes.as_chunks();
    let text: Result<String, _> = char::decode_utf16(units.iter().copied().map(unit)).collect();
    match text {
        Ok(text) if rest.is_empty() => Ok(Cow::Owned(text)),
        _ => Err(Fault::malformed("the document is not UTF-16, as its byte order mark says")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn decoded(bytes: &[u8]) -> String {
        decode(bytes).unwrap().into_owned()
    }

    #[test]
    fn the_mark_or_the_declaration_tells_the_encoding() {
        assert_eq!(decoded("<a>é</a>".as_bytes()), "<a>é</a>");
        assert_eq!(decoded(b"\xef\xbb\xbf<a/>"), "<a/>");
        let units = |to: fn(u16) -> [u8; 2]| "\u{feff}<a>é😀</a>".encode_utf16().flat_map(to).collect::<Vec<_>>();
        assert_eq!(decoded(&units(u16::to_le_bytes)), "<a>é😀</a>");
        assert_eq!(decoded(&units(u16::to_be_bytes)), "<a>é😀</a>");
        let latin = b"<?xml version=\"1.0\" encoding='ISO-8859-1' ?><a>\xe9</a>";
        assert!(decoded(latin).ends_with("<a>é</a>"));
        assert!(decoded(b"<?xml version='1.0' encoding='Utf-8'?><a/>").ends_with("<a/>"));
    }

    #[test]
    fn another_encoding_is_not_guessed() {
        let koi = decode(b"<?xml version='1.0' encoding='koi8-r'?><a/>").unwrap_err();
        assert!(format!("{koi:?}").contains("koi8-r"), "{koi:?}");
        for bytes in [
            &b"<a>\xe9</a>"[..],
            b"<?xml version='1.0' encoding='ascii'?><a>\xc3\xa9</a>",
            b"\xff\xfe<",
            b"\xfe\xff\xd8\x00",
        ] {
            assert!(decode(bytes).is_err(), "{bytes:?}");
        }
    }
}
