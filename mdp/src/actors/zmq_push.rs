//! A sink that hands events to one of its peers in turn.

use std::time::Duration;

use playhouse_engine::{Actor, Context, Error, Event, Format, Outbox, Ports, Result};
use tokio::time::Instant;

use super::{ZmqSettings, wire};
use crate::transport::{Kind, Socket};

/// Hands each event to one of its peers, in turn: a ZeroMQ PUSH.
///
/// An event is delivered when the socket has taken it. ZeroMQ acknowledges nothing: what is on its way to a peer that dies
/// is lost. Use Majordomo where that may not be. Where no peer has room for as long as the settings allow, the event fails
/// as `Overloaded`, and can be tried again.
///
/// # Ports
/// Inbox: `inbox`, for any format. No outbox.
///
/// # Settings
/// | name | default | meaning |
/// |---|---|---|
/// | `bind` | none | the addresses at which peers may connect |
/// | `connect` | none | the addresses of the peers |
/// | `raw` | `false` | whether bytes travel alone, for peers that are no flows of playhouse |
/// | `insecure` | `false` | whether an address may be open to the network without CURVE or PLAIN |
/// | `patience` | 5 s | how long an event waits for room on its way out, or for a peer |
/// | `socket` | those of `SocketSettings` | the socket's limits and security |
///
/// # Errors
/// | kind | when |
/// |---|---|
/// | `Overloaded` | no peer has room for as long as `patience` allows |
/// | `Malformed` | `raw` is set and the attribute `zmq.frames` does not fit the payload |
///
/// The flow does not start where an address cannot be used: `Malformed`, `Unavailable`, or `Forbidden` for one that is open to the
/// network without security.
///
/// # Example
/// ```
/// use playhouse_mdp::{ZmqPush, ZmqSettings};
///
/// let push = ZmqPush::new(ZmqSettings::connect("tcp://127.0.0.1:5557")?);
/// # Ok::<(), playhouse_engine::Error>(())
/// ```
#[derive(Debug)]
pub struct ZmqPush {
    settings: ZmqSettings,
    socket: Option<Socket>,
}

impl ZmqPush {
    /// Makes an actor that sends as `settings` say.
    #[must_use]
    pub fn new(settings: ZmqSettings) -> Self {
        Self { settings, socket: None }
    }
}

impl Actor for ZmqPush {
    fn ports(&self) -> Ports {
        Ports::sink(Format::ANY)
    }

    async fn start(&mut self, context: Context) -> Result<()> {
        self.socket = Some(self.settings.open(Kind::Push, context.name()).await?);
        Ok(())
    }

    async fn handle(&self, event: &Event, _: &mut Outbox) -> Result<()> {
        let frames = wire::frames(event, self.settings.raw)?;
        send(self.socket.as_ref(), frames, event, self.settings.patience).await
    }

    async fn stop(&mut self) {
        if let Some(socket) = self.socket.take() {
            socket.close().await;
        }
    }
}

/// Sends a message that was made of `event`, and waits for room as long as both allow.
pub(super) async fn send(
    socket: Option<&Socket>,
    frames: Vec<bytes::Bytes>,
    event: &Event,
    patience: Duration,
) -> Result<()> {
    let socket = socket.ok_or_else(|| Error::internal("the socket is not open"))?;
    let latest = Instant::now() + patience;
    let deadline = event.deadline().map_or(latest, |deadline| latest.min(deadline));
    socket.send_waiting(frames, deadline).await
}
