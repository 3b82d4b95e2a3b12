//! E10 and D7: over a limit a message is dropped and counted, and a client of ours is told.

use std::time::Duration;

use playhouse_engine::Kind;
use playhouse_mdp::protocol::{BrokerLimits, BrokerSettings, Version, encode, read_failure};

use crate::stage::{
    Stage, VERSIONS, address, assignment, body, check_failure, disconnect, failure, raw, reply, service,
};

const V2: Version = Version::V2;

fn stage(limits: BrokerLimits) -> Stage {
    Stage::new(BrokerSettings { limits, ..BrokerSettings::default() })
}

fn small() -> BrokerLimits {
    BrokerLimits { frame_size: 10, message_size: 25, frames: 4, ..BrokerLimits::default() }
}

#[test]
fn d7_the_defaults_are_as_decided() {
    let limits = BrokerLimits::default();
    assert_eq!((limits.frame_size, limits.message_size, limits.frames), (1 << 20, 8 << 20, 64));
    assert_eq!((limits.peers, limits.services), (4096, 1000));
    assert_eq!((limits.queued_for_service, limits.queued), (10_000, 100_000));
}

#[test]
fn e10_a_request_over_a_limit_of_size_is_refused() {
    let cases: [(&[&str], &str); 3] = [
        (&["12345678901"], "frame-size"),
        (&["123456789", "123456789", "123456789"], "message-size"),
        (&["1", "2", "3", "4", "5"], "frames"),
    ];
    for version in VERSIONS {
        for (question, limit) in cases {
            let mut stage = stage(small());
            stage.ready(version, "w", "echo");
            let request = || encode::request(version, &service("echo"), body(question));
            assert_eq!(stage.receive("c", request()), []);
            let sent = stage.receive("ph:c", request());
            check_failure(version, "ph:c", &sent, Kind::TooLarge);
            assert_eq!((stage.over_limit(limit), stage.accounts().refused), (2, 2), "{limit}");
        }
    }
}

#[test]
fn e10_a_request_at_the_limits_passes() {
    let mut stage = stage(small());
    stage.ready(V2, "w", "echo");
    let question = body(&["1234567890", "1234567890", "12345", ""]);
    assert_eq!(stage.receive("c", encode::request(V2, &service("echo"), question)).len(), 1);
}

#[test]
fn e10_an_answer_over_a_limit_fails_its_request_and_leaves_its_worker_idle() {
    for version in VERSIONS {
        let mut stage = stage(small());
        stage.ready(version, "w", "echo");
        stage.ask(version, "ph:c", "echo", "q");
        let sent = stage.answer(version, "w", "ph:c", "12345678901");
        let error = failure(version, "ph:c", &sent);
        let expected = "the answer is over a limit of the broker: a frame is too large; expected at most 10 bytes";
        assert_eq!((error.kind(), error.message()), (Kind::TooLarge, expected));
        assert_eq!((stage.workers("echo"), stage.accounts().failed), ((1, 1), 1));
    }
}

#[test]
fn e10_a_part_over_a_limit_fails_its_request_and_the_rest_is_dropped() {
    let mut stage = stage(small());
    stage.ready(V2, "w", "echo");
    stage.ask(V2, "ph:c", "echo", "q");
    check_failure(V2, "ph:c", &stage.part("w", "ph:c", "12345678901"), Kind::TooLarge);
    assert_eq!(stage.part("w", "ph:c", "p"), []);
    assert_eq!(stage.answer(V2, "w", "ph:c", "a"), []);
    assert_eq!(stage.workers("echo"), (1, 1));
}

#[test]
fn e10_a_worker_that_never_comes_to_the_end_of_a_failed_request_is_removed_too() {
    let mut stage = stage(small());
    stage.ready(V2, "w", "echo");
    stage.ask(V2, "ph:c", "echo", "q");
    stage.part("w", "ph:c", "12345678901");
    stage.pass(Duration::from_secs(100));
    stage.part("w", "ph:c", "still at it");
    stage.pass(Duration::from_secs(100));
    assert_eq!((stage.workers("echo"), stage.accounts().failed), ((1, 0), 1));
    stage.pass(Duration::from_secs(20));
    assert_eq!((stage.workers("echo"), stage.accounts().failed), ((0, 0), 1));
}

#[test]
fn e10_too_many_requests_for_a_service_are_refused_with_a_time_to_wait() {
    let mut stage = stage(BrokerLimits { queued_for_service: 2, ..BrokerLimits::default() });
    for question in ["1", "2", "3"] {
        assert_eq!(stage.ask(V2, "c", "echo", question), []);
    }
    assert_eq!((stage.accounts().queued, stage.accounts().refused), (2, 1));
    let error = failure(V2, "ph:c", &stage.ask(V2, "ph:c", "echo", "4"));
    assert_eq!(error.kind(), Kind::Overloaded);
    // Nobody has answered yet, so it is the longest there is.
    assert_eq!(error.wait(), Some(Duration::from_secs(30)));
    assert_eq!(stage.over_limit("queued-for-service"), 2);
    // Other services are not concerned, and what waits goes on.
    assert_eq!(stage.ask(V2, "c", "other", "1"), []);
    assert_eq!(stage.accounts().queued, 3);
    assert_eq!(stage.ready(V2, "w", "echo"), [assignment(V2, "w", "c", "1")]);
}

