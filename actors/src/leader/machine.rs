//! The election, without a socket and without a clock: it is told what came and what time it is, and says what is to be sent.
//!
//! Who has the votes of a majority for a lease may lead until the lease ends. A vote binds the voter for the whole lease, counted
//! from when it was asked; the one who asks counts from when it sent what was answered, which is earlier, and gives up a twentieth
//! of the lease, which is more than two clocks may differ in their pace. Votes are not kept on disk: who starts votes for nobody
//! during one lease, when all that it may have voted for has ended.

use std::collections::VecDeque;
use std::time::Duration;

use super::datagram::{Instance, Message, What};

/// How many members are remembered; more than that on one network are no members.
pub(super) const MOST_PEERS: usize = 64;

/// How many of the messages that asked for votes can be answered, at most.
const MOST_ASKS: usize = 1024;

/// How far the wall clock of a message may be from that of this process, and its term ahead of it, in milliseconds: else one
/// datagram could end all elections for good, and those of members that are no more could be sent again for ever.
const FAR: u64 = 60 * 60 * 1000;

/// What all members have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// How many members there are; nothing where that is not known.
    pub(super) members: Option<u32>,
    pub(super) interval: Duration,
    pub(super) lease: Duration,
    pub(super) burn_in: Duration,
}

/// The present, by a clock that never goes back, and by the wall clock in milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) time: Duration,
    pub(super) wall: u64,
}

/// What a leader may do: pass events with this term until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) term: u64,
    pub(super) until: Duration,
}

#[derive(Debug)]
pub(super) struct Machine {
    rules: Rules,
    id: Instance,
    chance: fastrand::Rng,
    sequence: u64,
    /// The highest term that is known.
    seen: u64,
    /// The highest term in which this one has voted, and for whom.
    voted: (u64, Instance),
    /// Whom the vote binds to, and until when.
    bound: Option<(Instance, Duration)>,
    peers: Vec<Peer>,
    stage: Stage,
    /// When it asks for votes, where it follows.
    ask_at: Duration,
    /// When it says next that it is here.
    speak_at: Duration,
}

#[derive(Debug)]
struct Peer {
    id: Instance,
    sequence: u64,
    heard: Duration,
    votes: bool,
}

#[derive(Debug)]
enum Stage {
    Joining { until: Duration },
    Following,
    Asking(Bid),
    Leading(Bid, Lease),
    Gone,
}

/// The votes for this one.
#[derive(Debug)]
struct Bid {
    term: u64,
    ends: Duration,
    /// What asked: number, time and term.
    asks: VecDeque<(u64, Duration, u64)>,
    /// Who granted: when it was asked, and for which term.
    grants: Vec<(Instance, Duration, u64)>,
}

impl Machine {
    pub(super) fn new(rules: Rules, id: Instance, seed: u64, now: Now) -> Self {
        let until = now.time + rules.burn_in;
        Self {
            rules,
            id,
            chance: fastrand::Rng::with_seed(seed),
            sequence: 0,
            seen: 0,
            voted: (0, id),
            bound: None,
            peers: Vec::new(),
            stage: Stage::Joining { until },
            ask_at: until,
            speak_at: now.time,
        }
    }

    /// Returns the lease where this one leads. It may have ended: look at the clock.
    pub(super) fn lease(&self) -> Option<Lease> {
        match &self.stage {
            Stage::Leading(_, lease) => Some(*lease),
            _ => None,
        }
    }

    /// Returns when [`Machine::tick`] has something to do.
    pub(super) fn next(&self) -> Duration {
        let next = match &self.stage {
            Stage::Joining { until } => *until,
            Stage::Following => self.ask_at,
            Stage::Asking(bid) => bid.ends,
            Stage::Leading(_, lease) => lease.until,
            Stage::Gone => return Duration::MAX,
        };
        next.min(self.speak_at)
    }

    /// Says whether there are more members than there may be. Then two majorities need not meet, and none is had.
    pub(super) fn is_crowded(&self, time: Duration) -> bool {
        self.rules.members.is_some_and(|members| 1 + self.voters(time, self.rules.lease) > members)
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now: Now, out: &mut Vec<Message>) {
        match &self.stage {
            Stage::Joining { until } if now.time >= *until => {
                // Higher than any term that this one can have voted in before it started, unless the wall clocks of two members
                // differ by more than a lease.
                self.voted.0 = self.voted.0.max(now.wall);
                self.stage = Stage::Following;
                self.ask_at = now.time + self.chance(self.rules.interval);
            }
            Stage::Following if now.time >= self.ask_at => match self.bound {
                Some((_, until)) if until > now.time => self.ask_at = until + self.chance(self.rules.interval / 2),
                _ if self.is_crowded(now.time) => self.ask_at = now.time + self.rules.interval,
                _ => self.begin(now, out),
            },
            Stage::Asking(bid) if now.time >= bid.ends => {
                self.count(now);
                if matches!(self.stage, Stage::Asking(_)) {
                    self.give_up(now, out);
                }
            }
            Stage::Leading(_, lease) if now.time >= lease.until => self.give_up(now, out),
            _ => {}
        }
        if now.time >= self.speak_at {
            match self.stage {
                Stage::Leading(..) if !self.is_crowded(now.time) => self.ask(now, out),
                Stage::Gone => {}
                _ => self.say(What::Here, self.seen, now, out),
            }
        }
    }

