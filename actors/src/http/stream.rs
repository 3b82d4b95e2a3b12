//! The socket of a connection, watched: when a head begins, whether its first line ends, and how much was written.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::Connection;
use super::watch::Phase;

/// What an HTTP/2 client sends first.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What may stand in a request line beside the URI: a method, spaces, a version.
const BESIDE_URI: usize = 64;

#[derive(Debug)]
pub(crate) struct Stream<T> {
    io: T,
    connection: Arc<Connection>,
    /// What was read to tell the versions of HTTP apart, and is yet to be handed on.
    first: [u8; PREFACE.len()],
    first_length: u8,
    first_taken: u8,
    /// Whether what comes is the heads of requests, one after another.
    has_heads: bool,
    /// How much of a head's first line has come; nothing when the line has ended.
    line: Option<usize>,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Stream<T> {
    pub(crate) fn new(io: T, connection: Arc<Connection>) -> Self {
        Self { io, connection, first: [0; PREFACE.len()], first_length: 0, first_taken: 0, has_heads: true, line: None }
    }

    /// Reads until it is sure whether the client speaks HTTP/2; what was read is handed on later.
    pub(crate) fn poll_is_http2(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            let length = usize::from(self.first_length);
            if self.first[..length] != PREFACE[..length] {
                return Poll::Ready(Ok(false));
            }
            if length == PREFACE.len() {
                return Poll::Ready(Ok(true));
            }
            let mut space = ReadBuf::new(&mut self.first[length..]);
            ready!(Pin::new(&mut self.io).poll_read(context, &mut space))?;
            match u8::try_from(space.filled().len()) {
                Ok(count) if count > 0 => self.first_length += count,
                _ => return Poll::Ready(Ok(false)),
            }
            if length == 0 {
                self.connection.watch.turn(Phase::Head);
            }
        }
    }

    /// Looks at what comes no more: the requests of HTTP/2 are in frames.
    pub(crate) fn ignore_heads(&mut self) {
        self.has_heads = false;
    }

    pub(crate) fn into_inner(self) -> T {
        self.io
    }

    fn note_written(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Ready(Ok(count)) => self.connection.watch.note_written(Some(*count)),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.connection.watch.note_written(None),
        }
    }

    /// Looks at what has come.
    fn note_read(&mut self, bytes: &[u8]) -> io::Result<()> {
        let connection = &self.connection;
        match connection.watch.phase() {
            Phase::Busy | Phase::Fed | Phase::UriTooLong => return Ok(()),
            Phase::Fresh => {
                connection.watch.turn(Phase::Head);
                self.line = Some(0);
            }
            Phase::Idle => {
                connection.watch.enter(Phase::Head, connection.reception.until_head());
                self.line = Some(0);
            }
            Phase::Head => {}
        }
        let Some(length) = self.line else { return Ok(()) };
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let length = length + end.unwrap_or(bytes.len());
        self.line = if end.is_some() { None } else { Some(length) };
        if length > connection.reception.limits.uri_size + BESIDE_URI {
            connection.watch.turn(Phase::UriTooLong);
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the request line is too long"));
        }
        Ok(())
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<T> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, space: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = space.filled().len();
        let first = &this.first[usize::from(this.first_taken)..usize::from(this.first_length)];
        if first.is_empty() {
            ready!(Pin::new(&mut this.io).poll_read(context, space))?;
        } else {
            let taken = first.len().min(space.remaining());
            space.put_slice(&first[..taken]);
            // It is at most what is left of 24 bytes.
            this.first_taken += u8::try_from(taken).unwrap_or(this.first_length);
            this.line = Some(0);
            // With what follows at once: hyper makes its buffer twice as large for a head that comes in two pieces.
            if space.remaining() > 0 {
                match Pin::new(&mut this.io).poll_read(context, space) {
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Ready(Ok(())) | Poll::Pending => {}
                }
            }
        }
        let bytes = &space.filled()[before..];
        Poll::Ready(if bytes.is_empty() || !this.has_heads { Ok(()) } else { this.note_read(bytes) })
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(context, bytes);
        self.note_written(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(context, pieces);
        self.note_written(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(context);
        if flushed.is_pending() {
            self.connection.watch.note_written(None);
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_heads {
            // hyper has written all, and the connection decides how it closes.
            return Pin::new(&mut self.io).poll_flush(context);
        }
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
