//! The right to send into a flow that is stopping, for what was begun before.

use std::fmt;
use std::sync::Arc;

use crate::emitter::{Inner, Patience};
use crate::error::Result;
use crate::event::Event;
use crate::progress::signed;

/// The right to send events into a flow that is stopping, for something that was begun before. See
/// [`Emitter::permit`](crate::Emitter::permit).
pub struct Permit(Arc<Inner>);

impl Permit {
    /// Makes a permit that is counted in flight already.
    pub(crate) fn new(emitter: Arc<Inner>) -> Self {
        Self(emitter)
    }

    pub(crate) fn emitter(&self) -> &Inner {
        &self.0
    }

    /// Does what [`Emitter::offer_from`](crate::Emitter::offer_from) does, even while the flow stops.
    ///
    /// # Errors
    /// `Overloaded` where a receiver has no room; `Internal` where there is no such outbox.
    pub fn offer_from(&self, index: usize, event: Event) -> Result<()> {
        let routes = self.0.routes(index, &event)?;
        self.0.progress.change(signed(routes.len()));
        self.0.offer(routes, event)
    }

    /// Does what [`Emitter::send_from`](crate::Emitter::send_from) does, even while the flow stops.
    ///
    /// # Errors
    /// `Internal` where there is no such outbox.
    pub fn send_from(&self, index: usize, event: Event) -> impl Future<Output = Result<()>> + Send + '_ {
        self.send(index, event, Patience::OfPolicy)
    }

    /// Does what [`Permit::send_from`] does, and waits for room whatever the receivers' policies say: for one of many that belong
    /// together, which must not be shed or dropped from among the others because a receiver is busy for a moment.
    ///
    /// # Errors
    /// `Internal` where there is no such outbox.
    pub fn insist_from(&self, index: usize, event: Event) -> impl Future<Output = Result<()>> + Send + '_ {
        self.send(index, event, Patience::Always)
    }

    fn send(&self, index: usize, event: Event, patience: Patience) -> impl Future<Output = Result<()>> + Send + '_ {
        self.0.send_from(index, event, patience, |copies, _| {
            self.0.progress.change(signed(copies));
            Ok(())
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.progress.change(-1);
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Permit").field(&self.0.station.name).finish()
    }
}
