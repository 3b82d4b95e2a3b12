//! Forms, as browsers send them.

use std::borrow::Cow;

use percent_encoding::percent_decode;
use playhouse_engine::{Error, Event, Format, Light, Outbox, Payload, Ports, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, map::Entry};

const CONTENT_TYPE: &str = "http.header.content-type";
const FORM: &str = "application/x-www-form-urlencoded";

/// Turns the body of a form (`application/x-www-form-urlencoded`) into JSON: an object with a member for each field, in
/// their order. A field is text; one that comes several times is a list of texts.
///
/// An empty body is an empty object. A `%` without two digits behind it stands for itself, as with browsers.
///
/// # Ports
/// The inbox `inbox`, for bytes, text and nothing; the outbox `outbox`, for JSON.
///
/// # Settings
///
/// | name | default | meaning |
/// |---|---|---|
/// | `largest-body` | 1 MiB | how long the body may be, in bytes |
/// | `most-fields` | 1,000 | how many fields it may have, repeated ones counted each time |
///
/// # Errors
/// `TooLarge` beyond the limits. `Malformed` where a field is not UTF-8. `Unsupported` where the attribute
/// `http.header.content-type` says that the body is something else (without one it is taken for a form), or is in another
/// character set. A `multipart/form-data` body, which carries files, is not read: such a reader is a parser of its own with
/// limits of its own for each part, and files are better sent as bodies by themselves.
///
/// # Example
/// `name=Ada&tag=a&tag=b` becomes `{"name": "Ada", "tag": ["a", "b"]}`.
/// ```
/// use playhouse_actors::{FormBody, FormBodySettings};
///
/// let form = FormBody::default();
/// let short = FormBody::new(FormBodySettings { most_fields: 20, ..Default::default() });
/// ```
#[derive(Clone, Debug, Default)]
pub struct FormBody(FormBodySettings);

/// What [`FormBody`] takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct FormBodySettings {
    /// How long the body may be, in bytes; 1 MiB by default.
    pub largest_body: usize,
    /// How many fields it may have; 1,000 by default.
    pub most_fields: usize,
}

impl Default for FormBodySettings {
    fn default() -> Self {
        Self { largest_body: 1 << 20, most_fields: 1000 }
    }
}

impl FormBody {
    /// Makes an actor with these limits.
    #[must_use]
    pub fn new(settings: FormBodySettings) -> Self {
        Self(settings)
    }

    fn fields(&self, body: &[u8]) -> Result<Value> {
        let FormBodySettings { largest_body, most_fields } = self.0;
        if body.len() > largest_body {
            let message = format!("the form has {} bytes; at most {largest_body} are allowed", body.len());
            return Err(Error::too_large(message));
        }
        let mut fields = Map::new();
        let parts = body.split(|&byte| byte == b'&').filter(|part| !part.is_empty());
        for (number, part) in parts.enumerate() {
            if number == most_fields {
                return Err(Error::too_large(format!("the form has more than {most_fields} fields")));
            }
            let at = part.iter().position(|&byte| byte == b'=');
            let (name, value) = at.map_or((part, &[][..]), |at| (&part[..at], &part[at + 1..]));
            let (name, value) = (decoded(name)?, Value::String(decoded(value)?));
            match fields.entry(name) {
                Entry::Vacant(entry) => {
                    entry.insert(value);
                }
                Entry::Occupied(mut entry) => match entry.get_mut() {
                    Value::Array(values) => values.push(value),
                    first => {
                        let both = vec![first.take(), value];
                        *first = Value::Array(both);
                    }
                },
            }
        }
        Ok(Value::Object(fields))
    }
}

impl Light for FormBody {
    fn ports(&self) -> Ports {
        Ports::pipe(Format::BYTES | Format::TEXT | Format::EMPTY, Format::JSON)
    }

    fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        if let Some(content_type) = event.attributes().text(CONTENT_TYPE) {
            check(&content_type)?;
        }
        let fields = match event.payload() {
            Payload::Bytes(bytes) => self.fields(bytes)?,
            Payload::Text(text) => self.fields(text.as_bytes())?,
            Payload::Empty => self.fields(b"")?,
            other => return Err(Error::unsupported(format!("expected a form, found {}", other.format()))),
        };
        out.push(event.derive(fields));
        Ok(())
    }
}

