//! A ZeroMQ socket, whatever library does the work.

use std::fmt;

use bytes::Bytes;
use playhouse_engine::{Error, Result};
use tokio::time::Instant;

#[cfg(feature = "zeromq")]
use super::zeromq;
use super::{Backend, Endpoint, SocketSettings, dealer, lanes, omq, router};
use crate::protocol::Frames;

/// What a socket is for, in the words of ZeroMQ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Talks to many peers, each by its address in frame 0.
    Router,
    /// Talks to the one peer that it connects to; bound, to several in turn.
    Dealer,
    /// Hands each message to one of its peers.
    Push,
    /// Takes messages from all its peers.
    Pull,
    /// Sends each message to all who subscribed to what it begins with.
    Pub,
    /// Takes the messages that it subscribed to.
    Sub,
}

/// Why a message was not taken.
#[derive(Debug)]
pub enum Refused {
    /// There is no room for it now, or no peer yet.
    Full(Frames),
    /// Nobody has the address in its first frame.
    Unroutable(Frames),
    /// The socket is closed.
    Closed,
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full(_) => Self::overloaded("the queue to the peer is full"),
            Refused::Unroutable(_) => Self::unavailable("the peer is not connected"),
            Refused::Closed => Self::unavailable("the socket is closed"),
        }
    }
}

/// What became of the connections of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A peer is there: messages go to it and come from it. A DEALER that connects takes none before this, and what it took before
    /// a [`Change::Lost`] does not go to the next peer: whoever wants it sent again does so now.
    Connected,
    /// As [`Change::Connected`], for a DEALER of [`Socket::with_lanes`]: its peer takes every message by the lane whose address
    /// (`ph:` and what the sender likes) is the first frame, and answers by it. Each lane is a peer of its own to the ROUTER,
    /// from its first message to one of the address alone, which closes it.
    Trunk,
    /// A peer is gone. What was sent to it may have reached it or not. The socket connects again by itself.
    Lost,
    /// The peer let this socket know that it is not welcome, and why: by its answer, or because it asks for other security. The
    /// socket does not try again.
    Rejected(String),
}

/// A ZeroMQ socket on the current tokio runtime.
///
/// Each method takes `&self`, so that one can wait for messages while another sends. Dropped without [`Socket::close`], it
/// still sends what is queued, and nobody waits for that.
pub struct Socket {
    kind: Kind,
    backend: Inner,
}

enum Inner {
    Omq(omq::Omq),
    Dealer(dealer::Dealer),
    Router(router::Router),
    #[cfg(feature = "zeromq")]
    Zeromq(zeromq::Zeromq),
}

/// Calls the same method of whatever library does the work.
macro_rules! each {
    ($inner:expr, $backend:ident => $call:expr) => {
        match $inner {
            Inner::Omq($backend) => $call,
            Inner::Dealer($backend) => $call,
            Inner::Router($backend) => $call,
            #[cfg(feature = "zeromq")]
            Inner::Zeromq($backend) => $call,
        }
    };
}

impl Socket {
    /// Opens a socket that talks to nobody yet.
    ///
    /// # Errors
    /// `Malformed` where the settings make no sense, `Unsupported` where the library cannot do what they ask for.
    ///
    /// # Panics
    /// Where there is no tokio runtime.
    pub fn open(kind: Kind, settings: &SocketSettings) -> Result<Self> {
        let backend = match settings.backend {
            Backend::Omq if kind == Kind::Router => Inner::Router(router::Router::open(settings)),
            Backend::Omq if kind == Kind::Dealer => Inner::Dealer(dealer::Dealer::open(settings, None)),
            Backend::Omq => Inner::Omq(omq::Omq::open(kind, settings)?),
            #[cfg(feature = "zeromq")]
            Backend::Zeromq => Inner::Zeromq(zeromq::Zeromq::open(kind, settings)?),
        };
        Ok(Self { kind, backend })
    }

    /// Opens a DEALER with an identity made up for it, that uses so many lanes where the peer knows them, and room for what each
    /// of them sends: see [`Change::Trunk`].
    ///
    /// # Errors
    /// As [`Socket::open`].
    ///
    /// # Panics
    /// As [`Socket::open`].
    pub fn with_lanes(count: usize, settings: &SocketSettings) -> Result<Self> {
        let settings = SocketSettings { identity: Some(lanes::identity()), ..settings.clone() };
        match settings.backend {
            Backend::Omq => {
                let dealer = dealer::Dealer::open(&settings, Some(count));
                Ok(Self { kind: Kind::Dealer, backend: Inner::Dealer(dealer) })
            }
            #[cfg(feature = "zeromq")]
            Backend::Zeromq => Self::open(Kind::Dealer, &settings),
        }
    }

