//! `playhouse registry`: runs until SIGTERM or SIGINT.

use clap::Args;
use playhouse::mdp::RegistryServer;
use playhouse::mdp::protocol::RegistrySettings;
use playhouse::mdp::transport::{Endpoint, SocketSettings};
use playhouse::{Result, shutdown_signal};

use crate::access::ServerAccess;
use crate::output::print;
use crate::peers::bind;

/// What `--help` shows at its end.
const EXAMPLES: &str = "\
Example:
  playhouse registry --bind tcp://127.0.0.1:6000
  playhouse broker --bind tcp://127.0.0.1:0 --registry tcp://127.0.0.1:6000
  playhouse worker shout --registry tcp://127.0.0.1:6000 -- tr a-z A-Z
  playhouse call shout hello --registry tcp://127.0.0.1:6000

Its first line is `listening on ADDRESS`.";

#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "tcp://127.0.0.1:6000", value_parser = bind)]
    bind: Endpoint,
    #[command(flatten)]
    access: ServerAccess,
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let stop = shutdown_signal();
    let socket = SocketSettings { security: arguments.access.security()?, ..SocketSettings::default() };
    let settings = RegistrySettings::default();
    let server = RegistryServer::start(&arguments.bind, settings, &socket, arguments.access.insecure).await?;
    print(format!("listening on {}\n", server.endpoint()))?;
    stop.await;
    server.stop().await;
    Ok(())
}
