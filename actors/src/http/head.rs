//! The head of a request as a layer of attributes: nothing is copied out of it before somebody asks.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use http::header::COOKIE;
use http::request::Parts;
use http::{HeaderMap, Version};
use percent_encoding::percent_decode;
use playhouse_engine::Layer;

use super::admission::Variables;
use super::forwarded::Forwarded;

/// The head of a request, from where it came, and what the route read from its path.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) parts: Parts,
    pub(crate) peer: SocketAddr,
    pub(crate) variables: Variables,
    /// Who asks by what a trusted proxy says.
    pub(crate) forwarded: Option<Box<Forwarded>>,
    /// The scheme that this server speaks.
    pub(crate) scheme: &'static str,
}

impl Head {
    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        let mut values = self.parts.headers.get_all(name).iter();
        let Some(first) = values.next() else {
            // HTTP/2 has it in the URI.
            let authority = self.parts.uri.authority().filter(|_| name == "host")?;
            return Some(Cow::Borrowed(authority.as_str()));
        };
        let first = String::from_utf8_lossy(first.as_bytes());
        let Some(second) = values.next() else { return Some(first) };
        let separator = if name == COOKIE.as_str() { "; " } else { ", " };
        let mut all = first.into_owned();
        for value in std::iter::once(second).chain(values) {
            all.push_str(separator);
            all.push_str(&String::from_utf8_lossy(value.as_bytes()));
        }
        Some(Cow::Owned(all))
    }

    fn query_pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let query = self.parts.uri.query().unwrap_or("");
        query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
    }

    fn query(&self, name: &str) -> Option<Cow<'_, str>> {
        self.query_pairs().find(|(key, _)| decoded(key) == name).map(|(_, value)| decoded(value))
    }

    /// Returns the host that the client asks for.
    pub(crate) fn host(&self) -> Option<Cow<'_, str>> {
        let forwarded = self.forwarded.as_ref().and_then(|forwarded| forwarded.host.as_deref());
        forwarded.map(Cow::Borrowed).or_else(|| self.header("host"))
    }

    /// Returns the address of who asks, however many trusted proxies stand between.
    fn client(&self) -> IpAddr {
        self.forwarded.as_ref().map_or_else(|| self.peer.ip().to_canonical(), |forwarded| forwarded.client)
    }

    /// Returns the variable `name` of the path, or else the first parameter `name` of the query.
    pub(crate) fn variable_or_parameter(&self, name: &str) -> Option<Cow<'_, str>> {
        self.variable(name).map(Cow::Borrowed).or_else(|| self.query(name))
    }

    fn variable(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|(key, _)| **key == *name).map(|(_, value)| &**value)
    }

    fn uri(&self) -> Cow<'_, str> {
        match self.parts.uri.path_and_query() {
            // HTTP/2 sends the host apart, and hyper puts it in here.
            Some(all) if self.parts.uri.authority().is_none() || self.parts.version == Version::HTTP_2 => {
                Cow::Borrowed(all.as_str())
            }
            _ => Cow::Owned(self.parts.uri.to_string()),
        }
    }
}

impl Layer for Head {
    fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        let name = name.strip_prefix("http.")?;
        if let Some(header) = name.strip_prefix("header.") {
            return self.header(header);
        }
        match name {
            "method" => Some(Cow::Borrowed(self.parts.method.as_str())),
            "uri" => Some(self.uri()),
            "path" => Some(Cow::Borrowed(self.parts.uri.path())),
            "query" => self.parts.uri.query().map(Cow::Borrowed),
            "version" => Some(Cow::Borrowed(version(self.parts.version))),
            "peer" => Some(Cow::Owned(self.peer.to_string())),
            "client" => Some(Cow::Owned(self.client().to_string())),
            "host" => self.host(),
            "scheme" => {
                let forwarded = self.forwarded.as_ref().and_then(|forwarded| forwarded.scheme);
                Some(Cow::Borrowed(forwarded.unwrap_or(self.scheme)))
            }
            _ => match (name.strip_prefix("path."), name.strip_prefix("query.")) {
                (Some(variable), _) => self.variable(variable).map(Cow::Borrowed),
                (_, Some(parameter)) => self.query(parameter),
                _ => None,
            },
        }
    }

    fn each(&self, visit: &mut dyn FnMut(&str, &str)) {
        const NAMES: [&str; 9] = [
            "http.method",
            "http.uri",
            "http.path",
            "http.query",
            "http.version",
            "http.peer",
            "http.client",
            "http.host",
            "http.scheme",
        ];
        for name in NAMES {
            if let Some(text) = self.text(name) {
                visit(name, &text);
            }
        }
        for (name, value) in &self.variables {
            visit(&format!("http.path.{name}"), value);
        }
        for (name, value) in self.query_pairs() {
            visit(&format!("http.query.{}", decoded(name)), &decoded(value));
        }
        for name in self.parts.headers.keys() {
            if let Some(value) = self.header(name.as_str()) {
                visit(&format!("http.header.{name}"), &value);
            }
        }
    }
}

