//! Answers that are kept for those who ask the same.

mod fills;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache as Store;
use playhouse_engine::{
    Context, Emitter, Error, Event, Format, Light, Outbox, Payload, Ports, Receipt, Result, Text, Value,
};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::content::weight;
use crate::key::{Key, KeyFrom, Keys};
use crate::span;
use crate::tally::Tally;
use crate::upkeep::{Upkeep, not_started};
use fills::{Fills, Found};

/// Answers an event with what an event of the same key was answered before; what was not yet asked goes on by `miss`, and the
/// answer comes back by `fill`.
///
/// While the answer to a key is awaited, further events of that key wait for the same one: until it is there, until their
/// deadlines, or until `fill-time-out`. The answer is found by the id of the event that went out, which everything that is
/// derived from it keeps. An event that comes by `fill` with an error (connect the error route of what makes the answers to
/// it) is the answer to all who wait, by the error route, and is not kept. Where the event that went out ends without an
/// answer, those who wait for it fail at once.
///
/// The actor never waits for its receivers, so that the ring through `miss` and `fill` cannot come to a stand: where one has
/// no room, the event fails.
///
/// # Ports
/// Inboxes: `inbox` for what asks, `fill` for answers, which must be connected, both for any format. Outboxes: `outbox` for
/// answers, `miss` for what must be answered anew. An answer that comes too late to be awaited leaves by `outbox` and is not kept. What waits is held in
/// flight.
///
/// # Settings
/// | name | default | meaning |
/// |---|---|---|
/// | `key` | `payload` | what makes two events ask the same: `payload`, `id`, `correlation`, or `{ attribute = "name" }` |
/// | `time-to-live` | 1 min | for how long an answer is kept |
/// | `most` | 10,000 | how many answers are kept at most |
/// | `most-bytes` | 64 MiB | how many bytes of payload they have at most; a larger answer is not kept |
/// | `fill-time-out` | 30 s | how long an answer is awaited |
/// | `most-waiting` | 1,024 | how many events wait at most, and how many keys are awaited at most |
/// | `attributes` | `http.status`, `http.header.content-type`, `http.reply.header.content-type` | the attributes that are kept with an answer |
///
/// Which answer is given up for a new one where there is no room follows how often each is asked for.
///
/// # Errors
/// | kind | when |
/// |---|---|
/// | `Timeout` | no answer came within `fill-time-out`, or by the event's deadline |
/// | `Overloaded` | a receiver has no room, or too many wait |
/// | `Unavailable` | what was awaited has ended without an answer |
/// | `Unprocessable` | there is no such attribute |
/// | `Conflict` | an event of the same id, but another key, is awaited |
/// | that of the answer | an event came by `fill` with an error |
///
/// # Example
/// ```
/// use playhouse_actors::{Cache, CacheSettings, KeyFrom};
/// use playhouse_engine::{Director, Event, map, sink};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut director = Director::new("prices");
/// # let source = director.register("source", playhouse_actors::Generator::every(std::time::Duration::from_secs(1), ()));
/// let settings = CacheSettings { key: KeyFrom::Attribute("sku".into()), ..CacheSettings::default() };
/// let cache = director.register("cache", Cache::new(settings)?);
/// let price = director.register("price", map(|event: &Event| event.derive("7.50")));
/// let print = director.register("print", sink(|event| Ok(println!("{}", event.payload()))));
/// # director.connect(source, cache);
/// director.connect(cache, print);
/// director.connect(cache.port("miss"), price);
/// director.connect(price, cache.port("fill"));
/// director.connect_error(price, cache.port("fill"));
/// director.build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Cache {
    shared: Arc<Shared>,
    upkeep: Upkeep,
    emitter: Option<Emitter>,
}

