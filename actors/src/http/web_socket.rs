//! How a server keeps the WebSockets of its routes.

use http::StatusCode;
use playhouse_engine::Error;
use serde::{Deserialize, Serialize};

use super::head::Head;
use super::reply::Refusal;
use crate::web_socket::WebSocketLimits;

/// How an [`HttpServer`](super::HttpServer) keeps the WebSockets of its routes. See
/// [`Route::web_socket`](super::Route::web_socket).
///
/// ```
/// use playhouse_actors::WebSocketLimits;
/// use playhouse_actors::http::WebSocketSettings;
///
/// let in_code = WebSocketSettings {
///     origins: vec!["https://example.org".into()],
///     limits: WebSocketLimits { backlog: 64, ..WebSocketLimits::default() },
///     ..WebSocketSettings::default()
/// };
/// let in_a_file: WebSocketSettings =
///     toml::from_str("origins = ['https://example.org']\nlimits = { backlog = 64 }").unwrap();
/// assert_eq!(in_code, in_a_file);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct WebSocketSettings {
    /// From which origins, such as `https://example.org`, a browser may connect; `*` is any. By default from the server's own
    /// host only: a page from elsewhere would connect with the user's cookies. What sends no origin is no browser.
    pub origins: Vec<String>,
    /// The subprotocols that are spoken; the first that the client names is chosen. None by default.
    pub protocols: Vec<String>,
    /// Whether the flow is told when a connection opens and closes, by events without a payload from the route's outbox, with
    /// the attribute `websocket.event`: `open`, or `close` with `websocket.code`. Not by default.
    pub presence: bool,
    /// How much a client may ask for, and for how long.
    pub limits: WebSocketLimits,
}

impl WebSocketSettings {
    /// Refuses pages of other sites.
    pub(crate) fn check_origin(&self, head: &Head) -> Result<(), Refusal> {
        let mut origins = head.parts.headers.get_all(http::header::ORIGIN).iter();
        let Some(origin) = origins.next() else { return Ok(()) };
        let text = origin.to_str().unwrap_or_default();
        let is_known = if self.origins.is_empty() {
            let host = text.split_once("://").map(|(_, host)| host);
            host.is_some_and(|host| head.host().is_some_and(|own| own.eq_ignore_ascii_case(host)))
        } else {
            self.origins.iter().any(|known| known == "*" || known.eq_ignore_ascii_case(text))
        };
        if is_known && origins.next().is_none() {
            return Ok(());
        }
        let error = Error::forbidden("pages of this origin may not connect here");
        Err(Refusal::with_status(error, StatusCode::FORBIDDEN))
    }

    /// Chooses a subprotocol that both sides speak.
    pub(crate) fn protocol(&self, head: &Head) -> Option<&str> {
        let offers = head.parts.headers.get_all(http::header::SEC_WEBSOCKET_PROTOCOL).iter();
        let mut offers = offers.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
        offers.find_map(|offer| self.protocols.iter().find(|known| *known == offer.trim()).map(String::as_str))
    }
}
