//! What the tests of the sockets share.

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

/// An answer to the message that came, which begins with an address.
pub(crate) fn answer(mut message: Frames, parts: &[&str]) -> Frames {
    message.truncate(1);
    message.extend(frames(parts));
    message
}

/// A ROUTER on a port of its own, and that.
pub(crate) async fn router(settings: &SocketSettings) -> (Socket, Endpoint) {
    let socket = Socket::open(Kind::Router, settings).unwrap();
    let bound = socket.bind(&addresses()[0]).await.unwrap();
    (socket, bound)
}

pub(crate) async fn dealer(settings: &SocketSettings, address: &Endpoint) -> Socket {
    let socket = Socket::open(Kind::Dealer, settings).unwrap();
    socket.connect(address).await.unwrap();
    socket
}

/// Answers whatever comes to a ROUTER, until it is aborted.
pub(crate) fn echo(router: Socket) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        let mut messages = Vec::new();
        while router.receive(&mut messages, 100).await.is_ok() {
            for message in messages.drain(..) {
                // Whoever is gone by now gets no answer.
                let _ = router.send(message);
            }
        }
    })
}

/// Sends one message and takes the answer.
pub(crate) async fn is_served(dealer: &Socket) {
    give(dealer, frames(&["hello"])).await;
    assert_eq!(next(dealer).await, frames(&["hello"]));
}
