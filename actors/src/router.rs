//! Sends events where rules say.

mod patterns;
mod rules;
mod scope;
mod settings;
mod table;
mod tree;
mod when;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use playhouse_engine::{Actor, Error, Event, Format, Light, Outbox, Payload, Ports, Result};

use rules::{Decision, Rules};

use crate::aside::aside;
use crate::content::unparsed_size;
pub use settings::{Mode, RouterSettings, Rule, Unmatched, Unreadable};
pub use when::When;

/// From this size on, in bytes, a payload is looked into on tokio's blocking pool.
const LARGE: usize = 16 * 1024;

/// Sends each event to the outboxes of **all** rules that it matches, by its attributes, its payload as text, or what lies
/// somewhere in a payload of JSON.
///
/// It is light: it runs within the task of whoever sends to it. Rules that look into XML take too long for that, and
/// belong to a [`DocumentRouter`], which is the same in a task of its own; so do JSON payloads of a megabyte that are still
/// text.
///
/// Rules are compiled once and share work: each thing is looked at once for each event, equal values cost one look-up
/// however many rules compare them, and of the regular expressions only those run that have a chance, because the text that
/// they must find is there. No pattern can blow up: each takes time in the order of its own size and of the value's length,
/// and its size has a limit. The worst that an event can cost is what all patterns cost one after the other.
///
/// # Ports
/// The inbox `inbox`, for any format. An outbox for each name in a rule and in `outboxes`; each must be connected, so a
/// misspelt name is found when the flow is built. An event that several rules send to one outbox goes there once.
///
/// # Settings
/// See [`RouterSettings`] and [`When`].
///
/// | name | default | meaning |
/// |---|---|---|
/// | `mode` | `whitelist` | `whitelist`: only what a rule matches goes on; `blacklist`: the rest goes to the default outboxes |
/// | `unmatched` | `fail` | what a whitelist does with the rest: `fail` as `NotFound`, or `drop` and count it |
/// | `unreadable` | `fail` | a payload that is not what a rule looks for: `fail` as `Malformed`, or `no-match` |
/// | `outboxes` | none | outboxes beside those that rules name |
/// | `default-outboxes` | `[".*"]` | which of the outboxes that no rule names get what a blacklist does not match |
/// | `rules` | none | what matches (`when`), and the outboxes that it goes to (`to`); none of them discards |
/// | `namespaces` | none | URIs by prefix, for XPaths |
/// | `largest-payload` | 1 MiB | the largest payload that is looked into |
/// | `largest-pattern` | 1 MiB | how large a pattern may become when it is compiled |
/// | `xpath-operations` | 2,000,000 | how many operations an XPath may take |
/// | `most-own-patterns` | 16 | how many patterns an event may bring |
/// | `longest-own-pattern` | 256 | how long each of these may be, in bytes |
///
/// A payload of another format is no match: a rule for JSON passes over XML, and one for XML over JSON, and both over an
/// empty payload. Text and bytes are taken for what the rule looks for.
///
/// # Errors
/// `NotFound` where no rule of a whitelist matches: a flow in which an event can vanish unseen is not the default. `Malformed`
/// for a payload that cannot be read, `TooLarge` for one beyond the limits, `Unprocessable` for a pattern of the event's own
/// that is none.
///
/// # Example
/// ```
/// use playhouse_actors::{Router, RouterSettings, When};
///
/// let router = Router::new(
///     RouterSettings::whitelist()
///         .route(When::attribute("http.path").matches("^/orders/"), ["orders", "audit"])
///         .route(When::json("kind").equals("urgent").and(When::attribute("customer").matches("^gold-")), ["urgent"])
///         .discard(When::text().contains("unsubscribe")),
/// )?;
/// let by_colour = Router::new(
///     RouterSettings::blacklist(["other"]).route_by_name(&When::attribute("colour"), ["red", "blue"]),
/// )?;
/// # Ok::<_, playhouse_engine::Error>(())
/// ```
pub struct Router(Core);

