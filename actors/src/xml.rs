//! XML documents as trees, and XPath on them, by libxml2. Here lies too what [`Xslt`](crate::Xslt) shares with it.

mod document;
mod expression;
mod found;
pub(crate) mod libxml;
mod limits;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod sources;
mod xpath;

pub use found::Found;
pub use libxml::Document;
pub use limits::DocumentLimits;
pub use xpath::XPath;

/// From this size on, in bytes, a document is worked on in tokio's blocking pool, lest it hold a thread of the runtime: so
/// many take about half a millisecond, against which the way to the pool and back counts for little.
pub(crate) const LARGE: usize = 16 * 1024;
