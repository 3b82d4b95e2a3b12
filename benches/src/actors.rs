//! What single actors do, beside programs of others or what one would write by hand: one file for each.

pub mod convert;
pub mod join;
mod python;
pub mod router;
pub mod validate;
