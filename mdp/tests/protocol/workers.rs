//! S: what the broker expects of a worker, and what becomes of one that does otherwise.

use playhouse_engine::Kind;
use playhouse_mdp::protocol::{Version, encode};

use crate::stage::{Stage, VERSIONS, address, assignment, body, disconnect, raw, reply};

#[test]
fn s1_ready_registers_a_worker_without_an_answer() {
    for version in VERSIONS {
        let mut stage = Stage::default();
        assert_eq!(stage.ready(version, "w", "echo"), []);
        assert_eq!(stage.workers("echo"), (1, 1));
    }
}

#[test]
fn s1_a_request_that_waits_goes_to_a_new_worker_at_once() {
    for version in VERSIONS {
        let mut stage = Stage::default();
        stage.ask(version, "c", "echo", "q");
        assert_eq!(stage.ready(version, "w", "echo"), [assignment(version, "w", "c", "q")]);
        assert_eq!(stage.workers("echo"), (1, 0));
    }
}

#[test]
fn s2_a_registered_worker_that_says_ready_again_is_disconnected() {
    for version in VERSIONS {
        let mut stage = Stage::default();
        stage.ready(version, "w", "echo");
        assert_eq!(stage.ready(version, "w", "echo"), [disconnect(version, "w")]);
        assert_eq!(stage.workers("echo"), (0, 0));
        assert_eq!(stage.ask(version, "c", "echo", "q"), []);
        assert_eq!(stage.tick(), []);
    }
}

#[test]
fn s2_the_request_of_a_worker_that_says_ready_again_waits_for_another() {
    for version in VERSIONS {
        let mut stage = Stage::default();
        stage.ready(version, "w", "echo");
        stage.ask(version, "c", "echo", "q");
        assert_eq!(stage.ready(version, "w", "other"), [disconnect(version, "w")]);
        assert_eq!(stage.ready(version, "w2", "echo"), [assignment(version, "w2", "c", "q")]);
    }
}

#[test]
fn s3_a_worker_that_is_not_known_is_told_to_begin_anew() {
    for version in VERSIONS {
        let mut stage = Stage::default();
        assert_eq!(stage.beat(version, "w"), [disconnect(version, "w")]);
        assert_eq!(stage.answer(version, "w", "c", "a"), [disconnect(version, "w")]);
        assert_eq!(stage.workers("echo"), (0, 0));
    }
    assert_eq!(Stage::default().part("w", "c", "a"), [disconnect(Version::V2, "w")]);
}

#[test]
fn s4_an_answer_of_an_idle_worker_is_not_passed_on() {
    for version in VERSIONS {
        let mut stage = Stage::default();
        stage.ready(version, "w", "echo");
        assert_eq!(stage.answer(version, "w", "c", "a"), [disconnect(version, "w")]);
        assert_eq!(stage.workers("echo"), (0, 0));
    }
    let mut stage = Stage::default();
    stage.ready(Version::V2, "w", "echo");
    assert_eq!(stage.part("w", "c", "a"), [disconnect(Version::V2, "w")]);
}

#[test]
fn s5_an_answer_for_another_client_is_not_passed_on_and_the_request_waits() {
    for version in VERSIONS {
        let mut stage = Stage::default();
        stage.ready(version, "w", "echo");
        stage.ask(version, "c", "echo", "q");
        assert_eq!(stage.answer(version, "w", "victim", "a"), [disconnect(version, "w")]);
        assert_eq!(stage.ready(version, "w2", "echo"), [assignment(version, "w2", "c", "q")]);
    }
    let mut stage = Stage::default();
    stage.ready(Version::V2, "w", "echo");
    stage.ask(Version::V2, "c", "echo", "q");
    assert_eq!(stage.part("w", "victim", "a"), [disconnect(Version::V2, "w")]);
}

#[test]
fn s6_a_disconnect_has_no_answer_and_its_request_goes_to_another() {
    for version in VERSIONS {
        let mut stage = Stage::default();
        assert_eq!(stage.receive("w1", encode::disconnect(version)), []);
        stage.ready(version, "w1", "echo");
        stage.ask(version, "c", "echo", "q");
        stage.ready(version, "w2", "echo");
        assert_eq!(stage.receive("w1", encode::disconnect(version)), [assignment(version, "w2", "c", "q")]);
        assert_eq!(stage.answer(version, "w2", "c", "a"), [reply(version, "c", "echo", "a")]);
    }
}

#[test]
fn s7_at_the_end_every_worker_is_disconnected() {
    let mut stage = Stage::default();
    stage.ready(Version::V1, "w1", "one");
    stage.ready(Version::V2, "w2", "two");
    let mut sent = stage.sent(|broker, _, outputs| broker.disconnect_all(outputs));
    sent.sort();
    assert_eq!(sent, [disconnect(Version::V1, "w1"), disconnect(Version::V2, "w2")]);
    assert_eq!((stage.workers("one"), stage.workers("two")), ((0, 0), (0, 0)));
}

