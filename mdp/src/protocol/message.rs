//! Frames to messages and back, for both versions of the protocol.
//!
//! Version 0.1 (RFC 7) puts an empty frame before the header, 0.2 (RFC 18) does not, so the first frame tells them apart. The
//! commands' numbers differ: in 0.1 a heartbeat is 4 and a disconnect 5, in 0.2 these are a final reply and a heartbeat.

use bytes::Bytes;
use serde::Serialize;

use super::{Address, Frames, Service, Version};

const CLIENT_V1: &[u8] = b"MDPC01";
const CLIENT_V2: &[u8] = b"MDPC02";
const WORKER_V1: &[u8] = b"MDPW01";
const WORKER_V2: &[u8] = b"MDPW02";

/// Why frames are no message of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Malformed {
    /// There are fewer frames than any message has.
    TooFew,
    /// The header is that of no version, or stands where that version does not have it.
    Header,
    /// The command is none of the version, or is more than a byte.
    Command,
    /// The name of the service is missing, empty, too long or cannot be printed.
    Service,
    /// A request or a reply has no body.
    Body,
    /// A request or a reply of a worker has no address of a client, or no empty frame after it.
    Envelope,
    /// There are frames after the end of the message.
    TooMany,
}

/// What a broker receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToBroker {
    /// A client asks for a service.
    Request {
        /// In which version, so that the reply is in the same.
        version: Version,
        /// The service.
        service: Service,
        /// One frame or more, of any content.
        body: Frames,
    },
    /// A worker says something.
    Worker(Version, WorkerCommand),
}

/// What a worker says to its broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkerCommand {
    /// It serves this service from now on.
    Ready(Service),
    /// A part of the reply to its request; more follow. Only in 0.2.
    Partial {
        /// Who asked.
        client: Address,
        /// One frame or more.
        body: Frames,
    },
    /// The reply to its request, or the end of it.
    Final {
        /// Who asked.
        client: Address,
        /// One frame or more.
        body: Frames,
    },
    /// It lives.
    Heartbeat,
    /// It goes.
    Disconnect,
    /// A request, which only a broker may send.
    Request,
}

/// What a worker receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToWorker {
    /// A client asks for the worker's service.
    Request {
        /// By what the broker knows the client; goes back with the reply.
        client: Address,
        /// One frame or more.
        body: Frames,
    },
    /// The broker lives.
    Heartbeat,
    /// The broker does not know the worker any more.
    Disconnect,
}

/// What a client receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToClient {
    /// A part of the reply; more follow. Only in 0.2.
    Partial {
        /// The service that was asked.
        service: Service,
        /// One frame or more.
        body: Frames,
    },
    /// The reply, or the end of it.
    Final {
        /// The service that was asked.
        service: Service,
        /// One frame or more.
        body: Frames,
    },
}

/// The commands between brokers and workers, in the numbers of one version.
struct Numbers {
    ready: u8,
    request: u8,
    /// 0.1 has none.
    partial: Option<u8>,
    last: u8,
    heartbeat: u8,
    disconnect: u8,
}

const NUMBERS_V1: Numbers = Numbers { ready: 1, request: 2, partial: None, last: 3, heartbeat: 4, disconnect: 5 };
const NUMBERS_V2: Numbers = Numbers { ready: 1, request: 2, partial: Some(3), last: 4, heartbeat: 5, disconnect: 6 };

const CLIENT_REQUEST: u8 = 1;
const CLIENT_PARTIAL: u8 = 2;
const CLIENT_FINAL: u8 = 3;

fn numbers(version: Version) -> &'static Numbers {
    match version {
        Version::V1 => &NUMBERS_V1,
        Version::V2 => &NUMBERS_V2,
    }
}

/// Every number that a command can have, to lend from.
static BYTES: [u8; 8] = [0, 1, 2, 3, 4, 5, 6, 7];

fn number(number: u8) -> Bytes {
    let index = usize::from(number);
    Bytes::from_static(&BYTES[index..=index])
}

/// The frames of a message, read from the front.
struct Reader(std::vec::IntoIter<Bytes>);

