//! The actors of playhouse, each behind a feature named after it; those that need no crate of their own are always there.

#[cfg(feature = "auth")]
mod basic_auth;
#[cfg(feature = "cookie")]
mod cookie_seal;
mod generator;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "http-client")]
mod http_client;
mod json_path;
mod method_router;
mod null;
#[cfg(feature = "cookie")]
mod read_cookie;
mod round_robin;
#[cfg(feature = "router")]
pub mod router;
mod set_attribute;
#[cfg(feature = "cookie")]
mod set_cookie;
mod stdout;
#[cfg(feature = "template")]
mod switch;
#[cfg(feature = "template")]
mod template;
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
#[cfg(feature = "cookie")]
pub use read_cookie::{InvalidCookie, ReadCookie, ReadCookieSettings};
pub use round_robin::RoundRobin;
#[cfg(feature = "router")]
pub use router::{DocumentRouter, Router, RouterSettings, When};
#[cfg(feature = "xslt")]
pub use set_attribute::SetFromXml;
pub use set_attribute::{Missing, Set, SetAttribute};
#[cfg(feature = "cookie")]
pub use set_cookie::{SameSite, SetCookie, SetCookieSettings};
pub use stdout::{Stdout, StdoutSettings};
#[cfg(feature = "template")]
pub use switch::{Case, Switch, SwitchSettings};
#[cfg(feature = "template")]
pub use template::{Template, TemplateKind, TemplateSettings};
#[cfg(feature = "xslt")]
pub use xslt::Xslt;
