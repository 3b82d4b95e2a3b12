//! How a connection names its two ends while a graph is being described.

use crate::text::Text;

/// An actor that was registered with a director.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ActorRef {
    pub(crate) director: usize,
    pub(crate) index: usize,
}

impl ActorRef {
    /// Names one of the actor's inboxes or outboxes.
    #[must_use]
    pub fn port(self, name: impl Into<Text>) -> PortRef {
        PortRef { actor: self, name: Some(name.into()) }
    }
}

/// An inbox or outbox of a registered actor; the default one where it has no name.
#[derive(Clone, Debug)]
pub struct PortRef {
    pub(crate) actor: ActorRef,
    pub(crate) name: Option<Text>,
}

impl From<ActorRef> for PortRef {
    fn from(actor: ActorRef) -> Self {
        Self { actor, name: None }
    }
}

/// Where a connection can lead: to one port, or to several.
pub trait IntoTargets {
    /// Returns the ports.
    fn into_targets(self) -> Vec<PortRef>;
}

impl<T: Into<PortRef>> IntoTargets for T {
    fn into_targets(self) -> Vec<PortRef> {
        vec![self.into()]
    }
}

impl<T: Into<PortRef>, const N: usize> IntoTargets for [T; N] {
    fn into_targets(self) -> Vec<PortRef> {
        self.into_iter().map(Into::into).collect()
    }
}

impl<T: Into<PortRef>> IntoTargets for Vec<T> {
    fn into_targets(self) -> Vec<PortRef> {
        self.into_iter().map(Into::into).collect()
    }
}

/// What travels on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// What a handler pushes and a source emits.
    Data,
    /// Events that a handler failed on, each with its error.
    Error,
    /// The flow's own log.
    Log,
}

/// A connection as it was described.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) from: PortRef,
    pub(crate) to: PortRef,
    pub(crate) kind: Kind,
}
