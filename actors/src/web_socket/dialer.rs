//! How a client's connections are made: TCP, TLS over it for a `wss` URL, and the handshake.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use playhouse_engine::{Error, Result};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Error as SocketError;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::client::WebSocketClientSettings;
#[cfg(feature = "tls")]
use crate::tls::TlsClient;

/// Headers that the handshake has of its own.
const RESERVED: [&str; 6] =
    ["connection", "content-length", "host", "transfer-encoding", "upgrade", "sec-websocket-extensions"];

/// A connection, with TLS or without.
pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// Makes connections to one URL.
pub(super) struct Dialer {
    uri: Uri,
    host: String,
    port: u16,
    headers: HeaderMap,
    config: WebSocketConfig,
    #[cfg(feature = "tls")]
    tls: Option<TlsClient>,
}

impl Dialer {
    pub(super) fn new(url: &str, settings: &WebSocketClientSettings) -> Result<Self> {
        let mut problems = Vec::new();
        let uri: Option<Uri> = url.parse().ok();
        let is_secure = match uri.as_ref().and_then(Uri::scheme_str) {
            Some("ws") => Some(false),
            Some("wss") => Some(true),
            _ => None,
        };
        let host = uri.as_ref().and_then(Uri::host).filter(|host| !host.is_empty());
        let has_user = uri.as_ref().and_then(Uri::authority).is_some_and(|authority| authority.as_str().contains('@'));
        if is_secure.is_none() || host.is_none() || has_user {
            problems.push("expected `ws://HOST/PATH` or `wss://HOST/PATH`, without a user".to_owned());
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &settings.headers {
            let key = HeaderName::from_bytes(name.as_bytes()).ok();
            match key.filter(|key| !RESERVED.contains(&key.as_str()) && !key.as_str().starts_with("sec-websocket-")) {
                None => problems.push(format!("the header `{name}` is none that may be set")),
                Some(key) => match HeaderValue::from_str(value) {
                    Ok(mut value) => {
                        value.set_sensitive(true);
                        headers.insert(key, value);
                    }
                    Err(_) => problems.push(format!("the value of the header `{name}` is not one that HTTP allows")),
                },
            }
        }
        if !settings.protocols.is_empty() {
            match HeaderValue::from_str(&settings.protocols.join(", ")) {
                Ok(value) => drop(headers.insert(http::header::SEC_WEBSOCKET_PROTOCOL, value)),
                Err(_) => problems.push("`protocols` cannot stand in a header".to_owned()),
            }
        }
        let host = host.map(|host| host.trim_start_matches('[').trim_end_matches(']').to_owned());
        let (Some(uri), Some(is_secure), Some(host), true) = (uri, is_secure, host, problems.is_empty()) else {
            return Err(Error::malformed(format!("no WebSocket client for `{url}`: {}", problems.join("; "))));
        };
        #[cfg(not(feature = "tls"))]
        if is_secure {
            return Err(Error::unsupported(format!("`{url}` needs the feature `tls`")));
        }
        Ok(Self {
            port: uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 }),
            #[cfg(feature = "tls")]
            tls: if is_secure { Some(TlsClient::trusting_system_and(settings.authorities.as_deref())?) } else { None },
            uri,
            host,
            headers,
            config: settings.limits.config(),
        })
    }

    /// Makes a connection.
    ///
    /// # Errors
    /// `Unavailable`, with what the server said.
    pub(super) async fn dial(&self) -> Result<WebSocketStream<Box<dyn Wire>>> {
        let unreachable =
            |error: std::io::Error| Error::unavailable(format!("{self} cannot be reached")).caused_by(error);
        let socket = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(unreachable)?;
        // A message that waits for more to send is late; where it cannot be set, it is slow and right.
        let _ = socket.set_nodelay(true);
        #[cfg(feature = "tls")]
        let wire: Box<dyn Wire> = match &self.tls {
            Some(tls) => Box::new(tls.connect(&self.host, socket).await.map_err(unreachable)?),
            None => Box::new(socket),
        };
        #[cfg(not(feature = "tls"))]
        let wire: Box<dyn Wire> = Box::new(socket);
        let refused = |error: SocketError| Error::unavailable(format!("{self} was not opened")).caused_by(error);
        let mut request = self.uri.clone().into_client_request().map_err(refused)?;
        request.headers_mut().extend(self.headers.clone());
        let (socket, _) = client_async_with_config(request, wire, Some(self.config)).await.map_err(refused)?;
        Ok(socket)
    }
}

/// Shows the URL without its query, which may hold what should not be logged.
impl fmt::Display for Dialer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = self.uri.authority().map_or("", http::uri::Authority::as_str);
        write!(formatter, "{}://{authority}{}", self.uri.scheme_str().unwrap_or("ws"), self.uri.path())
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}
