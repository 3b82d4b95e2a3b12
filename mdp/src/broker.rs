//! The broker as a thread with a socket.
//!
//! One thread with a runtime of its own runs the state machine, so that nothing of the process's other work comes between two
//! messages and no lock is taken for one. What it sends never waits: a peer whose queue is full is taken for gone.

use std::path::PathBuf;
use std::pin::pin;
use std::thread::JoinHandle;
use std::time::Duration;

use playhouse_engine::{Error, Result};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::caller::deadline_in;
use crate::protocol::{Address, Frames};
use crate::protocol::{Broker, BrokerSettings, BrokerStatistics, Output};
use crate::registry::{RegistryAddress, announce};
use crate::titanic::{Report, Store, Titanic, TitanicOutput, TitanicSettings};
use crate::transport::{Endpoint, Kind, Refused, Socket, SocketSettings, check_exposure};

/// How many messages are taken from the socket at a time.
const BATCH: usize = 256;

/// What a broker process is told.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// Where it listens: one socket serves both versions of the protocol at all of these.
    pub bind: Vec<Endpoint>,
    /// Under which addresses others reach it, where these are not the ones that it is bound to.
    pub advertise: Vec<Endpoint>,
    /// The registry that it tells of itself.
    pub registry: Option<RegistryAddress>,
    /// Whether it may be open to the network without security.
    pub insecure: bool,
    /// The protocol's times and limits.
    pub broker: BrokerSettings,
    /// The socket's.
    pub socket: SocketSettings,
    /// Where durable requests (RFC 9) are stored; without it there are none.
    pub durable: Option<DurableSettings>,
}

/// Where and how durable requests are stored.
#[derive(Clone, Debug)]
pub struct DurableSettings {
    /// The directory, which is made where it is missing. One broker has it at a time.
    pub directory: PathBuf,
    /// The times and limits of requests and their files.
    pub titanic: TitanicSettings,
}

impl DurableSettings {
    /// Means this directory, with the default limits.
    #[must_use]
    pub fn in_directory(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), titanic: TitanicSettings::default() }
    }
}

impl ServerSettings {
    /// Means a broker at one address, with the default limits.
    ///
    /// # Errors
    /// `Malformed` where the address is none.
    pub fn bind(endpoint: &str) -> Result<Self> {
        Ok(Self {
            bind: vec![endpoint.parse()?],
            advertise: Vec::new(),
            registry: None,
            insecure: false,
            broker: BrokerSettings::default(),
            socket: SocketSettings::default(),
            durable: None,
        })
    }
}

