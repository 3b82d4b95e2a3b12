//! `playhouse worker`: whatever the command does, the request is answered.

use std::fs;
use std::path::Path;

use super::support::playhouse::{Server, call, playhouse, worker};
use super::support::process::Process;
use super::support::{PATIENCE, eventually};
use super::{complains, fails, shell};

#[test]
fn whatever_a_command_does_the_request_is_answered() {
    let broker = Server::broker(&[]);
    let at = broker.endpoint.as_str();
    let wrong = [
        (
            "fails",
            "echo first >&2; echo 'went wrong' >&2; exit 3",
            1,
            "`sh` failed (exit status: 3): went wrong (internal)",
        ),
        ("dies", "kill -9 $$", 1, "`sh` failed (signal: 9 (SIGKILL)) (internal)"),
        ("floods", "cat /dev/zero", 18, "`sh` printed more than 8388608 bytes (too-large)"),
    ];
    for (service, script, code, complaint) in wrong {
        let worker = shell(service, at, &[], script);
        fails(&["call", service, "x", "--broker", at], code, &format!("error: {complaint}"));
        // Whoever runs the worker is told, too.
        eventually("the worker's word", PATIENCE, || worker.complaints().contains("a request failed").then_some(()));
    }
    let fine: [(&str, &str, &[&str]); 4] = [
        ("silent", "true", &[]),
        ("closes", "exec >&- <&-; true", &[]),
        ("complains", "echo fine; echo noise >&2", &["fine"]),
        ("ignores", "exec <&-; echo fine", &["fine"]),
    ];
    let large = "x".repeat(100_000);
    for (service, script, printed) in fine {
        let _worker = shell(service, at, &[], script);
        assert_eq!(call(service, &large, at, &[]), printed, "{service}");
    }
}

#[test]
fn a_command_that_takes_too_long_is_killed_with_all_that_it_started() {
    let broker = Server::broker(&[]);
    let at = broker.endpoint.as_str();
    let folder = tempfile::tempdir().unwrap();
    let (shell_id, sleep_id) = (folder.path().join("shell"), folder.path().join("sleep"));
    let script = format!("sleep 600 & echo $! > {}; echo $$ > {}; sleep 600", sleep_id.display(), shell_id.display());
    let _worker = shell("slow", at, &["--timeout", "1s"], &script);
    fails(&["call", "slow", "x", "--broker", at], 15, "error: `sh` took too long and was killed (timeout)");
    is_killed(&shell_id);
    is_killed(&sleep_id);
}

/// Waits until the process whose id is in the file has ended. One that nobody has waited for yet is dead all the same.
#[track_caller]
fn is_killed(id: &Path) {
    let id = fs::read_to_string(id).unwrap();
    eventually("the end of what was started", PATIENCE, || {
        match fs::read_to_string(format!("/proc/{}/stat", id.trim())) {
            Ok(stat) => stat.contains(") Z ").then_some(()),
            Err(_) => Some(()),
        }
    });
}

#[test]
fn a_command_that_is_not_there_is_found_out_before_requests_are_taken() {
    let complaint = "error: expected a program, found none of the name";
    for name in ["no-such-program", "/no/such/program", "", "/"] {
        fails(&["worker", "a", "--", name], 13, &format!("{complaint} `{name}` (not-found)"));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text");
    fs::write(&path, "text").unwrap();
    complains(&["worker", "a", "--", path.to_str().unwrap()], 12, &["may not be executed (forbidden)"]);
}

#[test]
fn with_concurrency_commands_run_at_the_same_time() {
    let broker = Server::broker(&[]);
    let at = broker.endpoint.as_str();
    let folder = tempfile::tempdir().unwrap();
    // Each waits for the other's mark.
    let script = format!(
        "cd {}; read a b; touch $a; until test -e $b; do test -e $a || exit 1; sleep 0.01; done; echo $a",
        folder.path().display()
    );
    let _worker = shell("pair", at, &["--concurrency", "2"], &script);
    let ask = |body| Process::start(&mut playhouse(&["call", "pair", body, "--broker", at]));
    let (mut one, mut two) = (ask("one two\n"), ask("two one\n"));
    assert_eq!((one.succeeded(PATIENCE), two.succeeded(PATIENCE)), (vec!["one".to_owned()], vec!["two".to_owned()]));
}

/// A worker whose command has begun a request that it ends once the file `goes` is there.
fn at_work(at: &str, folder: &Path) -> (Process, Process) {
    let began = folder.join("began");
    let script = format!(
        "cd {}; touch began; until test -e goes; do test -e began || exit 1; sleep 0.01; done; cat",
        folder.display()
    );
    let worker = shell("slow", at, &[], &script);
    let calling = Process::start(&mut playhouse(&["call", "slow", "x", "--broker", at]));
    eventually("the request at the worker", PATIENCE, || began.exists().then_some(()));
    (worker, calling)
}

#[test]
fn a_worker_that_is_told_to_end_answers_first_what_it_has() {
    let broker = Server::broker(&[]);
    let folder = tempfile::tempdir().unwrap();
    let (mut working, mut calling) = at_work(&broker.endpoint, folder.path());
    working.terminate();
    // It is known to stop once the broker has it no more for others.
    eventually("the worker's word", PATIENCE, || working.complaints().contains("stopping").then_some(()));
    fs::write(folder.path().join("goes"), "").unwrap();
    assert_eq!(calling.succeeded(PATIENCE), ["x"]);
    assert_eq!(working.ended(PATIENCE).code, Some(0));
}

#[test]
fn a_second_signal_ends_a_worker_and_its_command_at_once_and_another_gets_its_request() {
    let broker = Server::broker(&[]);
    let folder = tempfile::tempdir().unwrap();
    let id = folder.path().join("id");
    let script = format!("echo $$ > {0}.part; mv {0}.part {0}; sleep 600", id.display());
    let mut working = shell("slow", &broker.endpoint, &["--timeout", "1h"], &script);
    let mut calling = Process::start(&mut playhouse(&["call", "slow", "x", "--broker", &broker.endpoint]));
    eventually("the request at the worker", PATIENCE, || id.exists().then_some(()));
    working.terminate();
    eventually("the worker's word", PATIENCE, || working.complaints().contains("stopping").then_some(()));
    working.terminate();
    assert_eq!(working.ended(PATIENCE).code, Some(24));
    is_killed(&id);
    let _other = worker("slow", &broker.endpoint, &[]);
    assert_eq!(calling.succeeded(PATIENCE), ["x"]);
}
