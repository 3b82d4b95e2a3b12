//! `playhouse broker`: runs until SIGTERM or SIGINT, and then until its requests are answered.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use playhouse::mdp::protocol::BrokerSettings;
use playhouse::mdp::titanic::TitanicSettings;
use playhouse::mdp::transport::{Endpoint, SocketSettings};
use playhouse::mdp::{BrokerServer, DurableSettings, RegistryAddress, ServerSettings};
use playhouse::{Error, Result, shutdown_signal};
use serde::Deserialize;

use crate::access::{ClientAccess, ServerAccess};
use crate::peers::time;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Where to listen, for both versions of the protocol; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "tcp://127.0.0.1:5555")]
    bind: Vec<Endpoint>,
    /// Under which address others reach it, where that is another one: what the registry is told
    #[arg(long, value_name = "ADDRESS")]
    advertise: Vec<Endpoint>,
    /// The registry to tell of this broker
    #[arg(long, value_name = "ADDRESS")]
    registry: Option<Endpoint>,
    /// The client's keys for the registry, where it asks for such
    #[arg(long, value_name = "FILE", requires = "registry")]
    registry_keys: Option<PathBuf>,
    /// Store the requests to `titanic.request` in this directory (RFC 9): they survive a crash
    #[arg(long, value_name = "DIR")]
    durable: Option<PathBuf>,
    /// A TOML file of times and limits, with the tables `broker`, `socket` and `titanic`
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// How long a stop waits for requests that are under way
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    drain: Duration,
    #[command(flatten)]
    access: ServerAccess,
}

/// The file of `--settings`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    broker: BrokerSettings,
    socket: SocketSettings,
    titanic: TitanicSettings,
}

impl File {
    fn read(path: &Path) -> Result<Self> {
        let shown = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error::not_found(format!("the file `{shown}` cannot be read")).caused_by(error))?;
        toml::from_str(&text)
            .map_err(|error| Error::malformed(format!("`{shown}` is no file of settings")).caused_by(error))
    }
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let stop = shutdown_signal();
    let file = arguments.settings.as_deref().map(File::read).transpose()?.unwrap_or_default();
    let registry_access = ClientAccess::with_keys(arguments.registry_keys).security()?;
    let registry = arguments
        .registry
        .map(|endpoint| RegistryAddress { security: registry_access, ..RegistryAddress::new(endpoint) });
    let server = BrokerServer::start(ServerSettings {
        bind: arguments.bind,
        advertise: arguments.advertise,
        registry,
        insecure: arguments.access.insecure,
        broker: file.broker,
        socket: SocketSettings { security: arguments.access.security()?, ..file.socket },
        durable: arguments.durable.map(|directory| DurableSettings { directory, titanic: file.titanic }),
    })
    .await?;
    for endpoint in server.endpoints() {
        println!("listening on {endpoint}");
    }
    tokio::select! {
        () = stop => {}
        error = server.ended() => return Err(error),
    }
    tracing::info!("stopping: no new requests are taken");
    let statistics = server.stop(arguments.drain).await?;
    tracing::info!(accepted = statistics.accounts.accepted, replied = statistics.accounts.replied, "stopped");
    Ok(())
}
