//! Server-sent events as bytes, and how the streams of a server are kept: HTML, section 9.2.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::ACCEPT;
use http::{HeaderMap, StatusCode};
use playhouse_engine::{Error, Event, Payload, Result, Value};
use serde::{Deserialize, Serialize};

use super::media::parameter;
use super::reply::Refusal;

pub(crate) const EVENT_STREAM: &str = "text/event-stream";

/// What the name of the event is, for whoever listens to some only.
const EVENT: &str = "sse.event";
/// What a client names that comes again.
const ID: &str = "sse.id";
/// After how many milliseconds a client comes again.
const RETRY: &str = "sse.retry";
/// Which clients get it, where a route has topics.
const TOPIC: &str = "sse.topic";

/// How an [`HttpServer`](super::HttpServer) keeps the event streams of its routes. See
/// [`Route::events`](super::Route::events).
///
/// ```
/// use playhouse_actors::http::EventStreamSettings;
///
/// let in_code = EventStreamSettings { backlog: 64, ..EventStreamSettings::default() };
/// let in_a_file: EventStreamSettings = toml::from_str("backlog = 64").unwrap();
/// assert_eq!(in_code, in_a_file);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct EventStreamSettings {
    /// How many events may wait for one client; 256 by default. A client that is further behind is closed, and comes again.
    pub backlog: usize,
    /// How many of the last events are kept for clients that come again with a `Last-Event-ID`; 256 by default. They are kept
    /// from the first one on that has an id.
    pub history: usize,
    /// After what time without an event a comment is sent, so that proxies keep the connection and clients that have gone are
    /// noticed; 15 s by default.
    #[serde(with = "humantime_serde")]
    pub heartbeat: Duration,
    /// After what time a client comes again that lost its connection; by default what the client thinks right.
    #[serde(with = "humantime_serde")]
    pub retry: Option<Duration>,
}

impl Default for EventStreamSettings {
    fn default() -> Self {
        Self { backlog: 256, history: 256, heartbeat: Duration::from_secs(15), retry: None }
    }
}

impl EventStreamSettings {
    /// Returns how often to look for clients that are owed a heartbeat.
    pub(crate) fn tick(&self) -> Duration {
        (self.heartbeat / 8).clamp(Duration::from_millis(5), Duration::from_millis(250))
    }
}

/// An event as all clients get it.
#[derive(Clone, Debug)]
pub(crate) struct Encoded {
    pub(crate) bytes: Bytes,
    pub(crate) id: Option<Box<str>>,
    pub(crate) topic: Option<Box<str>>,
}

impl Encoded {
    /// # Errors
    /// `Unsupported` for a payload that is not text; `Malformed` for attributes that cannot stand in a line.
    pub(crate) fn of(event: &Event) -> Result<Self> {
        let payload = match event.payload() {
            Payload::Text(text) => text.clone().into_bytes(),
            other => other.to_bytes(),
        };
        let Ok(data) = std::str::from_utf8(&payload) else {
            return Err(Error::unsupported("a server-sent event is UTF-8 text; expected no other payload"));
        };
        let (name, id, retry) = (line(event, EVENT)?, line(event, ID)?, retry(event)?);
        let mut written = BytesMut::with_capacity(data.len() + 64);
        for (field, value) in [("event", &name), ("id", &id), ("retry", &retry)] {
            if let Some(value) = value {
                put(&mut written, field, value);
            }
        }
        for line in lines(data) {
            put(&mut written, "data", line);
        }
        written.put_u8(b'\n');
        let topic = event.attribute(TOPIC).map(|topic| topic.to_string().into());
        Ok(Self { bytes: written.freeze(), id: id.map(Into::into), topic })
    }
}

/// Returns what tells a client when to come again.
pub(crate) fn welcome(retry: Duration) -> Bytes {
    Bytes::from(format!("retry: {}\n\n", retry.as_millis()))
}

/// Refuses a client that does not take event streams.
pub(crate) fn check_accept(headers: &HeaderMap) -> Result<(), Refusal> {
    if !headers.contains_key(ACCEPT) || is_accepted(headers) {
        return Ok(());
    }
    let error = Error::unsupported(format!("there is only `{EVENT_STREAM}` here, which is not accepted"));
    Err(Refusal::with_status(error, StatusCode::NOT_ACCEPTABLE))
}

