//! One task's part of a flow: an actor, the light actors that run within its task, and the batches on their way out.
//!
//! Delivery is here: fan-out, error routes, overflow, and the accounts of each event. Knows nothing of what a handler
//! does, nor when it is called.

mod assembly;
mod outgoing;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::time::Instant;

use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::log::Log;
use crate::moment::Moment;
use crate::node::Handle;
use crate::outbox::{Outbox, Pushed};
use crate::ports::Role;
use crate::progress::Progress;
use crate::station::Station;

/// How many events may wait on their way out before the task must send them, even in the middle of a batch.
const OUTGOING: usize = 1024;

/// One in so many of the events that a source runs through a line itself is timed, and stands for the others: the clock costs
/// more than many a handler.
const SAMPLE: u64 = 64;

/// One task's part of a flow.
pub struct Line {
    /// The first is the actor whose inbox the task empties; the others are light and run within the task.
    members: Vec<Member>,
    parcels: Vec<Parcel>,
    /// The number of each parcel, by its receiver's address and, where that one may refuse events, their sender. Empty
    /// once all exits are known.
    ways: HashMap<(usize, Option<(usize, bool)>), usize>,
    /// The parcels that hold events, in the order in which they must leave.
    outgoing: VecDeque<usize>,
    waiting: usize,
    /// Whether a wait was given up that may have sent a part of what was on its way out, uncounted.
    is_torn: bool,
    /// How many events the head took since the accounts were last written; the others handle at once what they take.
    received: u64,
    /// How many events sources ran through the line themselves.
    taken_in: u64,
    /// How many events ended without a handler since the accounts were last written.
    refused: u64,
    now: Moment,
    progress: Arc<Progress>,
    log: Arc<Log>,
}

struct Member {
    handler: Option<Arc<dyn Handle>>,
    outbox: Outbox,
    /// Whether events of every format may be handled here.
    takes_any: bool,
    /// Whether the default outbox leads to the next member and nowhere else. Then the way there needs no look-up, and the
    /// processor need not wait for memory to know it.
    is_straight: bool,
    straight_inbox: u16,
    straight_sent: u64,
    delivered: u64,
    failed: u64,
    exits: Vec<Vec<Exit>>,
    errors: Vec<Exit>,
    station: Arc<Station>,
}

/// Where a connection leads from here.
#[derive(Clone)]
pub(crate) struct Exit {
    hop: Hop,
    inbox: u16,
    sent: u64,
    total: Arc<AtomicU64>,
}

#[derive(Clone, Copy)]
enum Hop {
    /// A light actor within this task: a hop is a call.
    Member(usize),
    /// Another task.
    Parcel(usize),
}

/// Events on their way to another task.
struct Parcel {
    to: Arc<Station>,
    batch: Batch,
    /// Which member sent them, and whether on its error route; the first one of several where the receiver never refuses.
    from: usize,
    is_error: bool,
}

impl Line {
    pub(crate) fn new(progress: Arc<Progress>, log: Arc<Log>) -> Self {
        Self {
            members: Vec::new(),
            parcels: Vec::new(),
            ways: HashMap::new(),
            outgoing: VecDeque::new(),
            waiting: 0,
            is_torn: false,
            received: 0,
            taken_in: 0,
            refused: 0,
            now: Moment::now(),
            progress,
            log,
        }
    }

    /// Returns the station of the actor whose inbox the task empties.
    pub(crate) fn head(&self) -> &Arc<Station> {
        &self.members[0].station
    }

    /// Hands out the head's outbox, for a handler that runs outside of the line.
    pub(crate) fn new_outbox(&self) -> Outbox {
        Outbox::new(self.head().ports.clone())
    }

    pub(crate) fn now(&self) -> Moment {
        self.now
    }

    pub(crate) fn set_now(&mut self, now: Moment) {
        self.now = now;
    }