#[test]
fn e10_the_time_to_wait_follows_from_how_fast_the_service_is() {
    let mut stage = stage(BrokerLimits { queued_for_service: 20, ..BrokerLimits::default() });
    stage.ready(V2, "w", "echo");
    for _ in 0..200 {
        stage.ask(V2, "c", "echo", "q");
        stage.pass(Duration::from_millis(100));
        stage.answer(V2, "w", "c", "a");
    }
    (0..21).for_each(|_| drop(stage.ask(V2, "c", "echo", "q")));
    let error = failure(V2, "ph:c", &stage.ask(V2, "ph:c", "echo", "q"));
    // Ten in a second, and twenty wait.
    let wait = error.wait().unwrap();
    assert!((Duration::from_millis(1700)..Duration::from_millis(2300)).contains(&wait), "{wait:?}");
}

#[test]
fn e10_too_many_requests_in_all_are_refused() {
    let mut stage = stage(BrokerLimits { queued: 3, ..BrokerLimits::default() });
    for name in ["a", "b", "c", "d"] {
        stage.ask(V2, "client", name, "q");
    }
    assert_eq!((stage.accounts().queued, stage.over_limit("queued")), (3, 1));
    assert!(!stage.knows("d"));
    // A request that need not wait is no burden.
    stage.ready(V2, "w", "d");
    assert_eq!(stage.ask(V2, "client", "d", "q"), [assignment(V2, "w", "client", "q")]);
    // What waits no longer makes room.
    stage.ready(V2, "w2", "a");
    stage.ask(V2, "client", "b", "q");
    assert_eq!((stage.accounts().queued, stage.over_limit("queued")), (3, 1));
    stage.pass(Duration::from_secs(31));
    stage.ask(V2, "client", "b", "q");
    assert_eq!((stage.accounts().queued, stage.over_limit("queued")), (1, 1));
}

#[test]
fn e10_too_many_bytes_in_waiting_requests_are_refused() {
    let mut stage = stage(BrokerLimits { queued_size: 10, ..BrokerLimits::default() });
    stage.ask(V2, "c", "echo", "123456");
    check_failure(V2, "ph:c", &stage.ask(V2, "ph:c", "other", "12345"), Kind::Overloaded);
    assert_eq!((stage.over_limit("queued-size"), stage.knows("other")), (1, false));
    stage.ready(V2, "w", "echo");
    assert_eq!(stage.ask(V2, "c", "other", "1234567890"), []);
    assert_eq!(stage.accounts().queued, 1);
}

#[test]
fn e10_too_many_services_are_refused() {
    for version in VERSIONS {
        let mut stage = stage(BrokerLimits { services: 2, ..BrokerLimits::default() });
        stage.ready(version, "w1", "one");
        stage.ask(version, "c", "two", "q");
        assert_eq!(stage.ready(version, "w3", "three"), [disconnect(version, "w3")]);
        check_failure(version, "ph:c", &stage.ask(version, "ph:c", "three", "q"), Kind::Overloaded);
        assert_eq!(stage.over_limit("services"), 2);
        assert_eq!(stage.ready(version, "w2", "two").len(), 1);
        stage.receive("w1", encode::disconnect(version));
        assert_eq!(stage.ready(version, "w3", "three"), []);
    }
}

#[test]
fn e10_too_many_workers_are_refused() {
    let mut stage = stage(BrokerLimits { peers: 2, ..BrokerLimits::default() });
    stage.ready(V2, "w1", "one");
    stage.ready(V2, "w2", "two");
    assert_eq!(stage.ready(V2, "w3", "one"), [disconnect(V2, "w3")]);
    assert_eq!((stage.over_limit("peers"), stage.workers("one")), (1, (1, 1)));
    // One that is registered is judged by its own conduct.
    assert_eq!(stage.beat(V2, "w1"), []);
}

#[test]
fn what_is_too_large_and_malformed_is_dropped_as_malformed() {
    let mut stage = stage(small());
    assert_eq!(stage.receive("c", raw(&vec![b"x".as_ref(); 100_000])), []);
    assert_eq!(stage.malformed("unknown-header"), 1);
}

#[test]
fn a_failure_repeats_the_first_frame_of_its_request() {
    let mut stage = stage(BrokerLimits { queued_for_service: 0, ..BrokerLimits::default() });
    let sent = stage.receive("ph:c", encode::request(V2, &service("echo"), body(&["first", "second"])));
    let (_, echo) = read_failure(&sent[0].1[3..].to_vec()).unwrap();
    assert_eq!((sent[0].0.clone(), echo), (address("ph:c"), "first".into()));
}

#[test]
fn a_limit_of_nothing_leaves_what_idle_workers_take() {
    let mut stage = stage(BrokerLimits { queued_for_service: 0, ..BrokerLimits::default() });
    stage.ready(V2, "w", "echo");
    assert_eq!(stage.ask(V2, "c", "echo", "q"), [assignment(V2, "w", "c", "q")]);
    assert_eq!(stage.ask(V2, "c", "echo", "q"), []);
    assert_eq!(stage.answer(V2, "w", "c", "a"), [reply(V2, "c", "echo", "a")]);
}

#[test]
fn settings_of_nothing_or_without_end_are_no_trouble() {
    for time in [Duration::ZERO, Duration::MAX] {
        let settings = BrokerSettings {
            heartbeat: time,
            liveness: if time.is_zero() { 0 } else { u32::MAX },
            expiry: time,
            busy_timeout: Some(time),
            attempts: 0,
            ..BrokerSettings::default()
        };
        let mut stage = Stage::new(settings);
        stage.ready(V2, "w", "echo");
        assert_eq!(stage.ask(V2, "c", "echo", "q"), [assignment(V2, "w", "c", "q")]);
        stage.ask(V2, "c", "echo", "q");
        stage.pass(Duration::from_secs(1));
        stage.answer(V2, "w", "c", "a");
        stage.pass(Duration::from_secs(1));
    }
}
