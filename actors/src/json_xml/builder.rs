//! JSON values out of tokens: what belongs to open elements lies on one stack, and becomes an object when its element ends.

use std::borrow::Cow;

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
        let text = text.filter(|text| !text.is_empty()).map(|text| self.scalar(text));
        let value = if members < self.members.len() {
            Value::Object(self.object(members, text)?)
        } else {
            text.unwrap_or_default()
        };
        if self.open.is_empty() {
            return Ok(Some((name, value)));
        }
        self.members.push(Member { name, is_attribute: false, value });
        Ok(None)
    }

    /// Makes an object of the members from `begin` on.
    fn object(&mut self, begin: usize, text: Option<Value>) -> Result<Map<String, Value>, Fault> {
        let runs = self.members[begin..].chunk_by(|one, next| !one.is_attribute && one.name == next.name).count();
        let mut object = Map::with_capacity(runs + usize::from(text.is_some()));
        let mut members = self.members.drain(begin..).peekable();
        while let Some(Member { name, is_attribute, value }) = members.next() {
            if is_attribute {
                if object.insert(["@", name].concat(), value).is_some() {
                    return Err(Fault::malformed(format!("the attribute `{}` stands twice in one tag", shown(name))));
                }
                continue;
            }
            let mut run = Run::One(value);
            while let Some(next) = members.next_if(|next| next.name == name) {
                run.push(next.value);
            }
            match object.get_mut(name) {
                Some(earlier) => run.append_to(earlier),
                None => {
                    let is_list = self.settings.lists.contains(name);
                    object.insert(name.to_owned(), run.into_value(is_list));
                }
            }
        }
        if let Some(text) = text {
            object.insert("#text".to_owned(), text);
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

/// Elements of one name that follow each other.
enum Run {
    One(Value),
    Many(Vec<Value>),
}

impl Run {
    fn push(&mut self, value: Value) {
        match self {
            Self::Many(values) => values.push(value),
            Self::One(first) => *self = Self::Many(vec![std::mem::take(first), value]),
        }
    }

    fn append_to(self, earlier: &mut Value) {
        if !earlier.is_array() {
            *earlier = Value::Array(vec![std::mem::take(earlier)]);
        }
        if let Value::Array(values) = earlier {
            match self {
                Self::One(value) => values.push(value),
                Self::Many(more) => values.extend(more),
            }
        }
    }

    fn into_value(self, is_list: bool) -> Value {
        match self {
            Self::One(value) if !is_list => value,
            Self::One(value) => Value::Array(vec![value]),
            Self::Many(values) => Value::Array(values),
        }
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
