//! One file for each command.

pub(crate) mod broker;
pub(crate) mod call;
pub(crate) mod keys;
pub(crate) mod registry;
pub(crate) mod reply;
pub(crate) mod services;
pub(crate) mod worker;
