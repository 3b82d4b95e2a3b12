//! M: what the broker says about itself (8/MMI), and D8.

use std::time::Duration;

use playhouse_mdp::protocol::{BrokerSettings, BrokerStatistics, Version, encode};

use crate::stage::{Sent, Stage, VERSIONS, address, body, disconnect, raw, service};

#[track_caller]
fn check(stage: &mut Stage, version: Version, name: &str, question: &str, answer: &[&str]) {
    let expected: Sent = (address("c"), encode::reply(version, &service(name), body(answer)));
    assert_eq!(stage.ask(version, "c", name, question), [expected]);
}

#[test]
fn m1_only_names_that_begin_with_mmi_and_a_point_are_the_brokers_own() {
    let mut stage = Stage::default();
    check(&mut stage, Version::V2, "mmi.", "", &["501"]);
    for name in ["mmi", "xmmi.a", "mmix.a", "MMI.service"] {
        assert_eq!(stage.ask(Version::V2, "c", name, "q"), []);
        assert!(stage.knows(name));
    }
}

#[test]
fn m2_no_worker_can_serve_a_name_of_the_brokers_own() {
    for version in VERSIONS {
        let mut stage = Stage::default();
        assert_eq!(stage.ready(version, "w", "mmi.echo"), [disconnect(version, "w")]);
        assert!(!stage.knows("mmi.echo"));
        assert_eq!(stage.broker.statistics(stage.now).counters.registrations_refused, 1);
    }
}

#[test]
fn m3_a_service_is_there_as_long_as_it_has_a_worker_be_it_busy() {
    for version in VERSIONS {
        let mut stage = Stage::default();
        check(&mut stage, version, "mmi.service", "echo", &["404"]);
        stage.ready(version, "w", "echo");
        check(&mut stage, version, "mmi.service", "echo", &["200"]);
        stage.ask(version, "d", "echo", "q");
        check(&mut stage, version, "mmi.service", "echo", &["200"]);
        stage.receive("w", encode::disconnect(version));
        check(&mut stage, version, "mmi.service", "echo", &["404"]);
        stage.ready(version, "w", "echo");
        stage.answer(version, "w", "d", "a");
        stage.pass(Duration::from_millis(7500));
        check(&mut stage, version, "mmi.service", "echo", &["404"]);
    }
}

#[test]
fn m3_a_name_that_no_service_can_have_is_not_there() {
    let mut stage = Stage::default();
    check(&mut stage, Version::V1, "mmi.service", "", &["404"]);
    check(&mut stage, Version::V1, "mmi.service", "a\nb", &["404"]);
}

#[test]
fn m4_other_questions_are_not_understood() {
    for version in VERSIONS {
        check(&mut Stage::default(), version, "mmi.weather", "q", &["501"]);
    }
}

#[test]
fn m5_answers_have_the_form_of_every_reply() {
    let mut stage = Stage::default();
    let sent = stage.receive("c", raw(&[b"", b"MDPC01", b"mmi.service", b"echo"]));
    assert_eq!(sent, [(address("c"), raw(&[b"", b"MDPC01", b"mmi.service", b"404"]))]);
    let sent = stage.receive("c", raw(&[b"MDPC02", b"\x01", b"mmi.service", b"echo"]));
    assert_eq!(sent, [(address("c"), raw(&[b"MDPC02", b"\x03", b"mmi.service", b"404"]))]);
}

#[test]
fn m6_questions_leave_nothing_behind() {
    let mut stage = Stage::default();
    for name in ["mmi.service", "mmi.workers", "mmi.services", "mmi.stats", "mmi.x"] {
        stage.ask(Version::V2, "c", name, "unknown");
    }
    let statistics = stage.broker.statistics(stage.now);
    assert_eq!((statistics.services.len(), statistics.accounts.management, statistics.accounts.accepted), (0, 5, 0));
}

#[test]
fn m7_a_question_without_a_body_is_dropped() {
    let mut stage = Stage::default();
    assert_eq!(stage.receive("c", raw(&[b"", b"MDPC01", b"mmi.service"])), []);
    assert_eq!(stage.receive("c", raw(&[b"MDPC02", b"\x01", b"mmi.service"])), []);
    assert_eq!(stage.malformed("no-body"), 2);
}

#[test]
fn d8_the_workers_of_a_service_are_counted() {
    let mut stage = Stage::default();
    check(&mut stage, Version::V2, "mmi.workers", "echo", &["200", "0"]);
    stage.ready(Version::V1, "w1", "echo");
    stage.ready(Version::V2, "w2", "echo");
    stage.ask(Version::V2, "d", "echo", "q");
    check(&mut stage, Version::V2, "mmi.workers", "echo", &["200", "2"]);
}

#[test]
fn d8_the_services_are_listed_by_name() {
    let mut stage = Stage::default();
    check(&mut stage, Version::V2, "mmi.services", "", &["200", "[]"]);
    stage.ready(Version::V1, "w1", "b \"quoted\"");
    stage.ask(Version::V2, "d", "a", "q");
    check(&mut stage, Version::V2, "mmi.services", "", &["200", r#"["a","b \"quoted\""]"#]);
}

#[test]
fn d8_the_statistics_are_json_that_reads_back() {
    let mut stage = Stage::default();
    stage.ready(Version::V1, "w1", "echo");
    stage.ask(Version::V2, "d", "echo", "q");
    stage.ask(Version::V2, "d", "echo", "q");
    stage.receive("x", raw(&[b"?"]));
    let sent = stage.ask(Version::V1, "c", "mmi.stats", "");
    assert_eq!(&sent[0].1[..4], raw(&[b"", b"MDPC01", b"mmi.stats", b"200"]));
    let found: BrokerStatistics = serde_json::from_slice(&sent[0].1[4]).unwrap();
    assert_eq!((found.services[0].service.as_str(), found.services[0].busy, found.services[0].queued), ("echo", 1, 1));
    assert_eq!(found.counters.malformed["unknown-header"], 1);
    assert!(found.accounts.balance());
    let text = std::str::from_utf8(&sent[0].1[4]).unwrap();
    assert!(text.contains("\"oldest_wait_ms\":0"), "{text}");
}

#[test]
fn with_durable_requests_their_services_are_there_and_no_worker_can_serve_them() {
    let mut stage = Stage::new(BrokerSettings { durable: true, ..BrokerSettings::default() });
    check(&mut stage, Version::V2, "mmi.service", "titanic.request", &["200"]);
    check(&mut stage, Version::V2, "mmi.service", "titanic.other", &["404"]);
    assert_eq!(stage.ready(Version::V2, "w", "titanic.request"), [disconnect(Version::V2, "w")]);
}

#[test]
fn without_durable_requests_their_services_are_as_any_other() {
    let mut stage = Stage::default();
    check(&mut stage, Version::V2, "mmi.service", "titanic.request", &["404"]);
    assert_eq!(stage.ready(Version::V2, "w", "titanic.request"), []);
    check(&mut stage, Version::V2, "mmi.service", "titanic.request", &["200"]);
    assert_eq!(stage.ask(Version::V2, "d", "titanic.request", "q").len(), 1);
}