/// A broker that runs on a thread of its own until it is stopped or dropped.
#[derive(Debug)]
pub struct BrokerServer {
    endpoints: Vec<Endpoint>,
    commands: mpsc::Sender<Command>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Command {
    Statistics(oneshot::Sender<BrokerStatistics>),
    Drain,
    Stop { deadline: Instant, done: oneshot::Sender<Result<BrokerStatistics>> },
}

impl BrokerServer {
    /// Binds the socket, reads the store, and starts the thread.
    ///
    /// # Errors
    /// `Unavailable` where an address cannot be bound, `Forbidden` where it is open to the network without security,
    /// `Conflict` where another broker has the directory of the durable requests.
    pub async fn start(settings: ServerSettings) -> Result<Self> {
        for endpoint in &settings.bind {
            check_exposure(endpoint, &settings.socket.security, settings.insecure)?;
        }
        let (commands, received) = mpsc::channel(16);
        let (started, has_started) = oneshot::channel();
        let thread = std::thread::Builder::new().name("mdp-broker".to_owned()).spawn(move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => {
                    let error = Error::internal("the broker's runtime cannot be made").caused_by(error);
                    // Nobody waits any more where the start was given up.
                    let _ = started.send(Err(error));
                    return;
                }
            };
            runtime.block_on(async {
                match Run::open(settings, received).await {
                    Ok(run) => {
                        if started.send(Ok(run.endpoints.clone())).is_ok() {
                            // A task is woken by the others without a look at the sockets; this future would not be.
                            if let Err(failed) = tokio::spawn(run.serve()).await
                                && let Ok(panic) = failed.try_into_panic()
                            {
                                std::panic::resume_unwind(panic);
                            }
                        }
                    }
                    Err(error) => drop(started.send(Err(error))),
                }
            });
        });
        let thread = thread.map_err(|error| Error::unavailable("no thread for the broker").caused_by(error))?;
        let endpoints = has_started.await.unwrap_or_else(|_| Err(Error::internal("the broker's thread panicked")))?;
        Ok(Self { endpoints, commands, thread: Some(thread) })
    }

    /// Returns the addresses at which it listens, with the ports that were given for port 0.
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Returns what the broker counts, and its services as they are now.
    ///
    /// # Errors
    /// `Unavailable` where the broker has ended.
    pub async fn statistics(&self) -> Result<BrokerStatistics> {
        let (sender, statistics) = oneshot::channel();
        self.commands.send(Command::Statistics(sender)).await.map_err(|_| ended())?;
        statistics.await.map_err(|_| ended())
    }

    /// Returns the way to begin a stop before [`BrokerServer::stop`] waits for it.
    #[must_use]
    pub fn drain(&self) -> Drain {
        Drain(self.commands.clone())
    }

    /// Waits until the broker has ended by itself, which is a fault.
    pub async fn ended(&self) -> Error {
        self.commands.closed().await;
        ended()
    }

    /// Stops the broker: it takes no new requests, waits until those that it has are answered, at most for `time`, tells
    /// every worker to disconnect, and ends.
    ///
    /// # Errors
    /// `Timeout` where requests were left unanswered; the message says how many.
    pub async fn stop(mut self, time: Duration) -> Result<BrokerStatistics> {
        let (done, is_done) = oneshot::channel();
        let deadline = deadline_in(time);
        self.commands.send(Command::Stop { deadline, done }).await.map_err(|_| ended())?;
        let outcome = is_done.await.unwrap_or_else(|_| Err(ended()));
        if let Some(thread) = self.thread.take() {
            // It has said its last word; what is left is the end of the runtime.
            let joined = tokio::task::spawn_blocking(|| thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                return Err(Error::internal("the broker's thread panicked"));
            }
        }
        outcome
    }
}

/// The way to tell a broker that a stop is to come.
#[derive(Clone, Debug)]
pub struct Drain(mpsc::Sender<Command>);

impl Drain {
    /// Has the broker take no new requests from now on.
    pub async fn begin(&self) {
        // One that has ended takes none either.
        let _ = self.0.send(Command::Drain).await;
    }
}

fn ended() -> Error {
    Error::unavailable("the broker has ended")
}

/// A durable broker's part of the run.
struct Durable {
    titanic: Titanic,
    store: Store,
    outputs: Vec<TitanicOutput>,
}

struct Run {
    endpoints: Vec<Endpoint>,
    socket: Socket,
    broker: Broker,
    durable: Option<Durable>,
    outputs: Vec<Output>,
    commands: mpsc::Receiver<Command>,
    announcing: Option<(CancellationToken, tokio::task::JoinHandle<()>)>,
}

/// What woke the broker.
enum Woken {
    Messages(Result<()>),
    Reported(Option<Report>),
    Command(Option<Command>),
    Time,
}

