//! What a part must be to be joined, and what is made of all.

use std::ops::Range;
use std::sync::Arc;

use playhouse_engine::{Error, Event, Payload, Result, Xml};
use serde_json::{Map, Value};

use super::{JoinMode, JoinSettings};
use crate::content::{check_value, json_weight, to_value, weight, with_type_unsaid};
use crate::fragment::{document, root};

/// What was read of a part when it came, so that nothing can go wrong with it later.
#[derive(Debug, Default)]
pub(super) enum Content {
    /// The payload is used as it is.
    #[default]
    Whole,
    /// The payload's text, read.
    Json(Arc<Value>),
    /// Where the root element stands in the document.
    Element(u32, u32),
}

impl Content {
    pub(super) fn of(event: &Event, mode: JoinMode, largest: usize) -> Result<Self> {
        let payload = event.payload();
        let size = weight(payload);
        if size > largest {
            return Err(Error::too_large(format!("a part to be joined has {size} bytes, where {largest} are allowed")));
        }
        match mode {
            JoinMode::List => check_value(payload).map(|()| Self::Whole),
            JoinMode::Merge => {
                let value = payload.as_json()?;
                if !value.is_object() {
                    return Err(Error::unprocessable("expected a JSON object, whose members can be merged"));
                }
                Ok(if matches!(payload, Payload::Json(_)) { Self::Whole } else { Self::Json(value) })
            }
            JoinMode::Xml => {
                let Range { start, end } = root(document(payload)?)?;
                let place = |place| {
                    u32::try_from(place).map_err(|_| Error::too_large("a part to be joined has more than 4 GiB"))
                };
                Ok(Self::Element(place(start)?, place(end)?))
            }
        }
    }

    /// Returns about how many bytes the part takes.
    pub(super) fn weight(&self, event: &Event) -> usize {
        let read = match self {
            Self::Json(value) => json_weight(value),
            Self::Whole | Self::Element(..) => 0,
        };
        read + weight(event.payload())
    }
}

/// Makes one event of the parts, in their order.
pub(super) fn compose(parts: Vec<(Event, Content)>, settings: &JoinSettings) -> Result<Event> {
    let payload = match settings.mode {
        JoinMode::List => {
            let values = parts.iter().map(|(event, _)| to_value(event.payload()));
            Payload::from(Value::Array(values.collect::<Result<_>>()?))
        }
        JoinMode::Merge => {
            let mut members = Map::new();
            for (event, content) in &parts {
                let value = match (content, event.payload()) {
                    (Content::Json(value), _) | (_, Payload::Json(value)) => value,
                    _ => return Err(Error::internal("a part was held that was not read")),
                };
                let own = value.as_object().into_iter().flatten();
                members.extend(own.map(|(name, value)| (name.clone(), value.clone())));
            }
            Payload::from(Value::Object(members))
        }
        JoinMode::Xml => {
            let name = &settings.root;
            let mut whole = format!("<{name}>");
            for (event, content) in &parts {
                let Content::Element(start, end) = content else {
                    return Err(Error::internal("a part was held that was not read"));
                };
                whole.push_str(document(event.payload())?.get(*start as usize..*end as usize).unwrap_or_default());
            }
            whole.push_str(&format!("</{name}>"));
            Payload::from(Xml::new(whole))
        }
    };
    let deadline = parts.iter().filter_map(|(event, _)| event.deadline()).min();
    let Some((first, _)) = parts.first() else {
        return Err(Error::internal("nothing was joined"));
    };
    let joined = with_type_unsaid(first.derive(payload)).with_receipts_of(parts.iter().map(|(event, _)| event));
    Ok(match deadline {
        Some(deadline) => joined.with_deadline(deadline),
        None => joined,
    })
}
