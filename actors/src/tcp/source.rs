//! The actor that takes events from TCP connections.

use std::fmt;
use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::time::Duration;

use playhouse_engine::{Actor, Context, Emitter, EnvelopeLimits, Error, Event, Format, Outbox, Ports, Result};
use serde::{Deserialize, Serialize};

use super::accept::{Reception, accept};
use super::framing::{Framing, InvalidText};
use super::outgoing::Connections;
use super::plain::CONNECTION;
use crate::listen::{Listen, Listener};
use crate::span;
use crate::tally::Tally;
#[cfg(feature = "tls")]
use crate::tls::Tls;

/// Takes events from whoever connects over TCP: whole events from a [`TcpSink`](crate::TcpSink), or lines and frames from anybody.
///
/// From a sink each event comes as it was, and is acknowledged when its receipt settles: delivered, or failed with the error that
/// the sink's error route then gets. What was not acknowledged when a connection ends is sent again by the sink: an event can come
/// twice, never not at all. A [`Dedup`](crate::Dedup) behind the source, whose key is the event's id, takes out what comes twice.
///
/// Of lines and frames each is an event, with the attributes `tcp.peer` (address and port) and `tcp.connection` (a number). Nothing is
/// acknowledged there: what was read is handled, and what the system has not handed over when the source stops is lost.
/// The source is an endpoint then: an event that comes back with the attribute `tcp.connection` is written to that connection as
/// a line or frame, one with an error as `error: ` and the message. A connection whose other side has ended its half stays open until
/// all that came over it has ended.
///
/// When a flow has no room, nothing is read, and the other side waits.
///
/// # Ports
/// Outbox: `outbox`; with lines it gives text, or bytes where it is not UTF-8, with frames bytes. With lines and frames there is an
/// inbox `inbox` for answers, of any format, and any other name that a connection uses.
///
/// # Settings
/// Where it listens, TLS (`with_tls`), and:
///
/// | name | default | meaning |
/// |---|---|---|
/// | `framing` | `events` | `events`, `lines` (LF or CRLF), or `length-prefixed`: four bytes, the highest first, that say how many follow |
/// | `connections` | 1,024 | how many connections may be open at once |
/// | `handshake-time` | 10 s | how long the other side may take to greet, and to shake hands for TLS |
/// | `time-out` | 30 s | how long a write may be blocked, and how long answers are waited for after the other side has ended its half |
/// | `heartbeat` | 5 s | events: how often a sign of life is given; a sink is lost after three of its own that did not come |
/// | `window` | 16,384 | events: how many of one connection may be unacknowledged; beyond, nothing is read |
/// | `envelope` | 8 MiB | events: what they may have, as [`EnvelopeLimits`] says |
/// | `longest-line` | 64 KiB | lines: how many bytes; a longer one fails, and ends the connection |
/// | `invalid-text` | `bytes` | lines: what becomes of one that is not UTF-8: `bytes`, or `refuse` |
/// | `largest-frame` | 8 MiB | frames: how many bytes of payload; a larger one fails, and ends the connection |
/// | `idle-time` | 5 min | lines and frames: how long nothing may come while nothing is to be answered |
/// | `answers` | 1 MiB | lines and frames: how many bytes may wait to be written to one connection |
///
/// # Errors
/// What comes and is bad goes along the error route, and an answer that cannot be given:
///
/// | kind | when |
/// |---|---|
/// | `Malformed` | a line is no text and `invalid-text` is `refuse`, a connection ended within a frame, or an answer has no `tcp.connection` |
/// | `TooLarge` | a line, a frame or an answer is too long |
/// | `Unprocessable` | an answer would be several lines |
/// | `Gone` | the connection of an answer is closed |
/// | `Overloaded` | the connection of an answer does not take what is there already |
///
/// # Example
/// ```
/// use playhouse_actors::{Framing, TcpSource, TcpSourceSettings};
/// use playhouse_engine::{Director, Event, map};
///
/// let settings = TcpSourceSettings { framing: Framing::Lines, ..TcpSourceSettings::default() };
/// let mut director = Director::new("shout");
/// let lines = director.register("lines", TcpSource::bind("127.0.0.1:7000", settings)?);
/// let shout = director.register("shout", map(|line: &Event| line.derive(line.payload().to_string().to_uppercase())));
/// director.connect(lines, shout);
/// director.connect(shout, lines);
/// director.connect_default_error(lines);
/// director.build().unwrap();
/// # Ok::<_, playhouse_engine::Error>(())
/// ```
pub struct TcpSource {
    listen: Listen,
    settings: TcpSourceSettings,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
    connections: Arc<Connections>,
    refused: Tally,
    emitter: Option<Emitter>,
}

