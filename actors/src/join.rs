//! Many events of one request made one again.

mod part;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use playhouse_engine::{Actor, Context, Emitter, Error, Event, Format, Held, Outbox, Ports, Result, Text};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::content::names;
use crate::fragment::is_name;
use crate::key::{KeyFrom, Keys};
use crate::keyed_queue::{self, KeyedQueue};
use crate::span;
use crate::tally::Tally;
use crate::upkeep::{Tended, Upkeep, not_started};
use part::{Content, compose};

/// Holds events until every one of its inboxes has delivered one of the same key, and sends one event that is made of them.
///
/// The parts stand in the order in which the inboxes were named, whatever came first, and every part counts, be it `false`,
/// `0` or nothing. What is sent has the id and the attributes of the first inbox's event, the nearest deadline of all, and
/// answers for all of them: their receipts settle when it has ended. Each event that comes ends in exactly one output or with
/// exactly one error.
///
/// # Ports
/// Inboxes: those that were named, all of which must be connected, for any format. Outbox: `outbox`, which gives what `mode` says.
/// The parts that came are held in flight: a flow that stops waits for what is missing, but no longer than `time-out-at-stop`.
///
/// # Settings
/// | name | default | meaning |
/// |---|---|---|
/// | `key` | `id` | what makes events belong together: `id`, `correlation`, `payload`, or `{ attribute = "name" }` |
/// | `mode` | `list` | what comes out: `list`, a JSON list of the parts; `merge`, one JSON object with the members of all; `xml`, a root element with the parts' own in it |
/// | `root` | `joined` | the name of that root element |
/// | `time-out` | 30 s | how long events wait for those that are missing, from the first on |
/// | `time-out-at-stop` | 5 s | the same once the flow stops |
/// | `most` | 100,000 | how many keys wait at most |
/// | `most-bytes` | 256 MiB | how many bytes of payload are held at most |
/// | `largest-part` | 1 MiB | how many bytes one payload may have |
///
/// In a list JSON stands as it is, nothing as `null`, and all else as a string. Where two parts of a merge have a member of
/// the same name, the one of the later inbox counts. What is held takes less than 400 bytes beside its payload.
///
/// # Errors
/// | kind | when |
/// |---|---|
/// | `Timeout` | what was missing has not come; the message names its inboxes |
/// | `Conflict` | an inbox delivered a second event of a key that still waits; the first stays, and [`Join::duplicates`] counts |
/// | `Overloaded` | `most` or `most-bytes` was reached |
/// | `TooLarge` | a payload has more than `largest-part` bytes, or XML deeper than 256 elements |
/// | `Malformed` | a payload is not the JSON or XML that `mode` demands, or has a `DOCTYPE` |
/// | `Unprocessable` | there is no such attribute, or JSON that is no object is to be merged |
/// | `Unsupported` | a payload has a format that `mode` cannot use, or is XML in another encoding than UTF-8 |
///
/// An event with an error was refused before it was held: what is held of its key waits on.
///
/// # Example
/// ```
/// use playhouse_actors::{Join, JoinMode, JoinSettings};
/// use playhouse_engine::{Director, Event, map, sink};
/// use serde_json::json;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut director = Director::new("offers");
/// let ask = director.register("ask", map(Event::clone));
/// let price = director.register("price", map(|event: &Event| event.derive(json!({"price": 7}))));
/// let stock = director.register("stock", map(|event: &Event| event.derive(json!({"stock": 0}))));
/// let settings = JoinSettings { mode: JoinMode::Merge, ..JoinSettings::default() };
/// let offer = director.register("offer", Join::new(["price", "stock"], settings)?);
/// let print = director.register("print", sink(|event| Ok(println!("{}", event.payload()))));
/// # let source = director.register("source", playhouse_actors::Generator::every(std::time::Duration::from_secs(1), ()));
/// # director.connect(source, ask);
/// director.connect(ask, [price, stock]);
/// director.connect(price, offer.port("price"));
/// director.connect(stock, offer.port("stock"));
/// director.connect(offer, print); // {"price":7,"stock":0}
/// director.build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Join {
    shared: Arc<Shared>,
    upkeep: Upkeep,
    emitter: Option<Emitter>,
}

/// How a [`Join`] joins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct JoinSettings {
    /// What makes events belong together; their id by default.
    pub key: KeyFrom,
    /// What comes out; a list by default.
    pub mode: JoinMode,
    /// The name of the root element, where XML comes out; `joined` by default.
    pub root: String,
    /// How long events wait for those that are missing, from the first on; 30 s by default.
    #[serde(with = "humantime_serde")]
    pub time_out: Duration,
    /// The same once the flow stops, from then on, where that is less; 5 s by default.
    #[serde(with = "humantime_serde")]
    pub time_out_at_stop: Duration,
    /// How many keys wait at most; 100,000 by default.
    pub most: usize,
    /// How many bytes of payload are held at most; 256 MiB by default.
    pub most_bytes: usize,
    /// How many bytes one payload may have; 1 MiB by default.
    pub largest_part: usize,
}

