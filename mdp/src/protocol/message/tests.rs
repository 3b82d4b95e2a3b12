//! Frames and messages of both versions, there and back, and near misses.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const VERSIONS: [Version; 2] = [Version::V1, Version::V2];

fn frames(parts: &[&[u8]]) -> Frames {
    parts.iter().map(|part| Bytes::copy_from_slice(part)).collect()
}

fn service() -> Service {
    Service::new("echo").unwrap()
}

fn client() -> Address {
    Address::new("client-1")
}

/// The form of every message, byte for byte, as the RFCs have it.
#[test]
fn messages_have_the_frames_of_the_rfcs() {
    let body = || frames(&[b"a", b""]);
    let (v1, v2) = (Version::V1, Version::V2);
    let cases: [(Frames, &[&[u8]]); 16] = [
        (encode::request(v1, &service(), body()), &[b"", b"MDPC01", b"echo", b"a", b""]),
        (encode::reply(v1, &service(), body()), &[b"", b"MDPC01", b"echo", b"a", b""]),
        (encode::ready(v1, &service()), &[b"", b"MDPW01", b"\x01", b"echo"]),
        (encode::assignment(v1, &client(), &body()), &[b"", b"MDPW01", b"\x02", b"client-1", b"", b"a", b""]),
        (encode::final_answer(v1, &client(), body()), &[b"", b"MDPW01", b"\x03", b"client-1", b"", b"a", b""]),
        (encode::heartbeat(v1), &[b"", b"MDPW01", b"\x04"]),
        (encode::disconnect(v1), &[b"", b"MDPW01", b"\x05"]),
        (encode::request(v2, &service(), body()), &[b"MDPC02", b"\x01", b"echo", b"a", b""]),
        (encode::partial_reply(&service(), body()), &[b"MDPC02", b"\x02", b"echo", b"a", b""]),
        (encode::reply(v2, &service(), body()), &[b"MDPC02", b"\x03", b"echo", b"a", b""]),
        (encode::ready(v2, &service()), &[b"MDPW02", b"\x01", b"echo"]),
        (encode::assignment(v2, &client(), &body()), &[b"MDPW02", b"\x02", b"client-1", b"", b"a", b""]),
        (encode::partial_answer(&client(), body()), &[b"MDPW02", b"\x03", b"client-1", b"", b"a", b""]),
        (encode::final_answer(v2, &client(), body()), &[b"MDPW02", b"\x04", b"client-1", b"", b"a", b""]),
        (encode::heartbeat(v2), &[b"MDPW02", b"\x05"]),
        (encode::disconnect(v2), &[b"MDPW02", b"\x06"]),
    ];
    for (found, expected) in cases {
        assert_eq!(found, frames(expected));
    }
}

#[test]
fn a_body_without_a_frame_becomes_one_empty_frame() {
    for version in VERSIONS {
        let sent = encode::request(version, &service(), Frames::new());
        let body = frames(&[b""]);
        assert_eq!(decode_at_broker(sent), Ok(ToBroker::Request { version, service: service(), body: body.clone() }));
        let sent = encode::assignment(version, &client(), &[]);
        assert_eq!(decode_at_worker(version, sent), Ok(ToWorker::Request { client: client(), body }));
    }
}

#[test]
fn a_body_is_not_copied() {
    let payload = Bytes::from(vec![7; 1000]);
    for version in VERSIONS {
        let sent = encode::request(version, &service(), vec![payload.clone()]);
        let Ok(ToBroker::Request { body, .. }) = decode_at_broker(sent) else { panic!("expected a request") };
        assert_eq!(body[0].as_ptr(), payload.as_ptr());
    }
}

#[track_caller]
fn check_at_broker(parts: &[&[u8]], expected: Malformed) {
    assert_eq!(decode_at_broker(frames(parts)), Err(expected), "{parts:?}");
}

