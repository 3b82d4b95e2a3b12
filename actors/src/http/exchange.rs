//! One request on its way: its body is read, its event is offered to the flow, and its reply is waited for.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use playhouse_engine::{Attributes, Error, Event, EventId, Permit, Receipt};

use super::admission::{Admission, admit};
use super::answer::{Answer, AnswerFeed};
use super::body::ReplyBody;
use super::clock::{NEVER, Ticks};
use super::connection::{Connection, Open};
use super::head::Head;
use super::inflow::Inflow;
use super::intake::Intake;
use super::payload::payload;
use super::pending::{Lease, Outcome};
use super::reply::{Asked, Refusal, Reply, answer, empty, may_have_body, options, refuse};
use super::routes::{Address, Target};
use super::upload::Upload;
use super::watch::Phase;

/// One request on its way to its answer.
#[derive(Debug)]
pub(crate) struct Exchange {
    connection: Arc<Connection>,
    lease: Option<Arc<Lease>>,
    head: Option<Arc<Head>>,
    /// Where it leads; nothing where it is not admitted.
    address: Option<Address>,
    state: State,
    deadline: Ticks,
    /// Tells an HTTP/2 connection that one more request is open.
    open: Option<Open>,
}

#[derive(Debug)]
enum State {
    Answered(Option<Box<Response<ReplyBody>>>),
    Arrived,
    Uploading(Upload),
    /// The body leaves in parts, and the reply may come meanwhile.
    Streaming(Box<Intake>),
    Waiting(EventId),
}

/// How far a body that leaves in parts has come.
enum Progress {
    /// It has left whole, and the reply is waited for.
    Whole(EventId),
    /// What ends the request came first.
    Outcome(Outcome),
}

impl Exchange {
    /// Begins the exchange of a request; `lease` is the connection's own slot, where it has one request at a time.
    pub(crate) fn new(connection: Arc<Connection>, lease: Option<Arc<Lease>>, request: Request<Incoming>) -> Self {
        let (parts, body) = request.into_parts();
        let reception = &connection.reception;
        let open = (parts.version >= Version::HTTP_2).then(|| Open::new(connection.clone()));
        connection.watch.enter(Phase::Busy, NEVER);
        connection.watch.set_unread(false);
        let deadline = reception.until_deadline();
        let length = if body.is_end_stream() { Some(0) } else { body.size_hint().exact() };
        let admission = admit(&reception.routes, &reception.limits, &parts, length);
        let mut exchange = Self { lease, head: None, address: None, state: State::Arrived, deadline, open, connection };
        let mut head = Head { parts, peer: exchange.connection.peer, variables: Box::default() };
        match admission {
            Ok(Admission::Admitted(address, variables)) => {
                head.variables = variables;
                exchange.head = Some(Arc::new(head));
                exchange.address = Some(address);
                exchange.arrive(body, length);
            }
            Ok(Admission::Options) => {
                exchange.leave_unread(length);
                let allow = exchange.connection.reception.routes.allow_for(head.parts.uri.path());
                exchange.state = State::Answered(Some(Box::new(options(allow))));
            }
            Err(refusal) => {
                exchange.leave_unread(length);
                exchange.head = Some(Arc::new(head));
                exchange.refuse_later(refusal);
            }
        }
        exchange
    }

    fn arrive(&mut self, body: Incoming, length: Option<u64>) {
        if self.target().is_some_and(|target| target.streamed) {
            match self.stream(body) {
                Ok(intake) => self.state = State::Streaming(Box::new(intake)),
                Err(error) => {
                    self.leave_unread(length);
                    self.refuse_later(error.into());
                }
            }
            return;
        }
        if length == Some(0) {
            return;
        }
        match self.connection.reception.emitter.permit() {
            Ok(permit) => {
                let upload = Upload::new(body, permit, &self.connection.reception);
                self.state = State::Uploading(upload);
            }
            Err(error) => {
                self.leave_unread(length);
                self.refuse_later(error.into());
            }
        }
    }

    /// Begins to take in a body in parts.
    fn stream(&mut self, body: Incoming) -> Result<Intake, Error> {
        let (Some(head), Some(target)) = (self.head.clone(), self.target()) else {
            return Err(Error::internal("a request was taken in that was not admitted"));
        };
        let outbox = target.outbox;
        let permit = self.connection.reception.emitter.permit()?;
        let lease = self.lease()?.clone();
        let id = lease.open(NEVER);
        Ok(Intake::new(&self.connection, lease, id, head, outbox, Inflow::new(body), permit))
    }

    fn target(&self) -> Option<&Target> {
        self.address.map(|address| self.connection.reception.routes.target(address))
    }

