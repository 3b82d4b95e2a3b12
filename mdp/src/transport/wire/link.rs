//! One connection: its stream, the codec, what came and what is to go.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use omq_tokio::proto::command::{Command, PeerProperties};
use omq_tokio::proto::connection::{ConnectionConfig, Event};
use omq_tokio::proto::{Connection, MechanismName};
use omq_tokio::{Error as CodecError, Message};
use tokio::sync::Notify;
use tokio::task::coop::consume_budget;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use super::bundle;
use super::output::{Output, Pushed};
use crate::protocol::{Frames, OURS};
use crate::transport::stream::{Io, Stream};
use crate::transport::{SocketSettings, omq};

/// How much is read at once.
const READ: usize = 16 * 1024;

/// The length of a greeting, and where in it the name of the mechanism is.
const GREETING: usize = 64;
const MECHANISM: std::ops::Range<usize> = 12..32;

/// After how many intervals without a sign of life a peer is lost.
const SILENT: u32 = 3;

/// A connection to a peer. Whoever has it reads and writes, each for the time of one lock.
#[derive(Debug)]
pub(in crate::transport) struct Link {
    stream: Stream,
    mechanism: MechanismName,
    /// Our side says by its identity that it is one of ours.
    is_ours: bool,
    wire: Mutex<Wire>,
    /// The stream takes nothing for now, so whoever tends the link is to wait for it.
    blocked: Notify,
    /// Something came since the last look.
    heard: AtomicBool,
    /// Nobody reads, because there is no room for what came.
    held: AtomicBool,
    /// One message alone came since the last one was sent.
    turn: AtomicBool,
    /// The connection is over, or the socket is closing.
    pub(in crate::transport) gone: CancellationToken,
}

#[derive(Debug)]
struct Wire {
    codec: Connection,
    input: BytesMut,
    inbox: VecDeque<Message>,
    output: Output,
    /// Messages of one frame are bundles.
    bundles: bool,
}

/// Why a handshake came to nothing.
#[derive(Debug)]
pub(in crate::transport) enum Unshaken {
    /// The peer said that it does not want us, and why: it will say the same again.
    Rejected(String),
    /// Something else, which may be better the next time.
    Failed,
}

impl Link {
    pub(in crate::transport) fn new(stream: Stream, mut config: ConnectionConfig, closing: &CancellationToken) -> Self {
        config.peer_address = stream.peer_address();
        let (mechanism, is_ours) = (config.mechanism_name(), config.identity.starts_with(OURS));
        let (codec, output) = (Connection::new(config), Output::default());
        Self {
            stream,
            mechanism,
            is_ours,
            wire: Mutex::new(Wire { codec, input: BytesMut::new(), inbox: VecDeque::new(), output, bundles: false }),
            blocked: Notify::new(),
            heard: AtomicBool::new(true),
            held: AtomicBool::new(false),
            turn: AtomicBool::new(true),
            gone: closing.child_token(),
        }
    }

    fn wire(&self) -> MutexGuard<'_, Wire> {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the handshake, and returns what the peer says of itself.
    pub(in crate::transport) async fn shake(&self) -> Result<Arc<PeerProperties>, Unshaken> {
        let mut greeting = Vec::new();
        self.write();
        loop {
            let handled = {
                let mut wire = self.wire();
                match wire.read(&self.stream) {
                    Ok(Some(bytes)) => {
                        let missing = GREETING.saturating_sub(greeting.len());
                        greeting.extend_from_slice(&bytes[..bytes.len().min(missing)]);
                        wire.handle(bytes).map(|()| true)
                    }
                    Ok(None) => Ok(false),
                    Err(_) => return Err(Unshaken::Failed),
                }
            };
            // An ERROR that tells the peer why it is not let in is written before it is cut off.
            self.write();
            let came = handled.map_err(|error| self.why(&error, &greeting))?;
            if let Some(peer) = self.shaken()? {
                return Ok(peer);
            }
            if !came {
                self.readable().await.map_err(|_| Unshaken::Failed)?;
            }
        }
    }

    fn shaken(&self) -> Result<Option<Arc<PeerProperties>>, Unshaken> {
        let mut wire = self.wire();
        let Some(Event::HandshakeSucceeded { peer_properties, .. }) = wire.codec.poll_event() else { return Ok(None) };
        let is_ours = |identity: &Bytes| identity.starts_with(OURS);
        let are_ours = self.is_ours && peer_properties.identity.as_ref().is_some_and(is_ours);
        if are_ours && wire.codec.has_frame_transform() {
            wire.bundle().map_err(|_| Unshaken::Failed)?;
        }
        Ok(Some(peer_properties))
    }

