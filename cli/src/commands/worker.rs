//! `playhouse worker`: answers each request by what a command prints. Runs until SIGTERM or SIGINT, and then until the requests
//! under way are answered.

use std::time::Duration;

use clap::{Args, value_parser};
use playhouse::actors::{Exec, ExecSettings};
use playhouse::mdp::MdpWorker;
use playhouse::mdp::protocol::WorkerSettings;
use playhouse::{Director, Error, Event, Policy, Result, map};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::peers::{Peers, service, time};

/// How much longer than the command the request has, so that whoever asks is told what the command did.
const GRACE: Duration = Duration::from_secs(1);

/// How many bytes the command may print.
const LARGEST_OUTPUT: usize = 8 << 20;

/// What `--help` shows at its end.
const EXAMPLES: &str = "\
Examples:
  playhouse worker shout -- tr a-z A-Z
  playhouse worker resize --concurrency 4 --timeout 10s -- convert - -resize 50% -
  playhouse worker words -- sh -c 'wc -w | tr -d \" \"'

The reply is all that the command prints until it and what it started have closed their output. What takes longer than
`--timeout` is killed with everything that it started. SIGTERM has the worker take no new requests and end when those under
way are answered; a second one ends it and those at once.";

#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The service
    #[arg(value_parser = service)]
    service: String,
    #[command(flatten)]
    peers: Peers,
    /// How many requests are worked on at a time, for each broker
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = value_parser!(u16).range(1..))]
    concurrency: u16,
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
    // Before it takes requests from workers that could do them.
    let program = Exec::run(arguments.command, command(arguments.timeout))?;
    let concurrency = usize::from(arguments.concurrency);
    let settings = WorkerSettings { version: arguments.peers.protocol, ..WorkerSettings::default() };
    let worker = MdpWorker::new(&arguments.service, arguments.peers.brokers()?)?
        .concurrency(concurrency)
        .deadline(arguments.timeout.saturating_add(GRACE))
        .settings(settings)
        .socket(arguments.peers.socket()?);
    // The program ends by its own time-out, and not in the middle of a handler that is given up.
    let deadline = arguments.timeout.saturating_add(GRACE);
    let workers = Policy { workers: concurrency.into(), deadline, ..Policy::default() };

    let mut director = Director::new("worker");
    let requests = director.register("requests", worker);
    let program = director.register_with("program", program, workers);
    // What the command complained of is for whoever runs this worker, and not for whoever asks.
    let answer = map(|event: &Event| event.clone().without_attribute("exec.status").without_attribute("exec.stderr"));
    let answer = director.register("answer", answer);
    let failed = director.register("failed", map(tell));
    director.connect(requests, program);
    director.connect(program, answer);
    director.connect(answer, requests);
    director.connect_error(program, failed);
    director.connect(failed, requests);
    director.connect_default_error(requests);
    let mut signals = Signals::catch()?;
    let (stopped, has_stopped) = oneshot::channel();
    let stop = async move {
        signals.next().await;
        tracing::info!("stopping: no new requests are taken");
        // Heard by the one below, as long as there is one.
        let _ = stopped.send(signals);
    };
    let again = async {
        match has_stopped.await {
            Ok(mut signals) => signals.next().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = director.build()?.run_until(stop, arguments.drain) => ended.map(drop),
        // What is dropped here takes the commands that run with it, as the end of the process would not.
        () = again => Err(Error::cancelled("told to end a second time; the commands under way were killed")),
    }
}

/// Returns what the command may do: it sees all that this process sees of the environment.
fn command(time_out: Duration) -> ExecSettings {
    ExecSettings {
        time_out,
        grace: GRACE / 2,
        largest_output: LARGEST_OUTPUT,
        inherit: std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect(),
        ..ExecSettings::default()
    }
}

/// Tells whoever runs this worker what whoever asks is told, too.
fn tell(event: &Event) -> Event {
    if let Some(error) = event.error() {
        tracing::warn!(%error, "a request failed");
    }
    event.clone()
}

/// The signals that tell a process to end.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn catch() -> Result<Self> {
        let caught =
            |kind| signal(kind).map_err(|error| Error::unavailable("signals cannot be caught").caused_by(error));
        Ok(Self { interrupt: caught(SignalKind::interrupt())?, terminate: caught(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
