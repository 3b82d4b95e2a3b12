//! The arguments that say where the brokers are, and how to talk to them.

use std::time::Duration;

use clap::Args;
use playhouse::Result;
use playhouse::mdp::protocol::Version;
use playhouse::mdp::transport::{Endpoint, SocketSettings};
use playhouse::mdp::{Brokers, RegistryAddress};

use crate::access::ClientAccess;

#[derive(Debug, Args)]
pub(crate) struct Peers {
    /// A broker; several are used in turn
    #[arg(long, value_name = "ADDRESS", default_value = "tcp://127.0.0.1:5555", conflicts_with = "registry")]
    pub(crate) broker: Vec<Endpoint>,
    /// The registry that knows the brokers
    #[arg(long, value_name = "ADDRESS")]
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

/// Reads a time such as `30s` or `500ms`.
pub(crate) fn time(text: &str) -> Result<Duration, humantime::DurationError> {
    humantime::parse_duration(text)
}
