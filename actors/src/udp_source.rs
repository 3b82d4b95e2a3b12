//! Takes datagrams.

use std::fmt;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket as StdSocket};
use std::sync::Arc;

use bytes::Bytes;
use playhouse_engine::{Actor, Context, Emitter, Error, Event, Format, Outbox, Payload, Ports, Result, Text};
use serde::{Deserialize, Serialize};
use socket2::SockRef;
use tokio::net::UdpSocket;
use tokio::task::coop::consume_budget;

use crate::tally::Tally;
use crate::tcp::InvalidText;

/// Takes datagrams over UDP: each is an event, with the attribute `udp.peer`, the address and port that it came from.
///
/// A datagram cannot wait. One for which the flow has no room is dropped, and so is one that is longer than `largest`; both count as
/// dropped in the ledger, and are told apart by [`UdpSource::without_room`] and [`UdpSource::truncated`]. What the system drops before it
/// is read, because its buffer is full, nobody sees.
///
/// # Ports
/// Outbox: `outbox`, which gives bytes, or text with `format = "text"`.
///
/// # Settings
/// Where it listens, and:
///
/// | name | default | meaning |
/// |---|---|---|
/// | `format` | `bytes` | `bytes` or `text` |
/// | `invalid-text` | `bytes` | with `text`: what becomes of a datagram that is not UTF-8: `bytes`, or `refuse` |
/// | `largest` | 65,507 | how many bytes a datagram may have |
/// | `receive-buffer` | the system's | how many bytes the system keeps for it; it may give less, or the double |
/// | `groups` | none | the addresses of multicast groups to join |
///
/// # Errors
/// | kind | when |
/// |---|---|
/// | `Malformed` | a datagram is not UTF-8 and `invalid-text` is `refuse` |
/// | `Unavailable` | it cannot listen, or join a group: then the flow does not start |
///
/// # Example
/// ```
/// use playhouse_actors::{UdpSource, UdpSourceSettings};
///
/// let syslog = UdpSource::bind("127.0.0.1:5514", UdpSourceSettings { largest: 8192, ..UdpSourceSettings::default() })?;
/// let without_room = syslog.without_room();
/// # Ok::<_, playhouse_engine::Error>(())
/// ```
pub struct UdpSource {
    socket: Where,
    settings: UdpSourceSettings,
    without_room: Tally,
    truncated: Tally,
}

/// What a [`UdpSource`] takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct UdpSourceSettings {
    /// What a datagram is; bytes by default.
    pub format: DatagramFormat,
    /// What becomes of text that is not UTF-8; it is bytes by default.
    pub invalid_text: InvalidText,
    /// How many bytes a datagram may have; 65,507 by default, which is all that it can have.
    pub largest: usize,
    /// How many bytes the system keeps for it; its own default by default.
    pub receive_buffer: Option<usize>,
    /// The addresses of multicast groups to join; none by default.
    pub groups: Vec<IpAddr>,
}

/// What a datagram is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DatagramFormat {
    /// Bytes.
    #[default]
    Bytes,
    /// Text.
    Text,
}

/// The most that a datagram can have over IPv4.
const LARGEST: usize = 65_507;

impl Default for UdpSourceSettings {
    fn default() -> Self {
        Self {
            format: DatagramFormat::default(),
            invalid_text: InvalidText::default(),
            largest: LARGEST,
            receive_buffer: None,
            groups: Vec::new(),
        }
    }
}

#[derive(Debug)]
enum Where {
    Address(String),
    Socket(StdSocket),
    /// It has been started.
    Nowhere,
}

impl UdpSource {
    /// Listens on `address`, such as `127.0.0.1:5514`, from the start of the flow on.
    ///
    /// # Errors
    /// `Malformed` with all that is wrong with the settings.
    pub fn bind(address: impl Into<String>, settings: UdpSourceSettings) -> Result<Self> {
        Self::new(Where::Address(address.into()), settings)
    }

    /// Listens on `socket`, which the caller has bound, and whose port it therefore knows.
    ///
    /// # Errors
    /// As [`UdpSource::bind`].
    pub fn on(socket: StdSocket, settings: UdpSourceSettings) -> Result<Self> {
        Self::new(Where::Socket(socket), settings)
    }

    fn new(socket: Where, settings: UdpSourceSettings) -> Result<Self> {
        let mut problems = Vec::new();
        if !(1..=LARGEST).contains(&settings.largest) {
            problems.push(format!("`largest`: expected 1 to {LARGEST}, found {}", settings.largest));
        }
        let no_groups = settings.groups.iter().filter(|group| !group.is_multicast());
        problems.extend(no_groups.map(|group| format!("`groups`: `{group}` is no multicast address")));
        if !problems.is_empty() {
            return Err(Error::malformed(format!("no UDP source: {}", problems.join("; "))));
        }
        Ok(Self { socket, settings, without_room: Tally::default(), truncated: Tally::default() })
    }

