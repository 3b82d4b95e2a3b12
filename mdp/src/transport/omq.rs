//! The sockets of the crate `omq-tokio`.
//!
//! Its defaults are the best that its options offer a broker. One client with a window of 100, 4 workers, 16 bytes, a broker on
//! one thread: the broker takes 8 us in this library and 13 us in the kernel for each request. The latency profile, a message
//! pool, no PING and a turn for other tasks before each wait changed nothing beyond the noise (5 %); a runtime of two threads took
//! 14 and 24 us.

use bytes::{Bytes, BytesMut};
use omq_tokio::{
    CurveServerOptions, DisconnectReason, Message, MonitorEvent, MonitorRecvError, MonitorStream, Options, Payload,
    ReconnectPolicy, SocketType, TrySendError,
};
use playhouse_engine::{Error, Result};
use tokio::sync::broadcast;

use super::security::{PublicKey, Security};
use super::{Change, Endpoint, Kind, Refused, SocketSettings};
use crate::protocol::Frames;

/// What the library counts for a frame beside its bytes.
const FRAME_COST: usize = size_of::<Payload>();

/// How many bytes of a frame go into the library's own structure, so that no count of references crosses to its tasks.
const SHORT: usize = omq_tokio::message::MAX_INLINE_PAYLOAD;

#[derive(Debug)]
pub(super) struct Omq {
    socket: omq_tokio::Socket,
}

impl Omq {
    pub(super) fn open(kind: Kind, settings: &SocketSettings) -> Result<Self> {
        let kind = match kind {
            Kind::Router => SocketType::Router,
            Kind::Dealer => SocketType::Dealer,
            Kind::Push => SocketType::Push,
            Kind::Pull => SocketType::Pull,
            Kind::Pub => SocketType::Pub,
            Kind::Sub => SocketType::Sub,
        };
        let socket = omq_tokio::Socket::try_new(kind, options(settings)).map_err(error)?;
        Ok(Self { socket })
    }

    pub(super) async fn bind(&self, endpoint: &Endpoint) -> Result<Endpoint> {
        let failed = |cause| Error::unavailable(format!("`{endpoint}` cannot be bound")).caused_by(error(cause));
        let bound = self.socket.bind(endpoint.to_string()).await.map_err(failed)?;
        bound.to_string().parse()
    }

    pub(super) async fn connect(&self, endpoint: &Endpoint) -> Result<()> {
        self.socket.connect(endpoint.to_string()).await.map_err(error)
    }

    pub(super) async fn receive(&self, into: &mut Vec<Frames>, most: usize) -> Result<()> {
        let mut messages = Vec::new();
        self.socket.recv_many_into(most, &mut messages).await.map_err(error)?;
        convert(&messages, None, into);
        Ok(())
    }

    pub(super) fn send(&self, frames: Frames) -> Result<(), Refused> {
        // The frames stay here, because the library does not give them back where nobody has the address.
        let message = Message::multipart_payloads(frames.iter().map(payload));
        match self.socket.try_send(message) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => Err(Refused::Full(frames)),
            Err(TrySendError::Error(omq_tokio::Error::Closed) | TrySendError::Closed) => Err(Refused::Closed),
            Err(TrySendError::Error(_)) => Err(Refused::Unroutable(frames)),
        }
    }

    /// Waits until there may be room for a message.
    pub(super) async fn room(&self) {
        self.socket.wait_send_ready().await;
    }

    pub(super) async fn subscribe(&self, prefix: Bytes) -> Result<()> {
        self.socket.subscribe(prefix).await.map_err(error)
    }

    pub(super) fn changes(&self) -> OmqChanges {
        OmqChanges { monitor: self.socket.monitor(), missed: false }
    }

    pub(super) async fn close(self) {
        // It fails only where it is closed already.
        let _ = self.socket.close().await;
    }
}

#[derive(Debug)]
pub(super) struct OmqChanges {
    monitor: MonitorStream,
    /// Whether events were lost, so that a peer that is taken for connected may not be the one of before.
    missed: bool,
}

