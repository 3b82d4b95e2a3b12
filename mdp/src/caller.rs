//! Requests from ordinary code: a call is a future that ends with the reply, or with a typed error.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use playhouse_engine::EnvelopeLimits;
use playhouse_engine::{Error, Event, EventId, Result};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::body::{body_of, event_of, is_envelope, reply_of};
use crate::calls::{Answers, Calls};
use crate::protocol::{ClientCounters, ClientSettings};
use crate::protocol::{Frames, Service};
use crate::registry::Brokers;
use crate::transport::SocketSettings;

/// How many parts of a reply wait for whoever asked; then nothing more is read.
const PARTS: usize = 64;

/// Calls services through Majordomo brokers.
///
/// ```no_run
/// # async fn example() -> playhouse_engine::Result<()> {
/// use std::time::Duration;
///
/// use playhouse_engine::Event;
/// use playhouse_mdp::{Brokers, Caller};
///
/// let caller = Caller::connect(&Brokers::at("tcp://127.0.0.1:5555")?)?;
/// let reply = caller.call("greeting", &Event::new("Ada"), Duration::from_secs(5)).await?;
/// println!("{}", reply.payload());
/// # Ok(())
/// # }
/// ```
pub struct Caller {
    calls: Calls<Arc<Waiters>>,
    waiters: Arc<Waiters>,
    envelope: bool,
}

/// A part of a reply, or its end.
enum Reply {
    Part(Frames),
    End(Result<Frames>),
}

/// Where the reply to a request goes.
struct Waiter {
    parts: mpsc::Sender<Reply>,
    /// Room for the end, however many parts wait: those who wait for other requests must not wait for this one too.
    end: mpsc::OwnedPermit<Reply>,
    deadline: Instant,
}

#[derive(Default)]
struct Waiters(Mutex<HashMap<EventId, Waiter>>);

impl Waiters {
    fn lock(&self) -> MutexGuard<'_, HashMap<EventId, Waiter>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answers for Arc<Waiters> {
    async fn part(&self, request: EventId, body: Frames) {
        let waiter = self.lock().get(&request).map(|waiter| (waiter.parts.clone(), waiter.deadline));
        if let Some((parts, deadline)) = waiter {
            // Whoever asked may be gone, or takes nothing for so long that his time is up.
            let _ = timeout_at(deadline, parts.send(Reply::Part(body))).await;
        }
    }

    async fn end(&self, request: EventId, outcome: Result<Frames>) {
        let waiter = self.lock().remove(&request);
        if let Some(waiter) = waiter {
            waiter.end.send(Reply::End(outcome));
        }
    }
}

impl Caller {
    /// Connects to brokers with the default settings. Returns at once: calls wait for the connection.
    ///
    /// # Errors
    /// As [`Caller::with`].
    pub fn connect(brokers: &Brokers) -> Result<Self> {
        Self::with(brokers, ClientSettings::default(), SocketSettings::default())
    }

    /// Connects to brokers on the current tokio runtime.
    ///
    /// # Errors
    /// `Malformed` or `Unsupported` where the settings of the sockets make no sense.
    pub fn with(brokers: &Brokers, settings: ClientSettings, socket: SocketSettings) -> Result<Self> {
        let waiters = Arc::new(Waiters::default());
        let envelope = settings.envelope;
        let calls = Calls::open(brokers, settings, socket, waiters.clone())?;
        Ok(Self { calls, waiters, envelope })
    }

    /// Asks `service`, and waits for the whole reply, `time` at most. Parts that came before its end are passed over: see
    /// [`Caller::parts`].
    ///
    /// # Errors
    /// What the worker answered in place of a reply; `Timeout` when the time is up, `Unavailable` where no broker could be
    /// reached, or the workers died under the request; `Overloaded` where the broker or this caller has too many.
    pub async fn call(&self, service: &str, event: &Event, time: Duration) -> Result<Event> {
        let mut parts = self.parts(service, event, time)?;
        while let Some(part) = parts.next().await {
            let (event, is_last) = part?;
            if is_last {
                return Ok(event);
            }
        }
        Err(Error::internal("the request ended without a reply"))
    }

