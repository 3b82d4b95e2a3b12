//! The task that keeps the connection of a DEALER.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::Shared;
use crate::transport::stream::{Io, Stream};
use crate::transport::wire::{Link, Unshaken};
use crate::transport::{Change, Endpoint, lanes};

/// How long nobody receives before the keeper reads in his place: a peer's PING is answered even then.
const AWAY: Duration = Duration::from_millis(25);

/// Connects, and connects again, until the socket is closed or the peer does not want it.
pub(super) async fn run(endpoint: Endpoint, shared: Arc<Shared>) {
    let closing = shared.closing.clone();
    let settings = &shared.settings;
    let mut wait = settings.first_retry;
    loop {
        match closing.run_until_cancelled(connect(&endpoint, &shared)).await {
            None => return,
            Some(Ok((link, change))) => {
                wait = settings.first_retry;
                shared.begin(&link, change);
                link.gone.run_until_cancelled(keep(&shared, &link)).await;
                if closing.is_cancelled() {
                    let _ = timeout(settings.linger, link.flush()).await;
                    return;
                }
                shared.end(&link);
            }
            Some(Err(Unshaken::Rejected(reason))) => {
                // Nobody may be listening, here and elsewhere.
                let _ = shared.changes.send(Change::Rejected(reason));
                return;
            }
            Some(Err(Unshaken::Failed)) => {}
        }
        if closing.run_until_cancelled(sleep(wait)).await.is_none() {
            return;
        }
        wait = wait.saturating_mul(2).min(settings.longest_retry);
    }
}

async fn connect(endpoint: &Endpoint, shared: &Shared) -> Result<(Arc<Link>, Change), Unshaken> {
    let time = shared.settings.handshake;
    let stream = match timeout(time, Stream::connect(endpoint.place())).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(_)) | Err(_) => return Err(Unshaken::Failed),
    };
    let link = Arc::new(Link::new(stream, shared.config.clone(), &shared.closing));
    match timeout(time, link.shake()).await {
        Ok(shaken) => {
            let router = shaken?;
            match shared.lanes.filter(|_| lanes::are_known(&router)) {
                Some(count) => {
                    link.set_lanes(count);
                    Ok((link, Change::Trunk))
                }
                None => Ok((link, Change::Connected)),
            }
        }
        Err(_) => Err(Unshaken::Failed),
    }
}

/// Ends when the connection does.
async fn keep(shared: &Shared, link: &Link) {
    let write = async {
        loop {
            shared.written.notified().await;
            // Whoever sends just now is waited for, so that all goes in one write. The receiver may have been first.
            if !link.is_written() {
                give_way().await;
            }
            if !link.is_written() {
                link.write();
                shared.drained.notify_waiters();
            }
        }
    };
    tokio::select! {
        () = write => {}
        _ = stand_in(shared, link) => {}
        _ = link.tend(shared.settings.heartbeat, || shared.drained.notify_waiters()) => {}
    }
}

/// Lets the tasks run that are ready, and comes after them. Unlike tokio's `yield_now`, it does not look at the sockets before,
/// which is a system call.
async fn give_way() {
    let mut came_back = false;
    poll_fn(|context| {
        if std::mem::replace(&mut came_back, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Reads while nobody receives.
async fn stand_in(shared: &Shared, link: &Link) -> Io<()> {
    let receiver = &shared.receiver;
    loop {
        receiver.is_watched.store(true, Ordering::SeqCst);
        if receiver.is_here.load(Ordering::SeqCst) {
            receiver.left.notified().await;
        }
        sleep(AWAY).await;
        if receiver.is_here() {
            continue;
        }
        while !shared.has_room(link) {
            link.hold(true);
            sleep(AWAY).await;
        }
        link.hold(false);
        link.readable().await?;
        if !receiver.is_here() {
            link.read()?;
            shared.came.notify_one();
        }
    }
}

impl super::Receiver {
    /// Says whether somebody receives, or did since the last call.
    fn is_here(&self) -> bool {
        self.was_here.swap(false, Ordering::Relaxed) || self.is_here.load(Ordering::SeqCst)
    }
}

impl Shared {
    /// Lets messages go over a connection.
    fn begin(&self, link: &Arc<Link>, change: Change) {
        self.current().link = Some(link.clone());
        // Nobody may be listening; so below.
        let _ = self.changes.send(change);
        self.came.notify_one();
        self.drained.notify_waiters();
    }

    /// Lets go of a connection, and keeps what came over it.
    fn end(&self, link: &Link) {
        link.gone.cancel();
        {
            let mut current = self.current();
            current.link = None;
            current.leftover.append(&mut link.leftover());
        }
        let _ = self.changes.send(Change::Lost);
        self.came.notify_one();
    }

    /// Says whether there is room for what comes while nobody receives.
    fn has_room(&self, link: &Link) -> bool {
        let leftover = self.current().leftover.len();
        leftover + link.waiting() < self.settings.receive_queue.max(1)
    }
}
