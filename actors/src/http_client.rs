//! Calls another HTTP server.
//!
//! HTTP/1.1, with TLS by rustls. Leaves out HTTP/2, redirects, cookies, compression and proxies: a service that calls
//! another one seldom wants them, and each is a surprise where it is not wanted.

mod connector;
mod template;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use playhouse_engine::{Actor, Error, Event, Outbox, Payload, Result};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

use crate::http::{HttpReply, kind_of, payload};
use connector::Connector;
use template::Template;

/// Sends each event to another HTTP server, and the answer on: its body as the payload, by its content type, with the
/// status as the attribute `http.status`.
///
/// The method is the one of the settings, else that of the attribute `http.method`, else `GET` for an empty payload and
/// `POST` for any other. The payload is the body, and its format is the content type.
///
/// An answer that is no success is an error, of the kind that its status says: 404 is `NotFound`, 503 is `Unavailable`.
/// Where the server cannot be reached, or breaks off, the error is `Unavailable`; where it does not answer in time,
/// `Timeout`; where it answers at too great a length, `TooLarge`. A [`Retry`](playhouse_engine::Retry) in the actor's
/// policy tries again after those that may pass; how many requests are under way at once is its number of workers.
///
/// # Ports
/// Inbox: `inbox`, for any format. Outbox: `outbox`, which gives what the answer's content type says: text (JSON too, as it came), XML or
/// bytes, and nothing for an empty body.
///
/// # Settings
/// | name | default | meaning |
/// |---|---|---|
/// | `method` | the event's | the method of every request |
/// | `headers` | none | headers that every request carries |
/// | `forward` | none | headers of the request that the event came from (`http.header.…`) that are passed on |
/// | `keep` | `content-type` | headers of the answer that are kept for the reply (`http.reply.header.…`) |
/// | `deadline` | 30 s | how long all of it may take; an event's own deadline counts where it is nearer |
/// | `connect-deadline` | 5 s | how long it may take to connect, before TLS |
/// | `largest-body` | 1 MiB | how many bytes the body of an answer may have |
/// | `idle-connections` | 32 | how many connections are kept open while nobody uses them |
/// | `idle-time` | 30 s | for how long one is |
/// | `authorities` | none | a PEM file of certificate authorities to trust beside the system's |
///
/// # The URL
/// `{name}` in the path or the query stands for the attribute `name`, encoded so that it stays one part of the path or one
/// value of the query. `{+name}` stands for it with its slashes and its query: `http://stock.internal/{+http.uri}` passes
/// on what was asked for. Which server is called is never up to an event.
///
/// # Errors
/// | kind | when |
/// |---|---|
/// | that of the status | the answer is no success: 404 is `NotFound`, 503 `Unavailable`; with the time of a `Retry-After` |
/// | `Unavailable` | the server cannot be reached, or broke off |
/// | `Timeout` | it did not answer in time |
/// | `TooLarge` | its body is larger than `largest-body` |
/// | `Internal` | its body is not what its content type says, or it redirects, which is not followed |
/// | `Malformed` | the event has not what the URL is made of, or an attribute cannot be a method or a header |
///
/// # Example
/// ```
/// use std::time::Duration;
///
/// use playhouse_actors::{HttpClient, HttpClientSettings};
///
/// let stock = HttpClient::to("http://stock.internal/items/{http.path.sku}?at={warehouse}")?;
/// let settings = HttpClientSettings {
///     method: Some("PUT".into()),
///     headers: [("x-api-key".into(), "secret".into())].into(),
///     deadline: Duration::from_secs(2),
///     ..HttpClientSettings::default()
/// };
/// let archive = HttpClient::new("http://archive.internal/orders/{http.path.number}", settings)?;
/// # Ok::<_, playhouse_engine::Error>(())
/// ```
pub struct HttpClient {
    template: Template,
    method: Option<Method>,
    headers: HeaderMap,
    /// The attribute and the header that it becomes.
    forward: Vec<(String, HeaderName)>,
    keep: Vec<HeaderName>,
    deadline: Duration,
    largest_body: usize,
    client: Client<Connector, Full<Bytes>>,
}

