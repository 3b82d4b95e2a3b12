//! The actor: it takes requests in, and gives replies back to who waits for them.

use std::fmt;
use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use http::HeaderValue;
use playhouse_engine::{Context, Error, Event, Format, Light, Outbox, Ports, Result};
use socket2::SockRef;
use tokio::net::TcpListener;

use super::accept::{Listener, accept};
use super::clock::Clock;
#[cfg(feature = "compression")]
use super::compression::{Compression, Compressor};
use super::limits::HttpLimits;
use super::parting::Partings;
use super::pending::{Outcome, Pending};
use super::reception::{Counters, HttpStatistics, Reception};
use super::reply::Reply;
use super::route::Route;
use super::routes::{Routes, outboxes};
#[cfg(feature = "tls")]
use super::tls::Tls;
use crate::Part;
use crate::upkeep::not_started;

/// How many connections wait to be accepted at most.
const BACKLOG: i32 = 1024;

/// An HTTP server.
///
/// Each request leaves as an event by the outbox of its [`Route`]; without a route, by `outbox`. The event that comes back
/// with the same id, on whatever inbox, is the reply; one with an error is told as an error. A request always ends: when
/// all that came of its event has ended without a reply, when the flow has no room for it, and at its deadline.
///
/// What is too long for one event goes in and out in parts (see [`Part`]). A route that is
/// [`streamed`](Route::streamed) takes bodies so. A reply with the mark of a first part begins an answer, with its status and
/// headers; further parts with the same id go on with it, until the last. Each part of an answer is in flight until the
/// client's connection has taken it, so that a source that watches receipts is paced by the client; where too much waits, or the
/// next part does not come, or one says that it is broken, or an error comes back, the answer is broken off so that no client takes it
/// for whole.
///
/// # Ports
/// Inboxes: `inbox`, and any other name that a connection uses, for any format: all of them take replies. Outboxes: those that the
/// routes name; without a route, `outbox`. It gives nothing for an empty body, XML, text (JSON too, as it came) or bytes, by the
/// content type; a streamed route gives parts, of bytes. It is an endpoint: the flow may lead back to it.
///
/// # Settings
/// Where it listens, its routes (`route`), its realm (`with_realm`), TLS (`with_tls`), compression (`with_compression`, with the feature
/// of that name), and what a client may ask for (`with_limits`):
///
/// | name | default | meaning |
/// |---|---|---|
/// | `head-size` | 16 KiB | how many bytes the head of a request may have; beyond: 431 |
/// | `head-fields` | 100 | how many fields; beyond: 431 |
/// | `uri-size` | 8 KiB | how many bytes its URI; beyond: 414 |
/// | `body-size` | 1 MiB | how many bytes its body; beyond: 413 |
/// | `streamed-size` | 1 GiB | how many bytes the body of a request that is taken in parts, compressed or not; beyond: 413 |
/// | `window` | 1 MiB | how many bytes of such a body are on their way through the flow at once; while they are, no more is read |
/// | `answer-window` | 8 MiB | how many bytes of an answer in parts may wait for the client; beyond, it is broken off |
/// | `answer-idle` | 30 s | how long an answer in parts may wait for the next; later, it is broken off |
/// | `head-time` | 10 s | how long the head may take to arrive; later: 408 |
/// | `slowest-rate` | 1 KiB | how many bytes of a body must arrive in a second, and of an answer be taken; slower: 408, or the connection is closed |
/// | `rate-window` | 5 s | over what time that is measured |
/// | `deadline` | 30 s | how long a request may take to its answer, and its event's deadline; later: 504. For a body in parts it counts for each part, and for the answer from the end of the body |
/// | `idle-time` | 60 s | how long a connection may stay open without a request |
/// | `handshake-time` | 10 s | how long a TLS handshake may take |
/// | `connections` | 1,024 | how many connections may be open at once; beyond: 503 |
/// | `streams` | 128 | how many requests one HTTP/2 connection may have open at once |
///
/// Compression has settings of its own. Without `with_compression` bodies go as they are:
///
/// | name | default | meaning |
/// |---|---|---|
/// | `minimum` | 1 KiB | how many bytes an answer must have to be compressed; one in parts always is |
/// | `types` | text, JSON, XML, JavaScript, WebAssembly | which media types are compressed |
/// | `gzip`, `brotli`, `zstd` | 6, 4, 3 | how well each compresses |
/// | `requests` | `true` | whether bodies of requests are unpacked, to no more than `body-size` or `streamed-size`; beyond: 413; another coding: 415 |
///
/// # Errors
/// A request that cannot be taken is answered at once. Its handler fails on parts of answers alone:
///
/// | kind | when |
/// |---|---|
/// | `Gone` | nobody waits for the part: the client has gone, or the answer was broken off |
/// | `Overloaded` | more than `answer-window` waits for the client |
/// | `Malformed` | a part is missing before it, or its mark says nothing |
///
/// An event that comes back with an error is answered with the status of its kind:
///
/// | kind | status |
/// |---|---|
/// | `Malformed` | 400 |
/// | `Unauthorized` | 401, with `WWW-Authenticate` |
/// | `Forbidden` | 403 |
/// | `NotFound` | 404 |
/// | `NotAllowed` | 405, with `Allow` |
/// | `Conflict` | 409 |
/// | `Gone` | 410 |
/// | `TooLarge` | 413 |
/// | `Unsupported` | 415 |
/// | `Unprocessable` | 422 |
/// | `RateExceeded` | 429, with `Retry-After` |
/// | `Overloaded`, `Unavailable`, `Cancelled` | 503, with `Retry-After` |
/// | `Timeout` | 504 |
/// | `Internal` | 500 |
///
/// # Example
/// ```
/// use playhouse_actors::http::{HttpReply, HttpRequest, HttpServer, Route};
/// use playhouse_engine::{Director, Event, map};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let mut director = Director::new("greetings");
/// let server = HttpServer::on(listener).route(Route::get("/hello/{name}").outbox("hello"));
/// let http = director.register("http", server);
/// let greet = director.register("greet", map(|event: &Event| {
///     let name = HttpRequest::of(event).and_then(|request| request.variable("name")).unwrap_or_default();
///     event.derive(format!("Hello, {name}")).with_reply_header("cache-control", "no-store")
/// }));
/// director.connect(http.port("hello"), greet);
/// director.connect(greet, http);
/// director.connect_error(greet, http);
/// director.build()?;
/// # Ok(())
/// # }
/// ```
pub struct HttpServer {
    listen: Option<Listen>,
    routes: Vec<Route>,
    limits: HttpLimits,
    realm: String,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
    #[cfg(feature = "compression")]
    compression: Option<Compression>,
    pending: Arc<Pending>,
    counters: Arc<Counters>,
    /// There once it has started.
    reception: Option<Arc<Reception>>,
}

