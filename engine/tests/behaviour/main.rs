//! What the engine promises, a file a theme. The tests of delivery run with fusion and without.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod build_problems;
mod common;
mod delivery;
mod errors;
mod graph;
mod held;
mod lifecycle;
mod log_actor;
mod overflow;
mod receipts;
mod retry;
mod stress;
mod tools;
mod workers;
