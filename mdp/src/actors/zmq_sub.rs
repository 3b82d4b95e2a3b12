//! A source of what others publish.

use std::sync::Arc;

use bytes::Bytes;
use playhouse_engine::{Actor, Context, Error, Event, Format, Outbox, Payload, Ports, Result, Text};

use super::zmq_pub::TOPIC;
use super::{ZmqSettings, intake, wire};
use crate::protocol::Frames;
use crate::transport::{Kind, Socket};

/// Emits what others publish on the topics of its settings: a ZeroMQ SUB.
///
/// The attribute `zmq.topic` is the first frame. It reads only what the flow has room for; a publisher does not wait
/// meanwhile, and what it sends beyond the queues is lost. What cannot be read goes along the error route.
///
/// # Ports
/// No inbox. Outbox: `outbox`, for any format; bytes where `raw` is set.
///
/// # Settings
/// | name | default | meaning |
/// |---|---|---|
/// | `bind` | none | the addresses at which peers may connect |
/// | `connect` | none | the addresses of the peers |
/// | `raw` | `false` | whether bytes travel alone, for peers that are no flows of playhouse |
/// | `insecure` | `false` | whether an address may be open to the network without CURVE or PLAIN |
/// | `subscribe` | everything | what the messages begin with that it takes, any of them |
/// | `limits` | those of `EnvelopeLimits` | how much of what comes is believed |
/// | `socket` | those of `SocketSettings` | the socket's limits and security |
///
/// # Errors
/// | kind | when |
/// |---|---|
/// | `Malformed` | a message is not what `raw` says, or its topic is not UTF-8 |
/// | `TooLarge` | a message is beyond `limits` |
/// | `Unsupported` | an event came in an envelope of another version |
///
/// The flow does not start where an address cannot be used: `Malformed`, `Unavailable`, or `Forbidden` for one that is open to the
/// network without security.
///
/// # Example
/// ```
/// use playhouse_mdp::{ZmqSettings, ZmqSub};
///
/// let settings = ZmqSettings { subscribe: vec!["news".into()], ..ZmqSettings::connect("tcp://127.0.0.1:5556")? };
/// let news = ZmqSub::new(settings);
/// # Ok::<(), playhouse_engine::Error>(())
/// ```
#[derive(Debug)]
pub struct ZmqSub {
    settings: ZmqSettings,
    socket: Option<Arc<Socket>>,
}

impl ZmqSub {
    /// Makes an actor that takes as `settings` say.
    #[must_use]
    pub fn new(settings: ZmqSettings) -> Self {
        Self { settings, socket: None }
    }
}

impl Actor for ZmqSub {
    fn ports(&self) -> Ports {
        Ports::source(Format::ANY)
    }

    async fn start(&mut self, context: Context) -> Result<()> {
        let socket = Arc::new(self.settings.open(Kind::Sub, context.name()).await?);
        let settings = self.settings.clone();
        let read = Arc::new(move |frames| read(frames, &settings));
        intake::spawn(&context, socket.clone(), self.settings.socket.receive_queue, read)?;
        self.socket = Some(socket);
        Ok(())
    }

    async fn handle(&self, _: &Event, _: &mut Outbox) -> Result<()> {
        Ok(())
    }

    async fn stop(&mut self) {
        // The task that read from it has ended.
        if let Some(socket) = self.socket.take().and_then(Arc::into_inner) {
            socket.close().await;
        }
    }
}

/// Takes the topic off. A foreign publisher may send a single frame, which then is topic and payload in one.
fn read(mut frames: Frames, settings: &ZmqSettings) -> Result<Event, (Event, Error)> {
    let topic = match frames.len() {
        0 | 1 => Bytes::new(),
        _ => frames.remove(0),
    };
    let topic = Text::from_utf8(topic.clone()).map_err(|error| {
        let error = Error::malformed("expected a topic of UTF-8").caused_by(error);
        (Event::new(Payload::from(topic)), error)
    })?;
    wire::event(frames, settings.raw, &settings.limits).map(|event| event.with_attribute(TOPIC, topic))
}
