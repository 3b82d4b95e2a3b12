//! Actors and observers that the tests share.

use std::fmt::Write;
use std::ops::Deref;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use playhouse_engine::{
    Actor, Context, Director, Emitter, Event, Format, Light, Outbox, Policy, Ports, Receipt, Result, Settings,
};
use tokio::sync::Semaphore;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{DefaultGuard, set_default};
use tracing::{Metadata, Subscriber};

/// Long enough for whatever ends at all. Tests that pause the clock do not spend it.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Runs a test with fusion and without.
pub(crate) async fn both(test: impl AsyncFn(Settings)) {
    for fusion in [true, false] {
        eprintln!("with fusion: {fusion}");
        test(Settings { fusion, ..Settings::default() }).await;
    }
}

pub(crate) fn director(settings: Settings) -> Director {
    Director::with_settings("test", settings)
}

/// A policy with this capacity.
pub(crate) fn room(capacity: usize) -> Policy {
    Policy { capacity, ..Policy::default() }
}

/// A source whose emitter the test holds.
pub(crate) struct Tap {
    ports: Ports,
    emitter: Arc<OnceLock<Emitter>>,
}

/// The emitter of a [`Tap`], once its flow runs.
#[derive(Clone)]
pub(crate) struct Entry(Arc<OnceLock<Emitter>>);

pub(crate) fn tap() -> (Tap, Entry) {
    tap_with(Ports::source(Format::ANY))
}

pub(crate) fn tap_with(ports: Ports) -> (Tap, Entry) {
    let emitter = Arc::new(OnceLock::new());
    (Tap { ports, emitter: emitter.clone() }, Entry(emitter))
}

impl Deref for Entry {
    type Target = Emitter;

    #[track_caller]
    fn deref(&self) -> &Emitter {
        self.0.get().expect("the flow has started")
    }
}

impl Actor for Tap {
    fn ports(&self) -> Ports {
        self.ports.clone()
    }

    async fn start(&mut self, context: Context) -> Result<()> {
        self.emitter.set(context.emitter()?).expect("a flow starts once");
        Ok(())
    }

    async fn handle(&self, _: &Event, _: &mut Outbox) -> Result<()> {
        Ok(())
    }
}

/// What came to a [`Collect`] or a [`Gate`], in order.
#[derive(Clone, Default)]
pub(crate) struct Collected(Arc<Mutex<Vec<(String, Event)>>>);

impl Collected {
    pub(crate) fn add(&self, event: &Event, out: &Outbox) {
        self.0.lock().unwrap().push((out.inbox().to_owned(), event.clone()));
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap().iter().map(|(_, event)| event.clone()).collect()
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        self.events().iter().map(|event| event.payload().to_string()).collect()
    }

    /// The inbox by which each event came, and its text.
    pub(crate) fn by_inbox(&self) -> Vec<(String, String)> {
        self.0.lock().unwrap().iter().map(|(inbox, event)| (inbox.clone(), event.payload().to_string())).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Returns the only event that came.
    #[track_caller]
    pub(crate) fn only(&self) -> Event {
        let mut events = self.events();
        assert_eq!(events.len(), 1, "{events:?}");
        events.remove(0)
    }

    /// Forgets the events, so that their receipts can settle.
    pub(crate) fn clear(&self) {
        let events = std::mem::take(&mut *self.0.lock().unwrap());
        drop(events);
    }
}

/// A light sink that keeps what comes to any of its inboxes.
pub(crate) struct Collect(Collected);

pub(crate) fn collect() -> (Collect, Collected) {
    let collected = Collected::default();
    (Collect(collected.clone()), collected)
}

impl Light for Collect {
    fn ports(&self) -> Ports {
        Ports::sink(Format::ANY).with_any_inbox()
    }

    fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        self.0.add(event, out);
        Ok(())
    }
}

/// A sink that ends an event only when the test lets it.
pub(crate) struct Gate(Key);

/// The test's end of a [`Gate`].
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) collected: Collected,
    came: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

pub(crate) fn gate() -> (Gate, Key) {
    let shut = || Arc::new(Semaphore::new(0));
    let key = Key { collected: Collected::default(), came: shut(), open: shut() };
    (Gate(key.clone()), key)
}

impl Key {
    /// Waits until `count` more events are in the gate's hands.
    pub(crate) async fn came(&self, count: u32) {
        self.came.acquire_many(count).await.unwrap().forget();
    }

    /// Lets `count` more events end.
    pub(crate) fn open(&self, count: usize) {
        self.open.add_permits(count);
    }

    /// Lets all events end.
    pub(crate) fn open_wide(&self) {
        self.open.add_permits(Semaphore::MAX_PERMITS / 2);
    }
}

impl Actor for Gate {
    fn ports(&self) -> Ports {
        Ports::sink(Format::ANY).with_any_inbox()
    }

    async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        self.0.came.add_permits(1);
        self.0.open.acquire().await.unwrap().forget();
        self.0.collected.add(event, out);
        Ok(())
    }
}

/// An actor, not a light one, that passes on what comes.
pub(crate) struct Pass;

impl Actor for Pass {
    async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        out.push(event);
        Ok(())
    }
}

/// How a receipt has settled.
#[derive(Clone, Default)]
pub(crate) struct Outcome(Arc<Mutex<Vec<Result<()>>>>);

impl Outcome {
    pub(crate) fn is_open(&self) -> bool {
        self.0.lock().unwrap().is_empty()
    }

    /// Returns how the receipt settled, which must have been once.
    #[track_caller]
    pub(crate) fn once(&self) -> Result<()> {
        let outcomes = self.0.lock().unwrap();
        assert_eq!(outcomes.len(), 1, "{outcomes:?}");
        outcomes[0].clone()
    }

    /// Returns the error with which the receipt settled, once.
    #[track_caller]
    pub(crate) fn failed(&self) -> playhouse_engine::Error {
        self.once().expect_err("the receipt settles with an error")
    }
}

pub(crate) fn receipt() -> (Receipt, Outcome) {
    let outcome = Outcome::default();
    let noted = outcome.clone();
    (Receipt::new(move |result| noted.0.lock().unwrap().push(result)), outcome)
}

/// An event with a receipt.
pub(crate) fn receipted(text: &'static str) -> (Event, Outcome) {
    let (receipt, outcome) = receipt();
    (Event::new(text).with_receipt(receipt), outcome)
}

pub(crate) fn numbered(count: usize) -> impl Iterator<Item = Event> + Send {
    (0..count).map(|number| Event::new(number.to_string()))
}

pub(crate) fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

/// Polls a future once, and drops it: the outcome, where there was one at once.
pub(crate) async fn polled_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        std::task::Poll::Ready(outcome) => std::task::Poll::Ready(Some(outcome)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}

/// The records that `tracing` was given in this thread, each as one line: the level and the fields.
pub(crate) struct Records {
    lines: Arc<Mutex<Vec<String>>>,
    _guard: DefaultGuard,
}

pub(crate) fn records() -> Records {
    let lines = Arc::default();
    let guard = set_default(Recorder(Arc::clone(&lines)));
    Records { lines, _guard: guard }
}

impl Records {
    /// Returns the records that hold `text`.
    pub(crate) fn with(&self, text: &str) -> Vec<String> {
        self.lines.lock().unwrap().iter().filter(|line| line.contains(text)).cloned().collect()
    }
}

struct Recorder(Arc<Mutex<Vec<String>>>);

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("playhouse_engine")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = write!(self.0, " {field}={value}");
    }
}
