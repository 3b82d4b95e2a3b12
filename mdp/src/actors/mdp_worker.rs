//! A worker of a service: requests come out of its outbox, and what comes into its inbox answers them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use playhouse_engine::EnvelopeLimits;
use playhouse_engine::{
    Context, Emitter, Error, Event, EventId, Format, Kind, Light, Outbox, Payload, Permit, Ports, Receipt, Result,
};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::body::{Most, PARTIAL, SERVICE, body_of, event_of, is_envelope};
use crate::caller::deadline_in;
use crate::protocol::{Frames, Service, Version, failure_body};
use crate::protocol::{Worker, WorkerSettings};
use crate::registration::{self, Assignment, Job, Outcome, Workplace};
use crate::registry::{Brokers, Follower};
use crate::transport::{Endpoint, SocketSettings};

/// How long a registration that failed for good waits before it is begun anew.
const FAILED: Duration = Duration::from_secs(5);

/// A worker of a Majordomo service: an endpoint of a flow.
///
/// Each request leaves its outbox as an event, whole where a playhouse client sent it, else as [`Payload::Bytes`]. An event that
/// comes into its inbox with the same id, which everything derived from the request has, is the reply. One whose attribute
/// [`PARTIAL`] is `true` is a part of it, more follow (0.2 only). An event that comes by an error route answers with its error.
///
/// Whatever the flow does, a request is answered: where all that came of it has ended without a reply, or its time is up, by
/// a typed error. A worker that dies, or gives the work up with a `Cancelled`, answers nothing, and the broker gives its request
/// to another.
///
/// The protocol gives a worker one request at a time, so `concurrency` is the number of registrations at each broker.
///
/// # Ports
/// Inbox: `inbox`, for any format: replies. Outbox: `outbox`: requests. It is an endpoint: the flow leads back to it.
///
/// # Settings
/// The service, the brokers, how many requests of each are worked on at a time (`concurrency`, 1), the time for a request that names
/// none (`deadline`, 30 s), the sockets' limits and security (`socket`), how much of an event that comes is believed (`limits`), and the
/// protocol's times (`settings`):
///
/// | name | default | meaning |
/// |---|---|---|
/// | `version` | 0.2 | the version of the protocol |
/// | `heartbeat` | 2.5 s | how often both sides say that they live |
/// | `liveness` | 3 | after how many such intervals of silence the broker is given up |
/// | `shortest-wait` | 100 ms | how long to wait before the first attempt to register anew; it doubles with each |
/// | `longest-wait` | 5 s | the longest wait between two attempts |
///
/// # Errors
/// | kind | when |
/// |---|---|
/// | `Unsupported` | a part of a reply came where version 0.1 of the protocol is spoken |
///
/// A request that cannot be read, or that finds no room in the flow, is answered with an error of its kind.
///
/// # Example
/// ```no_run
/// use playhouse_engine::{Director, Event, map};
/// use playhouse_mdp::{Brokers, MdpWorker};
///
/// # fn flow() -> playhouse_engine::Result<()> {
/// let mut director = Director::new("greeter");
/// let worker = director.register("worker", MdpWorker::new("greeting", Brokers::at("tcp://127.0.0.1:5555")?)?.concurrency(4));
/// let greet = director.register("greet", map(|event: &Event| event.derive(format!("Hello, {}", event.payload()))));
/// director.connect(worker, greet);
/// director.connect(greet, worker);
/// director.connect_default_error(worker);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct MdpWorker {
    service: Service,
    brokers: Brokers,
    concurrency: usize,
    settings: WorkerSettings,
    socket: SocketSettings,
    deadline: Duration,
    limits: EnvelopeLimits,
    requests: Option<Requests>,
}

impl MdpWorker {
    /// Makes a worker of `service` at every one of `brokers`.
    ///
    /// # Errors
    /// `Malformed` where `service` cannot be a name.
    pub fn new(service: &str, brokers: Brokers) -> Result<Self> {
        Ok(Self {
            service: Service::new(service.to_owned())?,
            brokers,
            concurrency: 1,
            settings: WorkerSettings::default(),
            socket: SocketSettings::default(),
            deadline: Duration::from_secs(30),
            limits: EnvelopeLimits::default(),
            requests: None,
        })
    }

    /// Sets how many requests of each broker are worked on at a time: so many registrations there are. One by default.
    #[must_use]
    pub fn concurrency(mut self, concurrency: usize) -> Self {
        self.concurrency = concurrency.max(1);
        self
    }

    /// Sets the time for a request that names none itself, after which it is answered by a `Timeout`; 30 s by default.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sets the protocol's version and times.
    #[must_use]
    pub fn settings(mut self, settings: WorkerSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Sets the limits and the security of the sockets.
    #[must_use]
    pub fn socket(mut self, socket: SocketSettings) -> Self {
        self.socket = socket;
        self
    }

    /// Sets the limits of events that travel whole.
    #[must_use]
    pub fn limits(mut self, limits: EnvelopeLimits) -> Self {
        self.limits = limits;
        self
    }
}

impl Light for MdpWorker {
    fn ports(&self) -> Ports {
        // Several replies may be given at once: each belongs to a request of its own.
        Ports::endpoint(Format::ANY).with_outbox("outbox", Format::ANY).concurrent()
    }

