//! Media types: what a body is, whether a route takes it, and in which form a client wants its errors.

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

/// What a media type means for the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Media {
    Xml,
    Json,
    Text,
    Other,
}

impl Media {
    /// Returns what the media type `essence`, without parameters, means.
    pub(crate) fn of(essence: &str) -> Self {
        let Some((kind, subtype)) = essence.split_once('/') else { return Self::Other };
        let is = |name: &str| subtype.eq_ignore_ascii_case(name);
        let ends = |suffix: &str| {
            subtype.len() > suffix.len()
                && subtype.as_bytes()[subtype.len() - suffix.len()..].eq_ignore_ascii_case(suffix.as_bytes())
        };
        if is("xml") || ends("+xml") {
            Self::Xml
        } else if is("json") || ends("+json") {
            Self::Json
        } else if kind.eq_ignore_ascii_case("text") {
            Self::Text
        } else {
            Self::Other
        }
    }
}

/// Returns the media type of the body that the head announces, without its parameters, and then these.
pub(crate) fn content_type(headers: &HeaderMap) -> Option<(&str, &str)> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let (essence, parameters) = value.split_once(';').unwrap_or((value, ""));
    Some((essence.trim(), parameters))
}

/// Returns what the body is by its content type, and the parameters of that; nothing where it says none.
pub(crate) fn media(headers: &HeaderMap) -> Option<(Media, &str)> {
    // The usual ones are known by sight, because every request has one.
    let media = match headers.get(CONTENT_TYPE)?.as_bytes() {
        b"application/json" => Media::Json,
        b"application/xml" | b"text/xml" => Media::Xml,
        b"text/plain" => Media::Text,
        b"application/octet-stream" | b"application/x-www-form-urlencoded" => Media::Other,
        _ => return content_type(headers).map(|(essence, parameters)| (Media::of(essence), parameters)),
    };
    Some((media, ""))
}

/// Returns the value of the parameter `name`.
pub(crate) fn parameter<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    parameters.split(';').find_map(|parameter| {
        let (key, value) = parameter.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"'))
    })
}

/// A pattern of media types that a route takes: `text/csv`, `image/*`, `application/*+xml` or `*/*`.
#[derive(Clone, Debug)]
pub(crate) struct Pattern(String);

impl Pattern {
    pub(crate) fn new(pattern: &str) -> Self {
        Self(pattern.trim().to_ascii_lowercase())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn matches(&self, essence: &str) -> bool {
        let (Some((kind, subtype)), Some((wanted_kind, wanted))) = (essence.split_once('/'), self.0.split_once('/'))
        else {
            return false;
        };
        let subtype_matches = match wanted.strip_prefix('*') {
            Some(suffix) => {
                subtype.len() >= suffix.len()
                    && subtype.as_bytes()[subtype.len() - suffix.len()..].eq_ignore_ascii_case(suffix.as_bytes())
            }
            None => subtype.eq_ignore_ascii_case(wanted),
        };
        subtype_matches && (wanted_kind == "*" || kind.eq_ignore_ascii_case(wanted_kind))
    }
}

/// In which form an error is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorForm {
    Json,
    Xml,
}

impl ErrorForm {
    /// Chooses by what the client accepts, then by what it sent; JSON where neither says.
    pub(crate) fn wanted_by(headers: &HeaderMap) -> Self {
        let (json, xml) = qualities(headers);
        if json > xml {
            return Self::Json;
        }
        if xml > json {
            return Self::Xml;
        }
        match media(headers) {
            Some((Media::Xml, _)) => Self::Xml,
            _ => Self::Json,
        }
    }

    pub(crate) fn content_type(self) -> HeaderValue {
        match self {
            Self::Json => HeaderValue::from_static("application/json"),
            Self::Xml => HeaderValue::from_static("application/xml"),
        }
    }
}

/// Returns how much a client wants JSON, and how much XML.
pub(crate) fn qualities(headers: &HeaderMap) -> (f32, f32) {
    let (mut json, mut xml) = (Quality::default(), Quality::default());
    for range in headers.get_all(ACCEPT).iter().filter_map(header_text).flat_map(|value| value.split(',')) {
        let (essence, parameters) = range.split_once(';').unwrap_or((range, ""));
        let quality = parameter(parameters, "q").and_then(|text| text.parse().ok()).unwrap_or(1.0_f32);
        let essence = essence.trim();
        match Media::of(essence) {
            Media::Json => json.note(2, quality),
            Media::Xml => xml.note(2, quality),
            _ if essence.eq_ignore_ascii_case("application/*") => {
                json.note(1, quality);
                xml.note(1, quality);
            }
            _ if essence.eq_ignore_ascii_case("text/*") => xml.note(1, quality),
            _ if essence == "*/*" => {
                json.note(0, quality);
                xml.note(0, quality);
            }
            _ => {}
        }
    }
    (json.value, xml.value)
}

/// How much a client wants one form: the most precise range that names it counts.
#[derive(Default)]
struct Quality {
    precision: u8,
    value: f32,
}

impl Quality {
    fn note(&mut self, precision: u8, value: f32) {
        if precision > self.precision {
            *self = Self { precision, value };
        } else if precision == self.precision {
            self.value = self.value.max(value);
        }
    }
}

fn header_text(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_says_what_the_payload_is() {
        for (essence, media) in [
            ("application/xml", Media::Xml),
            ("text/XML", Media::Xml),
            ("image/svg+xml", Media::Xml),
            ("application/json", Media::Json),
            ("application/problem+json", Media::Json),
            ("text/csv", Media::Text),
            ("image/png", Media::Other),
            ("nonsense", Media::Other),
        ] {
            assert_eq!(Media::of(essence), media, "{essence}");
        }
    }

    #[test]
    fn a_pattern_takes_what_it_names() {
        for (pattern, essence, takes) in [
            ("text/csv", "Text/CSV", true),
            ("text/csv", "text/xml", false),
            ("image/*", "image/png", true),
            ("application/*+xml", "application/soap+xml", true),
            ("application/*+xml", "application/xml", false),
            ("*/*+json", "application/hal+json", true),
            ("*/*", "anything/else", true),
        ] {
            assert_eq!(Pattern::new(pattern).matches(essence), takes, "{pattern} {essence}");
        }
    }

    #[test]
    fn an_error_has_the_form_that_the_client_accepts_then_the_one_that_it_sent() {
        let json = ErrorForm::Json;
        let xml = ErrorForm::Xml;
        for (accept, sent, form) in [
            ("", "", json),
            ("", "text/xml", xml),
            ("*/*", "text/xml; charset=utf-8", xml),
            ("*/*", "text/plain", json),
            ("application/json", "text/xml", json),
            ("application/xml", "application/json", xml),
            ("application/json;q=0.4, text/xml;q=0.5", "", xml),
            ("application/json;q=0.1, */*", "application/json", xml),
            ("text/html, application/*;q=0.2", "application/json", json),
            ("application/xml;q=0, */*", "text/xml", json),
        ] {
            let mut headers = HeaderMap::new();
            if !accept.is_empty() {
                headers.insert(ACCEPT, HeaderValue::from_static(accept));
            }
            if !sent.is_empty() {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(sent));
            }
            assert_eq!(ErrorForm::wanted_by(&headers), form, "accept {accept}, sent {sent}");
        }
    }
}
