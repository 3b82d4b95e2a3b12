//! A typed view of a request's attributes, and of those that make a reply.

use std::borrow::Cow;

use http::StatusCode;
use playhouse_engine::{Event, Value};

/// The attribute of a reply that holds its status code, a whole number.
pub const STATUS: &str = "http.status";

/// What the names of the attributes begin with that are headers of a reply.
pub const REPLY_HEADER: &str = "http.reply.header.";

/// What an event says of the HTTP request that it came from.
///
/// ```
/// use playhouse_actors::http::HttpRequest;
/// use playhouse_engine::Event;
///
/// fn number(event: &Event) -> Option<u64> {
///     HttpRequest::of(event)?.variable("number")?.parse().ok()
/// }
/// assert_eq!(number(&Event::new("not from a server")), None);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct HttpRequest<'a>(&'a Event);

impl<'a> HttpRequest<'a> {
    /// Returns the view of `event`; nothing where it came from no HTTP request.
    #[must_use]
    pub fn of(event: &'a Event) -> Option<Self> {
        event.attributes().text("http.method").map(|_| Self(event))
    }

    /// Returns the method, in capitals.
    #[must_use]
    pub fn method(self) -> Cow<'a, str> {
        self.0.attributes().text("http.method").unwrap_or_default()
    }

    /// Returns the path, as it was sent.
    #[must_use]
    pub fn path(self) -> Cow<'a, str> {
        self.0.attributes().text("http.path").unwrap_or_default()
    }

    /// Returns the path and the query, or the whole URI, as it was sent.
    #[must_use]
    pub fn uri(self) -> Cow<'a, str> {
        self.0.attributes().text("http.uri").unwrap_or_default()
    }

    /// Returns the address that the connection came from.
    #[must_use]
    pub fn peer(self) -> Cow<'a, str> {
        self.0.attributes().text("http.peer").unwrap_or_default()
    }

    /// Returns the address of the client, without a port: that of the connection, or what proxies say that the server trusts.
    #[must_use]
    pub fn client(self) -> Cow<'a, str> {
        self.0.attributes().text("http.client").unwrap_or_default()
    }

    /// Returns the variable `name` of the route's path, decoded.
    #[must_use]
    pub fn variable(self, name: &str) -> Option<Cow<'a, str>> {
        self.named("http.path.", name)
    }

    /// Returns the first parameter `name` of the query, decoded.
    #[must_use]
    pub fn query(self, name: &str) -> Option<Cow<'a, str>> {
        self.named("http.query.", name)
    }

    /// Returns the header `name`, which is written in lower case; several of one name are joined by commas.
    #[must_use]
    pub fn header(self, name: &str) -> Option<Cow<'a, str>> {
        self.named("http.header.", name)
    }

    fn named(self, prefix: &str, name: &str) -> Option<Cow<'a, str>> {
        // On the stack where it fits, because handlers ask for every event.
        let mut space = [0; 64];
        let length = prefix.len() + name.len();
        if let Some(space) = space.get_mut(..length) {
            space[..prefix.len()].copy_from_slice(prefix.as_bytes());
            space[prefix.len()..].copy_from_slice(name.as_bytes());
            if let Ok(full) = std::str::from_utf8(space) {
                return self.0.attributes().text(full);
            }
        }
        self.0.attributes().text(&format!("{prefix}{name}"))
    }
}

/// What makes an event a reply to an HTTP request. Without any of it the reply is a 200 with the payload for its body.
///
/// ```
/// use playhouse_actors::http::HttpReply;
/// use playhouse_engine::{Event, map};
///
/// let create = map(|event: &Event| event.derive("created").with_status(201).with_reply_header("location", "/orders/7"));
/// ```
pub trait HttpReply: Sized {
    /// Sets the status code.
    #[must_use]
    fn with_status(self, status: u16) -> Self;

    /// Sets the header `name`, in place of what it was.
    #[must_use]
    fn with_reply_header(self, name: &str, value: impl Into<String>) -> Self;

    /// Adds a line to the header `name`, as for cookies.
    #[must_use]
    fn with_added_reply_header(self, name: &str, value: impl Into<String>) -> Self;

    /// Returns the status code that was set.
    fn status(&self) -> Option<u16>;
}

impl HttpReply for Event {
    fn with_status(self, status: u16) -> Self {
        self.with_attribute(STATUS, status)
    }

    fn with_reply_header(self, name: &str, value: impl Into<String>) -> Self {
        self.with_attribute(attribute_of(name), value.into())
    }

    fn with_added_reply_header(self, name: &str, value: impl Into<String>) -> Self {
        let attribute = attribute_of(name);
        let mut lines = match self.attribute(&attribute) {
            None => return self.with_attribute(attribute, value.into()),
            Some(Value::Json(lines)) => lines.as_array().cloned().unwrap_or_default(),
            Some(line) => vec![line.to_string().into()],
        };
        lines.push(value.into().into());
        self.with_attribute(attribute, serde_json::Value::Array(lines))
    }

    fn status(&self) -> Option<u16> {
        self.attributes().integer(STATUS).and_then(|status| u16::try_from(status).ok())
    }
}

fn attribute_of(header: &str) -> String {
    let mut attribute = REPLY_HEADER.to_owned();
    attribute.extend(header.chars().map(|letter| letter.to_ascii_lowercase()));
    attribute
}

/// Returns the status code of a reply; `None` where what was set is none.
pub(crate) fn reply_status(value: &Value) -> Option<StatusCode> {
    let number = match value {
        Value::Integer(number) => u16::try_from(*number).ok()?,
        Value::Text(text) => text.parse().ok()?,
        _ => return None,
    };
    // What is below tells of more to come, which a reply cannot.
    StatusCode::from_u16(number).ok().filter(|_| (200..=599).contains(&number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_came_from_no_request_has_no_view() {
        assert!(HttpRequest::of(&Event::new("a")).is_none());
    }

    #[test]
    fn a_view_reads_names_of_any_length() {
        let long = "x".repeat(100);
        let event = Event::new("a")
            .with_attribute("http.method", "GET")
            .with_attribute("http.header.short", "1")
            .with_attribute(format!("http.header.{long}"), "2");
        let request = HttpRequest::of(&event).unwrap();
        assert_eq!(request.header("short").as_deref(), Some("1"));
        assert_eq!(request.header(&long).as_deref(), Some("2"));
    }

    #[test]
    fn a_header_of_a_reply_is_set_or_added_to() {
        let event = Event::new("a").with_reply_header("Set-Cookie", "a=1").with_added_reply_header("set-cookie", "b=2");
        let value = event.attribute("http.reply.header.set-cookie").unwrap();
        assert_eq!(value.to_string(), r#"["a=1","b=2"]"#);
        assert_eq!(event.with_status(418).status(), Some(418));
    }

    #[test]
    fn a_status_is_one_that_ends_a_request() {
        for (value, status) in [
            (Value::from(204_i64), Some(204)),
            (Value::from("404"), Some(404)),
            (Value::from(100_i64), None),
            (Value::from(700_i64), None),
            (Value::from(true), None),
        ] {
            assert_eq!(reply_status(&value).map(|status| status.as_u16()), status, "{value}");
        }
    }
}
