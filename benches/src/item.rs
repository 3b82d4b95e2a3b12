//! What travels.

use bytes::Bytes;
use playhouse::Payload;

/// A payload that a race sends around.
pub trait Item: AsRef<[u8]> + Into<Payload> + Send + Sync + std::fmt::Debug + 'static {
    /// The word for it in the name of a case.
    const WORD: &'static str;

    /// Returns what makes one for each event.
    fn maker() -> impl FnMut() -> Self + Send + 'static;
}

/// 100 bytes, shared by all events: one reference count for each.
impl Item for Bytes {
    const WORD: &'static str = "shared";

    fn maker() -> impl FnMut() -> Self + Send + 'static {
        let shared = Self::from(vec![7; 100]);
        move || shared.clone()
    }
}

/// 1 KiB of its own for each event, allocated by the source and freed by the sink.
impl Item for Vec<u8> {
    const WORD: &'static str = "owned";

    fn maker() -> impl FnMut() -> Self + Send + 'static {
        || vec![7; 1024]
    }
}
