//! A source of what others push.

use std::sync::Arc;

use playhouse_engine::{Actor, Context, Event, Format, Outbox, Ports, Result};

use super::{ZmqSettings, intake, wire};
use crate::transport::{Kind, Socket};

/// Emits what its peers push, fairly: a ZeroMQ PULL.
///
/// It reads only what the flow has room for, and then the peers wait. What cannot be read goes along the error route. When the
/// flow stops, what the socket has taken in is still emitted; what comes later is lost, for ZeroMQ acknowledges nothing.
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
/// | `limits` | those of `EnvelopeLimits` | how much of what comes is believed |
/// | `socket` | those of `SocketSettings` | the socket's limits and security |
///
/// # Errors
/// | kind | when |
/// |---|---|
/// | `Malformed` | a message is not what `raw` says |
/// | `TooLarge` | a message is beyond `limits` |
/// | `Unsupported` | an event came in an envelope of another version |
///
/// The flow does not start where an address cannot be used: `Malformed`, `Unavailable`, or `Forbidden` for one that is open to the
/// network without security.
///
/// # Example
/// ```
/// use playhouse_mdp::{ZmqPull, ZmqSettings};
///
/// let pull = ZmqPull::new(ZmqSettings { raw: true, ..ZmqSettings::bind("ipc:///run/orders")? });
/// # Ok::<(), playhouse_engine::Error>(())
/// ```
#[derive(Debug)]
pub struct ZmqPull {
    settings: ZmqSettings,
    socket: Option<Arc<Socket>>,
}

impl ZmqPull {
    /// Makes an actor that takes as `settings` say.
    #[must_use]
    pub fn new(settings: ZmqSettings) -> Self {
        Self { settings, socket: None }
    }
}

impl Actor for ZmqPull {
    fn ports(&self) -> Ports {
        Ports::source(Format::ANY)
    }

    async fn start(&mut self, context: Context) -> Result<()> {
        let socket = Arc::new(self.settings.open(Kind::Pull, context.name()).await?);
        let (raw, limits) = (self.settings.raw, self.settings.limits.clone());
        let read = Arc::new(move |frames| wire::event(frames, raw, &limits));
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
