//! The registry without I/O: brokers announce themselves, and whoever follows is told which live.
//!
//! All go over one ROUTER socket, whose peers are DEALERs. Frames, after the address:
//!
//! | message | frames |
//! |---|---|
//! | a broker lives | `PHR1`, `0x01`, endpoint... |
//! | a broker goes | `PHR1`, `0x02` |
//! | tell me | `PHR1`, `0x03` |
//! | the brokers that live (to a follower) | `PHR1`, `0x04`, endpoint... |
//!
//! Brokers and followers repeat themselves at the interval; who was silent for `liveness` intervals is forgotten. A follower is
//! told the list at once, whenever it asks, and whenever it changes.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Address, Frames};

const HEADER: &[u8] = b"PHR1";
const ANNOUNCE: u8 = 1;
const LEAVE: u8 = 2;
const FOLLOW: u8 = 3;
const LIST: u8 = 4;

/// How often peers of a registry repeat themselves, and how many of them it takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct RegistrySettings {
    /// How often brokers announce themselves and followers ask; the same at all of them.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// After how many intervals of silence a peer is forgotten.
    pub liveness: u32,
    /// How many brokers it takes.
    pub brokers: usize,
    /// How many addresses a broker may announce.
    pub endpoints: usize,
    /// How many followers it takes.
    pub followers: usize,
}

impl Default for RegistrySettings {
    fn default() -> Self {
        Self { interval: Duration::from_millis(2_500), liveness: 3, brokers: 256, endpoints: 8, followers: 4_096 }
    }
}

/// A message to a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToRegistry {
    /// A broker lives and can be reached at these addresses.
    Announce(Vec<String>),
    /// A broker goes.
    Leave,
    /// Somebody wants to know which brokers live.
    Follow,
}

impl ToRegistry {
    /// Returns the message as frames.
    #[must_use]
    pub fn encode(&self) -> Frames {
        match self {
            Self::Announce(endpoints) => frames(ANNOUNCE, endpoints),
            Self::Leave => frames(LEAVE, &[]),
            Self::Follow => frames(FOLLOW, &[]),
        }
    }

    /// Reads the message; nothing where it is none.
    #[must_use]
    pub fn decode(frames: &Frames) -> Option<Self> {
        match read(frames)? {
            (ANNOUNCE, rest) if !rest.is_empty() => Some(Self::Announce(endpoints(rest)?)),
            (LEAVE, []) => Some(Self::Leave),
            (FOLLOW, []) => Some(Self::Follow),
            _ => None,
        }
    }
}

/// Writes the list of live brokers, as the registry sends it.
#[must_use]
pub fn encode_list(brokers: &[String]) -> Frames {
    frames(LIST, brokers)
}

/// Reads the list of live brokers; nothing where it is none.
#[must_use]
pub fn decode_list(frames: &Frames) -> Option<Vec<String>> {
    match read(frames)? {
        (LIST, rest) => endpoints(rest),
        _ => None,
    }
}

fn frames(command: u8, endpoints: &[String]) -> Frames {
    let head = [Bytes::from_static(HEADER), Bytes::copy_from_slice(&[command])];
    head.into_iter().chain(endpoints.iter().map(|endpoint| Bytes::from(endpoint.clone()))).collect()
}

fn read(frames: &Frames) -> Option<(u8, &[Bytes])> {
    match frames.as_slice() {
        [header, command, rest @ ..] if header == HEADER && command.len() == 1 => Some((command[0], rest)),
        _ => None,
    }
}

/// The longest address that is taken, in bytes.
const LONGEST: usize = 512;

fn endpoints(frames: &[Bytes]) -> Option<Vec<String>> {
    frames
        .iter()
        .map(|frame| match std::str::from_utf8(frame) {
            Ok(text) if !text.is_empty() && text.len() <= LONGEST => Some(text.to_owned()),
            _ => None,
        })
        .collect()
}

