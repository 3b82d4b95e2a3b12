//! Ours and pyzmq's, in every role and every combination, as processes of their own. The peers on pyzmq are in
//! `mdp/tests/peers`: they were written from the RFCs and share nothing with ours.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use support::PATIENCE;
use support::playhouse::{Server, call, serves, worker};
use support::python;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Maker {
    Ours,
    Pyzmq,
}

use Maker::{Ours, Pyzmq};

const COMBINATIONS: [[Maker; 3]; 8] = [
    [Ours, Ours, Ours],
    [Ours, Ours, Pyzmq],
    [Ours, Pyzmq, Ours],
    [Ours, Pyzmq, Pyzmq],
    [Pyzmq, Ours, Ours],
    [Pyzmq, Ours, Pyzmq],
    [Pyzmq, Pyzmq, Ours],
    [Pyzmq, Pyzmq, Pyzmq],
];

/// Has requests go from a client through a broker to a worker and back, each of its own maker.
#[track_caller]
fn speak(version: &str, [client, broker, by]: [Maker; 3]) {
    let peers = version.strip_prefix("0.").unwrap();
    let broker = match broker {
        Ours => Server::broker(&[]),
        Pyzmq => python::broker(&format!("broker_v{peers}"), &[]),
    };
    let endpoint = broker.endpoint.as_str();
    let _worker = match by {
        Ours => worker("echo", endpoint, &["--protocol", version]),
        Pyzmq => python::start(&format!("worker_v{peers}"), &[endpoint, "echo"]),
    };
    // Until the worker is there, the broker keeps the request.
    match client {
        Ours => {
            for body in ["a body", "another"] {
                assert_eq!(call("echo", body, endpoint, &["--protocol", version]), [body]);
            }
        }
        Pyzmq => {
            let words = [endpoint, "echo", "--echo", "20"];
            let mut client = python::start(&format!("client_v{peers}"), &words);
            assert_eq!(client.succeeded(PATIENCE), ["echoed 20"]);
        }
    }
}

#[test]
fn ours_and_pyzmq_speak_version_0_1_in_all_eight_combinations() {
    for makers in COMBINATIONS {
        speak("0.1", makers);
        println!("INTEROP 0.1 client {:?} broker {:?} worker {:?}", makers[0], makers[1], makers[2]);
    }
}

#[test]
fn ours_and_pyzmq_speak_version_0_2_in_all_eight_combinations() {
    for makers in COMBINATIONS {
        speak("0.2", makers);
        println!("INTEROP 0.2 client {:?} broker {:?} worker {:?}", makers[0], makers[1], makers[2]);
    }
}

#[test]
fn a_req_socket_is_a_client_of_version_0_1() {
    let broker = Server::broker(&[]);
    let endpoint = broker.endpoint.as_str();
    let _worker = python::start("worker_v1", &[endpoint, "echo"]);
    let mut client = python::start("client_v1", &["--req", endpoint, "echo", "--echo", "100", "--frames", "3"]);
    assert_eq!(client.succeeded(PATIENCE), ["echoed 100"]);
}

#[test]
fn bodies_of_several_frames_pass_as_they_are() {
    let broker = Server::broker(&[]);
    let endpoint = broker.endpoint.as_str();
    for version in ["1", "2"] {
        let service = format!("echo {version}");
        let _worker = python::start(&format!("worker_v{version}"), &[endpoint, &service]);
        let words = [endpoint, &service, "--echo", "200", "--frames", "5"];
        let mut client = python::start(&format!("client_v{version}"), &words);
        assert_eq!(client.succeeded(PATIENCE), ["echoed 200"]);
    }
}

#[test]
fn a_reply_in_parts_comes_in_order() {
    let broker = Server::broker(&[]);
    let endpoint = broker.endpoint.as_str();
    let _worker = python::start("worker_v2", &[endpoint, "parts", "--partials", "3"]);
    let mut client = python::start("client_v2", &[endpoint, "parts", "the last"]);
    let expected = ["partial part 0", "partial part 1", "partial part 2", "final the last"];
    assert_eq!(client.succeeded(PATIENCE), expected);
    assert_eq!(call("parts", "the last", endpoint, &[]), ["part 0", "part 1", "part 2", "the last"]);
}

