//! A client of services: an event comes into its inbox, its reply or a typed error leaves it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use playhouse_engine::{Actor, Context, Emitter, Error, Event, EventId, Format, Held, Outbox, Ports, Result, Text};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use crate::body::{PARTIAL, SERVICE, body_of};
use crate::caller::{deadline_in, read_reply};
use crate::calls::{Answers, Calls};
use crate::protocol::ClientSettings;
use crate::protocol::{Frames, Service};
use crate::registry::Brokers;
use crate::transport::SocketSettings;

/// A client of Majordomo services: an endpoint of a flow.
///
/// Every event that comes into its inbox is a request. Its reply leaves the outbox with the same id, attributes and receipt, and
/// whatever attributes the worker set; partial replies (0.2) leave before it, with [`PARTIAL`] set to `true`. Where there is
/// none by the deadline, or the worker answered with an error, the event goes along the error route: `Timeout`,
/// `Unavailable`, `Overloaded`, or what the worker said.
///
/// The service is the event's attribute [`SERVICE`], else the setting, between prefix and postfix. With as many requests
/// under way as the settings allow, events wait in the inbox.
///
/// # Ports
/// Inbox: `inbox`, for any format. Outbox: `outbox`, which gives what the worker sent. It is an endpoint: the flow may lead back to it.
///
/// # Settings
/// The brokers, the service of events that name none (`service`), the attribute that names it (`service_from`, `mdp.service` by default),
/// what stands before and after its name (`prefix`, `postfix`), the longest time for a request (`deadline`, 30 s), the sockets' limits
/// and security (`socket`), and how it asks (`settings`):
///
/// | name | default | meaning |
/// |---|---|---|
/// | `version` | 0.2 | the version of the protocol |
/// | `envelope` | `true` | whether requests travel as whole events, or as plain payloads for workers of others |
/// | `attempts` | 3 | how often a request is sent at most when connections are lost under it |
/// | `attempt` | none | how long to wait for a reply before the request is sent again |
/// | `window` | 1,024 | how many whole events wait for their replies at one broker at a time |
/// | `connections` | 64 | how many connections plain requests have |
/// | `requests` | 4,096 | how many requests are under way in all |
///
/// # Errors
/// | kind | when |
/// |---|---|
/// | `Timeout` | there was no reply, or no room for the request, by the deadline |
/// | `Unavailable` | no broker can be reached, or no worker has the service |
/// | `Overloaded` | the broker's queues are full, or too many requests are under way |
/// | `Forbidden` | the broker does not let us in |
/// | `Malformed` | nothing names the service, or it cannot be a name |
/// | that of the worker | the worker answered with an error |
///
/// # Example
/// ```no_run
/// use playhouse_engine::Director;
/// use playhouse_mdp::{Brokers, MdpClient};
///
/// # fn flow() -> playhouse_engine::Result<()> {
/// let mut director = Director::new("front");
/// let client = director.register("client", MdpClient::new(Brokers::at("tcp://127.0.0.1:5555")?).service("greeting")?);
/// # Ok(())
/// # }
/// ```
pub struct MdpClient {
    brokers: Brokers,
    service: Option<String>,
    named_by: Text,
    prefix: String,
    postfix: String,
    deadline: Duration,
    settings: ClientSettings,
    socket: SocketSettings,
    running: Option<Running>,
}

struct Running {
    calls: Calls<Replies>,
    under_way: UnderWay,
    emitter: Emitter,
    slots: Arc<Semaphore>,
    /// Ends when the calls are closed, which is when the flow has no event any more that waits for a reply.
    emitting: AbortOnDropHandle<()>,
}

impl MdpClient {
    /// Makes a client of `brokers`, which take the requests in turn.
    #[must_use]
    pub fn new(brokers: Brokers) -> Self {
        Self {
            brokers,
            service: None,
            named_by: SERVICE.into(),
            prefix: String::new(),
            postfix: String::new(),
            deadline: Duration::from_secs(30),
            settings: ClientSettings::default(),
            socket: SocketSettings::default(),
            running: None,
        }
    }

    /// Sets the service of events that name none.
    ///
    /// # Errors
    /// `Malformed` where `service` cannot be a name.
    pub fn service(mut self, service: &str) -> Result<Self> {
        Service::new(service.to_owned())?;
        self.service = Some(service.to_owned());
        Ok(self)
    }

    /// Sets which attribute of an event names its service; [`SERVICE`] by default.
    #[must_use]
    pub fn service_from(mut self, attribute: impl Into<Text>) -> Self {
        self.named_by = attribute.into();
        self
    }

    /// Sets what stands before the name of every service.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets what stands after the name of every service.
    #[must_use]
    pub fn postfix(mut self, postfix: impl Into<String>) -> Self {
        self.postfix = postfix.into();
        self
    }

    /// Sets the longest time for a request; 30 s by default. An event with an earlier deadline keeps that.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sets the protocol's version, the attempts and the limits; among them whether events travel whole or as plain payloads.
    #[must_use]
    pub fn settings(mut self, settings: ClientSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Sets the limits and the security of the sockets.
    #[must_use]
    pub fn socket(mut self, socket: SocketSettings) -> Self {
        self.socket = socket;
        self
    }

    fn service_of(&self, event: &Event) -> Result<Service> {
        let named = event.attributes().text(&self.named_by);
        let Some(name) = named.as_deref().or(self.service.as_deref()) else {
            let attribute = &self.named_by;
            let message =
                format!("expected the attribute `{attribute}` or a setting to name the service, found neither");
            return Err(Error::malformed(message));
        };
        Service::new(format!("{}{name}{}", self.prefix, self.postfix))
    }
}

impl Actor for MdpClient {
    fn ports(&self) -> Ports {
        Ports::endpoint(Format::ANY).with_outbox("outbox", Format::ANY)
    }