impl Run {
    async fn open(settings: ServerSettings, commands: mpsc::Receiver<Command>) -> Result<Self> {
        let now = Instant::now().into_std();
        let durable = match settings.durable {
            Some(durable) => {
                let (store, recovered) = Store::open(&durable.directory, &durable.titanic)?;
                let titanic = Titanic::new(durable.titanic, recovered, now);
                Some(Durable { titanic, store, outputs: Vec::new() })
            }
            None => None,
        };
        let socket = Socket::open(Kind::Router, &settings.socket)?;
        let mut endpoints = Vec::new();
        for endpoint in &settings.bind {
            endpoints.push(socket.bind(endpoint).await?);
        }
        let broker = Broker::new(BrokerSettings { durable: durable.is_some(), ..settings.broker }, now);
        let announcing = settings.registry.map(|registry| {
            let advertised = if settings.advertise.is_empty() { &endpoints } else { &settings.advertise };
            let advertised = advertised.iter().map(ToString::to_string).collect();
            let stop = CancellationToken::new();
            let task = tokio::spawn(announce(registry, advertised, stop.clone()));
            (stop, task)
        });
        Ok(Self { endpoints, socket, broker, durable, outputs: Vec::new(), commands, announcing })
    }

    async fn serve(mut self) {
        let mut messages: Vec<Frames> = Vec::new();
        let mut stopping: Option<(Instant, oneshot::Sender<Result<BrokerStatistics>>)> = None;
        let mut timer = pin!(sleep_until(self.next_tick()));
        loop {
            let wake = self.next_tick().min(stopping.as_ref().map_or_else(far, |(deadline, _)| *deadline));
            if timer.deadline() != wake {
                timer.as_mut().reset(wake);
            }
            let woken = tokio::select! {
                biased;
                command = self.commands.recv() => Woken::Command(command),
                report = report(&mut self.durable) => Woken::Reported(report),
                received = self.socket.receive(&mut messages, BATCH) => Woken::Messages(received),
                () = &mut timer => Woken::Time,
            };
            let now = Instant::now();
            match woken {
                Woken::Messages(Ok(())) => self.take_in(&mut messages, now),
                Woken::Messages(Err(error)) => {
                    tracing::error!(%error, "the broker's socket failed");
                    break;
                }
                Woken::Reported(Some(report)) => self.take_report(report, now),
                Woken::Reported(None) => {
                    tracing::error!("the thread that stores durable requests has died");
                    break;
                }
                Woken::Command(Some(Command::Statistics(sender))) => {
                    // Nobody waits any more: then nobody wants to know.
                    let _ = sender.send(self.broker.statistics(now.into_std()));
                }
                Woken::Command(Some(Command::Drain)) => self.broker.stop(&mut self.outputs),
                Woken::Command(Some(Command::Stop { deadline, done })) => {
                    self.broker.stop(&mut self.outputs);
                    stopping = Some((deadline, done));
                }
                Woken::Command(None) => break,
                Woken::Time => {}
            }
            if now >= self.broker.next_tick().into() {
                self.broker.tick(now.into_std(), &mut self.outputs);
            }
            self.settle(now, stopping.is_some());
            if let Some((deadline, _)) = &stopping
                && (self.is_drained() || now >= *deadline)
            {
                break;
            }
        }
        self.end(stopping.map(|(_, done)| done)).await;
    }

    fn next_tick(&self) -> Instant {
        let broker = self.broker.next_tick().into();
        let titanic = self.durable.as_ref().and_then(|durable| durable.titanic.next_tick());
        titanic.map_or(broker, |titanic| broker.min(titanic.into()))
    }

    fn is_drained(&self) -> bool {
        let owes = self.durable.as_ref().is_some_and(|durable| durable.titanic.waits_for_store());
        self.broker.is_drained() && !owes
    }

    fn take_in(&mut self, messages: &mut Vec<Frames>, now: Instant) {
        for mut frames in messages.drain(..) {
            if frames.is_empty() {
                continue;
            }
            let from = Address::new(frames.remove(0));
            if frames.is_empty() {
                self.broker.gone(&from, now.into_std(), &mut self.outputs);
            } else {
                self.broker.receive(from, frames, now.into_std(), &mut self.outputs);
            }
        }
    }

