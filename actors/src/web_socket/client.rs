//! A client of another server's WebSocket.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use playhouse_engine::{Actor, Attributes, Context, Error, Event, Format, Outbox, Ports, Result};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_util::sync::CancellationToken;

use super::dialer::Dialer;
use super::{Intake, Leave, Link, Outgoing, WebSocketLimits, message_of};

/// Keeps a WebSocket to another server: its messages leave as events, and events are sent as messages.
///
/// Text comes as text and everything else as bytes, with the attribute `websocket.url`. Nothing is read while the flow has no
/// room for what was. Text, JSON and XML are sent as text, bytes as they are; an event is delivered when its message has been
/// written to the connection. WebSockets acknowledge nothing: what the other side makes of it is not known.
///
/// Where the connection cannot be made, or breaks off, it is made anew after a wait that grows, for as long as the flow runs.
/// Meanwhile events wait for it; once it has been away for `patience` they fail at once. When the flow stops, nothing more is
/// read, what is under way is sent, and the connection is closed.
///
/// # Ports
/// Inbox: `inbox`, for any format. Outbox: `outbox`, which gives text and bytes; it may stay unconnected. It is an endpoint: the
/// flow may lead back to it.
///
/// # Settings
/// | name | default | meaning |
/// |---|---|---|
/// | `headers` | none | headers that the handshake carries, such as `authorization` |
/// | `protocols` | none | the subprotocols that are offered; the server must choose one of them |
/// | `connect-time` | 10 s | how long it may take to connect, with TLS and the handshake |
/// | `patience` | 30 s | how long an event waits to be written; its own deadline counts where it is nearer |
/// | `first-wait` | 100 ms | how long to wait before the second attempt to connect; each further wait is twice as long, up to as much again is added by chance |
/// | `longest-wait` | 30 s | the longest wait, before what chance adds |
/// | `authorities` | none | a PEM file of certificate authorities to trust beside the system's |
/// | `limits` | those of `WebSocketLimits` | `message-size` and `frame-size` 1 MiB, `backlog` 256 messages, `heartbeat` and its `patience` 20 s, `close-time` 2 s |
///
/// # Errors
/// | kind | when |
/// |---|---|
/// | `Unavailable` | there is no connection within `patience`, or it broke off while the message was written, which then may have arrived |
/// | `Timeout` | the other side does not take what is sent |
///
/// # Example
/// ```
/// use playhouse_actors::{WebSocketClient, WebSocketClientSettings};
///
/// let prices = WebSocketClient::to("ws://prices.internal/feed")?;
/// let settings = WebSocketClientSettings {
///     headers: [("authorization".into(), "Bearer secret".into())].into(),
///     protocols: vec!["orders.v1".into()],
///     ..WebSocketClientSettings::default()
/// };
/// let orders = WebSocketClient::new("ws://orders.internal/", settings)?;
/// # Ok::<_, playhouse_engine::Error>(())
/// ```
pub struct WebSocketClient {
    dialer: Arc<Dialer>,
    settings: WebSocketClientSettings,
    state: watch::Sender<State>,
    /// The task that keeps the connection. It is the actor's own, because events are still sent when a flow's other tasks have
    /// ended.
    tasks: Arc<Mutex<JoinSet<()>>>,
    /// Cancelled when nothing more is to be sent.
    ending: CancellationToken,
}

/// How [`WebSocketClient`] keeps its connection.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct WebSocketClientSettings {
    /// Headers that the handshake carries; none by default.
    pub headers: BTreeMap<String, String>,
    /// The subprotocols that are offered; none by default.
    pub protocols: Vec<String>,
    /// How long it may take to connect, with TLS and the handshake; 10 s by default.
    #[serde(with = "humantime_serde")]
    pub connect_time: Duration,
    /// How long an event waits to be written; 30 s by default. Its own deadline counts where it is nearer.
    #[serde(with = "humantime_serde")]
    pub patience: Duration,
    /// How long to wait before the second attempt to connect; 100 ms by default. Each further wait is twice as long, and up to as
    /// much again is added by chance.
    #[serde(with = "humantime_serde")]
    pub first_wait: Duration,
    /// The longest wait, before what chance adds; 30 s by default.
    #[serde(with = "humantime_serde")]
    pub longest_wait: Duration,
    /// A PEM file of certificate authorities to trust beside those that the system trusts.
    pub authorities: Option<PathBuf>,
    /// What the other side may ask for, and for how long.
    pub limits: WebSocketLimits,
}