impl Reader {
    fn next(&mut self) -> Result<Bytes, Malformed> {
        self.0.next().ok_or(Malformed::TooFew)
    }

    fn command(&mut self) -> Result<u8, Malformed> {
        match *self.next()? {
            [command] => Ok(command),
            _ => Err(Malformed::Command),
        }
    }

    fn service(&mut self) -> Result<Service, Malformed> {
        let name = self.0.next().ok_or(Malformed::Service)?;
        Service::new(name).map_err(|_| Malformed::Service)
    }

    fn body(self) -> Result<Frames, Malformed> {
        // The memory of the frames that were read serves again.
        let body: Frames = self.0.collect();
        if body.is_empty() { Err(Malformed::Body) } else { Ok(body) }
    }

    fn client_and_body(mut self) -> Result<(Address, Frames), Malformed> {
        let client = self.0.next().filter(|client| !client.is_empty()).ok_or(Malformed::Envelope)?;
        let is_separated = self.0.next().is_some_and(|frame| frame.is_empty());
        if is_separated { Ok((Address::new(client), self.body()?)) } else { Err(Malformed::Envelope) }
    }

    fn end<T>(self, message: T) -> Result<T, Malformed> {
        if self.0.len() == 0 { Ok(message) } else { Err(Malformed::TooMany) }
    }
}

/// Reads what a broker received, without the address of the sender.
///
/// # Errors
/// Why it is no message.
pub fn decode_at_broker(frames: Frames) -> Result<ToBroker, Malformed> {
    let mut reader = Reader(frames.into_iter());
    let first = reader.next()?;
    if first.is_empty() {
        match &reader.next()?[..] {
            CLIENT_V1 => request(Version::V1, reader),
            WORKER_V1 => worker_command(Version::V1, reader),
            _ => Err(Malformed::Header),
        }
    } else {
        match &first[..] {
            CLIENT_V2 => match reader.command()? {
                CLIENT_REQUEST => request(Version::V2, reader),
                _ => Err(Malformed::Command),
            },
            WORKER_V2 => worker_command(Version::V2, reader),
            _ => Err(Malformed::Header),
        }
    }
}

fn request(version: Version, mut reader: Reader) -> Result<ToBroker, Malformed> {
    let service = reader.service()?;
    Ok(ToBroker::Request { version, service, body: reader.body()? })
}

fn worker_command(version: Version, mut reader: Reader) -> Result<ToBroker, Malformed> {
    let (command, numbers) = (reader.command()?, numbers(version));
    let command = if command == numbers.ready {
        let service = reader.service()?;
        reader.end(WorkerCommand::Ready(service))?
    } else if command == numbers.last {
        let (client, body) = reader.client_and_body()?;
        WorkerCommand::Final { client, body }
    } else if command == numbers.heartbeat {
        reader.end(WorkerCommand::Heartbeat)?
    } else if command == numbers.disconnect {
        reader.end(WorkerCommand::Disconnect)?
    } else if command == numbers.request {
        WorkerCommand::Request
    } else if Some(command) == numbers.partial {
        let (client, body) = reader.client_and_body()?;
        WorkerCommand::Partial { client, body }
    } else {
        return Err(Malformed::Command);
    };
    Ok(ToBroker::Worker(version, command))
}

/// Reads what a worker received.
///
/// # Errors
/// Why it is no message of this version.
pub fn decode_at_worker(version: Version, frames: Frames) -> Result<ToWorker, Malformed> {
    let mut reader = Reader(frames.into_iter());
    header(&mut reader, version, WORKER_V1, WORKER_V2)?;
    let (command, numbers) = (reader.command()?, numbers(version));
    if command == numbers.request {
        let (client, body) = reader.client_and_body()?;
        Ok(ToWorker::Request { client, body })
    } else if command == numbers.heartbeat {
        reader.end(ToWorker::Heartbeat)
    } else if command == numbers.disconnect {
        reader.end(ToWorker::Disconnect)
    } else {
        Err(Malformed::Command)
    }
}

