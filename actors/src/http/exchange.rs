//! One request on its way: its body is read, its event is offered to the flow, and its reply is waited for.

mod aside;
mod parts;

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use playhouse_engine::{Attributes, Error, Event, EventId, Permit, Receipt};
use tokio::task::JoinHandle;

use super::access::Entry;
use super::admission::{Admission, admit};
use super::body::ReplyBody;
use super::clock::{NEVER, Ticks};
#[cfg(feature = "compression")]
use super::compression::Coding;
use super::connection::{Connection, Open};
use super::cors::CorsRules;
use super::head::Head;
use super::intake::Intake;
use super::opening;
use super::payload::payload;
use super::pending::{Lease, Outcome};
use super::reply::{Asked, Refusal, Reply, answer, empty, options, refuse};
use super::routes::{Address, Target};
use super::upload::Upload;
use super::watch::Phase;
use aside::Done;

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
    /// Whether nothing more is taken on the connection, because the client may go on to send what nobody reads.
    closes: bool,
    /// How the body is compressed.
    #[cfg(feature = "compression")]
    coding: Option<Coding>,
    /// Tells an HTTP/2 connection that one more request is open.
    open: Option<Open>,
    /// What the access log will say of it, where there is one.
    entry: Option<Box<Entry>>,
}

#[derive(Debug)]
enum State {
    Answered(Option<Box<Response<ReplyBody>>>),
    Arrived,
    /// What it asks for outlives it, and nobody is asked.
    Opening,
    Uploading(Upload),
    /// The body leaves in parts, and the reply may come meanwhile.
    Streaming(Box<Intake>),
    Waiting(EventId),
    /// Something that takes long is done elsewhere.
    Aside(JoinHandle<Result<Done, Refusal>>),
}

