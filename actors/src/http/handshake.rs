//! From a request to a WebSocket: RFC 6455, section 4.2.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version};
use playhouse_engine::{Attributes, Error, EventId};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::body::ReplyBody;
use super::connection::Connection;
use super::head::Head;
use super::reception::Reception;
use super::reply::Refusal;
use super::room::Room;
use crate::web_socket::{Intake, Leave, Link, PARTY};

const WEB_SOCKET: HeaderValue = HeaderValue::from_static("websocket");
const VERSION: HeaderValue = HeaderValue::from_static("13");

/// Refuses what is no opening handshake, or comes from a page that may not connect.
pub(crate) fn check(head: &Head, reception: &Reception) -> Result<(), Refusal> {
    let parts = &head.parts;
    if parts.method != Method::GET {
        return Err(Error::not_allowed("a WebSocket is opened with `GET`").into());
    }
    let upgrade =
        |message: &'static str| Refusal::with_status(Error::unsupported(message), StatusCode::UPGRADE_REQUIRED);
    let headers = &parts.headers;
    if parts.version != Version::HTTP_11 || !has_token(headers, &UPGRADE, "websocket") {
        return Err(upgrade("there is only a WebSocket here, over HTTP/1.1; expected `upgrade: websocket`"));
    }
    if !has_token(headers, &CONNECTION, "upgrade") {
        return Err(upgrade("a WebSocket is asked for with `connection: upgrade`"));
    }
    if headers.get(SEC_WEBSOCKET_VERSION) != Some(&VERSION) {
        return Err(upgrade("`sec-websocket-version` is not known; expected `13`"));
    }
    let has_body =
        headers.contains_key(TRANSFER_ENCODING) || headers.get(CONTENT_LENGTH).is_some_and(|value| value != "0");
    if key(headers).is_none() || has_body {
        let message =
            "a WebSocket is opened by a request without a body and with one `sec-websocket-key` of 16 bytes in Base64";
        return Err(Error::malformed(message).into());
    }
    reception.web_sockets.check_origin(head)
}

/// Says in an answer how a WebSocket is asked for.
pub(crate) fn ask_for_upgrade(headers: &mut HeaderMap) {
    headers.insert(UPGRADE, WEB_SOCKET);
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(SEC_WEBSOCKET_VERSION, VERSION);
}

/// Answers the handshake, and leaves with the connection what becomes of it.
pub(crate) fn open(
    connection: &Connection,
    head: &Head,
    room: &Arc<Room>,
    outbox: Option<usize>,
    mut attributes: Attributes,
) -> Result<Response<ReplyBody>, Refusal> {
    let settings = &connection.reception.web_sockets;
    let Some(key) = key(&head.parts.headers) else {
        return Err(Error::internal("a WebSocket is opened that was not checked").into());
    };
    let accept = HeaderValue::try_from(derive_accept_key(key));
    let mut response = Response::new(ReplyBody::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(UPGRADE, WEB_SOCKET);
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept.map_err(|error| Error::internal("no key").caused_by(error))?);
    if let Some(protocol) = settings.protocol(head)
        && let Ok(value) = HeaderValue::from_str(protocol)
    {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, value);
        attributes.set("websocket.protocol", protocol.to_owned());
    }
    connection.enter(Entrance { room: room.clone(), outbox, attributes });
    Ok(response)
}

/// What becomes of a connection whose handshake was answered.
#[derive(Debug)]
pub(crate) struct Entrance {
    room: Arc<Room>,
    outbox: Option<usize>,
    attributes: Attributes,
}

impl Entrance {
    /// Carries messages until the connection is over; `first` is what came behind the handshake.
    pub(crate) async fn serve<T>(self, reception: &Reception, socket: T, first: Bytes)
    where
        T: AsyncRead + AsyncWrite + Send + Unpin,
    {
        let Self { room, outbox, mut attributes } = self;
        let settings = &reception.web_sockets;
        let id: Box<str> = EventId::unique().to_string().into();
        attributes.set(PARTY, id.to_string());
        let under_way = TaskTracker::new();
        let intake = Intake {
            emitter: reception.emitter.clone(),
            outbox,
            attributes,
            stopping: reception.stop.clone(),
            under_way: Some(under_way.clone()),
        };
        let (sender, queue) = mpsc::channel(settings.limits.backlog.max(1));
        let cut = CancellationToken::new();
        let member = room.enter(id, sender, cut.clone());
        if settings.presence {
            let mut attributes = intake.attributes.clone();
            attributes.set("websocket.event", "open");
            // Where the flow stops, the connection is closed in a moment.
            let _ = intake.tell(attributes).await;
        }
        let config = Some(settings.limits.config());
        let socket = WebSocketStream::from_partially_read(socket, first.into(), Role::Server, config).await;
        let leave = async {
            let answered = async {
                intake.stopping.cancelled().await;
                under_way.close();
                under_way.wait().await;
            };
            tokio::select! {
                () = cut.cancelled() => Leave::new(CloseCode::Policy, "the messages are not taken fast enough"),
                () = answered => Leave::new(CloseCode::Away, "the server stops"),
            }
        };
        let code = Link::new(socket, queue, settings.limits.clone()).run(&intake, leave).await;
        drop(member);
        if settings.presence {
            let mut attributes = intake.attributes.clone();
            attributes.set("websocket.event", "close");
            attributes.set("websocket.code", i64::from(code));
            let _ = intake.tell(attributes).await;
        }
    }
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|item| item.trim().eq_ignore_ascii_case(token))
}

/// Returns the key of a handshake, where there is one and it is 16 bytes in Base64.
fn key(headers: &HeaderMap) -> Option<&[u8]> {
    let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
    let key = keys.next().filter(|_| keys.next().is_none())?.as_bytes();
    let digits = key.strip_suffix(b"==").filter(|digits| digits.len() == 22)?;
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    digits.iter().all(is_digit).then_some(key)
}
