//! The sockets of the crate `zeromq`.
//!
//! It has no limits, no security, and 73 bytes from anybody abort the process: so nobody from outside this machine may reach
//! it. A task owns each socket, connects it again where the library does not, and knows the peers of a ROUTER.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::channel::mpsc as events;
use playhouse_engine::{Error, Result};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::warn;
use zeromq::prelude::*;
use zeromq::{SocketEvent, SocketOptions, ZmqError, ZmqMessage, ZmqResult};

use super::{Change, Endpoint, Kind, Refused, Security, SocketSettings};
use crate::protocol::Frames;

/// How long one try to connect may take. Nothing else happens on the socket meanwhile.
const ONE_TRY: Duration = Duration::from_millis(200);

/// How many changes wait for whoever listens to them.
const CHANGES: usize = 64;

#[derive(Debug)]
pub(super) struct Zeromq {
    kind: Kind,
    commands: mpsc::Sender<Command>,
    outgoing: mpsc::Sender<Frames>,
    incoming: tokio::sync::Mutex<mpsc::Receiver<Frames>>,
    changes: broadcast::Sender<Change>,
    peers: Peers,
    task: tokio::task::JoinHandle<()>,
    linger: Duration,
}

/// The addresses of those who are connected.
type Peers = Arc<Mutex<HashSet<Bytes>>>;

#[derive(Debug)]
enum Command {
    Bind(Endpoint, oneshot::Sender<Result<Endpoint>>),
    Connect(Endpoint),
    Subscribe(Bytes, oneshot::Sender<Result<()>>),
}

impl Zeromq {
    pub(super) fn open(kind: Kind, settings: &SocketSettings) -> Result<Self> {
        if !matches!(settings.security, Security::None) {
            return Err(Error::unsupported("the backend `zeromq` has no CURVE and no PLAIN: expected `omq`"));
        }
        let (commands, to_do) = mpsc::channel(16);
        let (outgoing, to_send) = mpsc::channel(settings.send_queue.max(1));
        let (received, incoming) = mpsc::channel(settings.receive_queue.max(1));
        let (changes, _) = broadcast::channel(CHANGES);
        let (peers, mut options) = (Peers::default(), SocketOptions::default());
        options.connect_timeout(ONE_TRY);
        if let Some(identity) = &settings.identity {
            let identity = identity.as_bytes().clone().try_into().map_err(error)?;
            options.peer_identity(identity);
        }
        let owner = Owner {
            socket: AnySocket::open(kind, options),
            endpoints: Vec::new(),
            waits: (settings.first_retry, settings.longest_retry),
            changes: changes.clone(),
            peers: peers.clone(),
        };
        let task = tokio::spawn(owner.run(to_do, to_send, received));
        let (incoming, linger) = (tokio::sync::Mutex::new(incoming), settings.linger);
        Ok(Self { kind, commands, outgoing, incoming, changes, peers, task, linger })
    }

    pub(super) async fn bind(&self, endpoint: &Endpoint) -> Result<Endpoint> {
        check(endpoint)?;
        let (answer, bound) = oneshot::channel();
        self.command(Command::Bind(endpoint.clone(), answer)).await?;
        bound.await.map_err(|_| closed())?
    }

    pub(super) async fn connect(&self, endpoint: &Endpoint) -> Result<()> {
        check(endpoint)?;
        self.command(Command::Connect(endpoint.clone())).await
    }

    pub(super) async fn receive(&self, into: &mut Vec<Frames>, most: usize) -> Result<()> {
        match self.incoming.lock().await.recv_many(into, most).await {
            0 if most > 0 => Err(closed()),
            _ => Ok(()),
        }
    }

    pub(super) fn send(&self, frames: Frames) -> Result<(), Refused> {
        let known = |address| self.peers.lock().unwrap_or_else(PoisonError::into_inner).contains(address);
        if self.kind == Kind::Router && !frames.first().is_some_and(known) {
            return Err(Refused::Unroutable(frames));
        }
        self.outgoing.try_send(frames).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(frames) => Refused::Full(frames),
            mpsc::error::TrySendError::Closed(_) => Refused::Closed,
        })
    }

    pub(super) async fn room(&self) {
        // Closed is for the next send to say.
        let _ = self.outgoing.reserve().await;
    }

    pub(super) async fn subscribe(&self, prefix: Bytes) -> Result<()> {
        let (answer, done) = oneshot::channel();
        self.command(Command::Subscribe(prefix, answer)).await?;
        done.await.map_err(|_| closed())?
    }

    pub(super) fn changes(&self) -> ZeromqChanges {
        ZeromqChanges { changes: self.changes.subscribe(), missed: false }
    }

    pub(super) async fn close(self) {
        let Self { commands, outgoing, mut task, linger, .. } = self;
        drop((commands, outgoing));
        if timeout(linger, &mut task).await.is_err() {
            task.abort();
        }
    }

    async fn command(&self, command: Command) -> Result<()> {
        self.commands.send(command).await.map_err(|_| closed())
    }
}

