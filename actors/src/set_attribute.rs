//! Sets attributes and parts of payloads.

mod set;
mod target;

use std::sync::Arc;

use playhouse_engine::{Error, Event, Light, Outbox, Payload, Result, Text, Value as Attribute};
use serde_json::Value;

use crate::json_path::JsonPath;
pub use set::{Missing, Set};
use target::Target;

/// Sets an attribute, or a part of a payload of JSON, to a value, to another attribute or a part of one, or to what lies
/// somewhere in a payload of JSON.
///
/// It is light: it runs within the task of whoever sends to it. What is found by an XPath takes too long for that, and is set
/// by [`SetFromXml`](crate::SetFromXml).
///
/// # Ports
/// The inbox `inbox` and the outbox `outbox`, for any format.
///
/// # Settings
/// One target and one source, see [`Set`].
///
/// | name | default | meaning |
/// |---|---|---|
/// | `attribute` | | target: an attribute; `order/customer` is the member `customer` of the attribute `order` |
/// | `payload` | | target: what lies there in the payload; `""` is the payload |
/// | `value` | | source: this value |
/// | `from-attribute` | | source: an attribute, or with separators what lies within one |
/// | `from-json` | | source: what lies there in the payload, by pointer or path |
/// | `from-xpath` | | source: what an XPath finds; by [`SetFromXml`](crate::SetFromXml) only |
/// | `missing` | `clear` | where the source is not there: `clear` the target, `keep` it, or `fail` |
/// | `separator` | `/` | what stands between names |
/// | `namespaces` | none | URIs by prefix, for the XPath |
/// | `largest-payload` | 1 MiB | the largest payload that is looked into |
///
/// Where the target lies within something, what is not there yet is made, as objects. A source that finds several things is
/// a list of them; one that finds one thing is that thing.
///
/// # Errors
/// `Malformed` where the target would lie within something that is no object, or the payload is not JSON; `Unsupported`
/// where it is XML; `TooLarge` where it is over the limit; `Unprocessable` where the source is missing and `missing` is
/// `fail`.
///
/// # Example
/// ```
/// use playhouse_actors::{Missing, Set, SetAttribute};
///
/// let fixed = SetAttribute::new(Set::attribute("order/source").to("web"))?;
/// let named = SetAttribute::new(Set::attribute("customer").from_json("/customer/name").missing(Missing::Fail))?;
/// let echoed = SetAttribute::new(Set::payload("request/agent").from_attribute("http.header.user-agent"))?;
/// # Ok::<_, playhouse_engine::Error>(())
/// ```
#[derive(Debug)]
pub struct SetAttribute(Compiled);

/// Sets an attribute, or the payload, to what an XPath finds in a payload of XML.
///
/// It has a task of its own, and looks into documents of 16 KiB and more on tokio's blocking pool. A name without a prefix
/// is found in whatever namespace it is. One node is its text, or its XML where it holds elements; several are a list; none
/// is `missing`. A number, a string or a truth value is what it is.
///
/// # Ports
/// The inbox `inbox` and the outbox `outbox`, for any format.
///
/// # Settings
/// Those of [`SetAttribute`], with `from-xpath`.
///
/// # Errors
/// Those of [`SetAttribute`]; `TooLarge` also where the XPath takes more than 2,000,000 operations, or the document nests
/// too deep; `Unsupported` where the payload is no XML.
///
/// # Example
/// ```
/// use playhouse_actors::{Set, SetFromXml};
///
/// let total = SetFromXml::new(Set::attribute("total").from_xpath("sum(//item/@price)"))?;
/// # Ok::<_, playhouse_engine::Error>(())
/// ```
#[cfg(feature = "xslt")]
#[derive(Debug)]
pub struct SetFromXml(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    target: Target,
    source: Source,
    missing: Missing,
    largest: usize,
}

