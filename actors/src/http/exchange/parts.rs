//! Bodies and answers that come in parts.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::Response;
use http::header::CONTENT_LENGTH;
use hyper::body::Incoming;
use playhouse_engine::{Error, EventId};

use super::{Exchange, State, Step};
use crate::http::answer::{Answer, AnswerFeed};
use crate::http::body::ReplyBody;
use crate::http::clock::NEVER;
use crate::http::inflow::Inflow;
use crate::http::intake::Intake;
use crate::http::pending::Outcome;
use crate::http::reply::{Refusal, Reply, answer, may_have_body};

impl Exchange {
    /// Begins to take in a body in parts.
    pub(super) fn stream(&mut self, body: Incoming) -> Result<Intake, Error> {
        let (Some(head), Some(target)) = (self.head.clone(), self.target()) else {
            return Err(Error::internal("a request was taken in that was not admitted"));
        };
        let Some(outbox) = target.outbox else {
            return Err(Error::internal("a request was taken in that leads to no outbox"));
        };
        let permit = self.connection.reception.emitter.permit()?;
        let lease = self.lease()?.clone();
        let inflow = Inflow::new(body);
        #[cfg(feature = "compression")]
        let inflow = match self.coding {
            Some(coding) => inflow.packed(coding)?,
            None => inflow,
        };
        let id = lease.open(NEVER);
        if let Some(entry) = &mut self.entry {
            entry.id = Some(id);
        }
        Ok(Intake::new(&self.connection, lease, id, head, outbox, inflow, permit))
    }

    /// Takes in parts of the body, until the reply is there or the body has left whole.
    pub(super) fn poll_streaming(&mut self, context: &mut Context<'_>) -> Poll<Result<Step, Refusal>> {
        let (State::Streaming(intake), Some(lease)) = (&mut self.state, &self.lease) else { return Poll::Pending };
        if let Poll::Ready(outcome) = lease.poll(context) {
            return Poll::Ready(Ok(self.answer_early(outcome)));
        }
        match ready!(intake.poll(context)) {
            Ok(()) => {
                let id = intake.id();
                self.deadline = self.connection.reception.until_deadline();
                lease.wake_at(context.waker(), self.deadline);
                Poll::Ready(Ok(Step::Offered(id)))
            }
            Err(refusal) => {
                lease.close();
                self.leave_unread(None);
                Poll::Ready(Err(refusal))
            }
        }
    }

    /// Answers a request whose body has not left whole.
    fn answer_early(&mut self, outcome: Outcome) -> Step {
        let State::Streaming(mut intake) = std::mem::replace(&mut self.state, State::Answered(None)) else {
            return Step::Again;
        };
        let id = intake.id();
        if let Outcome::Begun(reply, answer) = outcome {
            return Step::Answer(self.begin(reply, answer, id, Some(intake)));
        }
        if let Outcome::Ended(Err(error)) = &outcome {
            intake.break_off(error);
        }
        // What receivers are told where it has not been told yet, is told as it goes.
        drop(intake);
        self.leave_unread(None);
        self.closes = true;
        self.answered(outcome, id)
    }

    /// Begins an answer that comes in parts, which may be made of what `intake` still takes in.
    pub(super) fn begin(
        &self,
        reply: Reply,
        parts: Arc<Answer>,
        id: EventId,
        intake: Option<Box<Intake>>,
    ) -> Response<ReplyBody> {
        let can_be_told = reply.has_status();
        let (mut response, is_head) = self.with_asked(Some(id), |asked| (answer(reply, asked), asked.is_head));
        let (Some(lease), Some(head)) = (&self.lease, &self.head) else { return response };
        let feed = AnswerFeed::new(self.connection.clone(), lease.clone(), parts, intake, head.parts.version);
        if can_be_told && is_head {
            // How long it would be is not known.
            response.headers_mut().remove(CONTENT_LENGTH);
        } else if can_be_told && may_have_body(response.status()) {
            *response.body_mut() = ReplyBody::fed(feed);
        }
        response
    }
}