    /// Takes in what came; false where it is not believed. `now` is after it came.
    pub(super) fn receive(&mut self, message: &Message, now: Now, out: &mut Vec<Message>) -> bool {
        if message.from == self.id || matches!(self.stage, Stage::Gone) {
            return true;
        }
        let is_far = message.wall.abs_diff(now.wall) > FAR || message.term > now.wall.saturating_add(FAR);
        if is_far || !self.note(message, now.time) {
            return false;
        }
        self.seen = self.seen.max(message.term);
        if self.lease().is_some_and(|lease| now.time >= lease.until) {
            self.give_up(now, out);
        }
        match message.what {
            What::Here => {}
            What::Ask => self.asked(message, now, out),
            What::Grant { to, echo } if to == self.id => self.granted(message.from, echo, now),
            What::Deny { to } if to == self.id => self.denied(message.term, now, out),
            What::Grant { .. } | What::Deny { .. } => {}
            What::Release | What::Leave => {
                if let Some(peer) = self.peers.iter_mut().find(|peer| peer.id == message.from) {
                    // Not forgotten: what it said before may still come.
                    peer.votes &= matches!(message.what, What::Release);
                }
                if self.bound.is_some_and(|(to, _)| to == message.from) {
                    self.bound = None;
                    self.ask_at = now.time + self.chance(self.rules.interval / 8);
                }
            }
        }
        true
    }

    /// Gives the lease back and says good-bye.
    pub(super) fn leave(&mut self, now: Now, out: &mut Vec<Message>) {
        self.stage = Stage::Gone;
        self.say(What::Leave, self.seen, now, out);
    }

    /// Remembers who said something; false where it was said already, or there are too many.
    fn note(&mut self, message: &Message, time: Duration) -> bool {
        let votes = !message.joins;
        if let Some(peer) = self.peers.iter_mut().find(|peer| peer.id == message.from) {
            let is_new = message.sequence > peer.sequence;
            if is_new {
                (peer.sequence, peer.heard, peer.votes) = (message.sequence, time, votes);
            }
            return is_new;
        }
        if self.peers.len() >= MOST_PEERS {
            let forgotten = self.rules.lease * 10;
            self.peers.retain(|peer| time.saturating_sub(peer.heard) < forgotten);
        }
        let has_room = self.peers.len() < MOST_PEERS;
        if has_room {
            self.peers.push(Peer { id: message.from, sequence: message.sequence, heard: time, votes });
        }
        has_room
    }

    /// Returns how many others were heard within a time.
    fn voters(&self, time: Duration, within: Duration) -> u32 {
        let heard = self.peers.iter().filter(|peer| peer.votes && time.saturating_sub(peer.heard) < within);
        u32::try_from(heard.count()).unwrap_or(u32::MAX)
    }

    /// Returns how many votes are a majority.
    fn majority(&self, time: Duration) -> usize {
        // Where the members are not known, those that are heard are all there are; who is silent is forgotten well before the
        // lease ends that needs its vote.
        let members = self.rules.members.unwrap_or_else(|| 1 + self.voters(time, self.rules.lease / 2));
        members as usize / 2 + 1
    }

    fn chance(&mut self, most: Duration) -> Duration {
        most.mul_f64(self.chance.f64())
    }

    fn say(&mut self, what: What, term: u64, now: Now, out: &mut Vec<Message>) {
        self.sequence += 1;
        self.speak_at = now.time + self.rules.interval;
        let (joins, leads) = (matches!(self.stage, Stage::Joining { .. }), matches!(self.stage, Stage::Leading(..)));
        out.push(Message { from: self.id, sequence: self.sequence, wall: now.wall, term, joins, leads, what });
    }

    /// Chooses a term higher than any that is known, and votes for itself in it.
    fn new_term(&mut self, now: Now) -> u64 {
        let term = now.wall.max(self.seen.max(self.voted.0).saturating_add(1));
        self.seen = term;
        self.voted = (term, self.id);
        term
    }

    fn begin(&mut self, now: Now, out: &mut Vec<Message>) {
        let term = self.new_term(now);
        // An answer may take longer than an interval that is short beside the lease.
        let window = (self.rules.interval / 2).max(self.rules.lease / 8);
        let ends = now.time + window + self.chance(window / 2);
        self.stage = Stage::Asking(Bid { term, ends, asks: VecDeque::new(), grants: Vec::new() });
        self.ask(now, out);
    }

