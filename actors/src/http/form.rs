//! In which form a reply goes out where a route leaves that to the client: JSON or XML, alone or in an envelope.

use http::HeaderMap;
use http::header::ACCEPT;
use playhouse_engine::Payload;
use serde_json::{Map, Value};

use super::media::{Media, media, qualities};
use super::reply::{Reply, may_have_body};
use super::view::{STATUS, reply_status};
#[cfg(feature = "convert")]
use crate::json_xml::{JsonToXmlSettings, XmlToJsonSettings, json_to_xml, xml_to_json};

/// The attribute that says what the payload of a reply is.
const REPLY_TYPE: &str = "http.reply.header.content-type";

/// The attribute that says what the payload of an event is.
const TYPE: &str = "http.header.content-type";

/// From this size on, in bytes, a payload is read on tokio's blocking pool.
const LARGE: usize = 32 * 1024;

/// What a route leaves to the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Forms {
    /// Whether JSON becomes XML for who wants that, and the other way round.
    pub(crate) by_accept: bool,
    /// Whether JSON goes out as `{"data": …}`.
    pub(crate) enveloped: bool,
}

/// The form that one client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Xml,
}

/// How one reply goes out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shaping {
    forms: Forms,
    /// Nothing where it is all the same to the client.
    wanted: Option<Form>,
}

impl Shaping {
    /// Returns how replies to a request go out; nothing where they go as they are.
    pub(crate) fn of(forms: Forms, headers: &HeaderMap) -> Option<Self> {
        (forms != Forms::default()).then(|| Self { forms, wanted: wanted(forms, headers) })
    }

    /// Says whether it may take long for this reply.
    pub(crate) fn is_long(self, reply: &Reply) -> bool {
        match &reply.payload {
            Payload::Text(text) => text.len() >= LARGE,
            Payload::Bytes(bytes) => bytes.len() >= LARGE,
            Payload::Xml(xml) => xml.bytes().len() >= LARGE,
            // How long it is nobody knows before it is written.
            Payload::Json(_) => self.forms.by_accept && self.wanted == Some(Form::Xml),
            _ => false,
        }
    }

    /// Gives a reply its form. What cannot have it goes as it is.
    pub(crate) fn shape(self, reply: Reply) -> Reply {
        let status = reply.attributes.get(STATUS).map(|status| reply_status(&status));
        let has_body = status.is_none_or(|status| status.is_some_and(may_have_body));
        if reply.error.is_some() || !has_body {
            return reply;
        }
        let media = media_of(&reply);
        let mut payload = match (&reply.payload, media) {
            (Payload::Text(_) | Payload::Bytes(_), Media::Json) => {
                reply.payload.as_json().map_or_else(|_| reply.payload.clone(), Payload::Json)
            }
            (payload, _) => payload.clone(),
        };
        let is_xml = matches!(payload, Payload::Xml(_)) || media == Media::Xml;
        #[cfg(feature = "convert")]
        if self.forms.by_accept {
            payload = self.converted(payload, is_xml);
        }
        if self.forms.enveloped {
            payload = match payload {
                Payload::Json(value) if !is_envelope(&value) => envelope(Value::clone(&value)),
                Payload::Text(text) if !is_xml && self.wanted != Some(Form::Xml) => envelope(text.as_str().into()),
                Payload::Empty if self.wanted != Some(Form::Xml) => envelope(Value::Object(Map::new())),
                other => other,
            };
        }
        let mut attributes = reply.attributes;
        if payload.format() != reply.payload.format() {
            // What was said of the payload is not true of this one.
            attributes.remove(REPLY_TYPE);
        }
        Reply { payload, attributes, error: None }
    }

    #[cfg(feature = "convert")]
    fn converted(self, payload: Payload, is_xml: bool) -> Payload {
        let outcome = match (&payload, self.wanted) {
            (Payload::Json(value), Some(Form::Xml)) => {
                json_to_xml(value, &JsonToXmlSettings::default()).map(|xml| playhouse_engine::Xml::new(xml).into())
            }
            (payload, Some(Form::Json)) if is_xml => {
                xml_to_json(&payload.to_bytes(), &XmlToJsonSettings::default()).map(Payload::from)
            }
            _ => return payload,
        };
        outcome.unwrap_or_else(|error| {
            tracing::debug!(%error, "a reply cannot be converted to what the client wants; it goes out as it is");
            payload
        })
    }
}

/// Returns what the payload of a reply is, by what is said of it.
fn media_of(reply: &Reply) -> Media {
    let named = reply.attributes.text(REPLY_TYPE).or_else(|| match reply.payload {
        // What came in as JSON and went through the flow as it was is JSON still.
        Payload::Text(_) => reply.attributes.text(TYPE),
        _ => None,
    });
    named.map_or(Media::Other, |named| Media::of(named.split(';').next().unwrap_or_default().trim()))
}

