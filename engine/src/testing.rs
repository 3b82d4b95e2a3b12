//! Tools for testing actors and flows: a handler alone, an actor in a flow of one, accounts that must balance, and outputs
//! compared with files.

mod accounts;
mod golden;

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::actor::{Actor, Light};
use crate::closure::source;
use crate::context::Context;
use crate::director::Director;
use crate::emitter::Emitter;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::flow::Running;
use crate::format::Format;
use crate::ledger::Ledger;
use crate::monitor::Monitor;
use crate::node::{AsActor, AsLight, IntoNode, Node};
use crate::outbox::Outbox;
use crate::policy::Policy;
use crate::ports::Ports;

pub use accounts::{Accounted, open_accounts};
pub use golden::{Golden, golden, golden_text};

/// How long a probe waits for an event before it says that none came.
const PATIENCE: Duration = Duration::from_secs(10);

/// An event that a handler pushed.
#[derive(Clone, Debug)]
pub struct Output {
    /// The outbox that it was pushed to.
    pub outbox: String,
    /// The event.
    pub event: Event,
}

/// Something whose handler can be called alone: an [`Actor`] or a [`Light`] one. `Marker` tells the compiler which.
pub trait Feed<Marker> {
    #[doc(hidden)]
    fn ports_of(&self) -> Ports;
    #[doc(hidden)]
    fn handle_one(&self, event: &Event, out: &mut Outbox) -> impl Future<Output = Result<()>> + Send;
}

impl<A: Actor> Feed<AsActor> for A {
    fn ports_of(&self) -> Ports {
        self.ports()
    }

    async fn handle_one(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        self.handle(event, out).await
    }
}

impl<L: Light> Feed<AsLight> for L {
    fn ports_of(&self) -> Ports {
        self.ports()
    }

    async fn handle_one(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        self.handle(event, out)
    }
}

/// Calls an actor's handler with one event, outside of any flow, and returns what it pushed.
///
/// ```
/// use playhouse_engine::{Event, map, testing};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let upper = map(|event: &Event| event.derive(event.payload().to_string().to_uppercase()));
/// let outputs = testing::feed(&upper, Event::new("ada")).await.unwrap();
/// assert_eq!(outputs[0].event.payload().to_string(), "ADA");
/// # }
/// ```
///
/// # Errors
/// What the handler returned, or what it did wrong with its outbox.
pub async fn feed<A: Feed<M>, M>(actor: &A, event: Event) -> Result<Vec<Output>> {
    let ports = std::sync::Arc::new(actor.ports_of());
    let mut outbox = Outbox::new(ports.clone());
    outbox.begin(&event);
    let outcome = actor.handle_one(&event, &mut outbox).await;
    outbox.check(outcome)?;
    let pushed = outbox.take_all().into_iter();
    Ok(pushed
        .map(|pushed| Output {
            outbox: ports.outboxes[usize::from(pushed.outbox)].name().to_owned(),
            event: pushed.event.unwrap_or_else(|| event.clone()),
        })
        .collect())
}

/// An actor in a flow of one: events go in by [`Probe::send`], and everything that comes out can be waited for.
#[derive(Debug)]
pub struct Probe {
    running: Running,
    /// One for each inbox, the default one first.
    emitters: Vec<(String, Emitter)>,
    outputs: Vec<(String, mpsc::Receiver<Event>)>,
    errors: mpsc::Receiver<Event>,
}

impl Probe {
    /// Starts `actor` with the default policy.
    ///
    /// # Errors
    /// Where the actor does not start.
    pub async fn new<A: IntoNode<M>, M>(actor: A) -> Result<Self> {
        Self::with_policy(actor, Policy::default()).await
    }

    /// Starts `actor` with a policy.
    ///
    /// # Errors
    /// Where the actor does not start, or the policy makes no sense.
    pub async fn with_policy<A: IntoNode<M>, M>(actor: A, policy: Policy) -> Result<Self> {
        let node = actor.into_node();
        let ports = node.ports();
        let mut director = Director::new("probe");
        let probed = director.register_node("probed", Box::new(node), policy);
        let mut outputs = Vec::new();
        for port in &ports.outboxes {
            let (sender, receiver) = mpsc::channel(1024);
            let caught = director.register(format!("outbox {}", port.name()), Catch(sender));
            director.connect(probed.port(port.name.clone()), caught);
            outputs.push((port.name().to_owned(), receiver));
        }
        let (sender, errors) = mpsc::channel(1024);
        let caught = director.register("errors", Catch(sender));
        director.connect_error(probed, caught);
        let mut feeders = Vec::new();
        for port in &ports.inboxes {
            let (sender, receiver) = mpsc::channel(1);
            let feeder = director.register(
                format!("inbox {}", port.name()),
                source(move |emitter: Emitter| {
                    let sender = sender.clone();
                    async move {
                        // The probe is gone: then nobody feeds.
                        let _ = sender.send(emitter).await;
                        Ok(())
                    }
                }),
            );
            director.connect(feeder, probed.port(port.name.clone()));
            feeders.push((port.name().to_owned(), receiver));
        }
        let running = director.build()?.start().await?;
        let mut emitters = Vec::new();
        for (name, mut receiver) in feeders {
            let emitter = receiver.recv().await.ok_or_else(|| Error::gone("the probed flow has ended"))?;
            emitters.push((name, emitter));
        }
        Ok(Self { running, emitters, outputs, errors })
    }

