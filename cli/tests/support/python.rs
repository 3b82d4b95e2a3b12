//! Peers on pyzmq: the programs in `mdp/tests/peers`, which share nothing with ours.

use std::process::Command;
use std::sync::OnceLock;

use super::playhouse::Server;
use super::process::Process;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Returns a command that runs the peer `name`, such as `worker_v1`.
pub(crate) fn peer(name: &str, words: &[&str]) -> Command {
    static PYTHON: OnceLock<String> = OnceLock::new();
    let python = PYTHON.get_or_init(|| {
        let output = Command::new(format!("{ROOT}/scripts/pyzmq")).output().unwrap();
        assert!(output.status.success(), "scripts/pyzmq: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    });
    let mut command = Command::new(python);
    command.arg(format!("{ROOT}/mdp/tests/peers/{name}.py")).args(words);
    command
}

/// Starts the broker `name` on a free port.
#[track_caller]
pub(crate) fn broker(name: &str, words: &[&str]) -> Server {
    Server::start(peer(name, &["tcp://127.0.0.1:*"]).args(words))
}

/// Starts the peer `name`.
pub(crate) fn start(name: &str, words: &[&str]) -> Process {
    Process::start(&mut peer(name, words))
}
