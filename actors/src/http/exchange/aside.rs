//! What takes long for one request is done on tokio's blocking pool: other requests share the thread of a connection.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

#[cfg(feature = "compression")]
use bytes::Bytes;
#[cfg(feature = "compression")]
use http::{HeaderMap, Method, Response};
#[cfg(feature = "compression")]
use playhouse_engine::Permit;
use playhouse_engine::{Error, EventId};
use tokio::task::spawn_blocking;

use super::{Exchange, State, Step};
#[cfg(feature = "compression")]
use crate::http::body::ReplyBody;
#[cfg(feature = "compression")]
use crate::http::compression::{Coding, unpack};
use crate::http::form::Shaping;
use crate::http::reply::{Refusal, Reply, add_vary, answer};

/// What was done elsewhere.
#[derive(Debug)]
pub(super) enum Done {
    /// The reply has the form that the client wants.
    Shaped(Reply, EventId),
    /// The body was unpacked.
    #[cfg(feature = "compression")]
    Unpacked(Bytes, Option<Permit>),
    /// The answer was compressed.
    #[cfg(feature = "compression")]
    Packed(Response<ReplyBody>),
}

impl Exchange {
    /// Goes on when what is done elsewhere is done.
    pub(super) fn poll_aside(&mut self, context: &mut Context<'_>) -> Poll<Result<Step, Refusal>> {
        let State::Aside(work) = &mut self.state else { return Poll::Pending };
        let done = match ready!(Pin::new(work).poll(context)) {
            Ok(done) => done?,
            Err(error) => return Poll::Ready(Err(Error::cancelled("the work was given up").caused_by(error).into())),
        };
        self.state = State::Answered(None);
        Poll::Ready(match done {
            Done::Shaped(reply, id) => Ok(self.answer_shaped(reply, id)),
            #[cfg(feature = "compression")]
            Done::Unpacked(body, permit) => self.offer(body, permit).map(Step::Offered),
            #[cfg(feature = "compression")]
            Done::Packed(response) => Ok(Step::Answer(response)),
        })
    }

    /// Returns what form a reply is to have; nothing where it goes as it is.
    pub(super) fn shaping(&self) -> Option<Shaping> {
        let (target, head) = (self.target()?, self.head.as_deref()?);
        Shaping::of(target.forms, &head.parts.headers)
    }

    /// Gives a reply the form that the client wants.
    pub(super) fn shape(&mut self, reply: Reply, shaping: Shaping, id: EventId) -> Step {
        if !shaping.is_long(&reply) {
            return self.answer_shaped(shaping.shape(reply), id);
        }
        self.state = State::Aside(spawn_blocking(move || Ok(Done::Shaped(shaping.shape(reply), id))));
        Step::Again
    }

    fn answer_shaped(&self, reply: Reply, id: EventId) -> Step {
        let mut response = self.with_asked(Some(id), |asked| answer(reply, asked));
        if self.target().is_some_and(|target| target.forms.by_accept) {
            add_vary(response.headers_mut(), "accept");
        }
        Step::Answer(response)
    }

    /// Notes how the body is compressed, where it is to be unpacked.
    #[cfg(feature = "compression")]
    pub(super) fn note_coding(&mut self, headers: &mut HeaderMap, length: Option<u64>) -> Result<(), Refusal> {
        if let Some(compressor) = self.connection.reception.compressor.as_ref().filter(|_| length != Some(0)) {
            self.coding = compressor.coding_of(headers)?;
        }
        Ok(())
    }

    #[cfg(feature = "compression")]
    pub(super) fn unpack_aside(&mut self, coding: Coding, body: Bytes, permit: Option<Permit>) -> Step {
        let limit = self.connection.reception.limits.body_size;
        let work = spawn_blocking(move || unpack(coding, body, limit).map(|body| Done::Unpacked(body, permit)));
        self.state = State::Aside(work);
        Step::Again
    }

    /// Compresses an answer as the client accepts it; nothing is returned where that is done elsewhere.
    #[cfg(feature = "compression")]
    pub(super) fn pack(&mut self, response: Response<ReplyBody>) -> Option<Response<ReplyBody>> {
        let (Some(compressor), Some(head)) = (&self.connection.reception.compressor, &self.head) else {
            return Some(response);
        };
        match compressor.pack(response, &head.parts.headers, head.parts.method == Method::HEAD) {
            Ok(Ok(response)) => Some(response),
            Ok(Err(aside)) => {
                let work = spawn_blocking(move || Ok(Done::Packed(aside.packed()?)));
                self.state = State::Aside(work);
                None
            }
            Err(refusal) => Some(self.refused(refusal, None)),
        }
    }
}
