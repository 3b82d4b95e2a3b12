//! The actors of playhouse, each behind a feature named after it; those that need no crate of their own are always there.

#[cfg(feature = "auth")]
mod basic_auth;
mod generator;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "http-client")]
mod http_client;
mod json_path;
mod method_router;
mod null;
mod round_robin;
#[cfg(feature = "router")]
pub mod router;
mod set_attribute;
mod stdout;
#[cfg(feature = "xslt")]
pub mod xml;
#[cfg(feature = "xslt")]
pub mod xslt;

#[cfg(feature = "auth")]
pub use basic_auth::{BasicAuth, BasicAuthSettings};
pub use generator::{Generator, Schedule};
#[cfg(feature = "http")]
pub use http::{FormBody, FormBodySettings, HttpServer, RestResponse, RestResponseSettings, SetStatus};
#[cfg(feature = "http-client")]
pub use http_client::{HttpClient, HttpClientSettings};
pub use method_router::{AllowedMethods, MethodRouter};
pub use null::Null;
pub use round_robin::RoundRobin;
#[cfg(feature = "router")]
pub use router::{DocumentRouter, Router, RouterSettings, When};
#[cfg(feature = "xslt")]
pub use set_attribute::SetFromXml;
pub use set_attribute::{Missing, Set, SetAttribute};
pub use stdout::{Stdout, StdoutSettings};
#[cfg(feature = "xslt")]
pub use xslt::Xslt;
