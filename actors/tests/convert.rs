//! The actors that convert between JSON and XML, handler alone and in a flow.

#![cfg(feature = "convert")]
#![allow(clippy::unwrap_used, reason = "a test may")]

use playhouse_actors::json_xml::{JsonToXmlSettings, Limits, XmlToJsonSettings};
use playhouse_actors::{JsonToXml, PropertiesToXml, PropertiesToXmlSettings, XmlToJson};
use playhouse_engine::testing::{Feed, Probe, feed};
use playhouse_engine::{Error, Event, Kind, Payload, Result, Value, Xml};
use serde_json::json;

const CONTENT_TYPE: &str = "http.header.content-type";

async fn one<A: Feed<M>, M>(actor: &A, event: Event) -> Result<Event> {
    let mut outputs = feed(actor, event).await?;
    assert_eq!(outputs.len(), 1);
    Ok(outputs.remove(0).event)
}

async fn text<A: Feed<M>, M>(actor: &A, payload: impl Into<Payload>) -> String {
    one(actor, Event::new(payload)).await.unwrap().payload().to_string()
}

async fn failure<A: Feed<M>, M>(actor: &A, payload: impl Into<Payload>) -> Kind {
    one(actor, Event::new(payload)).await.unwrap_err().kind()
}

#[tokio::test]
async fn json_becomes_xml_as_it_did_in_the_original() {
    let settings = JsonToXmlSettings { key: "dicttoxml".into(), embed_xml: true, ..Default::default() };
    let actor = JsonToXml::new(settings).unwrap();
    assert_eq!(text(&actor, json!({"foo": "bar"})).await, "<foo>bar</foo>");
    assert_eq!(
        text(&actor, json!({"foo": "bar", "fubar": "barfu"})).await,
        "<dicttoxml><foo>bar</foo><fubar>barfu</fubar></dicttoxml>"
    );
    assert_eq!(
        text(&actor, json!({"foo": "<foo><bar>barvalue</bar></foo>", "fubar": "barfu"})).await,
        "<dicttoxml><foo><foo><bar>barvalue</bar></foo></foo><fubar>barfu</fubar></dicttoxml>"
    );
    assert_eq!(
        text(&actor, json!({"root": {"foo": ["bar", "bar", "bar"]}})).await,
        "<root><foo>bar</foo><foo>bar</foo><foo>bar</foo></root>"
    );
    assert_eq!(
        text(&actor, json!({"errors": [{"foo": "bar"}, {"foo": "bar"}]})).await,
        "<jsonified_envelope><errors><foo>bar</foo></errors><errors><foo>bar</foo></errors></jsonified_envelope>"
    );
    assert_eq!(text(&actor, Xml::new("<foo>bar</foo>")).await, "<foo>bar</foo>");
}

