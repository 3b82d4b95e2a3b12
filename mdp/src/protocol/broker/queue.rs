//! The requests that wait for one service, in the order of their arrival.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::request::Request;

/// The requests that wait for one service, by their number.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    requests: VecDeque<Box<Request>>,
    /// No request waits since before this: so long as it is recent, none need be looked at.
    earliest: Option<Instant>,
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.requests.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    pub(crate) fn first(&self) -> Option<&Request> {
        self.requests.front().map(AsRef::as_ref)
    }

    /// Puts a request where its number belongs: a new one at the end, one whose worker died at the front.
    pub(crate) fn put(&mut self, request: Box<Request>) {
        if request.can_expire() {
            self.earliest = Some(self.earliest.map_or(request.queued, |earliest| earliest.min(request.queued)));
        }
        if self.requests.back().is_none_or(|last| last.number < request.number) {
            self.requests.push_back(request);
        } else {
            let place = self.requests.partition_point(|other| other.number < request.number);
            self.requests.insert(place, request);
        }
    }

    pub(crate) fn take(&mut self) -> Option<Box<Request>> {
        self.requests.pop_front()
    }

    /// Takes out what has waited for `expiry` or longer.
    pub(crate) fn expired(&mut self, now: Instant, expiry: Duration) -> VecDeque<Box<Request>> {
        let is_late = |since: Instant| now.saturating_duration_since(since) >= expiry;
        if !self.earliest.is_some_and(is_late) {
            return VecDeque::new();
        }
        let late = self.take_where(|request| request.can_expire() && is_late(request.queued));
        self.earliest = self.requests.iter().filter(|request| request.can_expire()).map(|request| request.queued).min();
        late
    }

    /// Takes out the durable requests.
    pub(crate) fn take_durable(&mut self) -> VecDeque<Box<Request>> {
        self.take_where(|request| !request.can_expire())
    }

    fn take_where(&mut self, is_taken: impl Fn(&Request) -> bool) -> VecDeque<Box<Request>> {
        let all = std::mem::take(&mut self.requests).into_iter();
        let (taken, kept) = all.partition(|request| is_taken(request));
        self.requests = kept;
        taken
    }
}
