//! A client without I/O: which request goes over which link to which broker, and how each of them ends.
//!
//! A reply says nothing of the request that it answers but the service. So there are two ways: requests in an envelope share
//! one link to each broker, for the envelope's head names the event; plain ones have a link for themselves as long as they
//! last, and one that was given up takes its link with it, so that a late reply cannot reach the next.
//!
//! A request whose connection is lost goes to another broker, or to the same when it is back, at most `attempts` times: the
//! protocol takes work to be such that it can be done twice. Once a part of the reply has come, it is not sent again.

mod links;
mod settings;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use playhouse_engine::Envelope;
use playhouse_engine::{Error, EventId, Result};
use serde::Serialize;

pub use self::settings::ClientSettings;

use self::links::{Link, Refusal};
use super::{Frames, Service, ToClient, decode_at_client, encode, read_failure};

/// How long to wait before a socket that took no more is tried again, unless it shows a sign of life before.
const FULL: Duration = Duration::from_millis(10);

/// The number of a connection, never used twice by one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(u64);

/// What the one who runs a [`Client`] must do.
#[derive(Debug)]
pub enum ClientOutput {
    /// Open a socket to the broker, and say when it is connected and when that is lost.
    Open {
        /// The link that the socket is.
        link: LinkId,
        /// The address of the broker, as it was given.
        broker: String,
    },
    /// Send over the link.
    Send {
        /// The link.
        link: LinkId,
        /// The request that is sent, for [`Client::unsent`].
        request: EventId,
        /// What to send.
        frames: Frames,
    },
    /// Close the socket of the link.
    Close {
        /// The link.
        link: LinkId,
    },
    /// A part of a reply has come.
    Partial {
        /// The request.
        request: EventId,
        /// The frames that the worker sent.
        body: Frames,
    },
    /// A request has ended.
    Finished {
        /// The request.
        request: EventId,
        /// The frames that the worker sent, or why there are none.
        outcome: Result<Frames>,
    },
}

#[derive(Debug)]
struct Request {
    service: Service,
    body: Frames,
    allowed: Duration,
    deadline: Instant,
    /// When it is sent again.
    attempt_ends: Option<Instant>,
    attempts: u32,
    link: Option<LinkId>,
    has_part: bool,
}

/// What came that belonged to no request, by why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClientCounters {
    /// Not a message of the protocol, or of another service.
    pub malformed: u64,
    /// A reply to a request that has ended, or that was never sent.
    pub unmatched: u64,
    /// Requests that were sent again.
    pub resent: u64,
}

/// The requests of a client, and its links to brokers.
#[derive(Debug)]
pub struct Client {
    settings: ClientSettings,
    brokers: Vec<String>,
    /// Where the next request goes, or the next link.
    turn: usize,
    links: HashMap<LinkId, Link>,
    /// Brokers to which the last link failed.
    refusals: HashMap<String, Refusal>,
    /// The links in the order of opening; for plain requests those that are idle and connected.
    ready: VecDeque<LinkId>,
    last_link: u64,
    requests: HashMap<EventId, Request>,
    /// Requests that wait for a link, first to last.
    waiting: VecDeque<EventId>,
    /// When which request ends or is sent again.
    times: BTreeSet<(Instant, EventId)>,
    counters: ClientCounters,
}

impl Client {
    /// Makes a client that knows no broker yet.
    #[must_use]
    pub fn new(settings: ClientSettings) -> Self {
        Self {
            settings,
            brokers: Vec::new(),
            turn: 0,
            links: HashMap::new(),
            refusals: HashMap::new(),
            ready: VecDeque::new(),
            last_link: 0,
            requests: HashMap::new(),
            waiting: VecDeque::new(),
            times: BTreeSet::new(),
            counters: ClientCounters::default(),
        }
    }

    /// Says which brokers there are. What was under way at others goes to these.
    pub fn set_brokers(&mut self, brokers: Vec<String>, now: Instant, outputs: &mut Vec<ClientOutput>) {
        let gone: Vec<LinkId> =
            self.links.iter().filter(|(_, link)| !brokers.contains(&link.broker)).map(|(&id, _)| id).collect();
        for id in gone {
            self.close(id, outputs);
            self.give_back(id, now, outputs);
        }
        self.refusals.retain(|broker, _| brokers.contains(broker));
        self.brokers = Vec::new();
        for broker in brokers {
            if !self.brokers.contains(&broker) {
                self.brokers.push(broker);
            }
        }
        self.place(now, outputs);
    }