/// Which brokers live, and who is told.
#[derive(Debug)]
pub struct Registry {
    settings: RegistrySettings,
    brokers: HashMap<Address, Broker>,
    followers: HashMap<Address, Instant>,
    /// What the followers were told last.
    told: Vec<String>,
    refused: u64,
    next_tick: Instant,
}

#[derive(Debug)]
struct Broker {
    endpoints: Vec<String>,
    heard: Instant,
}

impl Registry {
    /// Makes a registry that knows nobody yet.
    #[must_use]
    pub fn new(settings: RegistrySettings, now: Instant) -> Self {
        let next_tick = now + settings.interval;
        Self { settings, brokers: HashMap::new(), followers: HashMap::new(), told: Vec::new(), refused: 0, next_tick }
    }

    /// Takes what a peer sent, and says what is to be sent to whom.
    pub fn receive(&mut self, from: Address, frames: &Frames, now: Instant, outputs: &mut Vec<(Address, Frames)>) {
        match ToRegistry::decode(frames) {
            Some(ToRegistry::Announce(endpoints)) if endpoints.len() <= self.settings.endpoints => {
                if self.brokers.len() < self.settings.brokers || self.brokers.contains_key(&from) {
                    self.brokers.insert(from, Broker { endpoints, heard: now });
                    self.tell(outputs);
                } else {
                    self.refused += 1;
                }
            }
            Some(ToRegistry::Leave) => {
                self.brokers.remove(&from);
                self.tell(outputs);
            }
            Some(ToRegistry::Follow) => {
                if self.followers.len() < self.settings.followers || self.followers.contains_key(&from) {
                    outputs.push((from.clone(), encode_list(&self.told)));
                    self.followers.insert(from, now);
                } else {
                    self.refused += 1;
                }
            }
            _ => self.refused += 1,
        }
    }

    /// Forgets who was silent for too long.
    pub fn tick(&mut self, now: Instant, outputs: &mut Vec<(Address, Frames)>) {
        if now < self.next_tick {
            return;
        }
        self.next_tick = now + self.settings.interval;
        let silence = self.settings.interval * self.settings.liveness;
        self.brokers.retain(|_, broker| now.saturating_duration_since(broker.heard) < silence);
        self.followers.retain(|_, heard| now.saturating_duration_since(*heard) < silence);
        self.tell(outputs);
    }

    /// Forgets a peer whose connection has ended.
    pub fn gone(&mut self, peer: &Address, outputs: &mut Vec<(Address, Frames)>) {
        self.followers.remove(peer);
        if self.brokers.remove(peer).is_some() {
            self.tell(outputs);
        }
    }

    /// Returns when [`Registry::tick`] has something to do next.
    #[must_use]
    pub fn next_tick(&self) -> Instant {
        self.next_tick
    }

    /// Returns the addresses of the brokers that live, in order.
    #[must_use]
    pub fn brokers(&self) -> Vec<String> {
        // Of several brokers with one address, as after a restart, there is one entry.
        let unique: BTreeMap<&String, ()> =
            self.brokers.values().flat_map(|broker| &broker.endpoints).map(|endpoint| (endpoint, ())).collect();
        unique.into_keys().cloned().collect()
    }

