//! One task's part of a flow: an actor, the light actors that run within its task, and the batches on their way out.
//!
//! Delivery is here: fan-out, error routes, overflow, and the accounts of each event. Knows nothing of what a handler
//! does, nor when it is called.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::batch::Batch;
use crate::error::Error;
use crate::event::Event;
use crate::inbox::Sent;
use crate::log::Log;
use crate::moment::Moment;
use crate::node::Handle;
use crate::outbox::{Outbox, Pushed};
use crate::policy::Overflow;
use crate::progress::Progress;
use crate::station::{Station, add};

/// How many events may wait on their way out before the task must send them, even in the middle of a batch.
const OUTGOING: usize = 1024;

/// One task's part of a flow.
#[allow(missing_debug_implementations, reason = "it never leaves the engine")]
pub struct Line {
    /// The first is the actor whose inbox the task empties; the others are light and run within the task.
    members: Vec<Member>,
    parcels: Vec<Parcel>,
    /// The parcels that hold events, in the order in which they must leave.
    outgoing: Vec<usize>,
    waiting: usize,
    /// What has begun less what has ended, since the accounts were last written.
    difference: i64,
    now: Moment,
    progress: Arc<Progress>,
    log: Arc<Log>,
}

struct Member {
    station: Arc<Station>,
    handler: Option<Arc<dyn Handle>>,
    outbox: Outbox,
    exits: Vec<Vec<Exit>>,
    errors: Vec<Exit>,
    tally: Tally,
}

/// What a member did since the accounts were last written.
#[derive(Default)]
struct Tally {
    sent: u64,
    received: u64,
    delivered: u64,
    failed: u64,
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

/// Events on their way from one member to another task.
struct Parcel {
    to: Arc<Station>,
    batch: Batch,
    from: usize,
    is_error: bool,
}

impl Line {
    pub(crate) fn new(progress: Arc<Progress>, log: Arc<Log>) -> Self {
        Self {
            members: Vec::new(),
            parcels: Vec::new(),
            outgoing: Vec::new(),
            waiting: 0,
            difference: 0,
            now: Moment::now(),
            progress,
            log,
        }
    }

    /// Adds a member, and returns its number. Its exits follow.
    pub(crate) fn add_member(
        &mut self,
        station: Arc<Station>,
        handler: Option<Arc<dyn Handle>>,
    ) -> usize {
        let outbox = Outbox::new(station.ports.clone());
        let exits = vec![Vec::new(); station.ports.outboxes.len()];
        self.members.push(Member {
            station,
            handler,
            outbox,
            exits,
            errors: Vec::new(),
            tally: Tally::default(),
        });
        self.members.len() - 1
    }

    /// Adds an exit that leads to a member of this line. `outbox` is none for the error route.
    pub(crate) fn exit_within(
        &mut self,
        from: usize,
        outbox: Option<usize>,
        to: usize,
        inbox: u16,
        total: Arc<AtomicU64>,
    ) {
        self.add_exit(
            from,
            outbox,
            Exit {
                hop: Hop::Member(to),
                inbox,
                sent: 0,
                total,
            },
        );
    }

    /// Adds an exit that leads to another task. `outbox` is none for the error route.
    pub(crate) fn exit_to(
        &mut self,
        from: usize,
        outbox: Option<usize>,
        to: Arc<Station>,
        inbox: u16,
        total: Arc<AtomicU64>,
    ) {
        self.parcels.push(Parcel {
            to,
            batch: Batch::default(),
            from,
            is_error: outbox.is_none(),
        });
        let hop = Hop::Parcel(self.parcels.len() - 1);
        self.add_exit(
            from,
            outbox,
            Exit {
                hop,
                inbox,
                sent: 0,
                total,
            },
        );
    }

