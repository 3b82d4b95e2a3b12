//! TLS by rustls: what a server shows, whom a client trusts, and what a client shows.

#[cfg(all(feature = "tls", any(feature = "net", feature = "smtp-out", feature = "websocket")))]
mod client;
mod pem;
#[cfg(feature = "tls")]
mod server;

#[cfg(all(feature = "tls", any(feature = "net", feature = "smtp-out", feature = "websocket")))]
pub use client::TlsClient;
#[cfg(feature = "http-client")]
pub(crate) use pem::roots;
#[cfg(feature = "tls")]
pub(crate) use server::Acceptor;
#[cfg(feature = "tls")]
pub use server::Tls;