    /// Returns what the socket is for.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Lets peers connect to `endpoint`, and returns it with the port that was given for port 0.
    ///
    /// # Errors
    /// `Unavailable` where the address is taken or is not one of this machine.
    pub async fn bind(&self, endpoint: &Endpoint) -> Result<Endpoint> {
        each!(&self.backend, backend => backend.bind(endpoint).await)
    }

    /// Connects to `endpoint`, now or as soon as somebody is there, and again whenever the connection is lost, with waits
    /// that grow. Returns at once.
    ///
    /// # Errors
    /// `Malformed` where nothing can ever be there.
    pub async fn connect(&self, endpoint: &Endpoint) -> Result<()> {
        each!(&self.backend, backend => backend.connect(endpoint).await)
    }

    /// Waits for a message and appends it and those that are there already to `into`, `most` in all. The first frame is
    /// the address of the peer where this is a ROUTER; an address with nothing after it says that this peer is gone, as far as
    /// the library tells (that of `omq-tokio` within the process and the crate `zeromq` do not). Nothing is lost where it is dropped before its end.
    ///
    /// # Errors
    /// `Unavailable` where the socket is closed.
    pub async fn receive(&self, into: &mut Vec<Frames>, most: usize) -> Result<()> {
        each!(&self.backend, backend => backend.receive(into, most).await)
    }

    /// Hands a message over to be sent, without waiting. A ROUTER takes the first frame for the address of the peer. A DEALER
    /// takes nothing while it is not connected.
    ///
    /// # Errors
    /// The message, where it cannot be sent now.
    pub fn send(&self, frames: Frames) -> Result<(), Refused> {
        each!(&self.backend, backend => backend.send(frames))
    }

    /// Hands a message over to be sent, and waits for room until `deadline`.
    ///
    /// # Errors
    /// `Overloaded` where there was no room, `Unavailable` where nobody has the address or the socket is closed.
    pub async fn send_waiting(&self, mut frames: Frames, deadline: Instant) -> Result<()> {
        loop {
            match self.send(frames) {
                Ok(()) => return Ok(()),
                Err(Refused::Full(back)) => frames = back,
                Err(refused) => return Err(refused.into()),
            }
            if tokio::time::timeout_at(deadline, self.room()).await.is_err() {
                return Err(Refused::Full(frames).into());
            }
        }
    }

    /// Asks all publishers for the messages that begin with `prefix`; an empty one means all. For a SUB.
    ///
    /// # Errors
    /// `NotAllowed` where the socket is no SUB.
    pub async fn subscribe(&self, prefix: impl Into<Bytes>) -> Result<()> {
        if self.kind != Kind::Sub {
            return Err(Error::not_allowed(format!("only a SUB subscribes, and this is a {:?}", self.kind)));
        }
        each!(&self.backend, backend => backend.subscribe(prefix.into()).await)
    }

    /// Lets the caller learn, from now on, when a peer was lost or came back: beside [`Socket::receive`], so that a client
    /// can send at once again what is not answered yet.
    #[must_use]
    pub fn changes(&self) -> Changes {
        let backend = match &self.backend {
            Inner::Omq(backend) => InnerChanges::Omq(backend.changes()),
            Inner::Dealer(backend) => InnerChanges::Own(backend.changes()),
            Inner::Router(backend) => InnerChanges::Own(backend.changes()),
            #[cfg(feature = "zeromq")]
            Inner::Zeromq(backend) => InnerChanges::Zeromq(backend.changes()),
        };
        Changes { backend }
    }

    /// Sends what is queued, for as long as the settings say, and closes.
    pub async fn close(self) {
        each!(self.backend, backend => backend.close().await);
    }

    async fn room(&self) {
        each!(&self.backend, backend => backend.room().await);
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Socket").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// The changes of a socket's connections, in their order.
#[derive(Debug)]
pub struct Changes {
    backend: InnerChanges,
}

#[derive(Debug)]
enum InnerChanges {
    Omq(omq::OmqChanges),
    Own(tokio::sync::broadcast::Receiver<Change>),
    #[cfg(feature = "zeromq")]
    Zeromq(zeromq::ZeromqChanges),
}

impl Changes {
    /// Waits for the next change; `None` once the socket is closed. Nothing is lost where it is dropped before its end.
    pub async fn next(&mut self) -> Option<Change> {
        match &mut self.backend {
            InnerChanges::Omq(changes) => changes.next().await,
            InnerChanges::Own(changes) => loop {
                match changes.recv().await {
                    Ok(change) => break Some(change),
                    Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
                    Err(tokio::sync::broadcast::error::RecvError::Closed) => break None,
                }
            },
            #[cfg(feature = "zeromq")]
            InnerChanges::Zeromq(changes) => changes.next().await,
        }
    }
}
