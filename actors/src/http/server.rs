//! The actor: it takes requests in, and gives replies back to who waits for them.

use std::fmt;
use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use http::HeaderValue;
use playhouse_engine::{Context, Error, Event, Format, Light, Outbox, Ports, Result};

use super::accept::accept;
use super::access::{ACCESS, AccessLog, AccessRules};
use super::clock::Clock;
#[cfg(feature = "compression")]
use super::compression::{Compression, Compressor};
#[cfg(feature = "tls")]
use super::connection::{HTTP1, HTTP2};
use super::cors::{Cors, CorsRules};
use super::event_stream::EventStreamSettings;
use super::forwarded::Trusted;
use super::limits::HttpLimits;
use super::live::Lives;
use super::parting::Partings;
use super::pending::{Outcome, Pending};
use super::reception::{Counters, HttpStatistics, Reception};
use super::reply::Reply;
use super::route::Route;
use super::routes::{Routes, outboxes};
#[cfg(feature = "websocket")]
use super::web_socket::WebSocketSettings;
use crate::Part;
use crate::listen::{Listen, Listener};
#[cfg(feature = "tls")]
use crate::tls::Tls;
use crate::upkeep::not_started;

/// An HTTP server.
///
/// Each request leaves as an event by the outbox of its [`Route`]; without a route, by `outbox`. The event that comes back
/// with the same id, on whatever inbox, is the reply; one with an error is told as an error. A request always ends: when
/// all that came of its event has ended without a reply, when the flow has no room for it, and at its deadline.
///
/// Each event carries the request's head as attributes: `http.method`, `uri`, `path`, `query`, `version`, `peer` (address and port
/// of the connection), `client` (the address of who asks, behind proxies that the server trusts), `host`, `scheme`,
/// `http.header.NAME`, `http.path.NAME` and `http.query.NAME`.
///
/// # Parts
/// What is too long for one event goes in and out in parts (see [`Part`]). A route that is
/// [`streamed`](Route::streamed) takes bodies so. A reply with the mark of a first part begins an answer, with its status and
/// headers; further parts with the same id go on with it, until the last. Each part of an answer is in flight until the
/// client's connection has taken it, so that a source that watches receipts is paced by the client; where too much waits, or the
/// next part does not come, or one says that it is broken, or an error comes back, the answer is broken off so that no client takes it
/// for whole.
///
/// # Event streams
/// A route with [`Route::events`] opens a stream of server-sent events (HTML, section 9.2) for each request, and sends on it what
/// comes on its inbox. Text, JSON and XML are the data; `sse.event`, `sse.id` and `sse.retry` set the other fields. With
/// [`Route::topic`] a client gets what has its topic as `sse.topic`, and what has none. Each event is encoded once. A client that
/// does not keep up is closed, and slows nobody; it comes again, and names the last event that it has: it gets what it missed, as
/// far as that is kept, and all that is kept where the event is not known. The streams end when the flow stops. An event is
/// delivered when it waits for all clients of the moment, however many these are.
///
/// # WebSockets
/// A route with [`Route::web_socket`] (feature `websocket`) opens a WebSocket (RFC 6455) for each request. A message leaves by the
/// route's outbox, text as text and binary as bytes, with the attributes of the request and `websocket.connection`. An event on
/// its inbox goes to the connection that this attribute names, so what is derived from a message goes back to its sender; without
/// the attribute it goes to all. With an error it is told to the sender as JSON, as an HTTP client gets it; with the attribute
/// `websocket.close`, a code, it closes. A connection is not read while the flow has no room for its last message. One that does
/// not keep up is closed with 1008, one that is silent is pinged, and when the flow stops, what was taken in is answered before
/// each is closed with 1001. An event is delivered when it waits for its connection. There are none over HTTP/2.
///
/// # Ports
/// Inboxes: `inbox`, and any other name that a connection uses, for any format: all of them take replies, but for those that feed
/// event streams and WebSockets. Outboxes: those that the routes name; without a route, `outbox`; with an access log, `access`. It
/// gives nothing for an empty body, XML, text (JSON too, as it came) or bytes, by the content type; a streamed route gives parts,
/// of bytes. It is an endpoint: the flow may lead back to it.
///
/// # Settings
/// Where it listens, its routes (`route`), its realm (`with_realm`), TLS (`with_tls`), compression (`with_compression`, with the feature
/// of that name), the proxies that it believes (`trusting`), which pages of other origins may call it (`with_cors`: `origins`,
/// `methods`, `headers`, `expose`, `credentials`, `max-age`), whether an event tells of each answer (`with_access_log`: `common`,
/// `combined` or `short`), and what a client may ask for (`with_limits`):
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
/// | `connections` | 1,024 | how many connections may be open at once, event streams and WebSockets too; beyond: 503 |
/// | `streams` | 128 | how many requests one HTTP/2 connection may have open at once |
///
/// Its event streams (`with_event_streams`):
///
/// | name | default | meaning |
/// |---|---|---|
/// | `backlog` | 256 | how many events may wait for one client; one that is further behind is closed |
/// | `history` | 256 | how many of the last events are kept, from the first with an id on, for clients that come again |
/// | `heartbeat` | 15 s | after what time without an event a comment is sent; it keeps proxies, and finds clients that are gone |
/// | `retry` | none | after what time a client is told to come again |
///
/// Its WebSockets (`with_web_sockets`):
///
/// | name | default | meaning |
/// |---|---|---|
/// | `origins` | the own host | from which origins a browser may connect; `*` is any, and what sends none is no browser |
/// | `protocols` | none | the subprotocols that are spoken |
/// | `presence` | `false` | whether the flow is told of opening and closing, by `websocket.event` and `websocket.code` |
/// | `limits.message-size`, `limits.frame-size` | 1 MiB | how many bytes a message and one frame of it may have; beyond: 1009 |
/// | `limits.backlog` | 256 | how many messages may wait for one client; beyond: 1008 |
/// | `limits.heartbeat` | 20 s | after what silence a client is pinged |
/// | `limits.patience` | 20 s | how long it may take to answer that, and to take what is sent |
/// | `limits.close-time` | 2 s | how long it may take to close |
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
/// A request that cannot be taken is answered at once. The handler fails on parts of answers, and on events for event streams and
/// WebSockets:
///
/// | kind | when |
/// |---|---|
/// | `Gone` | nobody waits for the part: the client has gone, or the answer was broken off; the WebSocket that is named has closed |
/// | `Overloaded` | more than `answer-window` waits for the client; the WebSocket that is named does not keep up, and was closed |
/// | `Malformed` | a part is missing before it, or its mark says nothing; an attribute cannot be a field of a server-sent event, or no code to close with |
/// | `Unsupported` | a server-sent event is not UTF-8 text |
/// | its own | it has an error, and is for more than one client |
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
    listen: Listen,
    routes: Vec<Route>,
    limits: HttpLimits,
    event_streams: EventStreamSettings,
    #[cfg(feature = "websocket")]
    web_sockets: WebSocketSettings,
    cors: Option<Cors>,
    access: Option<AccessLog>,
    trusted: Vec<String>,
    realm: String,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
    #[cfg(feature = "compression")]
    compression: Option<Compression>,
    pending: Arc<Pending>,
    counters: Arc<Counters>,
    /// There from the start on.
    reception: Option<Arc<Reception>>,
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
            listen,
            routes: Vec::new(),
            limits: HttpLimits::default(),
            event_streams: EventStreamSettings::default(),
            #[cfg(feature = "websocket")]
            web_sockets: WebSocketSettings::default(),
            cors: None,
            access: None,
            trusted: Vec::new(),
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

    /// Sets how the event streams of all routes are kept.
    #[must_use]
    pub fn with_event_streams(mut self, settings: EventStreamSettings) -> Self {
        self.event_streams = settings;
        self
    }

    /// Sets how the WebSockets of all routes are kept.
    #[cfg(feature = "websocket")]
    #[must_use]
    pub fn with_web_sockets(mut self, settings: WebSocketSettings) -> Self {
        self.web_sockets = settings;
        self
    }

    /// Lets pages of other origins call the server from a browser. Rules that make no sense stop the start of the flow.
    #[must_use]
    pub fn with_cors(mut self, cors: Cors) -> Self {
        self.cors = Some(cors);
        self
    }

    /// Sends a record of each answer from the outbox `access`, when the answer has gone: `form` says what its payload is, and its
    /// attributes are `access.client`, `peer`, `method`, `uri`, `version`, `host`, `status`, `bytes`, `milliseconds`, `id`,
    /// `referer` and `agent`. A record that finds no room is dropped, and counted: it never keeps an answer waiting.
    #[must_use]
    pub fn with_access_log(mut self, form: AccessLog) -> Self {
        self.access = Some(form);
        self
    }

    /// Believes the proxies of these networks, such as `10.0.0.0/8`, when they say who the client is: in `Forwarded` or
    /// `X-Forwarded-For`, `-Proto` and `-Host`. The client is the first, from the right, that is none of them. What is no network
    /// stops the start of the flow.
    #[must_use]
    pub fn trusting<T: Into<String>>(mut self, networks: impl IntoIterator<Item = T>) -> Self {
        self.trusted.extend(networks.into_iter().map(Into::into));
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
        let routes = self.effective_routes();
        let inboxes = routes.iter().filter_map(|route| Some(route.opens.as_ref()?.inbox.clone()));
        let ports = inboxes.fold(ports, |ports, name| {
            let is_known = ports.inboxes().iter().any(|port| port.name() == name);
            if is_known { ports } else { ports.with_inbox(name, Format::ANY) }
        });
        let names = outboxes(&routes);
        let access = self.access.map(|_| ACCESS).filter(|name| !names.contains(name));
        names.into_iter().chain(access).fold(ports, |ports, name| ports.with_outbox(name.to_owned(), Format::ANY))
    }

    async fn start(&mut self, context: Context) -> Result<()> {
        let routes = self.effective_routes();
        let lives = Lives::new(&routes, &self.event_streams, &self.counters)?;
        let access = self.access.map(|form| AccessRules::new(form, &outboxes(&routes))).transpose()?;
        let cors = self.cors.as_ref().map(CorsRules::new).transpose()?;
        let trusted = Trusted::new(&self.trusted)?;
        let routes = Routes::new(&routes)?;
        let tick = self.limits.tick().min(self.event_streams.tick());
        let challenge = self.challenge()?;
        let listener = self.listen.open().await?;
        let reception = Arc::new(Reception {
            name: context.name().to_owned(),
            routes,
            challenge,
            #[cfg(feature = "tls")]
            tls: self.tls.as_ref().map(|tls| tls.acceptor(&[HTTP2, HTTP1])),
            #[cfg(feature = "compression")]
            compressor: self.compression.as_ref().map(Compressor::new).transpose()?,
            emitter: context.emitter()?,
            lives,
            cors,
            access,
            trusted,
            #[cfg(feature = "websocket")]
            web_sockets: self.web_sockets.clone(),
            #[cfg(feature = "websocket")]
            stop: context.stopping(),
            clock: Clock::new(tick),
            tick,
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

    fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        if let Some(reception) = &self.reception
            && let Some(live) = reception.lives.get(out.inbox())
        {
            return live.send(event, reception.clock.now());
        }
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
