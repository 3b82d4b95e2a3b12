//! XML as it is written: every name checked, every character escaped or refused, every limit looked at.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::builder::Builder;
use super::document::Document;
use super::fault::Fault;
use super::limits::Limits;
use super::names::{is_allowed, is_name, shown};
use super::to_json::XmlToJsonSettings;

/// Writes one document.
#[derive(Debug)]
pub(crate) struct XmlWriter {
    out: String,
    limits: Limits,
    embed_xml: bool,
    nodes: usize,
    depth: usize,
}

impl XmlWriter {
    pub(crate) fn new(limits: Limits, embed_xml: bool) -> Self {
        Self { out: String::new(), limits, embed_xml, nodes: 0, depth: 0 }
    }

    /// Returns what was written.
    pub(crate) fn finish(self) -> String {
        self.out
    }

    /// Writes an element without content.
    pub(crate) fn empty(&mut self, name: &str, attributes: &[(&str, &str)]) -> Result<(), Fault> {
        self.begin(name)?;
        for (name, value) in attributes {
            self.attribute(name, &Value::String((*value).to_owned()))?;
        }
        self.end(name, true)
    }

    /// Writes an element whose content `write` writes.
    pub(crate) fn within(
        &mut self,
        name: &str,
        write: impl FnOnce(&mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.begin(name)?;
        self.content(name, write)
    }

    /// Writes a member: an element, or one for each item of a list.
    pub(crate) fn element(&mut self, name: &str, value: &Value) -> Result<(), Fault> {
        let Value::Array(items) = value else { return self.one(name, value) };
        // An empty list writes nothing, and still is work.
        self.count()?;
        items.iter().try_for_each(|item| match item {
            Value::Array(_) => self.within(name, |writer| writer.element(name, item)),
            _ => self.one(name, item),
        })
    }

    fn one(&mut self, name: &str, value: &Value) -> Result<(), Fault> {
        self.begin(name)?;
        match value {
            Value::Object(members) => self.members(name, members),
            Value::String(text) if self.embed_xml && self.embed(name, text)? => Ok(()),
            Value::Null => self.end(name, true),
            scalar => self.content(name, |writer| writer.scalar(scalar, false)),
        }
    }

    fn members(&mut self, name: &str, members: &Map<String, Value>) -> Result<(), Fault> {
        let mut text = None;
        let mut has_children = false;
        for (member, value) in members {
            match member.strip_prefix('@') {
                Some(attribute) => self.attribute(attribute, value)?,
                None if member == "#text" => text = Some(value),
                None => has_children = true,
            }
        }
        if !has_children && text.is_none() {
            return self.end(name, true);
        }
        self.content(name, |writer| {
            if has_children {
                let children = members.iter().filter(|(member, _)| !member.starts_with('@') && *member != "#text");
                for (member, value) in children {
                    writer.element(member, value)?;
                }
            }
            match text {
                Some(text @ (Value::Array(_) | Value::Object(_))) => Err(not_a_scalar("#text", name, text)),
                Some(text) => writer.scalar(text, false),
                None => Ok(()),
            }
        })
    }

    /// Begins a tag, `<name`, and counts the element.
    fn begin(&mut self, name: &str) -> Result<(), Fault> {
        if !is_name(name) {
            return Err(Fault::unprocessable(format!("`{}` is no name that an XML element may have", shown(name))));
        }
        self.count()?;
        self.depth += 1;
        self.limits.check_depth(self.depth)?;
        self.out.push('<');
        self.out.push_str(name);
        self.limits.check_bytes(self.out.len())
    }

    /// Ends the tag that was begun, writes what is in the element, and its end.
    fn content(&mut self, name: &str, write: impl FnOnce(&mut Self) -> Result<(), Fault>) -> Result<(), Fault> {
        self.out.push('>');
        let before = self.out.len();
        write(self)?;
        let is_empty = self.out.len() == before;
        if is_empty {
            self.out.pop();
        }
        self.end(name, is_empty)
    }

    fn end(&mut self, name: &str, is_empty: bool) -> Result<(), Fault> {
        self.depth -= 1;
        if is_empty {
            self.out.push_str("/>");
        } else {
            self.out.push_str("</");
            self.out.push_str(name);
            self.out.push('>');
        }
        self.limits.check_bytes(self.out.len())
    }

    fn attribute(&mut self, name: &str, value: &Value) -> Result<(), Fault> {
        if !is_name(name) {
            return Err(Fault::unprocessable(format!("`{}` is no name that an XML attribute may have", shown(name))));
        }
        self.count()?;
        self.out.push(' ');
        self.out.push_str(name);
        self.out.push_str("=\"");
        match value {
            Value::Array(_) | Value::Object(_) => return Err(not_a_scalar("@", name, value)),
            scalar => self.scalar(scalar, true)?,
        }
        self.out.push('"');
        self.limits.check_bytes(self.out.len())
    }

    fn scalar(&mut self, value: &Value, in_attribute: bool) -> Result<(), Fault> {
        match value {
            Value::String(text) => return self.escaped(text, in_attribute),
            Value::Bool(value) => self.out.push_str(if *value { "true" } else { "false" }),
            // Writing into a string cannot fail.
            Value::Number(number) => drop(write!(self.out, "{number}")),
            Value::Null | Value::Array(_) | Value::Object(_) => {}
        }
        Ok(())
    }

    fn escaped(&mut self, text: &str, in_attribute: bool) -> Result<(), Fault> {
        self.limits.check_bytes(self.out.len() + text.len())?;
        let mut plain = 0;
        for (at, byte) in text.bytes().enumerate() {
            if !IS_SPECIAL[usize::from(byte)] {
                continue;
            }
            let escape = match byte {
                b'&' => "&amp;",
                b'<' => "&lt;",
                b'>' => "&gt;",
                b'\n' => "&#10;",
                b'\r' => "&#13;",
                b'"' if in_attribute => "&quot;",
                b'\t' if in_attribute => "&#9;",
                b'"' | b'\t' => continue,
                _ => match text[at..].chars().next() {
                    Some(character) if !is_allowed(character) => {
                        let code = u32::from(character);
                        return Err(Fault::unprocessable(format!(
                            "the character U+{code:04X} cannot be written in XML"
                        )));
                    }
                    _ => continue,
                },
            };
            self.out.push_str(&text[plain..at]);
            self.out.push_str(escape);
            plain = at + 1;
        }
        self.out.push_str(&text[plain..]);
        self.limits.check_bytes(self.out.len())
    }

    /// Writes a string that is an XML element as that, or says that it is none.
    fn embed(&mut self, name: &str, text: &str) -> Result<bool, Fault> {
        if !text.trim_start().starts_with('<') {
            return Ok(false);
        }
        self.limits.check_bytes(self.out.len() + text.len())?;
        let settings = XmlToJsonSettings::default();
        let nodes = match Document::within(text, self.limits, self.depth, self.nodes) {
            // The value is of no use: whoever builds it finds all that is wrong.
            Ok(mut document) => Builder::new(&settings).build(&mut document).map(|_| document.nodes()),
            Err(fault) => Err(fault),
        };
        match nodes {
            Ok(nodes) => self.nodes = nodes,
            Err(fault) if fault.is_too_large() => return Err(fault),
            Err(_) => return Ok(false),
        }
        self.content(name, |writer| {
            writer.out.push_str(text);
            Ok(())
        })?;
        Ok(true)
    }

    fn count(&mut self) -> Result<(), Fault> {
        self.nodes += 1;
        self.limits.check_nodes(self.nodes)
    }
}

/// The bytes that text or an attribute may have to do without. 0xEF begins U+FFFE and U+FFFF, among others.
const IS_SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    let mut control = 0;
    while control < 0x20 {
        special[control] = true;
        control += 1;
    }
    special[b'&' as usize] = true;
    special[b'<' as usize] = true;
    special[b'>' as usize] = true;
    special[b'"' as usize] = true;
    special[0xef] = true;
    special
};

#[cold]
fn not_a_scalar(prefix: &str, name: &str, value: &Value) -> Fault {
    let found = if value.is_array() { "a list" } else { "an object" };
    Fault::unprocessable(match prefix {
        "@" => format!("the attribute `{}` is {found}; expected a string or another scalar", shown(name)),
        _ => format!("`{prefix}` of `{}` is {found}; expected a string or another scalar", shown(name)),
    })
}
