//! The director: registers actors, connects them, and builds the flow.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::connection::{ActorRef, Connection, IntoTargets, Kind, PortRef};
use crate::flow::Flow;
use crate::node::{IntoNode, Node};
use crate::plan::Plan;
use crate::policy::Policy;
use crate::problem::BuildErrors;

/// Describes a flow: which actors there are and what is connected to what. Nothing runs and nothing is checked before
/// [`Director::build`].
///
/// ```
/// use std::time::Duration;
///
/// use playhouse_engine::{Director, Emitter, Event, Result, map, sink, source};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// let mut director = Director::new("greetings");
/// let names = director.register("names", source(|emitter: Emitter| async move {
///     emitter.send(Event::new("Ada")).await
/// }));
/// let greet = director.register("greet", map(|event: &Event| event.derive(format!("Hello, {}", event.payload()))));
/// let print = director.register("print", sink(|event| { println!("{}", event.payload()); Ok(()) }));
/// director.connect(names, greet);
/// director.connect(greet, print);
/// let ledger = director.build()?.run_until(async {}, Duration::from_secs(5)).await?;
/// assert_eq!(ledger.in_flight, 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Director {
    identity: usize,
    name: String,
    pub(crate) registered: Vec<Registered>,
    pub(crate) connections: Vec<Connection>,
    pub(crate) default_error: Option<PortRef>,
    pub(crate) settings: Settings,
}

pub(crate) struct Registered {
    pub(crate) name: String,
    pub(crate) node: Box<dyn Node>,
    pub(crate) policy: Policy,
}

/// How a flow as a whole is built and run.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Whether light actors run within their producers' tasks; on by default. What a flow does is the same either way.
    pub fusion: bool,
    /// Whether every actor must have an error route, but for those that error routes lead to; off by default: what fails
    /// without one is logged.
    pub demand_error_routes: bool,
    /// How long one actor's start may take; 30 s by default.
    #[serde(with = "humantime_serde")]
    pub start_deadline: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { fusion: true, demand_error_routes: false, start_deadline: Duration::from_secs(30) }
    }
}

impl Director {
    /// Makes a director of a flow named `name`.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self::with_settings(name, Settings::default())
    }

    /// Makes a director of a flow named `name` that is run by `settings`.
    #[must_use]
    pub fn with_settings(name: impl Into<String>, settings: Settings) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        Self {
            identity: NEXT.fetch_add(1, Ordering::Relaxed),
            name: name.into(),
            registered: Vec::new(),
            connections: Vec::new(),
            default_error: None,
            settings,
        }
    }

    /// Registers an actor, with the default policy.
    pub fn register<A: IntoNode<M>, M>(&mut self, name: impl Into<String>, actor: A) -> ActorRef {
        self.register_with(name, actor, Policy::default())
    }

    /// Registers an actor, with a policy.
    pub fn register_with<A: IntoNode<M>, M>(&mut self, name: impl Into<String>, actor: A, policy: Policy) -> ActorRef {
        self.register_node(name, Box::new(actor.into_node()), policy)
    }

    pub(crate) fn register_node(&mut self, name: impl Into<String>, node: Box<dyn Node>, policy: Policy) -> ActorRef {
        self.registered.push(Registered { name: name.into(), node, policy });
        ActorRef { director: self.identity, index: self.registered.len() - 1 }
    }

    /// Connects an outbox to an inbox, or to several: each gets a copy of every event. Several connections may lead to
    /// one inbox. A bare actor stands for its default port.
    pub fn connect(&mut self, from: impl Into<PortRef>, to: impl IntoTargets) {
        self.add(from.into(), to, Kind::Data);
    }

    /// Connects an actor's error route: the events on which it fails go there, each with its error attached.
    pub fn connect_error(&mut self, from: ActorRef, to: impl IntoTargets) {
        self.add(from.into(), to, Kind::Error);
    }

    /// Connects the error routes of all actors that have none to one actor, in place of the log; those that this actor
    /// itself sends to are left to the log, for their errors would come back to them.
    pub fn connect_default_error(&mut self, to: impl Into<PortRef>) {
        self.default_error = Some(to.into());
    }

    /// Sends the records of the flow's own log to an actor too: each is an event with a text and the attributes
    /// `log.level`, `log.flow`, and, where there is one, `log.actor` and `log.event`. A record that finds its inbox full
    /// is dropped and counted. What happens to the actor that takes the records, and to those behind it, makes none.
    pub fn connect_log(&mut self, to: impl Into<PortRef>) {
        let to = to.into();
        self.connections.push(Connection { from: to.actor.into(), to, kind: Kind::Log });
    }

    /// Checks the graph and makes a flow of it.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub fn build(self) -> Result<Flow, BuildErrors> {
        let plan = Plan::new(
            &self.name,
            self.identity,
            &self.registered,
            &self.connections,
            &self.default_error,
            &self.settings,
        )?;
        let nodes = self.registered.into_iter().map(|registered| registered.node).collect();
        Ok(Flow::new(plan, nodes, self.settings))
    }

    fn add(&mut self, from: PortRef, to: impl IntoTargets, kind: Kind) {
        let targets = to.into_targets().into_iter();
        self.connections.extend(targets.map(|to| Connection { from: from.clone(), to, kind }));
    }
}

impl std::fmt::Debug for Registered {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Registered")
            .field("name", &self.name)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
