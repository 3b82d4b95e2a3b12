//! `playhouse call`: one request, and its reply on standard output.

use std::io::{IsTerminal, Read, stdin};
use std::time::Duration;

use clap::Args;
use playhouse::mdp::Caller;
use playhouse::mdp::protocol::ClientSettings;
use playhouse::mdp::transport::SocketSettings;
use playhouse::{Error, Event, Kind, Result};

use super::reply::{print_reply, take_reply};
use crate::peers::{Peers, service, time};

/// What `--help` shows at its end.
const EXAMPLES: &str = "\
Examples:
  playhouse call shout hello
  playhouse call resize - --raw < large.jpg > small.jpg
  playhouse call report 2026-11 --durable --timeout 10m --broker tcp://127.0.0.1:5555
  playhouse call mmi.service shout              # 200 where there is a worker, 404 where there is none

What went wrong is on standard error, and the exit code says of what kind it was: see `playhouse --help`.";

#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The service
    #[arg(value_parser = service)]
    service: String,
    /// The request; `-` reads it from standard input
    #[arg(default_value = "", hide_default_value = true)]
    body: String,
    #[command(flatten)]
    peers: Peers,
    /// How long to wait for the reply
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    timeout: Duration,
    /// Have the broker store the request first (RFC 9): it outlives the broker's death, and this command's, after which
    /// `playhouse reply` asks for the reply
    #[arg(long)]
    durable: bool,
    /// Print the reply as it is, without a line end after it
    #[arg(long)]
    raw: bool,
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let body = if arguments.body == "-" { read_input().await? } else { arguments.body.clone().into_bytes() };
    // Plain, for the worker may be anybody's.
    let settings = ClientSettings { version: arguments.peers.protocol, envelope: false, ..ClientSettings::default() };
    let caller = Caller::with(&arguments.peers.brokers()?, settings, arguments.peers.socket()?)?;
    let size = body.len();
    let outcome = match arguments.durable {
        true => call_durably(&caller, &arguments, body).await,
        false => call(&caller, &arguments, body).await,
    };
    caller.close().await;
    outcome.map_err(|error| explain(error, size))
}

async fn call(caller: &Caller, arguments: &Arguments, body: Vec<u8>) -> Result<()> {
    let mut parts = caller.parts(&arguments.service, &Event::new(body), arguments.timeout)?;
    while let Some(part) = parts.next().await {
        print_reply(&part?.0.payload().to_bytes(), arguments.raw)?;
    }
    Ok(())
}

async fn call_durably(caller: &Caller, arguments: &Arguments, body: Vec<u8>) -> Result<()> {
    let ticket = caller.submit(&arguments.service, vec![body.into()], arguments.timeout).await?;
    // Whoever is interrupted now can ask for the reply later.
    eprintln!("stored as {ticket}");
    take_reply(caller, ticket, arguments.timeout, arguments.raw).await
}

/// A broker closes the connection over which more comes than it takes, and cannot say why.
fn explain(error: Error, size: usize) -> Error {
    let largest = SocketSettings::default().largest_message;
    if error.kind() != Kind::Unavailable || size <= largest {
        return error;
    }
    let message =
        format!("the request has {size} bytes, and a broker takes {largest} unless its settings say otherwise");
    Error::too_large(message).caused_by(error)
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
        Ok(Err(error)) => Err(Error::unavailable("standard input cannot be read").caused_by(error)),
        Err(error) => Err(Error::internal("reading standard input panicked").caused_by(error)),
    }
}