    fn refuse_later(&mut self, refusal: Refusal) {
        let response = self.refused(refusal, None);
        self.state = State::Answered(Some(Box::new(response)));
    }

    /// Notes that the client may send what nobody reads.
    fn leave_unread(&self, length: Option<u64>) {
        if length != Some(0) {
            self.connection.watch.set_unread(true);
        }
    }

    fn lease(&mut self) -> Result<&Arc<Lease>, Error> {
        if self.lease.is_none() {
            self.lease = self.connection.reception.pending.lend().map(Arc::new);
        }
        self.lease.as_ref().ok_or_else(|| Error::overloaded("too many requests wait for a reply"))
    }

    /// Offers the event of the request to the flow.
    fn offer(&mut self, body: Bytes, permit: Option<Permit>) -> Result<EventId, Refusal> {
        let (Some(head), Some(address)) = (self.head.clone(), self.address) else {
            return Err(Error::internal("a request was offered that was not admitted").into());
        };
        let payload = payload(&head.parts.headers, body)?;
        let deadline = self.deadline;
        let lease = self.lease()?.clone();
        let id = lease.open(deadline);
        let receipt = Receipt::new(move |outcome| lease.end(id, Outcome::Ended(outcome)));
        let reception = &self.connection.reception;
        let event = Event::with_id(id, payload)
            .with_attributes(Attributes::over(head))
            .with_deadline(reception.clock.instant(deadline))
            .with_receipt(receipt);
        let outbox = reception.routes.target(address).outbox;
        let offered = match permit {
            Some(permit) => permit.offer_from(outbox, event),
            None => reception.emitter.offer_from(outbox, event),
        };
        match offered {
            Ok(()) => Ok(id),
            Err(error) => {
                self.lease()?.close();
                Err(error.into())
            }
        }
    }

    fn poll_upload(&mut self, context: &mut Context<'_>) -> Poll<Result<EventId, Refusal>> {
        let reception = &self.connection.reception;
        let State::Uploading(upload) = &mut self.state else { return Poll::Pending };
        let measured = match upload.poll(context, reception) {
            Poll::Ready(Ok(body)) => {
                let permit = upload.permit.take();
                return Poll::Ready(self.offer(body, permit));
            }
            Poll::Ready(Err(refusal)) => Err(refusal),
            Poll::Pending if reception.clock.now() >= self.deadline => {
                let error = Error::timeout("the request did not arrive whole within its deadline");
                Err(Refusal { close: true, ..Refusal::with_status(error, StatusCode::REQUEST_TIMEOUT) })
            }
            Poll::Pending => upload.measure(reception),
        };
        match measured {
            Ok(measured) => {
                let wanted = measured.min(self.deadline);
                self.lease()?.wake_at(context.waker(), wanted);
                Poll::Pending
            }
            Err(refusal) => {
                self.leave_unread(None);
                Poll::Ready(Err(refusal))
            }
        }
    }

    /// Takes in parts of the body, until the reply is there or the body has left whole.
    fn poll_streaming(&mut self, context: &mut Context<'_>) -> Poll<Result<Progress, Refusal>> {
        let (State::Streaming(intake), Some(lease)) = (&mut self.state, &self.lease) else { return Poll::Pending };
        if let Poll::Ready(outcome) = lease.poll(context) {
            return Poll::Ready(Ok(Progress::Outcome(outcome)));
        }
        match ready!(intake.poll(context)) {
            Ok(()) => {
                let id = intake.id();
                self.deadline = self.connection.reception.until_deadline();
                lease.wake_at(context.waker(), self.deadline);
                Poll::Ready(Ok(Progress::Whole(id)))
            }
            Err(refusal) => {
                lease.close();
                self.leave_unread(None);
                Poll::Ready(Err(refusal))
            }
        }
    }

    /// Answers a request whose body has not left whole.
    fn answer_early(&mut self, outcome: Outcome) -> Response<ReplyBody> {
        let State::Streaming(mut intake) = std::mem::replace(&mut self.state, State::Answered(None)) else {
            return self.refused(Error::internal("a body is taken in that is not there").into(), None);
        };
        let id = intake.id();
        if let Outcome::Begun(reply, answer) = outcome {
            return self.begin(reply, answer, id, Some(intake));
        }
        let error = match &outcome {
            Outcome::Ended(Err(error)) => error.clone(),
            _ => Error::gone("the request was answered before its body was there"),
        };
        intake.break_off(&error);
        drop(intake);
        self.leave_unread(None);
        let mut response = self.answered(outcome, id);
        if self.open.is_none() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    fn poll_answer(&mut self, id: EventId, context: &mut Context<'_>) -> Poll<Response<ReplyBody>> {
        let Some(lease) = &self.lease else {
            return Poll::Ready(self.refused(Error::internal("a request waits without a slot").into(), Some(id)));
        };
        let outcome = match lease.poll(context) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending if self.connection.reception.clock.now() < self.deadline => return Poll::Pending,
            Poll::Pending => {
                lease.close();
                let time = self.connection.reception.limits.deadline;
                Outcome::Ended(Err(Error::timeout(format!("no reply came within {time:?}"))))
            }
        };
        // Nothing more is waited for: the slot is free.
        self.state = State::Answered(None);
        Poll::Ready(self.answered(outcome, id))
    }

