//! Where a socket binds or connects to.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;

use playhouse_engine::{Error, Result};
use serde::{Deserialize, Serialize};

/// The address of a socket: `tcp://HOST:PORT`, `ipc://PATH` or `inproc://NAME`, checked when it is read.
///
/// `*` as the host of a bind is every IPv4 interface, and 0 as its port is any that is free. An IPv6 address stands in
/// brackets.
///
/// ```
/// use playhouse_mdp::transport::Endpoint;
///
/// let endpoint: Endpoint = "tcp://127.0.0.1:5555".parse().unwrap();
/// assert!(endpoint.is_local());
/// assert_eq!(endpoint.to_string(), "tcp://127.0.0.1:5555");
/// assert!(!"tcp://broker.example.org:5555".parse::<Endpoint>().unwrap().is_local());
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Endpoint(Place);

/// What an endpoint is made of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    Tcp { host: String, port: u16 },
    Ipc(PathBuf),
    Inproc(String),
}

impl Endpoint {
    /// Says whether nobody from outside this machine can reach it: a loopback address, ipc or inproc.
    #[must_use]
    pub fn is_local(&self) -> bool {
        let Place::Tcp { host, .. } = &self.0 else { return true };
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    pub(super) fn place(&self) -> &Place {
        &self.0
    }

    /// Says whether anybody can be there: nobody is at `*`, and nobody at port 0.
    pub(crate) fn is_connectable(&self) -> bool {
        !matches!(&self.0, Place::Tcp { host, port } if host == "*" || *port == 0)
    }

    /// Says whether both ends are in this process.
    #[must_use]
    pub fn is_inproc(&self) -> bool {
        matches!(self.0, Place::Inproc(_))
    }
}

impl FromStr for Endpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let place = match text.split_once("://") {
            Some(("tcp", rest)) => tcp(rest),
            Some(("ipc", path)) if !path.is_empty() && !path.contains('\0') => Some(Place::Ipc(path.into())),
            Some(("inproc", name)) if !name.is_empty() => Some(Place::Inproc(name.to_owned())),
            _ => None,
        };
        place.map(Self).ok_or_else(|| {
            let forms = "`tcp://HOST:PORT`, `ipc://PATH` or `inproc://NAME`";
            Error::malformed(format!("expected {forms}, found `{}`", text.escape_debug()))
        })
    }
}

fn tcp(rest: &str) -> Option<Place> {
    let (host, port) = rest.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let sound = match host.strip_prefix('[') {
        Some(address) => address.strip_suffix(']')?.parse::<Ipv6Addr>().is_ok(),
        None => {
            let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
            host == "*" || (!host.is_empty() && host.chars().all(is_part))
        }
    };
    sound.then(|| Place::Tcp { host: host.to_ascii_lowercase(), port })
}

impl From<Place> for Endpoint {
    fn from(place: Place) -> Self {
        Self(place)
    }
}

impl TryFrom<String> for Endpoint {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> Self {
        endpoint.to_string()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Tcp { host, port } => write!(formatter, "tcp://{host}:{port}"),
            Place::Ipc(path) => write!(formatter, "ipc://{}", path.display()),
            Place::Inproc(name) => write!(formatter, "inproc://{name}"),
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{self}`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_shows_what_was_read() {
        for text in
            ["tcp://*:0", "tcp://[::1]:5555", "tcp://a-b.example:1", "ipc:///run/a b", "ipc://@name", "inproc://x"]
        {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_endpoint_is_refused_with_the_forms_that_are() {
        for text in
            ["", "tcp://", "tcp://:1", "tcp://a", "tcp://a:65536", "tcp://a b:1", "tcp://[::1:1", "udp://a:1", "ipc://"]
        {
            let error = text.parse::<Endpoint>().unwrap_err();
            let expected = format!("expected `tcp://HOST:PORT`, `ipc://PATH` or `inproc://NAME`, found `{text}`");
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn only_what_stays_on_this_machine_is_local() {
        for text in ["tcp://127.9.9.9:1", "tcp://[::1]:1", "tcp://LocalHost:1", "ipc://a", "inproc://a"] {
            assert!(text.parse::<Endpoint>().unwrap().is_local(), "{text}");
        }
        for text in ["tcp://*:1", "tcp://0.0.0.0:1", "tcp://[::]:1", "tcp://10.0.0.1:1", "tcp://localhost.example:1"] {
            assert!(!text.parse::<Endpoint>().unwrap().is_local(), "{text}");
        }
    }

    #[test]
    fn an_endpoint_reads_from_a_file() {
        #[derive(Deserialize)]
        struct File {
            bind: Endpoint,
        }
        assert_eq!(toml::from_str::<File>("bind = 'inproc://a'").unwrap().bind.to_string(), "inproc://a");
        assert!(toml::from_str::<File>("bind = 'a'").is_err());
    }
}
