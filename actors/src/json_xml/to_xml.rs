//! JSON to XML.

use playhouse_engine::Result;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ENVELOPE;
use super::fault::{Fault, refuse};
use super::limits::Limits;
use super::names::name_problem;
use super::writer::XmlWriter;

/// How JSON is written as XML.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct JsonToXmlSettings {
    /// The name of the root that is put around an object of several members; `jsonified_envelope` by default. Another name is
    /// not stripped when the document is read again, unless [`flatten`](super::XmlToJsonSettings::flatten) is set.
    pub key: String,
    /// Whether a string that is an XML element, perhaps with white space before it, is written as that element and not as
    /// text; not by default. What is not well-formed, or has a declaration or a `DOCTYPE`, is text all the same.
    pub embed_xml: bool,
    /// What a document may cost.
    pub limits: Limits,
}

impl Default for JsonToXmlSettings {
    fn default() -> Self {
        Self { key: ENVELOPE.to_owned(), embed_xml: false, limits: Limits::default() }
    }
}

impl JsonToXmlSettings {
    /// Refuses settings that make no sense.
    pub(crate) fn check(&self) -> Result<()> {
        refuse(self.limits.problems().chain(name_problem("key", &self.key)))
    }
}

/// Writes a JSON value as a document, by the rules of [this module](super). It has no XML declaration, and is UTF-8.
///
/// # Errors
/// `Unprocessable` where the value says something that XML cannot; `TooLarge` where the document passes a limit.
pub fn json_to_xml(value: &Value, settings: &JsonToXmlSettings) -> Result<String> {
    let mut writer = XmlWriter::new(settings.limits, settings.embed_xml);
    write(value, &settings.key, &mut writer)?;
    Ok(writer.finish())
}

fn write(value: &Value, key: &str, writer: &mut XmlWriter) -> Result<(), Fault> {
    match value {
        Value::Array(items) if items.is_empty() => writer.empty(ENVELOPE, &[("type", "list")]),
        Value::Array(_) => writer.within(ENVELOPE, |writer| writer.element(ENVELOPE, value)),
        Value::Object(members) if members.len() == 1 => match members.iter().next() {
            Some((name, value)) if !value.is_array() && !name.starts_with(['@', '#']) => writer.element(name, value),
            _ => writer.element(ENVELOPE, value),
        },
        Value::Object(members) if members.len() > 1 => writer.element(key, value),
        _ => writer.element(ENVELOPE, value),
    }
}
