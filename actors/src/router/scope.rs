//! What rules look at, and how it is got out of an event: each payload is parsed once at most.

use std::borrow::Cow;
use std::sync::Arc;

use playhouse_engine::{Error, Event, Kind, Payload, Result, Value as Attribute};
use serde_json::Value;

use super::settings::Unreadable;
use super::tree::{Query, Tree};
use crate::content::unparsed_size;
use crate::json_path::JsonPath;

/// What a rule looks at.
#[derive(Debug)]
pub(super) enum Scope {
    Attribute(String),
    Json(JsonPath),
    XPath(Query),
    Text,
}

/// An event while it is looked at.
#[derive(Debug)]
pub(super) struct Look<'a> {
    event: &'a Event,
    largest: usize,
    unreadable: Unreadable,
    json: Once<Arc<Value>>,
    tree: Once<Tree>,
}

/// What is read once: not yet, nothing to be read, or what was read.
#[derive(Debug)]
enum Once<T> {
    Unread,
    Nothing,
    Read(T),
}

impl<'a> Look<'a> {
    pub(super) fn at(event: &'a Event, largest: usize, unreadable: Unreadable) -> Self {
        Self { event, largest, unreadable, json: Once::Unread, tree: Once::Unread }
    }

    /// Shows each value that `scope` has in the event to `visit`.
    pub(super) fn each(&mut self, scope: &Scope, visit: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
        match scope {
            Scope::Attribute(name) => self.attribute(name, visit),
            Scope::Json(path) => match self.json()? {
                Some(value) => path.find(&value).into_iter().try_for_each(|found| each_text(found, visit)),
                None => Ok(()),
            },
            Scope::XPath(query) => match self.tree()? {
                Some(tree) => query.each(tree, visit),
                None => Ok(()),
            },
            Scope::Text => match self.text()? {
                Some(text) => visit(&text),
                None => Ok(()),
            },
        }
    }

    /// Shows each thing that `query` finds to `visit`.
    pub(super) fn each_found(&mut self, query: &Query, visit: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
        match self.tree()? {
            Some(tree) => query.each(tree, visit),
            None => Ok(()),
        }
    }

    fn attribute(&self, name: &str, visit: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
        let attributes = self.event.attributes();
        if let Some(text) = attributes.text(name) {
            return visit(&text);
        }
        match attributes.get(name) {
            Some(Attribute::Json(value)) => each_text(&value, visit),
            Some(value) => visit(&value.to_string()),
            None => Ok(()),
        }
    }

    fn text(&self) -> Result<Option<Cow<'a, str>>> {
        self.check_size()?;
        self.read(self.event.payload().as_text())
    }

    fn json(&mut self) -> Result<Option<Arc<Value>>> {
        if let Once::Unread = self.json {
            self.json = match self.event.payload() {
                Payload::Empty | Payload::Xml(_) => Once::Nothing,
                payload => {
                    self.check_size()?;
                    self.read(payload.as_json())?.map_or(Once::Nothing, Once::Read)
                }
            };
        }
        Ok(match &self.json {
            Once::Read(value) => Some(value.clone()),
            _ => None,
        })
    }

    fn tree(&mut self) -> Result<Option<&Tree>> {
        if let Once::Unread = self.tree {
            self.tree = match self.event.payload() {
                Payload::Empty | Payload::Json(_) => Once::Nothing,
                payload => {
                    self.check_size()?;
                    self.read(Tree::read(payload, self.largest))?.map_or(Once::Nothing, Once::Read)
                }
            };
        }
        Ok(match &self.tree {
            Once::Read(tree) => Some(tree),
            _ => None,
        })
    }

    fn check_size(&self) -> Result<()> {
        let size = unparsed_size(self.event.payload());
        if size <= self.largest {
            return Ok(());
        }
        Err(Error::too_large(format!("the payload has {size} bytes; rules look into {} at most", self.largest)))
    }

    fn read<T>(&self, outcome: Result<T>) -> Result<Option<T>> {
        match outcome {
            Ok(read) => Ok(Some(read)),
            Err(error) if error.kind() == Kind::Malformed && self.unreadable == Unreadable::NoMatch => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Shows what a JSON value is as text: a list by its elements, null not at all.
fn each_text(value: &Value, visit: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
    match value {
        Value::Array(elements) => elements.iter().filter_map(text_of).try_for_each(|text| visit(&text)),
        value => text_of(value).map_or(Ok(()), |text| visit(&text)),
    }
}

fn text_of(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(Cow::Borrowed(text)),
        other => Some(Cow::Owned(other.to_string())),
    }
}