#[derive(Debug)]
enum Listen {
    Address(String),
    Listener(StdListener),
}

impl HttpServer {
    /// Listens on `address`, such as `127.0.0.1:8080`, from the start of the flow on.
    #[must_use]
    pub fn bind(address: impl Into<String>) -> Self {
        Self::new(Listen::Address(address.into()))
    }

    /// Listens on `listener`, which the caller has bound, and whose port it therefore knows.
    #[must_use]
    pub fn on(listener: StdListener) -> Self {
        Self::new(Listen::Listener(listener))
    }

    fn new(listen: Listen) -> Self {
        Self {
            listen: Some(listen),
            routes: Vec::new(),
            limits: HttpLimits::default(),
            realm: "playhouse".to_owned(),
            #[cfg(feature = "tls")]
            tls: None,
            #[cfg(feature = "compression")]
            compression: None,
            pending: Arc::new(Pending::new()),
            counters: Arc::default(),
            reception: None,
        }
    }

    /// Takes the requests of a route. Without any route the server takes every request, to its outbox `outbox`.
    #[must_use]
    pub fn route(mut self, route: Route) -> Self {
        self.routes.push(route);
        self
    }

    /// Sets what a client may ask for.
    #[must_use]
    pub fn with_limits(mut self, limits: HttpLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the realm that a client is asked to log in to, where a 401 does not say another challenge.
    #[must_use]
    pub fn with_realm(mut self, realm: impl Into<String>) -> Self {
        self.realm = realm.into();
        self
    }

    /// Speaks HTTPS.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Compresses answers for clients that accept it, and unpacks requests. Without this neither is done: what is secret and what a
    /// client chose should not be compressed together over TLS, which only the flow's author can know.
    #[cfg(feature = "compression")]
    #[must_use]
    pub fn with_compression(mut self, compression: Compression) -> Self {
        self.compression = Some(compression);
        self
    }

    /// Returns what the server counts, which goes on counting when the server is registered.
    #[must_use]
    pub fn statistics(&self) -> HttpStatistics {
        HttpStatistics { pending: self.pending.clone(), counters: self.counters.clone() }
    }

    fn effective_routes(&self) -> Vec<Route> {
        if self.routes.is_empty() { vec![Route::otherwise()] } else { self.routes.clone() }
    }

    async fn listener(&mut self) -> Result<TcpListener> {
        match self.listen.take() {
            Some(Listen::Address(address)) => TcpListener::bind(&address)
                .await
                .map_err(|error| Error::unavailable(format!("cannot listen on `{address}`")).caused_by(error)),
            Some(Listen::Listener(listener)) => listener
                .set_nonblocking(true)
                // The standard library lets 128 wait to be accepted, which a burst outruns.
                .and_then(|()| SockRef::from(&listener).listen(BACKLOG))
                .and_then(|()| TcpListener::from_std(listener))
                .map_err(|error| Error::unavailable("cannot listen on the listener that was given").caused_by(error)),
            None => Err(Error::internal("the server has been started before")),
        }
    }

    fn challenge(&self) -> Result<HeaderValue> {
        let realm = self.realm.replace('\\', "\\\\").replace('"', "\\\"");
        HeaderValue::try_from(format!("Basic realm=\"{realm}\", charset=\"UTF-8\"")).map_err(|error| {
            Error::malformed(format!("the realm `{}` cannot stand in a header", self.realm)).caused_by(error)
        })
    }
}

impl Light for HttpServer {
    fn ports(&self) -> Ports {
        let ports = Ports::endpoint(Format::ANY).with_any_inbox().concurrent();
        outboxes(&self.effective_routes())
            .into_iter()
            .fold(ports, |ports, name| ports.with_outbox(name.to_owned(), Format::ANY))
    }

