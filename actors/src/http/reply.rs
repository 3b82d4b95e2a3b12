//! From a reply event, or an error, to the answer that the client gets.

use std::error::Error as _;

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE, VARY, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use playhouse_engine::{Attributes, Error, Event, EventId, Kind, Payload, Value};

use super::body::ReplyBody;
use super::error_body::error_body;
use super::media::ErrorForm;
use super::status::status_of;
use super::view::{REPLY_HEADER, STATUS, reply_status};
use crate::AllowedMethods;

/// What an event says that answers a request.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) payload: Payload,
    pub(crate) attributes: Attributes,
    pub(crate) error: Option<Error>,
}

impl Reply {
    /// Returns what `event` says.
    pub(crate) fn of(event: &Event) -> Self {
        Self { payload: event.payload().clone(), attributes: event.attributes().clone(), error: event.error().cloned() }
    }

    /// Says whether it has a status that a client can be told.
    pub(crate) fn has_status(&self) -> bool {
        self.attributes.get(STATUS).is_none_or(|status| reply_status(&status).is_some())
    }
}

/// What an answer depends on beside the reply.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) headers: &'a HeaderMap,
    pub(crate) is_head: bool,
    /// What can be done at the place that was asked for.
    pub(crate) allow: &'a HeaderValue,
    /// What a client is asked for that is not logged in.
    pub(crate) challenge: &'a HeaderValue,
    pub(crate) id: Option<EventId>,
}

/// Why a request is refused: an error, where another status code says it better than the error's kind, and what else the
/// client should know.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) error: Error,
    pub(crate) status: Option<StatusCode>,
    pub(crate) accept: Option<HeaderValue>,
    pub(crate) accept_encoding: Option<HeaderValue>,
    /// Whether nothing more is taken on this connection.
    pub(crate) close: bool,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self { error, status: None, accept: None, accept_encoding: None, close: false }
    }
}

impl Refusal {
    pub(crate) fn with_status(error: Error, status: StatusCode) -> Self {
        Self { status: Some(status), ..Self::from(error) }
    }
}

/// Makes the answer to a reply.
pub(crate) fn answer(reply: Reply, asked: Asked<'_>) -> Response<ReplyBody> {
    if let Some(error) = reply.error {
        let mut response = refuse(Refusal::from(error), asked);
        // An error's own body and length stand; what else the flow says beside it, such as a challenge, counts.
        apply_headers(&reply.attributes, response.headers_mut(), |name| *name != CONTENT_TYPE);
        return response;
    }
    let mut status = StatusCode::OK;
    let mut has_headers = false;
    for (name, value) in reply.attributes.set_by_hand() {
        if name.as_str() == STATUS {
            match reply_status(value) {
                Some(given) => status = given,
                None => {
                    let message = format!("`{STATUS}` of a reply is `{value}`; expected 200 to 599");
                    return refuse(Error::internal(message).into(), asked);
                }
            }
        }
        has_headers |= name.starts_with(REPLY_HEADER);
    }
    let has_body = may_have_body(status);
    let content_type = match &reply.payload {
        _ if !has_body => None,
        Payload::Empty => None,
        Payload::Text(_) => Some(HeaderValue::from_static("text/plain; charset=utf-8")),
        Payload::Json(_) => Some(HeaderValue::from_static("application/json")),
        Payload::Xml(_) => Some(HeaderValue::from_static("application/xml")),
        _ => Some(HeaderValue::from_static("application/octet-stream")),
    };
    let bytes = if has_body { into_bytes(reply.payload) } else { Bytes::new() };
    let mut response = with_body(status, bytes, asked.is_head && has_body);
    if let Some(content_type) = content_type {
        // hyper reads the next request's headers into this map, and a client's requests are alike.
        response.headers_mut().reserve(asked.headers.len());
        response.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    if has_headers {
        apply_headers(&reply.attributes, response.headers_mut(), |_| true);
    }
    response
}

/// Says whether an answer with the status may have a body.
pub(crate) fn may_have_body(status: StatusCode) -> bool {
    !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED | StatusCode::RESET_CONTENT)
}