/// How far a request has come.
enum Step {
    /// Its event is in the flow, and the reply is waited for.
    Offered(EventId),
    Answer(Response<ReplyBody>),
    /// Its state says how it goes on.
    Again,
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
        let entry = Entry::begin(&connection);
        let admission = admit(&reception.routes, &reception.limits, &parts, length, reception.cors.is_some());
        let peer = connection.peer;
        let forwarded = reception.trusted.look(peer.ip(), &parts.headers);
        let mut head = Head { parts, peer, variables: Box::default(), forwarded, scheme: reception.scheme() };
        let mut exchange = Self {
            lease,
            head: None,
            address: None,
            state: State::Arrived,
            deadline,
            closes: false,
            #[cfg(feature = "compression")]
            coding: None,
            open,
            entry,
            connection,
        };
        match admission {
            Ok(Admission::Admitted(address, variables)) => {
                head.variables = variables;
                exchange.address = Some(address);
                let checked = exchange.check_opening(&head);
                // Only now, for it takes off the head what tells of a body.
                #[cfg(feature = "compression")]
                let checked = checked.and_then(|()| exchange.note_coding(&mut head.parts.headers, length));
                exchange.head = Some(Arc::new(head));
                match checked {
                    Ok(()) => exchange.arrive(body, length),
                    Err(refusal) => {
                        exchange.leave_unread(length);
                        exchange.refuse_later(refusal);
                    }
                }
            }
            Ok(Admission::Options) => {
                exchange.leave_unread(length);
                let reception = &exchange.connection.reception;
                let allow = reception.routes.allow_for(head.parts.uri.path());
                let response = match &reception.cors {
                    Some(cors) if CorsRules::is_preflight(&head.parts) => cors.preflight(&head.parts.headers, allow),
                    _ => options(allow),
                };
                exchange.state = State::Answered(Some(Box::new(response)));
                exchange.head = Some(Arc::new(head));
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
        if self.target().is_some_and(|target| target.outbox.is_none()) {
            self.leave_unread(length);
            self.state = State::Opening;
            return;
        }
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
        let Some(outbox) = reception.routes.target(address).outbox else {
            return Err(Error::internal("a request was offered that leaves by no outbox").into());
        };
        let offered = match permit {
            Some(permit) => permit.offer_from(outbox, event),
            None => reception.emitter.offer_from(outbox, event),
        };
        match offered {
            Ok(()) => {
                if let Some(entry) = &mut self.entry {
                    entry.id = Some(id);
                }
                Ok(id)
            }
            Err(error) => {
                self.lease()?.close();
                Err(error.into())
            }
        }
    }

    fn poll_upload(&mut self, context: &mut Context<'_>) -> Poll<Result<Step, Refusal>> {
        let reception = &self.connection.reception;
        let State::Uploading(upload) = &mut self.state else { return Poll::Pending };
        let measured = match upload.poll(context, reception) {
            Poll::Ready(Ok(body)) => {
                let permit = upload.permit.take();
                #[cfg(feature = "compression")]
                if let Some(coding) = self.coding {
                    return Poll::Ready(Ok(self.unpack_aside(coding, body, permit)));
                }
                return Poll::Ready(self.offer(body, permit).map(Step::Offered));
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

    fn poll_answer(&mut self, id: EventId, context: &mut Context<'_>) -> Poll<Step> {
        let Some(lease) = &self.lease else {
            let error = Error::internal("a request waits without a slot");
            return Poll::Ready(Step::Answer(self.refused(error.into(), Some(id))));
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

    fn answered(&mut self, outcome: Outcome, id: EventId) -> Step {
        Step::Answer(match outcome {
            Outcome::Reply(reply) if self.opens() && opening::lets_in(&reply) => self.open(Some(&reply)),
            Outcome::Reply(reply) => match self.shaping() {
                Some(shaping) => return self.shape(reply, shaping, id),
                None => self.with_asked(Some(id), |asked| answer(reply, asked)),
            },
            Outcome::Begun(reply, answer) => self.begin(reply, answer, id, None),
            Outcome::Ended(Err(error)) => self.refused(error.into(), Some(id)),
            Outcome::Ended(Ok(())) if self.is_accepted() => empty(StatusCode::ACCEPTED),
            Outcome::Ended(Ok(())) => {
                self.refused(Error::internal("the request's event ended without a reply").into(), Some(id))
            }
        })
    }

    fn is_accepted(&self) -> bool {
        self.target().is_some_and(|target| target.accepted)
    }

    /// Says whether the request is for something that outlives the exchange.
    fn opens(&self) -> bool {
        self.target().is_some_and(|target| target.opens.is_some())
    }

    fn check_opening(&self, head: &Head) -> Result<(), Refusal> {
        match self.target().and_then(|target| target.opens.as_ref()) {
            Some(opens) => opening::check(opens, head, &self.connection),
            None => Ok(()),
        }
    }

    /// Opens what outlives the exchange; `reply` is what let the client in, where the flow was asked.
    fn open(&self, reply: Option<&Reply>) -> Response<ReplyBody> {
        let opened = match (&self.head, self.target()) {
            (Some(head), Some(target)) => opening::open(&self.connection, head, target, reply, self.open.is_none()),
            _ => Err(Error::internal("a request opens something that was not admitted").into()),
        };
        opened.unwrap_or_else(|refusal| self.refused(refusal, None))
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
        let head = self.head.take();
        if let (Some(cors), Some(head)) = (&self.connection.reception.cors, &head) {
            cors.mark(&head.parts.headers, response.headers_mut());
        }
        if let Some(mut entry) = self.entry.take() {
            entry.answered(response.status(), head);
            response.body_mut().log(entry);
        }
        if self.closes && self.open.is_none() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
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
            let step = match &mut this.state {
                State::Answered(response) => match response.take() {
                    Some(response) => break *response,
                    None => return Poll::Pending,
                },
                State::Opening => Ok(Step::Answer(this.open(None))),
                State::Arrived => this.offer(Bytes::new(), None).map(Step::Offered),
                State::Uploading(_) => ready!(this.poll_upload(context)),
                State::Streaming(_) => ready!(this.poll_streaming(context)),
                State::Waiting(id) => {
                    let id = *id;
                    Ok(ready!(this.poll_answer(id, context)))
                }
                State::Aside(_) => ready!(this.poll_aside(context)),
            };
            let response = match step {
                // A flow of light actors has run within the offer: then the answer is there already.
                Ok(Step::Offered(id)) => {
                    this.state = State::Waiting(id);
                    continue;
                }
                Ok(Step::Answer(response)) => response,
                Ok(Step::Again) => continue,
                Err(refusal) => this.refused(refusal, None),
            };
            #[cfg(feature = "compression")]
            let Some(response) = this.pack(response) else { continue };
            break response;
        };
        Poll::Ready(Ok(this.finish(response)))
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        // The client has gone: a reply that still comes is late.
        if let (State::Waiting(_) | State::Uploading(_) | State::Streaming(_), Some(lease)) = (&self.state, &self.lease)
        {
            lease.close();
        }
    }
}
