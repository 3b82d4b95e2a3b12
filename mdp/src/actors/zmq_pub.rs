//! A sink that sends events to all who want them.

use bytes::Bytes;
use playhouse_engine::{Actor, Context, Event, Format, Outbox, Ports, Result};

use super::{ZmqSettings, wire, zmq_push};
use crate::transport::{Kind, Socket};

/// The attribute with what a message is about.
pub(super) const TOPIC: &str = "zmq.topic";

/// Sends each event to all who subscribed to its topic: a ZeroMQ PUB.
///
/// The topic is the first frame: the attribute `zmq.topic`, or what the settings say. An event is delivered when the
/// socket has taken it, whether anybody has subscribed or not; a subscriber that is too slow misses events.
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
/// | `topic` | nothing | what messages begin with where an event has no attribute `zmq.topic` |
/// | `patience` | 5 s | how long an event waits for room on its way out, or for a peer |
/// | `socket` | those of `SocketSettings` | the socket's limits and security |
///
/// # Errors
/// | kind | when |
/// |---|---|
/// | `Overloaded` | the socket has no room for as long as `patience` allows |
/// | `Malformed` | `raw` is set and the attribute `zmq.frames` does not fit the payload |
///
/// The flow does not start where an address cannot be used: `Malformed`, `Unavailable`, or `Forbidden` for one that is open to the
/// network without security.
///
/// # Example
/// ```
/// use playhouse_mdp::{ZmqPub, ZmqSettings};
///
/// let news = ZmqPub::new(ZmqSettings { topic: "news".into(), ..ZmqSettings::bind("tcp://127.0.0.1:5556")? });
/// # Ok::<(), playhouse_engine::Error>(())
/// ```
#[derive(Debug)]
pub struct ZmqPub {
    settings: ZmqSettings,
    socket: Option<Socket>,
}

impl ZmqPub {
    /// Makes an actor that sends as `settings` say.
    #[must_use]
    pub fn new(settings: ZmqSettings) -> Self {
        Self { settings, socket: None }
    }
}

impl Actor for ZmqPub {
    fn ports(&self) -> Ports {
        Ports::sink(Format::ANY)
    }

    async fn start(&mut self, context: Context) -> Result<()> {
        self.socket = Some(self.settings.open(Kind::Pub, context.name()).await?);
        Ok(())
    }

    async fn handle(&self, event: &Event, _: &mut Outbox) -> Result<()> {
        let mut frames = wire::frames(event, self.settings.raw)?;
        let topic = event.attributes().text(TOPIC).map(|topic| Bytes::copy_from_slice(topic.as_bytes()));
        frames.insert(0, topic.unwrap_or_else(|| Bytes::copy_from_slice(self.settings.topic.as_bytes())));
        zmq_push::send(self.socket.as_ref(), frames, event, self.settings.patience).await
    }

    async fn stop(&mut self) {
        if let Some(socket) = self.socket.take() {
            socket.close().await;
        }
    }
}
