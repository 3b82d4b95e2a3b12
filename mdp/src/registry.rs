//! The registry as a task with a socket, and those who talk to it: brokers that announce themselves, followers that learn
//! which brokers live.

use std::collections::BTreeSet;
use std::time::Duration;

use playhouse_engine::{Error, Result};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::caller::deadline_in;
use crate::protocol::{Address, Frames};
use crate::protocol::{Registry, RegistrySettings, ToRegistry, decode_list};
use crate::transport::{Change, Endpoint, Kind, Security, Socket, SocketSettings, check_exposure};

/// How many messages are taken from a socket at a time.
const BATCH: usize = 256;

/// A registry that runs on the current tokio runtime until it is stopped or dropped.
#[derive(Debug)]
pub struct RegistryServer {
    endpoint: Endpoint,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl RegistryServer {
    /// Binds the registry's socket and starts its task. Outside loopback, peers must prove who they are, unless `insecure`.
    ///
    /// # Errors
    /// `Unavailable` where the address cannot be bound, `Forbidden` where it is open to the network without security.
    pub async fn start(
        bind: &Endpoint,
        settings: RegistrySettings,
        socket: &SocketSettings,
        insecure: bool,
    ) -> Result<Self> {
        check_exposure(bind, &socket.security, insecure)?;
        let router = Socket::open(Kind::Router, socket)?;
        let endpoint = router.bind(bind).await?;
        let stop = CancellationToken::new();
        let task = tokio::spawn(serve(router, settings, stop.clone()));
        Ok(Self { endpoint, stop, task })
    }

    /// Returns the address at which it listens.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Stops the registry and waits for its end.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Err(error) = (&mut self.task).await {
            tracing::error!(%error, "the registry's task failed");
        }
    }
}

impl Drop for RegistryServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn serve(router: Socket, settings: RegistrySettings, stop: CancellationToken) {
    let mut registry = Registry::new(settings, Instant::now().into_std());
    let (mut messages, mut outputs) = (Vec::new(), Vec::new());
    loop {
        let received = tokio::select! {
            () = stop.cancelled() => break,
            received = router.receive(&mut messages, BATCH) => received,
            () = sleep_until(registry.next_tick().into()) => Ok(()),
        };
        if let Err(error) = received {
            tracing::error!(%error, "the registry's socket failed");
            break;
        }
        let now = Instant::now().into_std();
        for mut frames in messages.drain(..) {
            if frames.is_empty() {
                continue;
            }
            let from = Address::new(frames.remove(0));
            if frames.is_empty() {
                registry.gone(&from, &mut outputs);
            } else {
                registry.receive(from, &frames, now, &mut outputs);
            }
            // Before the next: one message may be a list for every follower.
            send(&router, &mut outputs);
        }
        registry.tick(now, &mut outputs);
        send(&router, &mut outputs);
    }
    router.close().await;
}

fn send(router: &Socket, outputs: &mut Vec<(Address, Frames)>) {
    for (to, mut frames) in outputs.drain(..) {
        frames.insert(0, to.as_bytes().clone());
        // A follower that is gone is forgotten as such, or by its silence.
        let _ = router.send(frames);
    }
}

/// Where the registry is, and how to talk to it.
#[derive(Clone, Debug)]
pub struct RegistryAddress {
    /// The registry's address.
    pub endpoint: Endpoint,
    /// Who it must be, and who we are.
    pub security: Security,
    /// How often to repeat what is said; the registry's own interval.
    pub interval: Duration,
}

impl RegistryAddress {
    /// Means a registry without security, with the default interval.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, security: Security::None, interval: RegistrySettings::default().interval }
    }

    async fn connect(&self) -> Result<Socket> {
        let settings = SocketSettings {
            identity: Some(Address::unique()),
            security: self.security.clone(),
            linger: Duration::from_secs(1),
            ..SocketSettings::default()
        };
        let dealer = Socket::open(Kind::Dealer, &settings)?;
        dealer.connect(&self.endpoint).await?;
        Ok(dealer)
    }
}

/// Announces a broker until `stop`, and then says that it goes.
pub(crate) async fn announce(registry: RegistryAddress, endpoints: Vec<String>, stop: CancellationToken) {
    while let Err(error) = announce_once(&registry, &endpoints, &stop).await {
        tracing::error!(%error, "the broker is not announced for now");
        // Whom the registry lets in can change.
        if stop.run_until_cancelled(sleep(registry.interval)).await.is_none() {
            return;
        }
    }
}

async fn announce_once(registry: &RegistryAddress, endpoints: &[String], stop: &CancellationToken) -> Result<()> {
    let dealer = registry.connect().await?;
    let mut changes = dealer.changes();
    let announcement = ToRegistry::Announce(endpoints.to_vec()).encode();
    let mut beats = tokio::time::interval(registry.interval);
    beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = beats.tick() => {}
            change = changes.next() => match change {
                Some(Change::Connected | Change::Trunk) => {}
                Some(Change::Lost) => continue,
                Some(Change::Rejected(reason)) => return Err(rejected(registry, &reason)),
                None => return Err(Error::unavailable("the socket to the registry is closed")),
            },
        }
        // Where there is no room, the registry is away; it is told with the next beat.
        let _ = dealer.send(announcement.clone());
    }
    let _ = dealer.send(ToRegistry::Leave.encode());
    dealer.close().await;
    Ok(())
}