#[tokio::test]
async fn xml_becomes_json_as_it_did_in_the_original() {
    let actor = XmlToJson::default();
    for (xml, json) in [
        ("<foo>bar</foo>", r#"{"foo":"bar"}"#),
        (
            "<root><foo><foo><bar>barvalue</bar></foo></foo><fubar>barfu</fubar></root>",
            r#"{"root":{"foo":{"foo":{"bar":"barvalue"}},"fubar":"barfu"}}"#,
        ),
        ("<root><foo>bar</foo><foo>bar</foo><foo>bar</foo></root>", r#"{"root":{"foo":["bar","bar","bar"]}}"#),
        (
            "<jsonified_envelope><errors><foo>bar</foo></errors><errors><foo>bar</foo></errors></jsonified_envelope>",
            r#"{"errors":[{"foo":"bar"},{"foo":"bar"}]}"#,
        ),
    ] {
        assert_eq!(text(&actor, Xml::new(xml)).await, json);
    }
    let flat = XmlToJson::new(XmlToJsonSettings { flatten: true, ..Default::default() }).unwrap();
    assert_eq!(text(&flat, Xml::new("<root><foo>bar</foo></root>")).await, r#"{"foo":"bar"}"#);
}

#[tokio::test]
async fn text_and_bytes_are_parsed_and_the_right_format_passes() {
    let to_xml = JsonToXml::default();
    assert_eq!(text(&to_xml, r#"{"a": 1}"#).await, "<a>1</a>");
    assert_eq!(text(&to_xml, br#"{"a": 1}"#.to_vec()).await, "<a>1</a>");
    let to_json = XmlToJson::default();
    assert_eq!(text(&to_json, "<?xml version='1.0' encoding='latin-1'?><a>é</a>").await, r#"{"a":"é"}"#);
    let latin = b"<?xml version='1.0' encoding='latin-1'?><a>\xe9</a>".to_vec();
    assert_eq!(text(&to_json, latin.clone()).await, r#"{"a":"é"}"#);
    assert_eq!(text(&to_json, Xml::new(latin)).await, r#"{"a":"é"}"#);
    assert_eq!(text(&to_json, "\u{feff}<a/>").await, r#"{"a":null}"#);
    let json = one(&to_json, Event::new(json!([1]))).await.unwrap();
    assert!(matches!(json.payload(), Payload::Json(value) if **value == json!([1])));
    let xml = one(&to_xml, Event::new(Xml::new("<a"))).await.unwrap();
    assert!(matches!(xml.payload(), Payload::Xml(xml) if **xml.bytes() == *b"<a"));
}

#[tokio::test]
async fn the_event_stays_and_its_media_type_changes() {
    let event = Event::new(r#"{"a":1}"#).with_attribute("colour", "red").with_attribute(CONTENT_TYPE, "text/plain");
    let xml = one(&JsonToXml::default(), event.clone()).await.unwrap();
    assert!(matches!(xml.payload(), Payload::Xml(_)));
    assert_eq!((xml.id(), xml.attribute("colour")), (event.id(), Some("red".into())));
    assert_eq!(xml.attribute(CONTENT_TYPE), Some("application/xml; charset=utf-8".into()));
    let json = one(&XmlToJson::default(), xml).await.unwrap();
    assert!(matches!(json.payload(), Payload::Json(_)));
    assert_eq!((json.id(), json.attribute("colour")), (event.id(), Some("red".into())));
    assert_eq!(json.attribute(CONTENT_TYPE), Some("application/json".into()));
}

#[tokio::test]
async fn what_cannot_be_converted_fails_the_event_with_a_kind() {
    let to_xml = JsonToXml::default();
    assert_eq!(failure(&to_xml, "{bad").await, Kind::Malformed);
    assert_eq!(failure(&to_xml, vec![0xff]).await, Kind::Malformed);
    assert_eq!(failure(&to_xml, ()).await, Kind::Unsupported);
    assert_eq!(failure(&to_xml, json!({"a b": 1})).await, Kind::Unprocessable);
    let to_json = XmlToJson::default();
    assert_eq!(failure(&to_json, "<bad").await, Kind::Malformed);
    assert_eq!(failure(&to_json, ()).await, Kind::Unsupported);
    assert_eq!(failure(&to_json, Xml::new("<?xml version='1.0' encoding='x'?><a/>")).await, Kind::Unsupported);
}

#[tokio::test]
async fn a_failed_event_goes_along_the_error_route_of_the_actor() {
    let mut probe = Probe::new(XmlToJson::default()).await.unwrap();
    probe.send(Event::new("<a><b></a>")).await.unwrap();
    let failed = probe.error().await.unwrap();
    assert_eq!(failed.payload().to_string(), "<a><b></a>");
    let message = failed.error().map(Error::message).map(str::to_owned);
    assert_eq!(message.as_deref(), Some("line 1: ill-formed document: expected `</b>`, but `</a>` was found"));
    probe.stop().await.unwrap();
}

#[tokio::test]
async fn large_documents_are_converted_aside_and_within_the_limits() {
    let lines: Vec<_> =
        (0..30_000).map(|number| json!({"@number": number.to_string(), "#text": "pen & ink"})).collect();
    let order = json!({"order": {"line": lines}});
    let xml = one(&JsonToXml::default(), Event::new(order.clone())).await.unwrap();
    assert!(xml.payload().to_bytes().len() > 1 << 20);
    let back = one(&XmlToJson::default(), xml.clone()).await.unwrap();
    assert_eq!(*back.payload().as_json().unwrap(), order);
    // As text, it is parsed aside too.
    let again = one(&JsonToXml::default(), Event::new(order.to_string())).await.unwrap();
    assert_eq!(again.payload().to_bytes(), xml.payload().to_bytes());

    let limits = Limits { bytes: 1 << 20, ..Limits::default() };
    let to_xml = JsonToXml::new(JsonToXmlSettings { limits, ..Default::default() }).unwrap();
    assert_eq!(failure(&to_xml, order.clone()).await, Kind::TooLarge);
    assert_eq!(failure(&to_xml, order.to_string()).await, Kind::TooLarge);
    let to_json = XmlToJson::new(XmlToJsonSettings { limits, ..Default::default() }).unwrap();
    assert_eq!(failure(&to_json, xml.payload().clone()).await, Kind::TooLarge);
    let few = Limits { nodes: 1000, ..Limits::default() };
    let to_json = XmlToJson::new(XmlToJsonSettings { limits: few, ..Default::default() }).unwrap();
    assert_eq!(failure(&to_json, xml.payload().clone()).await, Kind::TooLarge);
    assert_eq!(failure(&JsonToXml::default(), format!("[{}0]", "0,".repeat(600_000))).await, Kind::TooLarge);
}

#[tokio::test]
async fn properties_become_xml() {
    let settings = PropertiesToXmlSettings { key: "propertiestoxml".into(), ..Default::default() };
    let actor = PropertiesToXml::new(settings.clone()).unwrap();
    let event = Event::new(json!({"foo": "bar"}))
        .with_attribute("service", "default")
        .with_attribute("http.status", 404_i64)
        .with_attribute("urgent", true)
        .with_attribute("tags", Value::from(json!(["<a>", {"b": 1}])));
    let id = event.id();
    let output = one(&actor, event.clone()).await.unwrap();
    let expected = format!(
        "<propertiestoxml><id>{id}</id><correlation>{id}</correlation><service>default</service>\
         <http.status>404</http.status><urgent>true</urgent><tags>&lt;a&gt;</tags><tags><b>1</b></tags></propertiestoxml>"
    );
    assert_eq!(output.payload().to_string(), expected);
    assert_eq!((output.id(), output.attribute("urgent")), (id, Some(true.into())));
    assert_eq!(output.attribute(CONTENT_TYPE), Some("application/xml; charset=utf-8".into()));

    let only = PropertiesToXmlSettings { only: Some(["service".to_owned()].into()), ..settings };
    let told = text(&PropertiesToXml::new(only).unwrap(), ()).await;
    assert!(!told.contains("status"), "{told}");
    let failed = event.with_error(Error::not_found("no `order`"));
    let told = one(&PropertiesToXml::default(), failed).await.unwrap().payload().to_string();
    assert!(told.starts_with("<properties><id>"), "{told}");
    assert!(
        told.ends_with("<error><kind>not-found</kind><message>no `order`</message><actor/></error></properties>"),
        "{told}"
    );
}

#[tokio::test]
async fn an_event_in_a_flow_tells_when_it_was_created() {
    let mut probe = Probe::new(PropertiesToXml::default()).await.unwrap();
    probe.send(Event::new(())).await.unwrap();
    let told = probe.output().await.unwrap().payload().to_string();
    let created = told.split_once("<created>").and_then(|(_, rest)| rest.split_once("</created>")).unwrap().0;
    assert!(humantime::parse_rfc3339(created).is_ok(), "{told}");
    probe.stop().await.unwrap();
}

#[tokio::test]
async fn a_property_that_xml_cannot_name_is_an_error() {
    let event = Event::new(()).with_attribute("a><b", "x");
    assert_eq!(one(&PropertiesToXml::default(), event).await.unwrap_err().kind(), Kind::Unprocessable);
    let event = Event::new(()).with_attribute("a", "\u{1}");
    assert_eq!(one(&PropertiesToXml::default(), event).await.unwrap_err().kind(), Kind::Unprocessable);
}

#[test]
fn settings_are_read_from_a_file_and_unknown_ones_refused() {
    let written: JsonToXmlSettings = toml::from_str("key = 'order'\nembed-xml = true\nlimits.bytes = 1000").unwrap();
    let limits = Limits { bytes: 1000, ..Limits::default() };
    assert_eq!(written, JsonToXmlSettings { key: "order".into(), embed_xml: true, limits });
    let written: XmlToJsonSettings =
        toml::from_str("typed = true\nlists = ['line', 'line']\nkeep-whitespace = true").unwrap();
    let lists = ["line".to_owned()].into();
    assert_eq!(written, XmlToJsonSettings { typed: true, keep_whitespace: true, lists, ..Default::default() });
    assert!(toml::from_str::<XmlToJsonSettings>("type = true").is_err());
    assert!(toml::from_str::<PropertiesToXmlSettings>("only = ['service']\nkeys = 'x'").is_err());
}

#[test]
fn settings_that_make_no_sense_are_refused_when_the_actor_is_made() {
    let error = JsonToXml::new(JsonToXmlSettings { key: "a b".into(), ..Default::default() }).unwrap_err();
    assert_eq!(error.message(), "`key` is `a b`; expected a name that an XML element may have");
    let error = XmlToJson::new(XmlToJsonSettings { lists: ["1".to_owned()].into(), ..Default::default() }).unwrap_err();
    assert_eq!(error.message(), "`lists` is `1`; expected a name that an XML element may have");
    let limits = Limits { nodes: 0, ..Limits::default() };
    let error = PropertiesToXml::new(PropertiesToXmlSettings { limits, ..Default::default() }).unwrap_err();
    assert_eq!((error.kind(), error.message()), (Kind::Malformed, "the limit `nodes` is 0; expected at least 1"));
    let error = JsonToXml::new(JsonToXmlSettings { limits, key: "1".into(), ..Default::default() }).unwrap_err();
    let all = "the limit `nodes` is 0; expected at least 1; `key` is `1`; expected a name that an XML element may have";
    assert_eq!(error.message(), all);
    assert!(XmlToJson::new(XmlToJsonSettings { limits, ..Default::default() }).is_err());
}