/// What a [`Join`] makes of the parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum JoinMode {
    /// A JSON list with a value for each part.
    #[default]
    List,
    /// One JSON object with the members of all parts.
    Merge,
    /// An XML document with the root elements of all parts in a root element of its own.
    Xml,
}

impl Default for JoinSettings {
    fn default() -> Self {
        Self {
            key: KeyFrom::Id,
            mode: JoinMode::List,
            root: "joined".to_owned(),
            time_out: Duration::from_secs(30),
            time_out_at_stop: Duration::from_secs(5),
            most: 100_000,
            most_bytes: 256 << 20,
            largest_part: 1 << 20,
        }
    }
}

#[derive(Debug)]
struct Shared {
    inboxes: Vec<Text>,
    settings: JoinSettings,
    keys: Keys,
    duplicates: Tally,
    // Held for a few look-ups in memory: by one worker and, where something is overdue, by the upkeep.
    open: Mutex<Open>,
}

#[derive(Debug)]
struct Open {
    waiting: KeyedQueue<Parts>,
    bytes: usize,
}

/// What came of one key: two inboxes, the most common case, need no list.
#[derive(Debug)]
struct Parts {
    first: Part,
    more: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    held: Held,
    content: Content,
    /// What it counts for against `most-bytes`.
    bytes: u32,
    inbox: u16,
}

impl Parts {
    fn all(&self) -> impl Iterator<Item = &Part> {
        [&self.first].into_iter().chain(&self.more)
    }

    fn into_all(self) -> impl Iterator<Item = Part> {
        [self.first].into_iter().chain(self.more)
    }

    fn bytes(&self) -> usize {
        self.all().map(|part| part.bytes as usize).sum()
    }
}

impl Join {
    /// Joins what comes by `inboxes` into a list, by the events' ids.
    ///
    /// # Errors
    /// As [`Join::new`].
    pub fn of<I: Into<Text>>(inboxes: impl IntoIterator<Item = I>) -> Result<Self> {
        Self::new(inboxes, JoinSettings::default())
    }

    /// Joins what comes by `inboxes` as `settings` say.
    ///
    /// # Errors
    /// `Malformed` with all that is wrong with the inboxes and the settings.
    pub fn new<I: Into<Text>>(inboxes: impl IntoIterator<Item = I>, settings: JoinSettings) -> Result<Self> {
        let inboxes: Vec<Text> = inboxes.into_iter().map(Into::into).collect();
        let mut problems = Vec::new();
        if !(2..=1024).contains(&inboxes.len()) {
            problems.push(format!("expected 2 to 1024 inboxes, found {}", inboxes.len()));
        }
        for (number, name) in inboxes.iter().enumerate() {
            if inboxes[..number].contains(name) {
                problems.push(format!("the inbox `{name}` is named twice"));
            }
        }
        if settings.mode == JoinMode::Xml && !is_name(&settings.root) {
            problems.push(format!("`root`: `{}` cannot be the name of an element", settings.root));
        }
        problems.extend(span::problem("time-out", settings.time_out));
        // At a stop it need not wait at all.
        problems.extend(span::problem("time-out-at-stop", settings.time_out_at_stop.max(Duration::from_nanos(1))));
        if !(1..=keyed_queue::MOST).contains(&settings.most) {
            problems.push(format!("`most`: expected 1 to {}, found {}", keyed_queue::MOST, settings.most));
        }
        if !problems.is_empty() {
            return Err(Error::malformed(format!("no join: {}", problems.join("; "))));
        }
        let open = Mutex::new(Open { waiting: KeyedQueue::new(), bytes: 0 });
        let keys = Keys::new(settings.key.clone());
        let shared = Arc::new(Shared { inboxes, settings, keys, duplicates: Tally::default(), open });
        Ok(Self { shared, upkeep: Upkeep::default(), emitter: None })
    }

    /// Returns the count of events that were refused because their inbox had delivered one of the same key already.
    #[must_use]
    pub fn duplicates(&self) -> Tally {
        self.shared.duplicates.clone()
    }
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in an event: returns the parts that it completes, or whether the upkeep must know of it.
    fn take(&self, event: &Event, content: &mut Content, inbox: u16, emitter: &Emitter) -> Result<Taken> {
        let key = self.keys.of(event)?;
        let counted = u32::try_from(content.weight(event)).unwrap_or(u32::MAX);
        let bytes = counted as usize;
        let mut open = self.open();
        let open = &mut *open;
        let is_full = open.bytes.saturating_add(bytes) > self.settings.most_bytes;
        let hold = |content: &mut Content| {
            let (held, content) = (emitter.hold(event), std::mem::take(content));
            Part { held, content, bytes: counted, inbox }
        };
        if let Some(parts) = open.waiting.get_mut(key) {
            if parts.all().any(|part| part.inbox == inbox) {
                self.duplicates.add_one();
                let name = &self.inboxes[usize::from(inbox)];
                return Err(Error::conflict(format!("`{name}` has delivered an event of this key, which waits")));
            }
            if parts.more.len() + 2 == self.inboxes.len() {
                let parts = open.waiting.remove(key);
                if let Some(parts) = &parts {
                    open.bytes -= parts.bytes();
                }
                return Ok(parts.map_or(Taken::Later, Taken::Complete));
            }
            if !is_full {
                parts.more.reserve_exact(1);
                parts.more.push(hold(content));
                open.bytes += bytes;
                return Ok(Taken::Later);
            }
        }
        if is_full {
            let most = self.settings.most_bytes;
            return Err(Error::overloaded(format!("more than {most} bytes would wait for the parts that are missing")));
        }
        if open.waiting.len() >= self.settings.most {
            let most = self.settings.most;
            return Err(Error::overloaded(format!("{most} events wait for the parts that are missing")));
        }
        let taken = if open.waiting.is_empty() { Taken::First } else { Taken::Later };
        open.waiting.push(key, Instant::now(), Parts { first: hold(content), more: Vec::new() });
        open.bytes += bytes;
        Ok(taken)
    }