/// Makes the answer that refuses a request.
pub(crate) fn refuse(refusal: Refusal, asked: Asked<'_>) -> Response<ReplyBody> {
    let Refusal { error, status, accept, accept_encoding, .. } = refusal;
    if error.kind() == Kind::Internal {
        let id = asked.id.map(tracing::field::display);
        tracing::error!(id, actor = error.actor(), error = %error, "a request failed");
    }
    let form = ErrorForm::wanted_by(asked.headers);
    let status = status.unwrap_or_else(|| status_of(error.kind()));
    let mut response = with_body(status, error_body(&error, form, asked.id), asked.is_head);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, form.content_type());
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, asked.challenge.clone());
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        // A router behind the route may take fewer methods than the route, and then says which.
        let router = error.source().and_then(|cause| cause.downcast_ref::<AllowedMethods>());
        let allow = router.and_then(|allowed| HeaderValue::from_str(allowed.as_str()).ok());
        headers.insert(ALLOW, allow.unwrap_or_else(|| asked.allow.clone()));
    }
    if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
        headers.insert(RETRY_AFTER, retry_after(&error));
    }
    if let Some(accept) = accept {
        headers.insert(ACCEPT, accept);
    }
    #[cfg(feature = "websocket")]
    if status == StatusCode::UPGRADE_REQUIRED {
        super::handshake::ask_for_upgrade(headers);
    }
    if let Some(accept) = accept_encoding {
        headers.insert(ACCEPT_ENCODING, accept);
    }
    response
}

/// Makes an answer without a body that says what can be done.
pub(crate) fn options(allow: &HeaderValue) -> Response<ReplyBody> {
    let mut response = empty(StatusCode::NO_CONTENT);
    response.headers_mut().insert(ALLOW, allow.clone());
    response
}

/// Makes an answer without a body.
pub(crate) fn empty(status: StatusCode) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::default());
    *response.status_mut() = status;
    response
}

/// Returns the whole seconds after which a client may try again; at least one.
pub(crate) fn retry_after(error: &Error) -> HeaderValue {
    let wait = error.wait().unwrap_or_default();
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    HeaderValue::from(seconds.max(1))
}

fn with_body(status: StatusCode, bytes: Bytes, is_head: bool) -> Response<ReplyBody> {
    if !is_head {
        let mut response = Response::new(ReplyBody::from(bytes));
        *response.status_mut() = status;
        return response;
    }
    let mut response = empty(status);
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    response
}

/// Says that the answer depends on a header of the request, unless that is said already.
pub(crate) fn add_vary(headers: &mut HeaderMap, name: &'static str) {
    let said = headers.get_all(VARY).iter().filter_map(|value| value.to_str().ok());
    let is_said = said
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|known| known == "*" || known.eq_ignore_ascii_case(name));
    if !is_said {
        headers.append(VARY, HeaderValue::from_static(name));
    }
}

/// Returns what a payload is on the wire.
pub(crate) fn into_bytes(payload: Payload) -> Bytes {
    match payload {
        Payload::Text(text) => text.into_bytes(),
        Payload::Bytes(bytes) => bytes,
        other => other.to_bytes(),
    }
}

pub(crate) fn apply_headers(attributes: &Attributes, headers: &mut HeaderMap, takes: impl Fn(&HeaderName) -> bool) {
    for (name, value) in attributes.set_by_hand() {
        let Some(name) = name.strip_prefix(REPLY_HEADER) else { continue };
        let Ok(name) = HeaderName::try_from(name) else {
            tracing::warn!(header = name, "a reply has a header whose name HTTP does not allow");
            continue;
        };
        if is_ours(&name) || !takes(&name) {
            continue;
        }
        let lines = match value {
            Value::Json(lines) => lines.as_array().map_or(&[][..], Vec::as_slice),
            value => {
                put_header(headers, &name, value.to_string(), false);
                continue;
            }
        };
        for (number, line) in lines.iter().filter_map(serde_json::Value::as_str).enumerate() {
            put_header(headers, &name, line.to_owned(), number > 0);
        }
    }
}

fn put_header(headers: &mut HeaderMap, name: &HeaderName, value: String, beside_others: bool) {
    match HeaderValue::try_from(value) {
        Ok(value) if beside_others => {
            headers.append(name, value);
        }
        Ok(value) => {
            headers.insert(name, value);
        }
        Err(_) => tracing::warn!(header = %name, "a reply has a header whose value HTTP does not allow"),
    }
}