    /// Takes a request that must end by `deadline`. Where it is in an envelope, `id` must be the one that the head names.
    ///
    /// # Errors
    /// `Overloaded` where there are as many requests as the settings allow; `Conflict` where one has this id; `Timeout` where the
    /// time is up already.
    pub fn request(
        &mut self,
        id: EventId,
        service: Service,
        body: Frames,
        deadline: Instant,
        now: Instant,
        outputs: &mut Vec<ClientOutput>,
    ) -> Result<()> {
        if self.requests.len() >= self.settings.requests {
            let message = format!("{} requests are under way already", self.settings.requests);
            return Err(Error::overloaded(message).retry_after(Duration::from_secs(1)));
        }
        if self.requests.contains_key(&id) {
            return Err(Error::conflict(format!("a request of the event `{id}` is under way already")));
        }
        if deadline <= now {
            return Err(Error::timeout(format!("the time for the request to `{service}` was up before it was sent")));
        }
        // For a message: in whole milliseconds, as it was set.
        let allowed = (deadline.saturating_duration_since(now) + Duration::from_micros(500)).as_millis();
        let allowed = Duration::from_millis(u64::try_from(allowed).unwrap_or(u64::MAX));
        let request =
            Request { service, body, allowed, deadline, attempt_ends: None, attempts: 0, link: None, has_part: false };
        self.times.insert((deadline, id));
        self.requests.insert(id, request);
        self.waiting.push_back(id);
        self.place(now, outputs);
        Ok(())
    }

    /// Forgets a request that nobody waits for any more.
    pub fn cancel(&mut self, id: EventId, now: Instant, outputs: &mut Vec<ClientOutput>) {
        if let Some(request) = self.take(id) {
            self.abandon_link(&request, outputs);
            self.place(now, outputs);
        }
    }

