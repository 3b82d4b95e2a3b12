//! One event made many.

use playhouse_engine::{Actor, Error, Event, Format, Outbox, Payload, Ports, Result, Text, Xml};
use serde::{Deserialize, Serialize};

use crate::content::{weight, with_type_unsaid};
use crate::fragment::{children, document};

/// Sends each part of an event as an event of its own.
///
/// A part has an id of its own, the correlation id, the attributes and the deadline of the whole, and the attributes
/// `split.index`, from 0 on, and `split.count`. The receipt of the whole settles when every part has ended. Either all parts
/// leave or none does; of a whole without parts nothing leaves, and it has ended well.
///
/// # Ports
/// Inbox: `inbox`, for what `form` demands. Outbox: `outbox`, which gives JSON values, XML documents, or lines of text or bytes.
///
/// # Settings
/// | name | default | meaning |
/// |---|---|---|
/// | `form` | `json` | what the parts are: `json`, the values of an array; `xml`, the children of the root element; `lines`, lines of text or bytes without what ends them |
/// | `most` | 10,000 | how many parts a whole may have |
/// | `largest` | 8 MiB | how many bytes a whole may have |
/// | `most-values` | 1,000,000 | how many values JSON text may have, at whatever depth |
///
/// A child of an XML document takes the namespaces of the root with it, and text between the children is left out. JSON that
/// comes as text is read, which takes up to 80 bytes of memory for each value and as many as its strings have.
///
/// # Errors
/// | kind | when |
/// |---|---|
/// | `TooLarge` | a whole has more than `most` parts, `largest` bytes or `most-values`, or XML is deeper than 256 elements |
/// | `Malformed` | the payload is not the JSON or XML that it should be, or has a `DOCTYPE` |
/// | `Unprocessable` | it is JSON, but no array |
/// | `Unsupported` | it has a format that cannot be split so |
///
/// # Example
/// ```
/// use playhouse_actors::Split;
/// use playhouse_engine::{Event, testing};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> playhouse_engine::Result<()> {
/// let parts = testing::feed(&Split::json(), Event::new(r#"[{"sku": 1}, {"sku": 2}]"#)).await?;
/// assert_eq!(parts[1].event.payload().to_string(), r#"{"sku":2}"#);
/// assert_eq!(parts[1].event.attribute("split.index"), Some(1_i64.into()));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Split {
    settings: SplitSettings,
}

/// How a [`Split`] splits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SplitSettings {
    /// What the parts are; the values of a JSON array by default.
    pub form: SplitForm,
    /// How many parts a whole may have; 10,000 by default.
    pub most: usize,
    /// How many bytes a whole may have; 8 MiB by default.
    pub largest: usize,
    /// How many values JSON text may have, at whatever depth; 1,000,000 by default.
    pub most_values: usize,
}

/// What the parts are that a [`Split`] makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SplitForm {
    /// The values of a JSON array.
    #[default]
    Json,
    /// The children of an XML document's root element.
    Xml,
    /// Lines of text or bytes.
    Lines,
}

impl Default for SplitSettings {
    fn default() -> Self {
        Self { form: SplitForm::Json, most: 10_000, largest: 8 << 20, most_values: 1_000_000 }
    }
}

impl Split {
    /// Splits JSON arrays.
    #[must_use]
    pub fn json() -> Self {
        Self::default()
    }

    /// Splits XML documents into the children of their root elements.
    #[must_use]
    pub fn xml() -> Self {
        Self::new(SplitSettings { form: SplitForm::Xml, ..SplitSettings::default() })
    }

    /// Splits text and bytes into lines.
    #[must_use]
    pub fn lines() -> Self {
        Self::new(SplitSettings { form: SplitForm::Lines, ..SplitSettings::default() })
    }

    /// Splits as `settings` say.
    #[must_use]
    pub fn new(settings: SplitSettings) -> Self {
        Self { settings }
    }

