//! The body of a request as a payload, by its content type, without a copy and without parsing.

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use playhouse_engine::{Error, Payload, Result, Text, Xml};

use super::media::{Media, media, parameter};

/// Makes the payload of a body.
///
/// XML keeps the encoding that it declares; JSON and text are UTF-8, or say that they are ISO 8859-1. What is compressed
/// is bytes, whatever it holds.
///
/// # Errors
/// `Malformed` for text that is not in the character set that it claims; `Unsupported` for another character set.
pub(crate) fn payload(headers: &HeaderMap, body: Bytes) -> Result<Payload> {
    if body.is_empty() {
        return Ok(Payload::Empty);
    }
    let Some((media, parameters)) = media(headers) else { return Ok(Payload::Bytes(body)) };
    if headers.get(CONTENT_ENCODING).is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Ok(Payload::Bytes(body));
    }
    match media {
        Media::Xml => Ok(Payload::Xml(Xml::new(body))),
        Media::Json | Media::Text => text(body, parameters).map(Payload::Text),
        Media::Other => Ok(Payload::Bytes(body)),
    }
}

fn text(body: Bytes, parameters: &str) -> Result<Text> {
    if parameters.is_empty() {
        return utf8(body);
    }
    let charset = parameter(parameters, "charset").unwrap_or("utf-8");
    let is = |name: &str| charset.eq_ignore_ascii_case(name);
    if is("utf-8") || is("utf8") || is("us-ascii") {
        return utf8(body);
    }
    if is("iso-8859-1") || is("latin1") {
        return Ok(body.iter().copied().map(char::from).collect::<String>().into());
    }
    Err(Error::unsupported(format!("the character set `{charset}` is not taken here; expected `utf-8`")))
}

fn utf8(body: Bytes) -> Result<Text> {
    Text::from_utf8(body).map_err(|error| Error::malformed("the body is not UTF-8 text").caused_by(error))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::CONTENT_TYPE;
    use playhouse_engine::Kind;

    use super::*;

    fn of(content_type: &'static str, body: &'static [u8]) -> Result<Payload> {
        let mut headers = HeaderMap::new();
        if !content_type.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        payload(&headers, Bytes::from_static(body))
    }

    #[test]
    fn the_content_type_says_what_the_payload_is() {
        for (content_type, body, format) in [
            ("application/xml", "<a/>", "xml"),
            ("image/svg+xml; charset=utf-8", "<svg/>", "xml"),
            ("application/json", "{bad", "text"),
            ("text/plain", "a", "text"),
            ("image/png", "a", "bytes"),
            ("", "a", "bytes"),
            ("text/plain", "", "empty"),
        ] {
            assert_eq!(of(content_type, body.as_bytes()).unwrap().format().to_string(), format, "{content_type}");
        }
    }

    #[test]
    fn text_is_in_the_character_set_that_it_claims() {
        assert_eq!(of("text/plain; charset=\"ISO-8859-1\"", b"\xc4da").unwrap().to_string(), "Äda");
        let error = of("application/json", b"\"\xc4da\"").unwrap_err();
        assert_eq!((error.kind(), error.message()), (Kind::Malformed, "the body is not UTF-8 text"));
        let error = of("text/plain; charset=ebcdic", b"a").unwrap_err();
        assert_eq!(error.message(), "the character set `ebcdic` is not taken here; expected `utf-8`");
    }
}
