//! The commands as whoever uses them sees them: what they print, what they complain about, and how they end.

#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod arguments;
mod call;
mod durable;
mod keys;
mod readme;
mod security;
mod servers;
mod services;
mod worker;

use support::PATIENCE;
use support::playhouse::playhouse;
use support::process::{Ended, Process};

/// Runs the command to its end, without input.
#[track_caller]
fn run(words: &[&str]) -> Ended {
    Process::start(&mut playhouse(words)).ended(PATIENCE)
}

/// Runs the command, and expects it to end with `code` and to complain of exactly `complaint`.
#[track_caller]
fn fails(words: &[&str], code: i32, complaint: &str) {
    let ended = run(words);
    assert_eq!((ended.code, ended.complaints.trim_end()), (Some(code), complaint), "{words:?}");
}

/// Runs the command, and expects it to end with `code` and to have `parts` in what it complains of.
#[track_caller]
fn complains(words: &[&str], code: i32, parts: &[&str]) -> Ended {
    let ended = run(words);
    assert_eq!(ended.code, Some(code), "{words:?}: {ended:?}");
    for part in parts {
        assert!(ended.complaints.contains(part), "{words:?}: expected `{part}` in {}", ended.complaints);
    }
    ended
}

/// Starts a worker of `service` that runs `script` in a shell for each request.
fn shell(service: &str, endpoint: &str, words: &[&str], script: &str) -> Process {
    let command = &mut playhouse(&["worker", service, "--broker", endpoint]);
    Process::start(command.args(words).args(["--", "sh", "-c", script]))
}
