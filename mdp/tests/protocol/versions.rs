//! G9: one socket and one set of services for both versions.

use playhouse_engine::Kind;
use playhouse_mdp::protocol::{BrokerLimits, BrokerSettings, Version, encode};

use crate::stage::{Stage, address, assignment, body, check_failure, part, reply, service};

const V1: Version = Version::V1;
const V2: Version = Version::V2;

#[test]
fn g9_a_worker_of_the_first_version_serves_a_client_of_the_second() {
    let mut stage = Stage::default();
    stage.ready(V1, "w", "echo");
    assert_eq!(stage.ask(V2, "c", "echo", "q"), [assignment(V1, "w", "c", "q")]);
    assert_eq!(stage.answer(V1, "w", "c", "a"), [reply(V2, "c", "echo", "a")]);
}

#[test]
fn g9_a_worker_of_the_second_version_serves_a_client_of_the_first() {
    let mut stage = Stage::default();
    stage.ready(V2, "w", "echo");
    assert_eq!(stage.ask(V1, "c", "echo", "q"), [assignment(V2, "w", "c", "q")]);
    assert_eq!(stage.answer(V2, "w", "c", "a"), [reply(V1, "c", "echo", "a")]);
}

#[test]
fn g9_a_client_of_the_first_version_gets_the_parts_of_an_answer_together() {
    let mut stage = Stage::default();
    stage.ready(V2, "w", "echo");
    stage.ask(V1, "c", "echo", "q");
    assert_eq!(stage.part("w", "c", "1"), []);
    assert_eq!(stage.part("w", "c", "2"), []);
    let whole = (address("c"), encode::reply(V1, &service("echo"), body(&["1", "2", "3"])));
    assert_eq!(stage.answer(V2, "w", "c", "3"), [whole]);
    assert_eq!(stage.accounts().replied, 1);
}

#[test]
fn g9_parts_that_are_too_many_together_fail_the_request_and_leave_the_worker_at_work() {
    let limits = BrokerLimits { frames: 2, ..BrokerLimits::default() };
    let mut stage = Stage::new(BrokerSettings { limits, ..BrokerSettings::default() });
    stage.ready(V2, "w", "echo");
    stage.ask(V1, "ph:c", "echo", "q");
    stage.part("w", "ph:c", "1");
    stage.part("w", "ph:c", "2");
    let sent = stage.part("w", "ph:c", "3");
    check_failure(V1, "ph:c", &sent, Kind::TooLarge);
    assert_eq!((stage.over_limit("frames"), stage.accounts().failed), (1, 1));
    // It knows nothing of that, and goes on; the client hears no more of it.
    assert_eq!(stage.workers("echo"), (1, 0));
    stage.ask(V1, "other", "echo", "next");
    assert_eq!(stage.part("w", "ph:c", "4"), []);
    assert_eq!(stage.answer(V2, "w", "ph:c", "5"), [assignment(V2, "w", "other", "next")]);
}

#[test]
fn g9_parts_go_on_as_they_come_to_a_client_of_the_second_version_however_many() {
    let limits = BrokerLimits { frames: 2, ..BrokerLimits::default() };
    let mut stage = Stage::new(BrokerSettings { limits, ..BrokerSettings::default() });
    stage.ready(V2, "w", "echo");
    stage.ask(V2, "c", "echo", "q");
    for _ in 0..10 {
        assert_eq!(stage.part("w", "c", "p"), [part("c", "echo", "p")]);
    }
}

#[test]
fn g9_a_worker_that_changes_its_version_is_disconnected() {
    let mut stage = Stage::default();
    stage.ready(V1, "w", "echo");
    assert_eq!(stage.beat(V2, "w"), [crate::stage::disconnect(V1, "w")]);
    assert_eq!(stage.workers("echo"), (0, 0));
}
