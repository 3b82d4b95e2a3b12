//! The requests of a client process: the state machine, its sockets, and the tasks that read them.
//!
//! Whoever asks sends at once, on his own task: the machine lies behind a lock that is held for the time of one message. Each
//! link has a task that reads it; one more keeps the time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use playhouse_engine::{Error, EventId, Result};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::protocol::{Address, Frames, Service};
use crate::protocol::{Client, ClientCounters, ClientOutput, ClientSettings, LinkId};
use crate::registry::{Brokers, Follower};
use crate::transport::{Change, Changes, Endpoint, Kind, Refused, Socket, SocketSettings};

/// How many replies are taken from a socket at a time.
const BATCH: usize = 256;

/// Where the answers go.
pub(crate) trait Answers: Send + Sync + 'static {
    /// Takes a part of a reply, and waits where there is no room for it.
    fn part(&self, request: EventId, body: Frames) -> impl Future<Output = ()> + Send;

    /// Takes the end of a request, and waits where there is no room for it.
    fn end(&self, request: EventId, outcome: Result<Frames>) -> impl Future<Output = ()> + Send;
}

enum Answer {
    Part(EventId, Frames),
    End(EventId, Result<Frames>),
}

/// The requests of a client and the sockets over which they go.
pub(crate) struct Calls<A> {
    shared: Arc<Shared<A>>,
}

struct Shared<A> {
    state: Mutex<State>,
    answers: A,
    socket: SocketSettings,
    runtime: tokio::runtime::Handle,
    /// There is something to do before the time for which the one who keeps it waits.
    earlier: Notify,
    stop: CancellationToken,
    tasks: TaskTracker,
}

struct State {
    client: Client,
    links: HashMap<LinkId, Link>,
    outputs: Vec<ClientOutput>,
}

struct Link {
    socket: Arc<Socket>,
    stop: CancellationToken,
}

impl<A: Answers> Calls<A> {
    /// Opens a client on the current tokio runtime.
    ///
    /// # Errors
    /// As [`Socket::open`] for the settings.
    pub(crate) fn open(
        brokers: &Brokers,
        settings: ClientSettings,
        socket: SocketSettings,
        answers: A,
    ) -> Result<Self> {
        // What is wrong with the settings shows here and not at the first request.
        drop(Socket::open(Kind::Dealer, &socket)?);
        let socket = SocketSettings { send_queue: socket.send_queue.max(settings.window), ..socket };
        let state = State { client: Client::new(settings), links: HashMap::new(), outputs: Vec::new() };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            answers,
            socket,
            runtime: tokio::runtime::Handle::current(),
            earlier: Notify::new(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        let mut follower = brokers.follow();
        let known = follower.now();
        shared.change(|client, now, outputs| client.set_brokers(known, now, outputs));
        shared.tasks.spawn(keep_time(shared.clone(), follower));
        Ok(Self { shared })
    }

    /// Sends a request that ends by `deadline`, whatever happens: with a call of [`Answers::end`].
    ///
    /// # Errors
    /// `Overloaded` where too many requests are under way, `Conflict` where one has this id; then nothing is sent.
    pub(crate) fn request(&self, id: EventId, service: Service, body: Frames, deadline: Instant) -> Result<()> {
        let deadline = deadline.into_std();
        let (outcome, answers) =
            self.shared.change(|client, now, outputs| client.request(id, service, body, deadline, now, outputs));
        self.shared.deliver_later(answers);
        outcome
    }

    /// Forgets a request that nobody waits for any more.
    pub(crate) fn cancel(&self, id: EventId) {
        let ((), answers) = self.shared.change(|client, now, outputs| client.cancel(id, now, outputs));
        self.shared.deliver_later(answers);
    }

    /// Returns what was counted.
    pub(crate) fn counters(&self) -> ClientCounters {
        self.shared.lock().client.counters()
    }

    /// Closes the sockets and waits until their tasks have ended. What is under way is forgotten.
    pub(crate) async fn close(&self) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}

impl<A> Drop for Calls<A> {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

impl<A: Answers> Shared<A> {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing of anybody else's runs while it is held, so nothing panics.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Feeds the machine, and does what it wants but for the answers, which are returned.
    fn change<R>(
        self: &Arc<Self>,
        feed: impl FnOnce(&mut Client, std::time::Instant, &mut Vec<ClientOutput>) -> R,
    ) -> (R, Vec<Answer>) {
        let now = Instant::now().into_std();
        let mut state = self.lock();
        let State { client, outputs, .. } = &mut *state;
        let before = client.next_tick();
        let result = feed(client, now, outputs);
        let mut answers = Vec::new();
        while !state.outputs.is_empty() {
            let outputs = std::mem::take(&mut state.outputs);
            for output in outputs {
                self.carry_out(&mut state, output, now, &mut answers);
            }
        }
        if let Some(next) = state.client.next_tick()
            && before.is_none_or(|before| next < before)
        {
            self.earlier.notify_one();
        }
        (result, answers)
    }

