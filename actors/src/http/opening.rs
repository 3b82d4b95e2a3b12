//! What a route opens in place of an answer: an event stream, or a WebSocket.

use std::sync::Arc;

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};
#[cfg(feature = "websocket")]
use playhouse_engine::Attributes;
use playhouse_engine::Error;

use super::body::ReplyBody;
use super::connection::Connection;
use super::event_stream::{EVENT_STREAM, check_accept};
use super::head::Head;
use super::live::Live;
use super::reply::{Refusal, Reply, apply_headers};
use super::route::{Opens, OpensKind};
use super::routes::Target;
use super::view::{STATUS, reply_status};

/// What a client names that lost its connection.
const LAST_EVENT_ID: &str = "last-event-id";
/// Tells nginx, and others that do as it does, to pass on what comes at once.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Refuses what cannot be opened, before the flow is asked.
pub(crate) fn check(opens: &Opens, head: &Head, connection: &Connection) -> Result<(), Refusal> {
    if connection.reception.is_stopping() {
        return Err(Error::unavailable("the server stops").into());
    }
    match opens.kind {
        OpensKind::EventStream => check_accept(&head.parts.headers),
        #[cfg(feature = "websocket")]
        OpensKind::WebSocket => super::handshake::check(head, &connection.reception),
    }
}

/// Says whether a reply lets a client in.
pub(crate) fn lets_in(reply: &Reply) -> bool {
    let status = reply.attributes.get(STATUS).map(|value| reply_status(&value));
    reply.error.is_none() && status.is_none_or(|status| status.is_some_and(|status| status.is_success()))
}

/// Opens what the route of `target` opens; `is_alone` says whether the connection has no other exchange beside this one.
pub(crate) fn open(
    connection: &Arc<Connection>,
    head: &Arc<Head>,
    target: &Target,
    reply: Option<&Reply>,
    is_alone: bool,
) -> Result<Response<ReplyBody>, Refusal> {
    let live = target.opens.as_ref().and_then(|opens| Some((opens, connection.reception.lives.get(&opens.inbox)?)));
    let Some((opens, live)) = live else {
        return Err(Error::internal("a route opens what was never made").into());
    };
    let mut response = match live {
        Live::EventStream(audience) => {
            let mut response = Response::new(ReplyBody::default());
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
            if head.parts.method != Method::HEAD {
                let topic = opens.topic.as_deref().and_then(|name| head.variable_or_parameter(name));
                let last = head.parts.headers.get(LAST_EVENT_ID).map(HeaderValue::as_bytes);
                let last = last.and_then(|last| std::str::from_utf8(last).ok()).filter(|last| !last.is_empty());
                let topic = topic.map(|topic| topic.into_owned().into_boxed_str());
                let place = audience.admit(connection, is_alone, topic, last)?;
                *response.body_mut() = ReplyBody::fed(place);
            }
            response
        }
        #[cfg(feature = "websocket")]
        Live::WebSocket(room) => {
            let attributes = match reply {
                Some(reply) => reply.attributes.clone(),
                None => Attributes::over(head.clone()),
            };
            super::handshake::open(connection, head, room, target.messages, attributes)?
        }
    };
    if let Some(reply) = reply {
        let is_open = response.status() == StatusCode::OK;
        apply_headers(&reply.attributes, response.headers_mut(), |name| !is_open || *name != CONTENT_TYPE);
    }
    Ok(response)
}
