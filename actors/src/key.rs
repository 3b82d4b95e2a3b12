//! What makes two events the same to an actor.

use std::borrow::Cow;
use std::hash::{BuildHasher, RandomState};

use playhouse_engine::{Error, Event, Format, Result};
use serde::{Deserialize, Serialize};

/// What makes two events the same to a [`Join`](crate::Join), a [`Dedup`](crate::Dedup) or a cache.
///
/// ```
/// use playhouse_actors::{DedupSettings, KeyFrom};
///
/// let in_code = DedupSettings { key: KeyFrom::Attribute("order".into()), ..DedupSettings::default() };
/// let in_a_file: DedupSettings = toml::from_str("key = { attribute = 'order' }").unwrap();
/// assert_eq!(in_code, in_a_file);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum KeyFrom {
    /// The event's id.
    #[default]
    Id,
    /// What ties events of one request together: see [`Event::correlation_id`].
    Correlation,
    /// The attribute of this name. The number 7 and the text `7` are the same key.
    Attribute(String),
    /// The payload: its format and its bytes. JSON is the same where it is written the same, with its members in one order.
    Payload,
}

/// A key in 128 bits: an id as it is, and a hash of anything else, under keys drawn at random, so that nobody can make two
/// meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key(u64, u64);

/// Makes the keys of one actor.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    from: KeyFrom,
    hashers: (RandomState, RandomState),
}

impl Keys {
    pub(crate) fn new(from: KeyFrom) -> Self {
        Self { from, hashers: (RandomState::new(), RandomState::new()) }
    }

    /// Returns the key of an event.
    ///
    /// # Errors
    /// `Unprocessable` where the event has no such attribute.
    pub(crate) fn of(&self, event: &Event) -> Result<Key> {
        Ok(match &self.from {
            KeyFrom::Id => {
                let id = event.id().as_u128();
                #[expect(clippy::cast_possible_truncation, reason = "each half is what is wanted")]
                Key((id >> 64) as u64, id as u64)
            }
            KeyFrom::Correlation => self.hash(0, event.correlation_id().as_bytes()),
            KeyFrom::Attribute(name) => {
                let value = match event.attributes().text(name) {
                    Some(text) => text,
                    None => match event.attribute(name) {
                        Some(value) => Cow::Owned(value.to_string()),
                        None => {
                            return Err(Error::unprocessable(format!(
                                "expected the attribute `{name}`, by which events are told apart; the event has none"
                            )));
                        }
                    },
                };
                self.hash(0, value.as_bytes())
            }
            KeyFrom::Payload => {
                let payload = event.payload();
                let formats = [Format::EMPTY, Format::BYTES, Format::TEXT, Format::JSON, Format::XML];
                let format = formats.iter().position(|format| *format == payload.format());
                self.hash(format.unwrap_or(formats.len()), &payload.to_bytes())
            }
        })
    }

    fn hash(&self, tag: usize, bytes: &[u8]) -> Key {
        Key(self.hashers.0.hash_one((tag, bytes)), self.hashers.1.hash_one((tag, bytes)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_known_by_what_was_chosen() {
        let event = Event::new("a").with_attribute("order", 7_i64).with_correlation_id("c");
        let attribute = || KeyFrom::Attribute("order".to_owned());
        for (from, other, same) in [
            (KeyFrom::Id, event.derive("b"), true),
            (KeyFrom::Id, event.branch("a"), false),
            (KeyFrom::Correlation, event.branch("b"), true),
            (KeyFrom::Correlation, Event::new("a"), false),
            (attribute(), Event::new("b").with_attribute("order", "7"), true),
            (attribute(), Event::new("a").with_attribute("order", 8_i64), false),
            (KeyFrom::Payload, Event::new("a"), true),
            (KeyFrom::Payload, Event::new(b"a".to_vec()), false),
            (KeyFrom::Payload, Event::new(json!("a")), false),
        ] {
            let keys = Keys::new(from.clone());
            assert_eq!(keys.of(&event).unwrap() == keys.of(&other).unwrap(), same, "{from:?} {other:?}");
        }
    }

    #[test]
    fn an_event_without_the_attribute_has_no_key() {
        let error = Keys::new(KeyFrom::Attribute("order".to_owned())).of(&Event::new("a")).unwrap_err();
        assert_eq!(
            error.message(),
            "expected the attribute `order`, by which events are told apart; the event has none"
        );
    }
}