/// What a [`Cache`] keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct CacheSettings {
    /// What makes two events ask the same; their payload by default.
    pub key: KeyFrom,
    /// For how long an answer is kept; 1 minute by default.
    #[serde(with = "humantime_serde")]
    pub time_to_live: Duration,
    /// How many answers are kept at most; 10,000 by default.
    pub most: u64,
    /// How many bytes of payload they have at most; 64 MiB by default.
    pub most_bytes: u64,
    /// How long an answer is awaited; 30 s by default.
    #[serde(with = "humantime_serde")]
    pub fill_time_out: Duration,
    /// How many events wait at most, and how many keys are awaited at most; 1,024 by default.
    pub most_waiting: usize,
    /// The attributes that are kept with an answer; the status and the content types of HTTP by default.
    pub attributes: Vec<String>,
}

impl Default for CacheSettings {
    fn default() -> Self {
        let attributes = ["http.status", "http.header.content-type", "http.reply.header.content-type"];
        Self {
            key: KeyFrom::Payload,
            time_to_live: Duration::from_secs(60),
            most: 10_000,
            most_bytes: 64 << 20,
            fill_time_out: Duration::from_secs(30),
            most_waiting: 1024,
            attributes: attributes.map(str::to_owned).to_vec(),
        }
    }
}

struct Shared {
    settings: CacheSettings,
    keys: Keys,
    store: Store<Key, Arc<Answer>>,
    fills: Fills,
    hits: Tally,
    misses: Tally,
}

/// What is kept.
#[derive(Debug)]
struct Answer {
    payload: Payload,
    attributes: Vec<(Text, Value)>,
    since: Instant,
    /// What it counts for against `most-bytes`: at least as much that no more than `most` have room.
    weight: u32,
}

impl Answer {
    fn to(&self, event: &Event) -> Event {
        let answer = event.derive(self.payload.clone());
        let attributes = self.attributes.iter();
        attributes.fold(answer, |answer, (name, value)| answer.with_attribute(name.clone(), value.clone()))
    }
}

impl Cache {
    /// Keeps the answers to payloads for `time_to_live`.
    ///
    /// # Errors
    /// As [`Cache::new`].
    pub fn keeping(time_to_live: Duration) -> Result<Self> {
        Self::new(CacheSettings { time_to_live, ..CacheSettings::default() })
    }

    /// Keeps answers as `settings` say.
    ///
    /// # Errors
    /// `Malformed` with all that is wrong with the settings.
    pub fn new(settings: CacheSettings) -> Result<Self> {
        let mut problems = Vec::new();
        for (name, time) in [("time-to-live", settings.time_to_live), ("fill-time-out", settings.fill_time_out)] {
            problems.extend(span::problem(name, time));
        }
        let waiting = settings.most_waiting as u64;
        for (name, number) in [("most", settings.most), ("most-bytes", settings.most_bytes), ("most-waiting", waiting)]
        {
            if number == 0 {
                problems.push(format!("`{name}`: expected more than none"));
            }
        }
        if !problems.is_empty() {
            return Err(Error::malformed(format!("no cache: {}", problems.join("; "))));
        }
        let store = Store::builder()
            .max_capacity(settings.most_bytes)
            .weigher(|_, answer: &Arc<Answer>| answer.weight)
            .time_to_live(settings.time_to_live)
            .build();
        let shared = Shared {
            keys: Keys::new(settings.key.clone()),
            store,
            fills: Fills::default(),
            hits: Tally::default(),
            misses: Tally::default(),
            settings,
        };
        Ok(Self { shared: Arc::new(shared), upkeep: Upkeep::default(), emitter: None })
    }

    /// Returns the count of events that were answered with what was kept.
    #[must_use]
    pub fn hits(&self) -> Tally {
        self.shared.hits.clone()
    }

    /// Returns the count of events that went on by `miss`.
    #[must_use]
    pub fn misses(&self) -> Tally {
        self.shared.misses.clone()
    }

    fn ask(&self, event: &Event, emitter: &Emitter) -> Result<()> {
        let shared = &self.shared;
        let key = shared.keys.of(event)?;
        let answer = match shared.known(key) {
            Some(answer) => answer,
            None => match shared.fills.find(key, event, emitter, &shared.settings, || shared.known(key))? {
                Found::Answer(answer) => answer,
                Found::Waits => {
                    self.upkeep.wanted(&self.shared);
                    return Ok(());
                }
                Found::Nothing => return self.miss(event, emitter),
            },
        };
        shared.hits.add_one();
        offer(emitter, ANSWERS, event, answer.to(event))
    }