#[derive(Debug)]
enum Source {
    Value(Option<Value>),
    Attribute {
        whole: String,
        name: String,
        within: JsonPath,
    },
    Json(JsonPath),
    #[cfg(feature = "xslt")]
    XPath(crate::xml::XPath),
}

impl SetAttribute {
    /// Makes an actor that sets what `set` says.
    ///
    /// # Errors
    /// `Malformed` with everything that is wrong with it; also where its source is an XPath.
    pub fn new(set: Set) -> Result<Self> {
        if set.from_xpath.is_some() {
            let message = "a light actor does not look into XML; expected a `SetFromXml` for what an XPath finds";
            return Err(Error::malformed(message));
        }
        Compiled::new(set).map(Self)
    }
}

#[cfg(feature = "xslt")]
impl SetFromXml {
    /// Makes an actor that sets what `set` says.
    ///
    /// # Errors
    /// `Malformed` with everything that is wrong with it.
    pub fn new(set: Set) -> Result<Self> {
        Compiled::new(set).map(|compiled| Self(Arc::new(compiled)))
    }
}

impl Compiled {
    fn new(set: Set) -> Result<Self> {
        let mut problems = Vec::new();
        let separator = set.separator.as_str();
        if separator.is_empty() {
            problems.push("the separator is empty".to_owned());
        }
        let names = |way: &str| -> Vec<String> {
            match way {
                "" => Vec::new(),
                way if separator.is_empty() => vec![way.to_owned()],
                way => way.split(separator).map(str::to_owned).collect(),
            }
        };
        let target = match (&set.attribute, &set.payload) {
            (Some(way), None) => {
                let mut names = names(way);
                if names.first().is_none_or(String::is_empty) {
                    problems.push("the attribute has no name".to_owned());
                    names = vec![String::new()];
                }
                let within = names.split_off(1);
                Some(Target::Attribute { name: Text::from(names.concat()), within })
            }
            (None, Some(way)) => Some(Target::Payload(names(way))),
            _ => {
                problems.push("expected one of `attribute` and `payload` to set".to_owned());
                None
            }
        };
        let sources = [
            set.value.clone().map(|value| Ok(Source::Value(Some(value).filter(|value| !value.is_null())))),
            set.from_attribute.as_deref().map(|whole| {
                let (name, rest) = match separator {
                    "" => (whole, ""),
                    separator => whole.split_once(separator).unwrap_or((whole, "")),
                };
                // Names are separated as the settings say; the path has slashes.
                let within = JsonPath::parse(&rest.replace(separator, "/"))?;
                Ok(Source::Attribute { whole: whole.to_owned(), name: name.to_owned(), within })
            }),
            set.from_json.as_deref().map(|path| JsonPath::parse(path).map(Source::Json)),
            set.from_xpath.as_deref().map(|expression| xpath(expression, &set)),
        ];
        let mut sources: Vec<_> = sources.into_iter().flatten().collect();
        let source = match (sources.pop(), sources.is_empty()) {
            (Some(Ok(source)), true) => Some(source),
            (Some(Err(error)), true) => {
                problems.push(error.to_string());
                None
            }
            _ => {
                let message = "expected one of `value`, `from-attribute`, `from-json` and `from-xpath` to set it to";
                problems.push(message.to_owned());
                None
            }
        };
        match (target, source) {
            (Some(target), Some(source)) if problems.is_empty() => {
                Ok(Self { target, source, missing: set.missing, largest: set.largest_payload })
            }
            _ => Err(Error::malformed(format!("nothing to set: {}", problems.join("; ")))),
        }
    }

    fn apply(&self, event: &Event) -> Result<Option<Event>> {
        let value = self.source.find(event, self.largest)?;
        match self.missing {
            Missing::Fail if value.is_none() && !matches!(self.source, Source::Value(_)) => {
                Err(Error::unprocessable(format!("there is no {}", self.source.name())))
            }
            Missing::Keep if value.is_none() && !matches!(self.source, Source::Value(_)) => Ok(None),
            _ => self.target.put(event, value, self.largest).map(Some),
        }
    }
}

