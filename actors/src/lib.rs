//! The actors of playhouse, each behind a feature named after it; those that need no crate of their own are always there.

#[cfg(feature = "convert")]
mod aside;
#[cfg(feature = "auth")]
mod basic_auth;
mod generator;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "http-client")]
mod http_client;
#[cfg(feature = "convert")]
mod json_to_xml;
#[cfg(feature = "convert")]
pub mod json_xml;
mod null;
#[cfg(feature = "convert")]
mod properties_to_xml;
mod stdout;
#[cfg(feature = "convert")]
mod xml_to_json;
#[cfg(feature = "xslt")]
pub mod xslt;

#[cfg(feature = "auth")]
pub use basic_auth::{BasicAuth, BasicAuthSettings};
pub use generator::{Generator, Schedule};
#[cfg(feature = "http")]
pub use http::HttpServer;
#[cfg(feature = "http-client")]
pub use http_client::{HttpClient, HttpClientSettings};
#[cfg(feature = "convert")]
pub use json_to_xml::JsonToXml;
pub use null::Null;
#[cfg(feature = "convert")]
pub use properties_to_xml::{PropertiesToXml, PropertiesToXmlSettings};
pub use stdout::{Stdout, StdoutSettings};
#[cfg(feature = "convert")]
pub use xml_to_json::XmlToJson;
#[cfg(feature = "xslt")]
pub use xslt::Xslt;