    async fn start(&mut self, context: Context) -> Result<()> {
        let requests = Requests(Arc::new(Inner {
            pending: Mutex::default(),
            emitter: context.emitter()?,
            service: self.service.clone(),
            version: self.settings.version,
            deadline: self.deadline,
            limits: self.limits.clone(),
            most: Most::of(&self.socket),
        }));
        self.requests = Some(requests.clone());
        let registrations = Registrations {
            brokers: self.brokers.clone(),
            concurrency: self.concurrency,
            service: self.service.clone(),
            settings: self.settings.clone(),
            socket: self.socket.clone(),
            requests,
        };
        let stop = context.stopping();
        context.spawn("registrations", move || registrations.clone().run(stop.clone()));
        Ok(())
    }

    fn handle(&self, event: &Event, _: &mut Outbox) -> Result<()> {
        match &self.requests {
            Some(requests) => requests.reply(event),
            None => Err(Error::internal("the worker has not started")),
        }
    }
}

/// Runs as many registrations at each broker as are wanted, while brokers come and go.
#[derive(Clone)]
struct Registrations {
    brokers: Brokers,
    concurrency: usize,
    service: Service,
    settings: WorkerSettings,
    socket: SocketSettings,
    requests: Requests,
}

impl Registrations {
    async fn run(self, stop: CancellationToken) -> Result<()> {
        let mut follower: Follower = self.brokers.follow();
        let mut running: HashMap<String, CancellationToken> = HashMap::new();
        // Dropped with this task, it takes all registrations with it.
        let mut tasks = JoinSet::new();
        loop {
            let brokers = follower.now();
            running.retain(|broker, stop| {
                let stays = brokers.contains(broker);
                if !stays {
                    stop.cancel();
                }
                stays
            });
            for broker in brokers {
                if let Entry::Vacant(new) = running.entry(broker) {
                    let stop = stop.child_token();
                    self.register(new.key(), &stop, &mut tasks)?;
                    new.insert(stop);
                }
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = follower.changed() => {}
                Some(_) = tasks.join_next() => {}
            }
        }
        while tasks.join_next().await.is_some() {}
        Ok(())
    }

    fn register(&self, broker: &str, stop: &CancellationToken, tasks: &mut JoinSet<()>) -> Result<()> {
        let endpoint: Endpoint = broker.parse()?;
        let (each, stop) = (self.clone(), stop.clone());
        tasks.spawn(async move {
            if each.serve(each.concurrency, &endpoint, &stop).await == Outcome::Apart {
                let mut alone = JoinSet::new();
                for _ in 0..each.concurrency {
                    let (each, endpoint, stop) = (each.clone(), endpoint.clone(), stop.clone());
                    alone.spawn(async move { each.serve(1, &endpoint, &stop).await });
                }
                while alone.join_next().await.is_some() {}
            }
        });
        Ok(())
    }

    /// Runs `count` registrations over one connection, and begins anew where they fail.
    async fn serve(&self, count: usize, broker: &Endpoint, stop: &CancellationToken) -> Outcome {
        loop {
            let now = Instant::now().into_std();
            let worker = || Worker::new(self.service.clone(), self.settings.clone(), now);
            let workers = std::iter::repeat_with(worker).take(count).collect();
            match registration::run(workers, self.requests.clone(), broker, &self.socket, stop.clone()).await {
                Ok(outcome) => return outcome,
                Err(error) => {
                    tracing::error!(%error, broker = %broker, service = %self.service, "a registration failed");
                }
            }
            if stop.run_until_cancelled(tokio::time::sleep(FAILED)).await.is_none() {
                return Outcome::Stopped;
            }
        }
    }
}

/// The requests that wait for their replies.
#[derive(Clone)]
struct Requests(Arc<Inner>);

struct Inner {
    pending: Mutex<HashMap<EventId, Pending>>,
    emitter: Emitter,
    service: Service,
    version: Version,
    deadline: Duration,
    limits: EnvelopeLimits,
    most: Most,
}

struct Pending {
    job: Job,
    /// The id under which the client knows the event, where it came whole.
    wire: Option<EventId>,
    asked: Frames,
    /// The flow is not drained before the request is answered.
    _permit: Arc<Permit>,
}

impl Pending {
    fn body_of(&self, reply: &Event) -> Frames {
        let Some(wire) = self.wire else { return body_of(reply, false) };
        let whole = Event::with_id(wire, reply.payload().clone())
            .with_correlation_id(reply.correlation_id().into_owned())
            .with_attributes(reply.attributes().clone());
        body_of(&whole, true)
    }

