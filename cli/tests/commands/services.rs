//! `playhouse services`: what brokers serve, and who does not say.

use super::support::playhouse::{Server, call, playhouse, worker};
use super::support::process::Process;
use super::support::python;
use super::{complains, run};

const HEAD: &str = "SERVICE  WORKERS idle/busy  QUEUED  REQUESTS/s  OLDEST WAIT";

#[test]
fn the_table_has_a_row_for_each_service() {
    let broker = Server::broker(&[]);
    let at = broker.endpoint.as_str();
    for version in ["0.1", "0.2"] {
        let none = run(&["services", "--broker", at, "--protocol", version]);
        assert_eq!((none.code, none.lines), (Some(0), vec![HEAD.to_owned()]));
    }
    let _worker = worker("echo", at, &["--concurrency", "3"]);
    call("echo", "x", at, &[]);
    let _waits = Process::start(&mut playhouse(&["call", "nobody", "x", "--broker", at]));
    let rows = super::support::eventually("both services", super::PATIENCE, || {
        let table = run(&["services", "--broker", at]).lines;
        (table.len() == 3 && table[1].contains(" 3/0 ")).then_some(table)
    });
    let cells = |row: &str| row.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(rows[0], HEAD);
    assert_eq!(cells(&rows[1])[..3], ["echo", "3/0", "0"]);
    assert_eq!(cells(&rows[2])[..3], ["nobody", "0/0", "1"]);
    assert!(rows.iter().all(|row| row.len() == HEAD.len()), "{rows:#?}");
}

#[test]
fn a_broker_that_is_away_does_not_hide_the_others() {
    let broker = Server::broker(&[]);
    let _worker = worker("echo", &broker.endpoint, &[]);
    call("echo", "x", &broker.endpoint, &[]);
    let gone = "ipc:///tmp/playhouse-nobody-is-here";
    let complaint = format!("error: the broker at `{gone}` did not answer within 500ms (unavailable)");
    let words = ["services", "--broker", gone, "--broker", &broker.endpoint, "--timeout", "500ms"];
    let ended = complains(&words, 23, &[&complaint]);
    assert!(ended.lines[1].starts_with(&format!("echo ({})", broker.endpoint)), "{ended:?}");
    let alone = complains(&["services", "--broker", gone, "--timeout", "500ms"], 23, &[&complaint]);
    assert!(alone.lines.is_empty());
    let registry = "ipc:///tmp/playhouse-no-registry-is-here";
    complains(&["services", "--registry", registry, "--timeout", "500ms"], 23, &["no broker is known within 500ms"]);
}

#[test]
fn a_broker_of_others_is_called_that() {
    let broker = python::broker("broker_v1", &[]);
    let words = ["services", "--broker", &broker.endpoint, "--protocol", "0.1", "--timeout", "5s"];
    complains(&words, 19, &[&broker.endpoint, "it is no playhouse broker", "(unsupported)"]);
}
