//! D8: a stop drains.

use playhouse_engine::Kind;
use playhouse_mdp::protocol::{Output, Ticket, Version};

use crate::stage::{Stage, VERSIONS, address, assignment, check_failure, disconnect, reply};

fn stop(stage: &mut Stage) -> Vec<Output> {
    stage.outputs(|broker, _, outputs| broker.stop(outputs))
}

#[test]
fn a_stop_refuses_what_is_new_and_ends_what_is_begun() {
    for version in VERSIONS {
        let mut stage = Stage::default();
        stage.ready(version, "w", "echo");
        stage.ask(version, "c1", "echo", "1");
        stage.ask(version, "c2", "echo", "2");
        assert!(stop(&mut stage).is_empty() && !stage.broker.is_drained());
        assert_eq!(stage.ask(version, "c3", "echo", "3"), []);
        check_failure(version, "ph:c", &stage.ask(version, "ph:c", "echo", "4"), Kind::Unavailable);
        assert_eq!(stage.accounts().refused, 2);
        let sent = stage.answer(version, "w", "c1", "a");
        assert_eq!(sent, [reply(version, "c1", "echo", "a"), assignment(version, "w", "c2", "2")]);
        assert!(!stage.broker.is_drained());
        stage.answer(version, "w", "c2", "b");
        assert!(stage.broker.is_drained());
        assert_eq!(stage.sent(|broker, _, outputs| broker.disconnect_all(outputs)), [disconnect(version, "w")]);
    }
}

#[test]
fn a_broker_that_stops_still_says_how_it_is() {
    let mut stage = Stage::default();
    stop(&mut stage);
    let sent = stage.ask(Version::V2, "c", "mmi.service", "echo");
    assert_eq!(sent, [reply(Version::V2, "c", "mmi.service", "404")]);
    assert!(stage.broker.statistics(stage.now).stopping);
}

#[test]
fn a_stop_waits_for_no_worker_to_come() {
    for version in VERSIONS {
        let mut stage = Stage::default();
        stage.ready(version, "w", "served");
        stage.ask(version, "c", "served", "1");
        stage.ask(version, "ph:waiting", "served", "2");
        stage.ask(version, "ph:c", "echo", "q");
        check_failure(version, "ph:c", &stage.sent(|broker, _, outputs| broker.stop(outputs)), Kind::Unavailable);
        // With the last worker goes the hope of those that wait for it.
        let sent = stage.sent(|broker, now, outputs| broker.unreachable(&address("w"), now, outputs));
        check_failure(version, "ph:waiting", &sent, Kind::Unavailable);
        assert!(stage.broker.is_drained());
        assert_eq!(stage.accounts().failed, 3);
    }
}

#[test]
fn what_is_not_done_at_the_end_is_told_so() {
    let mut stage = Stage::default();
    stage.ready(Version::V1, "w", "one");
    stage.ask(Version::V2, "ph:running", "one", "q");
    stage.ask(Version::V1, "ph:waiting", "two", "q");
    stage.ask(Version::V2, "foreign", "two", "q");
    let sent = stage.sent(|broker, _, outputs| broker.disconnect_all(outputs));
    assert_eq!(sent[0], disconnect(Version::V1, "w"));
    check_failure(Version::V2, "ph:running", &sent[1..2], Kind::Unavailable);
    check_failure(Version::V1, "ph:waiting", &sent[2..], Kind::Unavailable);
    assert!(stage.broker.is_drained());
    assert_eq!(stage.accounts().failed, 3);
}

#[test]
fn durable_requests_that_wait_do_not_hold_a_stop_up() {
    let mut stage = Stage::default();
    let ticket = Ticket::unique();
    stage.submit(ticket, "echo", "q");
    let outputs = stop(&mut stage);
    let [Output::Ended { ticket: found, outcome: Err(error) }] = outputs.as_slice() else { panic!("{outputs:?}") };
    assert_eq!((*found, error.kind()), (ticket, Kind::Cancelled));
    assert!(stage.broker.is_drained());
    let outputs = stage.submit(ticket, "echo", "q");
    assert!(matches!(&outputs[..], [Output::Ended { outcome: Err(error), .. }] if error.kind() == Kind::Cancelled));
}

#[test]
fn a_durable_request_whose_worker_is_lost_during_a_stop_is_left_to_its_keeper() {
    let mut stage = Stage::default();
    stage.ready(Version::V2, "w", "echo");
    stage.ready(Version::V2, "w2", "echo");
    let ticket = Ticket::unique();
    stage.submit(ticket, "echo", "q");
    stage.ask(Version::V2, "c", "echo", "q");
    stage.ask(Version::V2, "c2", "echo", "q2");
    assert!(stop(&mut stage).is_empty());
    let outputs = stage.outputs(|broker, now, outputs| broker.unreachable(&address("w"), now, outputs));
    assert!(matches!(&outputs[..], [Output::Ended { outcome: Err(error), .. }] if error.kind() == Kind::Cancelled));
    // Another's request has nobody else to keep it.
    assert_eq!(stage.answer(Version::V2, "w2", "c", "a")[1..], [assignment(Version::V2, "w2", "c2", "q2")]);
}
