//! The right to send into a flow that is stopping, for what was begun before.

use std::fmt;
use std::sync::Arc;

use crate::emitter::{Inner, Patience};
use crate::error::Result;
use crate::event::Event;
use crate::progress::signed;

/// The right to send events into a flow that is stopping, for something that was begun before. See
/// [`Emitter::permit`](crate::Emitter::permit).
pub struct Permit {
    emitter: Arc<Inner>,
    /// For how many it is counted in flight.
    count: usize,
}

impl Permit {
    /// Makes a permit that is counted in flight already.
    pub(crate) fn new(emitter: Arc<Inner>) -> Self {
        Self { emitter, count: 1 }
    }

    pub(crate) fn emitter(&self) -> &Inner {
        &self.emitter
    }

    /// Takes over what `other` is counted for, where both are of one actor.
    pub(crate) fn take_over(&mut self, other: &mut Self) -> bool {
        let is_same = Arc::ptr_eq(&self.emitter, &other.emitter);
        if is_same {
            self.count += std::mem::take(&mut other.count);
        }
        is_same
    }

    /// Makes one that is counted for what `other` was.
    pub(crate) fn in_place_of(other: &mut Self) -> Self {
        Self { emitter: other.emitter.clone(), count: std::mem::take(&mut other.count) }
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Does what [`Emitter::offer_from`](crate::Emitter::offer_from) does, even while the flow stops.
    ///
    /// # Errors
    /// `Overloaded` where a receiver has no room; `Internal` where there is no such outbox.
    pub fn offer_from(&self, index: usize, event: Event) -> Result<()> {
        let routes = self.emitter.routes(index, &event)?;
        self.emitter.progress.change(signed(routes.len()));
        self.emitter.offer(routes, event)
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
        self.emitter.send_from(index, event, patience, |copies, _| {
            self.emitter.progress.change(signed(copies));
            Ok(())
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.emitter.progress.change(-signed(self.count));
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Permit").field(&self.emitter.station.name).finish()
    }
}
