//! How a sink reaches the other side.

use std::time::Duration;

use playhouse_engine::{Error, Result};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::stream::Stream;
#[cfg(feature = "tls")]
use crate::tls::TlsClient;

/// Where the other side is: a host and a port.
#[derive(Clone, Debug)]
pub(super) struct Address {
    whole: String,
    #[cfg(feature = "tls")]
    host: String,
}

/// How long it may take to reach it, and how.
#[derive(Debug)]
pub(super) struct Dial {
    pub(super) connect_time: Duration,
    #[cfg(feature = "tls")]
    pub(super) handshake_time: Duration,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<TlsClient>,
}

impl Address {
    /// Reads an address such as `orders.internal:7000` or `[::1]:7000`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(Self {
                whole: text.to_owned(),
                #[cfg(feature = "tls")]
                host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            }),
            _ => Err(format!("`{text}` is no address; expected a host and a port, such as `orders.internal:7000`")),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.whole
    }
}

impl Dial {
    /// Looks the name up and connects.
    ///
    /// # Errors
    /// `Unavailable` with what stood in the way.
    pub(super) async fn connect(&self, address: &Address) -> Result<Stream> {
        let failed = || Error::unavailable(format!("cannot connect to `{}`", address.whole));
        let socket = match timeout(self.connect_time, TcpStream::connect(&address.whole)).await {
            Ok(Ok(socket)) => socket,
            Ok(Err(error)) => return Err(failed().caused_by(error)),
            Err(_) => return Err(failed().caused_by(format!("it took longer than {:?}", self.connect_time))),
        };
        // What waits for more to send is late; where it cannot be set, it is slow and right.
        let _ = socket.set_nodelay(true);
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return match timeout(self.handshake_time, tls.connect(&address.host, socket)).await {
                Ok(Ok(stream)) => Ok(Box::new(stream)),
                Ok(Err(error)) => Err(failed().caused_by(error)),
                Err(_) => Err(failed().caused_by("the TLS handshake took too long")),
            };
        }
        Ok(Box::new(socket))
    }
}