/// What a [`TcpSource`] takes, and how much of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct TcpSourceSettings {
    /// How events lie in a connection; whole events by default.
    pub framing: Framing,
    /// How many connections may be open at once; 1,024 by default.
    pub connections: usize,
    /// How long the other side may take to greet, and to shake hands for TLS; 10 s by default.
    #[serde(with = "humantime_serde")]
    pub handshake_time: Duration,
    /// How long a write may be blocked, and how long answers are waited for after the other side has ended its half; 30 s by
    /// default.
    #[serde(with = "humantime_serde")]
    pub time_out: Duration,
    /// How often a sign of life is given to a sink; 5 s by default.
    #[serde(with = "humantime_serde")]
    pub heartbeat: Duration,
    /// How many events of one sink may be unacknowledged; 16,384 by default.
    pub window: usize,
    /// What a whole event may have.
    pub envelope: EnvelopeLimits,
    /// How many bytes a line may have; 64 KiB by default.
    pub longest_line: usize,
    /// What becomes of a line that is not UTF-8; it is bytes by default.
    pub invalid_text: InvalidText,
    /// How many bytes of payload a frame may have; 8 MiB by default.
    pub largest_frame: usize,
    /// How long nothing may come over a connection of lines or frames while nothing is to be answered; 5 min by default.
    #[serde(with = "humantime_serde")]
    pub idle_time: Duration,
    /// How many bytes of answers may wait to be written to one connection; 1 MiB by default.
    pub answers: usize,
}

impl Default for TcpSourceSettings {
    fn default() -> Self {
        Self {
            framing: Framing::default(),
            connections: 1024,
            handshake_time: Duration::from_secs(10),
            time_out: Duration::from_secs(30),
            heartbeat: Duration::from_secs(5),
            window: 16 * 1024,
            envelope: EnvelopeLimits::default(),
            longest_line: 64 * 1024,
            invalid_text: InvalidText::default(),
            largest_frame: 8 << 20,
            idle_time: Duration::from_secs(300),
            answers: 1 << 20,
        }
    }
}

impl TcpSourceSettings {
    /// Returns how many bytes a payload may have that comes without an envelope.
    pub(super) fn longest(&self) -> usize {
        if self.framing == Framing::Lines { self.longest_line } else { self.largest_frame }
    }

    fn problems(&self) -> Vec<String> {
        let times = [
            ("handshake-time", self.handshake_time),
            ("time-out", self.time_out),
            ("heartbeat", self.heartbeat),
            ("idle-time", self.idle_time),
        ];
        let counts = [
            ("connections", self.connections),
            ("window", self.window),
            ("longest-line", self.longest_line),
            ("largest-frame", self.largest_frame),
            ("answers", self.answers),
        ];
        let times = times.into_iter().filter_map(|(name, time)| span::problem(name, time));
        let counts = counts.into_iter().filter(|(_, count)| *count == 0);
        times.chain(counts.map(|(name, _)| format!("`{name}`: expected more than none"))).collect()
    }
}

impl TcpSource {
    /// Listens on `address`, such as `127.0.0.1:7000`, from the start of the flow on.
    ///
    /// # Errors
    /// `Malformed` with all that is wrong with the settings.
    pub fn bind(address: impl Into<String>, settings: TcpSourceSettings) -> Result<Self> {
        Self::new(Listen::Address(address.into()), settings)
    }

    /// Listens on `listener`, which the caller has bound, and whose port it therefore knows.
    ///
    /// # Errors
    /// As [`TcpSource::bind`].
    pub fn on(listener: StdListener, settings: TcpSourceSettings) -> Result<Self> {
        Self::new(Listen::Listener(listener), settings)
    }

    fn new(listen: Listen, settings: TcpSourceSettings) -> Result<Self> {
        let problems = settings.problems();
        if !problems.is_empty() {
            return Err(Error::malformed(format!("no TCP source: {}", problems.join("; "))));
        }
        Ok(Self {
            listen,
            settings,
            #[cfg(feature = "tls")]
            tls: None,
            connections: Arc::default(),
            refused: Tally::default(),
            emitter: None,
        })
    }

    /// Speaks TLS. Where `tls` asks for client certificates, who has none is not let in.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Returns the count of connections and lines that were refused: one too many, of a stranger, or with what cannot be read.
    #[must_use]
    pub fn refused(&self) -> Tally {
        self.refused.clone()
    }
}

impl Actor for TcpSource {
    fn ports(&self) -> Ports {
        match self.settings.framing {
            Framing::Events => Ports::source(Format::ANY),
            Framing::Lines | Framing::LengthPrefixed => {
                Ports::endpoint(Format::ANY).with_any_inbox().with_outbox("outbox", Format::ANY)
            }
        }
    }

    async fn start(&mut self, context: Context) -> Result<()> {
        let listener = Listener::new(self.listen.open().await?);
        self.emitter = Some(context.emitter()?);
        let reception = Arc::new(Reception {
            name: context.name().to_owned(),
            settings: self.settings.clone(),
            emitter: context.emitter()?,
            stopping: context.stopping(),
            connections: self.connections.clone(),
            refused: self.refused.clone(),
            #[cfg(feature = "tls")]
            tls: self.tls.as_ref().map(|tls| tls.acceptor(&[])),
        });
        context.spawn("accept", move || accept(listener.clone(), reception.clone()));
        Ok(())
    }

    async fn handle(&self, event: &Event, _: &mut Outbox) -> Result<()> {
        let emitter = self.emitter.as_ref().ok_or_else(crate::upkeep::not_started)?;
        let number = event.attributes().integer(CONNECTION);
        let number = number.ok_or_else(|| Error::malformed(format!("expected an answer with `{CONNECTION}`")))?;
        let limits = (self.settings.longest(), self.settings.answers);
        self.connections.find(number)?.add(number, emitter, event, self.settings.framing, limits)
    }
}

impl fmt::Debug for TcpSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TcpSource")
            .field("listen", &self.listen)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