/// Says what the most precise range says that names event streams.
fn is_accepted(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges = values.flat_map(|value| value.split(',')).filter_map(|range| {
        let (essence, parameters) = range.split_once(';').unwrap_or((range, ""));
        let quality = parameter(parameters, "q").and_then(|text| text.parse().ok()).unwrap_or(1.0_f32);
        let precision =
            ["*/*", "text/*", EVENT_STREAM].iter().position(|known| essence.trim().eq_ignore_ascii_case(known));
        Some((precision?, quality > 0.0))
    });
    ranges.max().is_some_and(|(_, is_wanted)| is_wanted)
}

fn put(written: &mut BytesMut, field: &str, value: &str) {
    for part in [field, ": ", value, "\n"] {
        written.extend_from_slice(part.as_bytes());
    }
}

fn line(event: &Event, name: &str) -> Result<Option<String>> {
    let Some(value) = event.attribute(name) else { return Ok(None) };
    let value = value.to_string();
    // A client ignores an id with a NUL, and would come again with an older one.
    if value.contains(['\r', '\n', '\0']) {
        return Err(Error::malformed(format!("`{name}` is `{}`; expected one line", value.escape_debug())));
    }
    Ok(Some(value))
}

fn retry(event: &Event) -> Result<Option<String>> {
    match event.attribute(RETRY) {
        None => Ok(None),
        Some(Value::Integer(time)) if time >= 0 => Ok(Some(time.to_string())),
        Some(Value::Text(time)) if !time.is_empty() && time.bytes().all(|byte| byte.is_ascii_digit()) => {
            Ok(Some(time.to_string()))
        }
        Some(other) => {
            let other = other.to_string();
            Err(Error::malformed(format!("`{RETRY}` is `{}`; expected milliseconds", other.escape_debug())))
        }
    }
}

/// Splits at what a client takes for the end of a line: CR LF, LF or CR.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.find(['\r', '\n']) else {
            rest = None;
            return Some(text);
        };
        let after = &text[end..];
        rest = after.strip_prefix("\r\n").or_else(|| after.get(1..));
        Some(&text[..end])
    })
}

#[cfg(test)]
mod tests {
    use playhouse_engine::{Kind, Xml};
    use serde_json::json;

    use super::*;

    fn written(event: Event) -> String {
        String::from_utf8(Encoded::of(&event).unwrap().bytes.to_vec()).unwrap()
    }

    #[test]
    fn each_line_of_a_payload_is_a_line_of_data() {
        for (payload, expected) in [
            (Payload::from("a"), "data: a\n\n"),
            ("".into(), "data: \n\n"),
            (Payload::Empty, "data: \n\n"),
            ("a\nb\r\nc\rd".into(), "data: a\ndata: b\ndata: c\ndata: d\n\n"),
            ("a\n\n b\n".into(), "data: a\ndata: \ndata:  b\ndata: \n\n"),
            ("\r\r\n".into(), "data: \ndata: \ndata: \n\n"),
            (json!({"a": "x\ny"}).into(), "data: {\"a\":\"x\\ny\"}\n\n"),
            (Xml::new("<a>\n</a>").into(), "data: <a>\ndata: </a>\n\n"),
        ] {
            assert_eq!(written(Event::new(payload.clone())), expected, "{payload:?}");
        }
    }

    #[test]
    fn attributes_are_fields() {
        let event = Event::new("a")
            .with_attribute("sse.event", "price")
            .with_attribute("sse.id", 7_i64)
            .with_attribute("sse.retry", "2500");
        assert_eq!(written(event), "event: price\nid: 7\nretry: 2500\ndata: a\n\n");
    }

    #[test]
    fn a_client_gets_a_stream_that_takes_one() {
        for (accept, is_taken) in [
            ("text/event-stream", true),
            ("text/html, */*;q=0.1", true),
            ("TEXT/*", true),
            ("application/json", false),
            ("text/event-stream;q=0, */*", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, accept.parse().unwrap())]);
            assert_eq!(check_accept(&headers).is_ok(), is_taken, "{accept}");
        }
        assert!(check_accept(&HeaderMap::new()).is_ok());
    }

    #[test]
    fn what_cannot_be_a_line_is_refused() {
        for (name, value, message) in [
            ("sse.event", "a\ndata: b", "`sse.event` is `a\\ndata: b`; expected one line"),
            ("sse.id", "a\rb", "`sse.id` is `a\\rb`; expected one line"),
            ("sse.id", "a\0b", "`sse.id` is `a\\0b`; expected one line"),
            ("sse.retry", "1 s", "`sse.retry` is `1 s`; expected milliseconds"),
        ] {
            let error = Encoded::of(&Event::new("").with_attribute(name, value)).unwrap_err();
            assert_eq!((error.kind(), error.message()), (Kind::Malformed, message));
        }
        let error = Encoded::of(&Event::new(vec![0xff])).unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported);
    }
}
