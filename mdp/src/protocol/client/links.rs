//! The links of a client: which there are, which of them is next, and brokers to which there is none.

use std::time::{Duration, Instant};

use playhouse_engine::{Error, EventId};

use super::{Client, ClientOutput, LinkId};

/// How long to wait before a broker is tried again that let nobody in, or to which no socket could be opened; it doubles
/// with each try.
const SHORTEST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(5);

/// A connection to a broker.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) broker: String,
    pub(super) is_up: bool,
    /// The socket took no more when it was last asked.
    pub(super) is_full: bool,
    /// How many requests wait for a reply over it.
    pub(super) under_way: usize,
    /// The one request of a plain link.
    pub(super) request: Option<EventId>,
}

/// Why there is no link to a broker.
#[derive(Debug)]
pub(super) struct Refusal {
    error: Error,
    /// When to try again.
    until: Instant,
    wait: Duration,
}

impl Client {
    /// The link cannot be, for this reason: the broker does not let us in, or no socket could be opened. It is tried anew
    /// after a while. Requests that no other broker can take end at once where the reason is one that stays.
    pub fn failed(&mut self, id: LinkId, error: Error, now: Instant, outputs: &mut Vec<ClientOutput>) {
        let Some(link) = self.links.get(&id) else { return };
        let broker = link.broker.clone();
        let wait = self.refusals.get(&broker).map_or(SHORTEST, |before| (before.wait * 2).min(LONGEST));
        self.refusals.insert(broker, Refusal { error, until: now + wait, wait });
        self.close(id, outputs);
        self.give_back(id, now, outputs);
        self.place(now, outputs);
    }

    /// Returns when a broker is to be tried again.
    pub(super) fn next_try(&self) -> Option<Instant> {
        let is_wanted = self.settings.envelope || !self.waiting.is_empty();
        let untried = self.refusals.iter().filter(|(broker, _)| !self.has_link(broker));
        untried.map(|(_, refusal)| refusal.until).min().filter(|_| is_wanted)
    }

    /// Returns why nothing can be sent for now and nobody need wait, where that is so: every broker said no, and for a
    /// reason that stays.
    pub(super) fn hopeless(&self, now: Instant) -> Option<Error> {
        let mut reason = None;
        for broker in &self.brokers {
            let refusal = self.refusals.get(broker).filter(|refusal| refusal.until > now && !self.has_link(broker))?;
            if refusal.error.kind().is_transient() {
                return None;
            }
            reason = Some(&refusal.error);
        }
        reason.cloned()
    }

    /// Returns what went wrong with some broker last.
    pub(super) fn trouble(&self) -> Option<&Error> {
        self.brokers.iter().find_map(|broker| self.refusals.get(broker)).map(|refusal| &refusal.error)
    }

    /// Chooses the link for the next request: the brokers in turn.
    pub(super) fn choose(&mut self) -> Option<LinkId> {
        if !self.settings.envelope {
            return self.ready.pop_front();
        }
        for _ in 0..self.ready.len() {
            self.turn = (self.turn + 1) % self.ready.len();
            let id = self.ready[self.turn];
            let window = self.settings.window;
            if self.links.get(&id).is_some_and(|link| link.is_up && !link.is_full && link.under_way < window) {
                return Some(id);
            }
        }
        None
    }

    /// Opens a link to each broker that has none: for requests in envelopes, and where plain ones wait, because those that
    /// have links may be dead.
    pub(super) fn open_missing(&mut self, now: Instant, outputs: &mut Vec<ClientOutput>) {
        let is_wanted = !self.waiting.is_empty() || self.settings.envelope && self.links.len() < self.brokers.len();
        if !is_wanted {
            return;
        }
        for broker in self.brokers.clone() {
            let is_refused = self.refusals.get(&broker).is_some_and(|refusal| refusal.until > now);
            if !is_refused && !self.has_link(&broker) {
                self.open(broker, outputs);
            }
        }
    }

    /// Opens further links for plain requests that wait, to brokers that are there, but no more than are of use.
    pub(super) fn open_for_waiting(&mut self, outputs: &mut Vec<ClientOutput>) {
        let free = self.settings.connections.saturating_sub(self.links.len());
        if self.waiting.is_empty() || free == 0 {
            return;
        }
        let is_there = |broker: &String| self.links.values().any(|link| link.is_up && link.broker == *broker);
        let there: Vec<String> = self.brokers.iter().filter(|broker| is_there(broker)).cloned().collect();
        if there.is_empty() {
            return;
        }
        let opening = self.links.values().filter(|link| !link.is_up && there.contains(&link.broker)).count();
        for _ in 0..self.waiting.len().saturating_sub(opening).min(free) {
            self.turn = (self.turn + 1) % there.len();
            self.open(there[self.turn].clone(), outputs);
        }
    }

    pub(super) fn close(&mut self, id: LinkId, outputs: &mut Vec<ClientOutput>) {
        if self.links.remove(&id).is_some() {
            self.ready.retain(|ready| *ready != id);
            outputs.push(ClientOutput::Close { link: id });
        }
    }

    /// A request goes off a link over which its reply may still come.
    pub(super) fn leave(&mut self, id: LinkId, outputs: &mut Vec<ClientOutput>) {
        if self.settings.envelope {
            if let Some(link) = self.links.get_mut(&id) {
                link.under_way = link.under_way.saturating_sub(1);
            }
        } else {
            self.close(id, outputs);
        }
    }

    fn has_link(&self, broker: &str) -> bool {
        self.links.values().any(|link| link.broker == broker)
    }

    fn open(&mut self, broker: String, outputs: &mut Vec<ClientOutput>) {
        self.last_link += 1;
        let id = LinkId(self.last_link);
        let link = Link { broker: broker.clone(), is_up: false, is_full: false, under_way: 0, request: None };
        self.links.insert(id, link);
        if self.settings.envelope {
            self.ready.push_back(id);
        }
        outputs.push(ClientOutput::Open { link: id, broker });
    }
}
