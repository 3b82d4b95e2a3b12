//! Closures as actors, for what is not worth a type.

use std::fmt;
use std::future::Future;

use crate::actor::{Actor, Light};
use crate::context::Context;
use crate::emitter::Emitter;
use crate::error::Result;
use crate::event::Event;
use crate::format::Format;
use crate::outbox::Outbox;
use crate::ports::Ports;

/// What a closure may return to have it sent: an event, none, several, or a result of these.
pub trait IntoOutput {
    /// Pushes the events into the default outbox.
    ///
    /// # Errors
    /// Where the closure returned an error.
    fn push_into(self, out: &mut Outbox) -> Result<()>;
}

impl IntoOutput for Event {
    fn push_into(self, out: &mut Outbox) -> Result<()> {
        out.push(self);
        Ok(())
    }
}

impl IntoOutput for Option<Event> {
    fn push_into(self, out: &mut Outbox) -> Result<()> {
        self.into_iter().for_each(|event| out.push(event));
        Ok(())
    }
}

impl IntoOutput for Vec<Event> {
    fn push_into(self, out: &mut Outbox) -> Result<()> {
        self.into_iter().for_each(|event| out.push(event));
        Ok(())
    }
}

impl<T: IntoOutput> IntoOutput for Result<T> {
    fn push_into(self, out: &mut Outbox) -> Result<()> {
        self?.push_into(out)
    }
}

/// Makes a light actor of a closure that derives events from an event.
///
/// ```
/// use playhouse_engine::{Event, map};
///
/// let double = map(|event: &Event| event.derive(format!("{0}{0}", event.payload())));
/// let parse = map(|event| Ok(event.derive((*event.payload().as_json()?).clone())));
/// ```
pub fn map<F, R>(derive: F) -> Map<F>
where
    F: Fn(&Event) -> R + Send + Sync + 'static,
    R: IntoOutput,
{
    Map(derive)
}

/// A light actor that derives events by a closure. Made by [`map`].
pub struct Map<F>(F);

impl<F, R> Light for Map<F>
where
    F: Fn(&Event) -> R + Send + Sync + 'static,
    R: IntoOutput,
{
    fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        (self.0)(event).push_into(out)
    }
}

/// Makes a light actor that passes on the events for which the closure says true.
pub fn filter<F>(passes: F) -> Filter<F>
where
    F: Fn(&Event) -> bool + Send + Sync + 'static,
{
    Filter(passes)
}

/// A light actor that passes on what a closure lets through. Made by [`filter`].
pub struct Filter<F>(F);

impl<F> Light for Filter<F>
where
    F: Fn(&Event) -> bool + Send + Sync + 'static,
{
    fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        if (self.0)(event) {
            out.push(event);
        }
        Ok(())
    }
}

/// Makes a light actor that hands each event to a closure and sends nothing.
pub fn sink<F>(take: F) -> Sink<F>
where
    F: Fn(&Event) -> Result<()> + Send + Sync + 'static,
{
    Sink(take)
}

/// A light actor that ends events in a closure. Made by [`sink`].
pub struct Sink<F>(F);

impl<F> Light for Sink<F>
where
    F: Fn(&Event) -> Result<()> + Send + Sync + 'static,
{
    fn ports(&self) -> Ports {
        Ports::sink(Format::ANY)
    }

    fn handle(&self, event: &Event, _: &mut Outbox) -> Result<()> {
        (self.0)(event)
    }
}

/// Makes a source of a closure that sends events through an emitter until it is done. Where it fails, it is called again
/// after a while; when the flow stops, its next send fails with `Cancelled` and it ends.
///
/// ```
/// use playhouse_engine::{Emitter, Event, source};
///
/// let numbers = source(|emitter: Emitter| async move {
///     for number in 0..10 {
///         emitter.send(Event::new(number.to_string())).await?;
///     }
///     Ok(())
/// });
/// ```
pub fn source<F, R>(send: F) -> Source<F>
where
    F: Fn(Emitter) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Result<()>> + Send + 'static,
{
    Source(send)
}

/// A source that sends what a closure makes. Made by [`source`].
pub struct Source<F>(F);

impl<F, R> Actor for Source<F>
where
    F: Fn(Emitter) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Result<()>> + Send + 'static,
{
    fn ports(&self) -> Ports {
        Ports::source(Format::ANY)
    }

    async fn start(&mut self, context: Context) -> Result<()> {
        let (emitter, send) = (context.emitter()?, self.0.clone());
        context.spawn("source", move || send(emitter.clone()));
        Ok(())
    }

    async fn handle(&self, _: &Event, _: &mut Outbox) -> Result<()> {
        // It has no inbox, so nothing comes.
        Ok(())
    }
}

/// A closure has nothing to show, so its actor is shown by its kind.
macro_rules! shown_by_kind {
    ($($kind:ident),*) => {
        $(impl<F> fmt::Debug for $kind<F> {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(stringify!($kind))
            }
        })*
    };
}

shown_by_kind!(Map, Filter, Sink, Source);
