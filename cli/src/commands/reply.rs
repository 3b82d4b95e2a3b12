//! `playhouse reply`: the reply to a durable request whose asker did not wait for it.

use std::time::Duration;

use clap::Args;
use playhouse::mdp::Caller;
use playhouse::mdp::protocol::{ClientSettings, Ticket};
use playhouse::{Error, Result};

use crate::output::print;
use crate::peers::{Peers, time};

/// What `--help` shows at its end.
const EXAMPLES: &str = "\
Example:
  playhouse reply e54ee6cad823b577f599e3c20101230e --timeout 10m

Once it is printed, the broker forgets it.";

#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The ticket that `call --durable` has shown: `stored as TICKET`
    #[arg(value_parser = ticket)]
    ticket: Ticket,
    #[command(flatten)]
    peers: Peers,
    /// How long to wait for the reply
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    timeout: Duration,
    /// Print the reply as it is, without a line end after it
    #[arg(long)]
    raw: bool,
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let settings = ClientSettings { version: arguments.peers.protocol, envelope: false, ..ClientSettings::default() };
    let caller = Caller::with(&arguments.peers.brokers()?, settings, arguments.peers.socket()?)?;
    let outcome = take_reply(&caller, arguments.ticket, arguments.timeout, arguments.raw).await;
    caller.close().await;
    outcome
}

/// Waits for a reply, prints it, and has the broker forget it.
pub(crate) async fn take_reply(caller: &Caller, ticket: Ticket, time: Duration, raw: bool) -> Result<()> {
    for frame in caller.wait_for(ticket, time).await? {
        print_reply(&frame, raw)?;
    }
    if let Err(error) = caller.forget(ticket, time).await {
        // The reply is what was asked for, and the broker forgets it by itself in time.
        eprintln!("the broker may still keep `{ticket}`: {error}");
    }
    Ok(())
}

/// Prints a reply, and ends its last line unless it is wanted `raw`.
pub(crate) fn print_reply(reply: &[u8], raw: bool) -> Result<()> {
    let is_whole = raw || reply.is_empty() || reply.ends_with(b"\n");
    print([reply, if is_whole { b"" } else { b"\n" }].concat())
}

fn ticket(text: &str) -> Result<Ticket> {
    Ticket::parse(text.as_bytes()).ok_or_else(|| Error::malformed("expected a ticket of 32 hexadecimal digits"))
}