impl Source {
    /// Returns what it is in the event, where it is there.
    fn find(&self, event: &Event, largest: usize) -> Result<Option<Value>> {
        Ok(match self {
            Self::Value(value) => value.clone(),
            Self::Attribute { whole, name, within } => match event.attribute(whole) {
                Some(value) => Some(json_of(&value)),
                None if whole == name => None,
                None => match event.attribute(name) {
                    Some(Attribute::Json(value)) => one_or_all(within.find(&value)),
                    _ => None,
                },
            },
            Self::Json(path) => match event.payload() {
                Payload::Empty => None,
                payload => one_or_all(path.find(&*json(payload, largest)?)),
            },
            #[cfg(feature = "xslt")]
            Self::XPath(xpath) => {
                let limits = crate::xml::DocumentLimits { bytes: largest, ..Default::default() };
                let document = crate::xml::Document::read(event.payload(), &limits)?;
                Some(xpath.evaluate(&document)?.into_json())
            }
        }
        .filter(|value| !value.is_null()))
    }

    fn name(&self) -> String {
        match self {
            Self::Value(_) => "value".to_owned(),
            Self::Attribute { whole, .. } => format!("attribute `{whole}`"),
            Self::Json(_) => "such thing in the payload".to_owned(),
            #[cfg(feature = "xslt")]
            Self::XPath(xpath) => format!("`{}` in the payload", xpath.source()),
        }
    }
}

impl Light for SetAttribute {
    fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        match self.0.apply(event)? {
            Some(event) => out.push(event),
            None => out.push(event),
        }
        Ok(())
    }
}

#[cfg(feature = "xslt")]
impl playhouse_engine::Actor for SetFromXml {
    async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        /// From this size on, in bytes, a document is looked into on the blocking pool.
        const LARGE: usize = 16 * 1024;
        let set = if crate::content::unparsed_size(event.payload()) < LARGE {
            self.0.apply(event)?
        } else {
            let (compiled, event) = (self.0.clone(), event.clone());
            crate::aside::aside("the look into the payload", move || compiled.apply(&event)).await?
        };
        match set {
            Some(event) => out.push(event),
            None => out.push(event),
        }
        Ok(())
    }
}

#[cfg(feature = "xslt")]
fn xpath(expression: &str, set: &Set) -> Result<Source> {
    const OPERATIONS: u64 = 2_000_000;
    let compiled = crate::xml::XPath::compile(expression, &set.namespaces)?;
    Ok(Source::XPath(compiled.operations(OPERATIONS).found_bytes(set.largest_payload)))
}

#[cfg(not(feature = "xslt"))]
fn xpath(expression: &str, _: &Set) -> Result<Source> {
    Err(Error::malformed(format!("the XPath `{expression}` needs the feature `xslt`")))
}

/// Returns a payload as JSON, where it is not too large to be parsed.
fn json(payload: &Payload, largest: usize) -> Result<Arc<Value>> {
    let size = match payload {
        Payload::Text(text) => text.len(),
        Payload::Bytes(bytes) => bytes.len(),
        _ => 0,
    };
    if size > largest {
        return Err(Error::too_large(format!("the payload has {size} bytes; at most {largest} are looked into")));
    }
    payload.as_json()
}

fn one_or_all(found: Vec<&Value>) -> Option<Value> {
    match found.as_slice() {
        [] => None,
        [one] => Some((*one).clone()),
        all => Some(all.iter().map(|&value| value.clone()).collect()),
    }
}

fn json_of(value: &Attribute) -> Value {
    match value {
        Attribute::Boolean(truth) => (*truth).into(),
        Attribute::Integer(number) => (*number).into(),
        Attribute::Text(text) => text.as_str().into(),
        Attribute::Json(value) => (**value).clone(),
        other => other.to_string().into(),
    }
}
