//! One of several processes.

mod datagram;
mod machine;
mod settings;
#[cfg(test)]
mod simulation;

pub use settings::{LeaderSettings, Members};
