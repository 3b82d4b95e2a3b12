//! What a flow has to say of itself: to `tracing` always, and as events to an actor where the director names one.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, OnceLock};

use tracing::{error, info, warn};

use crate::emitter::Emitter;
use crate::error::Error;
use crate::event::Event;

/// The log of one flow.
#[derive(Debug)]
pub(crate) struct Log {
    flow: Arc<str>,
    /// Set once, when the flow is made, where an actor takes the records.
    emitter: OnceLock<Emitter>,
    /// The actors that take the records, and those behind them: what happens to them makes no event, or one would beget
    /// the next.
    takers: OnceLock<HashSet<Arc<str>>>,
}

/// How much a record matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// Something started, stopped or goes on.
    Info,
    /// Something went wrong and is mended.
    Warn,
    /// An event was lost to its flow.
    Error,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

impl Log {
    pub(crate) fn new(flow: Arc<str>) -> Self {
        Self { flow, emitter: OnceLock::new(), takers: OnceLock::new() }
    }

    /// Sends every record through `emitter` too, but for those of the actors in `takers`.
    pub(crate) fn connect(&self, emitter: Emitter, takers: HashSet<Arc<str>>) {
        // A flow is made once, so nothing is set twice.
        let _ = self.emitter.set(emitter);
        let _ = self.takers.set(takers);
    }

    /// Records that an event failed where nobody had connected an error route.
    pub(crate) fn failure(&self, actor: &Arc<str>, event: &Event, cause: &Error) {
        let (flow, id, kind) = (&*self.flow, event.id(), cause.kind());
        error!(flow, actor = &**actor, event = %id, %kind, error = %cause, "event failed, and no error route is connected");
        self.send(Level::Error, Some(actor), Some(event), format_args!("event failed: {cause}"));
    }

    /// Records what happened to an actor, or to the flow where none is named.
    pub(crate) fn record(&self, level: Level, actor: Option<&Arc<str>>, message: fmt::Arguments<'_>) {
        let (flow, name) = (&*self.flow, actor.map(|actor| &**actor));
        match level {
            Level::Info => info!(flow, actor = name, "{message}"),
            Level::Warn => warn!(flow, actor = name, "{message}"),
            Level::Error => error!(flow, actor = name, "{message}"),
        }
        self.send(level, actor, None, message);
    }

    fn send(&self, level: Level, actor: Option<&Arc<str>>, event: Option<&Event>, message: fmt::Arguments<'_>) {
        let Some(emitter) = self.emitter.get() else {
            return;
        };
        if actor.zip(self.takers.get()).is_some_and(|(actor, takers)| takers.contains(actor)) {
            return;
        }
        let mut record = Event::new(message.to_string())
            .with_attribute("log.level", level.as_str())
            .with_attribute("log.flow", self.flow.to_string());
        if let Some(actor) = actor {
            record = record.with_attribute("log.actor", actor.to_string());
        }
        if let Some(event) = event {
            record = record
                .with_attribute("log.event", event.id().to_string())
                .with_correlation_id(event.correlation_id().into_owned());
        }
        emitter.log(record);
    }
}
