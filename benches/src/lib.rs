//! What the benches are made of: a race between playhouse and its peers, and the entrants, one file each.
//!
//! A figure counts only beside a peer's that was taken in the same run: rounds go round the entrants, so that what else
//! the machine does meets all of them, and each pair is compared by the round whose ratio is the median.
//!
//! A word behind `--` picks the cases whose names hold it, and `--only=flume` one entrant, for a look with a profiler:
//! `cargo bench -p playhouse-benches --bench hop -- owned-mt --only=playhouse-unfused`.

pub mod actors;
pub mod chain;
pub mod fan;
pub mod files;
mod finish;
mod flavor;
pub mod http;
mod item;
pub mod many;
pub mod mdp;
mod offspring;
pub mod process;
mod race;
mod take;
pub mod tcp;
mod window;

pub use flavor::Flavor;
pub use item::Item;
pub use race::{Race, wanted};
