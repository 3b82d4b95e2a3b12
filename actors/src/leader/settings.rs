//! What the members of a service agree on, and how they reach each other.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use playhouse_engine::{Error, Result};
use serde::{Deserialize, Serialize};

use super::machine::{self, Rules};
use crate::span;

/// The port that Compysition's processes spoke on.
const PORT: u16 = 6999;

/// How short a key may be, in bytes: as long as what it makes.
const SHORTEST_KEY: usize = 32;

const MOST_PEERS: usize = 64;

/// As many as a member remembers, and itself.
const MOST_MEMBERS: usize = machine::MOST_PEERS + 1;

/// The broadcast address of this host's loopback: no other host can hear it.
const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 255, 255, 255)), PORT);

/// Among how many processes a [`Leader`](crate::Leader) is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Members {
    /// So many: who leads has the votes of more than half of them, so there are never two, whatever becomes of the network. Where
    /// fewer can be reached, nobody leads. 65 at most.
    Known(u32),
    /// Those that can be heard. One leads wherever there is one at all; where the network is cut, **one on each side**.
    Unknown,
}

/// How the members of a service reach each other and how fast they choose. It must be the same for all, but for `listen`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct LeaderSettings {
    /// What the service is part of, such as `test` or `production`: members of another scope are of another service. None by
    /// default.
    pub scope: String,
    /// How often a member says that it is there; 1 s by default.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// For how long the votes for a leader hold, unless it asks again; 5 s by default.
    #[serde(with = "humantime_serde")]
    pub lease: Duration,
    /// For how long a member that has started listens before it votes, a lease at least; 5 s by default.
    #[serde(with = "humantime_serde")]
    pub burn_in: Duration,
    /// Where it listens; `127.255.255.255:6999` by default, which only processes of this host can reach.
    pub listen: SocketAddr,
    /// Where all members listen, or one address that reaches them all: that of a broadcast or of a multicast group.
    /// `127.255.255.255:6999` by default. The member itself may be among them.
    pub peers: Vec<SocketAddr>,
    /// By which of this host's addresses a multicast group is joined; 127.0.0.1 by default.
    pub interface: Ipv4Addr,
    /// A secret of at least 32 bytes that all members have; none by default: then whoever can send to them is believed.
    pub key: Option<String>,
}

impl Default for LeaderSettings {
    fn default() -> Self {
        Self {
            scope: String::new(),
            interval: Duration::from_secs(1),
            lease: Duration::from_secs(5),
            burn_in: Duration::from_secs(5),
            listen: LOOPBACK,
            peers: vec![LOOPBACK],
            interface: Ipv4Addr::LOCALHOST,
            key: None,
        }
    }
}

impl LeaderSettings {
    /// Checks everything, and returns what the machine must know.
    pub(super) fn rules(&self, service: &str, members: Members) -> Result<Rules> {
        let mut problems = Vec::new();
        for (name, text) in [("service", service), ("scope", &self.scope)] {
            if text.len() > usize::from(u8::MAX) {
                problems.push(format!("`{name}`: expected 255 bytes at most, found {}", text.len()));
            }
        }
        if service.is_empty() {
            problems.push("`service`: expected a name".to_owned());
        }
        let members = match members {
            Members::Known(0) => {
                problems.push("`members`: expected 1 at least".to_owned());
                None
            }
            Members::Known(members) => {
                if members as usize > MOST_MEMBERS {
                    problems.push(format!("`members`: expected {MOST_MEMBERS} at most"));
                }
                Some(members)
            }
            Members::Unknown => None,
        };
        for (name, time) in [("interval", self.interval), ("lease", self.lease), ("burn-in", self.burn_in)] {
            problems.extend(span::problem(name, time));
        }
        if self.interval < Duration::from_millis(10) {
            problems.push("`interval`: expected 10 ms at least".to_owned());
        }
        if self.lease < self.interval.saturating_mul(3) {
            problems.push("`lease`: expected three times `interval` at least".to_owned());
        }
        if self.burn_in < self.lease {
            problems.push("`burn-in`: expected as long as `lease` at least".to_owned());
        }
        if self.peers.is_empty() || self.peers.len() > MOST_PEERS {
            problems.push(format!("`peers`: expected 1 to {MOST_PEERS}, found {}", self.peers.len()));
        }
        for peer in &self.peers {
            if peer.is_ipv4() != self.listen.is_ipv4() {
                problems.push(format!("`peers`: `{peer}` cannot be reached from `{}`", self.listen));
            } else if peer.ip().is_unspecified() || peer.port() == 0 || (peer.is_ipv6() && peer.ip().is_multicast()) {
                problems.push(format!("`peers`: `{peer}` is no address to send to"));
            }
        }
        if self.key.as_ref().is_some_and(|key| key.len() < SHORTEST_KEY) {
            problems.push(format!("`key`: expected {SHORTEST_KEY} bytes at least"));
        }
        match problems.is_empty() {
            true => Ok(Rules { members, interval: self.interval, lease: self.lease, burn_in: self.burn_in }),
            false => Err(Error::malformed(format!("no leader: {}", problems.join("; ")))),
        }
    }
}

/// Without the key.
impl fmt::Debug for LeaderSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut settings = formatter.debug_struct("LeaderSettings");
        settings.field("scope", &self.scope).field("interval", &self.interval).field("lease", &self.lease);
        settings.field("burn_in", &self.burn_in).field("listen", &self.listen).field("peers", &self.peers);
        settings.field("key", &self.key.as_ref().map(|_| "secret")).finish_non_exhaustive()
    }
}