fn wanted(forms: Forms, headers: &HeaderMap) -> Option<Form> {
    if forms.by_accept && !headers.contains_key(ACCEPT) {
        return match media(headers) {
            Some((Media::Json, _)) => Some(Form::Json),
            Some((Media::Xml, _)) => Some(Form::Xml),
            _ => None,
        };
    }
    let (json, xml) = qualities(headers);
    if json > xml {
        Some(Form::Json)
    } else if xml > json {
        Some(Form::Xml)
    } else {
        None
    }
}

fn envelope(data: Value) -> Payload {
    Value::Object(Map::from_iter([("data".to_owned(), data)])).into()
}

/// Says whether a value is an envelope already: `data` alone, with something in it.
fn is_envelope(value: &Value) -> bool {
    let Some(object) = value.as_object().filter(|object| object.len() == 1) else { return false };
    match object.get("data") {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::Bool(true)) => true,
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Object(members)) => !members.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::CONTENT_TYPE;
    use playhouse_engine::{Event, Xml};
    use serde_json::json;

    use super::*;

    fn shaped(forms: Forms, accept: &'static str, event: &Event) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if !accept.is_empty() {
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
        }
        let reply = Shaping::of(forms, &headers).unwrap().shape(Reply::of(event));
        format!("{} {}", reply.payload.format(), reply.payload)
    }

    #[test]
    fn json_goes_out_in_an_envelope_unless_it_is_one() {
        let forms = Forms { enveloped: true, by_accept: false };
        for (value, expected) in [
            (json!({"a": 1}), r#"{"data":{"a":1}}"#),
            (json!([1, 2]), r#"{"data":[1,2]}"#),
            (json!("a"), r#"{"data":"a"}"#),
            (json!({"data": 1}), r#"{"data":1}"#),
            (json!({"data": 0}), r#"{"data":{"data":0}}"#),
            (json!({"data": []}), r#"{"data":{"data":[]}}"#),
            (json!({"data": null}), r#"{"data":{"data":null}}"#),
            (json!({"data": 1, "more": 2}), r#"{"data":{"data":1,"more":2}}"#),
        ] {
            assert_eq!(shaped(forms, "", &Event::new(value)), format!("json {expected}"));
        }
        assert_eq!(shaped(forms, "", &Event::new("hello")), r#"json {"data":"hello"}"#);
        assert_eq!(shaped(forms, "", &Event::new(())), r#"json {"data":{}}"#);
        assert_eq!(shaped(forms, "application/xml", &Event::new("hello")), "text hello");
        assert_eq!(shaped(forms, "", &Event::new(Xml::new("<a/>"))), "xml <a/>");
        assert_eq!(shaped(forms, "", &Event::new(b"\0".to_vec())), "bytes \0");
        assert_eq!(shaped(forms, "", &Event::new(()).with_attribute(STATUS, 204_u16)), "empty ");
    }

    #[test]
    fn text_is_what_is_said_of_it() {
        let forms = Forms { enveloped: true, by_accept: false };
        let text = |text: &'static str| Event::new(text).with_attribute(TYPE, "application/json; charset=utf-8");
        assert_eq!(shaped(forms, "", &text("[1, 2]")), r#"json {"data":[1,2]}"#);
        assert_eq!(shaped(forms, "", &text("hello")), r#"json {"data":"hello"}"#);
        assert_eq!(shaped(forms, "", &text("7").with_attribute(REPLY_TYPE, "text/plain")), r#"json {"data":"7"}"#);
    }

    #[cfg(feature = "convert")]
    #[test]
    fn a_client_gets_what_it_wants_more() {
        let forms = Forms { enveloped: false, by_accept: true };
        let (json, xml) = (Event::new(json!({"a": 1})), Event::new(Xml::new("<a>1</a>")));
        for (accept, expected_json, expected_xml) in [
            ("", "json {\"a\":1}", "json {\"a\":\"1\"}"),
            ("*/*", "json {\"a\":1}", "xml <a>1</a>"),
            ("garbage", "json {\"a\":1}", "xml <a>1</a>"),
            ("application/xml", "xml <a>1</a>", "xml <a>1</a>"),
            ("application/json;q=0.4, text/xml;q=0.5", "xml <a>1</a>", "xml <a>1</a>"),
            ("application/json, */*;q=0.1", "json {\"a\":1}", "json {\"a\":\"1\"}"),
        ] {
            assert_eq!(shaped(forms, accept, &json), expected_json, "{accept}");
            assert_eq!(shaped(forms, accept, &xml), expected_xml, "{accept}");
        }
        let cannot = Event::new(json!({"a b": 1}));
        assert_eq!(shaped(forms, "application/xml", &cannot), "json {\"a b\":1}");
        let broken = Event::new(Xml::new("<a"));
        assert_eq!(shaped(forms, "application/json", &broken), "xml <a");
        assert_eq!(shaped(forms, "application/xml", &Event::new("hello")), "text hello");
    }
}
