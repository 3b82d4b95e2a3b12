//! `playhouse registry`: runs until SIGTERM or SIGINT.

use clap::Args;
use playhouse::mdp::RegistryServer;
use playhouse::mdp::protocol::RegistrySettings;
use playhouse::mdp::transport::{Endpoint, SocketSettings};
use playhouse::{Result, shutdown_signal};

use crate::access::ServerAccess;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "tcp://127.0.0.1:6000")]
    bind: Endpoint,
    #[command(flatten)]
    access: ServerAccess,
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let stop = shutdown_signal();
    let socket = SocketSettings { security: arguments.access.security()?, ..SocketSettings::default() };
    let settings = RegistrySettings::default();
    let server = RegistryServer::start(&arguments.bind, settings, &socket, arguments.access.insecure).await?;
    println!("listening on {}", server.endpoint());
    stop.await;
    server.stop().await;
    Ok(())
}
