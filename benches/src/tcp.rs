//! Entrants that carry payloads over one TCP connection of the loopback, from one task to another.

pub mod playhouse;
pub mod tokio;

use bytes::Bytes;

/// Returns a payload of `size` bytes that nobody has to make, copy or free.
fn payload(size: usize) -> Bytes {
    static PAYLOAD: [u8; 64 * 1024] = [7; 64 * 1024];
    Bytes::from_static(&PAYLOAD[..size])
}
