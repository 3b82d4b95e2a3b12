//! The frames on the wire, byte for byte: F of MDP 0.1, G of MDP 0.2.

use crate::stage::{Sent, Stage, address, raw};

fn to(peer: &str, parts: &[&[u8]]) -> Vec<Sent> {
    vec![(address(peer), raw(parts))]
}

#[test]
fn f1_to_f5_a_request_and_its_reply_pass_with_their_bodies_untouched() {
    let mut stage = Stage::default();
    assert_eq!(stage.receive("w", raw(&[b"", b"MDPW01", b"\x01", b"echo"])), []);
    let sent = stage.receive("c", raw(&[b"", b"MDPC01", b"echo", b"", b"\0\xff", b""]));
    assert_eq!(sent, to("w", &[b"", b"MDPW01", b"\x02", b"c", b"", b"", b"\0\xff", b""]));
    let sent = stage.receive("w", raw(&[b"", b"MDPW01", b"\x03", b"c", b"", b"x", b"", b"", b"y"]));
    assert_eq!(sent, to("c", &[b"", b"MDPC01", b"echo", b"x", b"", b"", b"y"]));
}

#[test]
fn f1_a_body_of_one_empty_frame_is_a_body() {
    let mut stage = Stage::default();
    stage.receive("w", raw(&[b"", b"MDPW01", b"\x01", b"echo"]));
    let sent = stage.receive("c", raw(&[b"", b"MDPC01", b"echo", b""]));
    assert_eq!(sent, to("w", &[b"", b"MDPW01", b"\x02", b"c", b"", b""]));
}

#[test]
fn f3_a_ready_has_exactly_four_frames() {
    let mut stage = Stage::default();
    for parts in [&[b"".as_ref(), b"MDPW01", b"\x01"][..], &[b"", b"MDPW01", b"\x01", b"echo", b""]] {
        assert_eq!(stage.receive("w", raw(parts)), []);
        assert_eq!(stage.workers("echo"), (0, 0));
    }
}

#[test]
fn f6_f7_heartbeat_and_disconnect_have_exactly_three_frames() {
    let mut stage = Stage::default();
    // A worker that is not known is told so; by that it shows that the frames were read.
    assert_eq!(stage.receive("w", raw(&[b"", b"MDPW01", b"\x04"])), to("w", &[b"", b"MDPW01", b"\x05"]));
    assert_eq!(stage.receive("w", raw(&[b"", b"MDPW01", b"\x04", b""])), []);
    stage.receive("w", raw(&[b"", b"MDPW01", b"\x01", b"echo"]));
    assert_eq!(stage.receive("w", raw(&[b"", b"MDPW01", b"\x05"])), []);
    assert_eq!(stage.workers("echo"), (0, 0));
}

#[test]
fn f8_a_reply_holds_one_client_and_one_empty_frame() {
    for parts in [
        &[b"".as_ref(), b"MDPW01", b"\x03", b"c", b"answer"][..],
        &[b"", b"MDPW01", b"\x03", b"c", b"other", b"", b"answer"],
        &[b"", b"MDPW01", b"\x03", b"", b"c", b"", b"answer"],
    ] {
        let mut stage = Stage::default();
        stage.receive("w", raw(&[b"", b"MDPW01", b"\x01", b"echo"]));
        stage.receive("c", raw(&[b"", b"MDPC01", b"echo", b"question"]));
        let sent = stage.receive("w", raw(parts));
        assert_eq!(sent, to("w", &[b"", b"MDPW01", b"\x05"]), "{parts:?}");
    }
}

#[test]
fn f9_a_dealer_client_gets_the_empty_frame_back() {
    let mut stage = Stage::default();
    let sent = stage.receive("c", raw(&[b"", b"MDPC01", b"mmi.nothing", b""]));
    assert_eq!(sent, to("c", &[b"", b"MDPC01", b"mmi.nothing", b"501"]));
}

#[test]
fn g1_to_g5_a_request_its_parts_and_its_final_reply_pass_with_their_bodies_untouched() {
    let mut stage = Stage::default();
    assert_eq!(stage.receive("w", raw(&[b"MDPW02", b"\x01", b"echo"])), []);
    let sent = stage.receive("c", raw(&[b"MDPC02", b"\x01", b"echo", b"", b"\0\xff", b""]));
    assert_eq!(sent, to("w", &[b"MDPW02", b"\x02", b"c", b"", b"", b"\0\xff", b""]));
    let sent = stage.receive("w", raw(&[b"MDPW02", b"\x03", b"c", b"", b"x", b""]));
    assert_eq!(sent, to("c", &[b"MDPC02", b"\x02", b"echo", b"x", b""]));
    let sent = stage.receive("w", raw(&[b"MDPW02", b"\x04", b"c", b"", b"", b"y"]));
    assert_eq!(sent, to("c", &[b"MDPC02", b"\x03", b"echo", b"", b"y"]));
}

