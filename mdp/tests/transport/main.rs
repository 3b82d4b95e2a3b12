//! The sockets, by what their users see.

mod exchange;
mod support;
