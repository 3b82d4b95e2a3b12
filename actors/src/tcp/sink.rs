//! The actor that sends events over TCP.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use playhouse_engine::{Actor, Context, Emitter, EnvelopeLimits, Error, Event, Format, Outbox, Ports, Result};
use serde::{Deserialize, Serialize};

use super::connection::Link;
use super::dial::{Address, Dial};
use super::events::largest;
use super::framing::Framing;
use super::window::{Limits, Pushed, Window};
use crate::span;
#[cfg(feature = "tls")]
use crate::tls::TlsClient;
use crate::upkeep::not_started;

/// Sends events over TCP: whole events to a [`TcpSource`](crate::TcpSource) in another process, or lines and frames to anybody.
///
/// To a source, an event is held until it is acknowledged: delivered there, or failed there, in which case it goes along this actor's
/// error route with the error that it had there. Where the connection ends, what was not acknowledged is sent again over the next
/// one, in order: an event can arrive twice, never not at all. It keeps its id, so that a [`Dedup`](crate::Dedup) behind the source
/// takes out what came twice.
///
/// Lines and frames nobody acknowledges: there an event counts as delivered once the system has taken all of it, and what the other
/// side has not read when it ends is lost.
///
/// A connection is made when there is something to send, and kept. Where there is none, the addresses are tried in turn, after waits
/// that grow, for as long as events wait; names are looked up each time. Order is kept with one worker.
///
/// # Ports
/// Inbox: `inbox`, for any format.
///
/// # Settings
/// The addresses, TLS (`with_tls`), and:
///
/// | name | default | meaning |
/// |---|---|---|
/// | `framing` | `events` | `events`, `lines` (LF), or `length-prefixed`: four bytes, the highest first, that say how many follow |
/// | `time-out` | 30 s | how long an event may take until it is acknowledged; its own deadline counts where it is nearer. Lines and frames: also how long a write may be blocked |
/// | `window` | 16,384 | how many events may be held; beyond, the sender waits |
/// | `window-bytes` | 16 MiB | how many bytes of memory they may take |
/// | `largest-payload` | 8 MiB | how many bytes a payload may have, and a line |
/// | `connect-time` | 5 s | how long it may take to look a name up and connect |
/// | `handshake-time` | 10 s | how long the other side may take to greet, and to shake hands for TLS |
/// | `heartbeat` | 5 s | events: how often a sign of life is given; a source is lost after three of its own that did not come |
/// | `first-wait` | 100 ms | how long to wait when all addresses have failed once; each further wait is twice as long, and up to as much again is added by chance |
/// | `longest-wait` | 10 s | the longest wait, before what chance adds |
///
/// # Errors
/// | kind | when |
/// |---|---|
/// | that of the other side | the event failed there |
/// | `Unavailable` | the event could not be sent in its time; with what stood in the way |
/// | `Timeout` | it was sent, and not acknowledged in its time |
/// | `TooLarge` | the payload is larger than `largest-payload`, or than the other side takes |
/// | `Unprocessable` | the payload would be several lines |
///
/// # Example
/// ```
/// use playhouse_actors::{TcpSink, TcpSinkSettings};
///
/// let orders = TcpSink::to(["orders-1.internal:7000", "orders-2.internal:7000"], TcpSinkSettings::default())?;
/// # Ok::<_, playhouse_engine::Error>(())
/// ```
pub struct TcpSink {
    addresses: Vec<Address>,
    settings: TcpSinkSettings,
    #[cfg(feature = "tls")]
    tls: Option<TlsClient>,
    started: Option<(Arc<Link>, Emitter)>,
}

/// How a [`TcpSink`] sends, and how much it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct TcpSinkSettings {
    /// How events lie in the connection; whole events by default.
    pub framing: Framing,
    /// How long an event may take until it is acknowledged; 30 s by default. Its own deadline counts where it is nearer.
    #[serde(with = "humantime_serde")]
    pub time_out: Duration,
    /// How many events may be held; 16,384 by default.
    pub window: usize,
    /// How many bytes of memory they may take; 16 MiB by default. One event may be larger.
    pub window_bytes: usize,
    /// How many bytes a payload may have; 8 MiB by default.
    pub largest_payload: usize,
    /// How long it may take to look a name up and connect; 5 s by default.
    #[serde(with = "humantime_serde")]
    pub connect_time: Duration,
    /// How long the other side may take to greet, and to shake hands for TLS; 10 s by default.
    #[serde(with = "humantime_serde")]
    pub handshake_time: Duration,
    /// How often a sign of life is given to a source; 5 s by default.
    #[serde(with = "humantime_serde")]
    pub heartbeat: Duration,
    /// How long to wait when all addresses have failed once; 100 ms by default.
    #[serde(with = "humantime_serde")]
    pub first_wait: Duration,
    /// The longest wait, before what chance adds; 10 s by default.
    #[serde(with = "humantime_serde")]
    pub longest_wait: Duration,
}

