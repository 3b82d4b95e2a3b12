//! The actors of playhouse, each behind a feature named after it; those that need no crate of their own are always there.

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
mod key;
mod keyed_queue;
mod null;
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
pub use key::KeyFrom;
pub use null::Null;
pub use split::{Split, SplitForm, SplitSettings};
pub use stdout::{Stdout, StdoutSettings};
pub use tally::Tally;
pub use throttle::{Throttle, ThrottleMode, ThrottleSettings};
#[cfg(feature = "xslt")]
pub use xslt::Xslt;
