//! JSON values out of tokens: what belongs to open elements lies on one stack, and becomes an object when its element ends.

use std::borrow::Cow;

use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

use super::ENVELOPE;
use super::attributes::Attributes;
use super::document::{Document, Token};
use super::fault::Fault;
use super::names::shown;
use super::to_json::XmlToJsonSettings;

pub(super) struct Builder<'x, 's> {
    settings: &'s XmlToJsonSettings,
    open: Vec<Element<'x>>,
    /// The attributes and children of all open elements; those of the innermost come last.
    members: Vec<Member<'x>>,
}

/// An element that has not ended.
struct Element<'x> {
    name: &'x str,
    /// Where its members begin.
    members: usize,
    text: Option<Cow<'x, str>>,
}

struct Member<'x> {
    name: &'x str,
    is_attribute: bool,
    value: Value,
}

impl<'x, 's> Builder<'x, 's> {
    pub(super) fn new(settings: &'s XmlToJsonSettings) -> Self {
        Self { settings, open: Vec::new(), members: Vec::new() }
    }

    /// Reads the document to its end.
    pub(super) fn build(mut self, document: &mut Document<'x>) -> Result<Value, Fault> {
        let mut root = None;
        while let Some(token) = document.next()? {
            match token {
                Token::Open { name, attributes } => self.begin(name, attributes, document)?,
                Token::Close => root = self.end()?,
                Token::Text(text) => self.text(text),
                Token::Character(character) => self.text(character.to_string().into()),
            }
        }
        let (name, value) = root.ok_or_else(|| Fault::malformed("the document has no root"))?;
        Ok(self.document(name, value))
    }

    fn begin(&mut self, name: &'x str, attributes: Attributes<'x>, document: &mut Document<'x>) -> Result<(), Fault> {
        self.open.push(Element { name, members: self.members.len(), text: None });
        for attribute in attributes {
            let (name, value) = attribute?;
            document.count()?;
            self.members.push(Member { name, is_attribute: true, value: self.scalar(value) });
        }
        Ok(())
    }

    fn text(&mut self, more: Cow<'x, str>) {
        let Some(element) = self.open.last_mut() else { return };
        match &mut element.text {
            Some(text) if self.settings.keep_whitespace || !text.is_empty() => text.to_mut().push_str(&more),
            text if self.settings.keep_whitespace => *text = Some(more),
            // What stands before the first word is stripped at once, so that the space between elements is never kept.
            text => *text = Some(trimmed_start(more)),
        }
    }

    /// Ends the innermost element, and returns it where it is the root.
    fn end(&mut self) -> Result<Option<(&'x str, Value)>, Fault> {
        let Some(Element { name, members, text }) = self.open.pop() else { return Ok(None) };
        let text = if self.settings.keep_whitespace { text } else { text.map(trimmed_end) };
        let text = text.filter(|text| !text.is_empty());
        let value = if members < self.members.len() {
            Value::Object(self.object(members, text)?)
        } else {
            text.map_or(Value::Null, |text| self.scalar(text))
        };
        if self.open.is_empty() {
            return Ok(Some((name, value)));
        }
        self.members.push(Member { name, is_attribute: false, value });
        Ok(None)
    }

    /// Makes an object of the members from `begin` on.
    fn object(&mut self, begin: usize, text: Option<Cow<'x, str>>) -> Result<Map<String, Value>, Fault> {
        let members = &mut self.members[begin..];
        let runs = members.chunk_by(Member::is_run).count();
        let mut object = Map::with_capacity(runs + usize::from(text.is_some()));
        for run in members.chunk_by_mut(Member::is_run) {
            let Some(Member { name, is_attribute, value: first }) = run.first_mut() else { continue };
            let (name, first) = (*name, std::mem::take(first));
            if *is_attribute {
                if object.insert(["@", name].concat(), first).is_some() {
                    return Err(Fault::malformed(format!("the attribute `{}` stands twice in one tag", shown(name))));
                }
                continue;
            }
            let further = run[1..].iter_mut().map(|member| std::mem::take(&mut member.value));
            match object.entry(name) {
                Entry::Vacant(entry) if further.len() == 0 && !self.settings.lists.contains(name) => {
                    entry.insert(first);
                }
                Entry::Vacant(entry) => {
                    entry.insert(Value::Array(std::iter::once(first).chain(further).collect()));
                }
                Entry::Occupied(mut entry) => {
                    let earlier = entry.get_mut();
                    if !earlier.is_array() {
                        *earlier = Value::Array(vec![std::mem::take(earlier)]);
                    }
                    if let Value::Array(items) = earlier {
                        items.push(first);
                        items.extend(further);
                    }
                }
            }
        }
        self.members.truncate(begin);
        if let Some(text) = text {
            object.insert("#text".to_owned(), self.scalar(text));
        }
        Ok(object)
    }

    /// Makes the whole document's value of the root.
    fn document(&self, name: &str, value: Value) -> Value {
        if name == ENVELOPE {
            return unwrapped(value);
        }
        if self.settings.flatten {
            return value;
        }
        let mut object = Map::with_capacity(1);
        object.insert(name.to_owned(), value);
        Value::Object(object)
    }

    fn scalar(&self, text: Cow<'_, str>) -> Value {
        if self.settings.typed
            && let Some(value) = typed(&text)
        {
            return value;
        }
        Value::String(text.into_owned())
    }
}

impl Member<'_> {
    /// Says whether two neighbours are elements of one name.
    fn is_run(&self, next: &Self) -> bool {
        !self.is_attribute && !next.is_attribute && self.name == next.name
    }
}

/// Returns what the envelope was put around.
fn unwrapped(value: Value) -> Value {
    match value {
        Value::Null => Value::Object(Map::new()),
        Value::Object(mut object) if object.len() == 1 => {
            if object.get("@type").and_then(Value::as_str) == Some("list") {
                return Value::Array(Vec::new());
            }
            match object.remove(ENVELOPE) {
                Some(Value::Array(items)) => Value::Array(items),
                Some(item) => Value::Array(vec![item]),
                None => Value::Object(object),
            }
        }
        other => other,
    }
}

/// Returns the number, or true or false, that is written as this text and no other.
fn typed(text: &str) -> Option<Value> {
    match text {
        "true" => return Some(Value::Bool(true)),
        "false" => return Some(Value::Bool(false)),
        _ if !text.starts_with(|first: char| first == '-' || first.is_ascii_digit()) => return None,
        _ => {}
    }
    let number: Number = serde_json::from_str(text).ok()?;
    (number.to_string() == text).then_some(Value::Number(number))
}

fn trimmed_start(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim_start()),
        Cow::Owned(mut text) => {
            text.drain(..text.len() - text.trim_start().len());
            Cow::Owned(text)
        }
    }
}

fn trimmed_end(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim_end()),
        Cow::Owned(mut text) => {
            text.truncate(text.trim_end().len());
            Cow::Owned(text)
        }
    }
}
