//! Events as one value of JSON, for people to read.

use playhouse_engine::{Event, Payload};
use serde_json::{Map, Value};

/// Returns the event as JSON: its id, correlation id, attributes, payload and error.
pub(crate) fn whole(event: &Event) -> Value {
    let mut attributes = Map::new();
    event.attributes().each(|name, value| {
        attributes.insert(name.to_owned(), serde_json::to_value(value).unwrap_or(Value::Null));
    });
    let payload = match event.payload() {
        Payload::Empty => Value::Null,
        Payload::Json(value) => (**value).clone(),
        other => Value::String(other.to_string()),
    };
    let mut whole = Map::new();
    whole.insert("id".to_owned(), event.id().to_string().into());
    whole.insert("correlation".to_owned(), event.correlation_id().into());
    whole.insert("attributes".to_owned(), attributes.into());
    whole.insert("payload".to_owned(), payload);
    if let Some(error) = event.error() {
        let mut members = Map::new();
        members.insert("kind".to_owned(), error.kind().as_str().into());
        members.insert("message".to_owned(), error.to_string().into());
        members.insert("actor".to_owned(), error.actor().into());
        whole.insert("error".to_owned(), members.into());
    }
    whole.into()
}