/// Reads what a client received.
///
/// # Errors
/// Why it is no message of this version.
pub fn decode_at_client(version: Version, frames: Frames) -> Result<ToClient, Malformed> {
    let mut reader = Reader(frames.into_iter());
    header(&mut reader, version, CLIENT_V1, CLIENT_V2)?;
    let is_final = match version {
        Version::V1 => true,
        Version::V2 => match reader.command()? {
            CLIENT_PARTIAL => false,
            CLIENT_FINAL => true,
            _ => return Err(Malformed::Command),
        },
    };
    let service = reader.service()?;
    let body = reader.body()?;
    Ok(if is_final { ToClient::Final { service, body } } else { ToClient::Partial { service, body } })
}

fn header(reader: &mut Reader, version: Version, v1: &[u8], v2: &[u8]) -> Result<(), Malformed> {
    let is_right = match version {
        Version::V1 => reader.next()?.is_empty() && reader.next()? == v1,
        Version::V2 => reader.next()? == v2,
    };
    if is_right { Ok(()) } else { Err(Malformed::Header) }
}

/// Begins the frames of a message, with room for `more`.
fn begin(version: Version, v1: &'static [u8], v2: &'static [u8], more: usize) -> Frames {
    let mut frames = Vec::with_capacity(more + 3);
    match version {
        Version::V1 => frames.extend([Bytes::new(), Bytes::from_static(v1)]),
        Version::V2 => frames.push(Bytes::from_static(v2)),
    }
    frames
}

fn begin_worker(version: Version, more: usize) -> Frames {
    begin(version, WORKER_V1, WORKER_V2, more)
}

fn with_client(version: Version, command: u8, client: Address, body: Frames) -> Frames {
    let mut frames = begin_worker(version, body.len() + 3);
    frames.extend([number(command), client.into_bytes(), Bytes::new()]);
    frames.extend(body);
    frames
}

/// Writes a client's request.
#[must_use]
pub fn encode_request(version: Version, service: &Service, body: Frames) -> Frames {
    let mut frames = begin(version, CLIENT_V1, CLIENT_V2, body.len() + 2);
    if version == Version::V2 {
        frames.push(number(CLIENT_REQUEST));
    }
    frames.push(service.as_bytes().clone());
    frames.extend(body);
    frames
}

impl WorkerCommand {
    /// Writes the command. A part of a reply is written as the whole in 0.1, which has no parts.
    #[must_use]
    pub fn encode(self, version: Version) -> Frames {
        let numbers = numbers(version);
        let plain = |command| {
            let mut frames = begin_worker(version, 2);
            frames.push(number(command));
            frames
        };
        match self {
            Self::Ready(service) => {
                let mut frames = plain(numbers.ready);
                frames.push(service.as_bytes().clone());
                frames
            }
            Self::Partial { client, body } => {
                with_client(version, numbers.partial.unwrap_or(numbers.last), client, body)
            }
            Self::Final { client, body } => with_client(version, numbers.last, client, body),
            Self::Heartbeat => plain(numbers.heartbeat),
            Self::Disconnect => plain(numbers.disconnect),
            Self::Request => plain(numbers.request),
        }
    }
}

impl ToWorker {
    /// Writes the message.
    #[must_use]
    pub fn encode(self, version: Version) -> Frames {
        let numbers = numbers(version);
        let plain = |command| {
            let mut frames = begin_worker(version, 2);
            frames.push(number(command));
            frames
        };
        match self {
            Self::Request { client, body } => with_client(version, numbers.request, client, body),
            Self::Heartbeat => plain(numbers.heartbeat),
            Self::Disconnect => plain(numbers.disconnect),
        }
    }
}

impl ToClient {
    /// Writes the message. A part of a reply is written as the whole in 0.1, which has no parts.
    #[must_use]
    pub fn encode(self, version: Version) -> Frames {
        let (command, service, body) = match self {
            Self::Partial { service, body } => (CLIENT_PARTIAL, service, body),
            Self::Final { service, body } => (CLIENT_FINAL, service, body),
        };
        let mut frames = begin(version, CLIENT_V1, CLIENT_V2, body.len() + 2);
        if version == Version::V2 {
            frames.push(number(command));
        }
        frames.push(service.into_bytes());
        frames.extend(body);
        frames
    }
}
