//! A request and its answer without a server, for tests: by the same code that the server runs.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use playhouse_engine::{Attributes, Error, Event, EventId, Payload};

use super::admission::{Admission, Variables, admit, too_large};
use super::body::ReplyBody;
use super::form::{Forms, Shaping};
use super::head::Head;
use super::limits::HttpLimits;
use super::payload::payload;
use super::reply::{Asked, Refusal, Reply, answer, options, refuse};
use super::route::Route;
use super::routes::{Routes, outboxes};
use crate::{Part, PartEnd};

/// A request that a test makes.
///
/// ```
/// use playhouse_actors::http::{HttpReply, HttpRequest, Route};
/// use playhouse_actors::testing::HttpCall;
/// use playhouse_engine::{Event, map, testing};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> playhouse_engine::Result<()> {
/// let create = map(|event: &Event| {
///     let number = HttpRequest::of(event).and_then(|request| request.variable("number")).unwrap_or_default();
///     event.derive(format!("order {number}")).with_status(201)
/// });
///
/// let routes = [Route::put("/orders/{number}").outbox("orders").takes(["application/json"])];
/// let call = HttpCall::put("/orders/7").body("application/json", r#"{"sku": 1}"#);
/// let exchange = call.arrive(&routes).expect("the server takes it");
/// assert_eq!(exchange.outbox(), "orders");
/// let outputs = testing::feed(&create, exchange.event()).await?;
/// let answer = exchange.answer(&outputs[0].event);
/// assert_eq!((answer.status(), answer.text().as_str()), (201, "order 7"));
/// assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
///
/// let refused = HttpCall::get("/orders/7").arrive(&routes).unwrap_err();
/// assert_eq!((refused.status(), refused.header("allow")), (405, Some("PUT, OPTIONS")));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct HttpCall {
    method: Method,
    uri: String,
    headers: HeaderMap,
    body: Bytes,
}

/// A request that the server has taken, and that waits for its answer.
#[derive(Debug)]
pub struct HttpExchange {
    id: EventId,
    head: Arc<Head>,
    payload: Payload,
    outbox: String,
    allow: HeaderValue,
    forms: Forms,
    streamed: bool,
}

/// What the client gets.
#[derive(Clone, Debug)]
pub struct HttpAnswer {
    status: u16,
    headers: Box<HeaderMap>,
    body: Bytes,
}

impl HttpCall {
    /// Makes a request without a body. Its host is `localhost`, where no other is set.
    #[must_use]
    pub fn new(method: Method, uri: impl Into<String>) -> Self {
        Self { method, uri: uri.into(), headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// Makes a `GET` request.
    #[must_use]
    pub fn get(uri: impl Into<String>) -> Self {
        Self::new(Method::GET, uri)
    }

    /// Makes a `POST` request.
    #[must_use]
    pub fn post(uri: impl Into<String>) -> Self {
        Self::new(Method::POST, uri)
    }

    /// Makes a `PUT` request.
    #[must_use]
    pub fn put(uri: impl Into<String>) -> Self {
        Self::new(Method::PUT, uri)
    }

    /// Makes a `PATCH` request.
    #[must_use]
    pub fn patch(uri: impl Into<String>) -> Self {
        Self::new(Method::PATCH, uri)
    }

    /// Makes a `DELETE` request.
    #[must_use]
    pub fn delete(uri: impl Into<String>) -> Self {
        Self::new(Method::DELETE, uri)
    }

    /// Adds a header.
    ///
    /// # Panics
    /// Where HTTP allows no such name or value: a server never sees one.
    #[must_use]
    #[track_caller]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let pair = http::HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_str(value).ok());
        let Some((header, value)) = pair else { panic!("`{name}: {value}` is not a header that HTTP allows") };
        self.headers.append(header, value);
        self
    }

    /// Sets the body and its content type.
    #[must_use]
    #[track_caller]
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.header("content-type", content_type)
    }

    /// Lets the request arrive at a server with these routes, or one without any, and the default limits.
    ///
    /// # Errors
    /// What the server answers where it does not take the request, or answers it itself.
    ///
    /// # Panics
    /// Where the URI or the routes make no sense.
    #[track_caller]
    pub fn arrive(self, routes: &[Route]) -> Result<HttpExchange, HttpAnswer> {
        let otherwise = [Route::otherwise()];
        let routes = if routes.is_empty() { &otherwise } else { routes };
        let table = Routes::new(routes).unwrap_or_else(|error| panic!("{error}"));
        let mut request = Request::builder().method(self.method).uri(&self.uri);
        if !self.headers.contains_key(HOST) {
            request = request.header(HOST, "localhost");
        }
        let request = request.body(()).unwrap_or_else(|error| panic!("`{}`: {error}", self.uri));
        let mut parts = request.into_parts().0;
        parts.headers.extend(self.headers);
        let limits = HttpLimits::default();
        let admission = admit(&table, &limits, &parts, Some(self.body.len() as u64), false);
        let allow = table.allow_for(parts.uri.path()).clone();
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 40_000));
        let head = |parts, variables: Variables| Head { parts, peer, variables, forwarded: None, scheme: "http" };
        let refused = |head: Head, refusal: Refusal| Err(HttpAnswer::of(refuse(refusal, asked(&head, &allow, None))));
        let (address, head) = match admission {
            Ok(Admission::Admitted(address, variables)) => (address, head(parts, variables)),
            Ok(Admission::Options) => return Err(HttpAnswer::of(options(&allow))),
            Err(refusal) => return refused(head(parts, Box::default()), refusal),
        };
        let streamed = table.target(address).streamed;
        let limit = if streamed { limits.streamed_size } else { limits.body_size };
        if self.body.len() > limit {
            return refused(head, too_large(limit));
        }
        let payload = match payload(&head.parts.headers, self.body.clone()) {
            _ if streamed && self.body.is_empty() => Payload::Empty,
            _ if streamed => Payload::Bytes(self.body),
            Ok(payload) => payload,
            Err(error) => return refused(head, error.into()),
        };
        let target = table.target(address);
        let Some(outbox) = target.outbox else {
            return refused(head, Error::unsupported("what this route opens needs a server that runs").into());
        };
        let (outbox, forms) = (outboxes(routes)[outbox].to_owned(), target.forms);
        Ok(HttpExchange { id: EventId::unique(), head: Arc::new(head), payload, outbox, allow, forms, streamed })
    }
}

