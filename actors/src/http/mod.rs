//! HTTP: a server whose requests become events and whose events become replies.
//!
//! [`HttpServer`] is the actor. A request leaves it by the outbox of its [`Route`], as an event whose payload is the body
//! and whose attributes show the head; an event with the same id, on any of its inboxes, is the reply. [`HttpRequest`] and
//! [`HttpReply`] are typed views of these attributes, [`HttpLimits`] what a client may ask for.

mod accept;
mod admission;
mod answer;
mod body;
mod clock;
#[cfg(feature = "compression")]
mod compression;
mod connection;
mod error_body;
mod exchange;
mod form;
mod form_body;
mod head;
mod http1;
mod http2;
mod inflow;
mod intake;
mod limits;
mod media;
mod parting;
mod payload;
mod pending;
mod reception;
mod reply;
mod rest_response;
mod route;
mod routes;
mod server;
mod set_status;
mod staged;
mod status;
mod stream;
#[cfg(feature = "tls")]
mod tls;
mod upload;
mod view;
mod watch;
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
#[cfg(feature = "tls")]
pub use tls::Tls;
pub use view::{HttpReply, HttpRequest, REPLY_HEADER, STATUS};
