//! XML to JSON, as an actor.

use std::sync::Arc;

use playhouse_engine::{Actor, Error, Event, Format, Outbox, Payload, Ports, Result, Text};
use serde_json::Value;

use crate::aside::aside;
use crate::json_to_xml::CONTENT_TYPE;
use crate::json_xml::{XmlToJsonSettings, text_to_json, xml_to_json};

/// Reads the XML document of each event as JSON, by the conventions of Python's `xmltodict`.
///
/// Attributes become members such as `@x`, text beside them `#text`, and repeated elements a list; all values are strings.
/// A root `jsonified_envelope` is stripped. [`json_xml`](crate::json_xml) has all the rules. The event keeps its id and
/// attributes; `http.header.content-type` is set to `application/json`.
///
/// A `DOCTYPE` is refused, so no entity is ever expanded and nothing is fetched.
///
/// # Ports
///
/// - `inbox`: XML, or text and bytes that are parsed as XML. JSON is passed on as it stands.
/// - `outbox`: JSON.
///
/// # Settings
///
/// | name | default | meaning |
/// |---|---|---|
/// | `flatten` | `false` | whether the root's name is dropped: `<a><b>1</b></a>` is `{"b": "1"}` |
/// | `typed` | `false` | whether text that is exactly a number, `true` or `false` is read as that |
/// | `keep-whitespace` | `false` | whether white space at both ends of text, and between elements, is kept |
/// | `lists` | none | the names of elements beneath the root that are lists even where they come once |
/// | `limits.bytes` | 16 MiB | the size of the document |
/// | `limits.depth` | 256 | how deep elements may be nested; at most 1,024 |
/// | `limits.nodes` | 500,000 | the number of elements and attributes |
///
/// # Errors
///
/// - `Malformed`: the document is not well-formed, not in the encoding that it declares, or has a `DOCTYPE`. The message
///   tells the line.
/// - `TooLarge`: a limit is passed.
/// - `Unsupported`: the encoding is none of UTF-8, UTF-16, ISO-8859-1 and US-ASCII, or the payload is empty.
///
/// # Example
///
/// ```
/// use playhouse_actors::XmlToJson;
/// use playhouse_actors::json_xml::XmlToJsonSettings;
/// use playhouse_engine::{Event, Xml, testing};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> playhouse_engine::Result<()> {
/// let flat = XmlToJson::new(XmlToJsonSettings { flatten: true, ..Default::default() })?;
/// let order = Xml::new(r#"<order id="7"><line>pen</line><line>ink</line></order>"#);
/// let outputs = testing::feed(&flat, Event::new(order)).await?;
/// assert_eq!(outputs[0].event.payload().to_string(), r#"{"@id":"7","line":["pen","ink"]}"#);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct XmlToJson {
    settings: Arc<XmlToJsonSettings>,
}

/// From this size on, in bytes, a document is read on tokio's blocking pool: so many take about half a millisecond.
const LARGE: usize = 32 * 1024;

const JSON_TYPE: Text = Text::from_static("application/json");

impl XmlToJson {
    /// Makes an actor that reads as `settings` say.
    ///
    /// # Errors
    /// `Malformed` where one of `lists` is no name that an element may have, or a limit is 0.
    pub fn new(settings: XmlToJsonSettings) -> Result<Self> {
        settings.check()?;
        Ok(Self { settings: Arc::new(settings) })
    }

    async fn convert(&self, payload: &Payload) -> Result<Value> {
        let size = match payload {
            Payload::Text(text) => text.len(),
            Payload::Bytes(bytes) => bytes.len(),
            Payload::Xml(xml) => xml.bytes().len(),
            _ => 0,
        };
        if size < LARGE {
            return convert(payload, &self.settings);
        }
        let (payload, settings) = (payload.clone(), self.settings.clone());
        aside("the work", move || convert(&payload, &settings)).await
    }
}

impl Actor for XmlToJson {
    fn ports(&self) -> Ports {
        Ports::pipe(Format::XML | Format::TEXT | Format::BYTES | Format::JSON, Format::JSON)
    }

    async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        if let Payload::Json(_) = event.payload() {
            out.push(event);
            return Ok(());
        }
        let json = self.convert(event.payload()).await?;
        out.push(event.derive(json).with_attribute(CONTENT_TYPE, JSON_TYPE));
        Ok(())
    }
}

fn convert(payload: &Payload, settings: &XmlToJsonSettings) -> Result<Value> {
    match payload {
        Payload::Text(text) => text_to_json(text, settings),
        Payload::Bytes(bytes) => xml_to_json(bytes, settings),
        Payload::Xml(xml) => xml_to_json(xml.bytes(), settings),
        other => Err(Error::unsupported(format!("expected an XML document, found {}", other.format()))),
    }
}