#[test]
fn a_part_after_the_last_one_has_its_worker_sent_away() {
    let broker = Server::broker(&[]);
    let endpoint = broker.endpoint.as_str();
    let worker = python::start("worker_v2", &[endpoint, "echo", "--one-too-many"]);
    worker.says("ready", PATIENCE);
    assert_eq!(call("echo", "body", endpoint, &[]), ["body"]);
    worker.says("disconnected", PATIENCE);
    worker.says("ready", PATIENCE);
}

#[test]
fn the_broker_answers_for_itself() {
    let broker = Server::broker(&[]);
    let endpoint = broker.endpoint.as_str();
    let _worker = python::start("worker_v1", &[endpoint, "echo"]);
    serves("echo", endpoint, PATIENCE);
    for (version, prefix) in [("1", ""), ("2", "final ")] {
        for (service, body, code) in
            [("mmi.service", "echo", "200"), ("mmi.service", "nobody", "404"), ("mmi.nothing", "echo", "501")]
        {
            let mut client = python::start(&format!("client_v{version}"), &[endpoint, service, body]);
            assert_eq!(client.succeeded(PATIENCE), [format!("{prefix}{code}")], "{service} {body}");
        }
    }
}

#[test]
fn a_request_whose_worker_is_killed_goes_to_another_one() {
    let settings = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(settings.path(), "[broker]\nheartbeat = \"200ms\"\n").unwrap();
    let broker = Server::broker(&["--settings", settings.path().to_str().unwrap()]);
    let endpoint = broker.endpoint.as_str();
    let deadly = python::start("worker_v1", &[endpoint, "echo", "--die-after", "0", "--interval", "0.2"]);
    serves("echo", endpoint, PATIENCE);
    let mut client = python::start("client_v1", &[endpoint, "echo", "body", "--timeout", "15"]);
    deadly.says("request", PATIENCE);
    let other = python::start("worker_v1", &[endpoint, "echo", "--interval", "0.2"]);
    assert_eq!(client.succeeded(PATIENCE), ["body"]);
    other.says("request", PATIENCE);
}

#[test]
fn workers_come_again_after_the_broker_was_killed() {
    let mut broker = Server::broker(&[]);
    let endpoint = broker.endpoint.clone();
    let workers = ["1", "2"].map(|version| {
        let worker = python::start(&format!("worker_v{version}"), &[&endpoint, &format!("echo {version}")]);
        worker.says("ready", PATIENCE);
        worker
    });
    let _ours = worker("echo ours", &endpoint, &[]);
    serves("echo ours", &endpoint, PATIENCE);
    broker.process.kill();
    let _again = Server::broker_at(&endpoint, &[]);
    for service in ["echo 1", "echo 2", "echo ours"] {
        serves(service, &endpoint, Duration::from_secs(10));
        assert_eq!(call(service, "again", &endpoint, &[]), ["again"]);
    }
    for worker in &workers {
        // The new one does not know it, and sends it away once.
        worker.says("disconnected", PATIENCE);
    }
}

#[test]
fn the_beats_of_zeromq_itself_are_answered() {
    let broker = Server::broker(&[]);
    let endpoint = broker.endpoint.as_str();
    let _worker = python::start("worker_v1", &[endpoint, "slow", "--slow", "1"]);
    let mut client = python::start("client_v1", &[endpoint, "slow", "body", "--ping", "100"]);
    assert_eq!(client.succeeded(PATIENCE), ["body"]);
}

#[test]
fn a_broker_that_is_told_to_stop_sends_its_workers_away() {
    let mut broker = Server::broker(&[]);
    let endpoint = broker.endpoint.clone();
    let workers = ["worker_v1", "worker_v2"].map(|name| {
        let worker = python::start(name, &[&endpoint, name]);
        serves(name, &endpoint, PATIENCE);
        worker
    });
    broker.process.terminate();
    broker.process.succeeded(PATIENCE);
    for worker in &workers {
        worker.says("disconnected", PATIENCE);
    }
}
