//! Many events made one: so many, so large, or what came in so much time.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use playhouse_engine::{Actor, Context, Emitter, Error, Event, Format, Held, Outbox, Payload, Ports, Result};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::content::{check_value, to_value, weight};
use crate::span;
use crate::upkeep::{Tended, Upkeep, not_started};

/// Collects events, and sends what it has as one event when there are enough of them, when they are large enough, or when
/// the first of them has waited long enough, whichever comes first.
///
/// A batch is a new event, whose attribute `batch.count` tells of how many it was made, with the latest of their deadlines
/// (none where one has none). It answers for all of them: their receipts settle when it has ended. Batches keep the order of
/// the events.
///
/// # Ports
/// Inbox: `inbox`, for any format. Outbox: `outbox`, which gives what `form` says. What is collected is held in flight; when
/// the flow stops it is sent at once, and what comes while it stops is not kept waiting.
///
/// # Settings
/// | name | default | meaning |
/// |---|---|---|
/// | `form` | `list` | what comes out: `list`, a JSON list; `lines`, text with a line for each; `bytes`, one after the other |
/// | `count` | 100 | how many events make a batch |
/// | `bytes` | 1 MiB | how many bytes of payload a batch has at most; an event that is larger is a batch of its own |
/// | `time` | 1 s | how long the first event of a batch waits |
///
/// In a list JSON stands as it is, nothing as `null`, and all else as a string. At most one batch is held, and one more that
/// waits for room behind it: then the events behind them wait in the inbox.
///
/// # Errors
/// | kind | when |
/// |---|---|
/// | `Unsupported` | a list or lines are to be made of bytes that are not UTF-8 |
/// | `Unprocessable` | lines are to be made of text that has line breaks in it |
///
/// An event with an error is not in a batch.
///
/// # Example
/// ```
/// use std::time::Duration;
///
/// use playhouse_actors::{Batch, BatchForm, BatchSettings};
///
/// let thousands = Batch::of(1000)?;
/// let settings = BatchSettings { form: BatchForm::Lines, time: Duration::from_millis(200), ..BatchSettings::default() };
/// let lines = Batch::new(settings)?;
/// # Ok::<_, playhouse_engine::Error>(())
/// ```
#[derive(Debug)]
pub struct Batch {
    shared: Arc<Shared>,
    upkeep: Upkeep,
    emitter: Option<Emitter>,
}

/// How a [`Batch`] collects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct BatchSettings {
    /// What comes out; a JSON list by default.
    pub form: BatchForm,
    /// How many events make a batch; 100 by default.
    pub count: usize,
    /// How many bytes of payload a batch has at most; 1 MiB by default.
    pub bytes: usize,
    /// How long the first event of a batch waits; 1 s by default.
    #[serde(with = "humantime_serde")]
    pub time: Duration,
}

/// What a [`Batch`] makes of its events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum BatchForm {
    /// A JSON list with a value for each event.
    #[default]
    List,
    /// Text with a line for each event, the last one ended too; JSON on one line.
    Lines,
    /// The payloads one after the other, with nothing between them.
    Bytes,
}

impl Default for BatchSettings {
    fn default() -> Self {
        Self { form: BatchForm::List, count: 100, bytes: 1 << 20, time: Duration::from_secs(1) }
    }
}

#[derive(Debug)]
struct Shared {
    settings: BatchSettings,
    // Held while a batch that was due waits for room: so those that come later cannot overtake it, and wait too.
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    held: Vec<Held>,
    bytes: usize,
    due: Option<Instant>,
}

impl Batch {
    /// Collects up to `count` events into a JSON list, and no longer than a second.
    ///
    /// # Errors
    /// As [`Batch::new`].
    pub fn of(count: usize) -> Result<Self> {
        Self::new(BatchSettings { count, ..BatchSettings::default() })
    }

    /// Collects as `settings` say.
    ///
    /// # Errors
    /// `Malformed` with all that is wrong with the settings.
    pub fn new(settings: BatchSettings) -> Result<Self> {
        const MOST: usize = 1_000_000;
        let mut problems = Vec::new();
        if !(1..=MOST).contains(&settings.count) {
            problems.push(format!("`count`: expected 1 to {MOST}, found {}", settings.count));
        }
        if settings.bytes == 0 {
            problems.push("`bytes`: expected more than none".to_owned());
        }
        problems.extend(span::problem("time", settings.time));
        if !problems.is_empty() {
            return Err(Error::malformed(format!("no batch: {}", problems.join("; "))));
        }
        Ok(Self {
            shared: Arc::new(Shared { settings, open: Mutex::default() }),
            upkeep: Upkeep::default(),
            emitter: None,
        })
    }
}

