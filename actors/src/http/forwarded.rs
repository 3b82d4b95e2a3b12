//! Who the client is behind proxies: what the fields `Forwarded` (RFC 7239) and `X-Forwarded-For` say is believed from proxies
//! that are known, and as far as these have written it.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName};
use playhouse_engine::{Error, Result};

use super::head::is_host;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The networks of proxies that are believed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trusted(Vec<Network>);

/// Addresses that begin alike. Those of IPv4 are held as IPv6 has them.
#[derive(Clone, Copy, Debug)]
struct Network {
    bits: u128,
    mask: u128,
}

/// Who asks, and for what, by what a proxy says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Forwarded {
    pub(crate) client: IpAddr,
    pub(crate) scheme: Option<&'static str>,
    pub(crate) host: Option<Box<str>>,
}

impl Trusted {
    /// # Errors
    /// `Malformed` with all that are no networks.
    pub(crate) fn new(networks: &[String]) -> Result<Self> {
        let (mut known, mut wrong) = (Vec::new(), Vec::new());
        for text in networks {
            match Network::parse(text) {
                Some(network) => known.push(network),
                None => wrong.push(format!("`{text}`")),
            }
        }
        if wrong.is_empty() {
            return Ok(Self(known));
        }
        let wrong = wrong.join(", ");
        Err(Error::malformed(format!("{wrong} are no networks to trust; expected such as `10.0.0.0/8` or `::1`")))
    }

    /// Returns who a request came from that `peer` has passed on; nothing where the peer is not believed, or says nothing.
    pub(crate) fn look(&self, peer: IpAddr, headers: &HeaderMap) -> Option<Box<Forwarded>> {
        if self.0.is_empty() || !self.contains(peer) {
            return None;
        }
        let standard = headers.contains_key(FORWARDED).then(|| self.first_stranger(standard(headers)));
        let usual = headers.contains_key(FOR).then(|| self.first_stranger(usual(headers)));
        match (standard, usual) {
            // A proxy that knows of one of them passes on the other as the client wrote it.
            (Some(standard), Some(usual)) => {
                let client = |found: &Option<Forwarded>| found.as_ref().map(|found| found.client);
                if client(&standard) == client(&usual) { standard } else { None }
            }
            (found, None) | (None, found) => found?,
        }
        .map(Box::new)
    }

    /// Goes back from the proxy that is next to the server, to the first that is not known: whatever stands before that, it may
    /// have made up.
    fn first_stranger(&self, hops: Vec<Option<Forwarded>>) -> Option<Forwarded> {
        let mut found = None;
        for hop in hops.into_iter().rev() {
            let Some(hop) = hop else { break };
            let is_known = self.contains(hop.client);
            found = Some(hop);
            if !is_known {
                break;
            }
        }
        found
    }

    fn contains(&self, address: IpAddr) -> bool {
        let bits = mapped(address).to_bits();
        self.0.iter().any(|network| bits & network.mask == network.bits)
    }
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
        let address: IpAddr = address.parse().ok()?;
        let (all, before) = if address.is_ipv4() { (32, 96) } else { (128, 0) };
        let length = length.map_or(Some(all), |length| length.parse::<u32>().ok()).filter(|length| *length <= all)?;
        let mask = u128::MAX.checked_shl(128 - before - length).unwrap_or(0);
        Some(Self { bits: mapped(address).to_bits() & mask, mask })
    }
}

fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// Returns the hops that `Forwarded` names, the client's first; nothing in the place of one that cannot be read.
fn standard(headers: &HeaderMap) -> Vec<Option<Forwarded>> {
    let mut hops = Vec::new();
    for value in headers.get_all(FORWARDED) {
        match value.to_str().ok().and_then(|value| split(value, ',')) {
            Some(elements) => hops.extend(elements.into_iter().map(hop)),
            None => hops.push(None),
        }
    }
    hops
}

fn hop(element: &str) -> Option<Forwarded> {
    let (mut client, mut scheme, mut host) = (None, None, None);
    for pair in split(element, ';')? {
        let (name, value) = pair.split_once('=')?;
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        match name.trim().to_ascii_lowercase().as_str() {
            "for" => client = Some(node(value)?),
            "proto" => scheme = scheme_of(value),
            "host" => host = host_of(value),
            _ => {}
        }
    }
    Some(Forwarded { client: client?, scheme, host })
}

/// Splits at separators that stand in no quotes; nothing where a quote has no end.
fn split(text: &str, separator: char) -> Option<Vec<&str>> {
    let mut is_quoted = false;
    let parts = text.split(|letter: char| {
        is_quoted ^= letter == '"';
        letter == separator && !is_quoted
    });
    let parts: Vec<_> = parts.map(str::trim).collect();
    (!is_quoted).then_some(parts)
}

/// Returns the hops that `X-Forwarded-For` names, with what the fields beside it say.
fn usual(headers: &HeaderMap) -> Vec<Option<Forwarded>> {
    let clients = list(headers, &FOR);
    let (schemes, hosts) = (list(headers, &PROTO), list(headers, &HOST));
    // One for each hop where each proxy adds its own; else the one that the last proxy wrote counts.
    let beside = |values: &[&str], number: usize| -> Option<String> {
        let value = if values.len() == clients.len() { values.get(number) } else { values.last() };
        value.map(|value| (*value).to_owned())
    };
    let hop = |(number, client): (usize, &&str)| {
        let scheme = beside(&schemes, number).and_then(|scheme| scheme_of(&scheme));
        let host = beside(&hosts, number).and_then(|host| host_of(&host));
        Some(Forwarded { client: node(client)?, scheme, host })
    };
    clients.iter().enumerate().map(hop).collect()
}

fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a str> {
    // What is no text is kept, as what cannot be read.
    let values = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default());
    values.flat_map(|value| value.split(',')).map(str::trim).collect()
}

/// Reads an address, with or without a port.
fn node(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse().ok().map(|address: SocketAddr| address.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

fn scheme_of(text: &str) -> Option<&'static str> {
    ["http", "https"].into_iter().find(|known| known.eq_ignore_ascii_case(text))
}

fn host_of(text: &str) -> Option<Box<str>> {
    (!text.is_empty() && is_host(text.as_bytes())).then(|| text.into())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn trusted() -> Trusted {
        Trusted::new(&["10.0.0.0/8".into(), "192.0.2.7".into(), "2001:db8::/32".into()]).unwrap()
    }

    #[track_caller]
    fn client(peer: &str, fields: &[(&'static str, &str)]) -> Option<String> {
        trusted().look(peer.parse().unwrap(), &headers(fields)).map(|found| found.client.to_string())
    }

    #[test]
    fn networks_hold_what_begins_alike() {
        let trusted = trusted();
        for (address, is_known) in [
            ("10.255.0.1", true),
            ("11.0.0.1", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("::ffff:10.1.1.1", true),
            ("2001:db8:1::5", true),
            ("2001:db9::5", false),
        ] {
            assert_eq!(trusted.contains(address.parse().unwrap()), is_known, "{address}");
        }
        assert!(Trusted::new(&["0.0.0.0/0".into()]).unwrap().contains("1.2.3.4".parse().unwrap()));
        let error = Trusted::new(&["10.0.0.0/33".into(), "example.org".into(), "::1".into()]).unwrap_err();
        assert!(error.message().starts_with("`10.0.0.0/33`, `example.org` are no networks"), "{error}");
    }

    #[test]
    fn the_client_is_the_first_from_the_right_that_is_no_known_proxy() {
        for (fields, expected) in [
            (&[("x-forwarded-for", "203.0.113.9")][..], Some("203.0.113.9")),
            // What stands before the first stranger is what that one says of itself.
            (&[("x-forwarded-for", "1.1.1.1, 203.0.113.9, 10.0.0.2")], Some("203.0.113.9")),
            (&[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "203.0.113.9:4711,10.0.0.2")], Some("203.0.113.9")),
            (&[("x-forwarded-for", "10.0.0.3, 10.0.0.2")], Some("10.0.0.3")),
            (&[("x-forwarded-for", "203.0.113.9, unknown, 10.0.0.2")], Some("10.0.0.2")),
            (&[("x-forwarded-for", "203.0.113.9, ")], None),
            (&[("x-forwarded-for", "[2001:db9::1]:80")], Some("2001:db9::1")),
            (&[("forwarded", "for=1.1.1.1, for=\"[2001:db9::1]:80\";proto=https, for=10.0.0.2")], Some("2001:db9::1")),
            (&[("forwarded", "For=\"203.0.113.9\";by=10.0.0.1")], Some("203.0.113.9")),
            (&[("forwarded", "for=203.0.113.9, for=_hidden")], None),
            (&[("forwarded", "for=203.0.113.9, for=\"10.0.0.2")], None),
            (&[("forwarded", "proto=https")], None),
            (&[("forwarded", "for=203.0.113.9"), ("x-forwarded-for", "203.0.113.9")], Some("203.0.113.9")),
            (&[("forwarded", "for=8.8.8.8"), ("x-forwarded-for", "203.0.113.9")], None),
            (&[], None),
        ] {
            assert_eq!(client("10.0.0.1", fields).as_deref(), expected, "{fields:?}");
        }
        assert_eq!(client("203.0.113.1", &[("x-forwarded-for", "1.1.1.1")]), None);
    }

    #[test]
    fn scheme_and_host_are_those_of_the_clients_own_hop() {
        let found = |fields| *trusted().look("10.0.0.1".parse().unwrap(), &headers(fields)).unwrap();
        let shop = Some("shop.example".into());
        let forwarded = found(&[("forwarded", "for=1.1.1.1;proto=HTTPS;host=shop.example, for=10.0.0.2;proto=http")]);
        assert_eq!((forwarded.scheme, &forwarded.host), (Some("https"), &shop));
        let each = found(&[("x-forwarded-for", "1.1.1.1, 10.0.0.2"), ("x-forwarded-proto", "https, http")]);
        assert_eq!((each.scheme, each.host), (Some("https"), None));
        let last = found(&[
            ("x-forwarded-for", "1.1.1.1, 10.0.0.2"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "shop.example"),
        ]);
        assert_eq!((last.scheme, last.host), (Some("https"), shop));
        let wrong =
            found(&[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-proto", "gopher"), ("x-forwarded-host", "a/b")]);
        assert_eq!((wrong.scheme, wrong.host), (None, None));
    }
}
