//! How a line is put together, when its flow starts.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::batch::Batch;
use crate::format::Format;
use crate::line::{Exit, Hop, Line, Member, Parcel};
use crate::node::Handle;
use crate::outbox::Outbox;
use crate::policy::Overflow;
use crate::station::Station;

impl Line {
    /// Adds a member, and returns its number. Its exits follow.
    pub(crate) fn add_member(&mut self, station: Arc<Station>, handler: Option<Arc<dyn Handle>>) -> usize {
        let ports = &station.ports;
        self.members.push(Member {
            handler,
            outbox: Outbox::new(ports.clone()),
            takes_any: ports.inboxes.iter().all(|port| port.format == Format::ANY),
            is_straight: false,
            straight_inbox: 0,
            straight_sent: 0,
            delivered: 0,
            failed: 0,
            exits: vec![Vec::new(); ports.outboxes.len()],
            errors: Vec::new(),
            station,
        });
        self.members.len() - 1
    }

    /// Looks for straight ways, once all exits are known.
    pub(crate) fn straighten(&mut self) {
        self.ways = HashMap::new();
        for (number, member) in self.members.iter_mut().enumerate() {
            if let Some([Exit { hop: Hop::Member(next), inbox, .. }]) = member.exits.first().map(Vec::as_slice) {
                member.is_straight = *next == number + 1;
                member.straight_inbox = *inbox;
            }
        }
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
        self.add_exit(from, outbox, Exit { hop: Hop::Member(to), inbox, sent: 0, total });
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
        let number = self.parcel_to(to, from, outbox.is_none());
        self.add_exit(from, outbox, Exit { hop: Hop::Parcel(number), inbox, sent: 0, total });
    }

    /// Returns the parcel to `to`. There is one for all that may share it: so events come in the order in which they were
    /// sent, whatever outbox they left from. Who sent them matters only where they can be refused.
    fn parcel_to(&mut self, to: Arc<Station>, from: usize, is_error: bool) -> usize {
        let sender = (to.policy.overflow != Overflow::Wait).then_some((from, is_error));
        let next = self.parcels.len();
        let number = *self.ways.entry((Arc::as_ptr(&to).addr(), sender)).or_insert(next);
        if number == next {
            self.parcels.push(Parcel { to, batch: Batch::default(), from, is_error });
        }
        number
    }

    fn add_exit(&mut self, from: usize, outbox: Option<usize>, exit: Exit) {
        let member = &mut self.members[from];
        match outbox {
            Some(outbox) => member.exits[outbox].push(exit),
            None => member.errors.push(exit),
        }
    }
}
