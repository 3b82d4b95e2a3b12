//! Tests of the machine, the log and the store together, on a disk that loses what was not synced.

mod crash;
mod disk;
mod log;
mod machine;
mod random;
mod store;
mod world;