    /// Returns the count of datagrams that were dropped because the flow had no room for them.
    #[must_use]
    pub fn without_room(&self) -> Tally {
        self.without_room.clone()
    }

    /// Returns the count of datagrams that were dropped because they were too long.
    #[must_use]
    pub fn truncated(&self) -> Tally {
        self.truncated.clone()
    }

    async fn open(&mut self) -> Result<UdpSocket> {
        let failed = |error| Error::unavailable("cannot listen for datagrams").caused_by(error);
        let socket = match std::mem::replace(&mut self.socket, Where::Nowhere) {
            Where::Address(address) => UdpSocket::bind(&address)
                .await
                .map_err(|error| Error::unavailable(format!("cannot listen on `{address}`")).caused_by(error))?,
            Where::Socket(socket) => {
                socket.set_nonblocking(true).and_then(|()| UdpSocket::from_std(socket)).map_err(failed)?
            }
            Where::Nowhere => return Err(Error::internal("the source has been started before")),
        };
        if let Some(size) = self.settings.receive_buffer {
            SockRef::from(&socket).set_recv_buffer_size(size).map_err(failed)?;
        }
        for group in &self.settings.groups {
            let joined = match group {
                IpAddr::V4(group) => socket.join_multicast_v4(*group, Ipv4Addr::UNSPECIFIED),
                IpAddr::V6(group) => socket.join_multicast_v6(group, 0),
            };
            joined.map_err(|error| Error::unavailable(format!("cannot join `{group}`")).caused_by(error))?;
        }
        Ok(socket)
    }
}

/// What the task has that takes datagrams.
struct Taking {
    socket: UdpSocket,
    settings: UdpSourceSettings,
    emitter: Emitter,
    without_room: Tally,
    truncated: Tally,
}

impl Taking {
    async fn run(&self) -> Result<()> {
        // One byte more than a datagram may have: who fills it is too long.
        let mut space = vec![0; self.settings.largest + 1];
        loop {
            // A flood must not keep other tasks from running.
            consume_budget().await;
            match self.socket.recv_from(&mut space).await {
                Ok((length, peer)) => self.take(&space[..length], peer).await,
                // What was sent from here some time found nobody, which is no matter of those that come.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(Error::unavailable("no datagrams can be received").caused_by(error)),
            }
        }
    }

    async fn take(&self, datagram: &[u8], peer: SocketAddr) {
        let bytes = Bytes::copy_from_slice(datagram);
        let made = |payload: Payload| Event::new(payload).with_attribute("udp.peer", peer.to_string());
        if datagram.len() > self.settings.largest {
            self.truncated.add_one();
            tracing::debug!(%peer, "a datagram was dropped: it is too long");
            return self.drop_it(&made(Payload::Empty));
        }
        let payload = match self.settings.format {
            DatagramFormat::Bytes => Payload::Bytes(bytes),
            DatagramFormat::Text => match Text::from_utf8(bytes.clone()) {
                Ok(text) => Payload::Text(text),
                Err(_) if self.settings.invalid_text == InvalidText::Bytes => Payload::Bytes(bytes),
                Err(error) => {
                    let error = Error::malformed("expected a datagram of UTF-8 text").caused_by(error);
                    // Where the flow stops, it is not told of any more.
                    let _ = self.emitter.fail(made(Payload::Bytes(bytes)), error).await;
                    return;
                }
            },
        };
        let event = made(payload);
        if self.emitter.offer(event.clone()).is_err() {
            self.without_room.add_one();
            tracing::debug!(%peer, "a datagram was dropped: the flow has no room");
            self.drop_it(&event);
        }
    }

    /// Enters an event into the ledger as one that was dropped.
    fn drop_it(&self, event: &Event) {
        drop(self.emitter.hold(event));
    }
}

impl Actor for UdpSource {
    fn ports(&self) -> Ports {
        Ports::source(Format::ANY)
    }

    async fn start(&mut self, context: Context) -> Result<()> {
        let taking = Arc::new(Taking {
            socket: self.open().await?,
            settings: self.settings.clone(),
            emitter: context.emitter()?,
            without_room: self.without_room.clone(),
            truncated: self.truncated.clone(),
        });
        let stopping = context.stopping();
        context.spawn("datagrams", move || {
            let (taking, stopping) = (taking.clone(), stopping.clone());
            async move { stopping.run_until_cancelled(taking.run()).await.unwrap_or(Ok(())) }
        });
        Ok(())
    }

    async fn handle(&self, _: &Event, _: &mut Outbox) -> Result<()> {
        Err(Error::internal("a source of datagrams takes no events"))
    }
}

impl fmt::Debug for UdpSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("UdpSource")
            .field("socket", &self.socket)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
