//! The body of a request that leaves in parts as it comes: never more of it than its window, in order, and with an end that every
//! receiver learns of.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::StatusCode;
use playhouse_engine::{Attributes, Error, Event, EventId, Payload, Permit, Result};

use super::admission::too_large;
use super::clock::{NEVER, Ticks, ticks};
use super::connection::{Connection, Excuse};
use super::head::Head;
use super::inflow::Inflow;
use super::pending::Lease;
use super::reception::Reception;
use super::reply::Refusal;
use super::window::Window;
use crate::{Part, PartEnd};

type Sending = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// The body of a request on its way into the flow.
pub(crate) struct Intake {
    connection: Arc<Connection>,
    lease: Arc<Lease>,
    id: EventId,
    attributes: Attributes,
    outbox: usize,
    body: Inflow,
    /// Lets the parts into a flow that stops meanwhile.
    permit: Arc<Permit>,
    window: Arc<Window>,
    /// A part that waits for room.
    sending: Option<Sending>,
    /// How many parts there were.
    number: u64,
    /// Whether every receiver has been told how it ends, or will be.
    has_ended: bool,
    /// When the rate is looked at next, and how much the client had sent the last time.
    measured: Ticks,
    arrived: u64,
    /// Until when the flow must take more, where it is waited for.
    patience: Ticks,
    _excuse: Excuse,
}

impl Intake {
    /// Begins to take in `body` for the request that waits as `id` at `lease`.
    pub(crate) fn new(
        connection: &Arc<Connection>,
        lease: Arc<Lease>,
        id: EventId,
        head: Arc<Head>,
        outbox: usize,
        body: Inflow,
        permit: Permit,
    ) -> Self {
        let reception = &connection.reception;
        Self {
            window: Arc::new(Window::new(reception.limits.window, lease.clone(), id)),
            measured: reception.until_measured(),
            _excuse: Excuse::new(connection.clone()),
            connection: connection.clone(),
            lease,
            id,
            attributes: Attributes::over(head),
            outbox,
            body,
            permit: Arc::new(permit),
            sending: None,
            number: 0,
            has_ended: false,
            arrived: 0,
            patience: NEVER,
        }
    }

    pub(crate) fn id(&self) -> EventId {
        self.id
    }

    /// Takes in what has come and finds room, until the body has left whole. It is woken by the slot's clock too.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        match self.poll_parts(context) {
            Poll::Ready(Err(refusal)) => {
                self.break_off(&refusal.error);
                Poll::Ready(Err(Refusal { close: true, ..refusal }))
            }
            other => other,
        }
    }

    fn poll_parts(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        loop {
            if let Some(sending) = &mut self.sending {
                match sending.as_mut().poll(context) {
                    Poll::Ready(Ok(())) => self.sending = None,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                    Poll::Pending => return self.wait_for_flow(context),
                }
            }
            if self.has_ended {
                self.window.close();
                return Poll::Ready(Ok(()));
            }
            if !self.window.has_room(context) {
                return self.wait_for_flow(context);
            }
            let limit = self.connection.reception.limits.streamed_size;
            let piece = match self.body.poll_piece(context) {
                Poll::Ready(Ok(piece)) => piece.unwrap_or_default(),
                Poll::Ready(Err(refusal)) => return Poll::Ready(Err(refusal)),
                Poll::Pending => return self.wait_for_client(context),
            };
            if self.body.came() > limit as u64 {
                return Poll::Ready(Err(too_large(limit)));
            }
            let is_last = self.body.is_at_end();
            if piece.is_empty() && !is_last {
                continue;
            }
            if let Err(refusal) = self.send(piece, is_last) {
                return Poll::Ready(Err(refusal));
            }
        }
    }

    /// Sends a part: the first where there is room, for a flow that is full sheds; the others when there is.
    fn send(&mut self, piece: Bytes, is_last: bool) -> Result<(), Refusal> {
        let end = if is_last { PartEnd::Last } else { PartEnd::More };
        let length = piece.len();
        let payload = if piece.is_empty() { Payload::Empty } else { Payload::Bytes(piece) };
        let event = self.part(end, payload).with_receipt(self.window.receipt(length));
        let (permit, outbox) = (self.permit.clone(), self.outbox);
        if self.number == 0 {
            permit.offer_from(outbox, event)?;
        } else {
            self.sending = Some(Box::pin(async move { permit.insist_from(outbox, event).await }));
        }
        self.number += 1;
        self.has_ended = is_last;
        self.patience = NEVER;
        Ok(())
    }

    fn part(&self, end: PartEnd, payload: Payload) -> Event {
        let reception = &self.connection.reception;
        let event = Event::with_id(self.id, payload)
            .with_attributes(self.attributes.clone())
            .with_deadline(reception.clock.instant(reception.until_deadline()));
        Part { number: self.number, end }.mark(event)
    }

    /// Tells the receivers that no more comes, where they have begun to take it.
    pub(crate) fn break_off(&mut self, error: &Error) {
        let is_known = self.number > 0;
        if self.sending.take().is_some() || !self.has_ended {
            self.has_ended = true;
            if is_known {
                let event = self.part(PartEnd::Broken, Payload::Empty).with_error(error.clone());
                self.connection.reception.partings.tell(self.permit.clone(), self.outbox, event);
            }
        }
    }

    fn wait_for_flow(&mut self, context: &Context<'_>) -> Poll<Result<(), Refusal>> {
        let reception = &self.connection.reception;
        if self.patience == NEVER {
            self.patience = reception.until_deadline();
        }
        if reception.clock.now() >= self.patience {
            let time = reception.limits.deadline;
            let error = Error::timeout(format!("the flow took no more of the body within {time:?}"));
            return Poll::Ready(Err(error.into()));
        }
        // A client that we do not read from cannot be too slow.
        (self.measured, self.arrived) = (reception.until_measured(), self.body.arrived());
        self.lease.wake_at(context.waker(), self.patience);
        Poll::Pending
    }

    fn wait_for_client(&mut self, context: &Context<'_>) -> Poll<Result<(), Refusal>> {
        let reception = &self.connection.reception;
        self.patience = NEVER;
        if reception.clock.now() >= self.measured {
            if self.body.arrived() - self.arrived < reception.least_in(ticks(reception.limits.rate_window)) {
                return Poll::Ready(Err(too_slow(reception)));
            }
            (self.measured, self.arrived) = (reception.until_measured(), self.body.arrived());
        }
        self.lease.wake_at(context.waker(), self.measured);
        Poll::Pending
    }
}

/// Refuses a body that comes too slowly.
pub(crate) fn too_slow(reception: &Reception) -> Refusal {
    let rate = reception.limits.slowest_rate;
    let error = Error::timeout(format!("the body comes too slowly; expected at least {rate} bytes a second"));
    Refusal { close: true, ..Refusal::with_status(error, StatusCode::REQUEST_TIMEOUT) }
}

impl Drop for Intake {
    fn drop(&mut self) {
        self.break_off(&Error::gone("the client has gone, or the request was answered before its body was there"));
    }
}

impl fmt::Debug for Intake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Intake").field("id", &self.id).field("number", &self.number).finish_non_exhaustive()
    }
}
