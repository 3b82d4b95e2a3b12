//! E1 to E9: what cannot be read is dropped, counted, and costs a worker its registration.

use bytes::Bytes;
use playhouse_mdp::protocol::{Frames, Malformed, Version};

use crate::stage::{Stage, VERSIONS, assignment, disconnect, raw, reply};

/// A peer that is nobody gets no answer; the reason is counted; nothing is kept.
#[track_caller]
fn check(parts: &[&[u8]], reason: Malformed) {
    let mut stage = Stage::default();
    assert_eq!(stage.receive("peer", raw(parts)), [], "{parts:?}");
    assert_eq!(stage.malformed(reason.as_str()), 1, "{parts:?}");
    let statistics = stage.broker.statistics(stage.now);
    assert_eq!((statistics.workers, statistics.services.len(), statistics.accounts.received), (0, 0, 0));
}

#[test]
fn e1_too_few_frames_and_unknown_headers_are_dropped() {
    check(&[], Malformed::TooFewFrames);
    check(&[b""], Malformed::TooFewFrames);
    check(&[b"x"], Malformed::UnknownHeader);
    check(&[b"", b"MDPC01"], Malformed::NoService);
    check(&[b"", b"MDPW01"], Malformed::TooFewFrames);
    check(&[b"MDPC02"], Malformed::TooFewFrames);
    check(&[b"MDPC01", b"echo", b"q"], Malformed::NoDelimiter);
    for header in [b"MDPX01".as_ref(), b"MDPC03", b"MDPC0", b"MDPC011", b"", b"mdpc01"] {
        check(&[b"", header, b"echo", b"q"], Malformed::UnknownHeader);
    }
    check(&[&vec![b'M'; 1 << 20], b"echo"], Malformed::UnknownHeader);
    check(&[b"", &vec![0; 1 << 20]], Malformed::UnknownHeader);
}

#[test]
fn e2_a_request_without_a_service_or_without_a_body_is_dropped() {
    check(&[b"", b"MDPC01", b"echo"], Malformed::NoBody);
    check(&[b"MDPC02", b"\x01"], Malformed::NoService);
    check(&[b"MDPC02", b"\x01", b"echo"], Malformed::NoBody);
}

#[test]
fn e3_names_that_no_service_can_have_are_dropped() {
    for name in [b"".as_ref(), b"a\0b", b"\x7f", b"\xff\xfe", &vec![b'a'; 1 << 20]] {
        check(&[b"", b"MDPC01", name, b"q"], Malformed::InvalidService);
        check(&[b"MDPC02", b"\x01", name, b"q"], Malformed::InvalidService);
        check(&[b"", b"MDPW01", b"\x01", name], Malformed::InvalidService);
        check(&[b"MDPW02", b"\x01", name], Malformed::InvalidService);
    }
}

#[test]
fn e4_a_ready_with_too_few_or_too_many_frames_is_dropped() {
    check(&[b"", b"MDPW01", b"\x01"], Malformed::NoService);
    check(&[b"MDPW02", b"\x01"], Malformed::NoService);
    check(&[b"", b"MDPW01", b"\x01", b"echo", b"echo"], Malformed::ExtraFrames);
    check(&[b"MDPW02", b"\x01", b"echo", b""], Malformed::ExtraFrames);
}

#[test]
fn e5_commands_that_are_none_are_dropped() {
    for command in [b"".as_ref(), b"\x01\x01", b"\0", b"\x06", b"\x07", b"\xff"] {
        check(&[b"", b"MDPW01", command, b"echo"], Malformed::UnknownCommand);
    }
    for command in [b"".as_ref(), b"\x01\x01", b"\0", b"\x07", b"\xff"] {
        check(&[b"MDPW02", command, b"echo"], Malformed::UnknownCommand);
    }
    for command in [b"".as_ref(), b"\x01\x01", b"\0", b"\x02", b"\x03", b"\xff"] {
        check(&[b"MDPC02", command, b"echo", b"q"], Malformed::UnknownCommand);
    }
}