/// How [`HttpClient`] calls.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct HttpClientSettings {
    /// The method; by default it depends on the event.
    pub method: Option<String>,
    /// Headers that every request carries; none by default.
    pub headers: BTreeMap<String, String>,
    /// Headers of the request that an event came from (its attributes `http.header.…`) that are passed on; none by
    /// default.
    pub forward: Vec<String>,
    /// Headers of the answer that are kept for the reply to the request that the event came from (as attributes
    /// `http.reply.header.…`); by default `content-type`. Who turns the payload into another format sets that anew.
    pub keep: Vec<String>,
    /// How long all of it may take, from the connection to the last byte; 30 s by default. An event's own deadline counts
    /// where it is nearer.
    #[serde(with = "humantime_serde")]
    pub deadline: Duration,
    /// How long it may take to connect, before TLS; 5 s by default.
    #[serde(with = "humantime_serde")]
    pub connect_deadline: Duration,
    /// How many bytes the body of an answer may have; 1 MiB by default.
    pub largest_body: usize,
    /// How many connections are kept open while nobody uses them; 32 by default.
    pub idle_connections: usize,
    /// For how long a connection is kept open that nobody uses; 30 s by default, which is less than servers do.
    #[serde(with = "humantime_serde")]
    pub idle_time: Duration,
    /// A PEM file of certificate authorities to trust beside those that the system trusts.
    pub authorities: Option<PathBuf>,
}

impl Default for HttpClientSettings {
    fn default() -> Self {
        Self {
            method: None,
            headers: BTreeMap::new(),
            forward: Vec::new(),
            keep: vec!["content-type".to_owned()],
            deadline: Duration::from_secs(30),
            connect_deadline: Duration::from_secs(5),
            largest_body: 1 << 20,
            idle_connections: 32,
            idle_time: Duration::from_secs(30),
            authorities: None,
        }
    }
}

/// Headers that belong to one connection or are made of the request itself.
const RESERVED: [&str; 8] =
    ["connection", "content-length", "expect", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"];

const AGENT: HeaderValue = HeaderValue::from_static(concat!("playhouse/", env!("CARGO_PKG_VERSION")));

impl HttpClient {
    /// Makes an actor that calls `url`, with the default settings.
    ///
    /// # Errors
    /// As [`HttpClient::new`].
    pub fn to(url: &str) -> Result<Self> {
        Self::new(url, HttpClientSettings::default())
    }

    /// Makes an actor that calls `url` as `settings` say.
    ///
    /// # Errors
    /// `Malformed` with all that is wrong with the URL and the settings. For an `https` URL: `NotFound` where the file of
    /// authorities cannot be read, `Malformed` where it holds none, `Unavailable` where none are known.
    pub fn new(url: &str, settings: HttpClientSettings) -> Result<Self> {
        let mut problems = Vec::new();
        let template = Template::parse(url).map_err(|problem| problems.push(problem)).ok();
        let method = settings.method.as_deref().and_then(|method| {
            let parsed = Method::from_bytes(method.as_bytes());
            parsed.map_err(|_| problems.push(format!("`{method}` is not a method"))).ok()
        });
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, AGENT);
        for (name, value) in &settings.headers {
            match (header_name(name), HeaderValue::from_str(value)) {
                (Ok(name), Ok(mut value)) => {
                    value.set_sensitive(name == AUTHORIZATION);
                    headers.insert(name, value);
                }
                (Err(problem), _) => problems.push(problem),
                (_, Err(_)) => problems.push(format!("the value of the header `{name}` is not one that HTTP allows")),
            }
        }
        let mut names = |names: &[String]| -> Vec<HeaderName> {
            names.iter().filter_map(|name| header_name(name).map_err(|problem| problems.push(problem)).ok()).collect()
        };
        let (forward, keep) = (names(&settings.forward), names(&settings.keep));
        let template = match template {
            Some(template) if problems.is_empty() => template,
            _ => return Err(Error::malformed(format!("no HTTP client for `{url}`: {}", problems.join("; ")))),
        };
        let connector = connector::connector(template.is_https(), &settings)?;
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(settings.idle_time)
            .pool_max_idle_per_host(settings.idle_connections)
            .build(connector);
        Ok(Self {
            template,
            method,
            headers,
            forward: forward.into_iter().map(|name| (format!("http.header.{name}"), name)).collect(),
            keep,
            deadline: settings.deadline,
            largest_body: settings.largest_body,
            client,
        })
    }

    /// Makes the request that an event stands for.
    fn request(&self, event: &Event) -> Result<Request<Full<Bytes>>> {
        let uri = self.template.fill(event)?;
        let payload = event.payload();
        let method = match (&self.method, event.attributes().text("http.method")) {
            (Some(method), _) => method.clone(),
            (None, Some(method)) => Method::from_bytes(method.as_bytes())
                .map_err(|error| Error::malformed(format!("`{method}` is not a method")).caused_by(error))?,
            (None, None) if matches!(payload, Payload::Empty) => Method::GET,
            (None, None) => Method::POST,
        };
        let mut request = Request::new(Full::new(payload.to_bytes()));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        if let Some(content_type) = content_type(payload) {
            headers.insert(CONTENT_TYPE, content_type);
        }
        for (attribute, name) in &self.forward {
            if let Some(value) = event.attributes().text(attribute) {
                let value = HeaderValue::from_str(&value)
                    .map_err(|error| Error::malformed(format!("`{attribute}` cannot be a header")).caused_by(error))?;
                headers.insert(name, value);
            }
        }
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
        Ok(request)
    }

    /// Sends a request and reads the answer whole.
    async fn exchange(&self, request: Request<Full<Bytes>>, call: &Call) -> Result<Response<Bytes>> {
        let answer = self.client.request(request).await.map_err(|error| {
            let what = if error.is_connect() { "could not connect" } else { "got no answer" };
            Error::unavailable(format!("{call} {what}")).caused_by(error)
        })?;
        let too_large = || Error::too_large(format!("{call} got a body of more than {} bytes", self.largest_body));
        if announced(&answer).is_some_and(|length| length > self.largest_body as u64) {
            return Err(too_large());
        }
        let (head, body) = answer.into_parts();
        match Limited::new(body, self.largest_body).collect().await {
            Ok(body) => Ok(Response::from_parts(head, body.to_bytes())),
            Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
            Err(error) => Err(Error::unavailable(format!("{call} got an answer that broke off")).caused_by(error)),
        }
    }
}