impl Open {
    /// Takes all that was collected as one event; nothing where there is none.
    fn take(&mut self, form: BatchForm) -> Option<(Result<Event>, Vec<Held>)> {
        self.bytes = 0;
        self.due = None;
        let held = std::mem::take(&mut self.held);
        (!held.is_empty()).then(|| (batch(form, &held), held))
    }
}

impl Shared {
    /// Checks that an event can be in a batch.
    fn check(&self, payload: &Payload) -> Result<()> {
        match self.settings.form {
            BatchForm::List => check_value(payload),
            BatchForm::Bytes => Ok(()),
            BatchForm::Lines if matches!(payload, Payload::Json(_) | Payload::Empty) => Ok(()),
            BatchForm::Lines => match payload.as_text() {
                Ok(text) if text.contains(['\n', '\r']) => {
                    Err(Error::unprocessable("expected one line of text, found text with line breaks in it"))
                }
                Ok(_) => Ok(()),
                Err(error) => {
                    Err(Error::unsupported("expected a line of text, found bytes that are not UTF-8").caused_by(error))
                }
            },
        }
    }
}

fn batch(form: BatchForm, held: &[Held]) -> Result<Event> {
    let events = held.iter().map(Held::event);
    let payload = match form {
        BatchForm::List => {
            let values = events.clone().map(|event| to_value(event.payload()));
            Payload::from(serde_json::Value::Array(values.collect::<Result<_>>()?))
        }
        BatchForm::Lines => {
            let mut lines = String::new();
            for event in events.clone() {
                lines.push_str(&event.payload().as_text()?);
                lines.push('\n');
            }
            Payload::from(lines)
        }
        BatchForm::Bytes => {
            let mut bytes = Vec::with_capacity(events.clone().map(|event| weight(event.payload())).sum());
            events.clone().for_each(|event| bytes.extend_from_slice(&event.payload().to_bytes()));
            Payload::from(bytes)
        }
    };
    let count = i64::try_from(held.len()).unwrap_or(i64::MAX);
    let deadline = events.clone().map(Event::deadline).reduce(|one, other| one.zip(other).map(|(a, b)| a.max(b)));
    let batch = Event::new(payload).with_attribute("batch.count", count).with_receipts_of(events);
    Ok(match deadline.flatten() {
        Some(deadline) => batch.with_deadline(deadline),
        None => batch,
    })
}

async fn fail_all(held: Vec<Held>, error: &Error) {
    for held in held {
        held.fail(error.clone()).await;
    }
}

impl Tended for Shared {
    async fn tend(&self, stopped: Option<Instant>) -> Option<Instant> {
        let mut open = self.open.lock().await;
        let due = open.due?;
        if stopped.is_none() && due > Instant::now() {
            return Some(due);
        }
        let (batch, held) = open.take(self.settings.form)?;
        let sent = match (batch, held.first()) {
            (Ok(batch), Some(first)) => first.send_from(0, batch).await,
            (Ok(_), None) => Ok(()),
            (Err(error), _) => Err(error),
        };
        match sent {
            Ok(()) => held.into_iter().for_each(Held::done),
            Err(error) => fail_all(held, &error).await,
        }
        None
    }
}

impl Actor for Batch {
    fn ports(&self) -> Ports {
        let gives = match self.shared.settings.form {
            BatchForm::List => Format::JSON,
            BatchForm::Lines => Format::TEXT,
            BatchForm::Bytes => Format::BYTES,
        };
        Ports::pipe(Format::ANY, gives).emitting()
    }

    async fn start(&mut self, context: Context) -> Result<()> {
        self.emitter = Some(context.emitter()?);
        self.upkeep = Upkeep::new(context);
        Ok(())
    }

    async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        let emitter = self.emitter.as_ref().ok_or_else(not_started)?;
        let Shared { settings, open } = &*self.shared;
        self.shared.check(event.payload())?;
        let bytes = weight(event.payload());
        let mut open = open.lock().await;
        let mut full = Vec::new();
        if open.bytes.saturating_add(bytes) > settings.bytes {
            full.extend(open.take(settings.form));
        }
        open.held.push(emitter.hold(event));
        open.bytes += bytes;
        if open.held.len() >= settings.count || open.bytes >= settings.bytes {
            full.extend(open.take(settings.form));
        } else if open.due.is_none() {
            open.due = Some(Instant::now() + settings.time);
            self.upkeep.wanted(&self.shared);
        }
        drop(open);
        for (batch, held) in full {
            match batch {
                Ok(batch) => {
                    out.push(batch);
                    // The event that is handled is in flight until what was pushed is.
                    held.into_iter().for_each(Held::done);
                }
                Err(error) => fail_all(held, &error).await,
            }
        }
        Ok(())
    }
}