#[test]
fn e6_heartbeats_and_disconnects_with_more_frames_are_dropped() {
    for command in [b"\x04", b"\x05"] {
        check(&[b"", b"MDPW01", command, b""], Malformed::ExtraFrames);
    }
    for command in [b"\x05", b"\x06"] {
        check(&[b"MDPW02", command, b"x"], Malformed::ExtraFrames);
    }
}

#[test]
fn e7_answers_without_a_client_an_empty_frame_or_a_body_are_dropped() {
    for beginning in [&[b"".as_ref(), b"MDPW01", b"\x03"][..], &[b"MDPW02", b"\x03"], &[b"MDPW02", b"\x04"]] {
        let with = |more: &[&'static [u8]]| [beginning, more].concat();
        check(beginning, Malformed::InvalidClient);
        check(&with(&[b"", b"", b"a"]), Malformed::InvalidClient);
        check(&with(&[&[7; 256], b"", b"a"]), Malformed::InvalidClient);
        check(&with(&[b"c"]), Malformed::NoClientDelimiter);
        check(&with(&[b"c", b"a"]), Malformed::NoClientDelimiter);
        check(&with(&[b"c", b""]), Malformed::NoBody);
    }
}

#[test]
fn a_worker_that_sends_what_cannot_be_read_is_disconnected_and_its_request_goes_to_another() {
    for version in VERSIONS {
        let mut stage = Stage::default();
        stage.ready(version, "w1", "echo");
        stage.ready(version, "w2", "echo");
        stage.ask(version, "c", "echo", "q");
        let sent = stage.receive("w1", raw(&[b"garbage"]));
        assert_eq!(sent, [disconnect(version, "w1"), assignment(version, "w2", "c", "q")]);
    }
}

#[test]
fn garbage_does_not_disturb_those_who_keep_to_the_protocol() {
    let mut stage = Stage::default();
    let mut random = fastrand::Rng::with_seed(7);
    stage.ready(Version::V2, "w", "echo");
    let broker = &mut stage.broker;
    let mut outputs = Vec::new();
    for _ in 0..200_000 {
        let frames: Frames = (0..random.usize(..7)).map(|_| any_frame(&mut random)).collect();
        let from = crate::stage::address(["x", "y", "z"][random.usize(..3)]);
        broker.receive(from, frames, stage.now, &mut outputs);
        outputs.clear();
    }
    let statistics = broker.statistics(stage.now);
    assert!(statistics.accounts.balance(), "{:?}", statistics.accounts);
    // They were near enough to the protocol to come past its first gates.
    assert_eq!(statistics.counters.malformed.len(), Malformed::ALL.len(), "{:?}", statistics.counters.malformed);
    assert!(statistics.accounts.accepted > 0 && statistics.counters.registered > 1);
    stage.ask(Version::V2, "c", "echo", "q");
    let held = stage.broker.statistics(stage.now);
    assert!(held.services.len() < 20, "{held:?}");
    assert_eq!(stage.ready(Version::V1, "fresh", "alone"), []);
    assert_eq!(stage.ask(Version::V2, "d", "alone", "q"), [assignment(Version::V1, "fresh", "d", "q")]);
    assert_eq!(stage.answer(Version::V1, "fresh", "d", "a"), [reply(Version::V2, "d", "alone", "a")]);
}

fn any_frame(random: &mut fastrand::Rng) -> Bytes {
    const USUAL: [&[u8]; 18] = [
        b"", b"", b"", b"MDPC01", b"MDPC02", b"MDPW01", b"MDPW01", b"MDPW02", b"MDPW02", b"\x01", b"\x01", b"\x02",
        b"\x03", b"\x04", b"\x05", b"\x06", b"echo", b"x",
    ];
    if random.u8(..8) > 0 {
        return Bytes::from_static(USUAL[random.usize(..USUAL.len())]);
    }
    let length = random.usize(..20);
    std::iter::repeat_with(|| random.u8(..)).take(length).collect()
}
