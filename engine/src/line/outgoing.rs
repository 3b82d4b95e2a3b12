//! How what a line brought forth leaves its task, and how it is accounted for.

use crate::inbox::Sent;
use crate::line::{Line, Member};
use crate::moment::Moment;
use crate::policy::Overflow;
use crate::station::add;

impl Line {
    /// Writes the accounts, and sends what is on its way out.
    ///
    /// What has begun is counted before anybody can see it, what has ended after: so the flow never looks drained while
    /// it is not.
    ///
    /// It can be given up while it waits: what has not left then is still on its way out.
    pub(crate) async fn flush(&mut self) {
        self.push_outgoing();
        while let Some(&number) = self.outgoing.front() {
            let parcel = &mut self.parcels[number];
            let began = Moment::now();
            let before = parcel.batch.len();
            self.is_torn = true;
            let sent = parcel.to.inbox.send(&mut parcel.batch).await;
            self.is_torn = false;
            self.now = Moment::now();
            self.waiting -= before - self.parcels[number].batch.len();
            add(&self.members[0].station.counters.waiting, self.now.nanoseconds_since(began));
            if sent == Sent::Closed {
                self.refused(number, sent);
            }
            self.outgoing.pop_front();
            self.push_outgoing();
        }
    }

    /// Writes the accounts, and sends what leaves without a wait. What must wait is still on its way out.
    pub(crate) fn push_outgoing(&mut self) {
        self.write_accounts();
        if std::mem::take(&mut self.is_torn) {
            self.waiting = self.outgoing.iter().map(|&number| self.parcels[number].batch.len()).sum();
        }
        while let Some(&number) = self.outgoing.front() {
            let parcel = &mut self.parcels[number];
            let before = parcel.batch.len();
            let sent = parcel.to.inbox.push(&mut parcel.batch);
            self.waiting -= before - parcel.batch.len();
            if sent == Sent::Full && parcel.to.policy.overflow == Overflow::Wait {
                return;
            }
            if sent != Sent::All {
                self.refused(number, sent);
                // What was refused may have begun errors on their way.
                self.write_accounts();
            }
            self.outgoing.pop_front();
        }
    }

    /// Settles what is left in a parcel that found no room.
    #[cold]
    fn refused(&mut self, number: usize, sent: Sent) {
        let parcel = &mut self.parcels[number];
        let (to, from, is_error) = (parcel.to.clone(), parcel.from, parcel.is_error);
        let mut left = std::mem::take(&mut parcel.batch);
        self.waiting -= left.len();
        let error = to.refusal(sent);
        // An error that finds no room is dropped: it must not fail again.
        let shed = sent == Sent::Full && to.policy.overflow == Overflow::Shed && !is_error;
        let account = if shed { &to.counters.shed } else { &to.counters.dropped };
        add(account, left.len() as u64);
        while let Some(event) = left.pop() {
            self.refused += 1;
            if shed {
                self.send_error(from, event, error.clone());
            } else {
                event.fail_receipt(&error);
            }
        }
    }

    /// Writes what was counted since the last time to the actors' accounts: the beginning of an event before its end.
    fn write_accounts(&mut self) {
        let refused = std::mem::take(&mut self.refused);
        let (mut begun, mut ended) = (0, refused);
        for (number, member) in self.members.iter_mut().enumerate() {
            let (delivered, failed) = (std::mem::take(&mut member.delivered), std::mem::take(&mut member.failed));
            let received = if number == 0 { std::mem::take(&mut self.received) } else { delivered + failed };
            if received + delivered + failed + refused == 0 {
                // An actor sends only when it handles, or has something refused.
                continue;
            }
            if member.is_straight {
                member.exits[0][0].sent += std::mem::take(&mut member.straight_sent);
            }
            let counters = &member.station.counters;
            let mut sent = 0;
            for exit in member.exits.iter_mut().flatten().chain(&mut member.errors) {
                sent += exit.sent;
                add(&exit.total, std::mem::take(&mut exit.sent));
            }
            add(&counters.sent, sent);
            add(&counters.received, received);
            add(&counters.delivered, delivered);
            add(&counters.failed, failed);
            begun += sent;
            ended += delivered + failed;
        }
        self.progress.change(begun.cast_signed() - ended.cast_signed());
    }

    /// Notes how long the handlers of this line were busy, shared out by how many events each handled. Call it before the
    /// accounts are written.
    pub(crate) fn busy(&mut self, nanoseconds: u64) {
        if let [head] = self.members.as_slice() {
            return add(&head.station.counters.busy, nanoseconds);
        }
        let handled = |member: &Member| member.delivered + member.failed;
        let all: u64 = self.members.iter().map(handled).sum();
        for member in &self.members {
            let share = nanoseconds.saturating_mul(handled(member)).checked_div(all).unwrap_or_default();
            add(&member.station.counters.busy, share);
        }
    }
}
