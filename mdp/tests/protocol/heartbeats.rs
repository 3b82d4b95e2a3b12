//! H: who is alive.

use std::time::Duration;

use playhouse_mdp::protocol::{BrokerSettings, Version, encode};

use crate::stage::{Stage, VERSIONS, assignment, disconnect, heartbeat, reply};

const BEAT: Duration = Duration::from_millis(2500);
const LIFETIME: Duration = Duration::from_millis(7500);
const V2: Version = Version::V2;

#[test]
fn h1_the_interval_and_the_liveness_are_settings() {
    let settings = BrokerSettings { heartbeat: Duration::from_millis(100), liveness: 5, ..BrokerSettings::default() };
    let mut stage = Stage::new(settings);
    stage.ready(V2, "w", "echo");
    assert_eq!(stage.pass(Duration::from_millis(100)), [heartbeat(V2, "w")]);
    stage.pass(Duration::from_millis(390));
    assert_eq!(stage.workers("echo"), (1, 1));
    stage.pass(Duration::from_millis(10));
    assert_eq!(stage.workers("echo"), (0, 0));
}

#[test]
fn h2_a_worker_that_was_told_something_else_gets_no_heartbeat() {
    for version in VERSIONS {
        let mut stage = Stage::default();
        stage.ready(version, "w", "echo");
        stage.pass(BEAT - Duration::from_millis(500));
        stage.ask(version, "c", "echo", "q");
        assert_eq!(stage.pass(BEAT - Duration::from_millis(10)), []);
        assert_eq!(stage.pass(Duration::from_millis(10)), [heartbeat(version, "w")]);
    }
}

#[test]
fn h2_an_answer_and_a_part_of_one_count_as_heartbeats() {
    let mut stage = Stage::default();
    stage.ready(V2, "ph:w", "echo");
    for _ in 0..5 {
        stage.ask(V2, "c", "echo", "q");
        stage.pass(LIFETIME - Duration::from_secs(1));
        stage.part("ph:w", "c", "p");
        stage.pass(LIFETIME - Duration::from_secs(1));
        stage.answer(V2, "ph:w", "c", "a");
    }
    stage.pass(LIFETIME - Duration::from_secs(1));
    assert_eq!(stage.workers("echo"), (1, 1));
}

#[test]
fn h3_a_heartbeat_before_ready_registers_nobody() {
    for version in VERSIONS {
        let mut stage = Stage::default();
        assert_eq!(stage.beat(version, "w"), [disconnect(version, "w")]);
        assert_eq!(stage.pass(BEAT * 2), []);
    }
}

#[test]
fn h4_silent_workers_are_removed_all_of_them_and_hear_nothing_more() {
    for version in VERSIONS {
        let mut stage = Stage::default();
        for worker in ["w1", "w2", "w3"] {
            stage.ready(version, worker, "echo");
        }
        stage.pass_with_beats(Duration::from_secs(5), &[(version, "w2")]);
        stage.pass_with_beats(Duration::from_millis(2400), &[(version, "w2")]);
        assert_eq!(stage.workers("echo"), (3, 3));
        stage.pass(Duration::from_millis(100));
        assert_eq!(stage.workers("echo"), (1, 1));
        assert_eq!(stage.broker.statistics(stage.now).counters.silent, 2);
        let sent = stage.pass_with_beats(BEAT * 4, &[(version, "w2")]);
        assert!(!sent.is_empty() && sent.iter().all(|message| *message == heartbeat(version, "w2")), "{sent:?}");
        // Which of them is next does not depend on those that are gone.
        assert_eq!(stage.ask(version, "c", "echo", "q"), [assignment(version, "w2", "c", "q")]);
    }
}

#[test]
fn h4_a_removed_worker_that_lives_after_all_is_told_to_begin_anew() {
    let mut stage = Stage::default();
    stage.ready(V2, "w", "echo");
    stage.pass(LIFETIME);
    assert_eq!(stage.beat(V2, "w"), [disconnect(V2, "w")]);
}

#[test]
fn h6_the_end_of_a_worker_does_not_disturb_other_services() {
    let mut stage = Stage::default();
    stage.ready(V2, "w1", "one");
    stage.ready(V2, "w2", "two");
    stage.ask(V2, "c", "two", "q");
    stage.pass(LIFETIME);
    assert_eq!((stage.workers("one"), stage.workers("two")), ((0, 0), (1, 0)));
    assert_eq!(stage.answer(V2, "w2", "c", "a"), [reply(V2, "c", "two", "a")]);
}

#[test]
fn h7_a_worker_that_is_silent_while_it_works_may_be_so_until_the_busy_timeout() {
    for version in VERSIONS {
        let mut stage = Stage::default();
        stage.ready(version, "w", "echo");
        stage.ask(version, "c", "echo", "q");
        stage.pass(Duration::from_millis(119_900));
        assert_eq!(stage.workers("echo"), (1, 0));
        let sent = stage.pass(Duration::from_millis(100));
        assert!(sent.contains(&disconnect(version, "w")), "{sent:?}");
        assert_eq!((stage.workers("echo"), stage.accounts().queued), ((0, 0), 1));
        assert_eq!(stage.broker.statistics(stage.now).counters.overdue, 1);
        assert_eq!(stage.ready(version, "w2", "echo"), [assignment(version, "w2", "c", "q")]);
    }
}

