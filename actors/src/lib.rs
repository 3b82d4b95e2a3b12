//! The actors of playhouse, each behind a feature named after it; those that need no crate of their own are always there.

#[cfg(feature = "auth")]
mod basic_auth;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "xslt")]
pub mod xslt;

#[cfg(feature = "auth")]
pub use basic_auth::{BasicAuth, BasicAuthSettings};
#[cfg(feature = "http")]
pub use http::HttpServer;
#[cfg(feature = "xslt")]
pub use xslt::Xslt;
