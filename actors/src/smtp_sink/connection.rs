//! A connection to a server: bytes out, replies in.

use std::fmt;
use std::io::{Error as IoError, ErrorKind, Result as IoResult};

use bytes::{Buf, BytesMut};
use smtp_proto::response::parser::ResponseReceiver;
use smtp_proto::{EhloResponse, Error as Fault};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

use super::reply::Reply;

/// How many bytes a reply may have.
const LONGEST_REPLY: usize = 16 * 1024;

/// What a connection runs over.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// What a server says that it can do.
#[derive(Debug, Default)]
pub(super) struct Abilities {
    extensions: u32,
    pub(super) mechanisms: u64,
    /// How large a mail may be; 0 where that is not said.
    pub(super) size: usize,
}

impl Abilities {
    pub(super) fn has(&self, extension: u32) -> bool {
        self.extensions & extension != 0
    }
}

/// A connection to a server.
pub(super) struct Connection {
    stream: Box<dyn Stream>,
    input: BytesMut,
    pub(super) abilities: Abilities,
    /// Since when nobody uses it.
    pub(super) idle_since: Instant,
}

impl Connection {
    pub(super) fn new(stream: impl Stream + 'static) -> Self {
        Self {
            stream: Box::new(stream),
            input: BytesMut::new(),
            abilities: Abilities::default(),
            idle_since: Instant::now(),
        }
    }

    /// Returns what it runs over; nothing where more has come than was read.
    pub(super) fn into_stream(self) -> Option<Box<dyn Stream>> {
        self.input.is_empty().then_some(self.stream)
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> IoResult<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Reads one reply.
    pub(super) async fn reply(&mut self) -> IoResult<Reply> {
        self.read_reply().await.map(|(reply, _)| reply)
    }

    /// Reads the reply to `EHLO`.
    pub(super) async fn hello_reply(&mut self) -> IoResult<(Reply, Abilities)> {
        let (reply, raw) = self.read_reply().await?;
        let abilities = match EhloResponse::parse(&mut raw.iter()) {
            Ok(response) => Abilities {
                extensions: response.capabilities,
                mechanisms: response.auth_mechanisms,
                size: response.size,
            },
            // A reply it is; what it says that this cannot read is not used.
            Err(_) => Abilities::default(),
        };
        Ok((reply, abilities))
    }

    async fn read_reply(&mut self) -> IoResult<(Reply, BytesMut)> {
        loop {
            // Only what ends with a line can be a reply, and a line is looked at when it is there.
            if self.input.contains(&b'\n') {
                let mut rest = self.input.iter();
                match ResponseReceiver::default().parse(&mut rest) {
                    Ok(response) => {
                        let length = self.input.len() - rest.len();
                        let raw = self.input.split_to(length);
                        return Ok((Reply::new(response.code, &response.message), raw));
                    }
                    Err(Fault::NeedsMoreData { .. }) => {}
                    Err(fault) => return Err(IoError::new(ErrorKind::InvalidData, fault.to_string())),
                }
            }
            if self.input.len() > LONGEST_REPLY {
                return Err(IoError::new(ErrorKind::InvalidData, "a reply has no end"));
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Says whether the connection could be used as it stands: nothing has come that nobody asked for.
    pub(super) fn is_quiet(&self) -> bool {
        !self.input.has_remaining()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Connection").field("abilities", &self.abilities).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    async fn replies(input: &[u8], count: usize) -> IoResult<Vec<(u16, String)>> {
        let (mut server, client) = duplex(LONGEST_REPLY * 4);
        server.write_all(input).await?;
        drop(server);
        let mut connection = Connection::new(client);
        let mut read = Vec::new();
        for _ in 0..count {
            let Reply { code, text } = connection.reply().await?;
            read.push((code, text));
        }
        Ok(read)
    }

    #[tokio::test]
    async fn replies_are_read_one_by_one() {
        let read = replies(b"250-first\r\n250 second\r\n550 5.1.1 nobody\r\n354\r\n", 3).await.unwrap();
        let codes: Vec<u16> = read.iter().map(|(code, _)| *code).collect();
        assert_eq!((codes, read[1].1.as_str()), (vec![250, 550, 354], "nobody"));
    }

    #[tokio::test]
    async fn what_is_no_reply_is_an_error() {
        assert_eq!(replies(b"hello\r\n", 1).await.unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(replies(b"250 o", 1).await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
        let endless = [&b"250 "[..], &b"x".repeat(LONGEST_REPLY * 2)].concat();
        assert_eq!(replies(&endless, 1).await.unwrap_err().kind(), ErrorKind::InvalidData);
        let lines = b"250-x\r\n".repeat(LONGEST_REPLY / 4);
        assert_eq!(replies(&lines, 1).await.unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
