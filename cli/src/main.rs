//! `playhouse`: Majordomo brokers, registries, workers and calls, as processes of their own.

mod access;
mod commands;
mod exit;
mod output;
mod peers;
mod settings;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use commands::{broker, call, keys, registry, reply, services, worker};
use playhouse::Result;
use tracing_subscriber::EnvFilter;

/// Majordomo (ZeroMQ RFC 7 and 18) from the command line.
#[derive(Debug, Parser)]
#[command(name = "playhouse", version, after_help = exit::HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a broker: clients send requests to it, workers take them from it
    Broker(broker::Arguments),
    /// Runs a registry: brokers announce themselves, clients and workers follow which live
    Registry(registry::Arguments),
    /// Sends a request to a service and prints the reply
    Call(call::Arguments),
    /// Waits for the reply to a request that was stored by `call --durable`
    Reply(reply::Arguments),
    /// Answers the requests to a service by running a command for each
    Worker(worker::Arguments),
    /// Shows the services of brokers: their workers, and what waits
    Services(services::Arguments),
    /// Makes keys for CURVE
    Keys(keys::Arguments),
    /// Prints what a shell needs to complete these commands
    #[command(after_long_help = "Example:\n  source <(playhouse completions bash)")]
    Completions {
        /// The shell
        shell: Shell,
    },
}

impl Command {
    /// Returns what is logged unless `RUST_LOG` says otherwise: what servers do, and nothing of what a command that ends soon
    /// has in its error anyway.
    fn logged(&self) -> &'static str {
        match self {
            Self::Broker(_) | Self::Registry(_) | Self::Worker(_) => "info,omq_tokio=warn,playhouse_engine=warn",
            Self::Call(_) | Self::Reply(_) | Self::Services(_) | Self::Keys(_) | Self::Completions { .. } => "off",
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(arguments.command.logged()));
    let is_terminal = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(is_terminal).with_env_filter(filter).init();
    let outcome = match arguments.command {
        Command::Broker(arguments) => broker::run(arguments).await,
        Command::Registry(arguments) => registry::run(arguments).await,
        Command::Call(arguments) => call::run(arguments).await,
        Command::Reply(arguments) => reply::run(arguments).await,
        Command::Worker(arguments) => worker::run(arguments).await,
        Command::Services(arguments) => services::run(arguments).await,
        Command::Keys(arguments) => keys::run(arguments),
        Command::Completions { shell } => complete(shell),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error} ({})", error.kind());
            exit::code(error.kind())
        }
    }
}

fn complete(shell: Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "playhouse", &mut script);
    output::print(script)
}