    /// The socket of the link is connected.
    pub fn up(&mut self, id: LinkId, now: Instant, outputs: &mut Vec<ClientOutput>) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if !link.is_up {
            link.is_up = true;
            link.is_full = false;
            self.refusals.remove(&link.broker);
            if !self.settings.envelope {
                self.ready.push_back(id);
            }
            self.place(now, outputs);
        }
    }

    /// The connection of the link was lost, and with it perhaps what was sent.
    pub fn lost(&mut self, id: LinkId, now: Instant, outputs: &mut Vec<ClientOutput>) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.is_up = false;
        link.under_way = 0;
        if !self.settings.envelope {
            self.close(id, outputs);
        }
        self.give_back(id, now, outputs);
        self.place(now, outputs);
    }

    /// The link's socket took no more: the request waits for room, or, where it is a plain one, for another link.
    pub fn unsent(&mut self, id: LinkId, request: EventId, now: Instant, outputs: &mut Vec<ClientOutput>) {
        let Some(waiting) = self.requests.get_mut(&request).filter(|waiting| waiting.link == Some(id)) else { return };
        waiting.link = None;
        waiting.attempts = waiting.attempts.saturating_sub(1);
        if let Some(end) = waiting.attempt_ends.take() {
            self.times.remove(&(end, request));
        }
        self.waiting.push_front(request);
        self.times.insert((now + FULL, request));
        if let Some(link) = self.links.get_mut(&id) {
            link.is_full = true;
        }
        self.leave(id, outputs);
    }

    /// Takes what came over the link.
    pub fn receive(&mut self, id: LinkId, frames: Frames, now: Instant, outputs: &mut Vec<ClientOutput>) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.is_full = false;
        let (only, under_way) = (link.request, link.under_way);
        let Ok(message) = decode_at_client(self.settings.version, frames) else {
            self.counters.malformed += 1;
            if let Some(request) = only {
                // What comes next over such a link is nobody's.
                let error = Error::malformed("the broker sent what is no message of the protocol");
                self.give_up(request, error, outputs);
            }
            return self.place(now, outputs);
        };
        if only.is_none() && !self.settings.envelope {
            // Nobody has asked: were it kept, the next would take this for an answer.
            self.counters.unmatched += 1;
            return self.close(id, outputs);
        }
        let (service, body, is_final) = match message {
            ToClient::Partial { service, body } => (service, body, false),
            ToClient::Final { service, body } => (service, body, true),
        };
        let failure = read_failure(&body);
        let named = match &failure {
            Some((_, head)) => Envelope::id_of(head),
            None => body.first().and_then(|head| Envelope::id_of(head)),
        };
        // A worker that is not ours answers without a head: that can be told only where one request is under way.
        let lone = || {
            let mut over_it = self.requests.iter().filter(|(_, request)| request.link == Some(id));
            if under_way == 1 { over_it.next().map(|(&id, _)| id) } else { None }
        };
        let Some(request) = only.or(named).or_else(lone) else {
            self.counters.unmatched += 1;
            return;
        };
        match self.requests.get_mut(&request) {
            Some(known) if known.service == service => known.has_part = true,
            Some(_) => {
                self.counters.malformed += 1;
                return;
            }
            None => {
                self.counters.unmatched += 1;
                return;
            }
        }
        match failure {
            Some((error, _)) => self.finish(request, Err(error), outputs),
            None if is_final => self.finish(request, Ok(body), outputs),
            None => {
                self.restart_attempt(request, now);
                outputs.push(ClientOutput::Partial { request, body });
            }
        }
        self.place(now, outputs);
    }

    /// Ends the requests whose time is up, and sends those again whose attempt is.
    pub fn tick(&mut self, now: Instant, outputs: &mut Vec<ClientOutput>) {
        for link in self.links.values_mut() {
            link.is_full = false;
        }
        while let Some(&(time, id)) = self.times.first()
            && time <= now
        {
            self.times.remove(&(time, id));
            let Some(request) = self.requests.get_mut(&id) else { continue };
            if request.deadline <= now {
                let error = self.too_late(id);
                self.give_up(id, error, outputs);
            } else if request.attempt_ends.is_some_and(|end| end <= now) {
                request.attempt_ends = None;
                let allowed = self.settings.attempts;
                if request.attempts >= allowed {
                    let service = &request.service;
                    let error = Error::timeout(format!("no reply from `{service}` in {allowed} attempts"));
                    self.give_up(id, error, outputs);
                } else {
                    self.send_again(id, outputs);
                }
            }
        }
        self.place(now, outputs);
    }

    /// Returns when [`Client::tick`] has something to do next.
    #[must_use]
    pub fn next_tick(&self) -> Option<Instant> {
        self.times.first().map(|(time, _)| *time).into_iter().chain(self.next_try()).min()
    }

    /// Returns how many requests have not ended.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.requests.len()
    }

    /// Returns what was counted.
    #[must_use]
    pub fn counters(&self) -> ClientCounters {
        self.counters
    }

    /// Sends what waits, as far as there are links for it.
    fn place(&mut self, now: Instant, outputs: &mut Vec<ClientOutput>) {
        if let Some(error) = self.hopeless(now) {
            for id in std::mem::take(&mut self.waiting) {
                self.give_up(id, error.clone(), outputs);
            }
        }
        while let Some(&id) = self.waiting.front() {
            let Some(link) = self.choose() else { break };
            self.waiting.pop_front();
            self.send(id, link, now, outputs);
        }
        self.open_missing(now, outputs);
        if !self.settings.envelope {
            self.open_for_waiting(outputs);
        }
    }

    fn send(&mut self, id: EventId, link_id: LinkId, now: Instant, outputs: &mut Vec<ClientOutput>) {
        let (Some(request), Some(link)) = (self.requests.get_mut(&id), self.links.get_mut(&link_id)) else { return };
        link.under_way += 1;
        if !self.settings.envelope {
            link.request = Some(id);
        }
        request.link = Some(link_id);
        request.attempts += 1;
        if request.attempts > 1 {
            self.counters.resent += 1;
        }
        let frames = encode::request(self.settings.version, &request.service, request.body.clone());
        outputs.push(ClientOutput::Send { link: link_id, request: id, frames });
        self.restart_attempt(id, now);
    }

    fn restart_attempt(&mut self, id: EventId, now: Instant) {
        let (Some(allowed), Some(request)) = (self.settings.attempt, self.requests.get_mut(&id)) else { return };
        if let Some(end) = request.attempt_ends.take() {
            self.times.remove(&(end, id));
        }
        let end = now + allowed;
        // A reply of which a part has come is waited for until the end. An attempt that would last to the deadline ends with
        // it; a time of its own would be the same entry, and would take the deadline's with it.
        if !request.has_part && end < request.deadline {
            request.attempt_ends = Some(end);
            self.times.insert((end, id));
        }
    }

    /// What was under way over a link that is lost waits for another.
    fn give_back(&mut self, id: LinkId, now: Instant, outputs: &mut Vec<ClientOutput>) {
        let mut lost: Vec<(Instant, EventId)> = self
            .requests
            .iter()
            .filter(|(_, request)| request.link == Some(id))
            .map(|(&id, request)| (request.deadline, id))
            .collect();
        // Those with the least time left go first; they are put in front one by one.
        lost.sort_unstable_by(|first, second| second.cmp(first));
        for (_, request) in lost {
            let Some(known) = self.requests.get_mut(&request) else { continue };
            known.link = None;
            if let Some(end) = known.attempt_ends.take() {
                self.times.remove(&(end, request));
            }
            let service = &known.service;
            if known.has_part {
                let message = format!("the connection was lost after a part of the reply of `{service}`");
                self.finish(request, Err(Error::unavailable(message)), outputs);
            } else if known.attempts >= self.settings.attempts {
                let message =
                    format!("the connection was lost {} times under a request to `{service}`", known.attempts);
                self.finish(request, Err(Error::unavailable(message)), outputs);
            } else if known.deadline > now {
                self.waiting.push_front(request);
            }
        }
    }

    fn send_again(&mut self, id: EventId, outputs: &mut Vec<ClientOutput>) {
        let Some(link) = self.requests.get_mut(&id).and_then(|request| request.link.take()) else { return };
        self.leave(link, outputs);
        self.waiting.push_front(id);
    }

    fn give_up(&mut self, id: EventId, error: Error, outputs: &mut Vec<ClientOutput>) {
        if let Some(request) = self.take(id) {
            self.abandon_link(&request, outputs);
            outputs.push(ClientOutput::Finished { request: id, outcome: Err(error) });
        }
    }

    fn abandon_link(&mut self, request: &Request, outputs: &mut Vec<ClientOutput>) {
        if let Some(link) = request.link {
            self.leave(link, outputs);
        }
    }

    /// A request has its reply: its link is free for another.
    fn finish(&mut self, id: EventId, outcome: Result<Frames>, outputs: &mut Vec<ClientOutput>) {
        let Some(request) = self.take(id) else { return };
        if let Some(link_id) = request.link
            && let Some(link) = self.links.get_mut(&link_id)
        {
            link.under_way = link.under_way.saturating_sub(1);
            link.request = None;
            if !self.settings.envelope {
                self.ready.push_back(link_id);
            }
        }
        outputs.push(ClientOutput::Finished { request: id, outcome });
    }

    fn take(&mut self, id: EventId) -> Option<Request> {
        let request = self.requests.remove(&id)?;
        self.times.remove(&(request.deadline, id));
        if let Some(end) = request.attempt_ends {
            self.times.remove(&(end, id));
        }
        if request.link.is_none() {
            self.waiting.retain(|waiting| *waiting != id);
        }
        Some(request)
    }

    fn too_late(&self, id: EventId) -> Error {
        let Some(request) = self.requests.get(&id) else { return Error::timeout("the time for the request is up") };
        let (service, allowed) = (&request.service, request.allowed);
        if request.attempts > 0 {
            return Error::timeout(format!("no reply from `{service}` within {allowed:?}"));
        }
        let brokers = match self.brokers.as_slice() {
            [] => "none is known".to_owned(),
            brokers => format!("tried `{}`", brokers.join("`, `")),
        };
        let error =
            Error::unavailable(format!("no broker could be reached for `{service}` within {allowed:?}: {brokers}"));
        match self.trouble() {
            Some(trouble) => error.caused_by(trouble.clone()),
            None => error,
        }
    }
}

#[cfg(test)]
mod tests;
