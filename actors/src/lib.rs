//! The actors of playhouse, each behind a feature named after it; those that need no crate of their own are always there.

#[cfg(any(feature = "convert", feature = "json-schema", feature = "router", feature = "template", feature = "xslt"))]
mod aside;
#[cfg(feature = "auth")]
mod basic_auth;
mod batch;
#[cfg(feature = "cache")]
mod cache;
mod content;
#[cfg(feature = "cookie")]
mod cookie_seal;
mod dedup;
mod delay;
#[cfg(feature = "exec")]
mod exec;
#[cfg(feature = "leader")]
mod fence;
#[cfg(feature = "files")]
mod file_sink;
#[cfg(feature = "files")]
mod file_source;
#[cfg(feature = "files")]
mod files;
mod fragment;
mod generator;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "http-client")]
mod http_client;
mod join;
mod json_path;
#[cfg(feature = "json-schema")]
mod json_schema;
#[cfg(feature = "convert")]
mod json_to_xml;
#[cfg(feature = "convert")]
pub mod json_xml;
mod key;
mod keyed_queue;
#[cfg(feature = "leader")]
mod leader;
#[cfg(any(feature = "http", feature = "net", feature = "smtp-in"))]
mod listen;
#[cfg(feature = "files")]
mod log_events;
#[cfg(feature = "files")]
mod log_file;
#[cfg(feature = "files")]
mod log_level;
mod method_router;
mod null;
mod part;
#[cfg(feature = "files")]
mod printable;
#[cfg(feature = "convert")]
mod properties_to_xml;
#[cfg(feature = "cookie")]
mod read_cookie;
mod round_robin;
#[cfg(feature = "router")]
pub mod router;
mod set_attribute;
#[cfg(feature = "cookie")]
mod set_cookie;
#[cfg(feature = "smtp-out")]
mod smtp_sink;
#[cfg(feature = "smtp-in")]
mod smtp_source;
mod span;
mod split;
#[cfg(test)]
mod stage;
mod stdout;
#[cfg(feature = "template")]
mod switch;
mod tally;
#[cfg(feature = "net")]
mod tcp;
#[cfg(feature = "template")]
mod template;
#[cfg(feature = "http")]
pub mod testing;
mod throttle;
#[cfg(any(feature = "tls", feature = "http-client"))]
mod tls;
#[cfg(feature = "net")]
mod udp_source;
mod upkeep;
#[cfg(feature = "websocket")]
mod web_socket;
mod whole_event;
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
#[cfg(feature = "exec")]
pub use exec::{Exec, ExecMode, ExecSettings};
#[cfg(feature = "leader")]
pub use fence::{Fence, FenceSettings};
#[cfg(feature = "files")]
pub use file_sink::{Existing, FileSink, FileSinkForm, FileSinkSettings, LineBreaks};
#[cfg(feature = "files")]
pub use file_source::{FileSource, FileSourceForm, FileSourceSettings, OnFailure};
#[cfg(feature = "cron")]
pub use generator::{Cron, Missed};
pub use generator::{Generator, Schedule};
#[cfg(feature = "http")]
pub use http::{FormBody, FormBodySettings, HttpServer, RestResponse, RestResponseSettings, SetStatus};
#[cfg(feature = "http-client")]
pub use http_client::{HttpClient, HttpClientSettings};
pub use join::{Join, JoinMode, JoinSettings};
#[cfg(feature = "json-schema")]
pub use json_schema::{Draft, JsonSchema, JsonSchemaSettings};
#[cfg(feature = "convert")]
pub use json_to_xml::JsonToXml;
pub use key::KeyFrom;
#[cfg(feature = "leader")]
pub use leader::{Leader, LeaderDatagrams, LeaderSettings, LeaderStatus, Members};
#[cfg(feature = "files")]
pub use log_events::{LogEvents, LogEventsSettings};
#[cfg(feature = "files")]
pub use log_file::{LogFile, LogFileSettings, LogPeriod};
#[cfg(feature = "files")]
pub use log_level::LogLevel;
pub use method_router::{AllowedMethods, MethodRouter};
pub use null::Null;
pub use part::{Part, PartEnd};
#[cfg(feature = "convert")]
pub use properties_to_xml::{PropertiesToXml, PropertiesToXmlSettings};
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
#[cfg(feature = "smtp-out")]
pub use smtp_sink::{MailForm, RefusedRecipients, SmtpSink, SmtpSinkSettings, SmtpTls};
#[cfg(feature = "smtp-in")]
pub use smtp_source::{MailPayload, SmtpSource, SmtpSourceSettings};
pub use split::{Split, SplitForm, SplitSettings};
pub use stdout::{Stdout, StdoutSettings};
#[cfg(feature = "template")]
pub use switch::{Case, Switch, SwitchSettings};
pub use tally::Tally;
#[cfg(feature = "net")]
pub use tcp::{Framing, InvalidText, TcpSink, TcpSinkSettings, TcpSource, TcpSourceSettings};
#[cfg(feature = "template")]
pub use template::{Template, TemplateKind, TemplateSettings};
pub use throttle::{Throttle, ThrottleMode, ThrottleSettings};
#[cfg(feature = "tls")]
pub use tls::Tls;
#[cfg(all(feature = "net", feature = "tls"))]
pub use tls::TlsClient;
#[cfg(feature = "net")]
pub use udp_source::{DatagramFormat, UdpSource, UdpSourceSettings};
#[cfg(feature = "websocket")]
pub use web_socket::{WebSocketClient, WebSocketClientSettings, WebSocketLimits};
#[cfg(feature = "convert")]
pub use xml_to_json::XmlToJson;
#[cfg(feature = "xslt")]
pub use xsd::{Xsd, XsdSettings};
#[cfg(feature = "xslt")]
pub use xslt::Xslt;
