//! Entrants that carry payloads over one TCP connection of the loopback, from one task to another.

pub mod playhouse;
pub mod tokio;
