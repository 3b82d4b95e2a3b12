//! What an event says beside its payload, as XML.

use std::collections::BTreeSet;

use playhouse_engine::{Event, Format, Light, Outbox, Ports, Result, Value, Xml};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::json_to_xml::{CONTENT_TYPE, XML_TYPE};
use crate::json_xml::{Limits, XmlWriter, name_problem, refuse};

/// Puts an XML document in the place of each event's payload that tells the event's properties.
///
/// The root has the name `key`. In it stand `id`, `correlation`, `created` (RFC 3339, where the event is in a flow), then each
/// attribute by its name, those set by hand first, and where the event came on an error route `error` with `kind`, `message`
/// and `actor`. A value that is JSON is written as [`JsonToXml`](crate::JsonToXml) writes it. The event keeps its id and
/// attributes; `http.header.content-type` is set to `application/xml; charset=utf-8`, which the document does not show.
///
/// Attributes can hold credentials, such as `http.header.authorization`: `only` names those that are told.
///
/// # Ports
///
/// - `inbox`: any event.
/// - `outbox`: XML.
///
/// # Settings
///
/// | name | default | meaning |
/// |---|---|---|
/// | `key` | `properties` | the name of the root |
/// | `only` | all | the names of the attributes that are told |
/// | `limits.bytes` | 1 MiB | the size of the document |
/// | `limits.depth` | 64 | how deep elements may be nested |
/// | `limits.nodes` | 10,000 | the number of elements and attributes |
///
/// # Errors
///
/// - `Unprocessable`: the name of an attribute, or a character in its value, is one that XML does not allow.
/// - `TooLarge`: a limit is passed.
///
/// # Example
///
/// ```
/// use playhouse_actors::{PropertiesToXml, PropertiesToXmlSettings};
/// use playhouse_engine::{Event, testing};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> playhouse_engine::Result<()> {
/// let properties = PropertiesToXml::new(PropertiesToXmlSettings::default())?;
/// let event = Event::new("an order").with_attribute("service", "orders");
/// let outputs = testing::feed(&properties, event).await?;
/// let document = outputs[0].event.payload().to_string();
/// assert!(document.starts_with("<properties><id>"));
/// assert!(document.ends_with("<service>orders</service></properties>"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct PropertiesToXml {
    settings: PropertiesToXmlSettings,
}

/// What [`PropertiesToXml`] tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PropertiesToXmlSettings {
    /// The name of the root; `properties` by default.
    pub key: String,
    /// The names of the attributes that are told; by default all are.
    pub only: Option<BTreeSet<String>>,
    /// What a document may cost: by default 1 MiB, 64 levels and 10,000 nodes.
    pub limits: Limits,
}

impl Default for PropertiesToXmlSettings {
    fn default() -> Self {
        let limits = Limits { bytes: 1 << 20, depth: 64, nodes: 10_000 };
        Self { key: "properties".to_owned(), only: None, limits }
    }
}

impl PropertiesToXml {
    /// Makes an actor that tells what `settings` say.
    ///
    /// # Errors
    /// `Malformed` where `key` is no name that an element may have, or a limit is 0.
    pub fn new(settings: PropertiesToXmlSettings) -> Result<Self> {
        refuse(settings.limits.problems().chain(name_problem("key", &settings.key)))?;
        Ok(Self { settings })
    }

    fn document(&self, event: &Event) -> Result<String> {
        let PropertiesToXmlSettings { key, only, limits } = &self.settings;
        let mut writer = XmlWriter::new(*limits, false);
        writer.within(key, |writer| {
            writer.element("id", &event.id().to_string().into())?;
            writer.element("correlation", &event.correlation_id().into())?;
            if let Some(created) = event.created() {
                writer.element("created", &humantime::format_rfc3339_micros(created).to_string().into())?;
            }
            let mut outcome = Ok(());
            event.attributes().each(|name, value| {
                if outcome.is_ok() && only.as_ref().is_none_or(|only| only.contains(name)) {
                    outcome = match value {
                        Value::Json(value) => writer.element(name, value),
                        Value::Boolean(value) => writer.element(name, &Json::Bool(*value)),
                        Value::Integer(number) => writer.element(name, &Json::from(*number)),
                        other => writer.element(name, &Json::String(other.to_string())),
                    };
                }
            });
            outcome?;
            let Some(error) = event.error() else { return Ok(()) };
            writer.within("error", |writer| {
                writer.element("kind", &error.kind().as_str().into())?;
                writer.element("message", &error.to_string().into())?;
                writer.element("actor", &error.actor().into())
            })
        })?;
        Ok(writer.finish())
    }
}

impl Light for PropertiesToXml {
    fn ports(&self) -> Ports {
        Ports::pipe(Format::ANY, Format::XML)
    }

    fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        let xml = Xml::new(self.document(event)?);
        out.push(event.derive(xml).with_attribute(CONTENT_TYPE, XML_TYPE));
        Ok(())
    }
}