#[test]
fn every_reason_has_a_message_that_is_read_so() {
    check_at_broker(&[], Malformed::TooFewFrames);
    check_at_broker(&[b""], Malformed::TooFewFrames);
    check_at_broker(&[b"", b"MDPW01"], Malformed::TooFewFrames);
    check_at_broker(&[b"MDPC02"], Malformed::TooFewFrames);
    check_at_broker(&[b"MDPC01", b"echo", b"a"], Malformed::NoDelimiter);
    check_at_broker(&[b"", b"MDPC02", b"\x01", b"echo", b"a"], Malformed::StrayDelimiter);
    check_at_broker(&[b"x"], Malformed::UnknownHeader);
    check_at_broker(&[b"", b""], Malformed::UnknownHeader);
    check_at_broker(&[b"MDPC02", b"\x02", b"echo", b"a"], Malformed::UnknownCommand);
    check_at_broker(&[b"MDPW02", b"", b"echo"], Malformed::UnknownCommand);
    check_at_broker(&[b"", b"MDPC01"], Malformed::NoService);
    check_at_broker(&[b"MDPW02", b"\x01"], Malformed::NoService);
    check_at_broker(&[b"", b"MDPC01", b"", b"a"], Malformed::InvalidService);
    check_at_broker(&[b"MDPW02", b"\x01", b"a\nb"], Malformed::InvalidService);
    check_at_broker(&[b"MDPW02", b"\x04"], Malformed::InvalidClient);
    check_at_broker(&[b"MDPW02", b"\x04", b"", b"", b"a"], Malformed::InvalidClient);
    check_at_broker(&[b"MDPW02", b"\x04", &[1; 256], b"", b"a"], Malformed::InvalidClient);
    check_at_broker(&[b"MDPW02", b"\x04", b"c", b"a"], Malformed::NoClientDelimiter);
    check_at_broker(&[b"", b"MDPC01", b"echo"], Malformed::NoBody);
    check_at_broker(&[b"MDPW02", b"\x04", b"c", b""], Malformed::NoBody);
    check_at_broker(&[b"MDPW02", b"\x05", b""], Malformed::ExtraFrames);
    check_at_broker(&[b"", b"MDPW01", b"\x01", b"echo", b""], Malformed::ExtraFrames);
}

/// E11.
#[test]
fn a_client_and_a_worker_take_only_what_is_for_them() {
    let reply = encode::reply(Version::V1, &service(), frames(&[b"a"]));
    assert_eq!(decode_at_client(Version::V2, reply.clone()), Err(Malformed::UnknownHeader));
    assert_eq!(decode_at_worker(Version::V1, reply), Err(Malformed::UnknownHeader));
    let request = encode::request(Version::V2, &service(), frames(&[b"a"]));
    assert_eq!(decode_at_client(Version::V2, request), Err(Malformed::UnknownCommand));
    let ready = encode::ready(Version::V2, &service());
    assert_eq!(decode_at_worker(Version::V2, ready), Err(Malformed::UnknownCommand));
    for length in 0..3 {
        let reply = encode::reply(Version::V2, &service(), frames(&[b"a"]));
        assert!(decode_at_client(Version::V2, reply[..length].to_vec()).is_err());
    }
}

#[test]
fn the_names_of_the_reasons_differ() {
    let names: std::collections::HashSet<_> = Malformed::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(names.len(), Malformed::ALL.len());
    for (index, reason) in Malformed::ALL.into_iter().enumerate() {
        assert_eq!(reason as usize, index);
    }
}

fn any_version() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::V1), Just(Version::V2)]
}

fn any_frame() -> impl Strategy<Value = Bytes> {
    let usual = prop::sample::select(vec![
        "",
        "MDPC01",
        "MDPC02",
        "MDPW01",
        "MDPW02",
        "\0",
        "\x01",
        "\x02",
        "\x03",
        "\x04",
        "\x05",
        "\x06",
        "\x07",
        "echo",
        "mmi.service",
        "client",
    ]);
    prop_oneof![4 => usual.prop_map(Bytes::from), 1 => vec(any::<u8>(), 0..300).prop_map(Bytes::from)]
}

