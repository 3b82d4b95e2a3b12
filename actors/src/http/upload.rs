//! The body of a request while it comes in: within its size, and not too slowly.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use hyper::body::Incoming;
use playhouse_engine::{Error, Permit};

use super::admission::too_large;
use super::clock::Ticks;
use super::intake::too_slow;
use super::reception::Reception;
use super::reply::Refusal;

/// How much room is made for a body at most before it has come.
const TRUSTED: u64 = 64 * 1024;

#[derive(Debug)]
pub(crate) struct Upload {
    body: Incoming,
    /// Lets the event into a flow that stops meanwhile.
    pub(crate) permit: Option<Permit>,
    /// The first piece, which is most often the whole.
    first: Bytes,
    all: BytesMut,
    /// When the rate is looked at next, and how much had come the last time.
    measured: Ticks,
    came: usize,
}

impl Upload {
    pub(crate) fn new(body: Incoming, permit: Permit, reception: &Reception) -> Self {
        let (first, all) = (Bytes::new(), BytesMut::new());
        Self { body, permit: Some(permit), first, all, measured: reception.until_measured(), came: 0 }
    }

    /// Reads the body whole.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>, reception: &Reception) -> Poll<Result<Bytes, Refusal>> {
        let limit = reception.limits.body_size;
        while !self.body.is_end_stream() {
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                None => break,
                Some(Ok(frame)) => frame,
                Some(Err(error)) => {
                    let error = Error::malformed("the body cannot be read").caused_by(error);
                    return Poll::Ready(Err(Refusal { close: true, ..error.into() }));
                }
            };
            // Trailers say nothing that a flow could use.
            let Ok(data) = frame.into_data() else { continue };
            if self.length() + data.len() > limit {
                return Poll::Ready(Err(Refusal { close: true, ..too_large(limit) }));
            }
            self.take(data);
        }
        Poll::Ready(Ok(if self.all.is_empty() {
            std::mem::take(&mut self.first)
        } else {
            std::mem::take(&mut self.all).freeze()
        }))
    }

    /// Looks whether the client is too slow, where it is time to; returns when to look again.
    pub(crate) fn measure(&mut self, reception: &Reception) -> Result<Ticks, Refusal> {
        if reception.clock.now() >= self.measured {
            let came = self.length();
            let window = super::clock::ticks(reception.limits.rate_window);
            if ((came - self.came) as u64) < reception.least_in(window) {
                return Err(too_slow(reception));
            }
            self.came = came;
            self.measured = reception.until_measured();
        }
        Ok(self.measured)
    }

    fn take(&mut self, data: Bytes) {
        if self.length() == 0 {
            self.first = data;
            return;
        }
        if self.all.is_empty() {
            let first = std::mem::take(&mut self.first);
            let expected = self.body.size_hint().lower().saturating_add((first.len() + data.len()) as u64);
            self.all.reserve(usize::try_from(expected.min(TRUSTED)).unwrap_or_default());
            self.all.extend_from_slice(&first);
        }
        self.all.extend_from_slice(&data);
    }

    fn length(&self) -> usize {
        self.first.len() + self.all.len()
    }
}