    /// Sends an event to the actor's default inbox.
    ///
    /// # Errors
    /// `Unsupported` where the actor has no inbox.
    pub async fn send(&self, event: Event) -> Result<()> {
        match self.emitters.first() {
            Some((_, emitter)) => emitter.send(event).await,
            None => Err(Error::unsupported("the probed actor has no inbox")),
        }
    }

    /// Sends an event to the actor's inbox `name`.
    ///
    /// # Errors
    /// `NotFound` where the actor has no such inbox.
    pub async fn send_to(&self, name: &str, event: Event) -> Result<()> {
        match self.emitters.iter().find(|(inbox, _)| inbox == name) {
            Some((_, emitter)) => emitter.send(event).await,
            None => Err(Error::not_found(format!("the probed actor has no inbox `{name}`"))),
        }
    }

    /// Waits for the next event from the default outbox.
    ///
    /// # Errors
    /// `Timeout` where none comes within ten seconds; `NotFound` where the actor has no outbox.
    pub async fn output(&mut self) -> Result<Event> {
        match self.outputs.first_mut() {
            Some((name, receiver)) => next(name, receiver).await,
            None => Err(Error::not_found("the probed actor has no outbox")),
        }
    }

    /// Waits for the next event from the outbox `name`.
    ///
    /// # Errors
    /// `Timeout` where none comes within ten seconds; `NotFound` where the actor has no such outbox.
    pub async fn output_from(&mut self, name: &str) -> Result<Event> {
        match self.outputs.iter_mut().find(|(outbox, _)| outbox == name) {
            Some((name, receiver)) => next(name, receiver).await,
            None => Err(Error::not_found(format!("the probed actor has no outbox `{name}`"))),
        }
    }

    /// Waits for the next event from the error route. The error is [`Event::error`].
    ///
    /// # Errors
    /// `Timeout` where none comes within ten seconds.
    pub async fn error(&mut self) -> Result<Event> {
        next("error", &mut self.errors).await
    }

    /// Returns a look into the flow of one; the actor's name in it is `probed`.
    #[must_use]
    pub fn monitor(&self) -> Monitor {
        self.running.monitor()
    }

    /// Stops the flow of one.
    ///
    /// # Errors
    /// As [`Running::stop`], after ten seconds.
    pub async fn stop(self) -> Result<Ledger> {
        self.running.stop(PATIENCE).await
    }
}

/// Waits until nothing is in flight in a flow that runs, as before [`assert_ledger!`](crate::assert_ledger).
///
/// # Errors
/// `Timeout` where something is still in flight after ten seconds; it names the actors that hold it.
pub async fn at_rest(monitor: &Monitor) -> Result<()> {
    let rest = async {
        while monitor.ledger().in_flight != 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let rested = timeout(PATIENCE, rest).await;
    rested.map_err(|_| Error::timeout(format!("the flow is not at rest after {PATIENCE:?}: {}", monitor.holders())))
}

async fn next(name: &str, receiver: &mut mpsc::Receiver<Event>) -> Result<Event> {
    match timeout(PATIENCE, receiver.recv()).await {
        Ok(Some(event)) => Ok(event),
        Ok(None) => Err(Error::gone("the probed flow has ended")),
        Err(_) => Err(Error::timeout(format!("no event came from `{name}` within {PATIENCE:?}"))),
    }
}

/// Ends events in a channel that a test reads.
struct Catch(mpsc::Sender<Event>);

impl Actor for Catch {
    fn ports(&self) -> Ports {
        Ports::sink(Format::ANY)
    }

    async fn start(&mut self, _: Context) -> Result<()> {
        Ok(())
    }

    async fn handle(&self, event: &Event, _: &mut Outbox) -> Result<()> {
        self.0.send(event.clone()).await.map_err(|_| Error::gone("the test has ended"))
    }
}