fn rejected(registry: &RegistryAddress, reason: &str) -> Error {
    Error::forbidden(format!("the registry at `{}` does not let us in: {reason}", registry.endpoint))
}

/// Which brokers there are: a list, or what a registry says.
#[derive(Clone, Debug)]
pub enum Brokers {
    /// These, whether they live or not.
    List(Vec<Endpoint>),
    /// Those that the registry knows.
    Registry(RegistryAddress),
}

impl Brokers {
    /// Means one broker.
    ///
    /// # Errors
    /// `Malformed` where the address is none.
    pub fn at(endpoint: &str) -> Result<Self> {
        Ok(Self::List(vec![endpoint.parse()?]))
    }

    /// Returns the brokers as they are: those of the list, or, as soon as it says some, those of the registry.
    ///
    /// # Errors
    /// `Unavailable` where the registry names none within `time`.
    pub async fn now(&self, time: Duration) -> Result<Vec<Endpoint>> {
        let mut follower = self.follow();
        let deadline = deadline_in(time);
        loop {
            let brokers = follower.now();
            if !brokers.is_empty() {
                return brokers.iter().map(|broker| broker.parse()).collect();
            }
            if tokio::time::timeout_at(deadline, follower.changed()).await.is_err() {
                return Err(Error::unavailable(format!("no broker is known within {time:?}")));
            }
        }
    }

    /// Follows the brokers on a task of its own, as long as the follower lives.
    pub(crate) fn follow(&self) -> Follower {
        match self {
            Self::List(endpoints) => {
                let brokers = endpoints.iter().map(ToString::to_string).collect();
                Follower { brokers: watch::channel(brokers).1, stop: CancellationToken::new() }
            }
            Self::Registry(registry) => {
                let (sender, brokers) = watch::channel(Vec::new());
                let stop = CancellationToken::new();
                tokio::spawn(follow(registry.clone(), sender, stop.clone()));
                Follower { brokers, stop }
            }
        }
    }
}

/// The brokers that there are, as they come and go.
#[derive(Debug)]
pub(crate) struct Follower {
    brokers: watch::Receiver<Vec<String>>,
    stop: CancellationToken,
}

impl Follower {
    /// Returns the brokers as they are now.
    pub(crate) fn now(&mut self) -> Vec<String> {
        self.brokers.borrow_and_update().clone()
    }

    /// Waits until they have changed; for ever where they never will.
    pub(crate) async fn changed(&mut self) {
        if self.brokers.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// How many brokers are followed at most: each is a connection, or several.
const MOST: usize = 256;

/// Leaves out of a list what is no address to connect to, what is in it twice, and what is too much: whoever may announce
/// himself at the registry has written it.
fn reachable(list: &[String]) -> Vec<String> {
    let is_address = |broker: &&String| broker.parse().is_ok_and(|endpoint: Endpoint| endpoint.is_connectable());
    let unique: BTreeSet<&String> = list.iter().filter(is_address).collect();
    let brokers: Vec<String> = unique.into_iter().take(MOST).cloned().collect();
    if brokers.len() < list.len() {
        let (used, named) = (brokers.len(), list.len());
        tracing::warn!(used, named, "the registry names brokers twice, more than {MOST}, or by what is no address");
    }
    brokers
}

/// Follows the registry until `stop`, whatever becomes of the connection.
async fn follow(registry: RegistryAddress, brokers: watch::Sender<Vec<String>>, stop: CancellationToken) {
    while let Some(Err(error)) = stop.run_until_cancelled(follow_once(&registry, &brokers)).await {
        tracing::error!(%error, registry = %registry.endpoint, "the registry cannot be followed for now");
        // Whom the registry lets in can change.
        if stop.run_until_cancelled(sleep(registry.interval)).await.is_none() {
            return;
        }
    }
}

/// Asks the registry again and again, and keeps what it said last while it is away.
async fn follow_once(registry: &RegistryAddress, brokers: &watch::Sender<Vec<String>>) -> Result<()> {
    let dealer = registry.connect().await?;
    let mut changes = dealer.changes();
    let mut beats = tokio::time::interval(registry.interval);
    beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut messages, mut said) = (Vec::new(), None);
    loop {
        let ask = tokio::select! {
            received = dealer.receive(&mut messages, BATCH) => { received?; false }
            _ = beats.tick() => true,
            change = changes.next() => match change {
                Some(Change::Connected | Change::Trunk) => true,
                Some(Change::Lost) => false,
                Some(Change::Rejected(reason)) => return Err(rejected(registry, &reason)),
                None => return Err(Error::unavailable("the socket to the registry is closed")),
            },
        };
        if ask {
            let _ = dealer.send(ToRegistry::Follow.encode());
        }
        let list = messages.drain(..).filter_map(|frames| decode_list(&frames)).next_back();
        if list.is_some() && list != said {
            brokers.send_replace(list.as_deref().map(reachable).unwrap_or_default());
            said = list;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_registry_names_is_used_as_far_as_it_can_be() {
        let list = ["nonsense", "tcp://one:1", "tcp://*:5555", "tcp://two:0", "tcp://one:1", "ipc:///tmp/broker", ""];
        let brokers = reachable(&list.map(str::to_owned));
        assert_eq!(brokers, ["ipc:///tmp/broker", "tcp://one:1"]);
        let many: Vec<String> = (1..=10_000).map(|port| format!("tcp://one:{port}")).collect();
        assert_eq!(reachable(&many).len(), MOST);
    }
}
