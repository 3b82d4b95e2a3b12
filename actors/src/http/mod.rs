//! HTTP: a server whose requests become events and whose events become replies.
//!
//! [`HttpServer`] is the actor. A request leaves it by the outbox of its [`Route`], as an event whose payload is the body
//! and whose attributes show the head; an event with the same id, on any of its inboxes, is the reply. [`HttpRequest`] and
//! [`HttpReply`] are typed views of these attributes, [`HttpLimits`] what a client may ask for.
//! What lives longer than one exchange is opened by a route too: event streams and WebSockets.

mod accept;
mod access;
mod admission;
mod answer;
mod audience;
mod body;
mod clock;
#[cfg(feature = "compression")]
mod compression;
mod connection;
mod cors;
mod error_body;
mod event_stream;
mod exchange;
mod form;
mod form_body;
mod forwarded;
#[cfg(feature = "websocket")]
mod handshake;
mod head;
mod http1;
mod http2;
mod inflow;
mod intake;
mod limits;
mod live;
mod media;
mod opening;
mod parting;
mod payload;
mod pending;
mod reception;
mod reply;
mod rest_response;
#[cfg(feature = "websocket")]
mod room;
mod route;
mod routes;
mod server;
mod set_status;
mod staged;
mod status;
mod stream;
mod upload;
mod view;
mod watch;
#[cfg(feature = "websocket")]
mod web_socket;

#[cfg(feature = "tls")]
pub use crate::tls::Tls;
pub use access::AccessLog;
#[cfg(feature = "websocket")]
pub(crate) use connection::{close, linger};
pub use cors::Cors;
pub use event_stream::EventStreamSettings;
mod window;

#[cfg(feature = "compression")]
pub use compression::Compression;
pub use form_body::{FormBody, FormBodySettings};
pub use http::{Method, StatusCode};
pub use limits::HttpLimits;
#[cfg(feature = "http-client")]
pub(crate) use payload::payload;
pub use reception::HttpStatistics;
pub use rest_response::{RestResponse, RestResponseSettings};
pub use route::Route;
pub use server::HttpServer;
pub use set_status::SetStatus;
#[doc(hidden)]
pub use staged::{HttpAnswer, HttpCall, HttpExchange};
pub use status::{kind_of, status_of};
pub use view::{HttpReply, HttpRequest, REPLY_HEADER, STATUS};
#[cfg(feature = "websocket")]
pub use web_socket::WebSocketSettings;
