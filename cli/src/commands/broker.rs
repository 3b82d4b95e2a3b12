//! `playhouse broker`: runs until SIGTERM or SIGINT, and then until its requests are answered.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use playhouse::mdp::transport::{Endpoint, SocketSettings};
use playhouse::mdp::{BrokerServer, DurableSettings, RegistryAddress, ServerSettings};
use playhouse::{Result, shutdown_signal};

use crate::access::{ClientAccess, ServerAccess};
use crate::output::print;
use crate::peers::{bind, peer, time};
use crate::settings::Settings;

/// What `--help` shows at its end.
const EXAMPLES: &str = "\
Examples:
  playhouse broker
  playhouse broker --bind tcp://127.0.0.1:5555 --bind ipc:///run/playhouse --durable /var/lib/playhouse
  playhouse broker --bind 'tcp://*:5555' --curve-keys server.toml \\
      --registry tcp://registry.example.org:6000 --advertise tcp://broker.example.org:5555

Its first lines are `listening on ADDRESS`. SIGTERM has it take no new requests and end when the others are answered; a
second one ends it at once. A file of settings, with some of the defaults:
  [broker]
  heartbeat = \"2500ms\"
  expiry = \"30s\"
  busy-timeout = \"120s\"
  [broker.limits]
  frame-size = 1048576
  [titanic]
  keep = \"24h\"";

#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Where to listen, for both versions of the protocol; port 0 takes a free one; may be given several times
    #[arg(long, value_name = "ADDRESS", default_value = "tcp://127.0.0.1:5555", value_parser = bind)]
    bind: Vec<Endpoint>,
    /// Under which address others reach it, where that is another one: what the registry is told
    #[arg(long, value_name = "ADDRESS", requires = "registry", value_parser = peer)]
    advertise: Vec<Endpoint>,
    /// The registry to tell of this broker
    #[arg(long, value_name = "ADDRESS", value_parser = peer)]
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

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let stop = shutdown_signal();
    let file = arguments.settings.as_deref().map(Settings::load).transpose()?.unwrap_or_default();
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
        print(format!("listening on {endpoint}\n"))?;
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
