//! The event: a value that handlers read and derive new ones from, and never change.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::attributes::{Attributes, Value};
use crate::envelope::Foreign;
use crate::error::Error;
use crate::id::EventId;
use crate::moment::{Moment, after};
use crate::payload::Payload;
use crate::receipt::Receipt;
use crate::text::Text;

/// What travels through a flow: a payload, attributes beside it, and where it belongs.
///
/// A clone is a few reference counts. What is derived from an event keeps its id, so that a reply finds its request; an
/// event of its own, that answers for the same request, is made by [`Event::branch`].
#[derive(Clone)]
pub struct Event {
    id: EventId,
    created: Option<Moment>,
    deadline: Option<Moment>,
    payload: Payload,
    attributes: Attributes,
    receipt: Option<Receipt>,
    /// What most events do not have, kept out of their size.
    rare: Option<Arc<Rare>>,
    /// By which inbox of its present actor the event came.
    inbox: u16,
}

#[derive(Clone, Default)]
struct Rare {
    correlation: Option<Text>,
    error: Option<Error>,
    /// When it was created, where that was before the first moment that this process can tell.
    created: Option<SystemTime>,
    /// What an envelope of a newer version said of it and means nothing here.
    foreign: Option<Foreign>,
}

impl Event {
    /// Makes an event with a new id.
    #[must_use]
    pub fn new(payload: impl Into<Payload>) -> Self {
        Self {
            id: EventId::unique(),
            created: None,
            deadline: None,
            payload: payload.into(),
            attributes: Attributes::default(),
            receipt: None,
            rare: None,
            inbox: 0,
        }
    }

    /// Makes an event with an id that another process gave it.
    #[must_use]
    pub fn with_id(id: EventId, payload: impl Into<Payload>) -> Self {
        Self { id, ..Self::new(payload) }
    }

    /// Derives the same event with another payload: id, attributes, deadline and receipt stay.
    #[must_use]
    pub fn derive(&self, payload: impl Into<Payload>) -> Self {
        Self {
            payload: payload.into(),
            attributes: self.attributes.clone(),
            receipt: self.receipt.clone(),
            rare: self.rare.clone(),
            ..*self
        }
    }

    /// Derives an event of its own, with a new id, that answers for the same request: correlation, attributes, deadline
    /// and receipt stay. A split makes its parts so.
    #[must_use]
    pub fn branch(&self, payload: impl Into<Payload>) -> Self {
        let correlation = Text::from(self.correlation_id().into_owned());
        Self { id: EventId::unique(), ..self.derive(payload) }.with_correlation_id(correlation)
    }

    /// Returns the identity of the event, which never changes.
    #[must_use]
    pub fn id(&self) -> EventId {
        self.id
    }

