//! The command itself: a broker with what a test needs of it, workers, and calls.

use std::process::Command;
use std::time::Duration;

use super::PATIENCE;
use super::process::Process;

/// Returns the command `playhouse` with `words` behind it.
pub(crate) fn playhouse(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_playhouse"));
    command.args(words);
    command
}

/// A server that says where it listens.
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) endpoint: String,
}

impl Server {
    /// Starts `command`, and waits until it listens.
    #[track_caller]
    pub(crate) fn start(command: &mut Command) -> Self {
        let process = Process::start(command);
        let line = process.line(PATIENCE);
        let endpoint = line.strip_prefix("listening on ").unwrap_or_else(|| panic!("it does not listen: `{line}`"));
        let endpoint = endpoint.to_owned();
        Self { process, endpoint }
    }

    /// Starts our broker on a free port.
    #[track_caller]
    pub(crate) fn broker(words: &[&str]) -> Self {
        Self::broker_at("tcp://127.0.0.1:0", words)
    }

    /// Starts our broker at `endpoint`, which a process may have held until just now.
    #[track_caller]
    pub(crate) fn broker_at(endpoint: &str, words: &[&str]) -> Self {
        Self::start(playhouse(&["broker", "--bind", endpoint]).args(words))
    }
}

/// Starts one of our workers, which has each request echoed by `cat`.
pub(crate) fn worker(service: &str, endpoint: &str, words: &[&str]) -> Process {
    let command = &mut playhouse(&["worker", service, "--broker", endpoint]);
    Process::start(command.args(words).args(["--", "cat"]))
}

/// Asks by our command, and returns what it prints.
#[track_caller]
pub(crate) fn call(service: &str, body: &str, endpoint: &str, words: &[&str]) -> Vec<String> {
    let mut process = Process::start(playhouse(&["call", service, body, "--broker", endpoint]).args(words));
    process.succeeded(PATIENCE)
}

/// Waits until the broker at `endpoint` knows of a worker, as RFC 8 has it asked.
#[track_caller]
pub(crate) fn serves(service: &str, endpoint: &str, patience: Duration) {
    super::eventually(&format!("a worker of `{service}`"), patience, || {
        let mut client = super::peer::Client::connect(endpoint).ok()?;
        let reply = client.ask("mmi.service", &[service.as_bytes()], Duration::from_secs(2)).ok()?;
        (reply == [b"200"]).then_some(())
    });
}
