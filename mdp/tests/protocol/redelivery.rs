//! T9 and D2: a request outlives its workers, within bounds.

use std::time::Duration;

use playhouse_engine::Kind;
use playhouse_mdp::protocol::{BrokerSettings, Version, encode};

use crate::stage::{Stage, VERSIONS, assignment, check_failure, disconnect, failure, part, raw, reply};

const V2: Version = Version::V2;

#[test]
fn t9_the_request_of_a_worker_that_died_goes_to_another() {
    for version in VERSIONS {
        let mut stage = Stage::default();
        stage.ready(version, "ph:w1", "echo");
        stage.ask(version, "c", "echo", "q");
        stage.ready(version, "w2", "echo");
        let sent = stage.pass_with_beats(Duration::from_secs(8), &[(version, "w2")]);
        assert!(sent.contains(&assignment(version, "w2", "c", "q")), "{sent:?}");
        assert_eq!(stage.answer(version, "w2", "c", "a"), [reply(version, "c", "echo", "a")]);
        // The first one was only slow: its answer is not passed on a second time.
        assert_eq!(stage.answer(version, "ph:w1", "c", "a"), [disconnect(version, "ph:w1")]);
        assert_eq!((stage.accounts().replied, stage.service("echo").redelivered), (1, 1));
    }
}

#[test]
fn d2_a_request_that_three_workers_did_not_survive_fails() {
    for (client, is_told) in [("c", false), ("ph:c", true)] {
        let mut stage = Stage::default();
        stage.ask(V2, client, "echo", "poison");
        for worker in ["w1", "w2"] {
            assert_eq!(stage.ready(V2, worker, "echo"), [assignment(V2, worker, client, "poison")]);
            assert_eq!(stage.receive(worker, raw(&[b"?"])), [disconnect(V2, worker)]);
        }
        stage.ready(V2, "w3", "echo");
        let sent = stage.receive("w3", encode::disconnect(V2));
        if is_told {
            let error = failure(V2, client, &sent);
            let expected = "no worker of `echo` has answered; 3 were lost over the request";
            assert_eq!((error.kind(), error.message()), (Kind::Unavailable, expected));
        } else {
            assert_eq!(sent, []);
        }
        assert_eq!((stage.accounts().failed, stage.accounts().queued), (1, 0));
        assert_eq!(stage.ready(V2, "w4", "echo"), []);
    }
}

#[test]
fn d2_how_often_a_request_is_given_to_a_worker_is_a_setting() {
    let mut stage = Stage::new(BrokerSettings { attempts: 1, ..BrokerSettings::default() });
    stage.ready(V2, "w1", "echo");
    stage.ready(V2, "w2", "echo");
    stage.ask(V2, "ph:c", "echo", "q");
    check_failure(V2, "ph:c", &stage.gone("w1"), Kind::Unavailable);
}

#[test]
fn d2_a_request_that_never_left_was_given_to_nobody() {
    for version in VERSIONS {
        let mut stage = Stage::new(BrokerSettings { attempts: 1, ..BrokerSettings::default() });
        for worker in ["w1", "w2", "w3"] {
            stage.ready(version, worker, "echo");
        }
        // Workers that died while they were idle are found out when the socket does not take what is for them.
        assert_eq!(stage.ask(version, "ph:c", "echo", "q"), [assignment(version, "w1", "ph:c", "q")]);
        assert_eq!(stage.unreachable("w1"), [assignment(version, "w2", "ph:c", "q")]);
        assert_eq!(stage.unreachable("w2"), [assignment(version, "w3", "ph:c", "q")]);
        // This one got it, and died later.
        stage.pass(Duration::from_millis(1));
        check_failure(version, "ph:c", &stage.unreachable("w3"), Kind::Unavailable);
    }
}

#[test]
fn d2_what_comes_back_keeps_its_place_before_the_others() {
    let mut stage = Stage::default();
    for worker in ["w1", "w2", "w3"] {
        stage.ready(V2, worker, "echo");
    }
    for question in ["1", "2", "3", "4", "5"] {
        stage.ask(V2, "c", "echo", question);
    }
    // In whatever order the workers go.
    for worker in ["w2", "w3", "w1"] {
        assert_eq!(stage.gone(worker), []);
    }
    for (worker, question) in [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4"), ("e", "5")] {
        assert_eq!(stage.ready(V2, worker, "echo"), [assignment(V2, worker, "c", question)]);
    }
}

#[test]
fn d2_the_time_to_wait_counts_anew_for_what_comes_back() {
    let mut stage = Stage::default();
    stage.ready(V2, "w", "echo");
    stage.ask(V2, "c", "echo", "q");
    stage.pass(Duration::from_secs(100));
    stage.gone("w");
    stage.pass(Duration::from_secs(29));
    assert_eq!(stage.accounts().queued, 1);
    stage.pass(Duration::from_secs(1));
    assert_eq!(stage.accounts().expired, 1);
}

#[test]
fn d2_when_several_workers_die_at_once_no_request_goes_from_one_to_the_other() {
    let mut stage = Stage::default();
    for worker in ["ph:w1", "ph:w2", "ph:w3"] {
        stage.ready(V2, worker, "echo");
    }
    stage.ask(V2, "c", "echo", "q");
    let sent = stage.pass(Duration::from_secs(8));
    assert!(sent.iter().all(|(_, frames)| *frames == encode::heartbeat(V2)), "{sent:?}");
    assert_eq!(stage.service("echo").queued, 1);
}

#[test]
fn a_request_of_which_a_part_has_gone_out_fails_with_its_worker() {
    let mut stage = Stage::default();
    stage.ready(V2, "w1", "echo");
    stage.ready(V2, "w2", "echo");
    stage.ask(V2, "ph:c", "echo", "q");
    assert_eq!(stage.part("w1", "ph:c", "p"), [part("ph:c", "echo", "p")]);
    let error = failure(V2, "ph:c", &stage.gone("w1"));
    let expected = "a worker of `echo` was lost when it had sent 1 parts of its answer";
    assert_eq!((error.kind(), error.message()), (Kind::Unavailable, expected));
    assert_eq!(stage.workers("echo"), (1, 1));
}

#[test]
fn parts_that_nobody_has_seen_are_no_hindrance() {
    let mut stage = Stage::default();
    stage.ready(V2, "w1", "echo");
    stage.ready(V2, "w2", "echo");
    stage.ask(Version::V1, "c", "echo", "q");
    stage.part("w1", "c", "p");
    assert_eq!(stage.gone("w1"), [assignment(V2, "w2", "c", "q")]);
    assert_eq!(stage.answer(V2, "w2", "c", "a"), [reply(Version::V1, "c", "echo", "a")]);
}
