//! The pieces of a body as they come off the connection, unpacked where they are compressed.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Body as _;
use hyper::body::Incoming;
use playhouse_engine::Error;

#[cfg(feature = "compression")]
use super::compression::{Coding, Unpacker};
use super::reply::Refusal;

/// How much is given at a time.
const PIECE: usize = 64 * 1024;

/// The pieces of one body.
#[derive(Debug)]
pub(crate) struct Inflow {
    body: Incoming,
    /// What has come and was not given yet.
    rest: Bytes,
    /// How many bytes came, or were unpacked, whichever are more.
    came: u64,
    /// How many bytes came off the connection.
    arrived: u64,
    #[cfg(feature = "compression")]
    unpacker: Option<Unpacker>,
    has_ended: bool,
}

impl Inflow {
    pub(crate) fn new(body: Incoming) -> Self {
        Self {
            has_ended: body.is_end_stream(),
            body,
            rest: Bytes::new(),
            came: 0,
            arrived: 0,
            #[cfg(feature = "compression")]
            unpacker: None,
        }
    }

    /// Unpacks what comes.
    #[cfg(feature = "compression")]
    pub(crate) fn packed(mut self, coding: Coding) -> Result<Self, Error> {
        self.unpacker = Some(Unpacker::new(coding)?);
        Ok(self)
    }

    /// Returns how much has come, or was unpacked, whichever is more: what a limit is for.
    pub(crate) fn came(&self) -> u64 {
        self.came
    }

    /// Returns how much the client has sent, however little or much becomes of it.
    pub(crate) fn arrived(&self) -> u64 {
        self.arrived
    }

    /// Says whether it is known already that no more comes.
    pub(crate) fn is_at_end(&self) -> bool {
        self.has_ended
    }

    /// Returns the next piece; nothing after the last.
    pub(crate) fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Refusal>> {
        #[cfg(feature = "compression")]
        if self.unpacker.is_some() {
            return self.poll_unpacked(context);
        }
        if self.rest.is_empty() {
            match ready!(self.poll_raw(context))? {
                Some(data) => self.rest = data,
                None => {
                    self.has_ended = true;
                    return Poll::Ready(Ok(None));
                }
            }
        }
        let piece = self.rest.split_to(self.rest.len().min(PIECE));
        self.came += piece.len() as u64;
        self.has_ended = self.rest.is_empty() && self.body.is_end_stream();
        Poll::Ready(Ok(Some(piece)))
    }

    fn poll_raw(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Refusal>> {
        loop {
            return match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                None => Poll::Ready(Ok(None)),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        self.arrived += data.len() as u64;
                        Poll::Ready(Ok(Some(data)))
                    }
                    // Trailers say nothing that a flow could use.
                    Err(_) => continue,
                },
                Some(Err(error)) => {
                    let error = Error::malformed("the body cannot be read").caused_by(error);
                    Poll::Ready(Err(Refusal { close: true, ..error.into() }))
                }
            };
        }
    }

    #[cfg(feature = "compression")]
    fn poll_unpacked(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Refusal>> {
        loop {
            let Some(unpacker) = &mut self.unpacker else { return Poll::Ready(Ok(None)) };
            if let Some(piece) = unpacker.unpack()? {
                self.came = self.came.max(unpacker.given());
                self.has_ended = piece.is_empty();
                return Poll::Ready(Ok(Some(piece).filter(|piece| !piece.is_empty())));
            }
            match ready!(self.poll_raw(context))? {
                None => self.end_input(),
                Some(data) => self.feed(data)?,
            }
        }
    }

    #[cfg(feature = "compression")]
    fn feed(&mut self, data: Bytes) -> Result<(), Error> {
        let Some(unpacker) = &mut self.unpacker else { return Ok(()) };
        unpacker.feed(data)?;
        self.came = self.came.max(unpacker.taken());
        Ok(())
    }

    #[cfg(feature = "compression")]
    fn end_input(&mut self) {
        if let Some(unpacker) = &mut self.unpacker {
            unpacker.end();
        }
    }
}