fn check(content_type: &str) -> Result<()> {
    let (essence, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    let essence = essence.trim();
    if essence.eq_ignore_ascii_case("multipart/form-data") {
        let message = format!("`multipart/form-data` is not read here; expected `{FORM}`");
        return Err(Error::unsupported(message));
    }
    if !essence.eq_ignore_ascii_case(FORM) {
        return Err(Error::unsupported(format!("the body is `{essence}`; expected `{FORM}`")));
    }
    match super::media::parameter(parameters, "charset") {
        Some(charset) if !charset.eq_ignore_ascii_case("utf-8") && !charset.eq_ignore_ascii_case("utf8") => {
            Err(Error::unsupported(format!("the form is in `{charset}`; expected `utf-8`")))
        }
        _ => Ok(()),
    }
}

fn decoded(part: &[u8]) -> Result<String> {
    let spaced = match part.contains(&b'+') {
        true => Cow::Owned(part.iter().map(|&byte| if byte == b'+' { b' ' } else { byte }).collect()),
        false => Cow::Borrowed(part),
    };
    match percent_decode(&spaced).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(error) => Err(Error::malformed("a field of the form is not UTF-8").caused_by(error)),
    }
}

#[cfg(test)]
mod tests {
    use playhouse_engine::{Kind, testing};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    async fn read(body: impl Into<Payload>) -> Result<Value> {
        let outputs = testing::feed(&FormBody::default(), Event::new(body)).await?;
        outputs[0].event.payload().as_json().map(|value| (*value).clone())
    }

    #[tokio::test]
    async fn every_field_becomes_a_member() {
        for (body, fields) in [
            ("", json!({})),
            ("a=1", json!({"a": "1"})),
            ("z=1&a=2&XML=%3Ca%2F%3E", json!({"z": "1", "a": "2", "XML": "<a/>"})),
            ("tag=a&x=1&tag=b&tag=", json!({"tag": ["a", "b", ""], "x": "1"})),
            ("a+b=c+d%2B%26", json!({"a b": "c d+&"})),
            ("a&b==&=c&&", json!({"a": "", "b": "=", "": "c"})),
            ("a=100%&b=%zz%4", json!({"a": "100%", "b": "%zz%4"})),
            ("name=%C3%84da", json!({"name": "Äda"})),
        ] {
            assert_eq!(read(body).await.unwrap(), fields, "{body}");
            assert_eq!(read(body.as_bytes().to_vec()).await.unwrap(), fields, "{body}");
        }
        let order = read("z=1&a=2&m=3").await.unwrap();
        assert_eq!(order.to_string(), r#"{"z":"1","a":"2","m":"3"}"#);
    }

    #[tokio::test]
    async fn limits_are_kept() {
        let many = vec!["a=1"; 1001].join("&");
        assert_eq!(read(many).await.unwrap_err().message(), "the form has more than 1000 fields");
        assert_eq!(read("a".repeat((1 << 20) + 1)).await.unwrap_err().kind(), Kind::TooLarge);
        assert_eq!(read("a=%FF").await.unwrap_err().kind(), Kind::Malformed);
    }

    #[tokio::test]
    async fn another_content_type_is_refused_by_its_name() {
        for (content_type, message) in [
            ("application/x-www-form-urlencoded", None),
            ("Application/X-WWW-Form-Urlencoded; charset=UTF-8", None),
            (
                "multipart/form-data; boundary=x",
                Some("`multipart/form-data` is not read here; expected `application/x-www-form-urlencoded`"),
            ),
            ("text/plain", Some("the body is `text/plain`; expected `application/x-www-form-urlencoded`")),
            ("application/x-www-form-urlencoded; charset=latin1", Some("the form is in `latin1`; expected `utf-8`")),
        ] {
            let event = Event::new("a=1").with_attribute(CONTENT_TYPE, content_type);
            let outcome = testing::feed(&FormBody::default(), event).await;
            assert_eq!(outcome.as_ref().err().map(Error::message), message, "{content_type}");
            assert!(outcome.err().is_none_or(|error| error.kind() == Kind::Unsupported));
        }
    }

    proptest! {
        #[test]
        fn any_body_is_a_form_or_a_typed_error(body in prop::collection::vec(any::<u8>(), 0..300)) {
            match FormBody::default().fields(&body) {
                Ok(fields) => prop_assert!(fields.is_object()),
                Err(error) => prop_assert_eq!(error.kind(), Kind::Malformed),
            }
        }

        #[test]
        fn what_a_browser_encodes_is_read_back(fields in prop::collection::hash_map(".{0,10}", ".{0,10}", 1..8)) {
            let encode = |text: &str| {
                percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string().replace("%20", "+")
            };
            let body: Vec<_> = fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
            let read = FormBody::default().fields(body.join("&").as_bytes()).unwrap();
            prop_assert_eq!(read, json!(fields));
        }
    }
}