    /// Tells apart what will be the same the next time.
    fn why(&self, error: &CodecError, greeting: &[u8]) -> Unshaken {
        match error {
            // By the codes of ZAP: 3 is something that passes, 5 is a fault of the server.
            CodecError::HandshakeRefused(refusal) => match refusal.status_code().map(|code| code / 100) {
                Some(3 | 5) => Unshaken::Failed,
                _ => Unshaken::Rejected(refusal.to_string()),
            },
            CodecError::HandshakeFailed(reason) if self.is_of_another_mechanism(greeting) => {
                Unshaken::Rejected(reason.clone())
            }
            _ => Unshaken::Failed,
        }
    }

    fn is_of_another_mechanism(&self, greeting: &[u8]) -> bool {
        let name = greeting.get(MECHANISM).and_then(|name| name.try_into().ok());
        greeting.first() == Some(&0xff) && name.is_some_and(|name| MechanismName::from_padded(name) != self.mechanism)
    }

    /// Waits until there is something to read, or, where the peer takes none of our answers, until it does.
    pub(in crate::transport) async fn readable(&self) -> Io<()> {
        // A peer that never stops does not keep the others of its thread waiting.
        consume_budget().await;
        if self.wire().codec.accepts_input() {
            return self.stream.readable().await;
        }
        self.stream.writable().await?;
        self.write();
        Ok(())
    }