    /// Sends an event out to be answered, whose fill has begun.
    fn miss(&self, event: &Event, emitter: &Emitter) -> Result<()> {
        self.shared.misses.add_one();
        self.upkeep.wanted(&self.shared);
        let (id, upkeep, shared) = (event.id(), self.upkeep.clone(), Arc::downgrade(&self.shared));
        let receipt = Receipt::new(move |outcome| {
            if let Some(shared) = shared.upgrade()
                && shared.fills.give_up(id, || outcome.err().unwrap_or_else(unanswered))
            {
                upkeep.wanted(&shared);
            }
        });
        // Where it finds no room, its receipt gives the fill up.
        offer(emitter, MISSES, event, event.clone().with_receipt(receipt))
    }

    fn fill(&self, event: &Event, emitter: &Emitter) -> Result<()> {
        let shared = &self.shared;
        if let Some(error) = event.error() {
            if shared.fills.give_up(event.id(), || error.clone()) {
                self.upkeep.wanted(&self.shared);
            }
            return Err(error.clone());
        }
        if let Some(key) = shared.fills.key(event.id()) {
            // Kept before the fill ends, so that nobody asks for it once more in between.
            let answer = Arc::new(shared.answer(event));
            if u64::from(answer.weight) <= shared.settings.most_bytes {
                shared.store.insert(key, answer.clone());
            }
            let mut has_failed = false;
            for waiting in shared.fills.end(event.id()) {
                shared.hits.add_one();
                match waiting.offer_from(ANSWERS, answer.to(waiting.event())) {
                    Ok(()) => waiting.done(),
                    Err(error) => {
                        shared.fills.fail(waiting, error);
                        has_failed = true;
                    }
                }
            }
            if has_failed {
                self.upkeep.wanted(&self.shared);
            }
        }
        offer(emitter, ANSWERS, event, event.clone())
    }
}

/// The outboxes' numbers.
const ANSWERS: usize = 0;
const MISSES: usize = 1;

/// Sends an event that comes of the one that is handled, even while the flow stops.
fn offer(emitter: &Emitter, outbox: usize, handled: &Event, event: Event) -> Result<()> {
    let held = emitter.hold(handled);
    let offered = held.offer_from(outbox, event);
    held.done();
    offered
}

fn unanswered() -> Error {
    Error::unavailable("what was awaited has ended without an answer")
}

impl Shared {
    /// Returns the answer that is kept for a key, if it has not had its time.
    fn known(&self, key: Key) -> Option<Arc<Answer>> {
        // The store drops what is old by a clock of its own, which a test cannot pause.
        self.store.get(&key).filter(|answer| answer.since.elapsed() < self.settings.time_to_live)
    }

    fn answer(&self, event: &Event) -> Answer {
        let attributes = self.settings.attributes.iter();
        let attributes: Vec<_> =
            attributes.filter_map(|name| Some((Text::from(name.clone()), event.attribute(name)?))).collect();
        let own = weight(event.payload()) as u64;
        let share = self.settings.most_bytes.div_ceil(self.settings.most);
        let weight = u32::try_from(own.max(share)).unwrap_or(u32::MAX);
        Answer { payload: event.payload().clone(), attributes, since: Instant::now(), weight }
    }
}

impl Light for Cache {
    fn ports(&self) -> Ports {
        Ports::endpoint(Format::ANY)
            .with_required_inbox("fill", Format::ANY)
            .with_outbox("outbox", Format::ANY)
            .with_outbox("miss", Format::ANY)
    }

    async fn start(&mut self, context: Context) -> Result<()> {
        self.emitter = Some(context.emitter()?);
        self.upkeep = Upkeep::new(context);
        Ok(())
    }

    fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        let emitter = self.emitter.as_ref().ok_or_else(not_started)?;
        match out.inbox() {
            "fill" => self.fill(event, emitter),
            _ => self.ask(event, emitter),
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Shared").field("settings", &self.settings).finish_non_exhaustive()
    }
}