impl HttpExchange {
    /// Returns the event that the server would make, with its deadline from now on. It has the same id each time.
    #[must_use]
    pub fn event(&self) -> Event {
        let event = Event::with_id(self.id, self.payload.clone())
            .with_attributes(Attributes::over(self.head.clone()))
            .expires_in(HttpLimits::default().deadline);
        if self.streamed { Part { number: 0, end: PartEnd::Last }.mark(event) } else { event }
    }

    /// Returns the outbox by which the event would leave the server.
    #[must_use]
    pub fn outbox(&self) -> &str {
        &self.outbox
    }

    /// Returns the answer that the server would give when `event` came back to it.
    ///
    /// # Panics
    /// Where the event has another id than the request's: the server would not know to whom it belongs.
    #[must_use]
    #[track_caller]
    pub fn answer(&self, event: &Event) -> HttpAnswer {
        assert_eq!(event.id(), self.id, "the event has another id than the request's, and would be no reply to it");
        let (reply, shaping) = (Reply::of(event), Shaping::of(self.forms, &self.head.parts.headers));
        let reply = match shaping {
            Some(shaping) => shaping.shape(reply),
            None => reply,
        };
        HttpAnswer::of(answer(reply, asked(&self.head, &self.allow, Some(self.id))))
    }

    /// Returns the answer that the server would give when the event came back to it along an error route.
    #[must_use]
    pub fn answer_error(&self, error: Error) -> HttpAnswer {
        self.answer(&self.event().with_error(error))
    }
}

fn asked<'a>(head: &'a Head, allow: &'a HeaderValue, id: Option<EventId>) -> Asked<'a> {
    static CHALLENGE: HeaderValue = HeaderValue::from_static("Basic realm=\"playhouse\", charset=\"UTF-8\"");
    let is_head = head.parts.method == Method::HEAD;
    Asked { headers: &head.parts.headers, is_head, allow, challenge: &CHALLENGE, id }
}

impl HttpAnswer {
    fn of(response: Response<ReplyBody>) -> Self {
        let (parts, body) = response.into_parts();
        Self { status: parts.status.as_u16(), headers: Box::new(parts.headers), body: body.bytes().clone() }
    }

    /// Returns the status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Returns the first header `name`, where it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns all headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Returns the body.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Returns the body as text; what is not UTF-8 shows the replacement character.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{HttpReply, HttpRequest};

    #[test]
    fn a_request_is_taken_or_refused_as_the_server_does() {
        let routes = [Route::post("/orders").outbox("orders").takes(["application/xml"]), Route::get("/stock/{sku}")];
        for (call, status) in [
            (HttpCall::get("/nowhere"), 404),
            (HttpCall::get("/orders"), 405),
            (HttpCall::post("/orders").body("text/plain", "a"), 415),
            (HttpCall::post("/orders").body("application/xml", vec![b'a'; (1 << 20) + 1]), 413),
            (HttpCall::get(format!("/stock/{}", "7".repeat(9000))), 414),
            (HttpCall::get("/stock/%ff"), 400),
            (HttpCall::get("/stock/7").header("host", "a").header("host", "b"), 400),
            (HttpCall::new(Method::OPTIONS, "/orders"), 204),
        ] {
            assert_eq!(call.clone().arrive(&routes).unwrap_err().status(), status, "{} {}", call.method, call.uri);
        }
        let exchange = HttpCall::get("/stock/a%20b?at=x").header("x-tag", "t").arrive(&routes).unwrap();
        assert_eq!(exchange.outbox(), "outbox");
        let event = exchange.event();
        let request = HttpRequest::of(&event).unwrap();
        assert_eq!(request.variable("sku").as_deref(), Some("a b"));
        assert_eq!((request.query("at").as_deref(), request.header("x-tag").as_deref()), (Some("x"), Some("t")));
        assert!(event.deadline().is_some());
    }

    #[test]
    fn an_answer_is_what_the_client_would_get() {
        let exchange = HttpCall::post("/").body("application/json", "{}").arrive(&[]).unwrap();
        let event = exchange.event();
        assert_eq!(event.payload().format().to_string(), "text");
        let answer = exchange.answer(&event.derive(serde_json::json!({"a": 1})).with_status(201));
        assert_eq!((answer.status(), answer.text().as_str()), (201, r#"{"a":1}"#));
        assert_eq!(answer.headers()["content-type"], "application/json");
        let error = Error::rate_exceeded("slowly").retry_after(std::time::Duration::from_millis(1500));
        let answer = exchange.answer_error(error);
        assert_eq!((answer.status(), answer.header("retry-after")), (429, Some("2")));
        assert!(answer.text().contains("slowly"));
    }
}
