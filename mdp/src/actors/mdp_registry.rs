//! A registry within a flow: it starts and stops with it.

use playhouse_engine::{Context, Error, Event, Light, Outbox, Ports, Result};

use crate::protocol::RegistrySettings;
use crate::registry::RegistryServer;
use crate::transport::{Endpoint, SocketSettings};

/// A registry: brokers announce themselves, and clients and workers follow which live, across hosts.
///
/// # Ports
/// None: it is connected to nothing.
///
/// # Settings
/// Where it listens, the socket's limits and security (`socket`), whether it may be open to the network without security (`insecure`, not
/// by default), and its times and limits (`settings`):
///
/// | name | default | meaning |
/// |---|---|---|
/// | `interval` | 2.5 s | how often brokers announce themselves and followers ask |
/// | `liveness` | 3 | after how many intervals of silence a peer is forgotten |
/// | `brokers` | 256 | how many brokers it takes |
/// | `endpoints` | 8 | how many addresses a broker may announce |
/// | `followers` | 4,096 | how many followers it takes |
///
/// # Errors
/// The flow does not start where it cannot listen: `Unavailable`, or `Forbidden` for an address that is open to the network without
/// security.
///
/// # Example
/// ```no_run
/// use playhouse_engine::Director;
/// use playhouse_mdp::MdpRegistry;
///
/// # fn flow() -> playhouse_engine::Result<()> {
/// let mut director = Director::new("registry");
/// director.register("registry", MdpRegistry::bind("tcp://127.0.0.1:6000")?);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct MdpRegistry {
    endpoint: Endpoint,
    settings: RegistrySettings,
    socket: SocketSettings,
    insecure: bool,
    server: Option<RegistryServer>,
}

impl MdpRegistry {
    /// Makes a registry that listens at `endpoint`.
    ///
    /// # Errors
    /// `Malformed` where that is no address.
    pub fn bind(endpoint: &str) -> Result<Self> {
        let (settings, socket) = (RegistrySettings::default(), SocketSettings::default());
        Ok(Self { endpoint: endpoint.parse()?, settings, socket, insecure: false, server: None })
    }

    /// Sets its times and limits.
    #[must_use]
    pub fn settings(mut self, settings: RegistrySettings) -> Self {
        self.settings = settings;
        self
    }

    /// Sets the limits and the security of the socket.
    #[must_use]
    pub fn socket(mut self, socket: SocketSettings) -> Self {
        self.socket = socket;
        self
    }

    /// Lets it be open to the network without security.
    #[must_use]
    pub fn insecure(mut self) -> Self {
        self.insecure = true;
        self
    }
}

impl Light for MdpRegistry {
    fn ports(&self) -> Ports {
        Ports::alone()
    }

    async fn start(&mut self, _: Context) -> Result<()> {
        let server = RegistryServer::start(&self.endpoint, self.settings.clone(), &self.socket, self.insecure).await?;
        tracing::info!(endpoint = %server.endpoint(), "the registry listens");
        self.server = Some(server);
        Ok(())
    }

    fn handle(&self, _: &Event, _: &mut Outbox) -> Result<()> {
        Err(Error::not_allowed("a registry takes no events"))
    }

    async fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
    }
}
