//! What single actors do, beside programs of others that do the same: one file for each.

pub mod router;
