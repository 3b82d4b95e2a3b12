//! A URL whose path and query hold places for attributes.

use std::fmt;

use http::Uri;
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use playhouse_engine::{Error, Event, Result};

/// All but what RFC 3986 calls unreserved.
const ONE_PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What may stand in neither path nor query; a `%` may, since what is inserted is encoded already.
const AS_IT_IS: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// A URL with places for attributes.
pub(super) struct Template {
    /// The URL as it was given.
    url: String,
    is_https: bool,
    parts: Vec<Part>,
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Attribute { name: String, form: Form },
}

/// What an attribute's value becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// One part of the path.
    Segment,
    /// One value of the query.
    Value,
    /// Whatever it holds.
    AsItIs,
}

impl Template {
    /// Reads a template, or says in a sentence what is wrong with it.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or("expected `http://` or `https://`")?;
        if scheme != "http" && scheme != "https" {
            return Err(format!("the scheme is `{scheme}`; expected `http` or `https`"));
        }
        let authority = rest.find(['/', '?', '#']).map_or(rest, |end| &rest[..end]);
        if authority.contains(['{', '}']) {
            return Err("the server cannot be an attribute's; `{name}` stands behind the first `/`".to_owned());
        }
        if authority.contains('@') {
            return Err("the URL holds a user; send the header `authorization` instead".to_owned());
        }
        if url.contains('#') {
            return Err("the URL holds a fragment (`#`), which is never sent".to_owned());
        }
        let template = Self { url: url.to_owned(), is_https: scheme == "https", parts: parts(url)? };
        let literal = template.parts.iter().map(|part| match part {
            Part::Literal(text) => text,
            Part::Attribute { .. } => "x",
        });
        let example = literal.collect::<String>();
        match example.parse::<Uri>() {
            Ok(uri) if uri.host().is_some_and(|host| !host.is_empty()) => Ok(template),
            Ok(_) => Err("the URL names no server".to_owned()),
            Err(error) => Err(format!("this is not a URL: {error}")),
        }
    }

    pub(super) fn is_https(&self) -> bool {
        self.is_https
    }

    /// Returns the URL for `event`.
    ///
    /// # Errors
    /// `Unprocessable` where the event lacks an attribute; `Malformed` where one's value would make another path than the
    /// template means.
    pub(super) fn fill(&self, event: &Event) -> Result<Uri> {
        let mut url = String::with_capacity(self.url.len() + 64);
        for part in &self.parts {
            match part {
                Part::Literal(text) => url.push_str(text),
                Part::Attribute { name, form } => {
                    let value = event.attribute(name).ok_or_else(|| {
                        Error::unprocessable(format!("the event has no attribute `{name}`, which `{}` needs", self.url))
                    })?;
                    let value = value.to_string();
                    if !form.allows(&value) {
                        let message =
                            format!("the value of `{name}` would make another path than `{}` means", self.url);
                        return Err(Error::malformed(message));
                    }
                    form.write(&value, &mut url);
                }
            }
        }
        url.parse().map_err(|error| Error::malformed(format!("`{}` cannot be filled", self.url)).caused_by(error))
    }
}

impl Form {
    /// Says whether `value` stays where it is put: a server may take `..` for a step up, and an empty part of a path for
    /// the whole collection.
    fn allows(self, value: &str) -> bool {
        match self {
            Self::Value => true,
            Self::Segment => !matches!(value, "" | "." | ".."),
            Self::AsItIs => {
                let path = value.split_once('?').map_or(value, |(path, _)| path);
                path.split(['/', '\\']).all(|segment| {
                    let segment: Vec<u8> = percent_decode_str(segment).collect();
                    !matches!(&segment[..], b"." | b"..")
                })
            }
        }
    }

    fn write(self, value: &str, url: &mut String) {
        match self {
            Self::Segment | Self::Value => url.extend(utf8_percent_encode(value, ONE_PART)),
            Self::AsItIs => {
                let value = if url.ends_with('/') { value.trim_start_matches('/') } else { value };
                url.extend(utf8_percent_encode(value, AS_IT_IS));
            }
        }
    }
}

