//! JSON to XML, as an actor.

use std::sync::Arc;

use playhouse_engine::{Actor, Event, Format, Kind, Outbox, Payload, Ports, Result, Text, Xml};

use crate::aside::aside;
use crate::json_xml::{JsonToXmlSettings, Limits, check_extent, json_to_xml};

/// Writes the JSON of each event as an XML document, by the conventions of Python's `xmltodict`.
///
/// Attributes are members such as `@x`, text beside them is `#text`, and a list is a repeated element. What has no single
/// root is wrapped in `jsonified_envelope`. [`json_xml`](crate::json_xml) has all the rules, and what does not come back. The
/// event keeps its id and attributes; `http.header.content-type` is set to `application/xml; charset=utf-8`.
///
/// # Ports
///
/// - `inbox`: JSON, or text and bytes that are parsed as JSON. XML is passed on as it stands.
/// - `outbox`: XML.
///
/// # Settings
///
/// | name | default | meaning |
/// |---|---|---|
/// | `key` | `jsonified_envelope` | the name of the root around an object of several members |
/// | `embed-xml` | `false` | whether a string that is an XML element is written as that element, not as text |
/// | `limits.bytes` | 16 MiB | the size of the document, and of JSON that comes as text |
/// | `limits.depth` | 256 | how deep elements may be nested; at most 1,024 |
/// | `limits.nodes` | 500,000 | the number of elements and attributes |
///
/// # Errors
///
/// - `Malformed`: text or bytes are not JSON.
/// - `Unprocessable`: a name or a character that XML does not allow, or an attribute that is a list or an object.
/// - `TooLarge`: a limit is passed.
/// - `Unsupported`: the payload is empty.
///
/// # Example
///
/// ```
/// use playhouse_actors::JsonToXml;
/// use playhouse_actors::json_xml::JsonToXmlSettings;
/// use playhouse_engine::{Event, testing};
/// use serde_json::json;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> playhouse_engine::Result<()> {
/// let order = JsonToXml::new(JsonToXmlSettings { key: "order".into(), ..Default::default() })?;
/// let outputs = testing::feed(&order, Event::new(json!({"@id": 7, "line": ["pen", "ink"]}))).await?;
/// assert_eq!(outputs[0].event.payload().to_string(), r#"<order id="7"><line>pen</line><line>ink</line></order>"#);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct JsonToXml {
    settings: Arc<JsonToXmlSettings>,
    /// The same with the limits of what is done on the runtime's own thread.
    at_once: JsonToXmlSettings,
}

/// What takes at most about half a millisecond, and so is done on the runtime's own thread. A larger document is begun
/// anew on the blocking pool: what size a value becomes is seen when it is written.
const AT_ONCE: Limits = Limits { bytes: 128 * 1024, depth: usize::MAX, nodes: 16 * 1024 };

/// Where the output's media type is told.
pub(crate) const CONTENT_TYPE: &str = "http.header.content-type";

/// What it is for XML of ours.
pub(crate) const XML_TYPE: Text = Text::from_static("application/xml; charset=utf-8");

impl JsonToXml {
    /// Makes an actor that writes as `settings` say.
    ///
    /// # Errors
    /// `Malformed` where `key` is no name that an element may have, or a limit is 0.
    pub fn new(settings: JsonToXmlSettings) -> Result<Self> {
        settings.check()?;
        let limits = Limits {
            bytes: settings.limits.bytes.min(AT_ONCE.bytes),
            depth: settings.limits.depth,
            nodes: settings.limits.nodes.min(AT_ONCE.nodes),
        };
        let at_once = JsonToXmlSettings { limits, ..settings.clone() };
        Ok(Self { settings: Arc::new(settings), at_once })
    }

    async fn convert(&self, payload: &Payload) -> Result<String> {
        match convert(payload, &self.at_once) {
            Err(error) if error.kind() == Kind::TooLarge && self.at_once.limits != self.settings.limits => {
                let (payload, settings) = (payload.clone(), self.settings.clone());
                aside("the work", move || convert(&payload, &settings)).await
            }
            outcome => outcome,
        }
    }
}

impl Default for JsonToXml {
    fn default() -> Self {
        let settings = JsonToXmlSettings::default();
        let at_once =
            JsonToXmlSettings { limits: Limits { depth: settings.limits.depth, ..AT_ONCE }, ..settings.clone() };
        Self { settings: Arc::new(settings), at_once }
    }
}

impl Actor for JsonToXml {
    fn ports(&self) -> Ports {
        Ports::pipe(Format::JSON | Format::TEXT | Format::BYTES | Format::XML, Format::XML)
    }

    async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        if let Payload::Xml(_) = event.payload() {
            out.push(event);
            return Ok(());
        }
        let xml = Xml::new(self.convert(event.payload()).await?);
        out.push(event.derive(xml).with_attribute(CONTENT_TYPE, XML_TYPE));
        Ok(())
    }
}

fn convert(payload: &Payload, settings: &JsonToXmlSettings) -> Result<String> {
    match payload {
        Payload::Text(text) => check_extent(text.as_bytes(), &settings.limits)?,
        Payload::Bytes(bytes) => check_extent(bytes, &settings.limits)?,
        _ => {}
    }
    json_to_xml(&*payload.as_json()?, settings)
}
