//! Whatever brokers, connections, callers and the clock do, each request ends once, by its deadline, and lies in one place.

use std::collections::HashMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Request { id: u8, millis: u64 },
    Cancel(u8),
    Brokers(u8),
    Up(u8),
    Lost(u8),
    Failed { link: u8, stays: bool },
    Unsent,
    Reply { link: u8, to: u8, is_final: bool, fails: bool },
    Foreign(u8),
    Garbage(u8),
    After(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..8_u8, 0..2_000_u64).prop_map(|(id, millis)| Step::Request { id, millis }),
        1 => (0..8_u8).prop_map(Step::Cancel),
        1 => (0..8_u8).prop_map(Step::Brokers),
        4 => any::<u8>().prop_map(Step::Up),
        2 => any::<u8>().prop_map(Step::Lost),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(link, stays)| Step::Failed { link, stays }),
        1 => Just(Step::Unsent),
        4 => (any::<u8>(), 0..8_u8, any::<bool>(), any::<bool>())
            .prop_map(|(link, to, is_final, fails)| Step::Reply { link, to, is_final, fails }),
        1 => any::<u8>().prop_map(Step::Foreign),
        1 => any::<u8>().prop_map(Step::Garbage),
        2 => (0..1_500_u64).prop_map(Step::After),
    ]
}

/// What was asked of the client and is under way, beside the client itself.
struct World {
    bench: Bench,
    ids: Vec<EventId>,
    deadlines: HashMap<EventId, Instant>,
    /// The links that are open, and whether they are connected.
    links: Vec<(LinkId, bool)>,
    sent: Vec<(LinkId, EventId)>,
}

impl World {
    fn take(&mut self, step: Step) {
        let now = self.bench.now;
        let mut outputs = Vec::new();
        let link = |number: u8| self.links.get(usize::from(number) % self.links.len().max(1)).map(|(link, _)| *link);
        let client = &mut self.bench.client;
        match step {
            Step::Request { id, millis } => {
                let (id, deadline) = (self.ids[usize::from(id)], now + Duration::from_millis(millis));
                let body = whole(&Event::with_id(id, "x"));
                match client.request(id, service(), body, deadline, now, &mut outputs) {
                    Ok(()) => assert!(self.deadlines.insert(id, deadline).is_none()),
                    Err(error) => assert_eq!(error.kind() == Kind::Timeout, deadline <= now && self.is_new(id)),
                }
            }
            Step::Cancel(id) => {
                let id = self.ids[usize::from(id)];
                client.cancel(id, now, &mut outputs);
                assert!(
                    self.deadlines.remove(&id).is_none() || finished(&outputs).iter().all(|(ended, _)| *ended != id)
                );
            }
            Step::Brokers(bits) => {
                let brokers = (0..3).filter(|bit| bits >> bit & 1 == 1).map(|bit| format!("tcp://{bit}:1")).collect();
                client.set_brokers(brokers, now, &mut outputs);
            }
            Step::Up(number) => {
                let Some(link) = link(number) else { return };
                self.mark(link, true);
                self.bench.client.up(link, now, &mut outputs);
            }
            Step::Lost(number) => {
                let Some(link) = link(number) else { return };
                self.mark(link, false);
                self.bench.client.lost(link, now, &mut outputs);
            }
            Step::Failed { link: number, stays } => {
                let Some(link) = link(number) else { return };
                let error = if stays { Error::forbidden("no") } else { Error::unavailable("not now") };
                client.failed(link, error, now, &mut outputs);
            }
            Step::Unsent => {
                let Some((link, request)) = self.sent.pop() else { return };
                client.unsent(link, request, now, &mut outputs);
            }
            Step::Reply { link: number, to, is_final, fails } => {
                let Some(link) = link(number) else { return };
                let asked = whole(&Event::with_id(self.ids[usize::from(to)], "reply"));
                let body = if fails { failure_body(&Error::conflict("no"), &asked) } else { asked };
                outputs = if is_final {
                    self.bench.replied(link, body)
                } else {
                    self.bench.receive(link, ToClient::Partial { service: service(), body })
                };
            }
            Step::Foreign(number) => {
                let Some(link) = link(number) else { return };
                outputs = self.bench.replied(link, plain("foreign"));
            }
            Step::Garbage(number) => {
                let Some(link) = link(number) else { return };
                client.receive(link, plain("garbage"), now, &mut outputs);
            }
            Step::After(millis) => {
                outputs = self.bench.after(millis);
                let ended = finished(&outputs);
                let is_over = |id| ended.iter().any(|(other, _)| other == id);
                assert!(self.deadlines.iter().all(|(id, deadline)| *deadline > self.bench.now || is_over(id)));
                assert!(self.bench.client.next_tick().is_none_or(|next| next > self.bench.now), "it would spin");
            }
        }
        self.see(outputs);
        self.check();
    }

