//! Tools for testing actors that stand behind an HTTP server, beside those of [`playhouse_engine::testing`]: a request as the
//! server would make an event of it, and the answer that it would give, without a socket.

#[doc(inline)]
pub use crate::http::{HttpAnswer, HttpCall, HttpExchange};
