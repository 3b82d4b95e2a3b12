//! The task of one peer: its handshake, what it sends, and its signs of life.

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use omq_tokio::proto::Connection;
use omq_tokio::proto::command::Command;
use omq_tokio::proto::connection::Event;
use tokio::time::{Instant, interval, timeout};

use super::Shared;
use super::link::Link;
use crate::transport::stream::{Io, Stream};
use crate::transport::{Change, omq};

/// How much is read at once.
const READ: usize = 16 * 1024;

/// Serves one peer until it is gone, or the socket is closed.
pub(super) async fn run(stream: Stream, number: u64, shared: Arc<Shared>) {
    let mut config = shared.config.clone();
    config.peer_address = stream.peer_address();
    let link = Arc::new(Link::new(stream, Connection::new(config), &shared.closing));
    let mut peer = Peer { link: link.clone(), shared: shared.clone(), buffer: BytesMut::new(), address: Bytes::new() };
    let shaken = timeout(shared.settings.handshake, link.gone.run_until_cancelled(peer.shake(number))).await;
    shared.state().handshakes -= 1;
    if matches!(shaken, Ok(Some(Ok(())))) {
        peer.register();
        // Nobody may be listening; so below.
        let _ = shared.changes.send(Change::Connected);
        let _ = link.gone.run_until_cancelled(peer.serve()).await;
        peer.forget();
        let _ = shared.changes.send(Change::Lost);
    }
    let flushed = async {
        while !link.is_written() && link.stream.writable().await.is_ok() {
            link.write();
        }
    };
    if shared.closing.is_cancelled() {
        let _ = timeout(shared.settings.linger, flushed).await;
    }
    shared.state().connections -= 1;
}

struct Peer {
    link: Arc<Link>,
    shared: Arc<Shared>,
    buffer: BytesMut,
    address: Bytes,
}

impl Peer {
    async fn shake(&mut self, number: u64) -> Io<()> {
        self.link.write();
        loop {
            let read = self.read();
            // An ERROR that tells the peer why it is not let in is written before it is cut off.
            self.link.write();
            if !read? {
                self.link.stream.readable().await?;
            }
            let event = self.link.outgoing().codec.poll_event();
            if let Some(Event::HandshakeSucceeded { peer_properties, .. }) = event {
                let given = peer_properties.identity.clone().filter(|identity| !identity.is_empty());
                self.address = given.unwrap_or_else(|| {
                    let mut bytes = vec![0];
                    bytes.extend_from_slice(&number.to_be_bytes());
                    bytes.into()
                });
                return Ok(());
            }
        }
    }

    /// Makes the peer known by its address. One of before with the same address is cut off: it is most likely the same
    /// peer, whose connection broke without a word.
    fn register(&self) {
        let before = self.shared.state().peers.insert(self.address.clone(), self.link.clone());
        if let Some(before) = before {
            before.gone.cancel();
        }
    }

    fn forget(&self) {
        self.link.gone.cancel();
        let mut state = self.shared.state();
        if state.peers.get(&self.address).is_some_and(|link| Arc::ptr_eq(link, &self.link)) {
            state.peers.remove(&self.address);
            // After what it sent. There is one of these for a peer, so the limit of peers bounds them.
            state.inbox.push_back(vec![self.address.clone()]);
            drop(state);
            self.shared.came.notify_one();
        }
    }

    async fn serve(&mut self) -> Io<()> {
        let heartbeat = self.shared.settings.heartbeat;
        let mut ticks = interval(heartbeat.unwrap_or(std::time::Duration::from_secs(3600)));
        ticks.reset();
        let mut heard = Instant::now();
        let mut blocked = false;
        self.hand_over().await;
        loop {
            let link = self.link.clone();
            tokio::select! {
                readable = link.stream.readable() => {
                    readable?;
                    if self.read()? {
                        heard = Instant::now();
                        self.hand_over().await;
                    }
                }
                () = link.blocked.notified(), if !blocked => blocked = true,
                writable = link.stream.writable(), if blocked => {
                    writable?;
                    link.write();
                    blocked = !link.is_written();
                }
                _ = ticks.tick() => {
                    let Some(heartbeat) = heartbeat else { continue };
                    if heard.elapsed() >= heartbeat * 3 {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    if heard.elapsed() >= heartbeat {
                        let ping = Command::Ping { ttl_deciseconds: 0, context: Bytes::new() };
                        // Where the peer does not know PING, there is nothing to ask it.
                        let _ = link.outgoing().codec.send_command(&ping);
                        link.write();
                    }
                }
            }
        }
    }

    /// Reads once, and says whether something came.
    fn read(&mut self) -> Io<bool> {
        self.buffer.reserve(READ);
        match self.link.stream.try_read(&mut self.buffer) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {
                let bytes = self.buffer.split().freeze();
                let handled = self.link.outgoing().codec.handle_input(bytes);
                handled.map(|()| true).map_err(io::Error::other)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Hands what came to whoever receives, and waits while there is no room for more.
    async fn hand_over(&mut self) {
        let (mut messages, to_write) = {
            let mut outgoing = self.link.outgoing();
            while outgoing.codec.poll_event().is_some() {}
            let mut messages = std::collections::VecDeque::new();
            outgoing.codec.swap_messages(&mut messages);
            (messages, outgoing.codec.has_pending_transmit())
        };
        if to_write {
            self.link.write();
        }
        if messages.is_empty() {
            return;
        }
        let mut frames = Vec::with_capacity(messages.len());
        omq::convert(messages.make_contiguous(), Some(&self.address), &mut frames);
        loop {
            let room = self.shared.room.notified();
            {
                let mut state = self.shared.state();
                if state.inbox.len() < self.shared.settings.receive_queue.max(1) {
                    state.inbox.extend(frames);
                    break;
                }
            }
            room.await;
        }
        self.shared.came.notify_one();
    }
}