    fn is_new(&self, id: EventId) -> bool {
        !self.deadlines.contains_key(&id) && self.deadlines.len() < self.bench.client.settings.requests
    }

    fn mark(&mut self, link: LinkId, is_up: bool) {
        self.links.iter_mut().filter(|(known, _)| *known == link).for_each(|known| known.1 = is_up);
    }

    fn see(&mut self, outputs: Vec<ClientOutput>) {
        for output in outputs {
            match output {
                ClientOutput::Open { link, .. } => {
                    assert!(self.links.iter().all(|(known, _)| *known < link), "a number of a link came twice");
                    self.links.push((link, false));
                }
                ClientOutput::Close { link } => {
                    let before = self.links.len();
                    self.links.retain(|(known, _)| *known != link);
                    assert_eq!(self.links.len() + 1, before, "closed twice");
                }
                ClientOutput::Send { link, request, .. } => {
                    assert!(self.links.contains(&(link, true)), "sent over a link that is not connected");
                    self.sent.push((link, request));
                }
                ClientOutput::Partial { request, .. } => assert!(self.deadlines.contains_key(&request)),
                ClientOutput::Finished { request, .. } => {
                    assert!(self.deadlines.remove(&request).is_some(), "a request ended twice");
                }
            }
        }
    }

    fn check(&self) {
        let client = &self.bench.client;
        assert_eq!(client.under_way(), self.deadlines.len());
        assert!(self.deadlines.values().min() >= client.next_tick().as_ref() || self.deadlines.is_empty());
        assert_eq!(client.links.len(), self.links.len());
        for (id, request) in &client.requests {
            let waiting = client.waiting.iter().filter(|waiting| *waiting == id).count();
            let is_late = request.deadline <= self.bench.now;
            match request.link {
                Some(link) => assert!(waiting == 0 && client.links.contains_key(&link)),
                None => assert!(waiting == 1 || waiting == 0 && is_late, "it waits {waiting} times"),
            }
            assert!(request.attempts <= client.settings.attempts.max(1));
        }
        assert!(client.waiting.iter().all(|id| client.requests.contains_key(id)));
        for (id, link) in &client.links {
            let over_it: Vec<_> = client.requests.iter().filter(|(_, request)| request.link == Some(*id)).collect();
            assert_eq!(link.under_way, over_it.len());
            let in_line = client.ready.iter().filter(|ready| *ready == id).count();
            if client.settings.envelope {
                assert_eq!((in_line, link.request), (1, None));
                assert!(over_it.len() <= client.settings.window);
                assert_eq!(client.links.values().filter(|other| other.broker == link.broker).count(), 1);
            } else {
                assert_eq!(link.request, over_it.first().map(|(id, _)| **id));
                assert_eq!(in_line, usize::from(link.is_up && over_it.is_empty()));
            }
        }
        let most = client.settings.connections + client.brokers.len();
        assert!(client.settings.envelope || client.links.len() <= most);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_request_ends_once_and_in_time(
        envelope: bool,
        attempts in 0..4_u32,
        attempt in proptest::option::of(100..800_u64),
        steps in vec(step(), 1..120),
    ) {
        let settings = ClientSettings {
            envelope,
            attempts,
            attempt: attempt.map(Duration::from_millis),
            window: 2,
            connections: 2,
            requests: 5,
            ..ClientSettings::default()
        };
        let mut world = World {
            bench: Bench::new(settings),
            ids: (1..9).map(EventId::from_u128).collect(),
            deadlines: HashMap::new(),
            links: Vec::new(),
            sent: Vec::new(),
        };
        for step in steps {
            world.take(step);
        }
        world.take(Step::After(10_000));
        assert_eq!(world.bench.client.under_way(), 0);
    }
}
