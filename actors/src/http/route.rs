//! A route, as a user writes it: which requests leave by which outbox, and which open something.

use http::Method;

use super::form::Forms;
use super::media::Pattern;

/// Which requests leave the server by which outbox, or open an event stream or a WebSocket.
///
/// A path may have variables: `/orders/{number}` takes one segment, `/files/{*rest}` all that follow. They become the
/// attributes `http.path.number` and `http.path.rest`. A trailing slash of a request's path counts for nothing.
///
/// ```
/// use playhouse_actors::http::{Method, Route};
///
/// let orders = Route::post("/orders").outbox("orders").takes(["application/xml", "text/xml"]);
/// let events = Route::new("/events/{stream}").methods([Method::PUT, Method::PATCH]).outbox("events").accepted();
/// ```
#[derive(Clone, Debug)]
pub struct Route {
    /// `None` takes the paths that no other route takes.
    pub(crate) path: Option<String>,
    /// None at all takes every method.
    pub(crate) methods: Vec<Method>,
    pub(crate) outbox: String,
    /// None at all takes every content type.
    pub(crate) takes: Vec<Pattern>,
    pub(crate) accepted: bool,
    pub(crate) streamed: bool,
    pub(crate) forms: Forms,
    /// What is opened instead of an answer.
    pub(crate) opens: Option<Opens>,
    /// The outbox of the requests that ask to be let in.
    pub(crate) admitted_by: Option<String>,
}

/// What a route opens that outlives the exchange.
#[derive(Clone, Debug)]
pub(crate) struct Opens {
    pub(crate) kind: OpensKind,
    /// The inbox that feeds it.
    pub(crate) inbox: String,
    /// The variable or parameter that says what a client wants to hear of.
    pub(crate) topic: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpensKind {
    EventStream,
    #[cfg(feature = "websocket")]
    WebSocket,
}

impl Route {
    /// Takes requests for `path`, with any method, of any content type, to the outbox `outbox`.
    #[must_use]
    pub fn new(path: impl Into<String>) -> Self {
        Self { path: Some(path.into()), ..Self::otherwise() }
    }

    /// Takes requests for every path that no other route takes.
    #[must_use]
    pub fn otherwise() -> Self {
        Self {
            path: None,
            methods: Vec::new(),
            outbox: "outbox".to_owned(),
            takes: Vec::new(),
            accepted: false,
            opens: None,
            admitted_by: None,
            streamed: false,
            forms: Forms::default(),
        }
    }

    /// Takes `GET` requests for `path`, and with them `HEAD`.
    #[must_use]
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(path).methods([Method::GET])
    }

    /// Takes `POST` requests for `path`.
    #[must_use]
    pub fn post(path: impl Into<String>) -> Self {
        Self::new(path).methods([Method::POST])
    }

    /// Takes `PUT` requests for `path`.
    #[must_use]
    pub fn put(path: impl Into<String>) -> Self {
        Self::new(path).methods([Method::PUT])
    }

    /// Takes `PATCH` requests for `path`.
    #[must_use]
    pub fn patch(path: impl Into<String>) -> Self {
        Self::new(path).methods([Method::PATCH])
    }

    /// Takes `DELETE` requests for `path`.
    #[must_use]
    pub fn delete(path: impl Into<String>) -> Self {
        Self::new(path).methods([Method::DELETE])
    }