/// Sends each event to the outboxes of all rules that it matches, like [`Router`], and looks into XML too.
///
/// It has a task of its own, and looks into payloads of 16 KiB and more on tokio's blocking pool, so that a large document
/// holds up no thread of the runtime.
///
/// # Ports
/// Those of a [`Router`].
///
/// # Settings
/// Those of a [`Router`].
///
/// # Errors
/// Those of a [`Router`]; `TooLarge` where an XPath takes more operations than are allowed, or a document nests too deep.
///
/// # Example
/// A name without a prefix in an XPath is found in whatever namespace it is.
/// ```
/// # #[cfg(feature = "xslt")]
/// # fn main() -> playhouse_engine::Result<()> {
/// use playhouse_actors::{DocumentRouter, RouterSettings, When};
///
/// let router = DocumentRouter::new(
///     RouterSettings::blacklist(["ordinary"])
///         .route(When::xpath("/order/priority").equals("high"), ["urgent"])
///         .route(When::xpath("//item/@sku").matches_xpath("/order/watch/pattern"), ["watched"]),
/// )?;
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "xslt"))]
/// # fn main() {}
/// ```
pub struct DocumentRouter(Core);

/// What [`Router`] and [`DocumentRouter`] share.
struct Core {
    rules: Arc<Rules>,
    tally: Tally,
}

/// How many events a router sent nowhere, because its rules say so. A clone counts on.
#[derive(Clone, Debug, Default)]
pub struct Tally(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    dropped: AtomicU64,
    discarded: AtomicU64,
}

impl Tally {
    /// Returns how many events no rule matched, where [`Unmatched::Drop`] says that they end here.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// Returns how many events a rule without outboxes took, and no other sent on.
    #[must_use]
    pub fn discarded(&self) -> u64 {
        self.0.discarded.load(Ordering::Relaxed)
    }
}

impl Router {
    /// Compiles the rules.
    ///
    /// # Errors
    /// `Malformed` with everything that is wrong with the settings; also where a rule looks into XML.
    pub fn new(settings: RouterSettings) -> Result<Self> {
        let core = Core::new(settings)?;
        if core.rules.looks_into_xml() {
            let message = "a light router does not look into XML; expected a `DocumentRouter` for rules with XPaths";
            return Err(Error::malformed(message));
        }
        Ok(Self(core))
    }

    /// Returns what counts the events that are sent nowhere.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.0.tally.clone()
    }
}

impl DocumentRouter {
    /// Compiles the rules.
    ///
    /// # Errors
    /// `Malformed` with everything that is wrong with the settings.
    pub fn new(settings: RouterSettings) -> Result<Self> {
        Core::new(settings).map(Self)
    }

    /// Returns what counts the events that are sent nowhere.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.0.tally.clone()
    }
}

impl Core {
    fn new(settings: RouterSettings) -> Result<Self> {
        Ok(Self { rules: Arc::new(Rules::compile(settings)?), tally: Tally::default() })
    }

    fn ports(&self) -> Ports {
        self.rules
            .outboxes
            .iter()
            .fold(Ports::sink(Format::ANY), |ports, name| ports.with_outbox(name.clone(), Format::ANY))
    }

    fn send(&self, decision: &Decision, event: &Event, out: &mut Outbox) -> Result<()> {
        match decision {
            Decision::To(outboxes) => outboxes.iter().for_each(|&outbox| out.push_at(usize::from(outbox), event)),
            Decision::Discarded => {
                self.tally.0.discarded.fetch_add(1, Ordering::Relaxed);
            }
            Decision::Unmatched if self.rules.settings.unmatched == Unmatched::Fail => {
                return Err(Error::not_found("no rule matches the event"));
            }
            Decision::Unmatched => {
                self.tally.0.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

impl Light for Router {
    fn ports(&self) -> Ports {
        self.0.ports()
    }

    fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        self.0.send(&self.0.rules.decide(event)?, event, out)
    }
}

impl Actor for DocumentRouter {
    fn ports(&self) -> Ports {
        self.0.ports()
    }

    async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        let is_parsed = matches!(event.payload(), Payload::Json(_));
        let decision = if is_parsed || unparsed_size(event.payload()) < LARGE {
            self.0.rules.decide(event)?
        } else {
            // Only what the rules look at: the event's receipt stays with the handler.
            let view = Event::new(event.payload().clone()).with_attributes(event.attributes().clone());
            let rules = self.0.rules.clone();
            aside("the look into the payload", move || rules.decide(&view)).await?
        };
        self.0.send(&decision, event, out)
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Router").field("outboxes", &self.0.rules.outboxes).finish_non_exhaustive()
    }
}

impl fmt::Debug for DocumentRouter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("DocumentRouter").field("outboxes", &self.0.rules.outboxes).finish_non_exhaustive()
    }
}