/// Says whether a header frames the message, which is the server's own business.
fn is_ours(name: &HeaderName) -> bool {
    const KEEP_ALIVE: &str = "keep-alive";
    [CONNECTION, CONTENT_LENGTH, TE, TRAILER, TRANSFER_ENCODING, UPGRADE].contains(name) || name == KEEP_ALIVE
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body::Body as _;
    use playhouse_engine::Xml;

    use super::*;
    use crate::http::view::HttpReply;

    fn answered(event: Event, is_head: bool) -> Response<ReplyBody> {
        let reply = Reply::of(&event);
        let (headers, challenge) = (HeaderMap::new(), HeaderValue::from_static("Basic realm=\"test\""));
        let allow = HeaderValue::from_static("GET");
        answer(reply, Asked { headers: &headers, is_head, allow: &allow, challenge: &challenge, id: None })
    }

    #[test]
    fn the_content_type_follows_the_payload_unless_the_reply_says_another() {
        let payloads: [(Payload, &str, &str); 4] = [
            (Xml::new("<a/>").into(), "application/xml", "<a/>"),
            (serde_json::json!({ "a": 1 }).into(), "application/json", "{\"a\":1}"),
            ("text".into(), "text/plain; charset=utf-8", "text"),
            (b"bytes".to_vec().into(), "application/octet-stream", "bytes"),
        ];
        for (payload, content_type, body) in payloads {
            let response = answered(Event::new(payload), false);
            assert_eq!((response.status(), &response.body().bytes()[..]), (StatusCode::OK, body.as_bytes()));
            assert_eq!(response.headers()[CONTENT_TYPE], content_type);
        }
        let response = answered(Event::new("a,b").with_reply_header("content-type", "text/csv"), false);
        assert_eq!(response.headers()[CONTENT_TYPE], "text/csv");
        assert!(!answered(Event::new(()), false).headers().contains_key(CONTENT_TYPE));
    }

    #[test]
    fn a_reply_sets_its_status_and_headers_but_not_the_framing() {
        let event = Event::new("made")
            .with_status(201)
            .with_reply_header("Location", "/orders/7")
            .with_reply_header("Content-Length", "9999")
            .with_reply_header("Set-Cookie", "a=1")
            .with_added_reply_header("Set-Cookie", "b=2");
        let response = answered(event, false);
        assert_eq!(response.status(), StatusCode::CREATED);
        assert_eq!(response.headers()["location"], "/orders/7");
        assert!(!response.headers().contains_key(CONTENT_LENGTH));
        assert_eq!(response.headers().get_all("set-cookie").iter().count(), 2);
    }

    #[test]
    fn what_has_no_body_has_none() {
        let response = answered(Event::new("text").with_status(204), true);
        assert!(response.body().is_end_stream() && !response.headers().contains_key(CONTENT_LENGTH));
        let response = answered(Event::new("text"), true);
        assert!(response.body().is_end_stream());
        assert_eq!(response.headers()[CONTENT_LENGTH], "4");
    }

    #[test]
    fn a_status_that_is_none_is_an_internal_error() {
        assert_eq!(answered(Event::new("a").with_status(42), false).status(), StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[test]
    fn an_error_says_what_the_client_can_do() {
        let response = answered(Event::new(()).with_error(Error::unauthorized("who are you")), false);
        assert_eq!(response.headers()[WWW_AUTHENTICATE], "Basic realm=\"test\"");
        let event = Event::new(()).with_error(Error::unauthorized("who are you"));
        let response = answered(event.with_reply_header("WWW-Authenticate", "Bearer"), false);
        assert_eq!(response.headers()[WWW_AUTHENTICATE], "Bearer");
        let error = Error::overloaded("full").retry_after(Duration::from_millis(1200));
        assert_eq!(answered(Event::new(()).with_error(error), false).headers()[RETRY_AFTER], "2");
        let response = answered(Event::new(()).with_error(Error::not_allowed("no")), false);
        assert_eq!(response.headers()[ALLOW], "GET");
    }

    #[tokio::test]
    async fn a_method_router_says_what_is_allowed() {
        let router = crate::MethodRouter::of(["PUT", "DELETE"]).unwrap();
        let request = Event::new(()).with_attribute("http.method", "GET");
        let error = playhouse_engine::testing::feed(&router, request.clone()).await.unwrap_err();
        let response = answered(request.with_error(error), false);
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.headers()[ALLOW], "PUT, DELETE");
    }
}
