//! Payloads as parts of others: what they weigh, and how they stand in a list.

use playhouse_engine::{Error, Event, Payload, Result};
use serde_json::Value;

/// The header of a reply that no longer tells the truth when the payload has become another.
const REPLY_TYPE: &str = "http.reply.header.content-type";

/// Returns the size of a payload that is not parsed yet, in bytes.
#[cfg(any(feature = "router", feature = "template", feature = "xslt"))]
pub(crate) fn unparsed_size(payload: &Payload) -> usize {
    match payload {
        Payload::Text(text) => text.len(),
        Payload::Bytes(bytes) => bytes.len(),
        Payload::Xml(xml) => xml.bytes().len(),
        _ => 0,
    }
}

/// Returns about how many bytes of memory a payload takes.
pub(crate) fn weight(payload: &Payload) -> usize {
    match payload {
        Payload::Empty => 0,
        Payload::Bytes(bytes) => bytes.len(),
        Payload::Text(text) => text.len(),
        Payload::Xml(xml) => xml.bytes().len(),
        Payload::Json(value) => json_weight(value),
        _ => payload.to_bytes().len(),
    }
}

/// Returns about how many bytes of memory a JSON value takes.
pub(crate) fn json_weight(value: &Value) -> usize {
    /// What a member of an object takes beside its name and its value.
    const MEMBER: usize = 48;
    size_of::<Value>()
        + match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
            Value::String(text) => text.len(),
            Value::Array(values) => values.iter().map(json_weight).sum(),
            Value::Object(members) => {
                members.iter().map(|(name, value)| MEMBER + name.len() + json_weight(value)).sum()
            }
        }
}

/// Says whether [`to_value`] can do it.
///
/// # Errors
/// `Unsupported` for bytes that are not UTF-8.
pub(crate) fn check_value(payload: &Payload) -> Result<()> {
    match payload {
        Payload::Bytes(_) | Payload::Xml(_) => payload.as_text().map(|_| ()).map_err(|error| {
            Error::unsupported("expected a payload that JSON can hold, found bytes that are not UTF-8").caused_by(error)
        }),
        _ => Ok(()),
    }
}

/// Returns a payload as a JSON value: JSON as it is, nothing as null, and all else as a string.
///
/// # Errors
/// As [`check_value`].
pub(crate) fn to_value(payload: &Payload) -> Result<Value> {
    check_value(payload)?;
    Ok(match payload {
        Payload::Empty => Value::Null,
        Payload::Json(value) => (**value).clone(),
        other => Value::String(other.as_text()?.into_owned()),
    })
}

/// Takes away what was said of the payload that the event had before.
pub(crate) fn with_type_unsaid(event: Event) -> Event {
    match event.attributes().get(REPLY_TYPE) {
        Some(_) => event.without_attribute(REPLY_TYPE),
        None => event,
    }
}

/// Joins the names of things for a message.
pub(crate) fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use playhouse_engine::{Kind, Xml};
    use serde_json::json;

    use super::*;

    #[test]
    fn every_payload_has_its_place_in_json_but_bytes_of_another_encoding() {
        for (payload, value) in [
            (Payload::Empty, json!(null)),
            (Payload::from("0"), json!("0")),
            (Payload::from(json!(0)), json!(0)),
            (Payload::from(b"b".to_vec()), json!("b")),
            (Payload::from(Xml::new("<a/>")), json!("<a/>")),
        ] {
            assert_eq!(to_value(&payload).unwrap(), value);
        }
        assert_eq!(to_value(&Payload::from(vec![0xff])).unwrap_err().kind(), Kind::Unsupported);
    }

    #[test]
    fn json_weighs_at_least_what_its_values_take() {
        let zeros = Payload::from(json!(vec![0; 1000]));
        assert!(weight(&zeros) >= 1000 * size_of::<Value>());
        assert_eq!(weight(&Payload::from("four")), 4);
    }
}
