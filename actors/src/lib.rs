//! The actors of playhouse, each behind a feature named after it.

#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "xslt")]
pub mod xslt;

#[cfg(feature = "http")]
pub use http::HttpServer;
#[cfg(feature = "xslt")]
pub use xslt::Xslt;
