//! The accept loop: it owns every connection's task, keeps the clock, and looks what took too long.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use playhouse_engine::Result;
use tokio::net::TcpStream;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, refuse, serve};
use super::reception::Reception;
use crate::listen::{Listener, PAUSE, is_of_the_client};

/// How many that are one too many are told so at a time; beyond, they are closed without a word.
const REFUSED_AT_ONCE: usize = 64;

/// Accepts connections until the flow stops, and then waits until they have ended.
pub(crate) async fn accept(listener: Listener, reception: Arc<Reception>, stopping: CancellationToken) -> Result<()> {
    let Some(socket) = listener.get() else { return Ok(()) };
    let mut house = House::new(reception);
    let mut ticks = interval(house.reception.tick);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pause: Option<Instant> = None;
    loop {
        tokio::select! {
            biased;
            () = stopping.cancelled() => break,
            _ = ticks.tick() => house.sweep(),
            Some(ended) = house.tasks.join_next() => house.note(ended),
            () = house.reception.partings.wanted() => {
                house.see_off();
            }
            () = until(pause), if pause.is_some() => pause = None,
            accepted = socket.accept(), if pause.is_none() => match accepted {
                Ok((socket, peer)) => house.admit(socket, peer),
                Err(error) if is_of_the_client(&error) => {}
                Err(error) => {
                    tracing::warn!(actor = house.reception.name, %error, "no connection can be accepted for a while");
                    pause = Some(Instant::now() + PAUSE);
                }
            },
        }
    }
    // Both: from here on a connection is refused by the system.
    listener.close();
    drop(socket);
    house.stop();
    loop {
        tokio::select! {
            biased;
            ended = house.tasks.join_next() => match ended {
                Some(ended) => house.note(ended),
                None if house.see_off() == 0 => return Ok(()),
                None => {}
            },
            () = house.reception.partings.wanted() => {
                house.see_off();
            }
            _ = ticks.tick() => house.sweep(),
        }
    }
}

/// The connections that are open.
struct House {
    reception: Arc<Reception>,
    tasks: JoinSet<Guest>,
    connections: Vec<Arc<Connection>>,
    refusing: usize,
}

/// What a task was for.
enum Guest {
    Served,
    Refused,
    Parted,
}

impl House {
    fn new(reception: Arc<Reception>) -> Self {
        Self { reception, tasks: JoinSet::new(), connections: Vec::new(), refusing: 0 }
    }

    fn admit(&mut self, socket: TcpStream, peer: SocketAddr) {
        let reception = &self.reception;
        let limit = reception.limits.connections;
        if self.tasks.len() - self.refusing >= limit {
            reception.counters.refused.fetch_add(1, Ordering::Relaxed);
            if self.refusing < REFUSED_AT_ONCE && !reception.has_tls() {
                self.refusing += 1;
                self.tasks.spawn(async move {
                    refuse(socket, limit).await;
                    Guest::Refused
                });
            }
            return;
        }
        // An answer that waits for more to send is late; where it cannot be set, it is slow and right.
        let _ = socket.set_nodelay(true);
        let connection = Arc::new(Connection::new(reception.clone(), peer));
        self.connections.push(connection.clone());
        self.tasks.spawn(async move {
            serve(connection, socket).await;
            Guest::Served
        });
    }

    /// Sets the clock right, and wakes whoever is due.
    fn sweep(&mut self) {
        self.reception.clock.update();
        let now = self.reception.clock.now();
        self.reception.pending.sweep(now);
        self.reception.lives.sweep(now);
        // A connection that only this list knows has ended.
        self.connections.retain(|connection| Arc::strong_count(connection) > 1);
        for connection in &self.connections {
            connection.watch.sweep(now);
        }
    }

    /// Does what is left to be done for requests that have ended, and returns how much there was. While it waits, it counts as a
    /// connection, so that there is a bound to it.
    fn see_off(&mut self) -> usize {
        let partings = self.reception.partings.take();
        let count = partings.len();
        for parting in partings {
            let reception = self.reception.clone();
            self.tasks.spawn(async move {
                let time = reception.limits.deadline;
                if timeout(time, parting.done()).await.is_err() {
                    tracing::warn!(
                        actor = reception.name,
                        "a receiver had no room within {time:?} to learn that a body broke off"
                    );
                }
                Guest::Parted
            });
        }
        count
    }

    fn note(&mut self, ended: Result<Guest, JoinError>) {
        match ended {
            Ok(Guest::Served | Guest::Parted) => {}
            Ok(Guest::Refused) => self.refusing -= 1,
            Err(error) => tracing::error!(actor = self.reception.name, %error, "the task of a connection died"),
        }
    }

    fn stop(&self) {
        self.reception.stopping.store(true, Ordering::Release);
        self.reception.lives.close(self.reception.clock.now());
        for connection in &self.connections {
            connection.watch.wake();
        }
    }
}

async fn until(time: Option<Instant>) {
    if let Some(time) = time {
        tokio::time::sleep_until(time).await;
    }
}
