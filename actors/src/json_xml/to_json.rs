//! XML to JSON.

use std::collections::BTreeSet;

use playhouse_engine::Result;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::builder::Builder;
use super::document::Document;
use super::encoding::decode;
use super::fault::refuse;
use super::limits::Limits;
use super::names::name_problem;

/// How XML is read as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct XmlToJsonSettings {
    /// Whether the root's name is dropped, so that `<a><b>1</b></a>` is `{"b": "1"}`; not by default.
    pub flatten: bool,
    /// Whether text is read as a number, `true` or `false` where that would be written as the very same text; not by
    /// default. `007`, `1e3` and numbers with more digits than can be kept are strings all the same.
    pub typed: bool,
    /// Whether white space at both ends of text is kept, and with it that between elements, as `#text`; not by default.
    pub keep_whitespace: bool,
    /// The names of elements beneath the root that are lists even where they come once; none by default.
    pub lists: BTreeSet<String>,
    /// What a document may cost.
    pub limits: Limits,
}

impl XmlToJsonSettings {
    /// Refuses settings that make no sense.
    pub(crate) fn check(&self) -> Result<()> {
        let names = self.lists.iter().filter_map(|name| name_problem("lists", name));
        refuse(self.limits.problems().chain(names))
    }
}

/// Reads a document as a JSON value, by the rules of [this module](super).
///
/// # Errors
/// `Malformed` where the document is not well-formed, not in its encoding, or has a `DOCTYPE`; `TooLarge` where it passes a
/// limit; `Unsupported` where its encoding is not known.
pub fn xml_to_json(xml: &[u8], settings: &XmlToJsonSettings) -> Result<Value> {
    settings.limits.check_bytes(xml.len())?;
    read(&decode(xml)?, settings)
}

/// Reads a document that is text already, whatever encoding it declares.
pub(crate) fn text_to_json(xml: &str, settings: &XmlToJsonSettings) -> Result<Value> {
    settings.limits.check_bytes(xml.len())?;
    read(xml.strip_prefix('\u{feff}').unwrap_or(xml), settings)
}

fn read(xml: &str, settings: &XmlToJsonSettings) -> Result<Value> {
    let mut document = Document::new(xml, settings.limits)?;
    let value = Builder::new(settings).build(&mut document);
    Ok(value.map_err(|fault| fault.at_line(document.line()))?)
}
