//! Durable requests from the command line.

use super::support::PATIENCE;
use super::support::playhouse::{Server, call, playhouse, worker};
use super::support::process::Process;
use super::{complains, run, shell};

#[test]
fn a_durable_call_outlives_a_broker_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let words = ["--durable", folder.path().to_str().unwrap()];
    let mut broker = Server::broker(&words);
    let at = broker.endpoint.clone();
    let mut calling = Process::start(&mut playhouse(&["call", "echo", "kept", "--durable", "--broker", &at]));
    // What it says on standard error is not waited for by lines: once it stands there, the request is stored.
    super::support::eventually("the ticket", PATIENCE, || calling.complaints().contains("stored as ").then_some(()));
    broker.process.kill();
    let _broker = Server::broker_at(&at, &words);
    let _worker = worker("echo", &at, &[]);
    assert_eq!(calling.succeeded(PATIENCE), ["kept"]);
}

#[test]
fn the_reply_can_be_asked_for_by_the_ticket_once() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Server::broker(&["--durable", folder.path().to_str().unwrap()]);
    let at = broker.endpoint.as_str();
    let ended = complains(
        &["call", "echo", "later", "--durable", "--timeout", "300ms", "--broker", at],
        15,
        &["stored as ", "was not done within 300ms (timeout)"],
    );
    let ticket = ended.complaints.lines().next().unwrap().strip_prefix("stored as ").unwrap().to_owned();
    let _worker = worker("echo", at, &[]);
    assert_eq!(Process::start(&mut playhouse(&["reply", &ticket, "--broker", at])).succeeded(PATIENCE), ["later"]);
    complains(&["reply", &ticket, "--broker", at], 13, &["no such request is stored", "(not-found)"]);
}

#[test]
fn what_a_worker_failed_with_is_the_error_of_a_durable_call() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Server::broker(&["--durable", folder.path().to_str().unwrap()]);
    let _worker = shell("false", &broker.endpoint, &[], "echo 'no disk' >&2; exit 3");
    let ended = run(&["call", "false", "x", "--durable", "--broker", &broker.endpoint]);
    assert_eq!((ended.code, ended.lines), (Some(1), vec![]));
    assert!(
        ended.complaints.ends_with("error: `sh` failed (exit status: 3): no disk (internal)\n"),
        "{}",
        ended.complaints
    );
}

#[test]
fn a_broker_without_a_store_says_so() {
    let broker = Server::broker(&[]);
    let at = broker.endpoint.as_str();
    let words = ["call", "echo", "x", "--durable", "--timeout", "300ms", "--broker", at];
    complains(&words, 15, &["`titanic.request`"]);
    assert_eq!(call("mmi.service", "titanic.request", at, &[]), ["404"]);
}