    fn finish(self, reply: &Event, most: Most) {
        if let Some(error) = reply.error() {
            return self.fail(error, most);
        }
        let body = self.body_of(reply);
        match most.check(&body) {
            Ok(()) => drop(self.job.reply(body)),
            Err(error) => self.fail(&error, most),
        }
    }

    fn fail(self, error: &Error, most: Most) {
        let mut body = self.failure(error);
        if most.check(&body).is_err() {
            body = self.failure(&Error::new(error.kind(), "the error is too large to be told"));
        }
        self.job.reply(body);
    }

    fn failure(&self, error: &Error) -> Frames {
        match self.wire {
            Some(wire) => body_of(&Event::with_id(wire, Payload::Empty).with_error(error.clone()), true),
            None => failure_body(error, &self.asked),
        }
    }
}

impl Requests {
    fn lock(&self) -> MutexGuard<'_, HashMap<EventId, Pending>> {
        self.0.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remove(&self, id: EventId) -> Option<Pending> {
        self.lock().remove(&id)
    }

    fn reply(&self, event: &Event) -> Result<()> {
        let is_part = event.attribute(PARTIAL).and_then(|value| value.as_boolean()) == Some(true);
        // A part that has failed on its way is the end.
        if is_part && event.error().is_none() {
            return self.reply_partially(event);
        }
        match self.remove(event.id()) {
            Some(pending) => pending.finish(event, self.0.most),
            // Answered already, by its deadline or by an earlier reply.
            None => tracing::debug!(id = %event.id(), "a reply came for a request that has ended; it is dropped"),
        }
        Ok(())
    }

    fn reply_partially(&self, event: &Event) -> Result<()> {
        if self.0.version == Version::V1 {
            return Err(Error::unsupported("version 0.1 of the protocol has no partial replies: expected one reply"));
        }
        let found = self.lock().get(&event.id()).map(|pending| {
            let body = pending.body_of(&event.clone().without_attribute(PARTIAL));
            (pending.job.clone(), body)
        });
        let Some((job, body)) = found else { return Ok(()) };
        match self.0.most.check(&body) {
            Ok(()) => drop(job.reply_partially(body)),
            // A reply without this part would be a wrong one.
            Err(error) => {
                if let Some(pending) = self.remove(event.id()) {
                    pending.fail(&error, self.0.most);
                }
            }
        }
        Ok(())
    }

    /// Everything that came of the request's event has ended.
    fn settle(&self, id: EventId, outcome: Result<()>) {
        let Some(pending) = self.remove(id) else { return };
        match outcome {
            Ok(()) => pending.fail(&Error::internal("the request ended without a reply"), self.0.most),
            // The work was given up, as where the flow is aborted: another worker may do it.
            Err(error) if error.kind() == Kind::Cancelled => pending.job.give_back(),
            Err(error) => pending.fail(&error, self.0.most),
        }
    }

    /// Makes the event of a request, and waits for its reply from now on.
    fn open(&self, assignment: Assignment, permit: Arc<Permit>) -> Option<Event> {
        let Assignment { job, body } = assignment;
        let asked = body.clone();
        let is_whole = is_envelope(&body);
        let event = match event_of(body, &self.0.limits) {
            Ok(event) => event.without_error(),
            Err(error) => {
                job.reply(failure_body(&error, &asked));
                return None;
            }
        };
        let wire = is_whole.then(|| event.id());
        let deadline = event.deadline().unwrap_or_else(|| deadline_in(self.0.deadline));
        let service = self.0.service.as_str().to_owned();
        let pending = Pending { job: job.clone(), wire, asked, _permit: permit };
        let mut waiting = self.lock();
        // The same event may be here twice, as after a redelivery to this very process.
        let event = if waiting.contains_key(&event.id()) { event.branch(event.payload().clone()) } else { event };
        let id = event.id();
        if let Entry::Vacant(entry) = waiting.entry(id) {
            entry.insert(pending);
        }
        drop(waiting);
        job.expires(deadline, id);
        let requests = self.clone();
        let receipt = Receipt::new(move |outcome| requests.settle(id, outcome));
        Some(event.with_deadline(deadline).with_attribute(SERVICE, service).with_receipt(receipt))
    }
}

impl Workplace for Requests {
    fn take(&self, assignment: Assignment) -> impl Future<Output = ()> + Send + 'static {
        let requests = self.clone();
        async move {
            let Ok(permit) = requests.0.emitter.permit() else {
                // The flow stops: another worker does it.
                return assignment.job.give_back();
            };
            let permit = Arc::new(permit);
            if let Some(event) = requests.open(assignment, permit.clone())
                && let Err(error) = permit.send_from(0, event).await
            {
                tracing::error!(%error, "a request could not enter the flow");
            }
        }
    }

    fn expire(&self, request: EventId) {
        if let Some(pending) = self.remove(request) {
            pending.fail(&Error::timeout(format!("`{}` did not reply in time", self.0.service)), self.0.most);
        }
    }
}

impl fmt::Debug for Requests {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Requests").field("waiting", &self.lock().len()).finish_non_exhaustive()
    }
}
