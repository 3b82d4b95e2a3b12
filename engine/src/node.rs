//! An actor with its type erased. The erasure is of tasks and of light handlers, never of a call that makes a future:
//! each actor's loop is compiled for its own type.

use std::any::{Any, type_name};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use crate::actor::{Actor, Light};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::line::Line;
use crate::outbox::Outbox;
use crate::ports::Ports;
use crate::worker;

pub(crate) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// An actor of any type.
pub trait Node: Send + Sync {
    #[doc(hidden)]
    fn ports(&self) -> Ports;
    #[doc(hidden)]
    fn type_name(&self) -> &'static str;
    #[doc(hidden)]
    fn light(&self) -> Option<Arc<dyn Handle>>;
    #[doc(hidden)]
    fn start<'a>(&'a mut self, context: Context) -> Boxed<'a, Result<()>>;
    #[doc(hidden)]
    fn work(&self, line: Line, worker: usize) -> Boxed<'static, ()>;
    #[doc(hidden)]
    fn stop<'a>(&'a mut self) -> Boxed<'a, ()>;
}

/// A light actor's handler; a panic is an error.
pub trait Handle: Send + Sync {
    #[doc(hidden)]
    fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()>;
}

/// What can be registered as an actor: an [`Actor`], or a [`Light`] one. `Marker` tells the compiler which.
pub trait IntoNode<Marker> {
    #[doc(hidden)]
    type Node: Node + 'static;
    #[doc(hidden)]
    fn into_node(self) -> Self::Node;
}

#[derive(Debug)]
#[doc(hidden)]
pub enum AsActor {}

#[derive(Debug)]
#[doc(hidden)]
pub enum AsLight {}

#[derive(Debug)]
#[doc(hidden)]
pub struct Plain<A>(Arc<A>);

#[derive(Debug)]
#[doc(hidden)]
pub struct Quick<L>(Arc<Caught<L>>);

impl<A: Actor> IntoNode<AsActor> for A {
    type Node = Plain<A>;

    fn into_node(self) -> Plain<A> {
        Plain(Arc::new(self))
    }
}

impl<L: Light> IntoNode<AsLight> for L {
    type Node = Quick<L>;

    fn into_node(self) -> Quick<L> {
        Quick(Arc::new(Caught(self)))
    }
}

/// Why an actor can be reached mutably at its start and at its stop: nobody else holds it before its tasks are made and
/// after they have been joined.
const ALONE: &str = "no task holds the actor before the flow runs or after its tasks were joined";

impl<A: Actor> Node for Plain<A> {
    fn ports(&self) -> Ports {
        self.0.ports()
    }

    fn type_name(&self) -> &'static str {
        type_name::<A>()
    }

    fn light(&self) -> Option<Arc<dyn Handle>> {
        None
    }

    fn start<'a>(&'a mut self, context: Context) -> Boxed<'a, Result<()>> {
        Box::pin(Arc::get_mut(&mut self.0).expect(ALONE).start(context))
    }

    fn work(&self, line: Line, worker: usize) -> Boxed<'static, ()> {
        let actor = self.0.clone();
        Box::pin(async move { worker::work(&*actor, line, worker).await })
    }

    fn stop<'a>(&'a mut self) -> Boxed<'a, ()> {
        Box::pin(Arc::get_mut(&mut self.0).expect(ALONE).stop())
    }
}

impl<L: Light> Node for Quick<L> {
    fn ports(&self) -> Ports {
        self.0.0.ports()
    }

    fn type_name(&self) -> &'static str {
        type_name::<L>()
    }

    fn light(&self) -> Option<Arc<dyn Handle>> {
        Some(self.0.clone())
    }

    fn start<'a>(&'a mut self, context: Context) -> Boxed<'a, Result<()>> {
        Box::pin(Arc::get_mut(&mut self.0).expect(ALONE).0.start(context))
    }

    fn work(&self, line: Line, worker: usize) -> Boxed<'static, ()> {
        let station = line.head().clone();
        let mut line = Some(Box::new(line));
        if station.lends
            && let Some(line) = line.take()
        {
            // Before the task begins, so that sources find it from the first event on.
            station.inbox.return_line(line);
        }
        Box::pin(worker::work_light(station, line, worker))
    }

    fn stop<'a>(&'a mut self) -> Boxed<'a, ()> {
        Box::pin(Arc::get_mut(&mut self.0).expect(ALONE).0.stop())
    }
}

/// A light actor whose panics are errors.
#[derive(Debug)]
pub(crate) struct Caught<L>(L);

impl<L: Light> Handle for Caught<L> {
    #[inline]
    fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        // The handler cannot change the actor, and what it pushed is forgotten: nothing broken is seen afterwards.
        caught(|| self.0.handle(event, out))?
    }
}

/// Calls a handler or a task; a panic is an error.
#[inline]
pub(crate) fn caught<T>(call: impl FnOnce() -> T) -> Result<T> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| panicked(&*panic))
}

/// Runs what an actor does at its start or stop; a panic is an error.
pub(crate) async fn caught_async<'a, T>(make: impl FnOnce() -> Boxed<'a, T>) -> Result<T> {
    let mut future = caught(make)?;
    poll_fn(|context| match caught(|| future.as_mut().poll(context)) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

#[cold]
fn panicked(panic: &(dyn Any + Send)) -> Error {
    let text = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text.as_str(),
        _ => "no message",
    };
    Error::internal(format!("panicked: {text}"))
}