    fn carry_out(
        self: &Arc<Self>,
        state: &mut State,
        output: ClientOutput,
        now: std::time::Instant,
        answers: &mut Vec<Answer>,
    ) {
        let State { client, links, outputs } = state;
        match output {
            ClientOutput::Open { link, broker } => match self.open_link(link, &broker) {
                Ok(opened) => drop(links.insert(link, opened)),
                Err(error) => {
                    let message = format!("no connection can be opened to the broker `{broker}`");
                    let error = Error::new(error.kind(), message).caused_by(error);
                    tracing::error!(%error, "requests go to other brokers, if there are any");
                    client.failed(link, error, now, outputs);
                }
            },
            ClientOutput::Send { link, request, frames } => {
                match links.get(&link).map(|link| link.socket.send(frames)) {
                    Some(Ok(())) => {}
                    Some(Err(Refused::Full(_) | Refused::Unroutable(_))) => {
                        client.unsent(link, request, now, outputs);
                    }
                    Some(Err(Refused::Closed)) | None => {
                        let error = Error::unavailable("the socket to the broker is closed");
                        client.failed(link, error, now, outputs);
                    }
                }
            }
            ClientOutput::Close { link } => {
                if let Some(link) = links.remove(&link) {
                    link.stop.cancel();
                }
            }
            ClientOutput::Partial { request, body } => answers.push(Answer::Part(request, body)),
            ClientOutput::Finished { request, outcome } => answers.push(Answer::End(request, outcome)),
        }
    }

    fn open_link(self: &Arc<Self>, id: LinkId, broker: &str) -> Result<Link> {
        let endpoint: Endpoint = broker.parse()?;
        let settings = SocketSettings { identity: Some(Address::unique()), ..self.socket.clone() };
        // Whoever asks may be on a thread without a runtime.
        let _runtime = self.runtime.enter();
        let socket = Arc::new(Socket::open(Kind::Dealer, &settings)?);
        let stop = self.stop.child_token();
        self.tasks.spawn_on(read(self.clone(), id, socket.clone(), endpoint, stop.clone()), &self.runtime);
        Ok(Link { socket, stop })
    }

    /// Delivers the answers, unless the client is closed meanwhile: then nobody waits for them.
    async fn deliver(&self, answers: Vec<Answer>) {
        let delivered = async {
            for answer in answers {
                match answer {
                    Answer::Part(request, body) => self.answers.part(request, body).await,
                    Answer::End(request, outcome) => self.answers.end(request, outcome).await,
                }
            }
        };
        self.stop.run_until_cancelled(delivered).await;
    }

    /// Delivers what a call that must not wait has brought about, which is rare: a request that ends another.
    fn deliver_later(self: &Arc<Self>, answers: Vec<Answer>) {
        if !answers.is_empty() {
            let shared = self.clone();
            self.tasks.spawn_on(async move { shared.deliver(answers).await }, &self.runtime);
        }
    }
}

/// Reads one link until it is closed.
async fn read<A: Answers>(
    shared: Arc<Shared<A>>,
    id: LinkId,
    socket: Arc<Socket>,
    endpoint: Endpoint,
    stop: CancellationToken,
) {
    let mut changes = socket.changes();
    let read = read_until(&stop, &shared, id, &socket, &mut changes, &endpoint).await;
    // A socket that fails while it is being closed is nothing to tell.
    if let Err(error) = read
        && !shared.stop.is_cancelled()
    {
        tracing::error!(%error, "the connection to a broker has ended");
        let ((), answers) = shared.change(|client, now, outputs| client.failed(id, error, now, outputs));
        shared.deliver(answers).await;
    }
    // The other holder is the link, which is gone or goes with the client.
    drop(changes);
    shared.lock().links.remove(&id);
    if let Some(socket) = Arc::into_inner(socket) {
        socket.close().await;
    }
}

/// Reads until the link is closed. What a message has brought about is delivered even where it has closed the link.
async fn read_until<A: Answers>(
    stop: &CancellationToken,
    shared: &Arc<Shared<A>>,
    id: LinkId,
    socket: &Socket,
    changes: &mut Changes,
    endpoint: &Endpoint,
) -> Result<()> {
    let Some(connected) = stop.run_until_cancelled(socket.connect(endpoint)).await else { return Ok(()) };
    connected?;
    let mut messages = Vec::new();
    while let Some(next) = stop.run_until_cancelled(next(socket, changes, &mut messages)).await {
        let ((), answers) = match next? {
            Next::Messages => shared.change(|client, now, outputs| {
                for frames in messages.drain(..) {
                    client.receive(id, frames, now, outputs);
                }
            }),
            Next::Change(Change::Connected | Change::Trunk) => {
                shared.change(|client, now, outputs| client.up(id, now, outputs))
            }
            Next::Change(Change::Lost) => shared.change(|client, now, outputs| client.lost(id, now, outputs)),
            Next::Change(Change::Rejected(reason)) => {
                return Err(Error::forbidden(format!("the broker at `{endpoint}` does not let us in: {reason}")));
            }
        };
        shared.deliver(answers).await;
    }
    Ok(())
}

enum Next {
    Messages,
    Change(Change),
}

/// Waits for messages or a change, messages first: those of a connection come before its loss.
async fn next(socket: &Socket, changes: &mut Changes, messages: &mut Vec<Frames>) -> Result<Next> {
    tokio::select! {
        biased;
        received = socket.receive(messages, BATCH) => received.map(|()| Next::Messages),
        change = changes.next() => {
            change.map(Next::Change).ok_or_else(|| Error::unavailable("the socket to the broker is closed"))
        }
    }
}

/// Ends requests in time, and learns of brokers that come and go.
async fn keep_time<A: Answers>(shared: Arc<Shared<A>>, mut follower: Follower) {
    let keeping = async {
        loop {
            let next = shared.lock().client.next_tick();
            let time = async {
                match next {
                    Some(next) => sleep_until(next.into()).await,
                    None => std::future::pending().await,
                }
            };
            let ((), answers) = tokio::select! {
                () = shared.earlier.notified() => continue,
                () = follower.changed() => {
                    let brokers = follower.now();
                    shared.change(|client, now, outputs| client.set_brokers(brokers, now, outputs))
                }
                () = time => shared.change(|client, now, outputs| client.tick(now, outputs)),
            };
            shared.deliver(answers).await;
        }
    };
    shared.stop.clone().run_until_cancelled(keeping).await;
}