impl OmqChanges {
    pub(super) async fn next(&mut self) -> Option<Change> {
        if std::mem::take(&mut self.missed) {
            return Some(Change::Connected);
        }
        loop {
            match self.monitor.recv().await {
                Ok(MonitorEvent::HandshakeSucceeded { .. }) => return Some(Change::Connected),
                Ok(MonitorEvent::Disconnected { .. }) => return Some(Change::Lost),
                Ok(MonitorEvent::ConnectStopped { reason: DisconnectReason::HandshakeRefused(refusal), .. }) => {
                    return Some(Change::Rejected(refusal.to_string()));
                }
                // Whoever hears of a loss that was none sends once too often, which is better than never.
                Err(MonitorRecvError::Lagged(_)) => {
                    self.missed = true;
                    return Some(Change::Lost);
                }
                Ok(MonitorEvent::Closed) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }
}

/// Tells of the changes of a library's socket that does a part of the work of one of ours.
pub(super) async fn forward(mut changes: OmqChanges, to: broadcast::Sender<Change>) {
    while let Some(change) = changes.next().await {
        // Nobody may be listening.
        let _ = to.send(change);
    }
}

pub(super) fn options(settings: &SocketSettings) -> Options {
    let queue = |messages| u32::try_from(messages).unwrap_or(u32::MAX);
    let retry = ReconnectPolicy::Exponential { min: settings.first_retry, max: settings.longest_retry };
    let mut options = Options::new()
        .max_message_size(settings.largest_message.saturating_add(settings.most_frames.saturating_mul(FRAME_COST)))
        .handshake_timeout(settings.handshake)
        .max_pending_handshakes(settings.pending_handshakes)
        .send_hwm(queue(settings.send_queue))
        .recv_hwm(queue(settings.receive_queue))
        .linger(settings.linger)
        .reconnect(retry)
        .router_mandatory(true);
    if let Some(identity) = &settings.identity {
        options = options.identity(identity.as_bytes().clone());
    }
    if let Some(interval) = settings.heartbeat {
        let lost = interval.saturating_mul(3);
        options = options.heartbeat_interval(interval).heartbeat_timeout(lost);
    }
    match &settings.security {
        Security::None => options,
        Security::CurveServer { keys, allow } => {
            let allow = allow.clone();
            let is_allowed = move |peer: &omq_tokio::proto::mechanism::MechanismPeerInfo| {
                allow.allows(&PublicKey::from_bytes(peer.public_key))
            };
            options.curve_server_with_options(keys.pair(), CurveServerOptions::new().authenticator(is_allowed))
        }
        Security::CurveClient { keys, server } => options.curve_client(keys.pair(), server.key()),
        Security::PlainServer { users } => {
            let users = users.clone();
            options.plain_server(move |peer| {
                users.knows(peer.username.as_deref().unwrap_or_default(), peer.password.as_deref().unwrap_or_default())
            })
        }
        Security::PlainClient { name, password } => options.plain_client(name, password.text()),
    }
}

fn payload(frame: &Bytes) -> Payload {
    if frame.len() <= SHORT { Payload::from_slice(frame) } else { Payload::from_bytes(frame.clone()) }
}

/// Makes frames of what came. The library holds short frames within its own structure; all those of one call get one
/// piece of memory together, because most frames of the protocol are that short.
pub(super) fn convert(messages: &[Message], address: Option<&Bytes>, into: &mut Vec<Frames>) {
    let is_short = |frame: &[u8]| !frame.is_empty() && frame.len() <= SHORT;
    let frames_of = |message: &Message| -> usize {
        (0..message.len())
            .filter_map(|index| message.part_slice(index))
            .filter(|frame| is_short(frame))
            .map(<[u8]>::len)
            .sum()
    };
    let mut shorts = BytesMut::with_capacity(messages.iter().map(frames_of).sum());
    into.extend(messages.iter().map(|message| {
        let frame = |index| match message.part_slice(index) {
            Some(frame) if is_short(frame) => {
                shorts.extend_from_slice(frame);
                shorts.split().freeze()
            }
            _ => message.part_bytes(index).unwrap_or_default(),
        };
        let mut frames = Frames::with_capacity(message.len() + usize::from(address.is_some()));
        frames.extend(address.cloned());
        frames.extend((0..message.len()).map(frame));
        frames
    }));
}

fn error(cause: omq_tokio::Error) -> Error {
    use omq_tokio::Error as Cause;
    let message = cause.to_string();
    match cause {
        Cause::InvalidEndpoint(_) | Cause::Config(_) | Cause::Protocol(_) => Error::malformed(message),
        Cause::UnsupportedScheme(_) => Error::unsupported(message),
        Cause::MessageTooLarge { .. } => Error::too_large(message),
        Cause::Timeout => Error::timeout(message),
        _ => Error::unavailable(message),
    }
}
