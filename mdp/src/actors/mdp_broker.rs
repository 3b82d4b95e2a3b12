//! A broker within a flow: it starts and stops with it.

use std::time::Duration;

use playhouse_engine::{Context, Error, Event, Light, Outbox, Ports, Result};

use crate::broker::{BrokerServer, DurableSettings, ServerSettings};
use crate::protocol::BrokerSettings;
use crate::registry::RegistryAddress;
use crate::transport::{Endpoint, SocketSettings};

/// A Majordomo broker on a thread of its own, for both versions of the protocol.
///
/// No event passes it: clients and workers, in this flow or elsewhere, talk to it over its socket. When the flow stops it takes no
/// new requests, and tells workers to disconnect once those that it has are answered.
///
/// # Ports
/// None: it is connected to nothing.
///
/// # Settings
/// Where it listens, the socket's limits and security (`socket`), a registry (`registry`, `advertise`), durable requests (`durable`), how long a
/// stop waits for what is under way (`drain`, 5 s), whether it may be open to the network without security (`insecure`, not by
/// default), and the protocol's times and limits (`settings`):
///
/// | name | default | meaning |
/// |---|---|---|
/// | `heartbeat` | 2.5 s | how often broker and worker tell each other that they live |
/// | `liveness` | 3 | for how many heartbeats a worker may be silent |
/// | `expiry` | 30 s | how long a request may wait for a worker |
/// | `busy-timeout` | 120 s | how long a worker may be busy without an answer |
/// | `attempts` | 3 | to how many workers a request is given before it fails |
/// | `limits.frame-size` | 1 MiB | how many bytes a frame may have |
/// | `limits.message-size` | 8 MiB | how many bytes a body may have |
/// | `limits.frames` | 64 | how many frames a body may have |
/// | `limits.peers` | 4,096 | how many peers may be connected |
/// | `limits.queued-for-service` | 10,000 | how many requests may wait for one service |
/// | `limits.queued` | 100,000 | how many may wait in all |
/// | `limits.queued-size` | 32 MiB | how many bytes these may have |
/// | `limits.services` | 1,000 | how many services there may be |
///
/// # Errors
/// The flow does not start where it cannot listen: `Unavailable`, or `Forbidden` for an address that is open to the network without
/// security. Clients are told of theirs.
///
/// # Example
/// ```no_run
/// use playhouse_engine::Director;
/// use playhouse_mdp::MdpBroker;
///
/// # fn flow() -> playhouse_engine::Result<()> {
/// let mut director = Director::new("broker");
/// director.register("broker", MdpBroker::bind("tcp://127.0.0.1:5555")?);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct MdpBroker {
    settings: ServerSettings,
    drain: Duration,
    server: Option<BrokerServer>,
}

impl MdpBroker {
    /// Makes a broker that listens at `endpoint`.
    ///
    /// # Errors
    /// `Malformed` where that is no address.
    pub fn bind(endpoint: &str) -> Result<Self> {
        Ok(Self::with(ServerSettings::bind(endpoint)?))
    }

    /// Makes a broker of all its settings.
    #[must_use]
    pub fn with(settings: ServerSettings) -> Self {
        Self { settings, drain: Duration::from_secs(5), server: None }
    }

    /// Sets the protocol's times and limits.
    #[must_use]
    pub fn settings(mut self, settings: BrokerSettings) -> Self {
        self.settings.broker = settings;
        self
    }

    /// Sets the limits and the security of the socket.
    #[must_use]
    pub fn socket(mut self, socket: SocketSettings) -> Self {
        self.settings.socket = socket;
        self
    }

    /// Sets the registry that it tells of itself.
    #[must_use]
    pub fn registry(mut self, registry: RegistryAddress) -> Self {
        self.settings.registry = Some(registry);
        self
    }

    /// Sets an address under which others reach it, where that is not the one that it is bound to.
    #[must_use]
    pub fn advertise(mut self, endpoint: Endpoint) -> Self {
        self.settings.advertise.push(endpoint);
        self
    }

    /// Sets where durable requests are stored.
    #[must_use]
    pub fn durable(mut self, durable: DurableSettings) -> Self {
        self.settings.durable = Some(durable);
        self
    }

    /// Lets it be open to the network without security.
    #[must_use]
    pub fn insecure(mut self) -> Self {
        self.settings.insecure = true;
        self
    }

    /// Sets how long a stop waits for what is under way of clients elsewhere; 5 s by default.
    #[must_use]
    pub fn drain(mut self, time: Duration) -> Self {
        self.drain = time;
        self
    }
}

impl Light for MdpBroker {
    fn ports(&self) -> Ports {
        Ports::alone()
    }

    async fn start(&mut self, context: Context) -> Result<()> {
        let server = BrokerServer::start(self.settings.clone()).await?;
        for endpoint in server.endpoints() {
            tracing::info!(%endpoint, "the broker listens");
        }
        let (stop, drain) = (context.stopping(), server.drain());
        context.spawn("drain", move || {
            let (stop, drain) = (stop.clone(), drain.clone());
            async move {
                stop.cancelled().await;
                drain.begin().await;
                Ok(())
            }
        });
        self.server = Some(server);
        Ok(())
    }

    fn handle(&self, _: &Event, _: &mut Outbox) -> Result<()> {
        Err(Error::not_allowed("a broker takes no events"))
    }

    async fn stop(&mut self) {
        if let Some(server) = self.server.take()
            && let Err(error) = server.stop(self.drain).await
        {
            tracing::warn!(%error, "the broker did not stop cleanly");
        }
    }
}
