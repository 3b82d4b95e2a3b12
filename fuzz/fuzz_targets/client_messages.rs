//! Lets brokers say to a client whatever the input holds, while requests begin, are given up and run out of time, connections
//! come and go, and the clock jumps. Every request ends once, by its deadline, and nothing goes over a link that is not there.

#![no_main]

mod input;

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use bytes::Bytes;
use input::Input;
use libfuzzer_sys::fuzz_target;
use playhouse_engine::{Envelope, Error, Event, EventId};
use playhouse_mdp::protocol::{Client, ClientOutput, ClientSettings, LinkId, Service, Version, encode};

struct Bench {
    client: Client,
    version: Version,
    now: Instant,
    /// The links that are open, and whether they are connected.
    links: BTreeMap<LinkId, bool>,
    requests: HashMap<EventId, Instant>,
    sent: Vec<(LinkId, EventId)>,
    last: Option<LinkId>,
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input::new(bytes);
    let flags = input.byte();
    let settings = ClientSettings {
        version: if flags & 1 == 0 { Version::V1 } else { Version::V2 },
        envelope: flags & 2 == 0,
        attempts: u32::from(flags >> 4 & 3),
        attempt: (flags & 4 == 0).then_some(Duration::from_secs(1)),
        window: 2,
        connections: 2,
        requests: 5,
    };
    let mut bench = Bench {
        version: settings.version,
        client: Client::new(settings),
        now: Instant::now(),
        links: BTreeMap::new(),
        requests: HashMap::new(),
        sent: Vec::new(),
        last: None,
    };
    let ids: Vec<EventId> = (1..9).map(EventId::from_u128).collect();
    while !input.is_empty() {
        bench.step(&mut input, &ids);
    }
    // Every request ends by its deadline, whatever came before.
    let latest = bench.requests.values().max().copied().unwrap_or(bench.now);
    bench.now = bench.now.max(latest);
    let mut outputs = Vec::new();
    bench.client.tick(bench.now, &mut outputs);
    bench.take(outputs);
    assert!(bench.requests.is_empty() && bench.client.under_way() == 0);
});

impl Bench {
    fn step(&mut self, input: &mut Input<'_>, ids: &[EventId]) {
        let now = self.now;
        let mut outputs = Vec::new();
        let id = ids[usize::from(input.byte()) % ids.len()];
        let link = self.links.keys().nth(usize::from(input.byte()) % self.links.len().max(1)).copied();
        let service = Service::new(if input.byte() == 0 { "other" } else { "echo" }).expect("a name");
        match (input.byte() % 12, link) {
            (0 | 1, _) => {
                let deadline = now + Duration::from_millis(u64::from(input.byte()) * 32);
                let body = whole(id);
                if self.client.request(id, service, body, deadline, now, &mut outputs).is_ok() {
                    assert!(self.requests.insert(id, deadline).is_none() && deadline > now);
                }
            }
            (2, _) => {
                let named = input.byte();
                let brokers = (0..3).filter(|bit| named >> bit & 1 == 1).map(|bit| format!("tcp://{bit}:1")).collect();
                self.client.set_brokers(brokers, now, &mut outputs);
            }
            (3, Some(link)) => {
                self.links.insert(link, true);
                self.client.up(link, now, &mut outputs);
            }
            (4, Some(link)) => {
                self.links.insert(link, false);
                self.client.lost(link, now, &mut outputs);
            }
            (5, Some(link)) => self.client.receive(link, input.frames(), now, &mut outputs),
            (6, Some(link)) => {
                let body = if input.byte().is_multiple_of(2) { whole(id) } else { input.body() };
                self.client.receive(link, encode::reply(self.version, &service, body), now, &mut outputs);
            }
            (7, Some(link)) => self.client.receive(link, encode::partial_reply(&service, whole(id)), now, &mut outputs),
            (8, _) => {
                self.requests.remove(&id);
                self.client.cancel(id, now, &mut outputs);
            }
            (9, _) => {
                self.now += Duration::from_millis(u64::from(input.byte()) * 8);
                self.client.tick(self.now, &mut outputs);
                assert!(self.requests.iter().all(|(id, at)| *at > self.now || finishes(&outputs, *id)));
                assert!(self.client.next_tick().is_none_or(|next| next > self.now), "it would spin");
            }
            (10, Some(link)) => {
                let error = if input.byte() == 0 { Error::forbidden("no") } else { Error::unavailable("not now") };
                self.client.failed(link, error, now, &mut outputs);
            }
            _ => {
                let Some((link, request)) = self.sent.pop() else { return };
                self.client.unsent(link, request, now, &mut outputs);
            }
        }
        self.take(outputs);
        assert_eq!(self.client.under_way(), self.requests.len());
        assert!(self.requests.is_empty() || self.client.next_tick().is_some());
    }

    fn take(&mut self, outputs: Vec<ClientOutput>) {
        for output in outputs {
            match output {
                ClientOutput::Open { link, .. } => {
                    assert!(self.last < Some(link));
                    self.last = Some(link);
                    self.links.insert(link, false);
                }
                ClientOutput::Close { link } => assert!(self.links.remove(&link).is_some(), "it was closed twice"),
                ClientOutput::Send { link, request, .. } => {
                    assert_eq!(self.links.get(&link), Some(&true), "sent over a link that is not connected");
                    assert!(self.requests.contains_key(&request), "sent for nobody");
                    self.sent.push((link, request));
                }
                ClientOutput::Partial { request, .. } => assert!(self.requests.contains_key(&request)),
                ClientOutput::Finished { request, .. } => {
                    assert!(self.requests.remove(&request).is_some(), "it ended twice");
                }
            }
        }
    }
}

fn finishes(outputs: &[ClientOutput], id: EventId) -> bool {
    outputs.iter().any(|output| matches!(output, ClientOutput::Finished { request, .. } if *request == id))
}

fn whole(id: EventId) -> Vec<Bytes> {
    let envelope = Envelope::of(&Event::with_id(id, "x"));
    vec![envelope.head().clone(), envelope.payload().clone()]
}