    /// Asks `service`, and returns the parts of its reply as they come.
    ///
    /// # Errors
    /// `Malformed` where `service` cannot be a name; `Overloaded` where this caller has too many requests.
    pub fn parts(&self, service: &str, event: &Event, time: Duration) -> Result<Parts<'_>> {
        let (service, deadline) = (Service::new(service.to_owned())?, deadline_in(time));
        let mut event = event.clone().with_deadline(deadline);
        // The id on the wire must be of one request only; the same event may be on its way twice.
        let frames = loop {
            match self.wait(event.id(), deadline)? {
                Some(frames) => break frames,
                None => event = event.branch(event.payload().clone()),
            }
        };
        // Where it is refused, the guard forgets it.
        self.calls.request(event.id(), service, body_of(&event, self.envelope), deadline)?;
        Ok(Parts { frames, request: event })
    }

    /// Asks `service` with frames of one's own and returns those of the reply, for services that are not ours, such as those
    /// of the broker itself. The caller must be one without envelopes.
    ///
    /// # Errors
    /// As [`Caller::call`].
    pub async fn frames(&self, service: &str, body: Frames, time: Duration) -> Result<Frames> {
        if self.envelope {
            return Err(Error::not_allowed("expected a caller with `envelope = false` to send plain frames"));
        }
        let (service, deadline) = (Service::new(service.to_owned())?, deadline_in(time));
        let id = EventId::unique();
        let used = || Error::internal(format!("the id `{id}` is in use"));
        let mut frames = self.wait(id, deadline)?.ok_or_else(used)?;
        self.calls.request(id, service, body, deadline)?;
        while let Some(reply) = frames.next().await {
            if let Reply::End(outcome) = reply {
                return outcome;
            }
        }
        Err(Error::internal("the request ended without a reply"))
    }

    /// Returns what was counted.
    #[must_use]
    pub fn counters(&self) -> ClientCounters {
        self.calls.counters()
    }

    /// Closes the connections, and waits for their end.
    pub async fn close(self) {
        self.calls.close().await;
    }

    /// Begins to wait for a reply; nothing where a request of this id is under way.
    fn wait(&self, id: EventId, deadline: Instant) -> Result<Option<Waiting<'_>>> {
        let (parts, replies) = mpsc::channel(PARTS + 1);
        let end = parts.clone().try_reserve_owned().map_err(|_| Error::internal("a new channel has no room"))?;
        match self.waiters.lock().entry(id) {
            Entry::Occupied(_) => return Ok(None),
            Entry::Vacant(entry) => entry.insert(Waiter { parts, end, deadline }),
        };
        Ok(Some(Waiting { caller: self, id, replies, is_over: false }))
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Caller").field("envelope", &self.envelope).finish_non_exhaustive()
    }
}

/// A request under way; dropped before its end, it is forgotten.
struct Waiting<'a> {
    caller: &'a Caller,
    id: EventId,
    replies: mpsc::Receiver<Reply>,
    is_over: bool,
}

impl Waiting<'_> {
    async fn next(&mut self) -> Option<Reply> {
        let reply = self.replies.recv().await;
        self.is_over |= matches!(reply, Some(Reply::End(_)));
        reply
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            // In this order: as long as somebody waits under the id, no other request has it.
            self.caller.calls.cancel(self.id);
            self.caller.waiters.lock().remove(&self.id);
        }
    }
}

/// The parts of a reply, as they come.
pub struct Parts<'a> {
    frames: Waiting<'a>,
    request: Event,
}

impl Parts<'_> {
    /// Waits for the next part, and says whether it is the last one; `None` after the last one.
    ///
    /// # Errors
    /// As [`Caller::call`]; no part comes after an error.
    pub async fn next(&mut self) -> Option<Result<(Event, bool)>> {
        if self.frames.is_over {
            return None;
        }
        let (body, is_last) = match self.frames.next().await? {
            Reply::Part(body) => (body, false),
            Reply::End(Ok(body)) => (body, true),
            Reply::End(Err(error)) => return Some(Err(error)),
        };
        Some(read_reply(&self.request, body).map(|event| (event, is_last)))
    }
}

impl fmt::Debug for Parts<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Parts").field("request", &self.request.id()).finish_non_exhaustive()
    }
}

/// Returns the time after `time`; where that is beyond every clock, as for a request that may take for ever, in many years.
pub(crate) fn deadline_in(time: Duration) -> Instant {
    const MANY_YEARS: Duration = Duration::from_secs(30 * 365 * 86_400);
    Instant::now() + time.min(MANY_YEARS)
}

/// Reads the event of a reply; an event that carries an error is that error.
pub(crate) fn read_reply(request: &Event, body: Frames) -> Result<Event> {
    let is_ours = is_envelope(&body);
    let reply = event_of(body, &EnvelopeLimits::default())?;
    match reply.error() {
        Some(error) if is_ours => Err(error.clone()),
        _ => Ok(reply_of(request, &reply)),
    }
}
