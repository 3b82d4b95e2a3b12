//! ZMTP 3.0 with the NULL mechanism, written by hand: a connection that can say what no library would.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Frames without the ROUTER's identity.
pub(crate) type Frames = Vec<Vec<u8>>;

const MORE: u8 = 1;
const LONG: u8 = 2;
const COMMAND: u8 = 4;

/// The greeting: its signature, version 3.0, the mechanism, and that this is no server.
pub(crate) fn greeting() -> [u8; 64] {
    let mut greeting = [0; 64];
    greeting[0] = 0xff;
    greeting[9] = 0x7f;
    greeting[10] = 3;
    greeting[12..16].copy_from_slice(b"NULL");
    greeting
}

/// The command that ends a handshake.
fn ready(kind: &str, identity: &[u8]) -> Vec<u8> {
    let mut body = b"\x05READY".to_vec();
    for (name, value) in [("Socket-Type", kind.as_bytes()), ("Identity", identity)] {
        body.push(name.len() as u8);
        body.extend(name.as_bytes());
        body.extend((value.len() as u32).to_be_bytes());
        body.extend(value);
    }
    frame(COMMAND, &body)
}

/// Returns a frame as it stands on the wire.
pub(crate) fn frame(flags: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(body.len() + 9);
    match u8::try_from(body.len()) {
        Ok(length) => bytes.extend([flags, length]),
        Err(_) => {
            bytes.push(flags | LONG);
            bytes.extend((body.len() as u64).to_be_bytes());
        }
    }
    bytes.extend(body);
    bytes
}

/// Returns a frame with another behind it.
pub(crate) fn more(body: &[u8]) -> Vec<u8> {
    frame(MORE, body)
}

/// Returns the address of an endpoint such as `tcp://127.0.0.1:5555`.
#[track_caller]
pub(crate) fn address(endpoint: &str) -> SocketAddr {
    let address = endpoint.strip_prefix("tcp://").and_then(|address| address.parse().ok());
    address.unwrap_or_else(|| panic!("expected tcp://HOST:PORT, found `{endpoint}`"))
}

/// A connection to a ROUTER, after the handshake.
pub(crate) struct Wire {
    stream: TcpStream,
    /// What was read and is not yet a whole frame.
    rest: Vec<u8>,
    /// The frames of a message whose last one has not come.
    message: Frames,
}

impl Wire {
    /// Connects as a socket of `kind`, such as `DEALER`, with `identity` or none.
    pub(crate) fn connect(endpoint: &str, kind: &str, identity: &[u8]) -> io::Result<Self> {
        let deadline = Instant::now() + Duration::from_secs(5);
        let stream = TcpStream::connect_timeout(&address(endpoint), Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(Duration::from_secs(5)))?;
        let mut wire = Self { stream, rest: Vec::new(), message: Vec::new() };
        wire.write(&greeting())?;
        wire.write(&ready(kind, identity))?;
        while wire.rest.len() < 64 {
            wire.fill(deadline)?;
        }
        wire.rest.drain(..64);
        match wire.frame(deadline)? {
            (flags, body) if flags & COMMAND != 0 && body.starts_with(b"\x05READY") => Ok(wire),
            (_, body) => Err(io::Error::other(format!("expected READY, found `{}`", body.escape_ascii()))),
        }
    }

    /// Writes bytes as they are.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a message.
    pub(crate) fn send<T: AsRef<[u8]>>(&mut self, frames: &[T]) -> io::Result<()> {
        let last = frames.len() - 1;
        let bytes: Vec<u8> = frames
            .iter()
            .enumerate()
            .flat_map(|(index, body)| frame(if index < last { MORE } else { 0 }, body.as_ref()))
            .collect();
        self.write(&bytes)
    }

    /// Returns the next message. One that has come in part by the deadline can still be taken later.
    ///
    /// # Errors
    /// `TimedOut` where none has come by the deadline; others where the connection has ended.
    pub(crate) fn receive(&mut self, deadline: Instant) -> io::Result<Frames> {
        loop {
            let (flags, body) = self.frame(deadline)?;
            if flags & COMMAND != 0 {
                // `PING` with a lifetime of two bytes and a context, which goes back.
                if let Some(context) = body.strip_prefix(b"\x04PING") {
                    let pong = [b"\x04PONG", context.get(2..).unwrap_or_default()].concat();
                    self.write(&frame(COMMAND, &pong))?;
                }
                continue;
            }
            self.message.push(body);
            if flags & MORE == 0 {
                return Ok(std::mem::take(&mut self.message));
            }
        }
    }

    fn frame(&mut self, deadline: Instant) -> io::Result<(u8, Vec<u8>)> {
        loop {
            let head = match self.rest.first() {
                Some(flags) if flags & LONG != 0 => 9,
                _ => 2,
            };
            if self.rest.len() >= head {
                let length =
                    self.rest[1..head].iter().fold(0, |length: u64, byte| length << 8 | u64::from(*byte)) as usize;
                if self.rest.len() - head >= length {
                    let flags = self.rest[0];
                    let body = self.rest[head..head + length].to_vec();
                    self.rest.drain(..head + length);
                    return Ok((flags, body));
                }
            }
            self.fill(deadline)?;
        }
    }

    /// Reads what there is, and waits for something where there is nothing.
    fn fill(&mut self, deadline: Instant) -> io::Result<()> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        let mut space = [0; 16 * 1024];
        match self.stream.read(&mut space) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                self.rest.extend_from_slice(&space[..count]);
                Ok(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Err(ErrorKind::TimedOut.into())
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error),
        }
    }
}