impl Default for TcpSinkSettings {
    fn default() -> Self {
        Self {
            framing: Framing::default(),
            time_out: Duration::from_secs(30),
            window: 16 * 1024,
            window_bytes: 16 << 20,
            largest_payload: 8 << 20,
            connect_time: Duration::from_secs(5),
            handshake_time: Duration::from_secs(10),
            heartbeat: Duration::from_secs(5),
            first_wait: Duration::from_millis(100),
            longest_wait: Duration::from_secs(10),
        }
    }
}

impl TcpSinkSettings {
    fn problems(&self) -> Vec<String> {
        let times = [
            ("time-out", self.time_out),
            ("connect-time", self.connect_time),
            ("handshake-time", self.handshake_time),
            ("heartbeat", self.heartbeat),
            ("first-wait", self.first_wait),
            ("longest-wait", self.longest_wait),
        ];
        let counts =
            [("window", self.window), ("window-bytes", self.window_bytes), ("largest-payload", self.largest_payload)];
        let times = times.into_iter().filter_map(|(name, time)| span::problem(name, time));
        let counts = counts.into_iter().filter(|(_, count)| *count == 0);
        times.chain(counts.map(|(name, _)| format!("`{name}`: expected more than none"))).collect()
    }
}

impl TcpSink {
    /// Sends to the first of `addresses`, such as `orders.internal:7000`, that takes a connection.
    ///
    /// # Errors
    /// `Malformed` with all that is wrong with the addresses and the settings.
    pub fn to<A: AsRef<str>>(addresses: impl IntoIterator<Item = A>, settings: TcpSinkSettings) -> Result<Self> {
        let mut problems = settings.problems();
        let mut read = Vec::new();
        for address in addresses {
            match Address::parse(address.as_ref()) {
                Ok(address) => read.push(address),
                Err(problem) => problems.push(problem),
            }
        }
        if read.is_empty() && problems.is_empty() {
            problems.push("expected an address at least, found none".to_owned());
        }
        if !problems.is_empty() {
            return Err(Error::malformed(format!("no TCP sink: {}", problems.join("; "))));
        }
        Ok(Self {
            addresses: read,
            settings,
            #[cfg(feature = "tls")]
            tls: None,
            started: None,
        })
    }

    /// Speaks TLS. The other side has to show that it is the host of its address.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_tls(mut self, tls: TlsClient) -> Self {
        self.tls = Some(tls);
        self
    }

    fn limits(&self) -> Limits {
        let settings = &self.settings;
        let largest = match settings.framing {
            Framing::Events => {
                largest(&EnvelopeLimits { payload: settings.largest_payload, ..EnvelopeLimits::default() })
            }
            Framing::Lines | Framing::LengthPrefixed => settings.largest_payload,
        };
        Limits {
            framing: settings.framing,
            events: settings.window,
            bytes: settings.window_bytes,
            largest,
            time: settings.time_out,
        }
    }
}

impl Actor for TcpSink {
    fn ports(&self) -> Ports {
        Ports::sink(Format::ANY).emitting()
    }

    async fn start(&mut self, context: Context) -> Result<()> {
        let emitter = context.emitter()?;
        let settings = self.settings.clone();
        let dial = Dial {
            connect_time: settings.connect_time,
            #[cfg(feature = "tls")]
            handshake_time: settings.handshake_time,
            #[cfg(feature = "tls")]
            tls: self.tls.clone(),
        };
        let (addresses, window) = (self.addresses.clone(), Window::new(self.limits()));
        self.started = Some((Arc::new(Link { settings, addresses, dial, window, context }), emitter));
        Ok(())
    }

    async fn handle(&self, event: &Event, _: &mut Outbox) -> Result<()> {
        let (link, emitter) = self.started.as_ref().ok_or_else(not_started)?;
        let pushed = match link.window.push(event, emitter) {
            Pushed::Full => link.window.push_later(event, emitter).await?,
            pushed => pushed,
        };
        if pushed == Pushed::Untended {
            link.tend();
        }
        Ok(())
    }
}

impl fmt::Debug for TcpSink {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TcpSink")
            .field("addresses", &self.addresses)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