impl Default for WebSocketClientSettings {
    fn default() -> Self {
        Self {
            headers: BTreeMap::new(),
            protocols: Vec::new(),
            connect_time: Duration::from_secs(10),
            patience: Duration::from_secs(30),
            first_wait: Duration::from_millis(100),
            longest_wait: Duration::from_secs(30),
            authorities: None,
            limits: WebSocketLimits::default(),
        }
    }
}

/// Whether there is a connection.
#[derive(Clone, Debug)]
enum State {
    /// There has been none since then, for this reason.
    Away(Instant, Option<Error>),
    Open(mpsc::Sender<Outgoing>),
}

impl WebSocketClient {
    /// Makes an actor that connects to `url`, such as `wss://example.org/feed`, with the default settings.
    ///
    /// # Errors
    /// As [`WebSocketClient::new`].
    pub fn to(url: &str) -> Result<Self> {
        Self::new(url, WebSocketClientSettings::default())
    }

    /// Makes an actor that connects to `url` as `settings` say.
    ///
    /// # Errors
    /// `Malformed` with all that is wrong with the URL and the settings; `Unsupported` for a `wss` URL without the feature `tls`;
    /// for one, `NotFound` where the file of authorities cannot be read, `Malformed` where it holds none, and `Unavailable` where
    /// none are known.
    pub fn new(url: &str, settings: WebSocketClientSettings) -> Result<Self> {
        Ok(Self {
            dialer: Arc::new(Dialer::new(url, &settings)?),
            settings,
            state: watch::Sender::new(State::Away(Instant::now(), None)),
            tasks: Arc::default(),
            ending: CancellationToken::new(),
        })
    }

    /// Writes a message, over whichever connection there is.
    async fn write(&self, message: Message) -> Result<()> {
        let mut state = self.state.subscribe();
        loop {
            let open = state.wait_for(|state| matches!(state, State::Open(_))).await.map(|state| state.clone());
            let Ok(State::Open(queue)) = open else {
                return Err(Error::internal("the task of the connection has gone"));
            };
            let (written, outcome) = oneshot::channel();
            // Where the connection is gone before the message is begun, it is written over the next.
            if queue.send(Outgoing::Message(message.clone(), Some(written))).await.is_ok()
                && let Ok(is_written) = outcome.await
            {
                let broken = || Error::unavailable(format!("{} broke off; the message may have arrived", self.dialer));
                return if is_written { Ok(()) } else { Err(broken()) };
            }
            // Until the task has noticed too.
            let is_same = |state: &State| matches!(state, State::Open(other) if other.same_channel(&queue));
            if state.wait_for(|state| !is_same(state)).await.is_err() {
                return Err(Error::internal("the task of the connection has gone"));
            }
        }
    }
}

impl Actor for WebSocketClient {
    fn ports(&self) -> Ports {
        Ports::endpoint(Format::ANY).with_optional_outbox("outbox", Format::ANY)
    }

    async fn start(&mut self, context: Context) -> Result<()> {
        self.state.send_replace(State::Away(Instant::now(), None));
        let mut attributes = Attributes::default();
        attributes.set("websocket.url", self.dialer.to_string());
        let keeper = Arc::new(Keeper {
            name: context.name().to_owned(),
            dialer: self.dialer.clone(),
            settings: self.settings.clone(),
            state: self.state.clone(),
            intake: Intake {
                emitter: context.emitter()?,
                outbox: Some(0),
                attributes,
                stopping: context.stopping(),
                under_way: None,
            },
            ending: self.ending.clone(),
        });
        let tasks = self.tasks.clone();
        context.spawn("connection", move || watch_over(keeper.clone(), tasks.clone()));
        Ok(())
    }