    /// Returns until when what came at `since` waits.
    fn until(&self, since: Instant, stopped: Option<Instant>) -> Instant {
        let JoinSettings { time_out, time_out_at_stop, .. } = self.settings;
        let own = since + time_out;
        stopped.map_or(own, |stopped| own.min(stopped.max(since) + time_out_at_stop))
    }

    fn take_overdue(&self, stopped: Option<Instant>) -> Result<Parts, Option<Instant>> {
        let mut open = self.open();
        let until = open.waiting.oldest().map(|since| self.until(since, stopped));
        if until.is_none_or(|until| until > Instant::now()) {
            return Err(until);
        }
        let parts = open.waiting.pop().ok_or(None)?;
        open.bytes -= parts.bytes();
        Ok(parts)
    }

    fn overdue(&self, parts: &Parts, stopped: bool) -> Error {
        let came = |inbox: usize| parts.all().any(|part| usize::from(part.inbox) == inbox);
        let missing = self.inboxes.iter().enumerate().filter(|(inbox, _)| !came(*inbox)).map(|(_, name)| &**name);
        let missing = names(missing);
        let time = humantime::format_duration(self.settings.time_out);
        Error::timeout(match stopped {
            true => format!("no event came from {missing} before the flow stopped"),
            false => format!("no event came from {missing} within {time}"),
        })
    }
}

enum Taken {
    /// It waits with others, for which the upkeep looks already.
    Later,
    /// It is all that waits.
    First,
    /// It was what the others waited for.
    Complete(Parts),
}

impl Tended for Shared {
    async fn tend(&self, stopped: Option<Instant>) -> Option<Instant> {
        loop {
            let parts = match self.take_overdue(stopped) {
                Ok(parts) => parts,
                Err(next) => return next,
            };
            let error = self.overdue(&parts, stopped.is_some());
            for part in parts.into_all() {
                part.held.fail(error.clone()).await;
            }
        }
    }
}

impl Actor for Join {
    fn ports(&self) -> Ports {
        let gives = match self.shared.settings.mode {
            JoinMode::List | JoinMode::Merge => Format::JSON,
            JoinMode::Xml => Format::XML,
        };
        let inboxes = self.shared.inboxes.iter();
        inboxes.fold(Ports::source(gives), |ports, name| ports.with_required_inbox(name.clone(), Format::ANY))
    }

    async fn start(&mut self, context: Context) -> Result<()> {
        self.emitter = Some(context.emitter()?);
        self.upkeep = Upkeep::new(context);
        Ok(())
    }

    async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        let shared = &self.shared;
        let emitter = self.emitter.as_ref().ok_or_else(not_started)?;
        let inbox = shared.inboxes.iter().position(|name| **name == *out.inbox());
        let inbox = inbox.and_then(|inbox| u16::try_from(inbox).ok());
        let inbox = inbox.ok_or_else(|| Error::internal(format!("there is no inbox `{}`", out.inbox())))?;
        let mut content = Content::of(event, shared.settings.mode, shared.settings.largest_part)?;
        let parts = match shared.take(event, &mut content, inbox, emitter)? {
            Taken::Later => return Ok(()),
            Taken::First => {
                self.upkeep.wanted(&self.shared);
                return Ok(());
            }
            Taken::Complete(parts) => parts,
        };
        let (mut held, mut pieces) = (Vec::new(), vec![(inbox, event.clone(), content)]);
        for Part { held: part, content, inbox, .. } in parts.into_all() {
            pieces.push((inbox, part.event().clone(), content));
            held.push(part);
        }
        pieces.sort_by_key(|(inbox, ..)| *inbox);
        let pieces: Vec<_> = pieces.into_iter().map(|(_, event, content)| (event, content)).collect();
        match compose(pieces, &shared.settings) {
            Ok(joined) => {
                out.push(joined);
                // The event that is handled is in flight until what was pushed is.
                held.into_iter().for_each(Held::done);
                Ok(())
            }
            Err(error) => {
                for part in held {
                    part.fail(error.clone()).await;
                }
                Err(error)
            }
        }
    }
}