impl Actor for HttpClient {
    async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        let request = self.request(event)?;
        let call = Call::of(&request);
        let own = Instant::now() + self.deadline;
        let limit = event.deadline().map_or(own, |deadline| deadline.min(own));
        let answer = match timeout_at(limit, self.exchange(request, &call)).await {
            Ok(answer) => answer?,
            Err(_) => return Err(Error::timeout(format!("{call} got no answer in time"))),
        };
        let (head, body) = answer.into_parts();
        if !head.status.is_success() && head.status != StatusCode::NOT_MODIFIED {
            return Err(refused(&call, head.status, &head.headers, &body));
        }
        // What the other server did wrong is no fault of the event's.
        let payload = payload(&head.headers, body).map_err(|error| {
            Error::internal(format!("{call} got a body that is not what its content type says")).caused_by(error)
        })?;
        let mut derived = event.derive(payload).with_status(head.status.as_u16());
        for name in &self.keep {
            for (number, value) in head.headers.get_all(name).iter().enumerate() {
                let value = String::from_utf8_lossy(value.as_bytes());
                derived = match number {
                    0 => derived.with_reply_header(name.as_str(), value),
                    _ => derived.with_added_reply_header(name.as_str(), value),
                };
            }
        }
        out.push(derived);
        Ok(())
    }
}

/// The method and the URL without its query, which may hold what should not be logged.
struct Call(String);

impl Call {
    fn of<B>(request: &Request<B>) -> Self {
        let uri = request.uri();
        let authority = uri.authority().map_or("", http::uri::Authority::as_str);
        Self(format!("`{} {}://{authority}{}`", request.method(), uri.scheme_str().unwrap_or("http"), uri.path()))
    }
}

impl fmt::Display for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

fn header_name(name: &str) -> Result<HeaderName, String> {
    match HeaderName::from_bytes(name.as_bytes()) {
        Ok(name) if RESERVED.contains(&name.as_str()) => Err(format!("the header `{name}` is the client's own")),
        Ok(name) => Ok(name),
        Err(_) => Err(format!("`{name}` is not the name of a header")),
    }
}

fn content_type(payload: &Payload) -> Option<HeaderValue> {
    let name = match payload {
        Payload::Empty => return None,
        Payload::Text(_) => "text/plain; charset=utf-8",
        Payload::Json(_) => "application/json",
        Payload::Xml(_) => "application/xml",
        _ => "application/octet-stream",
    };
    Some(HeaderValue::from_static(name))
}

fn announced(answer: &Response<Incoming>) -> Option<u64> {
    answer.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Makes the error of an answer that is no success; the beginning of its body is the cause, for the log.
fn refused(call: &Call, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
    const SHOWN: usize = 512;
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(kind) = kind_of(status) else {
        let target = text(LOCATION).unwrap_or("nowhere");
        return Error::internal(format!("{call} got {}, to `{target}`; redirects are not followed", status.as_u16()));
    };
    let mut error = Error::new(kind, format!("{call} got {}", status.as_u16()));
    if let Some(seconds) = text(RETRY_AFTER).and_then(|value| value.parse().ok()) {
        error = error.retry_after(Duration::from_secs(seconds));
    }
    if !body.is_empty() {
        error = error.caused_by(String::from_utf8_lossy(&body[..body.len().min(SHOWN)]));
    }
    error
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("HttpClient").field("url", &self.template).finish_non_exhaustive()
    }
}

/// Shows the names of the headers, not their values: they may be secrets.
impl fmt::Debug for HttpClientSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("HttpClientSettings")
            .field("method", &self.method)
            .field("headers", &self.headers.keys())
            .field("forward", &self.forward)
            .field("keep", &self.keep)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}
