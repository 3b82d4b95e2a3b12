//! `playhouse call`: what comes back is what was sent, and what goes wrong has a kind.

use std::fs;
use std::process::Command;

use super::support::PATIENCE;
use super::support::playhouse::{Server, call, playhouse, worker};
use super::support::process::Process;
use super::{complains, fails, shell};

/// Has `words` read `input`, and returns the exit code, what was printed, and what was complained of.
#[track_caller]
fn pipe(words: &[&str], input: &[u8]) -> (Option<i32>, Vec<u8>, String) {
    let folder = tempfile::tempdir().unwrap();
    let (from, into) = (folder.path().join("in"), folder.path().join("out"));
    fs::write(&from, input).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", r#"exec "$0" "$@" < "$FROM" > "$INTO""#, env!("CARGO_BIN_EXE_playhouse")]).args(words);
    let ended = Process::start(command.env("FROM", &from).env("INTO", &into)).ended(PATIENCE);
    (ended.code, fs::read(into).unwrap(), ended.complaints)
}

#[test]
fn every_body_comes_back_as_it_was_with_both_versions() {
    let broker = Server::broker(&[]);
    let at = &broker.endpoint;
    let _worker = worker("echo", at, &[]);
    let _old = worker("echo-old", at, &["--protocol", "0.1"]);
    let all: Vec<u8> = (0..=255).collect();
    for (service, version) in [("echo", "0.1"), ("echo", "0.2"), ("echo-old", "0.1"), ("echo-old", "0.2")] {
        let words = ["call", service, "-", "--raw", "--broker", at, "--protocol", version];
        for body in [&all[..], b"", &vec![b'x'; 1024 * 1024]] {
            let (code, printed, complaints) = pipe(&words, body);
            assert_eq!((code, complaints.as_str()), (Some(0), ""));
            assert!(printed == body, "{} bytes, found {}", body.len(), printed.len());
        }
    }
    assert_eq!(pipe(&["call", "echo", "line", "--broker", at], b"").1, b"line\n");
    assert_eq!(pipe(&["call", "echo", "line\n", "--broker", at], b"").1, b"line\n");
    assert_eq!(pipe(&["call", "echo", "", "--broker", at], b"").1, b"");
}

#[test]
fn a_closed_standard_input_is_an_empty_body() {
    let broker = Server::broker(&[]);
    let _worker = shell("size", &broker.endpoint, &[], "wc -c");
    let mut command = Command::new("sh");
    let script = r#"exec "$0" call size - --broker "$1" <&-"#;
    let command = command.args(["-c", script, env!("CARGO_BIN_EXE_playhouse"), &broker.endpoint]);
    assert_eq!(Process::start(command).succeeded(PATIENCE), ["0"]);
}

#[test]
fn a_body_over_the_limits_of_the_broker_ends_soon_as_too_large() {
    let broker = Server::broker(&[]);
    let _worker = worker("echo", &broker.endpoint, &[]);
    let words = ["call", "echo", "-", "--broker", &broker.endpoint, "--timeout", "1h"];
    for (size, complaint) in [
        (1024 * 1024 + 1, "error: a frame is too large; expected at most 1048576 bytes (too-large)\n"),
        (5 * 1024 * 1024, "error: a frame is too large; expected at most 1048576 bytes (too-large)\n"),
        (
            9_000_000,
            "error: the request has 9000000 bytes, and a broker takes 8388608 unless its settings say otherwise",
        ),
    ] {
        let (code, printed, complaints) = pipe(&words, &vec![0; size]);
        assert_eq!((code, printed.len()), (Some(18), 0));
        assert!(complaints.starts_with(complaint), "{complaints}");
    }
}

#[test]
fn where_nobody_answers_it_says_who_did_not() {
    let broker = Server::broker(&[]);
    let at = broker.endpoint.as_str();
    fails(
        &["call", "nobody", "x", "--broker", at, "--timeout", "200ms"],
        15,
        "error: no reply from `nobody` within 200ms (timeout)",
    );
    let gone = "ipc:///tmp/playhouse-nobody-is-here";
    let complaint = format!("error: no broker could be reached for `a` within 200ms: tried `{gone}` (unavailable)");
    fails(&["call", "a", "x", "--broker", gone, "--timeout", "200ms"], 23, &complaint);
    // With one that lives beside it, it is found.
    let _worker = worker("echo", at, &[]);
    assert_eq!(call("echo", "found", at, &["--broker", gone]), ["found"]);
}

#[test]
fn an_output_that_takes_nothing_is_no_panic() {
    let broker = Server::broker(&[]);
    let _worker = worker("echo", &broker.endpoint, &[]);
    for words in [&["call", "echo", "x", "--broker", &broker.endpoint][..], &["services", "--broker", &broker.endpoint]]
    {
        for (redirection, code) in [("> /dev/full", 23), ("| true", 0), (">&-", 0)] {
            let script = format!(r#""$0" "$@" {redirection}"#);
            let mut command = Command::new("sh");
            let ended = Process::start(command.args(["-c", &script, env!("CARGO_BIN_EXE_playhouse")]).args(words))
                .ended(PATIENCE);
            assert_eq!(ended.code, Some(code), "{script}: {ended:?}");
            assert!(!ended.complaints.contains("panicked"), "{script}: {ended:?}");
        }
    }
}

#[test]
fn the_broker_itself_answers_for_its_own_services() {
    let broker = Server::broker(&[]);
    let at = broker.endpoint.as_str();
    assert_eq!(call("mmi.service", "nobody", at, &[]), ["404"]);
    assert_eq!(call("mmi.nothing", "", at, &["--protocol", "0.1"]), ["501"]);
    complains(&["reply", &"0".repeat(32), "--broker", at, "--timeout", "200ms"], 15, &["(timeout)"]);
    assert_eq!(Process::start(&mut playhouse(&["--version"])).succeeded(PATIENCE).len(), 1);
}
