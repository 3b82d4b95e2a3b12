//! What a ROUTER and a DEALER of our own share: a connection over the codec of the crate `omq-proto`.

mod bundle;
mod link;
mod output;

pub(super) use link::{Link, Unshaken, take};
pub(super) use output::Pushed;