#[test]
fn g3_a_ready_has_exactly_three_frames() {
    let mut stage = Stage::default();
    for parts in [&[b"MDPW02".as_ref(), b"\x01"][..], &[b"MDPW02", b"\x01", b"echo", b""]] {
        assert_eq!(stage.receive("w", raw(parts)), []);
        assert_eq!(stage.workers("echo"), (0, 0));
    }
}

#[test]
fn g6_the_numbers_of_the_second_version_mean_other_things() {
    let mut stage = Stage::default();
    assert_eq!(stage.receive("w", raw(&[b"MDPW02", b"\x05"])), to("w", &[b"MDPW02", b"\x06"]));
    assert_eq!(stage.receive("w", raw(&[b"MDPW02", b"\x05", b""])), []);
    stage.receive("w", raw(&[b"MDPW02", b"\x01", b"echo"]));
    // What is DISCONNECT in MDP 0.1 is a heartbeat here.
    assert_eq!(stage.receive("w", raw(&[b"MDPW02", b"\x05"])), []);
    assert_eq!(stage.workers("echo"), (1, 1));
    assert_eq!(stage.receive("w", raw(&[b"MDPW02", b"\x06"])), []);
    assert_eq!(stage.workers("echo"), (0, 0));
}

#[test]
fn g7_a_worker_stays_busy_while_it_sends_parts_and_their_order_is_kept() {
    let mut stage = Stage::default();
    stage.receive("w", raw(&[b"MDPW02", b"\x01", b"echo"]));
    stage.receive("c", raw(&[b"MDPC02", b"\x01", b"echo", b"q"]));
    let mut found = Vec::new();
    for part in [b"1", b"2", b"3"] {
        found.extend(stage.receive("w", raw(&[b"MDPW02", b"\x03", b"c", b"", part])));
        assert_eq!(stage.workers("echo"), (1, 0));
    }
    found.extend(stage.receive("w", raw(&[b"MDPW02", b"\x04", b"c", b"", b"4"])));
    assert_eq!(stage.workers("echo"), (1, 1));
    let bodies: Vec<_> = found.iter().map(|(_, frames)| (frames[1].clone(), frames[3].clone())).collect();
    let expected = [("\x02", "1"), ("\x02", "2"), ("\x02", "3"), ("\x03", "4")];
    assert_eq!(bodies, expected.map(|(command, part)| (command.into(), part.into())));
}

#[test]
fn g8_after_the_final_reply_a_part_or_a_second_one_is_not_passed_on() {
    for command in [b"\x03", b"\x04"] {
        let mut stage = Stage::default();
        stage.receive("w", raw(&[b"MDPW02", b"\x01", b"echo"]));
        stage.receive("c", raw(&[b"MDPC02", b"\x01", b"echo", b"q"]));
        stage.receive("w", raw(&[b"MDPW02", b"\x04", b"c", b"", b"a"]));
        let sent = stage.receive("w", raw(&[b"MDPW02", command, b"c", b"", b"more"]));
        assert_eq!(sent, to("w", &[b"MDPW02", b"\x06"]));
        assert_eq!(stage.workers("echo"), (0, 0));
    }
}

#[test]
fn g10_a_header_of_the_other_form_is_dropped() {
    let mut stage = Stage::default();
    assert_eq!(stage.receive("c", raw(&[b"", b"MDPC02", b"\x01", b"mmi.x", b"q"])), []);
    assert_eq!(stage.receive("c", raw(&[b"MDPC01", b"mmi.x", b"q"])), []);
    assert_eq!(stage.receive("w", raw(&[b"", b"MDPW02", b"\x01", b"echo"])), []);
    assert_eq!(stage.receive("w", raw(&[b"MDPW01", b"\x01", b"echo"])), []);
    assert_eq!((stage.malformed("stray-delimiter"), stage.malformed("no-delimiter")), (2, 2));
    assert!(!stage.knows("echo"));
}
