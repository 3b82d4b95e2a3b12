//! `playhouse`: Majordomo brokers, registries, workers and calls, as processes of their own.

mod access;
mod commands;
mod exit;
mod peers;
mod program;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use commands::{broker, call, keys, registry, services, worker};
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
    /// Answers the requests to a service by running a command for each
    Worker(worker::Arguments),
    /// Shows the services of brokers: their workers, and what waits
    Services(services::Arguments),
    /// Makes keys for CURVE
    Keys(keys::Arguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // `RUST_LOG` says more or less, for a part or for all.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,omq_tokio=warn"));
    let is_terminal = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(is_terminal).with_env_filter(filter).init();
    let outcome = match arguments.command {
        Command::Broker(arguments) => broker::run(arguments).await,
        Command::Registry(arguments) => registry::run(arguments).await,
        Command::Call(arguments) => call::run(arguments).await,
        Command::Worker(arguments) => worker::run(arguments).await,
        Command::Services(arguments) => services::run(arguments).await,
        Command::Keys(arguments) => keys::run(arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error} ({})", error.kind());
            exit::code(error.kind())
        }
    }
}