    fn answered(&self, outcome: Outcome, id: EventId) -> Response<ReplyBody> {
        match outcome {
            Outcome::Reply(reply) => self.with_asked(Some(id), |asked| answer(reply, asked)),
            Outcome::Begun(reply, answer) => self.begin(reply, answer, id, None),
            Outcome::Ended(Err(error)) => self.refused(error.into(), Some(id)),
            Outcome::Ended(Ok(())) if self.is_accepted() => empty(StatusCode::ACCEPTED),
            Outcome::Ended(Ok(())) => {
                self.refused(Error::internal("the request's event ended without a reply").into(), Some(id))
            }
        }
    }

    /// Begins an answer that comes in parts, which may be made of what `intake` still takes in.
    fn begin(
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

    fn is_accepted(&self) -> bool {
        self.target().is_some_and(|target| target.accepted)
    }

    fn refused(&self, refusal: Refusal, id: Option<EventId>) -> Response<ReplyBody> {
        let close = refusal.close;
        let mut response = self.with_asked(id, |asked| refuse(refusal, asked));
        if close && self.open.is_none() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    fn with_asked<T>(&self, id: Option<EventId>, make: impl FnOnce(Asked<'_>) -> T) -> T {
        let (reception, head) = (&self.connection.reception, self.head.as_deref());
        let none = HeaderMap::new();
        make(Asked {
            headers: head.map_or(&none, |head| &head.parts.headers),
            is_head: head.is_some_and(|head| head.parts.method == Method::HEAD),
            allow: match (self.address, head) {
                (Some(address), _) => reception.routes.allow_at(address),
                (None, Some(head)) => reception.routes.allow_for(head.parts.uri.path()),
                (None, None) => &reception.routes.allow,
            },
            challenge: &reception.challenge,
            id,
        })
    }

    /// Gives the answer to the connection, which goes on to the next request.
    fn finish(&mut self, mut response: Response<ReplyBody>) -> Response<ReplyBody> {
        self.state = State::Answered(None);
        self.head = None;
        let connection = &self.connection;
        match self.open.take() {
            Some(open) => {
                connection.watch.extend(connection.reception.until_stalled());
                let (parts, body) = response.into_parts();
                response = Response::from_parts(parts, body.with_open(open));
            }
            None if response.body().is_fed() => {
                connection.watch.enter(Phase::Fed, connection.reception.until_idle());
                let (parts, body) = response.into_parts();
                response = Response::from_parts(parts, body.with_open(Open::new(connection.clone())));
            }
            None => connection.watch.enter(Phase::Idle, connection.reception.until_idle()),
        }
        response
    }
}

impl Future for Exchange {
    type Output = Result<Response<ReplyBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let response = loop {
            let offered = match &mut this.state {
                State::Answered(response) => match response.take() {
                    Some(response) => break *response,
                    None => return Poll::Pending,
                },
                State::Arrived => this.offer(Bytes::new(), None),
                State::Uploading(_) => ready!(this.poll_upload(context)),
                State::Streaming(_) => match ready!(this.poll_streaming(context)) {
                    Ok(Progress::Whole(id)) => Ok(id),
                    Ok(Progress::Outcome(outcome)) => break this.answer_early(outcome),
                    Err(refusal) => Err(refusal),
                },
                State::Waiting(id) => {
                    let id = *id;
                    break ready!(this.poll_answer(id, context));
                }
            };
            match offered {
                // A flow of light actors has run within the offer: then the answer is there already.
                Ok(id) => this.state = State::Waiting(id),
                Err(refusal) => break this.refused(refusal, None),
            }
        };
        Poll::Ready(Ok(this.finish(response)))
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        // The client has gone: a reply that still comes is late.
        if let (State::Waiting(_) | State::Uploading(_) | State::Streaming(_), Some(lease)) = (&self.state, &self.lease) {
            lease.close();
        }
    }
}
