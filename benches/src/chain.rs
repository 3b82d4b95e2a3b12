//! A source, ten actors that pass on what they are given, and a sink. Each entrant returns the time from the first send
//! to the last arrival.

pub mod actix;
pub mod flume;
pub mod kameo;
pub mod playhouse;
pub mod ractor;
pub mod tokio;

/// How many actors pass on.
pub const ACTORS: usize = 10;

/// How many hops an event makes.
pub const HOPS: usize = ACTORS + 1;

/// How many events each queue holds.
pub const CAPACITY: usize = 1024;
