//! The actors of playhouse, each behind a feature named after it; those that need no crate of their own are always there.

#[cfg(feature = "convert")]
mod aside;
#[cfg(feature = "auth")]
mod basic_auth;
mod batch;
#[cfg(feature = "cache")]
mod cache;
mod content;
mod dedup;
mod delay;
mod fragment;
mod generator;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "http-client")]
mod http_client;
mod join;
#[cfg(feature = "json-schema")]
mod json_schema;
#[cfg(feature = "convert")]
mod json_to_xml;
#[cfg(feature = "convert")]
pub mod json_xml;
mod key;
mod keyed_queue;
mod null;
#[cfg(feature = "convert")]
mod properties_to_xml;
mod span;
mod split;
#[cfg(test)]
mod stage;
mod stdout;
mod tally;
#[cfg(feature = "http")]
pub mod testing;
mod throttle;
mod upkeep;
#[cfg(feature = "xslt")]
pub mod xml;
#[cfg(feature = "convert")]
mod xml_to_json;
#[cfg(feature = "xslt")]
mod xsd;
#[cfg(feature = "xslt")]
pub mod xslt;

#[cfg(feature = "auth")]
pub use basic_auth::{BasicAuth, BasicAuthSettings};
pub use batch::{Batch, BatchForm, BatchSettings};
#[cfg(feature = "cache")]
pub use cache::{Cache, CacheSettings};
pub use dedup::{Dedup, DedupSettings};
pub use delay::{Delay, DelaySettings};
pub use generator::{Generator, Schedule};
#[cfg(feature = "http")]
pub use http::HttpServer;
#[cfg(feature = "http-client")]
pub use http_client::{HttpClient, HttpClientSettings};
pub use join::{Join, JoinMode, JoinSettings};
#[cfg(feature = "json-schema")]
pub use json_schema::{Draft, JsonSchema, JsonSchemaSettings};
#[cfg(feature = "convert")]
pub use json_to_xml::JsonToXml;
pub use key::KeyFrom;
pub use null::Null;
#[cfg(feature = "convert")]
pub use properties_to_xml::{PropertiesToXml, PropertiesToXmlSettings};
pub use split::{Split, SplitForm, SplitSettings};
pub use stdout::{Stdout, StdoutSettings};
pub use tally::Tally;
pub use throttle::{Throttle, ThrottleMode, ThrottleSettings};
#[cfg(feature = "convert")]
pub use xml_to_json::XmlToJson;
#[cfg(feature = "xslt")]
pub use xsd::{Xsd, XsdSettings};
#[cfg(feature = "xslt")]
pub use xslt::Xslt;
