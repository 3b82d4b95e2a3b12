//! `playhouse broker` and `playhouse registry`: how they start, what they refuse, and how they end.

use std::fs;

use super::support::playhouse::{Server, call, playhouse, worker};
use super::support::process::Process;
use super::support::{PATIENCE, eventually};
use super::{complains, run, shell};

#[test]
fn an_address_that_is_taken_or_not_there_is_named() {
    let broker = Server::broker(&[]);
    for server in ["broker", "registry"] {
        complains(&[server, "--bind", &broker.endpoint], 23, &[&broker.endpoint, "Address already in use"]);
    }
    complains(&["broker", "--bind", "ipc:///nowhere/at/all"], 23, &["`ipc:///nowhere/at/all` cannot be bound"]);
}

#[test]
fn a_file_of_settings_is_used_and_all_its_mistakes_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("settings.toml");
    let shown = path.to_str().unwrap();
    complains(&["broker", "--settings", shown], 23, &[shown, "cannot be read"]);
    fs::write(&path, "[broker]\nexpiri = '1s'\n[socket]\nlinger = 5\n").unwrap();
    complains(
        &["broker", "--settings", shown],
        10,
        &["line 2: `broker.expiri`: unknown field", "line 4: `socket.linger`"],
    );
    fs::write(&path, "[broker]\nexpiry = '100ms'\n[broker.limits]\nframe-size = 4\n").unwrap();
    let broker = Server::broker(&["--settings", shown]);
    complains(&["call", "a", "12345", "--broker", &broker.endpoint], 18, &["expected at most 4 bytes"]);
    complains(&["call", "a", "1234", "--broker", &broker.endpoint], 15, &["(timeout)"]);
}

#[test]
fn one_directory_of_durable_requests_has_one_broker() {
    let folder = tempfile::tempdir().unwrap();
    let words = ["--durable", folder.path().to_str().unwrap()];
    let _broker = Server::broker(&words);
    complains(&["broker", "--bind", "tcp://127.0.0.1:0", words[0], words[1]], 16, &[words[1], "(conflict)"]);
}

#[test]
fn a_broker_that_is_told_to_end_answers_first_what_it_has() {
    let mut broker = Server::broker(&[]);
    let folder = tempfile::tempdir().unwrap();
    let (began, goes) = (folder.path().join("began"), folder.path().join("goes"));
    let script = format!(
        "cd {}; touch began; until test -e goes; do test -e began || exit 1; sleep 0.01; done; cat",
        folder.path().display()
    );
    let _worker = shell("slow", &broker.endpoint, &[], &script);
    let mut calling = Process::start(&mut playhouse(&["call", "slow", "x", "--broker", &broker.endpoint]));
    eventually("the request at the worker", PATIENCE, || began.exists().then_some(()));
    broker.process.terminate();
    eventually("the broker's word", PATIENCE, || broker.process.complaints().contains("stopping").then_some(()));
    fs::write(goes, "").unwrap();
    assert_eq!(calling.succeeded(PATIENCE), ["x"]);
    assert_eq!(broker.process.ended(PATIENCE).code, Some(0));
}

#[test]
fn a_second_signal_ends_a_broker_at_once() {
    let mut broker = Server::broker(&["--drain", "1h"]);
    let folder = tempfile::tempdir().unwrap();
    let began = folder.path().join("began");
    let _worker = shell("slow", &broker.endpoint, &[], &format!("touch {}; sleep 30", began.display()));
    let _calling = Process::start(&mut playhouse(&["call", "slow", "x", "--broker", &broker.endpoint]));
    eventually("the request at the worker", PATIENCE, || began.exists().then_some(()));
    broker.process.terminate();
    eventually("the broker's word", PATIENCE, || broker.process.complaints().contains("stopping").then_some(()));
    broker.process.terminate();
    assert_eq!(broker.process.ended(PATIENCE).code, Some(1));
}

#[test]
fn a_registry_leads_clients_and_workers_to_every_broker() {
    let mut registry = Server::start(&mut playhouse(&["registry", "--bind", "tcp://127.0.0.1:0"]));
    let known = ["--registry", registry.endpoint.as_str()];
    let mut first = Server::broker(&known);
    let second = Server::broker(&known);
    let _worker = Process::start(playhouse(&["worker", "echo"]).args(known).args(["--", "cat"]));
    // The table has a row for each broker once both are announced and the worker is at both.
    eventually("both brokers", PATIENCE, || {
        let table = run(&["services", known[0], known[1]]);
        let names =
            |broker: &Server| table.lines.iter().any(|row| row.starts_with(&format!("echo ({})", broker.endpoint)));
        (names(&first) && names(&second)).then_some(())
    });
    let ask = || Process::start(&mut playhouse(&["call", "echo", "x", known[0], known[1]])).succeeded(PATIENCE);
    assert_eq!(ask(), ["x"]);
    first.process.kill();
    assert_eq!(ask(), ["x"]);
    registry.process.terminate();
    assert_eq!(registry.process.ended(PATIENCE).code, Some(0));
}

#[test]
fn a_broker_is_known_by_the_address_that_it_advertises() {
    let registry = Server::start(&mut playhouse(&["registry", "--bind", "tcp://127.0.0.1:0"]));
    let folder = tempfile::tempdir().unwrap();
    let also = format!("ipc://{}", folder.path().join("broker").display());
    let words = ["--bind", &also, "--advertise", &also, "--registry", &registry.endpoint];
    let broker = Server::broker(&words);
    let _worker = worker("echo", &broker.endpoint, &[]);
    assert_eq!(call("echo", "x", &also, &[]), ["x"]);
    let known = run(&["services", "--registry", &registry.endpoint, "--json"]);
    assert_eq!((known.code, known.lines.len()), (Some(0), 1), "{known:?}");
}
