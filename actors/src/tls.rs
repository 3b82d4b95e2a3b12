//! TLS by rustls: what a server shows, whom a client trusts, and what a client shows.

#[cfg(all(feature = "net", feature = "tls"))]
mod client;
mod pem;
#[cfg(feature = "tls")]
mod server;

#[cfg(all(feature = "net", feature = "tls"))]
pub use client::TlsClient;
#[cfg(feature = "http-client")]
pub(crate) use pem::{add_authorities, system_authorities};
#[cfg(feature = "tls")]
pub(crate) use server::Acceptor;
#[cfg(feature = "tls")]
pub use server::Tls;
