//! How a source sends events into its flow, from tasks of its own.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::coop::consume_budget;

use crate::batch::{Batch, InHand};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::held::Held;
use crate::inbox::Sent;
use crate::lending::Borrowed;
use crate::line::Line;
use crate::log::Log;
use crate::moment::Moment;
use crate::permit::Permit;
use crate::policy::Overflow;
use crate::progress::{Progress, signed};
use crate::station::{Station, add};

/// How many events [`Emitter::send_all`] sends at a time.
const CHUNK: usize = 256;

/// Sends events into a flow from a source's own tasks. A clone is one reference count.
#[derive(Clone)]
pub struct Emitter(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) station: Arc<Station>,
    outboxes: Vec<Vec<Route>>,
    errors: Vec<Route>,
    pub(crate) progress: Arc<Progress>,
    log: Arc<Log>,
}

/// When a send waits for room.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Where the receiver's policy says so.
    OfPolicy,
    /// Whatever the receiver's policy says.
    Always,
}

/// Where a connection leads.
pub(crate) struct Route {
    pub(crate) to: Arc<Station>,
    pub(crate) inbox: u16,
    pub(crate) total: Arc<AtomicU64>,
}

impl Emitter {
    pub(crate) fn new(
        station: Arc<Station>,
        outboxes: Vec<Vec<Route>>,
        errors: Vec<Route>,
        progress: Arc<Progress>,
        log: Arc<Log>,
    ) -> Self {
        Self(Arc::new(Inner { station, outboxes, errors, progress, log }))
    }

    /// Sends an event from the default outbox, and waits where a receiver whose policy says so has no room.
    ///
    /// # Errors
    /// `Cancelled` when the flow is stopping: the event has not entered it.
    pub fn send(&self, event: Event) -> impl Future<Output = Result<()>> + Send + '_ {
        self.send_from(0, event)
    }

    /// Sends an event from the outbox at `index`, in the order in which the actor's ports declare them.
    ///
    /// # Errors
    /// `Cancelled` when the flow is stopping: the event has not entered it. `Internal` where there is no such outbox.
    pub fn send_from(&self, index: usize, event: Event) -> impl Future<Output = Result<()>> + Send + '_ {
        self.0.send_from(index, event, Patience::OfPolicy, |copies, event| self.0.enter(copies, event))
    }

    /// Sends many events from the default outbox, as many at a time as there is room for: the fastest way in.
    ///
    /// # Errors
    /// `Cancelled` when the flow is stopping: the events before that have entered it, the rest were not asked for.
    pub async fn send_all<I>(&self, events: I) -> Result<()>
    where
        I: IntoIterator<Item = Event>,
        I::IntoIter: Send,
    {
        let Some(routes) = self.0.outboxes.first() else {
            return Err(self.0.no_outbox(0));
        };
        let mut events = events.into_iter();
        let mut chunk = Batch::default();
        let mut copies = Batch::default();
        loop {
            // A task that never waits must let others run.
            consume_budget().await;
            if let Some(lines) = borrow_lines(routes) {
                match self.0.run_chunk(routes, lines, &mut events).await? {
                    0 => return Ok(()),
                    _ => continue,
                }
            }
            let now = Moment::now();
            let inbox = routes.first().map_or(0, |route| route.inbox);
            chunk.extend(events.by_ref().take(CHUNK).map(|mut event| {
                event.stamp(now);
                event.set_inbox(inbox);
                event
            }));
            let count = chunk.len();
            if count == 0 {
                return Ok(());
            }
            self.0.progress.enter(count * routes.len())?;
            let mut entered = self.0.account(count * routes.len());
            if let Some((last, others)) = routes.split_last() {
                for route in others {
                    copies.copy_from(&chunk);
                    self.0.send_batch(route, &mut copies, &mut entered, Patience::OfPolicy).await;
                }
                self.0.send_batch(last, &mut chunk, &mut entered, Patience::OfPolicy).await;
            }
            chunk.clear();
        }
    }

    /// Sends an event from the default outbox if every receiver has room at once, and never waits.
    ///
    /// # Errors
    /// `Overloaded` where a receiver has no room, with the time after which it may have; `Cancelled` when the flow is
    /// stopping. Either way the event has not entered the flow, and its receipt fails with the same error.
    pub fn offer(&self, event: Event) -> Result<()> {
        self.offer_from(0, event)
    }

    /// Does what [`Emitter::offer`] does, from the outbox at `index`.
    ///
    /// # Errors
    /// As [`Emitter::offer`]; `Internal` where there is no such outbox.
    pub fn offer_from(&self, index: usize, event: Event) -> Result<()> {
        let routes = self.0.routes(index, &event)?;
        self.0.enter(routes.len(), &event)?;
        self.0.offer(routes, event)
    }

    /// Sends an event that is bad from the start along the actor's error route, as if a handler had failed on it.
    ///
    /// # Errors
    /// `Cancelled` when the flow is stopping: the event has not entered it.
    pub fn fail(&self, event: Event, error: Error) -> impl Future<Output = Result<()>> + Send + '_ {
        let event = InHand::new(event);
        async move {
            let event = event.take();
            self.0.enter(self.0.error_routes(), &event)?;
            self.0.fail(event, error).await;
            Ok(())
        }
    }

    /// Makes a permit, for a source that has begun to take something in: while it is held, the flow is not drained, and
    /// through it events are sent even after a stop has begun.
    ///
    /// # Errors
    /// `Cancelled` when the flow is stopping.
    pub fn permit(&self) -> Result<Permit> {
        self.0.progress.enter(1)?;
        Ok(Permit::new(self.0.clone()))
    }

    /// Keeps an event that a handler works on for the time after the handler has returned `Ok`, as a request that waits for
    /// its reply: until it has ended, the flow is not drained, and its receipt is open. Call it from the handler, as the last
    /// that may go wrong, or while something else holds up the flow's stop: it holds even while the flow stops.
    pub fn hold(&self, event: &Event) -> Held {
        self.0.progress.change(1);
        Held::new(Permit::new(self.0.clone()), event.clone())
    }

    /// Sends a record of the log, if there is room; counts it as dropped if there is none.
    pub(crate) fn log(&self, record: Event) {
        let routes = self.0.outboxes.first().map_or(&[][..], Vec::as_slice);
        // Unlike others, a record enters while the flow stops: it tells of the stop.
        self.0.progress.change(signed(routes.len()));
        let mut entered = self.0.account(routes.len());
        for route in routes {
            if let Ok(()) = self.0.put(route, record.clone()) {
                entered.arrived(1);
            }
        }
    }
}