    /// Takes these methods only; others get 405. `HEAD` comes with `GET`, and `OPTIONS` is answered by the server unless
    /// it stands here.
    #[must_use]
    pub fn methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.methods.extend(methods);
        self
    }

    /// Sends the requests from the outbox `name`. Several routes may share one.
    #[must_use]
    pub fn outbox(mut self, name: impl Into<String>) -> Self {
        self.outbox = name.into();
        self
    }

    /// Takes bodies of these content types only; others get 415. A pattern may have a star for its first half, for its
    /// second, or before a suffix: `image/*`, `application/*+json`. A request without a body is taken whatever it says.
    #[must_use]
    pub fn takes<'a>(mut self, types: impl IntoIterator<Item = &'a str>) -> Self {
        self.takes.extend(types.into_iter().map(Pattern::new));
        self
    }

    /// Takes the body in parts, as it comes: events with the request's id and attributes, marked by [`Part`](crate::Part), whose
    /// payloads are bytes. No more of it is in the flow than the limit `window`: the client waits while receivers do not keep up.
    ///
    /// The last part says that it is; where the client knows no length it is empty, as it is where there is no body. Where the body
    /// breaks off, or is refused, or the request ends before it is there, an empty part says so, with the error. The first part finds
    /// room in the flow or is refused with 503, the others wait for it. The reply may come before the body is there: a whole one ends
    /// the request, and the rest of the body is refused; one in parts goes on while the body is taken in.
    ///
    /// Receivers must keep order: an actor with several workers does not.
    #[must_use]
    pub fn streamed(mut self) -> Self {
        self.streamed = true;
        self
    }

    /// Gives each client the form that it accepts most: a reply in JSON becomes XML for who prefers that, and the other way round, by
    /// the conventions of [`json_xml`](crate::json_xml). A client that names none gets the form of its request; one to which both
    /// are the same, the reply as it is. Text counts as JSON where the request, or the reply's content type, says that it is.
    ///
    /// A reply that cannot be converted, and one that is neither, goes out as it is, and its content type says so. Replies in parts
    /// are not converted.
    #[cfg(feature = "convert")]
    #[must_use]
    pub fn by_accept(mut self) -> Self {
        self.forms.by_accept = true;
        self
    }

    /// Puts replies in JSON into an envelope, `{"data": …}`, unless they are one already with something in it. Text becomes a string
    /// in it, and nothing an empty object, but for a status that has no body, or a client that prefers XML. XML and bytes go out as
    /// they are. An error is `{"errors": [{"message": …, "code": …}]}`, as without this.
    #[must_use]
    pub fn enveloped(mut self) -> Self {
        self.forms.enveloped = true;
        self
    }

    /// Says that no reply is meant: when all that came of a request has been delivered, it is answered 202 with an empty
    /// body. Without this such a request is answered 500.
    #[must_use]
    pub fn accepted(mut self) -> Self {
        self.accepted = true;
        self
    }

    /// Opens an event stream (server-sent events) for each request, and sends on it what comes on the server's inbox `inbox`.
    /// Several routes may share an inbox. See [`HttpServer`](super::HttpServer) for what an event becomes.
    ///
    /// ```
    /// use playhouse_actors::http::Route;
    ///
    /// let all = Route::get("/prices").events("prices");
    /// // Only what has the attribute `sse.topic` with the same value, or none.
    /// let one = Route::get("/prices/{symbol}").events("prices").topic("symbol");
    /// ```
    #[must_use]
    pub fn events(self, inbox: impl Into<String>) -> Self {
        self.opening(OpensKind::EventStream, inbox.into())
    }

    /// Opens a WebSocket for each request. Its messages leave by the route's outbox, and what comes on the server's inbox
    /// `inbox` is sent: to the connection that the attribute `websocket.connection` names, which every message has and what is
    /// derived from it keeps; without that to all connections of the inbox. See [`HttpServer`](super::HttpServer).
    #[cfg(feature = "websocket")]
    #[must_use]
    pub fn web_socket(self, inbox: impl Into<String>) -> Self {
        self.opening(OpensKind::WebSocket, inbox.into())
    }

    /// Sends on an event stream only the events whose attribute `sse.topic` is what the client has for the variable `name` of
    /// the path, or else for the first parameter `name` of the query, and events without `sse.topic`. A client that has neither
    /// gets all.
    #[must_use]
    pub fn topic(mut self, name: impl Into<String>) -> Self {
        if let Some(opens) = &mut self.opens {
            opens.topic = Some(name.into());
        }
        self
    }

    /// Lets the flow decide who may open an event stream or a WebSocket: the request leaves by the outbox `outbox` first, as any
    /// other does. A reply that is a success lets the client in, with its headers; the attributes of the reply are those of the
    /// messages of a WebSocket. Any other reply is the answer.
    #[must_use]
    pub fn admitted_by(mut self, outbox: impl Into<String>) -> Self {
        self.admitted_by = Some(outbox.into());
        self
    }

    /// Returns by which outbox requests leave as events; nothing where none does.
    pub(crate) fn requests_leave_by(&self) -> Option<&str> {
        if self.opens.is_some() { self.admitted_by.as_deref() } else { Some(&self.outbox) }
    }

    /// Returns by which outbox messages leave; nothing where there are none.
    pub(crate) fn messages_leave_by(&self) -> Option<&str> {
        match self.opens.as_ref()?.kind {
            OpensKind::EventStream => None,
            #[cfg(feature = "websocket")]
            OpensKind::WebSocket => Some(&self.outbox),
        }
    }

    fn opening(mut self, kind: OpensKind, inbox: String) -> Self {
        self.opens = Some(Opens { kind, inbox, topic: None });
        self
    }
}
