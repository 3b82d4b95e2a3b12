//! Where the ZeroMQ actors connect to, and in what form events travel. The same structure in code and in a file.

use std::time::Duration;

use playhouse_engine::{EnvelopeLimits, Error, Result};
use serde::{Deserialize, Serialize};
use tracing::info;

use crate::transport::{Endpoint, Kind, Socket, SocketSettings, check_exposure};

/// Where a ZeroMQ actor binds and connects, and in what form events travel.
///
/// ```
/// use playhouse_mdp::{ZmqPush, ZmqSettings};
///
/// let in_code = ZmqSettings { raw: true, ..ZmqSettings::connect("tcp://127.0.0.1:5557")? };
/// let in_a_file: ZmqSettings = toml::from_str("connect = ['tcp://127.0.0.1:5557']\nraw = true").unwrap();
/// assert_eq!((in_code.raw, in_code.connect.len()), (in_a_file.raw, in_a_file.connect.len()));
/// let push = ZmqPush::new(in_code);
/// # Ok::<(), playhouse_engine::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ZmqSettings {
    /// The addresses at which peers may connect; none by default.
    pub bind: Vec<Endpoint>,
    /// The addresses of the peers; none by default.
    pub connect: Vec<Endpoint>,
    /// Whether bytes travel alone, for peers that are no flows of playhouse: the payload is the only frame. A message of
    /// several frames is their bytes in a row, and the attribute `zmq.frames` is the list of their lengths, both when it
    /// comes and when it leaves. By default an event travels whole, with its attributes and ids, in its envelope.
    pub raw: bool,
    /// Whether an address may be open to the network without CURVE or PLAIN; not by default.
    pub insecure: bool,
    /// What a PUB's messages begin with where an event has no attribute `zmq.topic`; nothing by default.
    pub topic: String,
    /// What the messages that a SUB takes begin with, any of them; everything by default.
    pub subscribe: Vec<String>,
    /// How long an event waits for room on its way out, or for a peer; 5 s by default, and never beyond its deadline.
    #[serde(with = "humantime_serde")]
    pub patience: Duration,
    /// How much of what comes is believed.
    pub limits: EnvelopeLimits,
    /// The socket's own settings.
    pub socket: SocketSettings,
}

impl Default for ZmqSettings {
    fn default() -> Self {
        Self {
            bind: Vec::new(),
            connect: Vec::new(),
            raw: false,
            insecure: false,
            topic: String::new(),
            subscribe: vec![String::new()],
            patience: Duration::from_secs(5),
            limits: EnvelopeLimits::default(),
            socket: SocketSettings::default(),
        }
    }
}

impl ZmqSettings {
    /// Lets peers connect to `endpoint`.
    ///
    /// # Errors
    /// `Malformed` where it is no address.
    pub fn bind(endpoint: &str) -> Result<Self> {
        Ok(Self { bind: vec![endpoint.parse()?], ..Self::default() })
    }

    /// Connects to `endpoint`.
    ///
    /// # Errors
    /// `Malformed` where it is no address.
    pub fn connect(endpoint: &str) -> Result<Self> {
        Ok(Self { connect: vec![endpoint.parse()?], ..Self::default() })
    }

    /// Opens the socket at all the addresses.
    pub(super) async fn open(&self, kind: Kind, actor: &str) -> Result<Socket> {
        if self.bind.is_empty() && self.connect.is_empty() {
            return Err(Error::malformed("expected an address in `bind` or `connect`, found none"));
        }
        let socket = Socket::open(kind, &self.socket)?;
        if kind == Kind::Sub {
            for prefix in &self.subscribe {
                socket.subscribe(prefix.clone()).await?;
            }
        }
        for endpoint in &self.bind {
            check_exposure(endpoint, &self.socket.security, self.insecure)?;
            let bound = socket.bind(endpoint).await?;
            info!(actor, endpoint = %bound, "bound");
        }
        for endpoint in &self.connect {
            socket.connect(endpoint).await?;
        }
        Ok(socket)
    }
}