#[test]
fn h7_without_a_busy_timeout_a_worker_may_work_as_long_as_it_likes() {
    let mut stage = Stage::new(BrokerSettings { busy_timeout: None, ..BrokerSettings::default() });
    stage.ready(V2, "w", "echo");
    stage.ask(V2, "c", "echo", "q");
    stage.pass(Duration::from_secs(1000));
    assert_eq!(stage.answer(V2, "w", "c", "a"), [reply(V2, "c", "echo", "a")]);
}

#[test]
fn h7_a_part_of_an_answer_begins_the_busy_timeout_anew() {
    let mut stage = Stage::default();
    stage.ready(V2, "w", "echo");
    stage.ask(V2, "c", "echo", "q");
    stage.pass(Duration::from_secs(100));
    stage.part("w", "c", "p");
    stage.pass(Duration::from_secs(100));
    assert_eq!(stage.workers("echo"), (1, 0));
    stage.pass(Duration::from_secs(20));
    assert_eq!(stage.workers("echo"), (0, 0));
}

#[test]
fn h7_a_worker_that_beats_while_it_works_is_missed_when_it_stops() {
    let mut stage = Stage::default();
    stage.ready(V2, "w", "echo");
    stage.ask(V2, "c", "echo", "q");
    stage.pass_with_beats(Duration::from_secs(20), &[(V2, "w")]);
    assert_eq!(stage.workers("echo"), (1, 0));
    stage.pass(LIFETIME);
    assert_eq!((stage.workers("echo"), stage.accounts().queued), ((0, 0), 1));
}

#[test]
fn h7_a_worker_of_ours_is_missed_at_once_when_it_is_silent_at_work() {
    let mut stage = Stage::default();
    stage.ready(V2, "ph:w", "echo");
    stage.ask(V2, "c", "echo", "q");
    stage.pass(LIFETIME);
    assert_eq!((stage.workers("echo"), stage.accounts().queued), ((0, 0), 1));
}

#[test]
fn h7_a_heartbeat_that_crosses_a_request_says_nothing_of_how_a_worker_works() {
    let mut stage = Stage::default();
    stage.ready(V2, "w", "echo");
    stage.ask(V2, "c", "echo", "q");
    stage.pass(Duration::from_millis(20));
    stage.beat(V2, "w");
    stage.pass(LIFETIME * 3);
    assert_eq!(stage.workers("echo"), (1, 0));
}

#[test]
fn h8_idle_and_busy_workers_get_heartbeats() {
    let mut stage = Stage::default();
    stage.ready(Version::V1, "busy", "echo");
    stage.ready(V2, "idle", "echo");
    stage.ask(V2, "c", "echo", "q");
    let mut sent = stage.pass(BEAT);
    sent.sort();
    assert_eq!(sent, [heartbeat(Version::V1, "busy"), heartbeat(V2, "idle")]);
}

#[test]
fn h8_d9_after_a_jump_of_the_clock_there_is_one_heartbeat_and_nobody_is_removed() {
    for version in VERSIONS {
        let mut stage = Stage::default();
        stage.ready(version, "w", "echo");
        stage.now += Duration::from_secs(3600);
        assert_eq!(stage.tick(), [heartbeat(version, "w")]);
        assert_eq!(stage.tick(), []);
        assert_eq!(stage.pass(Duration::from_millis(2400)), []);
        assert_eq!(stage.workers("echo"), (1, 1));
        // It is removed for its silence all the same.
        stage.pass(LIFETIME);
        assert_eq!(stage.workers("echo"), (0, 0));
    }
}

#[test]
fn d9_a_broker_that_looks_a_little_late_forgives_nobody() {
    let mut stage = Stage::default();
    stage.ready(V2, "w", "echo");
    for _ in 0..4 {
        assert_eq!(stage.workers("echo"), (1, 1));
        stage.now += Duration::from_secs(2);
        stage.tick();
    }
    assert_eq!(stage.workers("echo"), (0, 0));
}

#[test]
fn d9_a_halt_of_the_broker_does_not_count_as_work_of_a_worker() {
    let mut stage = Stage::default();
    stage.ready(V2, "w", "echo");
    stage.ask(V2, "c", "echo", "q");
    stage.now += Duration::from_secs(3600);
    stage.tick();
    assert_eq!(stage.answer(V2, "w", "c", "a"), [reply(V2, "c", "echo", "a")]);
}

#[test]
fn d9_a_clock_that_stands_still_or_goes_back_is_no_trouble() {
    let mut stage = Stage::default();
    stage.ready(V2, "w", "echo");
    stage.pass(Duration::from_secs(2));
    stage.now -= Duration::from_secs(1);
    assert_eq!(stage.tick(), []);
    stage.receive("c", encode::heartbeat(V2));
    assert_eq!(stage.workers("echo"), (1, 1));
}