impl Inner {
    pub(crate) fn routes(&self, index: usize, event: &Event) -> Result<&[Route]> {
        match self.outboxes.get(index) {
            Some(routes) => Ok(routes),
            None => {
                let error = self.no_outbox(index);
                event.fail_receipt(&error);
                Err(error)
            }
        }
    }

    #[cold]
    fn no_outbox(&self, index: usize) -> Error {
        Error::internal(format!("`{}` has no outbox number {index}", self.station.name))
    }

    /// Counts copies in flight, unless the flow is stopping.
    fn enter(&self, copies: usize, event: &Event) -> Result<()> {
        self.progress.enter(copies).inspect_err(|error| event.fail_receipt(error))
    }

    /// Takes on the accounts of copies that are counted in flight.
    fn account(&self, copies: usize) -> Entered<'_> {
        add(&self.station.counters.sent, copies as u64);
        Entered { inner: self, left: copies }
    }

    /// Puts one event into an inbox that has room for it.
    fn put(&self, route: &Route, mut event: Event) -> Result<(), Event> {
        event.set_inbox(route.inbox);
        event.stamp(Moment::now());
        route.to.inbox.push_one(event)?;
        add(&route.total, 1);
        Ok(())
    }

    /// Sends an event from an outbox, once `begin` has counted its copies in flight.
    pub(crate) fn send_from<'a>(
        &'a self,
        index: usize,
        event: Event,
        patience: Patience,
        begin: impl FnOnce(usize, &Event) -> Result<()> + Send + 'a,
    ) -> impl Future<Output = Result<()>> + Send + 'a {
        // In hand from the start, so that a future that is given up before it was polled leaves a receipt that fails.
        let event = InHand::new(event);
        async move {
            let routes = self.routes(index, event.event())?;
            // A task that never waits must let others run. Nothing is counted before: the wait may be given up.
            consume_budget().await;
            let event = event.take();
            begin(routes.len(), &event)?;
            self.send(routes, event, patience).await;
            Ok(())
        }
    }

    /// Sends an event that is counted in flight. It waits only after the copies have been taken on.
    async fn send(&self, routes: &[Route], event: Event, patience: Patience) {
        let Some((last, others)) = routes.split_last() else {
            return;
        };
        let mut entered = self.account(routes.len());
        for route in others {
            self.send_one(route, event.clone(), &mut entered, patience).await;
        }
        self.send_one(last, event, &mut entered, patience).await;
    }

    async fn send_one(&self, route: &Route, event: Event, entered: &mut Entered<'_>, patience: Patience) {
        if let Some(mut line) = borrow_line(route) {
            entered.arrived(1);
            self.run_one(route, &mut line, event);
            return line.flush().await;
        }
        match self.put(route, event) {
            Ok(()) => entered.arrived(1),
            Err(event) => self.send_batch(route, &mut Batch::from(event), entered, patience).await,
        }
    }

    /// Runs one event, that is accounted for, through a borrowed line.
    fn run_one(&self, route: &Route, line: &mut Line, mut event: Event) {
        add(&route.total, 1);
        let now = Moment::now();
        event.stamp(now);
        event.set_inbox(route.inbox);
        line.set_now(now);
        line.take_in(event);
    }

    /// Runs some of the events through the borrowed lines of all routes, and returns how many.
    async fn run_chunk(
        &self,
        routes: &[Route],
        mut lines: Vec<Borrowed<'_>>,
        events: &mut impl Iterator<Item = Event>,
    ) -> Result<usize> {
        let mut chunk = Chunk::enter(self, routes)?;
        let now = Moment::now();
        lines.iter_mut().for_each(|line| line.set_now(now));
        for mut event in events.take(CHUNK) {
            chunk.used += 1;
            event.stamp(now);
            let Some((last, others)) = lines.split_last_mut() else { continue };
            for (line, route) in others.iter_mut().zip(routes) {
                let mut copy = event.clone();
                copy.set_inbox(route.inbox);
                line.take_in(copy);
            }
            event.set_inbox(routes[routes.len() - 1].inbox);
            last.take_in(event);
            if lines.iter().any(|line| line.is_full()) {
                break;
            }
        }
        let used = chunk.used;
        drop(chunk);
        let last = lines.pop();
        lines.iter_mut().for_each(|line| line.push_outgoing());
        // The others go back before the wait: one of them may be what makes room, and its worker sends what is left.
        drop(lines);
        if let Some(mut line) = last {
            line.flush().await;
        }
        Ok(used)
    }

    async fn send_batch(&self, route: &Route, batch: &mut Batch, entered: &mut Entered<'_>, patience: Patience) {
        batch.set_inbox(route.inbox);
        let count = batch.len();
        let mut sent = route.to.inbox.push(batch);
        let waits = patience == Patience::Always || route.to.policy.overflow == Overflow::Wait;
        if sent == Sent::Full && waits {
            let began = Moment::now();
            sent = route.to.inbox.send(batch).await;
            add(&self.station.counters.waiting, Moment::now().nanoseconds_since(began));
        }
        let arrived = count - batch.len();
        add(&route.total, arrived as u64);
        entered.arrived(arrived);
        if sent == Sent::Full && route.to.policy.overflow == Overflow::Shed {
            let error = route.to.overloaded();
            while let Some(event) = batch.pop() {
                add(&route.to.counters.shed, 1);
                // The copy has ended, and the error that tells of it begins.
                self.progress.change(signed(self.errors.len()) - 1);
                entered.arrived(1);
                Box::pin(self.fail(event, error.clone())).await;
            }
        } else if sent != Sent::All {
            self.drop_rest(route, batch, sent, entered);
        }
    }

    fn drop_rest(&self, route: &Route, batch: &mut Batch, sent: Sent, entered: &mut Entered<'_>) {
        let error = route.to.refusal(sent);
        while let Some(event) = batch.pop() {
            event.fail_receipt(&error);
            add(&route.to.counters.dropped, 1);
            self.progress.change(-1);
            entered.arrived(1);
        }
    }

    /// Returns how many copies of an event go along the error route.
    pub(crate) fn error_routes(&self) -> usize {
        self.errors.len()
    }

    /// Sends an event along the error route; the copies are counted in flight already.
    pub(crate) async fn fail(&self, event: Event, error: Error) {
        let error = error.at(&self.station.name);
        let Some((last, others)) = self.errors.split_last() else {
            event.fail_receipt(&error);
            return self.log.failure(&self.station.name, &event, &error);
        };
        let event = event.with_error(error);
        let mut entered = self.account(self.errors.len());
        for route in others {
            self.send_error(route, event.clone(), &mut entered).await;
        }
        self.send_error(last, event, &mut entered).await;
    }

    async fn send_error(&self, route: &Route, event: Event, entered: &mut Entered<'_>) {
        let mut batch = Batch::from(event);
        batch.set_inbox(route.inbox);
        let sent = match route.to.policy.overflow {
            Overflow::Wait => route.to.inbox.send(&mut batch).await,
            Overflow::Shed | Overflow::Drop => route.to.inbox.push(&mut batch),
        };
        if sent == Sent::All {
            add(&route.total, 1);
            entered.arrived(1);
        } else {
            // An error that finds no room is dropped: it must not fail again.
            self.drop_rest(route, &mut batch, sent, entered);
        }
    }

    /// Sends one event to all routes or to none; the copies are counted in flight already.
    pub(crate) fn offer(&self, routes: &[Route], event: Event) -> Result<()> {
        // Counted before anybody can see it.
        add(&self.station.counters.sent, routes.len() as u64);
        if let [route] = routes {
            if let Some(mut line) = borrow_line(route) {
                self.run_one(route, &mut line, event);
                line.push_outgoing();
                return Ok(());
            }
            return self.put(route, event).map_err(|event| self.refuse(route, 1, &event));
        }
        for (number, route) in routes.iter().enumerate() {
            if !route.to.inbox.reserve() {
                routes[..number].iter().for_each(|route| route.to.inbox.release());
                return Err(self.refuse(route, routes.len(), &event));
            }
        }
        let now = Moment::now();
        for route in routes {
            let mut copy = event.clone();
            copy.set_inbox(route.inbox);
            copy.stamp(now);
            route.to.inbox.push_reserved(copy);
            add(&route.total, 1);
        }
        Ok(())
    }

    #[cold]
    fn refuse(&self, route: &Route, copies: usize, event: &Event) -> Error {
        self.station.counters.sent.fetch_sub(copies as u64, Ordering::Release);
        self.progress.change(-signed(copies));
        let error = route.to.overloaded();
        event.fail_receipt(&error);
        error
    }
}

