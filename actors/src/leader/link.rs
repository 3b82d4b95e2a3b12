//! The socket of a member and the task that runs its machine.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use playhouse_engine::{Error, Result};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::datagram::{Codec, LONGEST, Message, Refused};
use super::machine::{Machine, Now, Rules};
use super::settings::LeaderSettings;
use super::status::Shared;

/// How long it waits after an error of the socket.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) struct Link {
    pub(super) service: String,
    pub(super) rules: Rules,
    pub(super) codec: Codec,
    pub(super) peers: Vec<SocketAddr>,
    pub(super) socket: UdpSocket,
    pub(super) shared: Arc<Shared>,
    /// There once the task has ended, for the good-bye.
    machine: Mutex<Option<Machine>>,
}

/// What was logged already.
#[derive(Default)]
struct Said {
    crowded: bool,
    other_settings: bool,
}

impl Link {
    pub(super) fn new(
        service: &str,
        rules: Rules,
        settings: &LeaderSettings,
        shared: Arc<Shared>,
    ) -> Result<Arc<Self>> {
        let socket = bind(settings).map_err(|error| {
            Error::unavailable(format!("`{}` cannot be listened at", settings.listen)).caused_by(error)
        })?;
        let codec = Codec::new(service, rules.members, settings);
        let (service, peers, machine) = (service.to_owned(), settings.peers.clone(), Mutex::default());
        Ok(Arc::new(Self { service, rules, codec, peers, socket, shared, machine }))
    }

    /// Takes part in the election until the flow stops. Where it began anew it is another member.
    pub(super) async fn run(self: Arc<Self>, stopping: CancellationToken) -> Result<()> {
        self.shared.show(None);
        let mut machine = Machine::new(self.rules, random()?, fastrand::u64(..), self.now());
        let (mut out, mut said) = (Vec::new(), Said::default());
        // One more than any datagram of ours has, so that one that was cut off is none of ours.
        let mut bytes = [0; LONGEST + 1];
        loop {
            machine.tick(self.now(), &mut out);
            self.tell(&machine, &mut out);
            self.complain(&machine, &mut said);
            let wait = machine.next().saturating_sub(self.shared.time());
            tokio::select! {
                biased;
                () = stopping.cancelled() => break,
                () = sleep(wait) => {}
                received = self.socket.recv_from(&mut bytes) => match received {
                    Ok((length, _)) => self.take(&mut machine, &bytes[..length], &mut out, &mut said),
                    Err(_) => {
                        add(&self.shared.ignored, 1);
                        stopping.run_until_cancelled(sleep(PAUSE)).await;
                    }
                },
            }
        }
        *self.machine.lock().unwrap_or_else(PoisonError::into_inner) = Some(machine);
        Ok(())
    }

    /// Gives the lease back, so that another may lead at once.
    pub(super) fn leave(&self) {
        if self.shared.show(None) {
            tracing::info!(service = self.service, "this process stops to lead");
        }
        let machine = self.machine.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut machine) = machine else { return };
        let mut out = Vec::new();
        machine.leave(self.now(), &mut out);
        self.send(&mut out);
    }

    fn take(&self, machine: &mut Machine, bytes: &[u8], out: &mut Vec<Message>, said: &mut Said) {
        let counter = match self.codec.read(bytes) {
            Ok(message) if machine.receive(&message, self.now(), out) => &self.shared.taken,
            Ok(_) | Err(Refused::Unreadable) => &self.shared.ignored,
            Err(Refused::Foreign) => &self.shared.foreign,
            Err(Refused::OtherSettings) => {
                if !std::mem::replace(&mut said.other_settings, true) {
                    let service = &self.service;
                    tracing::warn!(
                        service,
                        "a member has another `lease` or another number of members: it is not believed"
                    );
                }
                &self.shared.ignored
            }
        };
        add(counter, 1);
    }

    /// Shows what the machine has come to, and only then tells the others.
    fn tell(&self, machine: &Machine, out: &mut Vec<Message>) {
        let lease = machine.lease();
        if self.shared.show(lease) {
            match lease {
                Some(lease) => tracing::info!(service = self.service, term = lease.term, "this process leads"),
                None => tracing::info!(service = self.service, "this process leads no more"),
            }
        }
        self.send(out);
    }

    fn send(&self, out: &mut Vec<Message>) {
        for message in out.drain(..) {
            let bytes = self.codec.write(&message);
            for peer in &self.peers {
                // What cannot be sent is lost, as any datagram may be.
                if self.socket.try_send_to(&bytes, *peer).is_ok() {
                    add(&self.shared.sent, 1);
                }
            }
        }
    }

    fn complain(&self, machine: &Machine, said: &mut Said) {
        let crowded = machine.is_crowded(self.shared.time());
        if crowded && !said.crowded {
            tracing::warn!(service = self.service, "there are more members than were named: nobody is elected");
        }
        said.crowded = crowded;
    }

    fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { time: self.shared.time(), wall: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX) }
    }
}

fn random() -> Result<u128> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::internal("the system gives no random numbers").caused_by(error))?;
    Ok(u128::from_be_bytes(bytes))
}

fn bind(settings: &LeaderSettings) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(settings.listen), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // An address of one process must not be taken from it by another; one that reaches several must be shared.
    if is_shared(settings.listen.ip()) {
        socket.set_reuse_address(true)?;
    }
    if settings.listen.is_ipv4() {
        socket.set_broadcast(true)?;
    }
    socket.bind(&settings.listen.into())?;
    for peer in &settings.peers {
        if let IpAddr::V4(group) = peer.ip()
            && group.is_multicast()
        {
            socket.join_multicast_v4(&group, &settings.interface)?;
            socket.set_multicast_if_v4(&settings.interface)?;
        }
    }
    UdpSocket::from_std(socket.into())
}

/// Says whether a datagram to this address can reach several sockets.
fn is_shared(ip: IpAddr) -> bool {
    let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.octets()[3] == u8::MAX);
    ip.is_unspecified() || ip.is_multicast() || is_broadcast
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}
