//! A run of events in the hands of the engine.

use std::collections::VecDeque;

use crate::error::Error;
use crate::event::Event;

/// Events that wait or travel together, in order. Whatever is still in it when it is dropped was abandoned, and its
/// receipts say so: this is what keeps a source from acknowledging an event that an aborted task held.
#[derive(Debug, Default)]
pub(crate) struct Batch(VecDeque<Event>);

impl Batch {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn push(&mut self, event: Event) {
        self.0.push_back(event);
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        self.0.pop_front()
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut Event> {
        self.0.get_mut(index)
    }

    /// Moves the first `count` events of `other` behind those of this one. Where that is all of them and this one is
    /// empty, the two change places, and nothing is copied.
    pub(crate) fn take_from(&mut self, other: &mut Self, count: usize) {
        if count >= other.len() {
            if self.is_empty() {
                std::mem::swap(self, other);
            } else {
                self.0.append(&mut other.0);
            }
        } else {
            self.0.extend(other.0.drain(..count));
        }
    }

    /// Adds a copy of every event of `other`: a few reference counts each.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.0.extend(other.0.iter().cloned());
    }

    /// Notes on every event by which inbox of its receiver it comes.
    pub(crate) fn set_inbox(&mut self, inbox: u16) {
        // All of a batch come by one inbox, so most often there is nothing to change.
        if self.0.front().is_some_and(|event| event.inbox() != inbox) {
            self.0.iter_mut().for_each(|event| event.set_inbox(inbox));
        }
    }

    /// Lets every event go as one that needs nothing more.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Puts the events of `other` before those of this one.
    pub(crate) fn put_before(&mut self, other: &mut Self) {
        other.0.append(&mut self.0);
        std::mem::swap(self, other);
    }
}

impl From<Event> for Batch {
    fn from(event: Event) -> Self {
        Self(VecDeque::from([event]))
    }
}

impl Extend<Event> for Batch {
    fn extend<I: IntoIterator<Item = Event>>(&mut self, events: I) {
        self.0.extend(events);
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if self.0.is_empty() {
            return;
        }
        let error = abandoned();
        for event in self.0.drain(..) {
            event.fail_receipt(&error);
        }
    }
}

/// One event in the hands of a task that may be aborted while it waits: unless it is taken out, it was abandoned.
#[derive(Debug)]
pub(crate) struct InHand(Option<Event>);

impl InHand {
    pub(crate) fn new(event: Event) -> Self {
        Self(Some(event))
    }

    pub(crate) fn event(&self) -> &Event {
        self.0.as_ref().expect("the event is in hand until it is taken out")
    }

    pub(crate) fn take(mut self) -> Event {
        self.0.take().expect("the event is in hand until it is taken out")
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        if let Some(event) = &self.0 {
            event.fail_receipt(&abandoned());
        }
    }
}

/// Makes the error for an event that nobody ended.
pub(crate) fn abandoned() -> Error {
    Error::cancelled("the event was abandoned before its end")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receipt::Receipt;

    #[tokio::test]
    async fn what_is_dropped_with_a_batch_was_abandoned() {
        let (receipt, settled) = Receipt::awaited();
        drop(Batch::from(Event::new(()).with_receipt(receipt)));
        assert_eq!(settled.await.unwrap_err().kind(), crate::Kind::Cancelled);
    }

    #[test]
    fn order_holds_when_events_are_moved_and_put_back() {
        let mut queue = Batch::default();
        queue.extend((0..5).map(|number| Event::new(number.to_string())));
        let mut taken = Batch::default();
        taken.take_from(&mut queue, 3);
        taken.pop();
        queue.put_before(&mut taken);
        let left: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|event| event.payload().to_string()).collect();
        assert_eq!(left, ["1", "2", "3", "4"]);
    }
}