    /// Returns what ties events of one request together, across flows and processes: the id unless another was set.
    #[must_use]
    pub fn correlation_id(&self) -> Cow<'_, str> {
        match self.own_correlation_id() {
            Some(correlation) => Cow::Borrowed(correlation),
            None => Cow::Owned(self.id.to_string()),
        }
    }

    /// Returns when the event entered its first flow, be it in another process; nothing before that.
    #[must_use]
    pub fn created(&self) -> Option<SystemTime> {
        let elsewhere = self.rare.as_ref().and_then(|rare| rare.created);
        elsewhere.or_else(|| self.created.map(Moment::system_time))
    }

    /// Returns until when the event is worth handling. Later it ends as failed, with a `Timeout`.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline.map(Moment::instant)
    }

    /// Returns what the event carries.
    #[must_use]
    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    /// Returns the attributes beside the payload.
    #[must_use]
    pub fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// Returns the value of the attribute `name`.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<Value> {
        self.attributes.get(name)
    }

    /// Returns the error that sent this event on an error route.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        self.rare.as_ref()?.error.as_ref()
    }

    /// Returns the receipt that hangs on the event.
    #[must_use]
    pub fn receipt(&self) -> Option<&Receipt> {
        self.receipt.as_ref()
    }

    /// Sets the payload.
    #[must_use]
    pub fn with_payload(mut self, payload: impl Into<Payload>) -> Self {
        self.payload = payload.into();
        self
    }

    /// Sets one attribute.
    #[must_use]
    pub fn with_attribute(mut self, name: impl Into<Text>, value: impl Into<Value>) -> Self {
        self.attributes.set(name, value);
        self
    }

    /// Takes one attribute away.
    #[must_use]
    pub fn without_attribute(mut self, name: impl Into<Text>) -> Self {
        self.attributes.remove(name);
        self
    }

    /// Sets all attributes, in place of what there were.
    #[must_use]
    pub fn with_attributes(mut self, attributes: Attributes) -> Self {
        self.attributes = attributes;
        self
    }

    /// Sets what ties events of one request together.
    #[must_use]
    pub fn with_correlation_id(mut self, correlation: impl Into<Text>) -> Self {
        let correlation = correlation.into();
        self.change_rare(|rare| rare.correlation = Some(correlation));
        self
    }

    /// Sets until when the event is worth handling.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline.into());
        self
    }

    /// Sets for how long from now the event is worth handling.
    #[must_use]
    pub fn expires_in(self, time: Duration) -> Self {
        self.with_deadline(after(time))
    }

    /// Attaches an error, as an error route does.
    #[must_use]
    pub fn with_error(mut self, error: Error) -> Self {
        self.change_rare(|rare| rare.error = Some(error));
        self
    }

    /// Takes the error away, as an actor does that has mended what was wrong.
    #[must_use]
    pub fn without_error(mut self) -> Self {
        if self.error().is_some() {
            self.change_rare(|rare| rare.error = None);
        }
        self
    }

    /// Hangs a receipt on the event, beside those that hang there already.
    #[must_use]
    pub fn with_receipt(mut self, receipt: Receipt) -> Self {
        self.receipt = match self.receipt.take() {
            Some(present) if !present.is(&receipt) => Some(Receipt::joined(vec![present, receipt])),
            _ => Some(receipt),
        };
        self
    }

    /// Hangs the receipts of all `events` on this one, as a join does with the parts that it was made of.
    #[must_use]
    pub fn with_receipts_of<'a>(mut self, events: impl IntoIterator<Item = &'a Event>) -> Self {
        let mut receipts: Vec<Receipt> = self.receipt.take().into_iter().collect();
        for receipt in events.into_iter().filter_map(Self::receipt) {
            if !receipts.iter().any(|known| known.is(receipt)) {
                receipts.push(receipt.clone());
            }
        }
        self.receipt = match receipts.len() {
            0 | 1 => receipts.pop(),
            _ => Some(Receipt::joined(receipts)),
        };
        self
    }

    /// Returns the correlation id where one was set.
    pub(crate) fn own_correlation_id(&self) -> Option<&Text> {
        self.rare.as_ref()?.correlation.as_ref()
    }

    /// Sets when the event entered its first flow, in another process.
    pub(crate) fn created_at(mut self, time: SystemTime) -> Self {
        match Moment::at(time) {
            Some(moment) => self.created = Some(moment),
            None => self.change_rare(|rare| rare.created = Some(time)),
        }
        self
    }

    /// Keeps what an envelope of a newer version said of the event.
    pub(crate) fn with_foreign(mut self, foreign: Foreign) -> Self {
        self.change_rare(|rare| rare.foreign = Some(foreign));
        self
    }

    pub(crate) fn foreign(&self) -> Option<&Foreign> {
        self.rare.as_ref()?.foreign.as_ref()
    }

    /// Notes on the receipt, where there is one, that this copy ended badly.
    pub(crate) fn fail_receipt(&self, error: &Error) {
        if let Some(receipt) = &self.receipt {
            receipt.fail(error);
        }
    }

    #[inline]
    pub(crate) fn stamp(&mut self, now: Moment) {
        if self.created.is_none() {
            self.created = Some(now);
        }
    }

    #[inline]
    pub(crate) fn expiry(&self) -> Option<Moment> {
        self.deadline
    }

    #[inline]
    pub(crate) fn inbox(&self) -> u16 {
        self.inbox
    }

    #[inline]
    pub(crate) fn set_inbox(&mut self, inbox: u16) {
        self.inbox = inbox;
    }

    fn change_rare(&mut self, change: impl FnOnce(&mut Rare)) {
        change(Arc::make_mut(self.rare.get_or_insert_default()));
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut event = formatter.debug_struct("Event");
        event.field("id", &self.id).field("payload", &self.payload);
        if !self.attributes.is_empty() {
            event.field("attributes", &self.attributes);
        }
        if let Some(error) = self.error() {
            event.field("error", error);
        }
        event.finish_non_exhaustive()
    }
}

impl<'a> From<&'a Event> for Cow<'a, Event> {
    fn from(event: &'a Event) -> Self {
        Cow::Borrowed(event)
    }
}

impl From<Event> for Cow<'_, Event> {
    fn from(event: Event) -> Self {
        Cow::Owned(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_derived_keeps_the_id_and_a_branch_does_not() {
        let event = Event::new("a").with_attribute("colour", "red");
        let derived = event.derive("b");
        assert_eq!(derived.id(), event.id());
        let branch = event.branch("c");
        assert_ne!(branch.id(), event.id());
        assert_eq!(branch.correlation_id(), event.correlation_id());
        assert_eq!(branch.attribute("colour"), Some("red".into()));
    }

    #[test]
    fn an_event_stays_small() {
        // Every hop of an event that is not fused moves this many bytes.
        assert!(size_of::<Event>() <= 112, "{}", size_of::<Event>());
    }

    #[test]
    fn an_error_can_be_attached_and_taken_away() {
        let event = Event::new(()).with_correlation_id("order-7").with_error(Error::gone("gone"));
        assert_eq!(event.error().map(Error::message), Some("gone"));
        let mended = event.without_error();
        assert!(mended.error().is_none());
        assert_eq!(mended.correlation_id(), "order-7");
    }

    #[tokio::test]
    async fn a_joined_event_carries_the_receipts_of_its_parts() {
        let (first, first_settled) = Receipt::awaited();
        let (second, second_settled) = Receipt::awaited();
        let parts = [Event::new(1.to_string()).with_receipt(first), Event::new("2").with_receipt(second)];
        let joined = Event::new("1 and 2").with_receipts_of(&parts);
        drop(parts);
        joined.fail_receipt(&Error::internal("boom"));
        drop(joined);
        assert!(first_settled.await.is_err() && second_settled.await.is_err());
    }
}