    async fn start(&mut self, context: Context) -> Result<()> {
        let slots = self.settings.requests;
        let (sender, received) = mpsc::channel(slots.max(1));
        let (emitter, under_way) = (context.emitter()?, UnderWay::default());
        let calls = Calls::open(&self.brokers, self.settings.clone(), self.socket.clone(), Replies(sender))?;
        let emitting = AbortOnDropHandle::new(tokio::spawn(emit(received, under_way.clone())));
        self.running = Some(Running { calls, under_way, emitter, slots: Arc::new(Semaphore::new(slots)), emitting });
        Ok(())
    }

    async fn handle(&self, event: &Event, _: &mut Outbox) -> Result<()> {
        let Some(running) = &self.running else { return Err(Error::internal("the client has not started")) };
        let service = self.service_of(event)?;
        let longest = deadline_in(self.deadline);
        let deadline = event.deadline().map_or(longest, |deadline| deadline.min(longest));
        let Ok(slot) = timeout_at(deadline, running.slots.clone().acquire_owned()).await else {
            return Err(Error::timeout(format!("no room for a request to `{service}` in time")));
        };
        let slot = slot.map_err(|_| Error::cancelled("the client stops"))?;
        running.send(event, service, deadline, slot, self.settings.envelope)
    }

    async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.calls.close().await;
            drop(running.calls);
            if let Err(error) = running.emitting.await {
                tracing::error!(%error, "the task that emits replies failed");
            }
        }
    }
}

impl Running {
    fn send(
        &self,
        event: &Event,
        service: Service,
        deadline: Instant,
        slot: OwnedSemaphorePermit,
        envelope: bool,
    ) -> Result<()> {
        let asked = event.clone().with_deadline(deadline);
        let mut under_way = self.under_way.lock();
        // The id on the wire must be of one request only; the same event may come twice.
        let asked = if under_way.contains_key(&asked.id()) { asked.branch(asked.payload().clone()) } else { asked };
        let id = asked.id();
        under_way.insert(id, Some(Request { held: self.emitter.hold(event), _slot: slot }));
        drop(under_way);
        self.calls.request(id, service, body_of(&asked, envelope), deadline).inspect_err(|_| {
            // The failure is told by the handler's own event.
            if let Some(request) = self.under_way.end(id) {
                request.held.done();
            }
        })
    }
}

/// A request that waits for its reply.
struct Request {
    held: Held,
    _slot: OwnedSemaphorePermit,
}

/// The requests that wait for their replies, by the id that they have on the wire. While a part of a reply is emitted, the
/// request is elsewhere, and its id is still taken.
#[derive(Clone, Default)]
struct UnderWay(Arc<Mutex<HashMap<EventId, Option<Request>>>>);

impl UnderWay {
    fn lock(&self) -> MutexGuard<'_, HashMap<EventId, Option<Request>>> {
        // Nothing of anybody else's runs while it is held, so nothing panics.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, id: EventId) -> Option<Request> {
        self.lock().get_mut(&id)?.take()
    }

    fn put_back(&self, id: EventId, request: Request) {
        self.lock().insert(id, Some(request));
    }

    fn end(&self, id: EventId) -> Option<Request> {
        self.lock().remove(&id)?
    }
}

enum Answer {
    Part(EventId, Frames),
    End(EventId, Result<Frames>),
}

/// Hands the answers to the task that emits them.
struct Replies(mpsc::Sender<Answer>);

impl Answers for Replies {
    async fn part(&self, request: EventId, body: Frames) {
        // The receiver goes with the flow.
        let _ = self.0.send(Answer::Part(request, body)).await;
    }

    async fn end(&self, request: EventId, outcome: Result<Frames>) {
        let _ = self.0.send(Answer::End(request, outcome)).await;
    }
}

async fn emit(mut received: mpsc::Receiver<Answer>, under_way: UnderWay) {
    while let Some(answer) = received.recv().await {
        let (id, outcome) = match answer {
            Answer::Part(id, body) => {
                let Some(request) = under_way.take(id) else { continue };
                let part = read_reply(request.held.event(), body);
                if let Ok(part) = &part {
                    log(request.held.send_from(0, part.clone().with_attribute(PARTIAL, true)).await);
                }
                under_way.put_back(id, request);
                match part {
                    Ok(_) => continue,
                    Err(error) => (id, Err(error)),
                }
            }
            Answer::End(id, outcome) => (id, outcome),
        };
        let Some(request) = under_way.end(id) else { continue };
        match outcome.and_then(|body| read_reply(request.held.event(), body)) {
            Ok(reply) => {
                log(request.held.send_from(0, reply.without_attribute(PARTIAL)).await);
                request.held.done();
            }
            Err(error) => request.held.fail(error).await,
        }
    }
}

fn log(sent: Result<()>) {
    if let Err(error) = sent {
        tracing::error!(%error, "a reply could not enter the flow");
    }
}

impl fmt::Debug for MdpClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("MdpClient")
            .field("brokers", &self.brokers)
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}
