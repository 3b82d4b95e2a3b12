//! What templates and expressions see of an event, without a copy of what they do not look at.

use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr};
use minijinja::{Error as TemplateError, ErrorKind, Value};
use playhouse_engine::{Error, Event, Kind, Payload, Value as Attribute};
use serde_json::Value as Json;

use crate::content::unparsed_size;

/// An event, as an object with `payload`, `json`, `attributes`, `id`, `correlation_id` and `error`.
#[derive(Debug)]
pub(crate) struct View {
    event: Event,
    largest: usize,
}

impl View {
    /// Shows `event`; a payload of more than `largest` bytes is refused when it is looked at.
    pub(crate) fn of(event: &Event, largest: usize) -> Value {
        Value::from_object(Self { event: event.clone(), largest })
    }

    fn checked(&self, value: impl FnOnce(&Payload) -> playhouse_engine::Result<Value>) -> Value {
        let payload = self.event.payload();
        let size = unparsed_size(payload);
        let outcome = if size > self.largest {
            Err(Error::too_large(format!("the payload has {size} bytes; at most {} are looked into", self.largest)))
        } else {
            value(payload)
        };
        outcome.unwrap_or_else(|error| {
            let kind = ErrorKind::InvalidOperation;
            Value::from(TemplateError::new(kind, "the payload cannot be read").with_source(error))
        })
    }
}

impl Object for View {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        match key {
            "payload" => Some(self.checked(|payload| match payload {
                Payload::Json(value) => Ok(whole(value)),
                payload => Ok(Value::from(payload.as_text()?)),
            })),
            "json" => match self.event.payload() {
                Payload::Empty | Payload::Xml(_) => None,
                _ => Some(self.checked(|payload| Ok(whole(&payload.as_json()?)))),
            },
            "attributes" => Some(Value::from_object(Attributes(self.event.clone()))),
            "id" => Some(Value::from(self.event.id().to_string())),
            "correlation_id" => Some(Value::from(self.event.correlation_id())),
            "error" => self
                .event
                .error()
                .map(|error| Value::from_pairs([("kind", error.kind().as_str()), ("message", error.message())])),
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(&["payload", "json", "attributes", "id", "correlation_id", "error"])
    }
}

/// The attributes of an event, by their whole names.
#[derive(Debug)]
struct Attributes(Event);

impl Object for Attributes {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.attribute(key.as_str()?).map(|value| match value {
            Attribute::Boolean(truth) => Value::from(truth),
            Attribute::Integer(number) => Value::from(number),
            Attribute::Json(value) => whole(&value),
            text => Value::from(text.to_string()),
        })
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let mut names = Vec::new();
        self.0.attributes().each(|name, _| names.push(Value::from(name)));
        Enumerator::Values(names)
    }
}

/// A list or an object of JSON: the value that it lies in, and the way to it.
#[derive(Debug)]
struct JsonView {
    root: Arc<Json>,
    way: Vec<Step>,
}

#[derive(Clone, Debug)]
enum Step {
    Name(String),
    Index(usize),
}

fn whole(root: &Arc<Json>) -> Value {
    seen(root, root, Vec::new)
}

/// Shows `value`, which lies in `root` at the end of `way`.
fn seen(root: &Arc<Json>, value: &Json, way: impl FnOnce() -> Vec<Step>) -> Value {
    match value {
        Json::Null => Value::from(()),
        Json::Bool(truth) => Value::from(*truth),
        Json::String(text) => Value::from(text),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::from(number),
            (None, Some(number)) => Value::from(number),
            _ => Value::from(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::Array(_) | Json::Object(_) => Value::from_object(JsonView { root: root.clone(), way: way() }),
    }
}

impl JsonView {
    fn here(&self) -> Option<&Json> {
        self.way.iter().try_fold(&*self.root, |value, step| match step {
            Step::Name(name) => value.get(name),
            Step::Index(index) => value.get(index),
        })
    }

    fn step(&self, step: Step) -> Option<Value> {
        let here = self.here()?;
        let value = match &step {
            Step::Name(name) => here.get(name),
            Step::Index(index) => here.get(index),
        };
        Some(seen(&self.root, value?, || self.way.iter().cloned().chain([step]).collect()))
    }
}

impl Object for JsonView {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        match self.here() {
            Some(Json::Array(_)) => ObjectRepr::Seq,
            _ => ObjectRepr::Map,
        }
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str() {
            Some(name) => self.step(Step::Name(name.to_owned())),
            None => self.step(Step::Index(key.as_usize()?)),
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        match self.here() {
            Some(Json::Array(elements)) => Enumerator::Seq(elements.len()),
            Some(Json::Object(members)) => Enumerator::Values(members.keys().map(Value::from).collect()),
            _ => Enumerator::Empty,
        }
    }
}

/// Makes our error of one of the template engine: what an event did wrong keeps its kind.
pub(crate) fn failure(what: &str, error: &TemplateError) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<Error>() {
            return error.clone();
        }
        cause = error.source();
    }
    let kind = match error.kind() {
        ErrorKind::OutOfFuel => Kind::TooLarge,
        _ => Kind::Unprocessable,
    };
    let message = match error.kind() {
        ErrorKind::OutOfFuel => format!("{what} takes more steps than are allowed"),
        _ => format!("{what} fails: {error}"),
    };
    Error::new(kind, message)
}