    fn parts(&self, payload: &Payload) -> Result<Vec<Payload>> {
        let SplitSettings { form, most, largest, most_values } = self.settings;
        let size = weight(payload);
        if size > largest {
            return Err(Error::too_large(format!("the whole has {size} bytes, where {largest} are allowed")));
        }
        match form {
            SplitForm::Json => {
                if let Payload::Text(_) | Payload::Bytes(_) = payload
                    && values_in(&payload.to_bytes()) > most_values
                {
                    return Err(Error::too_large(format!("the whole has more than {most_values} values")));
                }
                let value = payload.as_json()?;
                let Some(values) = value.as_array() else {
                    return Err(Error::unprocessable("expected a JSON array, whose values are the parts"));
                };
                self.check(values.len())?;
                Ok(values.iter().map(|value| Payload::from(value.clone())).collect())
            }
            SplitForm::Xml => {
                let parts = children(document(payload)?, most)?;
                Ok(parts.into_iter().map(|part| Payload::from(Xml::new(part))).collect())
            }
            SplitForm::Lines => {
                let is_text = matches!(payload, Payload::Text(_));
                let (Payload::Text(_) | Payload::Bytes(_)) = payload else {
                    let message = format!("expected lines of text or bytes, found {}", payload.format());
                    return Err(Error::unsupported(message));
                };
                let whole = payload.to_bytes();
                let breaks = whole.iter().filter(|byte| **byte == b'\n').count();
                self.check(breaks + usize::from(whole.last().is_some_and(|byte| *byte != b'\n')))?;
                let mut parts = Vec::new();
                let mut begin = 0;
                while begin < whole.len() {
                    let length = whole[begin..].iter().position(|byte| *byte == b'\n');
                    let next = length.map_or(whole.len(), |length| begin + length + 1);
                    let mut line = whole.slice(begin..length.map_or(whole.len(), |length| begin + length));
                    if line.ends_with(b"\r") {
                        line.truncate(line.len() - 1);
                    }
                    begin = next;
                    parts.push(if is_text { Payload::Text(Text::from_utf8(line)?) } else { Payload::Bytes(line) });
                }
                Ok(parts)
            }
        }
    }

    fn check(&self, count: usize) -> Result<()> {
        let most = self.settings.most;
        match count > most {
            true => Err(Error::too_large(format!("the whole has {count} parts, where {most} are allowed"))),
            false => Ok(()),
        }
    }
}

/// Counts the values of JSON text without reading them, or a few more: each stands behind a comma or at the beginning of a list
/// or an object.
fn values_in(text: &[u8]) -> usize {
    let (mut count, mut in_string, mut escaped) = (1, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b',' | b'[' | b'{' if !in_string => count += 1,
            _ => {}
        }
    }
    count
}

impl Actor for Split {
    fn ports(&self) -> Ports {
        match self.settings.form {
            SplitForm::Json => Ports::pipe(Format::JSON | Format::TEXT | Format::BYTES, Format::JSON),
            SplitForm::Xml => Ports::pipe(Format::XML | Format::TEXT | Format::BYTES, Format::XML),
            SplitForm::Lines => Ports::pipe(Format::TEXT | Format::BYTES, Format::TEXT | Format::BYTES),
        }
    }

