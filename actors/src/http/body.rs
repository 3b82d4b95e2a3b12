//! The body of an answer: one piece, known in advance, so that it leaves with the head in one write; or pieces as they come.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use playhouse_engine::Error;

use super::access::Entry;
use super::connection::Open;

/// Where the pieces of a body come from that is not known in advance.
pub(crate) trait Feed: Send {
    /// Returns the next piece, or nothing after the last. An error breaks the answer off, so that the client does not take what it
    /// has for the whole.
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>>;
}

/// The body of an answer.
#[derive(Default)]
pub(crate) struct ReplyBody {
    bytes: Bytes,
    /// What follows `bytes`.
    feed: Option<Box<dyn Feed>>,
    /// Tells the connection, when it goes, that the answer has been handed on whole.
    open: Option<Open>,
    /// Counts what is sent, and tells of it when the body goes.
    entry: Option<Box<Entry>>,
}

impl ReplyBody {
    /// Makes a body of what `feed` gives.
    pub(crate) fn fed(feed: impl Feed + 'static) -> Self {
        Self { feed: Some(Box::new(feed)), ..Self::default() }
    }

    /// Puts something between what gives the pieces, where it comes in such, and the client.
    #[cfg(feature = "compression")]
    pub(crate) fn map_feed(mut self, change: impl FnOnce(Box<dyn Feed>) -> Box<dyn Feed>) -> Self {
        self.feed = self.feed.map(change);
        self
    }

    /// Says whether it comes in pieces that nobody knows yet.
    pub(crate) fn is_fed(&self) -> bool {
        self.feed.is_some()
    }

    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Lets the access log tell of the answer when it has gone.
    pub(crate) fn log(&mut self, entry: Box<Entry>) {
        self.entry = Some(entry);
    }

    pub(crate) fn with_open(mut self, open: Open) -> Self {
        self.open = Some(open);
        self
    }

    fn count(&mut self, piece: &Bytes) {
        if let Some(entry) = &mut self.entry {
            entry.bytes += piece.len() as u64;
        }
    }
}

impl From<Bytes> for ReplyBody {
    fn from(bytes: Bytes) -> Self {
        Self { bytes, ..Self::default() }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let bytes = std::mem::take(&mut self.bytes);
        if !bytes.is_empty() {
            self.count(&bytes);
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        let Some(feed) = &mut self.feed else { return Poll::Ready(None) };
        feed.poll_piece(context).map(|piece| {
            match &piece {
                Some(Ok(piece)) => self.count(piece),
                _ => self.feed = None,
            }
            piece.map(|piece| piece.map(Frame::data))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty() && self.feed.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match self.feed {
            None => SizeHint::with_exact(self.bytes.len() as u64),
            Some(_) => SizeHint::default(),
        }
    }
}

impl fmt::Debug for ReplyBody {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ReplyBody")
            .field("bytes", &self.bytes)
            .field("is_fed", &self.feed.is_some())
            .finish_non_exhaustive()
    }
}