fn any_body() -> impl Strategy<Value = Frames> {
    vec(vec(any::<u8>(), 0..40).prop_map(Bytes::from), 1..6)
}

fn any_client() -> impl Strategy<Value = Address> {
    vec(any::<u8>(), 1..=255).prop_map(Address::new)
}

fn any_service() -> impl Strategy<Value = Service> {
    "[a-z.é]{1,60}".prop_map(|name| Service::new(name).unwrap())
}

proptest! {
    #[test]
    fn what_is_near_a_message_is_read_or_refused_without_a_panic(frames in vec(any_frame(), 0..9), version in any_version()) {
        // What is read is what was sent: written again, it is the same.
        match decode_at_broker(frames.clone()) {
            Ok(ToBroker::Request { version, service, body }) => {
                prop_assert_eq!(encode::request(version, &service, body), frames.clone());
            }
            Ok(ToBroker::Worker { version, command }) => {
                let again = match command {
                    WorkerCommand::Ready { service } => encode::ready(version, &service),
                    WorkerCommand::Partial { client, body } => encode::partial_answer(&client, body),
                    WorkerCommand::Final { client, body } => encode::final_answer(version, &client, body),
                    WorkerCommand::Heartbeat => encode::heartbeat(version),
                    WorkerCommand::Disconnect => encode::disconnect(version),
                    WorkerCommand::Request => frames.clone(),
                };
                prop_assert_eq!(again, frames.clone());
            }
            Err(_) => {}
        }
        if let Ok(message) = decode_at_worker(version, frames.clone()) {
            let again = match message {
                ToWorker::Request { client, body } => encode::assignment(version, &client, &body),
                ToWorker::Heartbeat => encode::heartbeat(version),
                ToWorker::Disconnect => encode::disconnect(version),
            };
            prop_assert_eq!(again, frames.clone());
        }
        if let Ok(message) = decode_at_client(version, frames.clone()) {
            let again = match message {
                ToClient::Partial { service, body } => encode::partial_reply(&service, body),
                ToClient::Final { service, body } => encode::reply(version, &service, body),
            };
            prop_assert_eq!(again, frames);
        }
    }

    #[test]
    fn a_message_comes_back_as_it_was(
        version in any_version(), service in any_service(), client in any_client(), body in any_body(),
    ) {
        let sent = encode::request(version, &service, body.clone());
        let expected = ToBroker::Request { version, service: service.clone(), body: body.clone() };
        prop_assert_eq!(decode_at_broker(sent), Ok(expected));
        let sent = encode::reply(version, &service, body.clone());
        let expected = ToClient::Final { service: service.clone(), body: body.clone() };
        prop_assert_eq!(decode_at_client(version, sent), Ok(expected));
        let sent = encode::partial_reply(&service, body.clone());
        let expected = ToClient::Partial { service: service.clone(), body: body.clone() };
        prop_assert_eq!(decode_at_client(Version::V2, sent), Ok(expected));
        let sent = encode::assignment(version, &client, &body);
        let expected = ToWorker::Request { client: client.clone(), body: body.clone() };
        prop_assert_eq!(decode_at_worker(version, sent), Ok(expected));
        let command = WorkerCommand::Final { client: client.clone(), body: body.clone() };
        let sent = encode::final_answer(version, &client, body.clone());
        prop_assert_eq!(decode_at_broker(sent), Ok(ToBroker::Worker { version, command }));
        let sent = encode::partial_answer(&client, body.clone());
        let command = WorkerCommand::Partial { client, body };
        prop_assert_eq!(decode_at_broker(sent), Ok(ToBroker::Worker { version: Version::V2, command }));
        let sent = encode::ready(version, &service);
        let command = WorkerCommand::Ready { service };
        prop_assert_eq!(decode_at_broker(sent), Ok(ToBroker::Worker { version, command }));
    }
}