    async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        let parts = self.parts(event.payload())?;
        let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let whole = with_type_unsaid(event.derive(())).with_attribute("split.count", number(parts.len()));
        for (index, part) in parts.into_iter().enumerate() {
            out.push(whole.branch(part).with_attribute("split.index", number(index)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use playhouse_engine::testing::{Probe, feed};
    use playhouse_engine::{Kind, Receipt};
    use serde_json::json;

    use super::*;

    async fn texts(split: &Split, payload: impl Into<Payload>) -> Result<Vec<String>> {
        let parts = feed(split, Event::new(payload)).await?;
        Ok(parts.iter().map(|part| part.event.payload().to_string()).collect())
    }

    #[tokio::test]
    async fn each_form_has_its_parts() {
        assert_eq!(texts(&Split::json(), "[1, false, {\"a\": []}]").await.unwrap(), ["1", "false", r#"{"a":[]}"#]);
        assert_eq!(texts(&Split::json(), json!([])).await.unwrap(), [""; 0]);
        assert_eq!(texts(&Split::xml(), "<r>t<a/><b>1</b></r>").await.unwrap(), ["<a/>", "<b>1</b>"]);
        assert_eq!(texts(&Split::lines(), "a\r\n\nb").await.unwrap(), ["a", "", "b"]);
        assert_eq!(texts(&Split::lines(), "a\n").await.unwrap(), ["a"]);
        assert_eq!(texts(&Split::lines(), "").await.unwrap(), [""; 0]);
        let bytes = feed(&Split::lines(), Event::new(b"\xff\n\xfe".to_vec())).await.unwrap();
        assert_eq!(bytes[1].event.payload().to_bytes()[..], *b"\xfe");
    }

    #[tokio::test]
    async fn a_part_tells_of_its_whole() {
        let whole = Event::new(json!([1, 2])).with_attribute("colour", "red");
        let parts = feed(&Split::json(), whole.clone()).await.unwrap();
        for (index, part) in (0_i64..).zip(&parts) {
            assert_ne!(part.event.id(), whole.id());
            assert_eq!(part.event.correlation_id(), whole.correlation_id());
            assert_eq!(part.event.attribute("split.index"), Some(index.into()));
            assert_eq!(part.event.attribute("split.count"), Some(2_i64.into()));
            assert_eq!(part.event.attribute("colour"), Some("red".into()));
        }
    }

    #[tokio::test]
    async fn what_cannot_be_split_says_why() {
        let small = |form| Split::new(SplitSettings { form, most: 2, largest: 100, most_values: 5 });
        for (split, payload, kind) in [
            (Split::json(), Payload::from("{\"a\": 1}"), Kind::Unprocessable),
            (Split::json(), Payload::from("[1,"), Kind::Malformed),
            (Split::json(), Payload::from("[".repeat(100_000)), Kind::Malformed),
            (Split::json(), Payload::Empty, Kind::Unsupported),
            (Split::json(), Payload::from(Xml::new("<a/>")), Kind::Unsupported),
            (Split::json(), Payload::from(vec![0xff]), Kind::Malformed),
            (Split::xml(), Payload::from("<a><b></a>"), Kind::Malformed),
            (Split::xml(), Payload::from(json!(1)), Kind::Unsupported),
            (Split::lines(), Payload::from(json!("a")), Kind::Unsupported),
            (small(SplitForm::Json), Payload::from("[1,2,3]"), Kind::TooLarge),
            (small(SplitForm::Json), Payload::from("[[1,2,3,4,5]]"), Kind::TooLarge),
            (Split::json(), Payload::from(format!("[{}]", ["0"; 1 << 20].join(","))), Kind::TooLarge),
            (small(SplitForm::Xml), Payload::from("<r><a/><a/><a/></r>"), Kind::TooLarge),
            (small(SplitForm::Lines), Payload::from("a\nb\nc"), Kind::TooLarge),
            (small(SplitForm::Lines), Payload::from("a".repeat(101)), Kind::TooLarge),
        ] {
            let error = feed(&split, Event::new(payload.clone())).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{payload:?}: {error}");
        }
    }

    #[test]
    fn values_are_counted_but_not_in_strings() {
        for (text, most) in [("1", 1), ("[1,2]", 3), (r#"{"a":[1],"b,[":"\",["}"#, 4), ("[]", 2)] {
            assert_eq!(values_in(text.as_bytes()), most, "{text}");
        }
    }

    #[tokio::test]
    async fn the_whole_ends_when_its_parts_have_ended() {
        let (receipt, settled) = Receipt::awaited();
        let settled = tokio::spawn(settled);
        let probe = Probe::new(Split::json()).await.unwrap();
        probe.send(Event::new(json!([1, 2])).with_receipt(receipt)).await.unwrap();
        let mut probe = probe;
        let first = probe.output().await.unwrap();
        let second = probe.output().await.unwrap();
        drop(first);
        tokio::task::yield_now().await;
        assert!(!settled.is_finished());
        drop(second);
        settled.await.unwrap().unwrap();
        assert!(probe.stop().await.unwrap().balances());
    }
}
