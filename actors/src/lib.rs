//! The actors of playhouse, each behind a feature named after it.

#[cfg(feature = "xslt")]
pub mod xslt;

#[cfg(feature = "xslt")]
pub use xslt::Xslt;