    async fn start(&mut self, context: Context) -> Result<()> {
        let routes = Routes::new(&self.effective_routes())?;
        let challenge = self.challenge()?;
        let listener = self.listener().await?;
        let reception = Arc::new(Reception {
            name: context.name().to_owned(),
            routes,
            challenge,
            #[cfg(feature = "tls")]
            tls: self.tls.clone(),
            #[cfg(feature = "compression")]
            compressor: self.compression.as_ref().map(Compressor::new).transpose()?,
            emitter: context.emitter()?,
            clock: Clock::new(self.limits.tick()),
            limits: self.limits.clone(),
            pending: self.pending.clone(),
            counters: self.counters.clone(),
            stopping: AtomicBool::new(false),
            partings: Partings::default(),
        });
        self.reception = Some(reception.clone());
        let (listener, stopping) = (Listener::new(listener), context.stopping());
        context.spawn("accept", move || accept(listener.clone(), reception.clone(), stopping.clone()));
        Ok(())
    }

    fn handle(&self, event: &Event, _: &mut Outbox) -> Result<()> {
        if let Some(part) = Part::of(event)?
            && event.error().is_none()
        {
            let reception = self.reception.as_ref().ok_or_else(not_started)?;
            return self.pending.part(reception, part, event);
        }
        if let Some(error) = event.error()
            && self.pending.break_off(event.id(), error)
        {
            return Ok(());
        }
        self.pending.end(event.id(), Outcome::Reply(Reply::of(event)));
        Ok(())
    }
}

impl fmt::Debug for HttpServer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("HttpServer")
            .field("listen", &self.listen)
            .field("routes", &self.routes)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