    fn add_exit(&mut self, from: usize, outbox: Option<usize>, exit: Exit) {
        let member = &mut self.members[from];
        match outbox {
            Some(outbox) => member.exits[outbox].push(exit),
            None => member.errors.push(exit),
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

    /// Notes that the head took `count` events.
    pub(crate) fn received(&mut self, count: usize) {
        self.members[0].tally.received += count as u64;
    }

    /// Notes that the head gave `count` of the events that it took back.
    pub(crate) fn gave_back(&mut self, count: usize) {
        self.members[0].tally.received -= count as u64;
    }

    /// Says why the member must not handle the event, where there is a reason.
    #[inline]
    pub(crate) fn refusal(&self, member: usize, event: &Event) -> Option<Error> {
        let station = &self.members[member].station;
        let port = station.ports.inboxes.get(usize::from(event.inbox()))?;
        let format = event.payload().format();
        // What travels an error route carries whatever payload failed.
        if !port.format.intersects(format) && event.error().is_none() {
            let expected = port.format;
            let message = format!(
                "expected {expected} in inbox `{}`, found {format}",
                port.name
            );
            return Some(Error::unsupported(message));
        }
        match event.expiry() {
            Some(expiry) if expiry < self.now && self.is_perishable(station, event) => Some(
                Error::timeout("the event's deadline passed before it was handled"),
            ),
            _ => None,
        }
    }

    /// An error that tells of a late event must arrive, and an endpoint decides itself what is late.
    fn is_perishable(&self, station: &Station, event: &Event) -> bool {
        event.error().is_none() && station.ports.role != crate::ports::Role::Endpoint
    }

    /// Runs an event through the light actor `at`, and on through those behind it within this task.
    pub(crate) fn run(&mut self, mut at: usize, event: Event) {
        let mut event = event;
        // A chain is a loop: where one event comes out of one outbox that leads to one member, it stays where it is.
        loop {
            if let Some(error) = self.refusal(at, &event) {
                return self.fail(at, event, error);
            }
            let member = &mut self.members[at];
            member.outbox.begin(&event);
            let handler = member
                .handler
                .as_ref()
                .expect("every member but the head of an actor's line is light");
            let outcome = handler.handle(&event, &mut member.outbox);
            if let Err(error) = member.outbox.check(outcome) {
                member.outbox.clear();
                return self.fail(at, event, error);
            }
            member.tally.delivered += 1;
            self.difference -= 1;
            let Some(Pushed {
                outbox,
                event: derived,
            }) = member.outbox.take_only()
            else {
                let mut pushed = member.outbox.take_all();
                self.dispatch(at, event, &mut pushed);
                return self.members[at].outbox.put_back(pushed);
            };
            if let Some(mut derived) = derived {
                derived.stamp(self.now);
                event = derived;
            }
            match member.exits[usize::from(outbox)].as_mut_slice() {
                [] => return,
                [
                    Exit {
                        hop: Hop::Member(next),
                        inbox,
                        sent,
                        ..
                    },
                ] => {
                    *sent += 1;
                    member.tally.sent += 1;
                    self.difference += 1;
                    event.set_inbox(*inbox);
                    at = *next;
                    self.members[at].tally.received += 1;
                }
                _ => return self.fan_out(at, Some(usize::from(outbox)), event),
            }
        }
    }

    /// Settles an event that the head's handler, run outside of the line, returned `Ok` for.
    pub(crate) fn deliver(&mut self, event: Event, outbox: &mut Outbox) {
        self.members[0].tally.delivered += 1;
        self.difference -= 1;
        let mut pushed = outbox.take_all();
        self.dispatch(0, event, &mut pushed);
        outbox.put_back(pushed);
    }

    /// Settles an event that a member failed to handle: it goes the member's error route with the error attached.
    #[cold]
    pub(crate) fn fail(&mut self, at: usize, event: Event, error: Error) {
        let member = &mut self.members[at];
        member.tally.failed += 1;
        self.difference -= 1;
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
        for (
            number,
            Pushed {
                outbox,
                event: derived,
            },
        ) in pushed.drain(..).enumerate()
        {
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
        let count = self.exits(at, outbox).len();
        let Some(last) = count.checked_sub(1) else {
            return;
        };
        self.members[at].tally.sent += count as u64;
        self.difference += count as i64;
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
            Hop::Member(next) => {
                self.members[next].tally.received += 1;
                self.run(next, event);
            }
            Hop::Parcel(number) => {
                let parcel = &mut self.parcels[number];
                if parcel.batch.is_empty() {
                    self.outgoing.push(number);
                }
                parcel.batch.push(event);
                self.waiting += 1;
            }
        }
    }

    fn exits(&mut self, at: usize, outbox: Option<usize>) -> &mut Vec<Exit> {
        let member = &mut self.members[at];
        match outbox {
            Some(outbox) => &mut member.exits[outbox],
            None => &mut member.errors,
        }
    }

    /// Writes the accounts, and sends what is on its way out.
    ///
    /// What has begun is counted before anybody can see it, what has ended after: so the flow never looks drained while
    /// it is not.
    pub(crate) async fn flush(&mut self) {
        self.write_accounts();
        while !self.outgoing.is_empty() {
            let outgoing = std::mem::take(&mut self.outgoing);
            for &number in &outgoing {
                self.waiting -= self.parcels[number].batch.len();
                self.hand_over(number).await;
            }
            if self.outgoing.is_empty() {
                // Keeps the room for the next time.
                self.outgoing = outgoing;
                self.outgoing.clear();
            }
            self.write_accounts();
        }
    }

    async fn hand_over(&mut self, number: usize) {
        let parcel = &mut self.parcels[number];
        let mut sent = parcel.to.inbox.push(&mut parcel.batch);
        if sent == Sent::Full && parcel.to.policy.overflow == Overflow::Wait {
            let began = Moment::now();
            sent = parcel.to.inbox.send(&mut parcel.batch).await;
            self.now = Moment::now();
            add(
                &self.members[0].station.counters.waiting,
                self.now.nanoseconds_since(began),
            );
        }
        if sent != Sent::All {
            self.refused(number, sent);
        }
    }

    /// Settles what is left in a parcel that found no room.
    #[cold]
    fn refused(&mut self, number: usize, sent: Sent) {
        let parcel = &mut self.parcels[number];
        let (to, from, is_error) = (parcel.to.clone(), parcel.from, parcel.is_error);
        let mut left = std::mem::take(&mut parcel.batch);
        let error = match sent {
            Sent::Closed => Error::cancelled(format!("`{}` has stopped", to.name)),
            Sent::Full | Sent::All => to.overloaded(),
        };
        // An error that finds no room is dropped: it must not fail again.
        let shed = sent == Sent::Full && to.policy.overflow == Overflow::Shed && !is_error;
        let account = if shed {
            &to.counters.shed
        } else {
            &to.counters.dropped
        };
        add(account, left.len() as u64);
        while let Some(event) = left.pop() {
            self.difference -= 1;
            if shed {
                self.send_error(from, event, error.clone());
            } else {
                event.fail_receipt(&error);
            }
        }
    }

    /// Writes what was counted since the last time to the actors' accounts: the beginning of an event before its end.
    fn write_accounts(&mut self) {
        self.progress.change(std::mem::take(&mut self.difference));
        for member in &mut self.members {
            let tally = std::mem::take(&mut member.tally);
            let counters = &member.station.counters;
            add(&counters.sent, tally.sent);
            add(&counters.received, tally.received);
            if tally.sent > 0 {
                for exit in member.exits.iter_mut().flatten().chain(&mut member.errors) {
                    add(&exit.total, std::mem::take(&mut exit.sent));
                }
            }
            add(&counters.delivered, tally.delivered);
            add(&counters.failed, tally.failed);
        }
    }

    /// Notes how long the handlers of this line were busy, shared out by how many events each handled.
    pub(crate) fn busy(&mut self, nanoseconds: u64) {
        if let [head] = self.members.as_slice() {
            return add(&head.station.counters.busy, nanoseconds);
        }
        let handled = |member: &Member| member.tally.delivered + member.tally.failed;
        let all: u64 = self.members.iter().map(handled).sum();
        for member in &self.members {
            let share = nanoseconds
                .saturating_mul(handled(member))
                .checked_div(all)
                .unwrap_or_default();
            add(&member.station.counters.busy, share);
        }
    }
}
