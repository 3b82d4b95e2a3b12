//! A ROUTER of our own, over the codec of the crate `omq-proto`: what a broker does most, done with the fewest steps.
//!
//! One task for each peer reads, and hands what came to whoever receives. A message that is sent is encoded at once into
//! the peer's buffer, and the buffers are written when the receiver comes for more: so the answers of one turn leave in one
//! write for each peer, and no task is woken for them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use omq_tokio::proto::SocketType;
use omq_tokio::proto::connection::{ConnectionConfig, Role};
use playhouse_engine::{Error, Result};
use tokio::sync::{Notify, broadcast};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::stream::{Listener, not_bound};
use super::wire::{Link, Pushed};
use super::{Change, Endpoint, Kind, Refused, SocketSettings, lanes, omq};
use crate::protocol::Frames;

mod handshakes;
mod peer;
mod trunk;

use handshakes::Handshakes;

/// How many changes wait for whoever listens to them.
const CHANGES: usize = 64;

/// How long to wait after a connection could not be taken in, as where there are no file descriptors left.
const PAUSE: Duration = Duration::from_millis(50);

/// A ROUTER that is bound to tcp and ipc addresses.
#[derive(Debug)]
pub(super) struct Router {
    shared: Arc<Shared>,
    tasks: TaskTracker,
    linger: Duration,
    /// The library's ROUTER, for peers within the process: they need no bytes.
    within: OnceLock<omq::Omq>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Something came, or something is to be written and nobody receives.
    came: Notify,
    written: Notify,
    /// A peer has taken all that was sent to it, or is gone.
    drained: Notify,
    /// There is room in the inbox again.
    room: Notify,
    closing: CancellationToken,
    changes: broadcast::Sender<Change>,
    settings: SocketSettings,
    config: ConnectionConfig,
}

/// The way to a peer.
#[derive(Clone, Debug)]
struct Route {
    link: Arc<Link>,
    /// It shares the link with others, so that its address goes with each message.
    is_lane: bool,
}

#[derive(Debug, Default)]
struct State {
    peers: HashMap<Bytes, Route>,
    inbox: VecDeque<Frames>,
    /// Whose buffers hold something that is not written.
    unwritten: Vec<Arc<Link>>,
    /// How many peers there are, within their handshake and after it.
    connections: usize,
    handshakes: Handshakes,
    /// For the address of the next peer that has none of its own.
    number: u64,
}

