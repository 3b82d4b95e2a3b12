//! `playhouse worker`: answers each request by what a command prints. Runs until SIGTERM or SIGINT, and then until the requests
//! under way are answered.

use std::time::Duration;

use clap::Args;
use playhouse::mdp::MdpWorker;
use playhouse::mdp::protocol::WorkerSettings;
use playhouse::{Director, Policy, Result, shutdown_signal};

use crate::peers::{Peers, time};
use crate::program::Program;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The service
    service: String,
    #[command(flatten)]
    peers: Peers,
    /// How many requests are worked on at a time, for each broker
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    concurrency: usize,
    /// How long the command may take for a request
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    timeout: Duration,
    /// How long a stop waits for requests that are under way
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    drain: Duration,
    /// The command: it gets the request on standard input, and prints the reply; where it fails, its last line on standard
    /// error is the error
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let settings = WorkerSettings { version: arguments.peers.protocol, ..WorkerSettings::default() };
    let worker = MdpWorker::new(&arguments.service, arguments.peers.brokers()?)?
        .concurrency(arguments.concurrency)
        .deadline(arguments.timeout)
        .settings(settings)
        .socket(arguments.peers.socket()?);
    let workers = Policy { workers: arguments.concurrency.into(), ..Policy::default() };

    let mut director = Director::new("worker");
    let requests = director.register("requests", worker);
    let program = director.register_with("program", Program::new(arguments.command, arguments.timeout), workers);
    director.connect(requests, program);
    director.connect(program, requests);
    director.connect_default_error(requests);
    director.build()?.run_until(shutdown_signal(), arguments.drain).await?;
    Ok(())
}