#[derive(Debug)]
pub(super) struct ZeromqChanges {
    changes: broadcast::Receiver<Change>,
    /// Whether changes were lost, so that a peer that is taken for connected may not be the one of before.
    missed: bool,
}

impl ZeromqChanges {
    pub(super) async fn next(&mut self) -> Option<Change> {
        if std::mem::take(&mut self.missed) {
            return Some(Change::Connected);
        }
        match self.changes.recv().await {
            Ok(change) => Some(change),
            Err(broadcast::error::RecvError::Lagged(_)) => {
                self.missed = true;
                Some(Change::Lost)
            }
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

/// What has the socket to itself.
struct Owner {
    socket: AnySocket,
    /// Whom to connect to, and with whom that is done.
    endpoints: Vec<(Endpoint, bool)>,
    waits: (Duration, Duration),
    changes: broadcast::Sender<Change>,
    peers: Peers,
}

impl Owner {
    async fn run(
        mut self,
        mut to_do: mpsc::Receiver<Command>,
        mut to_send: mpsc::Receiver<Frames>,
        received: mpsc::Sender<Frames>,
    ) {
        let mut happened = self.socket.monitor();
        let (mut retry, mut wait) = (Instant::now(), self.waits.0);
        loop {
            let unconnected = self.endpoints.iter().any(|(_, connected)| !connected);
            let may_send = self.may_send();
            tokio::select! {
                Some(command) = to_do.recv() => {
                    self.execute(command).await;
                    retry = Instant::now();
                }
                Some(event) = happened.next() => self.note(event),
                () = sleep_until(retry), if unconnected => {
                    self.connect().await;
                    (retry, wait) = match self.endpoints.iter().all(|(_, connected)| *connected) {
                        true => (Instant::now(), self.waits.0),
                        false => (Instant::now() + wait, (wait * 2).min(self.waits.1)),
                    };
                }
                frames = to_send.recv(), if may_send => match frames {
                    Some(frames) => self.send(frames).await,
                    None => return,
                },
                (room, message) = receive(&received, &mut self.socket) => {
                    let (Ok(room), Ok(message)) = (room, message) else { continue };
                    let frames = message.into_vec();
                    if let (AnySocket::Router(_), Some(address)) = (&self.socket, frames.first()) {
                        self.peers.lock().unwrap_or_else(PoisonError::into_inner).insert(address.clone());
                    }
                    room.send(frames);
                }
            }
        }
    }

    async fn execute(&mut self, command: Command) {
        match command {
            Command::Bind(endpoint, answer) => {
                let failed =
                    |cause| Error::unavailable(format!("`{endpoint}` cannot be bound")).caused_by(error(cause));
                let bound = self.socket.bind(&endpoint.to_string()).await.map_err(failed);
                // Whoever gave up waiting needs no answer; so below.
                let _ = answer.send(bound.and_then(|bound| bound.parse()));
            }
            Command::Connect(endpoint) => self.endpoints.push((endpoint, false)),
            Command::Subscribe(prefix, answer) => {
                let _ = answer.send(self.socket.subscribe(&prefix).await);
            }
        }
    }

    /// Says whether somebody is there: the library drops what is for nobody, and here it waits.
    fn may_send(&self) -> bool {
        matches!(self.socket, AnySocket::Router(_) | AnySocket::Pub(_))
            || !self.peers.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Tries to connect to those with whom that is not done.
    async fn connect(&mut self) {
        for (endpoint, connected) in self.endpoints.iter_mut().filter(|(_, connected)| !connected) {
            *connected = self.socket.connect(&endpoint.to_string()).await.is_ok();
        }
    }

    fn note(&mut self, event: SocketEvent) {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let change = match event {
            SocketEvent::Connected(_, peer) | SocketEvent::Accepted(_, peer) => {
                peers.insert(peer.into());
                Change::Connected
            }
            SocketEvent::Disconnected(peer) => {
                peers.remove(&Bytes::from(peer));
                // A SUB connects again by itself. The library does not say which connection of several it was.
                if !matches!(self.socket, AnySocket::Sub(_)) && self.endpoints.len() == 1 {
                    self.endpoints[0].1 = false;
                }
                Change::Lost
            }
            _ => return,
        };
        // Nobody may be listening.
        let _ = self.changes.send(change);
    }

    async fn send(&mut self, frames: Frames) {
        let Ok(message) = ZmqMessage::try_from(frames) else { return };
        // Polled once: a peer that takes nothing must not hold up the others.
        match timeout(Duration::ZERO, self.socket.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(%error, "a message was dropped"),
            Err(_) => warn!("a message was dropped: the peer takes nothing"),
        }
    }
}

/// Makes one type of the library's several. Some only send, and some only receive.
macro_rules! sockets {
    ($($kind:ident $socket:ident $send:tt $receive:tt),*) => {
        enum AnySocket { $($kind(zeromq::$socket)),* }

        impl AnySocket {
            fn open(kind: Kind, options: SocketOptions) -> Self {
                match kind { $(Kind::$kind => Self::$kind(zeromq::$socket::with_options(options))),* }
            }

            fn monitor(&mut self) -> events::Receiver<SocketEvent> {
                match self { $(Self::$kind(socket) => socket.monitor()),* }
            }

            async fn bind(&mut self, endpoint: &str) -> ZmqResult<String> {
                match self { $(Self::$kind(socket) => socket.bind(endpoint).await.map(|bound| bound.to_string())),* }
            }

            async fn connect(&mut self, endpoint: &str) -> ZmqResult<()> {
                match self { $(Self::$kind(socket) => socket.connect(endpoint).await),* }
            }

            async fn send(&mut self, message: ZmqMessage) -> ZmqResult<()> {
                match self { $(Self::$kind(_socket) => sockets!(@send $send _socket message)),* }
            }

            async fn receive(&mut self) -> ZmqResult<ZmqMessage> {
                match self { $(Self::$kind(_socket) => sockets!(@receive $receive _socket)),* }
            }
        }
    };
    (@send yes $socket:ident $message:ident) => { $socket.send($message).await };
    (@send no $socket:ident $message:ident) => {{ let _ = $message; Err(ZmqError::Other("this socket only receives")) }};
    (@receive yes $socket:ident) => { $socket.recv().await };
    (@receive no $socket:ident) => { std::future::pending().await };
}

sockets!(
    Router RouterSocket yes yes, Dealer DealerSocket yes yes, Push PushSocket yes no,
    Pull PullSocket no yes, Pub PubSocket yes no, Sub SubSocket no yes
);

impl AnySocket {
    async fn subscribe(&mut self, prefix: &Bytes) -> Result<()> {
        let Self::Sub(socket) = self else { return Err(Error::not_allowed("only a SUB subscribes")) };
        let prefix = std::str::from_utf8(prefix)
            .map_err(|cause| Error::unsupported("the backend `zeromq` subscribes to UTF-8 alone").caused_by(cause))?;
        socket.subscribe(prefix).await.map_err(error)
    }
}

/// Takes a message once there is room for it: nothing that was received may be without a place.
async fn receive<'a>(
    received: &'a mpsc::Sender<Frames>,
    socket: &mut AnySocket,
) -> (Result<mpsc::Permit<'a, Frames>, mpsc::error::SendError<()>>, ZmqResult<ZmqMessage>) {
    (received.reserve().await, socket.receive().await)
}

fn check(endpoint: &Endpoint) -> Result<()> {
    if endpoint.is_inproc() {
        return Err(Error::unsupported(format!("the backend `zeromq` has no inproc: `{endpoint}`")));
    }
    if !endpoint.is_local() {
        let reason = "73 bytes from a peer abort the process";
        let message =
            format!("the backend `zeromq` is for loopback and ipc addresses only, found `{endpoint}`: {reason}");
        return Err(Error::forbidden(message));
    }
    Ok(())
}

fn closed() -> Error {
    Refused::Closed.into()
}

fn error(cause: ZmqError) -> Error {
    Error::unavailable(cause.to_string())
}
