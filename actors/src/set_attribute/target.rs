//! Where a value is put.

use std::sync::Arc;

use playhouse_engine::{Error, Event, Payload, Result, Text, Value as Attribute};
use serde_json::{Map, Value};

/// Where a value is put.
#[derive(Debug)]
pub(super) enum Target {
    Attribute { name: Text, within: Vec<String> },
    Payload(Vec<String>),
}

impl Target {
    /// Derives the event in which it is `value`; `None` clears it.
    pub(super) fn put(&self, event: &Event, value: Option<Value>, largest: usize) -> Result<Event> {
        match self {
            Self::Attribute { name, within } if within.is_empty() => Ok(match value {
                Some(value) => event.clone().with_attribute(name.clone(), attribute(value)),
                None => event.clone().without_attribute(name.clone()),
            }),
            Self::Attribute { name, within } => {
                // What others may still read is copied, and not changed.
                let mut root = match event.attribute(name) {
                    None => Value::Object(Map::new()),
                    Some(Attribute::Json(value)) => Arc::unwrap_or_clone(value),
                    Some(_) => return Err(no_object(name)),
                };
                put_within(&mut root, name, within, value)?;
                Ok(event.clone().with_attribute(name.clone(), root))
            }
            Self::Payload(within) if within.is_empty() => Ok(event.derive(match value {
                None => Payload::Empty,
                Some(Value::String(text)) => text.into(),
                Some(value) => value.into(),
            })),
            Self::Payload(within) => {
                let mut root = match event.payload() {
                    Payload::Empty => Value::Object(Map::new()),
                    payload => Arc::unwrap_or_clone(super::json(payload, largest)?),
                };
                put_within(&mut root, "payload", within, value)?;
                Ok(event.derive(root))
            }
        }
    }
}

fn put_within(root: &mut Value, name: &str, within: &[String], value: Option<Value>) -> Result<()> {
    let (mut here, mut name) = (root, name);
    for step in within {
        // What is null is not there.
        if here.is_null() {
            *here = Value::Object(Map::new());
        }
        let Value::Object(members) = here else { return Err(no_object(name)) };
        here = members.entry(step.as_str()).or_insert(Value::Null);
        name = step;
    }
    *here = value.unwrap_or(Value::Null);
    Ok(())
}

fn no_object(name: &str) -> Error {
    Error::malformed(format!("`{name}` is no object, so nothing can be set within it"))
}

fn attribute(value: Value) -> Attribute {
    match value {
        Value::String(text) => text.into(),
        Value::Bool(truth) => truth.into(),
        Value::Number(number) => match number.as_i64() {
            Some(number) => number.into(),
            None => Value::Number(number).into(),
        },
        other => other.into(),
    }
}
