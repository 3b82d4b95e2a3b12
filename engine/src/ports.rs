//! What an actor takes and gives: its named inboxes and outboxes, their formats, and what part it plays in the flow.

use serde::Serialize;

use crate::format::Format;
use crate::text::Text;

/// The name of the inbox and of the outbox that a connection means when it names none.
pub(crate) const DEFAULT_INBOX: &str = "inbox";
pub(crate) const DEFAULT_OUTBOX: &str = "outbox";

/// One named inbox or outbox.
#[derive(Clone, Debug, Serialize)]
pub struct Port {
    pub(crate) name: Text,
    pub(crate) format: Format,
    /// A port that may stay unconnected: what is pushed to such an outbox goes nowhere.
    pub(crate) optional: bool,
    /// A port that at most one connection may lead to or from.
    pub(crate) single: bool,
}

impl Port {
    /// Returns the port's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the formats that the port takes or gives.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }
}

/// Where an actor's events come from and go to, as far as the engine must know to check a flow and to drain it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Role {
    /// Its handler takes events and pushes others; it sends nothing but from its handler.
    Pipe,
    /// It also emits events from tasks of its own.
    Source,
    /// It answers from its inbox and emits from tasks of its own; its handler never pushes.
    Endpoint,
}

/// The ports of an actor. The first inbox and the first outbox are the default ones.
///
/// ```
/// use playhouse_engine::{Format, Ports};
///
/// let ports = Ports::sink(Format::XML)
///     .with_outbox("urgent", Format::XML)
///     .with_optional_outbox("rest", Format::ANY);
/// assert_eq!(ports.outboxes().len(), 2);
/// ```
#[derive(Clone, Debug)]
pub struct Ports {
    pub(crate) inboxes: Vec<Port>,
    pub(crate) outboxes: Vec<Port>,
    pub(crate) any_inbox: bool,
    pub(crate) role: Role,
    pub(crate) concurrent: bool,
    /// Whether the port that was added last is an inbox.
    ends_with_inbox: bool,
}

impl Ports {
    fn new(role: Role) -> Self {
        let (inboxes, outboxes) = (Vec::new(), Vec::new());
        Self { inboxes, outboxes, any_inbox: false, role, concurrent: false, ends_with_inbox: false }
    }

    /// One inbox `inbox` and one outbox `outbox`.
    #[must_use]
    pub fn pipe(takes: Format, gives: Format) -> Self {
        Self::sink(takes).with_outbox(DEFAULT_OUTBOX, gives)
    }

    /// One inbox `inbox`, and no outbox.
    #[must_use]
    pub fn sink(takes: Format) -> Self {
        Self::new(Role::Pipe).with_inbox(DEFAULT_INBOX, takes)
    }

    /// One outbox `outbox` that is fed by tasks of the actor's own, and no inbox.
    #[must_use]
    pub fn source(gives: Format) -> Self {
        Self::new(Role::Source).with_outbox(DEFAULT_OUTBOX, gives)
    }

    /// One inbox `inbox` whose handler answers and never pushes, so that a ring through this actor cannot come to a
    /// stand; its outboxes are fed by tasks of the actor's own.
    #[must_use]
    pub fn endpoint(takes: Format) -> Self {
        Self::new(Role::Endpoint).with_inbox(DEFAULT_INBOX, takes)
    }

    /// No inbox and no outbox: an actor that only starts and stops with its flow, such as a broker that others reach over
    /// the network. It is connected to nothing.
    #[must_use]
    pub fn alone() -> Self {
        Self::new(Role::Pipe)
    }

    /// Adds an inbox.
    #[must_use]
    pub fn with_inbox(mut self, name: impl Into<Text>, takes: Format) -> Self {
        self.inboxes.push(Port { name: name.into(), format: takes, optional: true, single: false });
        self.ends_with_inbox = true;
        self
    }

    /// Adds an inbox that must be connected, because without what comes there the actor can do nothing with the rest.
    #[must_use]
    pub fn with_required_inbox(mut self, name: impl Into<Text>, takes: Format) -> Self {
        self.inboxes.push(Port { name: name.into(), format: takes, optional: false, single: false });
        self.ends_with_inbox = true;
        self
    }

    /// Takes any inbox name that a connection uses, with the formats of the first one: for actors, such as joins, that
    /// tell their producers apart by it.
    #[must_use]
    pub fn with_any_inbox(mut self) -> Self {
        self.any_inbox = true;
        self
    }

    /// Adds an outbox that must be connected.
    #[must_use]
    pub fn with_outbox(mut self, name: impl Into<Text>, gives: Format) -> Self {
        self.outboxes.push(Port { name: name.into(), format: gives, optional: false, single: false });
        self.ends_with_inbox = false;
        self
    }

    /// Adds an outbox that may stay unconnected: what is pushed there then goes nowhere.
    #[must_use]
    pub fn with_optional_outbox(mut self, name: impl Into<Text>, gives: Format) -> Self {
        self.outboxes.push(Port { name: name.into(), format: gives, optional: true, single: false });
        self.ends_with_inbox = false;
        self
    }

    /// Refuses a second connection at the port that was added last, as a reply that must go to one place only.
    #[must_use]
    pub fn single(mut self) -> Self {
        let last = if self.ends_with_inbox { &mut self.inboxes } else { &mut self.outboxes };
        if let Some(port) = last.last_mut() {
            port.single = true;
        }
        self
    }

    /// Says that tasks of the actor's own emit events too, beside what its handler pushes.
    #[must_use]
    pub fn emitting(mut self) -> Self {
        if self.role == Role::Pipe {
            self.role = Role::Source;
        }
        self
    }

    /// Says that the handler may run in any number of tasks at once and that order means nothing to it, so that the
    /// engine may run a light one within the task of each of its producers.
    #[must_use]
    pub fn concurrent(mut self) -> Self {
        self.concurrent = true;
        self
    }

    /// Returns the inboxes, the default one first.
    #[must_use]
    pub fn inboxes(&self) -> &[Port] {
        &self.inboxes
    }

    /// Returns the outboxes, the default one first.
    #[must_use]
    pub fn outboxes(&self) -> &[Port] {
        &self.outboxes
    }

    pub(crate) fn is_alone(&self) -> bool {
        self.inboxes.is_empty() && self.outboxes.is_empty()
    }

    pub(crate) fn emits(&self) -> bool {
        self.role != Role::Pipe
    }
}
