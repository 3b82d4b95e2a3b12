//! Where a handler puts what it wants sent. Nothing leaves before the handler has returned `Ok`.

use std::borrow::Cow;
use std::sync::Arc;

use crate::batch::InHand;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::ports::{Port, Ports, Role};

/// What a handler wants sent. The engine sends it when the handler has returned `Ok`, and forgets it otherwise.
#[derive(Debug)]
pub struct Outbox {
    ports: Arc<Ports>,
    /// The address of the event that is being handled, to know it when it is pushed: it is then moved on, not copied.
    /// Nothing is ever read through it.
    input: usize,
    inbox: u16,
    /// The outbox of the event that is being handled, where nothing else was pushed: the most common case, kept cheap.
    forwarded: Option<u16>,
    pushed: Vec<Pushed>,
    /// How many outboxes the handler may push to: an endpoint's none.
    limit: usize,
    mistake: Option<Error>,
}

/// One event to send; `None` is the event that was handled.
#[derive(Debug)]
pub(crate) struct Pushed {
    pub(crate) outbox: u16,
    pub(crate) event: Option<Event>,
}

impl Outbox {
    pub(crate) fn new(ports: Arc<Ports>) -> Self {
        let limit = if ports.role == Role::Endpoint { 0 } else { ports.outboxes.len() };
        Self { ports, input: 0, inbox: 0, forwarded: None, pushed: Vec::new(), limit, mistake: None }
    }

    /// Sends `event` from the default outbox. The event that is being handled can be pushed by reference: it moves on
    /// without a copy.
    #[inline]
    pub fn push<'a>(&mut self, event: impl Into<Cow<'a, Event>>) {
        self.push_at(0, event);
    }

    /// Sends `event` from the outbox `name`. A name that the actor's ports do not have makes the handler fail.
    pub fn push_to<'a>(&mut self, name: &str, event: impl Into<Cow<'a, Event>>) {
        match self.ports.outboxes.iter().position(|port| port.name() == name) {
            Some(index) => self.push_at(index, event),
            None => self.mistaken(&format!("`{name}`")),
        }
    }

    /// Sends `event` from the outbox at `index`, in the order in which the actor's ports declare them. A number that is
    /// too large makes the handler fail.
    #[inline]
    pub fn push_at<'a>(&mut self, index: usize, event: impl Into<Cow<'a, Event>>) {
        match u16::try_from(index) {
            Ok(outbox) if index < self.limit => match event.into() {
                Cow::Borrowed(event) if std::ptr::from_ref(event).addr() == self.input => {
                    if self.is_empty() {
                        self.forwarded = Some(outbox);
                    } else {
                        self.append(Pushed { outbox, event: None });
                    }
                }
                other => self.append(Pushed { outbox, event: Some(other.into_owned()) }),
            },
            _ => self.mistaken(&format!("number {index}")),
        }
    }

    /// Returns the name of the inbox by which the event came that is being handled.
    #[must_use]
    pub fn inbox(&self) -> &str {
        self.ports.inboxes.get(usize::from(self.inbox)).map_or("", Port::name)
    }

    /// Makes ready for the handling of `event`.
    #[inline]
    pub(crate) fn begin(&mut self, event: &Event) {
        self.input = std::ptr::from_ref(event).addr();
        self.inbox = event.inbox();
    }

    /// Returns what the handler's outcome is, with mistakes in the use of the outbox counted in.
    #[inline]
    pub(crate) fn check(&mut self, outcome: Result<()>) -> Result<()> {
        match self.mistake.take() {
            None => outcome,
            Some(mistake) => outcome.and(Err(mistake)),
        }
    }

    /// Returns from which outbox the event that was handled leaves, where nothing else was pushed.
    #[inline]
    pub(crate) fn take_forwarded(&mut self) -> Option<u16> {
        if self.pushed.is_empty() { self.forwarded.take() } else { None }
    }

    /// Says whether the event that was handled leaves from `outbox` and nothing else was pushed, and forgets it if so.
    #[inline]
    pub(crate) fn take_if_forwarded(&mut self, outbox: u16) -> bool {
        let is_so = self.pushed.is_empty() && self.forwarded == Some(outbox);
        if is_so {
            self.forwarded = None;
        }
        is_so
    }

    /// Returns the only event that was pushed, where it is only one and a derived one.
    #[inline]
    pub(crate) fn take_only(&mut self) -> Option<(u16, Event)> {
        if self.pushed.len() != 1 || self.forwarded.is_some() {
            return None;
        }
        let Pushed { outbox, event } = self.pushed.pop()?;
        event.map(|event| (outbox, event))
    }

    /// Says whether nothing was pushed.
    pub(crate) fn is_empty(&self) -> bool {
        self.forwarded.is_none() && self.pushed.is_empty()
    }

    /// Hands out all that was pushed; [`Outbox::put_back`] returns the room.
    pub(crate) fn take_all(&mut self) -> Vec<Pushed> {
        if let Some(outbox) = self.forwarded.take() {
            self.pushed.push(Pushed { outbox, event: None });
        }
        std::mem::take(&mut self.pushed)
    }

    pub(crate) fn put_back(&mut self, mut emptied: Vec<Pushed>) {
        emptied.clear();
        self.pushed = emptied;
    }

    /// Forgets what a handler pushed that has failed.
    pub(crate) fn clear(&mut self) {
        self.forwarded = None;
        self.pushed.clear();
    }

    fn append(&mut self, pushed: Pushed) {
        if let Some(outbox) = self.forwarded.take() {
            self.pushed.push(Pushed { outbox, event: None });
        }
        self.pushed.push(pushed);
    }

    #[cold]
    fn mistaken(&mut self, wanted: &str) {
        if self.ports.role == Role::Endpoint {
            let message = "the handler of an endpoint must not push: it answers, and sends from tasks of its own";
            self.mistake = Some(Error::internal(message));
            return;
        }
        let names: Vec<_> = self.ports.outboxes.iter().map(|port| format!("`{}`", port.name)).collect();
        let has = if names.is_empty() { "it has none".to_owned() } else { format!("it has {}", names.join(", ")) };
        self.mistake = Some(Error::internal(format!("the actor has no outbox {wanted}; {has}")));
    }
}

/// What is still in it was pushed by a handler that was aborted with its flow: it was abandoned. The input's receipt would
/// say so too, but what is pushed may answer for other events that the actor had kept.
impl Drop for Outbox {
    fn drop(&mut self) {
        for event in self.pushed.drain(..).filter_map(|pushed| pushed.event) {
            drop(InHand::new(event));
        }
    }
}
