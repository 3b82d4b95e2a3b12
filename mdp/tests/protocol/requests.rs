//! T: how requests find workers, wait, and end.

use std::time::Duration;

use playhouse_engine::Kind;
use playhouse_mdp::protocol::{Version, encode};

use crate::stage::{Stage, VERSIONS, address, assignment, body, check_failure, reply, service};

#[test]
fn t3_the_worker_that_waits_longest_is_next() {
    for version in VERSIONS {
        let mut stage = Stage::default();
        for worker in ["w1", "w2", "w3"] {
            stage.ready(version, worker, "echo");
        }
        assert_eq!(stage.ask(version, "c", "echo", "1"), [assignment(version, "w1", "c", "1")]);
        stage.answer(version, "w1", "c", "a");
        for (worker, question) in [("w2", "2"), ("w3", "3"), ("w1", "4")] {
            assert_eq!(stage.ask(version, "c", "echo", question), [assignment(version, worker, "c", question)]);
        }
    }
}

#[test]
fn t4_services_have_workers_of_their_own() {
    let mut stage = Stage::default();
    stage.ready(Version::V2, "w1", "one");
    stage.ready(Version::V2, "w2", "two");
    assert_eq!(stage.ask(Version::V2, "c", "two", "q"), [assignment(Version::V2, "w2", "c", "q")]);
    assert_eq!(stage.ask(Version::V2, "c", "two", "q"), []);
    assert_eq!((stage.workers("one"), stage.workers("two")), ((1, 1), (1, 0)));
}

#[test]
fn t5_a_worker_never_holds_two_requests() {
    for version in VERSIONS {
        let mut stage = Stage::default();
        stage.ready(version, "w", "echo");
        assert_eq!(stage.ask(version, "c1", "echo", "1"), [assignment(version, "w", "c1", "1")]);
        assert_eq!(stage.ask(version, "c2", "echo", "2"), []);
        let sent = stage.answer(version, "w", "c1", "a");
        assert_eq!(sent, [reply(version, "c1", "echo", "a"), assignment(version, "w", "c2", "2")]);
    }
}

#[test]
fn t6_requests_wait_in_the_order_in_which_they_came() {
    let mut stage = Stage::default();
    for question in ["1", "2", "3"] {
        assert_eq!(stage.ask(Version::V2, "c", "echo", question), []);
    }
    assert_eq!(stage.ready(Version::V2, "w", "echo"), [assignment(Version::V2, "w", "c", "1")]);
    for (answer, question) in [("a", "2"), ("b", "3")] {
        let sent = stage.answer(Version::V2, "w", "c", answer);
        assert_eq!(sent[1], assignment(Version::V2, "w", "c", question));
    }
}

#[test]
fn t7_a_request_that_no_worker_comes_for_expires_in_silence_and_is_counted() {
    for version in VERSIONS {
        let mut stage = Stage::default();
        stage.ask(version, "c", "echo", "q");
        assert_eq!(stage.pass(Duration::from_millis(29_900)), []);
        assert_eq!((stage.accounts().queued, stage.service("echo").oldest_wait_ms), (1, 29_900));
        assert_eq!(stage.pass(Duration::from_millis(100)), []);
        assert_eq!((stage.accounts().queued, stage.accounts().expired), (0, 1));
        assert_eq!(stage.ready(version, "w", "echo"), []);
    }
}

#[test]
fn t7_a_client_of_ours_is_told_that_its_request_expired() {
    for version in VERSIONS {
        let mut stage = Stage::default();
        stage.ask(version, "ph:c", "echo", "q");
        let sent = stage.pass(Duration::from_secs(30));
        check_failure(version, "ph:c", &sent, Kind::Timeout);
    }
}

#[test]
fn t7_only_what_has_waited_too_long_expires() {
    let mut stage = Stage::default();
    stage.ask(Version::V2, "c1", "echo", "old");
    stage.pass(Duration::from_secs(20));
    stage.ask(Version::V2, "c2", "echo", "young");
    stage.pass(Duration::from_secs(15));
    assert_eq!((stage.accounts().expired, stage.accounts().queued), (1, 1));
    assert_eq!(stage.ready(Version::V2, "w", "echo"), [assignment(Version::V2, "w", "c2", "young")]);
}

/// T8: the identity of a socket is what tells the old request of a client from its new one.
#[test]
fn t8_a_late_reply_goes_to_the_socket_that_asked_and_to_no_other() {
    let mut stage = Stage::default();
    stage.ready(Version::V2, "w1", "echo");
    stage.ready(Version::V2, "w2", "echo");
    stage.ask(Version::V2, "old socket", "echo", "q");
    stage.ask(Version::V2, "new socket", "echo", "q");
    assert_eq!(stage.answer(Version::V2, "w1", "old socket", "a"), [reply(Version::V2, "old socket", "echo", "a")]);
    assert_eq!(stage.answer(Version::V2, "w2", "new socket", "a"), [reply(Version::V2, "new socket", "echo", "a")]);
}

#[test]
fn t10_a_reply_to_a_client_that_is_gone_leaves_the_worker_idle() {
    for version in VERSIONS {
        let mut stage = Stage::default();
        stage.ready(version, "w", "echo");
        stage.ask(version, "c", "echo", "q");
        assert_eq!(stage.answer(version, "w", "c", "a").len(), 1);
        assert_eq!(stage.unreachable("c"), []);
        assert_eq!(stage.workers("echo"), (1, 1));
        assert_eq!(stage.broker.statistics(stage.now).counters.undeliverable, 1);
        assert_eq!(stage.ask(version, "d", "echo", "q"), [assignment(version, "w", "d", "q")]);
    }
}

#[test]
fn a_service_without_workers_and_requests_is_forgotten() {
    let mut stage = Stage::default();
    stage.ready(Version::V2, "w", "echo");
    stage.receive("w", encode::disconnect(Version::V2));
    assert!(!stage.knows("echo"));
    stage.ask(Version::V2, "c", "echo", "q");
    assert!(stage.knows("echo"));
    stage.pass(Duration::from_secs(31));
    assert!(!stage.knows("echo"));
}

#[test]
fn the_statistics_of_a_service_say_what_is_done_and_what_waits() {
    let mut stage = Stage::default();
    stage.ready(Version::V2, "w1", "echo");
    stage.ready(Version::V2, "w2", "echo");
    for _ in 0..200 {
        stage.pass_with_beats(Duration::from_millis(100), &[(Version::V2, "w1"), (Version::V2, "w2")]);
        let sent = stage.receive("c", encode::request(Version::V2, &service("echo"), body(&["q"])));
        let worker = std::str::from_utf8(sent[0].0.as_bytes()).unwrap().to_owned();
        stage.answer(Version::V2, &worker, "c", "a");
    }
    (0..3).for_each(|_| drop(stage.ask(Version::V2, "c", "echo", "q")));
    stage.now += Duration::from_millis(70);
    let found = stage.service("echo");
    assert_eq!((found.workers, found.idle, found.busy, found.queued), (2, 0, 2, 1));
    assert_eq!((found.requests, found.replies, found.oldest_wait_ms), (203, 200, 70));
    assert!((9.0..11.0).contains(&found.rate), "{}", found.rate);
    assert_eq!(stage.broker.idle_workers(&service("echo")), 0);
    assert_eq!(address("c"), stage.ask(Version::V2, "c", "mmi.x", "")[0].0);
}