/// Borrows the receiver's line, where it can be had.
fn borrow_line(route: &Route) -> Option<Borrowed<'_>> {
    if route.to.lends { route.to.inbox.borrow_line() } else { None }
}

/// Borrows the lines of all receivers, where there are some and all can be had.
fn borrow_lines(routes: &[Route]) -> Option<Vec<Borrowed<'_>>> {
    if routes.is_empty() { None } else { routes.iter().map(borrow_line).collect() }
}

/// Events that are counted in flight before it is known how many there are. The count is put right when this is dropped,
/// which must be before their ends are written.
struct Chunk<'a> {
    inner: &'a Inner,
    routes: &'a [Route],
    used: usize,
}

impl<'a> Chunk<'a> {
    fn enter(inner: &'a Inner, routes: &'a [Route]) -> Result<Self> {
        inner.progress.enter(CHUNK * routes.len())?;
        Ok(Self { inner, routes, used: 0 })
    }
}

impl Drop for Chunk<'_> {
    fn drop(&mut self) {
        let copies = self.used * self.routes.len();
        add(&self.inner.station.counters.sent, copies as u64);
        for route in self.routes {
            add(&route.total, self.used as u64);
        }
        self.inner.progress.change(signed(copies) - signed(CHUNK * self.routes.len()));
    }
}

/// Copies that have entered the flow and are not in an inbox yet. A source may give up in the middle of a send, as at a
/// time-out: what did not arrive then is dropped, and counted so.
struct Entered<'a> {
    inner: &'a Inner,
    left: usize,
}

impl Entered<'_> {
    fn arrived(&mut self, count: usize) {
        self.left -= count;
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        if self.left > 0 {
            add(&self.inner.station.counters.dropped, self.left as u64);
            self.inner.progress.change(-signed(self.left));
        }
    }
}

impl fmt::Debug for Emitter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Emitter").field(&self.0.station.name).finish()
    }
}
