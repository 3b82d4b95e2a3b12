//! The task of one peer: its handshake, what it sends, and its signs of life.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::timeout;

use super::trunk::Trunk;
use super::{Route, Shared, State};
use crate::protocol::Frames;
use crate::transport::stream::{Io, Stream};
use crate::transport::wire::{Link, Unshaken};
use crate::transport::{Change, lanes};

/// Serves one peer until it is gone, or the socket is closed.
pub(super) async fn run(stream: Stream, host: Option<IpAddr>, number: u64, shared: Arc<Shared>) {
    let link = Arc::new(Link::new(stream, shared.config.clone(), &shared.closing));
    let mut peer = Peer { link: link.clone(), shared: shared.clone(), address: Bytes::new(), trunk: None };
    let shaken = timeout(shared.settings.handshake, link.gone.run_until_cancelled(peer.shake(number))).await;
    shared.state().handshakes.end(host);
    if matches!(shaken, Ok(Some(Ok(())))) && peer.register() {
        // Nobody may be listening; so below.
        let _ = shared.changes.send(Change::Connected);
        let _ = link.gone.run_until_cancelled(peer.serve()).await;
        peer.forget();
        let _ = shared.changes.send(Change::Lost);
    }
    if shared.closing.is_cancelled() {
        let _ = timeout(shared.settings.linger, link.flush()).await;
    }
    shared.state().connections -= 1;
}

struct Peer {
    link: Arc<Link>,
    shared: Arc<Shared>,
    address: Bytes,
    /// Its lanes, where it has some: then it has no address of its own.
    trunk: Option<Trunk>,
}

impl Peer {
    async fn shake(&mut self, number: u64) -> Result<(), Unshaken> {
        let properties = self.link.shake().await?;
        self.trunk = lanes::are_wanted(&properties).then(Trunk::default);
        let given = properties.identity.clone().filter(|identity| !identity.is_empty());
        self.address = given.unwrap_or_else(|| {
            let mut bytes = vec![0];
            bytes.extend_from_slice(&number.to_be_bytes());
            bytes.into()
        });
        Ok(())
    }

    /// Makes the peer known by its address. One of before with the same address is cut off: it is most likely the same
    /// peer, whose connection broke without a word. Returns false where that is a lane, which is nobody else's.
    fn register(&self) -> bool {
        if self.trunk.is_some() {
            return true;
        }
        let mut state = self.shared.state();
        if state.peers.get(&self.address).is_some_and(|before| before.is_lane) {
            return false;
        }
        let route = Route { link: self.link.clone(), is_lane: false };
        if let Some(before) = state.peers.insert(self.address.clone(), route) {
            before.link.gone.cancel();
        }
        true
    }

    /// Says, after all that it sent, that the peer is gone, or each of its lanes. The limit of peers bounds how often.
    fn forget(&mut self) {
        self.link.gone.cancel();
        let mut state = self.shared.state();
        if let Some(trunk) = &mut self.trunk {
            trunk.close(&mut state);
        } else if state.peers.get(&self.address).is_some_and(|route| Arc::ptr_eq(&route.link, &self.link)) {
            state.peers.remove(&self.address);
            state.inbox.push_back(vec![self.address.clone()]);
        }
        drop(state);
        self.shared.came.notify_one();
    }

    async fn serve(&mut self) {
        let link = self.link.clone();
        let shared = self.shared.clone();
        tokio::select! {
            _ = self.read() => {}
            _ = link.tend(shared.settings.heartbeat, || shared.drained.notify_waiters()) => {}
        }
    }

    /// Hands what comes to whoever receives, and waits while there is no room for more.
    async fn read(&mut self) -> Io<()> {
        let mut frames = Vec::new();
        loop {
            // Some may have come with the last part of the handshake.
            let address = self.trunk.is_none().then_some(&self.address);
            if self.link.take(address, &mut frames, usize::MAX) > 0 {
                if let Some(trunk) = &mut self.trunk {
                    trunk.admit(&mut frames, &self.link, &self.shared)?;
                }
                self.hand_over(&mut frames).await;
            }
            self.link.readable().await?;
            self.link.read()?;
        }
    }

    async fn hand_over(&self, frames: &mut Vec<Frames>) {
        let has_room = |state: &State| state.inbox.len() < self.shared.settings.receive_queue.max(1);
        loop {
            let room = self.shared.room.notified();
            {
                let mut state = self.shared.state();
                if has_room(&state) {
                    state.inbox.extend(frames.drain(..));
                    break;
                }
            }
            self.link.hold(true);
            room.await;
            self.link.hold(false);
        }
        self.shared.came.notify_one();
    }
}