    async fn handle(&self, event: &Event, _: &mut Outbox) -> Result<()> {
        let now = Instant::now();
        let since = match &*self.state.borrow() {
            State::Away(since, _) => *since,
            State::Open(_) => now,
        };
        let own = since + self.settings.patience;
        let limit = event.deadline().map_or(own, |deadline| deadline.min(own));
        match timeout_at(limit, self.write(message_of(event.payload()))).await {
            Ok(outcome) => outcome,
            Err(_) => Err(match &*self.state.borrow() {
                State::Open(_) => Error::timeout(format!("{} did not take the message in time", self.dialer)),
                State::Away(_, cause) => {
                    let error = Error::unavailable(format!("there is no connection to {}", self.dialer));
                    match cause {
                        Some(cause) => error.caused_by(cause.clone()),
                        None => error,
                    }
                }
            }),
        }
    }

    async fn stop(&mut self) {
        self.ending.cancel();
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        while tasks.join_next().await.is_some() {}
    }
}

/// Runs the task that keeps the connection until the flow stops, and says where it died.
async fn watch_over(keeper: Arc<Keeper>, tasks: Arc<Mutex<JoinSet<()>>>) -> Result<()> {
    let (ended, stopping, ending) = (CancellationToken::new(), keeper.intake.stopping.clone(), keeper.ending.clone());
    let guard = ended.clone().drop_guard();
    tasks.lock().unwrap_or_else(PoisonError::into_inner).spawn(async move {
        let _guard = guard;
        keeper.keep().await;
    });
    tokio::select! {
        () = stopping.cancelled() => Ok(()),
        () = ended.cancelled() => match ending.is_cancelled() {
            true => Ok(()),
            false => Err(Error::internal("the task of the connection died")),
        },
    }
}

/// What keeps the connection.
struct Keeper {
    name: String,
    dialer: Arc<Dialer>,
    settings: WebSocketClientSettings,
    state: watch::Sender<State>,
    intake: Intake,
    ending: CancellationToken,
}

impl Keeper {
    async fn keep(&self) {
        let mut wait = self.settings.first_wait;
        let mut has_warned = false;
        while !self.ending.is_cancelled() {
            let began = Instant::now();
            match self.carry().await {
                Ok(None) => return,
                Ok(Some(code)) => {
                    has_warned = false;
                    tracing::info!(actor = self.name, url = %self.dialer, code, "the WebSocket has closed");
                }
                Err(error) => {
                    // Once for each time that it is away.
                    if !has_warned {
                        tracing::warn!(actor = self.name, %error, "the WebSocket cannot be opened; it is tried again");
                    }
                    has_warned = true;
                    self.state.send_modify(|state| {
                        if let State::Away(_, cause) = state {
                            *cause = Some(error);
                        }
                    });
                }
            }
            if began.elapsed() > self.settings.longest_wait {
                wait = self.settings.first_wait;
            }
            let chance = wait.mul_f64(fastrand::f64());
            self.ending.run_until_cancelled(tokio::time::sleep(wait + chance)).await;
            wait = (wait * 2).min(self.settings.longest_wait);
        }
    }

    /// Connects, and carries messages until the connection is over; nothing where none is wanted any more.
    async fn carry(&self) -> Result<Option<u16>> {
        let dialled = timeout(self.settings.connect_time, self.dialer.dial());
        let socket = match self.ending.run_until_cancelled(dialled).await {
            None => return Ok(None),
            Some(Err(_)) => return Err(Error::timeout(format!("{} was not opened in time", self.dialer))),
            Some(Ok(socket)) => socket?,
        };
        let limits = self.settings.limits.clone();
        let (sender, queue) = mpsc::channel(limits.backlog.max(1));
        self.state.send_replace(State::Open(sender));
        let leave = async {
            self.ending.cancelled().await;
            Leave::new(CloseCode::Normal, "")
        };
        let code = Link::new(socket, queue, limits).run(&self.intake, leave).await;
        self.state.send_replace(State::Away(Instant::now(), None));
        Ok(Some(code))
    }
}

impl fmt::Debug for WebSocketClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("WebSocketClient").field("url", &self.dialer).finish_non_exhaustive()
    }
}

/// Shows the names of the headers, not their values: they may be secrets.
impl fmt::Debug for WebSocketClientSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("WebSocketClientSettings")
            .field("headers", &self.headers.keys())
            .field("protocols", &self.protocols)
            .field("patience", &self.patience)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