    fn take_report(&mut self, report: Report, now: Instant) {
        let Some(durable) = &mut self.durable else { return };
        durable.titanic.stored(report, now.into_std(), &mut durable.outputs);
        while let Some(report) = durable.store.try_report() {
            durable.titanic.stored(report, now.into_std(), &mut durable.outputs);
        }
    }

    /// Carries out what the state machines want, until they want nothing more.
    fn settle(&mut self, now: Instant, is_stopping: bool) {
        let std_now = now.into_std();
        let mut outputs = std::mem::take(&mut self.outputs);
        loop {
            for output in outputs.drain(..) {
                match output {
                    Output::Send { to, frames } => self.send(to, frames, now),
                    Output::Durable { requester, service, body } => {
                        if let Some(durable) = &mut self.durable {
                            durable.titanic.request(requester, &service, body, std_now, &mut durable.outputs);
                        }
                    }
                    Output::Ended { ticket, outcome } => {
                        if let Some(durable) = &mut self.durable {
                            durable.titanic.ended(ticket, outcome, std_now, &mut durable.outputs);
                        }
                    }
                }
            }
            self.settle_durable(now, is_stopping);
            std::mem::swap(&mut outputs, &mut self.outputs);
            if outputs.is_empty() {
                break;
            }
        }
        // The emptied one serves again.
        self.outputs = outputs;
    }

    fn settle_durable(&mut self, now: Instant, is_stopping: bool) {
        let Some(durable) = &mut self.durable else { return };
        let now = now.into_std();
        if !is_stopping {
            durable.titanic.dispatch(|service| self.broker.workers(service), now, &mut durable.outputs);
        }
        for output in durable.outputs.drain(..) {
            match output {
                TitanicOutput::Answer { requester, service, body } => {
                    self.broker.answer(&requester, &service, body, &mut self.outputs);
                }
                TitanicOutput::Store(order) => {
                    // The machine gives no more orders than there is room for, so the store has died, and says so next.
                    if let Err(error) = durable.store.send(order) {
                        tracing::error!(%error, "a durable request could not be stored");
                    }
                }
                TitanicOutput::Submit { ticket, service, body } => {
                    self.broker.submit(ticket, service, body, now, &mut self.outputs);
                }
            }
        }
    }

    fn send(&mut self, to: Address, mut frames: Frames, now: Instant) {
        frames.insert(0, to.as_bytes().clone());
        match self.socket.send(frames) {
            Ok(()) => {}
            Err(Refused::Full(_) | Refused::Unroutable(_)) => {
                self.broker.unreachable(&to, now.into_std(), &mut self.outputs);
            }
            Err(Refused::Closed) => tracing::error!("the broker's socket is closed"),
        }
    }

    async fn end(mut self, done: Option<oneshot::Sender<Result<BrokerStatistics>>>) {
        let now = Instant::now();
        let statistics = self.broker.statistics(now.into_std());
        let is_drained = self.is_drained();
        self.broker.disconnect_all(&mut self.outputs);
        self.settle(now, true);
        if let Some((stop, task)) = self.announcing.take() {
            stop.cancel();
            // It logs its own failures.
            let _ = task.await;
        }
        self.socket.close().await;
        if let Some(durable) = self.durable.take()
            && let Err(error) = durable.store.close()
        {
            tracing::error!(%error, "the durable requests were not closed well");
        }
        let outcome = if is_drained {
            Ok(statistics)
        } else {
            let (queued, running) = (statistics.accounts.queued, statistics.accounts.running);
            Err(Error::timeout(format!(
                "the broker was stopped with {queued} requests queued and {running} under way at workers"
            )))
        };
        if let Some(done) = done {
            // The one who stopped it may have gone.
            let _ = done.send(outcome);
        }
    }
}

/// Waits for what the store has done next; for ever where there is no store.
async fn report(durable: &mut Option<Durable>) -> Option<Report> {
    match durable {
        Some(durable) => durable.store.report().await,
        None => std::future::pending().await,
    }
}

fn far() -> Instant {
    Instant::now() + Duration::from_secs(86_400)
}