fn parts(url: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut rest = url;
    let mut in_query = false;
    while let Some(start) = rest.find(['{', '}']) {
        let (literal, place) = rest.split_at(start);
        let end = place.find('}').filter(|end| *end > 0).ok_or("`{` and `}` do not pair")?;
        let (name, form) = match &place[1..end] {
            name if name.starts_with('+') => (&name[1..], Form::AsItIs),
            name if in_query || literal.contains('?') => (name, Form::Value),
            name => (name, Form::Segment),
        };
        if name.is_empty() || name.contains('{') {
            return Err("expected the name of an attribute between `{` and `}`".to_owned());
        }
        in_query |= literal.contains('?');
        parts.push(Part::Literal(literal.to_owned()));
        parts.push(Part::Attribute { name: name.to_owned(), form });
        rest = &place[end + 1..];
    }
    parts.push(Part::Literal(rest.to_owned()));
    Ok(parts)
}

impl fmt::Debug for Template {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.url, formatter)
    }
}

#[cfg(test)]
mod tests {
    use playhouse_engine::Kind;

    use super::*;

    #[track_caller]
    fn filled(template: &str, value: &'static str) -> Result<String> {
        let event = Event::new(()).with_attribute("a.b", value);
        Template::parse(template).unwrap().fill(&event).map(|uri| uri.to_string())
    }

    #[test]
    fn an_attribute_fills_its_place() {
        for (template, value, url) in [
            ("http://host", "unused", "http://host/"),
            ("http://host:81/{a.b}", "x", "http://host:81/x"),
            (
                "https://host/p/{a.b}/q?r={a.b}",
                "ä /?&=#%{",
                "https://host/p/%C3%A4%20%2F%3F%26%3D%23%25%7B/q?r=%C3%A4%20%2F%3F%26%3D%23%25%7B",
            ),
            ("http://host/?q={a.b}", "", "http://host/?q="),
            ("http://host/?q={a.b}", "..", "http://host/?q=.."),
            ("http://host/p/{+a.b}", "/x/y%20z?q=1&r={\"}#f", "http://host/p/x/y%20z?q=1&r=%7B%22%7D%23f"),
            ("http://host/p{+a.b}", "/x/", "http://host/p/x/"),
        ] {
            assert_eq!(filled(template, value).unwrap(), url);
        }
    }

    #[test]
    fn an_integer_fills_its_place_too() {
        let template = Template::parse("http://host/{number}").unwrap();
        assert_eq!(template.fill(&Event::new(()).with_attribute("number", 7_i64)).unwrap().path(), "/7");
    }

    #[test]
    fn a_value_cannot_lead_elsewhere() {
        for (template, value) in [
            ("http://host/p/{a.b}", ".."),
            ("http://host/p/{a.b}", "."),
            ("http://host/p/{a.b}", ""),
            ("http://host/p/{+a.b}", "x/../../admin"),
            ("http://host/p/{+a.b}", "x/%2e%2E/admin"),
            ("http://host/p/{+a.b}", ".."),
            ("http://host/p/{+a.b}", "x\\..\\admin"),
        ] {
            let error = filled(template, value).unwrap_err();
            assert_eq!(error.kind(), Kind::Malformed, "{template} {value}");
            assert_eq!(error.message(), format!("the value of `a.b` would make another path than `{template}` means"));
        }
    }

    #[test]
    fn a_missing_attribute_is_named() {
        let error = Template::parse("http://host/{sku}").unwrap().fill(&Event::new(())).unwrap_err();
        assert_eq!(error.kind(), Kind::Unprocessable);
        assert_eq!(error.message(), "the event has no attribute `sku`, which `http://host/{sku}` needs");
    }

    #[test]
    fn a_template_that_makes_no_sense_says_why() {
        for (template, problem) in [
            ("host/path", "expected `http://` or `https://`"),
            ("ftp://host/", "the scheme is `ftp`; expected `http` or `https`"),
            ("http://{host}/", "the server cannot be an attribute's; `{name}` stands behind the first `/`"),
            ("http://host{+path}", "the server cannot be an attribute's; `{name}` stands behind the first `/`"),
            ("http://ada:x@host/", "the URL holds a user; send the header `authorization` instead"),
            ("http://host/#top", "the URL holds a fragment (`#`), which is never sent"),
            ("http://host/{a", "`{` and `}` do not pair"),
            ("http://host/a}", "`{` and `}` do not pair"),
            ("http://host/{}", "expected the name of an attribute between `{` and `}`"),
            ("http://host/{+}", "expected the name of an attribute between `{` and `}`"),
            ("http:///path", "this is not a URL: invalid format"),
            ("http://ho st/", "this is not a URL: invalid uri character"),
        ] {
            assert_eq!(Template::parse(template).err().as_deref(), Some(problem), "{template}");
        }
    }
}