    /// Says whether so much is on its way out that it must leave before more is handled.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting >= OUTGOING
    }

    pub(crate) fn has_outgoing(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Says whether something waits on its way out, or accounts are not written: as where a borrower gave up or panicked.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.has_outgoing() || self.received > 0
    }

    /// Notes that the head took `count` events.
    pub(crate) fn received(&mut self, count: usize) {
        self.received += count as u64;
    }

    /// Notes that the head gave `count` of the events that it took back.
    pub(crate) fn gave_back(&mut self, count: usize) {
        self.received -= count as u64;
    }

    /// Runs an event of a source through the line. Its head must be light.
    pub(crate) fn take_in(&mut self, event: Event) {
        self.received += 1;
        self.taken_in += 1;
        if !self.taken_in.is_multiple_of(SAMPLE) {
            return self.run(0, event);
        }
        let began = Moment::now();
        self.run(0, event);
        self.busy(Moment::now().nanoseconds_since(began) * SAMPLE);
    }

    /// Says why the member must not handle the event, where there is a reason.
    #[inline]
    pub(crate) fn refusal(&self, member: usize, event: &Event) -> Option<Error> {
        if self.members[member].takes_any && event.expiry().is_none() { None } else { self.find_refusal(member, event) }
    }

    fn find_refusal(&self, member: usize, event: &Event) -> Option<Error> {
        let ports = &self.members[member].station.ports;
        if event.error().is_some() {
            // What travels an error route carries whatever payload failed, and must arrive however late.
            return None;
        }
        let port = ports.inboxes.get(usize::from(event.inbox()))?;
        let format = event.payload().format();
        if !port.format.intersects(format) {
            let message = format!("expected {} in inbox `{}`, found {format}", port.format, port.name);
            return Some(Error::unsupported(message));
        }
        // An endpoint decides itself what is late.
        let is_late = event.expiry().is_some_and(|expiry| expiry < self.now) && ports.role != Role::Endpoint;
        is_late.then(|| Error::timeout("the event's deadline passed before it was handled"))
    }

    /// Returns until when the head may handle the event, as far as that is the event's own affair: an error that tells of a
    /// late event must arrive, and an endpoint decides itself what is late.
    pub(crate) fn expiry(&self, event: &Event) -> Option<Instant> {
        let is_free = event.error().is_some() || self.head().ports.role == Role::Endpoint;
        if is_free { None } else { event.deadline() }
    }

    /// Runs a batch through the light head, until it is empty or so much is on its way out that it must leave first.
    ///
    /// What the head passes on as it came, by the one connection of its default outbox to another task, stays where it lies
    /// in the batch. Where that is all of it, the batch itself goes on, and no event is moved at all.
    pub(crate) fn run_batch(&mut self, batch: &mut Batch) {
        let Some((number, inbox)) = self.way_out() else {
            while !self.is_full()
                && let Some(event) = batch.pop()
            {
                self.run(0, event);
            }
            return;
        };
        let mut passed = 0;
        while let Some(event) = batch.get_mut(passed) {
            let outcome = self.call(0, event);
            let head = &mut self.members[0];
            if outcome.is_ok() && head.outbox.take_if_forwarded(0) {
                head.delivered += 1;
                event.set_inbox(inbox);
                passed += 1;
                continue;
            }
            self.pass_on(number, batch, std::mem::take(&mut passed));
            if let Some(event) = batch.pop() {
                self.settle(0, event, outcome);
            }
            if self.is_full() {
                return;
            }
        }
        self.pass_on(number, batch, passed);
    }

    /// Returns the parcel and the inbox of the head's default outbox, where that leads to one other task and nowhere else.
    fn way_out(&self) -> Option<(usize, u16)> {
        match self.members[0].exits.first().map(Vec::as_slice) {
            Some([Exit { hop: Hop::Parcel(number), inbox, .. }]) => Some((*number, *inbox)),
            _ => None,
        }
    }

    fn pass_on(&mut self, number: usize, batch: &mut Batch, count: usize) {
        if count == 0 {
            return;
        }
        self.members[0].exits[0][0].sent += count as u64;
        let parcel = &mut self.parcels[number];
        if parcel.batch.is_empty() {
            self.outgoing.push_back(number);
        }
        parcel.batch.take_from(batch, count);
        self.waiting += count;
    }

    /// Runs an event through the light actor `at`, and on through those behind it within this task.
    pub(crate) fn run(&mut self, at: usize, event: Event) {
        let outcome = self.call(at, &event);
        self.settle(at, event, outcome);
    }

    /// Calls the handler of the light actor `at`, if the event is one that it may handle.
    #[inline]
    fn call(&mut self, at: usize, event: &Event) -> Result<()> {
        if let Some(error) = self.refusal(at, event) {
            return Err(error);
        }
        let member = &mut self.members[at];
        member.outbox.begin(event);
        let handler = member.handler.as_ref().expect("every member but the head of an actor's line is light");
        let outcome = handler.handle(event, &mut member.outbox);
        member.outbox.check(outcome)
    }

    /// Settles an event that the light actor `at` has handled, and runs what it pushed on through those behind it.
    #[inline]
    fn settle(&mut self, mut at: usize, mut event: Event, mut outcome: Result<()>) {
        // A chain is a loop: where one event comes out of one outbox that leads to one member, it stays where it is.
        loop {
            let member = &mut self.members[at];
            if let Err(error) = outcome {
                member.outbox.clear();
                return self.fail(at, event, error);
            }
            member.delivered += 1;
            let outbox = if let Some(outbox) = member.outbox.take_forwarded() {
                outbox
            } else if let Some((outbox, derived)) = member.outbox.take_only() {
                event = derived;
                event.stamp(self.now);
                outbox
            } else if member.outbox.is_empty() {
                return;
            } else {
                let mut pushed = member.outbox.take_all();
                self.dispatch(at, event, &mut pushed);
                return self.members[at].outbox.put_back(pushed);
            };
            if member.is_straight && outbox == 0 {
                member.straight_sent += 1;
                event.set_inbox(member.straight_inbox);
                at += 1;
            } else {
                match member.exits[usize::from(outbox)].as_mut_slice() {
                    [Exit { hop: Hop::Member(next), inbox, sent, .. }] => {
                        *sent += 1;
                        event.set_inbox(*inbox);
                        at = *next;
                    }
                    [Exit { hop: Hop::Parcel(number), inbox, sent, .. }] => {
                        *sent += 1;
                        event.set_inbox(*inbox);
                        let number = *number;
                        return self.put(number, event);
                    }
                    _ => return self.fan_out(at, Some(usize::from(outbox)), event),
                }
            }
            outcome = self.call(at, &event);
        }
    }

    /// Settles an event that the head's handler, run outside of the line, returned `Ok` for.
    pub(crate) fn deliver(&mut self, event: Event, outbox: &mut Outbox) {
        self.members[0].delivered += 1;
        if let Some(outbox) = outbox.take_forwarded() {
            return self.fan_out(0, Some(usize::from(outbox)), event);
        }
        let mut pushed = outbox.take_all();
        self.dispatch(0, event, &mut pushed);
        outbox.put_back(pushed);
    }

    /// Settles an event that a member failed to handle: it goes the member's error route with the error attached.
    #[cold]
    pub(crate) fn fail(&mut self, at: usize, event: Event, error: Error) {
        self.members[at].failed += 1;
        self.send_error(at, event, error);
    }

    fn send_error(&mut self, at: usize, event: Event, error: Error) {
        let member = &self.members[at];
        let error = error.at(&member.station.name);
        if member.errors.is_empty() {
            // Nobody took the failure in charge: the source must hear of it.
            event.fail_receipt(&error);
            self.log.failure(&member.station.name, &event, &error);
        } else {
            self.fan_out(at, None, event.with_error(error));
        }
    }

    /// Sends what a handler pushed, in its order. The event that was handled moves on where it is pushed last.
    fn dispatch(&mut self, at: usize, event: Event, pushed: &mut Vec<Pushed>) {
        let mut input = Some(event);
        let last = pushed.iter().rposition(|pushed| pushed.event.is_none());
        for (number, Pushed { outbox, event: derived }) in pushed.drain(..).enumerate() {
            let event = match derived {
                Some(mut derived) => {
                    derived.stamp(self.now);
                    derived
                }
                None if Some(number) == last => input.take().expect("the last use is one only"),
                None => input.clone().expect("the last use comes later"),
            };
            self.fan_out(at, Some(usize::from(outbox)), event);
        }
    }

    /// Sends one event to each exit of an outbox, or of the error route; the last gets the event, the others a copy.
    fn fan_out(&mut self, at: usize, outbox: Option<usize>, event: Event) {
        let Some(last) = self.exits(at, outbox).len().checked_sub(1) else { return };
        for number in 0..last {
            self.send_on(at, outbox, number, event.clone());
        }
        self.send_on(at, outbox, last, event);
    }

    #[inline]
    fn send_on(&mut self, at: usize, outbox: Option<usize>, number: usize, mut event: Event) {
        let exit = &mut self.exits(at, outbox)[number];
        exit.sent += 1;
        event.set_inbox(exit.inbox);
        match exit.hop {
            Hop::Member(next) => self.run(next, event),
            Hop::Parcel(number) => self.put(number, event),
        }
    }

    #[inline]
    fn put(&mut self, number: usize, event: Event) {
        let parcel = &mut self.parcels[number];
        if parcel.batch.is_empty() {
            self.outgoing.push_back(number);
        }
        parcel.batch.push(event);
        self.waiting += 1;
    }

    fn exits(&mut self, at: usize, outbox: Option<usize>) -> &mut Vec<Exit> {
        let member = &mut self.members[at];
        match outbox {
            Some(outbox) => &mut member.exits[outbox],
            None => &mut member.errors,
        }
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Line").field(&self.head().name).finish()
    }
}
