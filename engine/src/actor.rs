//! What a user writes: an actor, or a light one.

use std::future::Future;

use crate::context::Context;
use crate::error::Result;
use crate::event::Event;
use crate::format::Format;
use crate::outbox::Outbox;
use crate::ports::Ports;

/// A part of a flow that takes events and sends others, in a task of its own.
///
/// The handler takes `&self`, so that several workers can run one actor and a panic leaves none half-changed. What it
/// pushes leaves when it returns `Ok`; when it returns an error or panics, nothing leaves and the event that it was given
/// goes to the actor's error route.
///
/// ```
/// use playhouse_engine::{Actor, Event, Outbox, Result};
///
/// struct Upper;
///
/// impl Actor for Upper {
///     async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
///         out.push(event.derive(event.payload().as_text()?.to_uppercase()));
///         Ok(())
///     }
/// }
/// ```
pub trait Actor: Send + Sync + 'static {
    /// Returns the actor's inboxes and outboxes: by default one of each, for any format.
    fn ports(&self) -> Ports {
        Ports::pipe(Format::ANY, Format::ANY)
    }

    /// Makes ready, before the first event. Receivers start before their senders, and no event moves before all have
    /// started.
    ///
    /// # Errors
    /// An error stops the start of the whole flow, with this actor's name.
    fn start(&mut self, context: Context) -> impl Future<Output = Result<()>> + Send {
        let _ = context;
        async { Ok(()) }
    }

    /// Handles one event.
    ///
    /// # Errors
    /// An error sends the event to the actor's error route.
    fn handle(&self, event: &Event, out: &mut Outbox) -> impl Future<Output = Result<()>> + Send;

    /// Cleans up, after the last event. Senders stop before their receivers.
    fn stop(&mut self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// An actor whose handler never waits and takes about a microsecond: a router, a setter of attributes, a closure.
///
/// It is [`Actor`]'s synchronous twin, and costs no future and often no queue: the engine runs it within the task of its
/// producer where that keeps every promise (see [`Settings::fusion`](crate::Settings)). A handler that computes for longer is an
/// [`Actor`] that happens not to wait.
pub trait Light: Send + Sync + 'static {
    /// Returns the actor's inboxes and outboxes: by default one of each, for any format.
    fn ports(&self) -> Ports {
        Ports::pipe(Format::ANY, Format::ANY)
    }

    /// Makes ready, before the first event, as [`Actor::start`] does.
    ///
    /// # Errors
    /// An error stops the start of the whole flow, with this actor's name.
    fn start(&mut self, context: Context) -> impl Future<Output = Result<()>> + Send {
        let _ = context;
        async { Ok(()) }
    }

    /// Handles one event, without waiting.
    ///
    /// # Errors
    /// An error sends the event to the actor's error route.
    fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()>;

    /// Cleans up, after the last event, as [`Actor::stop`] does.
    fn stop(&mut self) -> impl Future<Output = ()> + Send {
        async {}
    }
}