/// Which bytes a host may have.
static IN_HOST: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        table[byte as usize] = !matches!(byte, b'/' | b'\\' | b'@' | b'?' | b'#' | b',' | b'"' | b'<' | b'>');
        byte += 1;
    }
    table
};

/// Says whether the head names one host, as HTTP/1.1 demands.
pub(crate) fn names_one_host(headers: &HeaderMap, version: Version) -> bool {
    let mut hosts = headers.get_all(http::header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => is_host(host.as_bytes()),
        (None, _) => version != Version::HTTP_11,
        (Some(_), Some(_)) => false,
    }
}

/// Says whether a host may be written so.
pub(crate) fn is_host(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| IN_HOST[usize::from(*byte)])
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}

/// Decodes a part of a query, where a plus is a space.
fn decoded(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|byte| matches!(byte, b'+' | b'%')) {
        return Cow::Borrowed(text);
    }
    let spaced = text.replace('+', " ");
    Cow::Owned(percent_decode(spaced.as_bytes()).decode_utf8_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use http::Request;
    use std::sync::Arc;

    use playhouse_engine::Attributes;

    use super::*;

    fn attributes() -> Attributes {
        let request = Request::put("/orders/7?colour=dark+blue&colour=red&name=%C3%84da&empty")
            .header("Host", "example.org")
            .header("X-Tag", "a")
            .header("X-Tag", "b")
            .header("Cookie", "a=1")
            .header("Cookie", "b=2")
            .body(())
            .unwrap();
        let head = Head {
            parts: request.into_parts().0,
            peer: "127.0.0.1:4242".parse().unwrap(),
            variables: [("number".into(), "7".into())].into(),
            forwarded: None,
            scheme: "http",
        };
        Attributes::over(Arc::new(head))
    }

    #[test]
    fn all_of_the_head_is_there_to_ask_for() {
        let attributes = attributes();
        for (name, value) in [
            ("http.method", Some("PUT")),
            ("http.uri", Some("/orders/7?colour=dark+blue&colour=red&name=%C3%84da&empty")),
            ("http.path", Some("/orders/7")),
            ("http.query", Some("colour=dark+blue&colour=red&name=%C3%84da&empty")),
            ("http.query.colour", Some("dark blue")),
            ("http.query.name", Some("Äda")),
            ("http.query.empty", Some("")),
            ("http.query.other", None),
            ("http.path.number", Some("7")),
            ("http.path.other", None),
            ("http.version", Some("HTTP/1.1")),
            ("http.peer", Some("127.0.0.1:4242")),
            ("http.client", Some("127.0.0.1")),
            ("http.host", Some("example.org")),
            ("http.scheme", Some("http")),
            ("http.header.host", Some("example.org")),
            ("http.header.x-tag", Some("a, b")),
            ("http.header.cookie", Some("a=1; b=2")),
            ("http.header.other", None),
            ("other", None),
        ] {
            assert_eq!(attributes.text(name).as_deref(), value, "{name}");
        }
    }

    #[test]
    fn whoever_writes_it_out_sees_it_whole() {
        let mut seen = Vec::new();
        attributes().each(|name, value| seen.push(format!("{name}={value}")));
        for expected in ["http.method=PUT", "http.path.number=7", "http.query.name=Äda", "http.header.x-tag=a, b"] {
            assert!(seen.iter().any(|line| line == expected), "{expected} is not in {seen:?}");
        }
    }
}
