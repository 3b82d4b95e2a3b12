//! A DEALER of our own, over the codec of the crate `omq-proto`: what a client and a worker do most, done with the fewest steps.
//!
//! Whoever receives reads the stream himself, so that no task is woken for a message but his. A message that answers what came
//! last is written at once by whoever sends it; those that follow it are written together, by the receiver when he comes for
//! more, or by the task that keeps the connection, whichever is first. That task also connects, asks for signs of life, and
//! reads while nobody receives.
//!
//! What is sent while there is no connection comes back as `Full`. What was sent over a connection that is lost is not sent
//! again: it may have arrived, and only whoever sent it knows whether a second time does harm.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use omq_tokio::Message;
use omq_tokio::proto::SocketType;
use omq_tokio::proto::connection::{ConnectionConfig, Role};
use playhouse_engine::{Error, Result};
use tokio::sync::{Notify, broadcast};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::wire::{Link, Pushed, take};
use super::{Change, Endpoint, Kind, Refused, SocketSettings, omq};
use crate::protocol::Frames;

mod keeper;

/// How many changes wait for whoever listens to them.
const CHANGES: usize = 64;

/// How long to wait for word of room that may have been missed.
const PAUSE: Duration = Duration::from_millis(50);

/// A DEALER that connects to one address of tcp or ipc.
#[derive(Debug)]
pub(super) struct Dealer {
    shared: Arc<Shared>,
    tasks: TaskTracker,
    /// The library's DEALER, for peers within the process, and for one that is bound.
    within: OnceLock<omq::Omq>,
}

#[derive(Debug)]
struct Shared {
    current: Mutex<Current>,
    /// Something came, by another way than to whoever receives; or there is another link.
    came: Notify,
    /// Something is to be written that whoever sent it did not write.
    written: Notify,
    /// There is room for messages again.
    drained: Notify,
    receiver: Receiver,
    closing: CancellationToken,
    changes: broadcast::Sender<Change>,
    settings: SocketSettings,
    /// How many lanes it uses where the peer knows them.
    lanes: Option<usize>,
    config: ConnectionConfig,
}

#[derive(Debug, Default)]
struct Current {
    link: Option<Arc<Link>>,
    /// What came over connections that are gone, and was not received.
    leftover: VecDeque<Message>,
}

/// Whether somebody receives, so that the keeper need not read.
#[derive(Debug, Default)]
struct Receiver {
    is_here: AtomicBool,
    /// He was here since the last look.
    was_here: AtomicBool,
    /// The keeper waits until he leaves.
    is_watched: AtomicBool,
    left: Notify,
}

impl Dealer {
    pub(super) fn open(settings: &SocketSettings, lanes: Option<usize>) -> Self {
        let options = omq::options(settings);
        let mut config = ConnectionConfig::new(Role::Client, SocketType::Dealer).mechanism(options.mechanism);
        config.max_message_size = options.max_message_size;
        if let Some(identity) = &settings.identity {
            config = config.identity(identity.as_bytes().clone());
        }
        let (changes, _) = broadcast::channel(CHANGES);
        let shared = Arc::new(Shared {
            current: Mutex::default(),
            came: Notify::new(),
            written: Notify::new(),
            drained: Notify::new(),
            receiver: Receiver::default(),
            closing: CancellationToken::new(),
            changes,
            settings: settings.clone(),
            lanes,
            config,
        });
        Self { shared, tasks: TaskTracker::new(), within: OnceLock::new() }
    }

    /// Returns the library's DEALER, which is opened where nothing is connected yet.
    fn within(&self) -> Result<&omq::Omq> {
        if self.within.get().is_none() {
            if !self.tasks.is_empty() {
                return Err(Error::unsupported("a DEALER that is connected over tcp or ipc has no other peers"));
            }
            let dealer = omq::Omq::open(Kind::Dealer, &self.shared.settings)?;
            self.tasks.spawn(omq::forward(dealer.changes(), self.shared.changes.clone()));
            // Whoever was first at the same time has set the same.
            let _ = self.within.set(dealer);
            self.shared.came.notify_one();
        }
        self.within.get().ok_or_else(|| Error::internal("no DEALER for inproc"))
    }