    /// Asks all for their votes, or for more time.
    fn ask(&mut self, now: Now, out: &mut Vec<Message>) {
        let (sequence, lease) = (self.sequence + 1, self.rules.lease);
        let (Stage::Asking(bid) | Stage::Leading(bid, _)) = &mut self.stage else { return };
        let term = bid.term;
        // What was granted that long ago has ended.
        while bid.asks.front().is_some_and(|(_, asked, _)| *asked + lease < now.time) || bid.asks.len() >= MOST_ASKS {
            bid.asks.pop_front();
        }
        bid.asks.push_back((sequence, now.time, term));
        self.bound = Some((self.id, now.time + lease));
        self.say(What::Ask, term, now, out);
        self.count(now);
    }

    fn asked(&mut self, message: &Message, now: Now, out: &mut Vec<Message>) {
        let theirs = (message.term, message.from);
        match &self.stage {
            Stage::Joining { .. } | Stage::Gone => return,
            Stage::Following if message.leads => self.ask_at = self.ask_at.max(now.time + self.rules.lease / 2),
            Stage::Following => {}
            Stage::Asking(bid) if theirs > (bid.term, self.id) => self.give_up(now, out),
            // Only where the members are not known can another lead at the same time: both sides of a network that was cut.
            Stage::Leading(_, lease)
                if self.rules.members.is_none() && message.leads && theirs > (lease.term, self.id) =>
            {
                self.give_up(now, out);
            }
            Stage::Asking(_) | Stage::Leading(..) => return,
        }
        if self.bound.is_some_and(|(to, until)| to != message.from && until > now.time) || self.is_crowded(now.time) {
            return;
        }
        if theirs.0 < self.voted.0 || (theirs.0 == self.voted.0 && theirs.1 != self.voted.1) {
            return self.say(What::Deny { to: message.from }, self.voted.0, now, out);
        }
        self.voted = theirs;
        let until = now.time + self.rules.lease;
        self.bound = Some((message.from, until));
        self.ask_at = until + self.chance(self.rules.interval / 2);
        self.say(What::Grant { to: message.from, echo: message.sequence }, message.term, now, out);
    }

    fn granted(&mut self, from: Instance, echo: u64, now: Now) {
        let (Stage::Asking(bid) | Stage::Leading(bid, _)) = &mut self.stage else { return };
        let Ok(at) = bid.asks.binary_search_by_key(&echo, |(sequence, ..)| *sequence) else { return };
        let Some(&(_, asked, term)) = bid.asks.get(at) else { return };
        match bid.grants.iter_mut().find(|(voter, ..)| *voter == from) {
            Some(grant) => *grant = (from, grant.1.max(asked), grant.2.max(term)),
            None => bid.grants.push((from, asked, term)),
        }
        self.count(now);
    }

    /// A voter knows of a higher term. A leader goes on under one that is higher still; the lease that it has stays.
    fn denied(&mut self, term: u64, now: Now, out: &mut Vec<Message>) {
        match &self.stage {
            Stage::Asking(bid) if term >= bid.term => {
                self.give_up(now, out);
                self.ask_at = now.time + self.chance(self.rules.interval / 4);
            }
            Stage::Leading(bid, _) if term >= bid.term => {
                let term = self.new_term(now);
                if let Stage::Leading(bid, _) = &mut self.stage {
                    bid.term = term;
                }
                self.ask(now, out);
            }
            _ => {}
        }
    }

    /// Counts the votes: the lease lasts from the latest time since when a majority was asked and granted.
    fn count(&mut self, now: Now) {
        let (majority, lease) = (self.majority(now.time), self.rules.lease);
        let is_known = self.rules.members.is_some();
        let (Stage::Asking(bid) | Stage::Leading(bid, _)) = &mut self.stage else { return };
        let Some(&(_, own, _)) = bid.asks.back() else { return };
        let mut asked: Vec<Duration> = bid.grants.iter().map(|(_, asked, _)| *asked).chain([own]).collect();
        asked.sort_unstable_by(|one, other| other.cmp(one));
        let Some(since) = asked.get(majority - 1) else { return };
        let until = *since + lease - lease / 20;
        if until <= now.time {
            return;
        }
        let in_term = bid.grants.iter().filter(|(_, asked, term)| *term >= bid.term && *asked + lease > now.time);
        let holds_term = in_term.count() + 1 >= majority;
        match &mut self.stage {
            Stage::Leading(bid, lease) => {
                lease.until = lease.until.max(until);
                if holds_term {
                    lease.term = bid.term;
                }
            }
            // Where the members are not known, all that can be heard must have had the time to speak.
            Stage::Asking(bid) if is_known || now.time >= bid.ends => {
                let lease = Lease { term: bid.term, until };
                if let Stage::Asking(bid) = std::mem::replace(&mut self.stage, Stage::Following) {
                    self.stage = Stage::Leading(bid, lease);
                }
            }
            _ => {}
        }
    }

    /// Asks for nothing any more, so that others may have the votes.
    fn give_up(&mut self, now: Now, out: &mut Vec<Message>) {
        self.stage = Stage::Following;
        self.bound = self.bound.filter(|(to, _)| *to != self.id);
        self.ask_at = now.time + self.chance(self.rules.interval);
        self.say(What::Release, self.seen, now, out);
    }
}
