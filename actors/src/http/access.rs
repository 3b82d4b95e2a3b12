//! The access log: an event for each answer.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use http::StatusCode;
use playhouse_engine::{Attributes, Error, Event, EventId, Layer, Permit, Result};
use serde::{Deserialize, Serialize};

use super::connection::Connection;
use super::head::Head;

/// The outbox of the records.
pub(crate) const ACCESS: &str = "access";

/// What each record of an access log says as its payload. See
/// [`HttpServer::with_access_log`](super::HttpServer::with_access_log).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccessLog {
    /// The Common Log Format: `192.0.2.1 - - [10/Oct/2026:13:55:36 +0000] "GET /a HTTP/1.1" 200 2326`.
    Common,
    /// The Combined Log Format: the common one, and then the referer and the user agent.
    #[default]
    Combined,
    /// For eyes: `[192.0.2.1] GET /a [200 OK] returned in 3 ms`.
    Short,
}

/// How the records of a server are written, and by which outbox they leave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AccessRules {
    pub(crate) form: AccessLog,
    pub(crate) outbox: usize,
}

impl AccessRules {
    /// # Errors
    /// `Malformed` where a route has the outbox of the records.
    pub(crate) fn new(form: AccessLog, outboxes: &[&str]) -> Result<Self> {
        if outboxes.contains(&ACCESS) {
            return Err(Error::malformed("the outbox `access` is the access log's; expected another one for a route"));
        }
        Ok(Self { form, outbox: outboxes.len() })
    }
}

/// A request on its way to its record, which is written when this goes, if it was answered.
pub(crate) struct Entry {
    connection: Arc<Connection>,
    rules: AccessRules,
    /// Lets the record into a flow that stops meanwhile.
    permit: Option<Permit>,
    began: Instant,
    answer: Option<(StatusCode, Option<Arc<Head>>)>,
    pub(crate) id: Option<EventId>,
    pub(crate) bytes: u64,
}

impl Entry {
    /// Begins with a request; nothing where the server keeps no access log.
    pub(crate) fn begin(connection: &Arc<Connection>) -> Option<Box<Self>> {
        let rules = connection.reception.access?;
        Some(Box::new(Self {
            connection: connection.clone(),
            rules,
            permit: connection.reception.emitter.permit().ok(),
            began: Instant::now(),
            answer: None,
            id: None,
            bytes: 0,
        }))
    }

    /// Notes how the request is answered; its head, where it was read.
    pub(crate) fn answered(&mut self, status: StatusCode, head: Option<Arc<Head>>) {
        self.answer = Some((status, head));
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let Some((status, head)) = self.answer.take() else { return };
        let peer = self.connection.peer.ip().to_canonical();
        let record =
            Record { head, peer: peer.to_string(), status, bytes: self.bytes, time: self.began.elapsed(), id: self.id };
        let event = Event::new(record.line(self.rules.form)).with_attributes(Attributes::over(Arc::new(record)));
        let offered = self.permit.take().map(|permit| permit.offer_from(self.rules.outbox, event));
        if !matches!(offered, Some(Ok(()))) {
            self.connection.reception.counters.unlogged.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Entry").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What there is to say of an answer.
struct Record {
    /// Nothing where the request could not be read.
    head: Option<Arc<Head>>,
    peer: String,
    status: StatusCode,
    bytes: u64,
    time: Duration,
    id: Option<EventId>,
}

impl Record {
    fn line(&self, form: AccessLog) -> String {
        let field = |name: &str| self.text(name).map_or_else(|| "-".to_owned(), |text| escaped(&text));
        let request = match &self.head {
            Some(_) => format!("{} {} {}", field("access.method"), field("access.uri"), field("access.version")),
            None => "-".to_owned(),
        };
        let status = self.status;
        if form == AccessLog::Short {
            let request = request.rsplit_once(' ').map_or("-", |(request, _)| request);
            return format!(
                "[{}] {request} [{status}] returned in {} ms",
                field("access.client"),
                self.time.as_millis()
            );
        }
        let bytes = if self.bytes == 0 { "-".to_owned() } else { self.bytes.to_string() };
        let mut line = format!(
            "{} - - [{}] \"{request}\" {} {bytes}",
            field("access.client"),
            common_time(SystemTime::now()),
            status.as_u16()
        );
        if form == AccessLog::Combined {
            // Writing to a string cannot fail.
            let _ = write!(line, " \"{}\" \"{}\"", field("access.referer"), field("access.agent"));
        }
        line
    }
}

impl Layer for Record {
    fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        let head = |name| self.head.as_ref()?.text(name);
        match name.strip_prefix("access.")? {
            "client" => Some(head("http.client").unwrap_or(Cow::Borrowed(&self.peer))),
            "peer" => Some(Cow::Borrowed(&self.peer)),
            "method" => head("http.method"),
            "uri" => head("http.uri"),
            "version" => head("http.version"),
            "host" => head("http.host"),
            "referer" => head("http.header.referer"),
            "agent" => head("http.header.user-agent"),
            "status" => Some(Cow::Borrowed(self.status.as_str())),
            "bytes" => Some(Cow::Owned(self.bytes.to_string())),
            "milliseconds" => Some(Cow::Owned(format!("{:.3}", self.time.as_secs_f64() * 1000.0))),
            "id" => self.id.map(|id| Cow::Owned(id.to_string())),
            _ => None,
        }
    }

    fn each(&self, visit: &mut dyn FnMut(&str, &str)) {
        const NAMES: [&str; 12] = [
            "access.client",
            "access.peer",
            "access.method",
            "access.uri",
            "access.version",
            "access.host",
            "access.referer",
            "access.agent",
            "access.status",
            "access.bytes",
            "access.milliseconds",
            "access.id",
        ];
        for name in NAMES {
            if let Some(text) = self.text(name) {
                visit(name, &text);
            }
        }
    }
}

/// Writes text so that it stays one field of one line, whatever a client has sent.
fn escaped(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '"' | '\\' => written.extend(['\\', letter]),
            _ if letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}') => {
                written.extend(letter.escape_unicode())
            }
            _ => written.push(letter),
        }
    }
    written
}

/// Writes a time as the Common Log Format does.
fn common_time(time: SystemTime) -> String {
    // `Sun, 06 Nov 1994 08:49:37 GMT`: every part has its place.
    let date = httpdate::fmt_http_date(time);
    format!("{}/{}/{}:{} +0000", &date[5..7], &date[8..11], &date[12..16], &date[17..25])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_logs_do() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(common_time(time), "06/Nov/1994:08:49:37 +0000");
    }

    #[test]
    fn what_a_client_sends_stays_in_its_field() {
        assert_eq!(escaped("a\"b\\c\r\nd\u{1b}[31m\u{2028}Ä"), "a\\\"b\\\\c\\u{d}\\u{a}d\\u{1b}[31m\\u{2028}Ä");
    }
}