#[test]
fn s8_nothing_goes_to_a_disconnected_worker_until_it_says_ready() {
    for version in VERSIONS {
        let mut stage = Stage::default();
        stage.ready(version, "w", "echo");
        stage.ready(version, "w", "echo");
        assert_eq!(stage.ask(version, "c", "echo", "q"), []);
        assert_eq!(stage.pass(std::time::Duration::from_secs(20)), []);
        assert_eq!(stage.ready(version, "w", "echo"), [assignment(version, "w", "c", "q")]);
    }
}

#[test]
fn s9_a_worker_is_the_same_to_the_broker_with_another_socket() {
    let mut stage = Stage::default();
    stage.ready(Version::V2, "socket 1", "echo");
    stage.ready(Version::V2, "socket 1", "echo");
    assert_eq!(stage.ready(Version::V2, "socket 2", "echo"), []);
    assert_eq!(stage.ask(Version::V2, "c", "echo", "q"), [assignment(Version::V2, "socket 2", "c", "q")]);
}

#[test]
fn s10_a_worker_that_says_what_only_a_broker_may_is_disconnected() {
    for version in VERSIONS {
        let mut stage = Stage::default();
        let request = encode::assignment(version, &address("c"), &body(&["q"]));
        assert_eq!(stage.receive("stranger", request.clone()), [disconnect(version, "stranger")]);
        stage.ready(version, "w", "echo");
        assert_eq!(stage.receive("w", request), [disconnect(version, "w")]);
        assert_eq!(stage.workers("echo"), (0, 0));
    }
}

#[test]
fn a_worker_that_the_socket_cannot_reach_loses_its_request_to_another() {
    for version in VERSIONS {
        let mut stage = Stage::default();
        stage.ready(version, "w1", "echo");
        stage.ready(version, "w2", "echo");
        stage.ask(version, "c", "echo", "q");
        assert_eq!(stage.unreachable("w1"), [assignment(version, "w2", "c", "q")]);
        assert_eq!(stage.workers("echo"), (1, 0));
    }
}

#[test]
fn a_worker_that_comes_and_goes_is_one_worker_in_the_line_of_the_idle() {
    let mut stage = Stage::default();
    for _ in 0..1000 {
        stage.ready(Version::V2, "w", "echo");
        stage.receive("w", encode::disconnect(Version::V2));
    }
    stage.ready(Version::V2, "w", "echo");
    stage.ready(Version::V2, "x", "echo");
    assert_eq!(stage.workers("echo"), (2, 2));
    assert_eq!(stage.ask(Version::V2, "c", "echo", "1"), [assignment(Version::V2, "w", "c", "1")]);
    assert_eq!(stage.ask(Version::V2, "c", "echo", "2"), [assignment(Version::V2, "x", "c", "2")]);
    assert_eq!(stage.ask(Version::V2, "c", "echo", "3"), []);
}

/// E8.
#[test]
fn a_worker_that_asks_like_a_client_is_disconnected() {
    for version in VERSIONS {
        let mut stage = Stage::default();
        stage.ready(version, "w", "echo");
        assert_eq!(stage.ask(version, "w", "echo", "q"), [disconnect(version, "w")]);
        assert_eq!((stage.workers("echo"), stage.accounts().refused), ((0, 0), 1));
    }
}

/// E8: a client that becomes a worker is a worker; what it asked before is answered.
#[test]
fn a_client_that_says_ready_becomes_a_worker() {
    let mut stage = Stage::default();
    stage.ask(Version::V2, "peer", "echo", "q");
    assert_eq!(stage.ready(Version::V2, "peer", "other"), []);
    stage.ready(Version::V2, "w", "echo");
    assert_eq!(stage.answer(Version::V2, "w", "peer", "a"), [reply(Version::V2, "peer", "echo", "a")]);
}

/// E9: a REQ socket puts an empty frame before what it sends, which makes it MDP 0.1 to the letter.
#[test]
fn a_req_peer_that_says_ready_is_a_worker_of_the_first_version() {
    let mut stage = Stage::default();
    assert_eq!(stage.receive("req", raw(&[b"", b"MDPW01", b"\x01", b"echo"])), []);
    assert_eq!(stage.ask(Version::V1, "c", "echo", "q"), [assignment(Version::V1, "req", "c", "q")]);
    assert_eq!(stage.receive("req", raw(&[b"", b"MDPW02", b"\x01", b"echo"])), [disconnect(Version::V1, "req")]);
}

#[test]
fn a_client_of_ours_hears_when_no_worker_survived_its_request() {
    let mut stage = Stage::default();
    stage.ask(Version::V2, "ph:c", "echo", "q");
    let mut sent = Vec::new();
    for worker in ["w1", "w2", "w3"] {
        assert_eq!(stage.ready(Version::V2, worker, "echo").len(), 1);
        sent = stage.gone(worker);
    }
    crate::stage::check_failure(Version::V2, "ph:c", &sent, Kind::Unavailable);
}