impl Router {
    pub(super) fn open(settings: &SocketSettings) -> Self {
        let options = omq::options(settings);
        let mut config = ConnectionConfig::new(Role::Server, SocketType::Router).mechanism(options.mechanism);
        config.max_message_size = options.max_message_size;
        config.identity = Bytes::from_static(lanes::ROUTER);
        let (changes, _) = broadcast::channel(CHANGES);
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            came: Notify::new(),
            written: Notify::new(),
            drained: Notify::new(),
            room: Notify::new(),
            closing: CancellationToken::new(),
            changes,
            settings: settings.clone(),
            config,
        });
        let tasks = TaskTracker::new();
        tasks.spawn(write_what_nobody_does(shared.clone()));
        Self { shared, tasks, linger: settings.linger, within: OnceLock::new() }
    }

    pub(super) async fn bind(&self, endpoint: &Endpoint) -> Result<Endpoint> {
        if endpoint.is_inproc() {
            if self.within.get().is_none() {
                let router = omq::Omq::open(Kind::Router, &self.shared.settings)?;
                self.tasks.spawn(omq::forward(router.changes(), self.shared.changes.clone()));
                // Whoever was first at the same time has set the same.
                let _ = self.within.set(router);
                self.shared.came.notify_one();
            }
            let within = self.within.get().ok_or_else(|| Error::internal("no ROUTER for inproc"))?;
            return within.bind(endpoint).await;
        }
        let opened = Listener::open(endpoint.place()).await.map_err(|cause| not_bound(endpoint, cause));
        let (listener, place) = opened?;
        self.tasks.spawn(accept(listener, self.shared.clone(), self.tasks.clone()));
        Ok(place.into())
    }

    pub(super) async fn connect(&self, endpoint: &Endpoint) -> Result<()> {
        Err(Error::unsupported(format!("a ROUTER is bound, and does not connect to `{endpoint}`")))
    }

    /// Waits until something was written, or somebody left.
    pub(super) async fn room(&self) {
        // What a peer's own task wrote is not announced, so it is looked at again before long.
        let _ = timeout(PAUSE, self.shared.drained.notified()).await;
    }

    pub(super) async fn subscribe(&self, _: Bytes) -> Result<()> {
        Err(Error::not_allowed("a ROUTER does not subscribe"))
    }

    pub(super) async fn receive(&self, into: &mut Vec<Frames>, most: usize) -> Result<()> {
        self.shared.write_all();
        loop {
            let came = self.shared.came.notified();
            {
                let mut state = self.shared.state();
                if !state.inbox.is_empty() {
                    let was_full = state.inbox.len() >= self.shared.settings.receive_queue;
                    let count = state.inbox.len().min(most);
                    into.extend(state.inbox.drain(..count));
                    if was_full {
                        self.shared.room.notify_waiters();
                    }
                    return Ok(());
                }
            }
            let Some(within) = self.within.get() else {
                came.await;
                continue;
            };
            tokio::select! {
                () = came => {}
                received = within.receive(into, most) => return received,
            }
        }
    }

    pub(super) fn send(&self, frames: Frames) -> Result<(), Refused> {
        let mut state = self.shared.state();
        let Some(route) = frames.first().and_then(|address| state.peers.get(address)) else {
            drop(state);
            return match self.within.get() {
                Some(within) => within.send(frames),
                None => Err(Refused::Unroutable(frames)),
            };
        };
        let link = &route.link;
        match link.push(&frames[usize::from(!route.is_lane)..], &self.shared.settings) {
            Pushed::First => {
                let link = link.clone();
                if state.unwritten.is_empty() {
                    self.shared.written.notify_one();
                }
                state.unwritten.push(link);
                Ok(())
            }
            Pushed::Another => Ok(()),
            Pushed::Full => Err(Refused::Full(frames)),
            Pushed::Gone => Err(Refused::Unroutable(frames)),
        }
    }

    pub(super) fn changes(&self) -> broadcast::Receiver<Change> {
        self.shared.changes.subscribe()
    }

    pub(super) async fn close(mut self) {
        self.shared.closing.cancel();
        self.tasks.close();
        if let Some(within) = self.within.take() {
            within.close().await;
        }
        // Each task ends within the linger time by itself.
        let _ = timeout(self.linger, self.tasks.wait()).await;
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.shared.closing.cancel();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what was sent since the last time.
    fn write_all(&self) {
        let unwritten = std::mem::take(&mut self.state().unwritten);
        for link in &unwritten {
            link.write();
        }
        self.drained.notify_waiters();
    }
}

/// Writes what was sent by somebody who does not come to receive.
async fn write_what_nobody_does(shared: Arc<Shared>) {
    while shared.closing.run_until_cancelled(shared.written.notified()).await.is_some() {
        shared.write_all();
    }
    shared.write_all();
}

async fn accept(listener: Listener, shared: Arc<Shared>, tasks: TaskTracker) {
    let closing = shared.closing.clone();
    while let Some(accepted) = closing.run_until_cancelled(listener.accept()).await {
        let Ok(stream) = accepted else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let mut state = shared.state();
        let settings = &shared.settings;
        let host = stream.host();
        if state.connections >= settings.most_peers || !state.handshakes.begin(host, settings.pending_handshakes) {
            // Closed at once: it may come again.
            continue;
        }
        state.connections += 1;
        state.number += 1;
        let number = state.number;
        drop(state);
        tasks.spawn(peer::run(stream, host, number, shared.clone()));
    }
}
