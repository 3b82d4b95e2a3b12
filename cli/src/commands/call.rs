//! `playhouse call`: one request, and its reply on standard output.

use std::io::{IsTerminal, Read, Write, stdin, stdout};
use std::time::Duration;

use clap::Args;
use playhouse::mdp::Caller;
use playhouse::mdp::protocol::ClientSettings;
use playhouse::{Error, Event, Result};

use crate::peers::{Peers, time};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The service
    service: String,
    /// The request; `-` reads it from standard input
    #[arg(default_value = "")]
    body: String,
    #[command(flatten)]
    peers: Peers,
    /// How long to wait for the reply
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    timeout: Duration,
    /// Have the broker store the request first (RFC 9), so that it outlives the broker's death and this command's connection
    #[arg(long)]
    durable: bool,
    /// Print the reply as it is, without a line end after it
    #[arg(long)]
    raw: bool,
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let body = if arguments.body == "-" { read_input().await? } else { arguments.body.into_bytes() };
    // Plain, for the worker may be anybody's.
    let settings = ClientSettings { version: arguments.peers.protocol, envelope: false, ..ClientSettings::default() };
    let caller = Caller::with(&arguments.peers.brokers()?, settings, arguments.peers.socket()?)?;
    if arguments.durable {
        let ticket = caller.submit(&arguments.service, vec![body.into()], arguments.timeout).await?;
        // Whoever is interrupted now can ask for the reply later.
        eprintln!("stored as {ticket}");
        let reply = caller.wait_for(ticket, arguments.timeout).await?;
        caller.forget(ticket, arguments.timeout).await?;
        for frame in reply {
            print(&frame, arguments.raw)?;
        }
    } else {
        let mut parts = caller.parts(&arguments.service, &Event::new(body), arguments.timeout)?;
        while let Some(part) = parts.next().await {
            print(&part?.0.payload().to_bytes(), arguments.raw)?;
        }
    }
    caller.close().await;
    Ok(())
}

async fn read_input() -> Result<Vec<u8>> {
    if stdin().is_terminal() {
        eprintln!("reading the request from the terminal; end it with Ctrl-D");
    }
    let read = tokio::task::spawn_blocking(|| {
        let mut body = Vec::new();
        stdin().lock().read_to_end(&mut body).map(|_| body)
    });
    match read.await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) => Err(Error::malformed("standard input cannot be read").caused_by(error)),
        Err(error) => Err(Error::internal("reading standard input panicked").caused_by(error)),
    }
}

fn print(reply: &[u8], raw: bool) -> Result<()> {
    let mut out = stdout().lock();
    let end: &[u8] = if raw || reply.ends_with(b"\n") { b"" } else { b"\n" };
    out.write_all(reply)
        .and_then(|()| out.write_all(end))
        .and_then(|()| out.flush())
        .map_err(|error| Error::unavailable("standard output takes nothing").caused_by(error))
}