    /// Returns how many messages were not understood or passed a limit.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    fn tell(&mut self, outputs: &mut Vec<(Address, Frames)>) {
        let brokers = self.brokers();
        if brokers != self.told {
            let list = encode_list(&brokers);
            outputs.extend(self.followers.keys().map(|follower| (follower.clone(), list.clone())));
            self.told = brokers;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(name: &'static str) -> Address {
        Address::new(name)
    }

    fn announce(endpoint: &str) -> Frames {
        ToRegistry::Announce(vec![endpoint.to_owned()]).encode()
    }

    struct Bench {
        registry: Registry,
        now: Instant,
    }

    impl Bench {
        fn new() -> Self {
            let now = Instant::now();
            Self { registry: Registry::new(RegistrySettings::default(), now), now }
        }

        fn receive(&mut self, from: &'static str, frames: &Frames) -> Vec<(Address, Frames)> {
            let mut outputs = Vec::new();
            self.registry.receive(address(from), frames, self.now, &mut outputs);
            outputs
        }

        fn after(&mut self, millis: u64) -> Vec<(Address, Frames)> {
            self.now += Duration::from_millis(millis);
            let mut outputs = Vec::new();
            self.registry.tick(self.now, &mut outputs);
            outputs
        }
    }

    fn list(brokers: &[&str]) -> Frames {
        encode_list(&brokers.iter().map(|&broker| broker.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_late_follower_is_told_the_brokers_at_once() {
        let mut bench = Bench::new();
        bench.receive("b1", &announce("tcp://one:5555"));
        bench.receive("b2", &announce("tcp://two:5555"));
        let told = bench.receive("f", &ToRegistry::Follow.encode());
        assert_eq!(told, [(address("f"), list(&["tcp://one:5555", "tcp://two:5555"]))]);
    }

    #[test]
    fn followers_are_told_of_every_change_and_of_nothing_else() {
        let mut bench = Bench::new();
        assert_eq!(bench.receive("f", &ToRegistry::Follow.encode()), [(address("f"), list(&[]))]);
        assert_eq!(bench.receive("b", &announce("tcp://one:1")), [(address("f"), list(&["tcp://one:1"]))]);
        assert_eq!(bench.receive("b", &announce("tcp://one:1")), []);
        assert_eq!(bench.receive("b", &ToRegistry::Leave.encode()), [(address("f"), list(&[]))]);
    }

    #[test]
    fn a_silent_broker_is_forgotten_and_a_beating_one_is_not() {
        let mut bench = Bench::new();
        bench.receive("b1", &announce("tcp://one:1"));
        bench.receive("b2", &announce("tcp://two:1"));
        for _ in 0..4 {
            bench.after(2_500);
            bench.receive("b2", &announce("tcp://two:1"));
        }
        assert_eq!(bench.registry.brokers(), ["tcp://two:1"]);
    }

    #[test]
    fn a_broker_whose_connection_ends_is_forgotten_at_once() {
        let mut bench = Bench::new();
        bench.receive("f", &ToRegistry::Follow.encode());
        bench.receive("b", &announce("tcp://one:1"));
        let mut outputs = Vec::new();
        bench.registry.gone(&address("b"), &mut outputs);
        assert_eq!(outputs, [(address("f"), list(&[]))]);
    }

    #[test]
    fn a_silent_follower_is_told_nothing_more() {
        let mut bench = Bench::new();
        bench.receive("f", &ToRegistry::Follow.encode());
        bench.after(7_500);
        assert_eq!(bench.receive("b", &announce("tcp://one:1")), []);
    }

    #[test]
    fn a_broker_that_was_started_anew_has_one_entry() {
        let mut bench = Bench::new();
        bench.receive("old", &announce("tcp://one:1"));
        bench.receive("new", &announce("tcp://one:1"));
        assert_eq!(bench.registry.brokers(), ["tcp://one:1"]);
    }

    #[test]
    fn what_is_not_understood_or_too_much_is_counted() {
        let mut bench = Bench::new();
        let wrong: [Frames; 5] = [
            vec![],
            vec![Bytes::from_static(HEADER)],
            vec![Bytes::from_static(HEADER), Bytes::from_static(&[ANNOUNCE])],
            vec![Bytes::from_static(HEADER), Bytes::from_static(&[ANNOUNCE]), Bytes::from(vec![0xff])],
            ToRegistry::Announce(vec!["tcp://one:1".to_owned(); 9]).encode(),
        ];
        for frames in &wrong {
            assert_eq!(bench.receive("x", frames), []);
        }
        assert_eq!((bench.registry.refused(), bench.registry.brokers().len()), (5, 0));
    }
}
