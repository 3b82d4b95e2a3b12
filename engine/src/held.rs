//! Events that an actor keeps after its handler has returned: requests that wait for their reply, parts of a join.

use std::fmt;

use crate::batch::abandoned;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::permit::Permit;
use crate::progress::signed;
use crate::station::add;

/// An event that an actor keeps after its handler has returned `Ok` for it. See [`Emitter::hold`](crate::Emitter::hold).
///
/// It is in flight: the flow's stop waits for it, and its receipt stays open. It ends once, with [`Held::done`] or
/// [`Held::fail`]. Dropped without either, as when the flow is aborted, it was abandoned: it counts as dropped, and its receipt
/// fails with `Cancelled`. Nothing bounds how long it is held but the actor, which gives it a deadline.
#[must_use = "what is not held is abandoned"]
pub struct Held {
    permit: Permit,
    /// There until it has ended.
    event: Option<Event>,
}

impl Held {
    /// Holds an event. The permit is counted in flight already.
    pub(crate) fn new(permit: Permit, event: Event) -> Self {
        add(&permit.emitter().station.counters.held, 1);
        Self { permit, event: Some(event) }
    }

    /// Returns the event.
    #[must_use]
    pub fn event(&self) -> &Event {
        self.event.as_ref().expect("the event is held until it has ended")
    }

    /// Sends an event from the outbox at `index`, such as a reply, or a part of one, even while the flow stops. The held event
    /// stays held.
    ///
    /// # Errors
    /// `Internal` where there is no such outbox.
    pub fn send_from(&self, index: usize, event: Event) -> impl Future<Output = Result<()>> + Send + '_ {
        self.permit.send_from(index, event)
    }

    /// Does what [`Held::send_from`] does if every receiver has room at once, and never waits.
    ///
    /// # Errors
    /// `Overloaded` where a receiver has no room; `Internal` where there is no such outbox. Either way the event's receipt
    /// fails with the same error.
    pub fn offer_from(&self, index: usize, event: Event) -> Result<()> {
        self.permit.offer_from(index, event)
    }

    /// Ends the event well: it counts as delivered.
    pub fn done(mut self) {
        // Let go before it is counted, so that the flow's stop waits for its receipt too.
        drop(self.event.take());
        add(&self.permit.emitter().station.counters.released, 1);
    }

    /// Ends many events well, as [`Held::done`] ends one; those of one actor are counted together, which costs less.
    pub fn all_done(held: impl IntoIterator<Item = Self>) {
        let mut ended: Option<Permit> = None;
        for mut held in held {
            drop(held.event.take());
            if !ended.as_mut().is_some_and(|ended| ended.take_over(&mut held.permit)) {
                let others = ended.replace(Permit::in_place_of(&mut held.permit));
                others.into_iter().for_each(release);
            }
        }
        ended.into_iter().for_each(release);
    }

    /// Ends the event as if its handler had failed on it: it goes along the actor's error route, even while the flow stops,
    /// and counts as failed.
    pub async fn fail(mut self, error: Error) {
        let event = self.event.take().expect("the event is held until it has ended");
        let emitter = self.permit.emitter();
        add(&emitter.station.counters.held_failed, 1);
        emitter.progress.change(signed(emitter.error_routes()));
        emitter.fail(event, error).await;
    }
}

fn release(permit: Permit) {
    add(&permit.emitter().station.counters.released, permit.count() as u64);
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(event) = self.event.take() else { return };
        event.fail_receipt(&abandoned());
        drop(event);
        add(&self.permit.emitter().station.counters.abandoned, 1);
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Held").field(&self.event).finish()
    }
}