    /// Reads once, and says whether something came.
    pub(in crate::transport) fn read(&self) -> Io<bool> {
        let mut wire = self.wire();
        if self.gone.is_cancelled() {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let Some(bytes) = wire.read(&self.stream)? else { return Ok(false) };
        let before = wire.inbox.len();
        wire.handle(bytes).map_err(io::Error::other)?;
        match wire.inbox.len() {
            // A part of a message, or a command.
            now if now == before => {}
            now => self.turn.store(now == 1, Ordering::Relaxed),
        }
        // Commands that mean nothing to a ROUTER or a DEALER.
        while wire.codec.poll_event().is_some() {}
        self.heard.store(true, Ordering::Relaxed);
        let answers = wire.codec.has_pending_transmit();
        drop(wire);
        if answers {
            self.write();
        }
        Ok(true)
    }

    /// Says how many lanes there are: each has room for as much as a peer of its own.
    pub(in crate::transport) fn set_lanes(&self, count: usize) {
        self.wire().output.set_lanes(count);
    }

    /// Returns how many messages came and were not taken.
    pub(in crate::transport) fn waiting(&self) -> usize {
        self.wire().inbox.len()
    }

    /// Appends what came to `into`, `most` messages in all, each behind `address` where there is one. Returns how many.
    pub(in crate::transport) fn take(&self, address: Option<&Bytes>, into: &mut Vec<Frames>, most: usize) -> usize {
        take(&mut self.wire().inbox, address, into, most)
    }

    /// Takes what came and was not received, once the link is gone.
    pub(in crate::transport) fn leftover(&self) -> VecDeque<Message> {
        std::mem::take(&mut self.wire().inbox)
    }

    /// Encodes a message, to be written later.
    pub(in crate::transport) fn push(&self, frames: &[Bytes], settings: &SocketSettings) -> Pushed {
        if self.gone.is_cancelled() {
            return Pushed::Gone;
        }
        let Wire { codec, output, bundles, .. } = &mut *self.wire();
        output.push(codec, frames, *bundles, settings)
    }

    /// Says whether this is the first message to be sent since one alone came: most likely the answer that is awaited. Those to
    /// several that came together go together too.
    pub(in crate::transport) fn take_turn(&self) -> bool {
        self.turn.swap(false, Ordering::Relaxed)
    }

    /// Says whether a message of no length would be taken.
    pub(in crate::transport) fn has_room(&self, settings: &SocketSettings) -> bool {
        let wire = self.wire();
        wire.output.has_room(&wire.codec, &[], settings)
    }

    /// Writes what the stream takes. Where that is not all, whoever tends the link goes on with it.
    pub(in crate::transport) fn write(&self) {
        let Wire { codec, output, .. } = &mut *self.wire();
        match output.write(codec, &self.stream) {
            Ok(true) => {}
            Ok(false) => self.blocked.notify_one(),
            Err(_) => self.gone.cancel(),
        }
    }

    /// Says whether all is written.
    pub(in crate::transport) fn is_written(&self) -> bool {
        let wire = self.wire();
        wire.output.is_empty(&wire.codec)
    }

    /// Writes all that is left, however long the peer takes to read it.
    pub(in crate::transport) async fn flush(&self) {
        self.write();
        while !self.is_written() && self.stream.writable().await.is_ok() {
            let Wire { codec, output, .. } = &mut *self.wire();
            if output.write(codec, &self.stream).is_err() {
                return;
            }
        }
    }

    /// Says that nobody reads for now, so that the peer's silence means nothing; or that somebody does again.
    pub(in crate::transport) fn hold(&self, is_held: bool) {
        self.held.store(is_held, Ordering::Relaxed);
        self.heard.store(true, Ordering::Relaxed);
    }

    /// Does what must be done whether anybody sends or receives or not: goes on to write where the stream took nothing, calling
    /// `written` when it is done, and asks a silent peer for a sign of life. Ends where it gave none.
    pub(in crate::transport) async fn tend(&self, heartbeat: Option<Duration>, written: impl Fn()) -> io::Error {
        let writing = async {
            loop {
                self.blocked.notified().await;
                while !self.is_written() {
                    if let Err(error) = self.stream.writable().await {
                        return error;
                    }
                    self.write();
                    // A stream that is broken is always writable.
                    if self.gone.is_cancelled() {
                        return io::ErrorKind::BrokenPipe.into();
                    }
                }
                written();
            }
        };
        tokio::select! {
            error = writing => error,
            error = self.listen(heartbeat) => error,
        }
    }

    async fn listen(&self, heartbeat: Option<Duration>) -> io::Error {
        let Some(heartbeat) = heartbeat else { return std::future::pending().await };
        let lost = heartbeat.saturating_mul(SILENT).as_millis() / 100;
        let ping = Command::Ping { ttl_deciseconds: lost.try_into().unwrap_or(u16::MAX), context: Bytes::new() };
        let mut ticks = interval(heartbeat);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        ticks.reset();
        let mut silent = 0;
        loop {
            ticks.tick().await;
            if self.heard.swap(false, Ordering::Relaxed) || self.held.load(Ordering::Relaxed) {
                silent = 0;
                continue;
            }
            silent += 1;
            if silent >= SILENT {
                return io::ErrorKind::TimedOut.into();
            }
            // Where the peer does not know PING, there is nothing to ask it.
            let _ = self.wire().codec.send_command(&ping);
            self.write();
        }
    }
}

impl Wire {
    fn read(&mut self, stream: &Stream) -> Io<Option<Bytes>> {
        if !self.codec.accepts_input() {
            self.codec.resume_input().and_then(|()| self.gather()).map_err(io::Error::other)?;
            if !self.codec.accepts_input() {
                return Ok(None);
            }
        }
        self.input.reserve(READ);
        match stream.try_read(&mut self.input) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => Ok(Some(self.input.split().freeze())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn handle(&mut self, bytes: Bytes) -> omq_tokio::Result<()> {
        let handled = self.codec.handle_input(bytes);
        self.gather().and(handled)
    }

    /// Takes the messages from the codec.
    fn gather(&mut self) -> omq_tokio::Result<()> {
        if !self.codec.is_ready() {
            return Ok(());
        }
        let known = self.inbox.len();
        if known == 0 {
            self.codec.swap_messages(&mut self.inbox);
        } else {
            self.inbox.extend(std::iter::from_fn(|| self.codec.poll_message()));
        }
        if self.bundles { self.open_bundles(known) } else { Ok(()) }
    }

    /// Takes messages of one frame for bundles from now on, those too that came with the end of the handshake.
    fn bundle(&mut self) -> omq_tokio::Result<()> {
        self.bundles = true;
        self.open_bundles(0)
    }

    fn open_bundles(&mut self, known: usize) -> omq_tokio::Result<()> {
        for at in known..self.inbox.len() {
            let message = &mut self.inbox[at];
            if message.len() != 1 {
                continue;
            }
            match bundle::frames(message.part_bytes(0).unwrap_or_default()) {
                Some(frames) => *message = Message::multipart(frames),
                None => {
                    // What came before it is taken yet.
                    self.inbox.truncate(at);
                    return Err(CodecError::Protocol("a message of one frame is no bundle of frames".into()));
                }
            }
        }
        Ok(())
    }
}

/// Takes messages from an inbox as [`Link::take`] does.
pub(in crate::transport) fn take(
    inbox: &mut VecDeque<Message>,
    address: Option<&Bytes>,
    into: &mut Vec<Frames>,
    most: usize,
) -> usize {
    let count = inbox.len().min(most);
    if count > 0 {
        omq::convert(&inbox.make_contiguous()[..count], address, into);
        inbox.drain(..count);
    }
    count
}
