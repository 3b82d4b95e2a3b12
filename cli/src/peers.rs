//! The arguments that say where the brokers are, and how to talk to them.

use std::time::Duration;

use clap::Args;
use playhouse::mdp::protocol::{Service, Version};
use playhouse::mdp::transport::{Endpoint, SocketSettings};
use playhouse::mdp::{Brokers, RegistryAddress};
use playhouse::{Error, Result};

use crate::access::ClientAccess;

#[derive(Debug, Args)]
pub(crate) struct Peers {
    /// A broker; may be given several times
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "tcp://127.0.0.1:5555",
        conflicts_with = "registry",
        value_parser = peer
    )]
    pub(crate) broker: Vec<Endpoint>,
    /// The registry that knows the brokers
    #[arg(long, value_name = "ADDRESS", value_parser = peer)]
    registry: Option<Endpoint>,
    /// The version of the protocol: 0.1 or 0.2
    #[arg(long, value_name = "VERSION", default_value = "0.2")]
    pub(crate) protocol: Version,
    #[command(flatten)]
    access: ClientAccess,
}

impl Peers {
    pub(crate) fn brokers(&self) -> Result<Brokers> {
        match &self.registry {
            Some(registry) => {
                let address = RegistryAddress::new(registry.clone());
                Ok(Brokers::Registry(RegistryAddress { security: self.access.security()?, ..address }))
            }
            None => Ok(Brokers::List(self.broker.clone())),
        }
    }

    pub(crate) fn socket(&self) -> Result<SocketSettings> {
        Ok(SocketSettings { security: self.access.security()?, ..SocketSettings::default() })
    }
}

/// Reads the address of a server that is to be started.
pub(crate) fn bind(text: &str) -> Result<Endpoint> {
    let endpoint: Endpoint = text.parse()?;
    if endpoint.is_inproc() {
        // Nobody else is in this process.
        let message =
            format!("expected `tcp://HOST:PORT` or `ipc://PATH`, which other processes can reach, found `{text}`");
        return Err(Error::malformed(message));
    }
    Ok(endpoint)
}

/// Reads the address of a server that is there.
pub(crate) fn peer(text: &str) -> Result<Endpoint> {
    let endpoint = bind(text)?;
    if text.starts_with("tcp://*:") || text.starts_with("tcp://") && text.ends_with(":0") {
        let message = format!("expected the host and port at which it listens, found `{text}`");
        return Err(Error::malformed(message));
    }
    Ok(endpoint)
}

/// Reads the name of a service.
pub(crate) fn service(text: &str) -> Result<String> {
    Service::new(text.to_owned()).map(|service| service.as_str().to_owned())
}

/// Reads a time such as `30s` or `500ms`.
pub(crate) fn time(text: &str) -> Result<Duration> {
    humantime::parse_duration(text).map_err(|_| Error::malformed("expected a time such as `30s`, `500ms` or `2m`"))
}
