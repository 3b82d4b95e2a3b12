//! From messages to frames. A body is taken as it is: its vector is used again, its frames are not copied. A body without
//! a frame, which the protocol does not know, becomes one empty frame.

use bytes::Bytes;

use super::super::{Address, Frames, Service, Version};
use super::{CLIENT_FINAL, CLIENT_PARTIAL, CLIENT_REQUEST, READY, REQUEST, client_header, numbers, worker_header};

/// A client's REQUEST to the broker.
#[must_use]
pub fn request(version: Version, service: &Service, body: Frames) -> Frames {
    to_or_from_client(version, CLIENT_REQUEST, service, body)
}

/// The broker's REPLY (MDP 0.1) or FINAL (MDP 0.2) to a client.
#[must_use]
pub fn reply(version: Version, service: &Service, body: Frames) -> Frames {
    to_or_from_client(version, CLIENT_FINAL, service, body)
}

/// The broker's PARTIAL to a client; in MDP 0.2 only.
#[must_use]
pub fn partial_reply(service: &Service, body: Frames) -> Frames {
    to_or_from_client(Version::V2, CLIENT_PARTIAL, service, body)
}

/// A worker's READY.
#[must_use]
pub fn ready(version: Version, service: &Service) -> Frames {
    let mut frames = beginning(version, READY, 1);
    frames.push(service.as_bytes().clone());
    frames
}

/// The broker's REQUEST to a worker. The body is left with the broker, which may have to send it again.
#[must_use]
pub fn assignment(version: Version, client: &Address, body: &[Bytes]) -> Frames {
    let mut frames = beginning(version, REQUEST, 2 + body.len().max(1));
    frames.extend([client.as_bytes().clone(), Bytes::new()]);
    frames.extend_from_slice(body);
    if body.is_empty() {
        frames.push(Bytes::new());
    }
    frames
}

/// A worker's REPLY (MDP 0.1) or FINAL (MDP 0.2).
#[must_use]
pub fn final_answer(version: Version, client: &Address, body: Frames) -> Frames {
    answer(version, numbers(version).last, client, body)
}

/// A worker's PARTIAL; in MDP 0.2 only.
#[must_use]
pub fn partial_answer(client: &Address, body: Frames) -> Frames {
    let numbers = numbers(Version::V2);
    answer(Version::V2, numbers.partial.unwrap_or(numbers.last), client, body)
}

/// A HEARTBEAT, of a worker or to one.
#[must_use]
pub fn heartbeat(version: Version) -> Frames {
    beginning(version, numbers(version).heartbeat, 0)
}

/// A DISCONNECT, of a worker or to one.
#[must_use]
pub fn disconnect(version: Version) -> Frames {
    beginning(version, numbers(version).disconnect, 0)
}

fn to_or_from_client(version: Version, command: u8, service: &Service, body: Frames) -> Frames {
    let header = Bytes::from_static(client_header(version));
    let service = service.as_bytes().clone();
    match version {
        Version::V1 => before(body, [Bytes::new(), header, service]),
        Version::V2 => before(body, [header, number(command), service]),
    }
}

fn answer(version: Version, command: u8, client: &Address, body: Frames) -> Frames {
    let header = Bytes::from_static(worker_header(version));
    let client = client.as_bytes().clone();
    match version {
        Version::V1 => before(body, [Bytes::new(), header, number(command), client, Bytes::new()]),
        Version::V2 => before(body, [header, number(command), client, Bytes::new()]),
    }
}

fn before<const N: usize>(mut body: Frames, head: [Bytes; N]) -> Frames {
    if body.is_empty() {
        body.push(Bytes::new());
    }
    body.splice(0..0, head);
    body
}

fn beginning(version: Version, command: u8, more: usize) -> Frames {
    let mut frames = Vec::with_capacity(3 + more);
    if version == Version::V1 {
        frames.push(Bytes::new());
    }
    frames.extend([Bytes::from_static(worker_header(version)), number(command)]);
    frames
}

/// The frame of a command, without an allocation.
fn number(command: u8) -> Bytes {
    const NUMBERS: [u8; 7] = [0, 1, 2, 3, 4, 5, 6];
    Bytes::from_static(&NUMBERS[usize::from(command)..=usize::from(command)])
}
