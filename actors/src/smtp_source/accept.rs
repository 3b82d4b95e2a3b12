//! The accept loop: it owns every connection's task, and counts them.

use std::collections::HashMap;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use playhouse_engine::Result;
use tokio::net::TcpStream;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::connection::{Reception, serve};
use super::reply::TOO_MANY_CONNECTIONS;
use crate::listen::{Listener, PAUSE, is_of_the_client};

/// Accepts connections until the flow stops, and then waits until they have ended.
pub(crate) async fn accept(listener: Listener, reception: Arc<Reception>) -> Result<()> {
    let Some(socket) = listener.get() else { return Ok(()) };
    let stopping = reception.stopping.clone();
    let mut house = House { reception, tasks: JoinSet::new(), peers: HashMap::new(), of: HashMap::new() };
    let mut pause: Option<Instant> = None;
    loop {
        tokio::select! {
            biased;
            () = stopping.cancelled() => break,
            Some(ended) = house.tasks.join_next_with_id() => house.note(ended),
            () = sleep_until(pause.unwrap_or_else(Instant::now)), if pause.is_some() => pause = None,
            accepted = socket.accept(), if pause.is_none() => match accepted {
                Ok((socket, peer)) => house.admit(socket, peer),
                Err(error) if is_of_the_client(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "no connection can be accepted for a while");
                    pause = Some(Instant::now() + PAUSE);
                }
            },
        }
    }
    // Both: from here on a connection is refused by the system.
    listener.close();
    drop(socket);
    while let Some(ended) = house.tasks.join_next_with_id().await {
        house.note(ended);
    }
    Ok(())
}

/// The connections that are open.
struct House {
    reception: Arc<Reception>,
    tasks: JoinSet<()>,
    peers: HashMap<IpAddr, usize>,
    of: HashMap<Id, IpAddr>,
}

impl House {
    fn admit(&mut self, socket: TcpStream, peer: SocketAddr) {
        let settings = &self.reception.rules.settings;
        let peer = peer.ip().to_canonical();
        let from_peer = self.peers.get(&peer).copied().unwrap_or_default();
        if self.tasks.len() >= settings.connections || from_peer >= settings.connections_per_peer {
            return refuse(socket);
        }
        // An answer that waits for more to send is late; where it cannot be set, it is slow and right.
        let _ = socket.set_nodelay(true);
        let task = self.tasks.spawn(serve(self.reception.clone(), socket, peer));
        self.of.insert(task.id(), peer);
        *self.peers.entry(peer).or_default() += 1;
    }

    fn note(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                tracing::error!(%error, "the task of a connection died");
                error.id()
            }
        };
        let Some(peer) = self.of.remove(&id) else { return };
        if let Some(count) = self.peers.get_mut(&peer) {
            *count -= 1;
            if *count == 0 {
                self.peers.remove(&peer);
            }
        }
    }
}

/// Tells one that is too many so, without a wait: a new connection has room for a line.
fn refuse(socket: TcpStream) {
    let mut line = Vec::new();
    TOO_MANY_CONNECTIONS.write(&mut line);
    // Where it cannot be said, it is not said.
    if let Ok(mut socket) = socket.into_std() {
        let _ = socket.write(&line);
    }
}
