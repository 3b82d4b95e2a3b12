//! From frames to messages. The frames of a body are neither copied nor moved to another vector.

use super::super::{Address, Frames, Service, Version};
use super::{
    CLIENT_FINAL, CLIENT_PARTIAL, CLIENT_REQUEST, Malformed, READY, REQUEST, ToBroker, ToClient, ToWorker,
    WorkerCommand, client_header, numbers, worker_header,
};

/// How long the identity of a peer may be.
const LONGEST_ADDRESS: usize = 255;

/// Which of the two kinds of peer a message has to do with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Worker,
}

/// Reads what came to the broker.
///
/// # Errors
/// The reason why it is none of the messages that a broker can get. Nothing but the form is looked at: whether the message
/// is expected is for [`Broker`](crate::protocol::Broker) to say.
pub fn decode_at_broker(frames: Frames) -> Result<ToBroker, Malformed> {
    let (version, side) = header(&frames)?;
    match side {
        Side::Client => {
            let at = command_at(version);
            let service_at = match version {
                Version::V1 => at,
                Version::V2 if command(&frames, at)? == CLIENT_REQUEST => at + 1,
                Version::V2 => return Err(Malformed::UnknownCommand),
            };
            let (service, body) = service_and_body(frames, service_at)?;
            Ok(ToBroker::Request { version, service, body })
        }
        Side::Worker => {
            let command = worker_command(version, frames)?;
            Ok(ToBroker::Worker { version, command })
        }
    }
}

/// Reads what came to a worker that speaks `version`.
///
/// # Errors
/// The reason why it is none of the messages that such a worker can get.
pub fn decode_at_worker(version: Version, frames: Frames) -> Result<ToWorker, Malformed> {
    expect_header(&frames, version, Side::Worker)?;
    let at = command_at(version);
    let numbers = numbers(version);
    match command(&frames, at)? {
        REQUEST => client_and_body(frames, at + 1).map(|(client, body)| ToWorker::Request { client, body }),
        number if number == numbers.heartbeat => ends_at(&frames, at + 1).map(|()| ToWorker::Heartbeat),
        number if number == numbers.disconnect => ends_at(&frames, at + 1).map(|()| ToWorker::Disconnect),
        _ => Err(Malformed::UnknownCommand),
    }
}

/// Reads what came to a client that speaks `version`. A REQ socket takes the first, empty frame away: put it back first.
///
/// # Errors
/// The reason why it is none of the messages that such a client can get.
pub fn decode_at_client(version: Version, frames: Frames) -> Result<ToClient, Malformed> {
    expect_header(&frames, version, Side::Client)?;
    let at = command_at(version);
    if version == Version::V1 {
        let (service, body) = service_and_body(frames, at)?;
        return Ok(ToClient::Final { service, body });
    }
    match command(&frames, at)? {
        CLIENT_PARTIAL => service_and_body(frames, at + 1).map(|(service, body)| ToClient::Partial { service, body }),
        CLIENT_FINAL => service_and_body(frames, at + 1).map(|(service, body)| ToClient::Final { service, body }),
        _ => Err(Malformed::UnknownCommand),
    }
}

fn worker_command(version: Version, frames: Frames) -> Result<WorkerCommand, Malformed> {
    let at = command_at(version);
    let numbers = numbers(version);
    match command(&frames, at)? {
        READY => {
            let name = frames.get(at + 1).ok_or(Malformed::NoService)?;
            ends_at(&frames, at + 2)?;
            let service = Service::new(name.clone()).map_err(|_| Malformed::InvalidService)?;
            Ok(WorkerCommand::Ready { service })
        }
        // Whatever follows: it may not come from a worker.
        REQUEST => Ok(WorkerCommand::Request),
        number if Some(number) == numbers.partial => {
            client_and_body(frames, at + 1).map(|(client, body)| WorkerCommand::Partial { client, body })
        }
        number if number == numbers.last => {
            client_and_body(frames, at + 1).map(|(client, body)| WorkerCommand::Final { client, body })
        }
        number if number == numbers.heartbeat => ends_at(&frames, at + 1).map(|()| WorkerCommand::Heartbeat),
        number if number == numbers.disconnect => ends_at(&frames, at + 1).map(|()| WorkerCommand::Disconnect),
        _ => Err(Malformed::UnknownCommand),
    }
}

/// Tells by its beginning who a message has to do with.
fn header(frames: &Frames) -> Result<(Version, Side), Malformed> {
    let first = frames.first().ok_or(Malformed::TooFewFrames)?;
    let is_delimited = first.is_empty();
    let header = if is_delimited { frames.get(1).ok_or(Malformed::TooFewFrames)? } else { first };
    let (version, side) = match header.as_ref() {
        header if header == client_header(Version::V1) => (Version::V1, Side::Client),
        header if header == worker_header(Version::V1) => (Version::V1, Side::Worker),
        header if header == client_header(Version::V2) => (Version::V2, Side::Client),
        header if header == worker_header(Version::V2) => (Version::V2, Side::Worker),
        _ => return Err(Malformed::UnknownHeader),
    };
    match version {
        Version::V1 if !is_delimited => Err(Malformed::NoDelimiter),
        Version::V2 if is_delimited => Err(Malformed::StrayDelimiter),
        _ => Ok((version, side)),
    }
}

fn expect_header(frames: &Frames, version: Version, side: Side) -> Result<(), Malformed> {
    if header(frames)? == (version, side) { Ok(()) } else { Err(Malformed::UnknownHeader) }
}

/// Where the first frame after the header stands.
fn command_at(version: Version) -> usize {
    match version {
        Version::V1 => 2,
        Version::V2 => 1,
    }
}

fn command(frames: &Frames, at: usize) -> Result<u8, Malformed> {
    match frames.get(at).ok_or(Malformed::TooFewFrames)?.as_ref() {
        [number] => Ok(*number),
        _ => Err(Malformed::UnknownCommand),
    }
}

fn ends_at(frames: &Frames, length: usize) -> Result<(), Malformed> {
    if frames.len() == length { Ok(()) } else { Err(Malformed::ExtraFrames) }
}

fn service_and_body(frames: Frames, at: usize) -> Result<(Service, Frames), Malformed> {
    let name = frames.get(at).ok_or(Malformed::NoService)?;
    let service = Service::new(name.clone()).map_err(|_| Malformed::InvalidService)?;
    Ok((service, body_from(frames, at + 1)?))
}

fn client_and_body(frames: Frames, at: usize) -> Result<(Address, Frames), Malformed> {
    let client = match frames.get(at) {
        Some(bytes) if (1..=LONGEST_ADDRESS).contains(&bytes.len()) => Address::new(bytes.clone()),
        _ => return Err(Malformed::InvalidClient),
    };
    match frames.get(at + 1) {
        Some(delimiter) if delimiter.is_empty() => Ok((client, body_from(frames, at + 2)?)),
        _ => Err(Malformed::NoClientDelimiter),
    }
}

/// Takes everything before the body away.
fn body_from(mut frames: Frames, at: usize) -> Result<Frames, Malformed> {
    if frames.len() <= at {
        return Err(Malformed::NoBody);
    }
    frames.drain(..at);
    Ok(frames)
}
