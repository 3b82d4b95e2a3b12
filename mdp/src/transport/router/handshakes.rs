//! The peers within their handshake: so many in all, and so many from one host, so that none keeps all others out.

use std::collections::HashMap;
use std::net::IpAddr;

/// What part of all one host may have. This machine may have all of them: who is on it can do worse.
const SHARE: usize = 8;

/// How many handshakes are under way, and from where.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    total: usize,
    from: HashMap<IpAddr, usize>,
}

impl Handshakes {
    /// Counts a handshake of a peer at `host`, which is none where it is on this machine. Returns whether it may begin, where
    /// there may be `most` in all.
    pub(super) fn begin(&mut self, host: Option<IpAddr>, most: usize) -> bool {
        if self.total >= most {
            return false;
        }
        if let Some(host) = host {
            let count = self.from.entry(host).or_default();
            if *count >= (most / SHARE).max(1) {
                return false;
            }
            *count += 1;
        }
        self.total += 1;
        true
    }

    /// Forgets a handshake that began.
    pub(super) fn end(&mut self, host: Option<IpAddr>) {
        self.total -= 1;
        if let Some(host) = host
            && let Some(count) = self.from.get_mut(&host)
        {
            *count -= 1;
            if *count == 0 {
                self.from.remove(&host);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(number: u8) -> Option<IpAddr> {
        Some(IpAddr::from([10, 0, 0, number]))
    }

    #[test]
    fn one_host_has_an_eighth_and_this_machine_all() {
        let mut handshakes = Handshakes::default();
        assert!(handshakes.begin(host(1), 16));
        assert!(handshakes.begin(host(1), 16));
        assert!(!handshakes.begin(host(1), 16));
        assert!(handshakes.begin(host(2), 16));
        for _ in 3..16 {
            assert!(handshakes.begin(None, 16));
        }
        assert!(!handshakes.begin(None, 16));
        assert!(!handshakes.begin(host(2), 16));
    }

    #[test]
    fn a_handshake_that_ends_makes_room() {
        let mut handshakes = Handshakes::default();
        assert!(handshakes.begin(host(1), 1));
        assert!(!handshakes.begin(host(2), 1));
        handshakes.end(host(1));
        assert!(handshakes.begin(host(2), 1));
        handshakes.end(host(2));
        assert!(handshakes.from.is_empty());
    }
}