    pub(super) async fn bind(&self, endpoint: &Endpoint) -> Result<Endpoint> {
        self.within()?.bind(endpoint).await
    }

    pub(super) async fn connect(&self, endpoint: &Endpoint) -> Result<()> {
        if endpoint.is_inproc() || self.within.get().is_some() {
            return self.within()?.connect(endpoint).await;
        }
        if !endpoint.is_connectable() {
            return Err(Error::malformed(format!("nothing can be connected to `{endpoint}`")));
        }
        if !self.tasks.is_empty() {
            return Err(Error::unsupported("a DEALER is connected to one address, and this one is already"));
        }
        self.tasks.spawn(keeper::run(endpoint.clone(), self.shared.clone()));
        Ok(())
    }

    /// Waits until a message would be taken.
    pub(super) async fn room(&self) {
        if let Some(within) = self.within.get() {
            return within.room().await;
        }
        let mut drained = std::pin::pin!(self.shared.drained.notified());
        drained.as_mut().enable();
        let has_room = |link: Arc<Link>| !link.gone.is_cancelled() && link.has_room(&self.shared.settings);
        if !self.shared.link().is_some_and(has_room) {
            let _ = timeout(PAUSE, drained).await;
        }
    }

    pub(super) async fn subscribe(&self, _: Bytes) -> Result<()> {
        Err(Error::not_allowed("a DEALER does not subscribe"))
    }

    pub(super) async fn receive(&self, into: &mut Vec<Frames>, most: usize) -> Result<()> {
        let shared = &self.shared;
        loop {
            if let Some(within) = self.within.get() {
                return within.receive(into, most).await;
            }
            let link = {
                let mut current = shared.current();
                if take(&mut current.leftover, None, into, most) > 0 {
                    return Ok(());
                }
                current.link.clone()
            };
            let Some(link) = link else {
                shared.came.notified().await;
                continue;
            };
            if !link.is_written() {
                link.write();
                shared.drained.notify_waiters();
            }
            if link.take(None, into, most) > 0 {
                shared.receiver.was_here.store(true, Ordering::Relaxed);
                return Ok(());
            }
            let _presence = shared.receiver.enter();
            let readable = tokio::select! {
                biased;
                () = shared.came.notified() => continue,
                readable = link.readable() => readable,
            };
            if readable.and_then(|()| link.read()).is_err() {
                link.gone.cancel();
                // The keeper says when there is another.
                shared.came.notified().await;
            }
        }
    }

    pub(super) fn send(&self, frames: Frames) -> Result<(), Refused> {
        let Some(link) = self.shared.link() else {
            return match self.within.get() {
                Some(within) => within.send(frames),
                None => Err(Refused::Full(frames)),
            };
        };
        match link.push(&frames, &self.shared.settings) {
            Pushed::First if link.take_turn() => link.write(),
            Pushed::First => self.shared.written.notify_one(),
            Pushed::Another => {}
            Pushed::Full | Pushed::Gone => return Err(Refused::Full(frames)),
        }
        Ok(())
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
        // The keeper ends within the linger time by itself.
        self.tasks.wait().await;
    }
}

impl Drop for Dealer {
    fn drop(&mut self) {
        self.shared.closing.cancel();
    }
}

impl Shared {
    fn link(&self) -> Option<Arc<Link>> {
        self.current().link.clone()
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Receiver {
    fn enter(&self) -> Presence<'_> {
        self.is_here.store(true, Ordering::SeqCst);
        Presence(self)
    }
}

/// Lives while somebody waits for messages.
struct Presence<'a>(&'a Receiver);

impl Drop for Presence<'_> {
    fn drop(&mut self) {
        self.0.was_here.store(true, Ordering::Relaxed);
        self.0.is_here.store(false, Ordering::SeqCst);
        if self.0.is_watched.swap(false, Ordering::SeqCst) {
            self.0.left.notify_one();
        }
    }
}
