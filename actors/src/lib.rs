//! The actors of playhouse, each behind a feature named after it; those that need no crate of their own are always there.

#[cfg(feature = "auth")]
mod basic_auth;
mod generator;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "http-client")]
mod http_client;
#[cfg(feature = "json-schema")]
mod json_schema;
mod null;
mod stdout;
#[cfg(feature = "xslt")]
pub mod xml;
#[cfg(feature = "xslt")]
mod xsd;
#[cfg(feature = "xslt")]
pub mod xslt;

#[cfg(feature = "auth")]
pub use basic_auth::{BasicAuth, BasicAuthSettings};
pub use generator::{Generator, Schedule};
#[cfg(feature = "http")]
pub use http::HttpServer;
#[cfg(feature = "http-client")]
pub use http_client::{HttpClient, HttpClientSettings};
#[cfg(feature = "json-schema")]
pub use json_schema::{Draft, JsonSchema, JsonSchemaSettings};
pub use null::Null;
pub use stdout::{Stdout, StdoutSettings};
#[cfg(feature = "xslt")]
pub use xsd::{Xsd, XsdSettings};
#[cfg(feature = "xslt")]
pub use xslt::Xslt;
