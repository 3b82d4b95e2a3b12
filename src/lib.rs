//! Playhouse.
pub use playhouse_engine::*;
