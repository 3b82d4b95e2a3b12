//! What the tests of the sockets share.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use bytes::Bytes;
use playhouse_mdp::protocol::Frames;
use playhouse_mdp::transport::{Endpoint, Kind, Socket, SocketSettings};
use tokio::time::{Instant, timeout};

/// How long anything may take that is to happen.
pub(crate) const SOON: Duration = Duration::from_secs(20);

#[track_caller]
pub(crate) fn open(kind: Kind) -> Socket {
    Socket::open(kind, &SocketSettings::default()).unwrap()
}

/// An address of each transport that nobody else has.
pub(crate) fn addresses() -> [Endpoint; 3] {
    let name = fastrand::u64(..);
    let path = std::env::temp_dir().join(format!("playhouse-{name:x}"));
    let texts = ["tcp://127.0.0.1:0".to_owned(), format!("ipc://{}", path.display()), format!("inproc://{name:x}")];
    texts.map(|text| text.parse().unwrap())
}

pub(crate) fn frames(parts: &[&str]) -> Frames {
    parts.iter().map(|part| Bytes::copy_from_slice(part.as_bytes())).collect()
}

/// The next message, or a failed test.
pub(crate) async fn next(socket: &Socket) -> Frames {
    let mut messages = Vec::new();
    timeout(SOON, socket.receive(&mut messages, 1)).await.expect("a message came in time").unwrap();
    assert_eq!(messages.len(), 1);
    messages.remove(0)
}

/// Hands over what the socket must take before long.
pub(crate) async fn give(socket: &Socket, message: Frames) {
    socket.send_waiting(message, Instant::now() + SOON).await.unwrap();
}
