//! Whatever comes to an actor that reads payloads, it passes it on or fails with an error that says what is wrong with it: never a
//! panic, and never one that blames the actor.

#![allow(clippy::unwrap_used)]
#![cfg(all(
    feature = "convert",
    feature = "cookie",
    feature = "json-schema",
    feature = "router",
    feature = "template",
    feature = "xslt"
))]

use playhouse_actors::xslt::Xslt;
use playhouse_actors::{
    Dedup, DedupSettings, DocumentRouter, FormBody, JsonSchema, JsonToXml, KeyFrom, MethodRouter, PropertiesToXml,
    ReadCookie, ReadCookieSettings, RestResponse, Router, RouterSettings, Set, SetAttribute, SetCookie,
    SetCookieSettings, SetFromXml, SetStatus, Split, Switch, SwitchSettings, Template, TemplateKind, When, XmlToJson,
    Xsd,
};
use playhouse_engine::testing::feed;
use playhouse_engine::{Event, Kind, Payload, Xml};
use proptest::prelude::*;
use serde_json::{Value, json};

const KEY: &str = "Zm9yIGFuIGV4YW1wbGUgb25seSwgbm90IGZvciB1c2U=";

const STYLESHEET: &str = r#"<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
  <xsl:template match="/"><a><xsl:value-of select="//b"/></a></xsl:template>
</xsl:stylesheet>"#;

const SCHEMA: &str =
    r#"<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="a" type="xs:int"/></xs:schema>"#;

/// Text that is nearly a document of some kind, or nothing of any.
fn text() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "<a>",
        "</a>",
        "<b x='1'>",
        "</b>",
        "<a",
        "/>",
        "<!DOCTYPE a>",
        "<![CDATA[",
        "]]>",
        "&amp;",
        "&lol;",
        "<?x?>",
        "{",
        "}",
        "[",
        "]",
        "\"a\"",
        ":",
        ",",
        "1e999",
        "null",
        "\\ud800",
        "a=b",
        "&",
        "%zz",
        "+",
        ";",
        "{{",
        "}}",
        "\n",
        "\0",
        "é",
        "\u{feff}",
        "-1",
        "jsonified_envelope",
    ]);
    prop_oneof![
        prop::collection::vec(pieces, 0..30).prop_map(|pieces| pieces.concat()),
        (0..3_000_usize).prop_map(|depth| "<a>".repeat(depth) + &"</a>".repeat(depth)),
        (0..3_000_usize).prop_map(|depth| "[".repeat(depth) + &"]".repeat(depth)),
        ".*",
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 40, 6, |inner| {
        let key = prop_oneof![Just("a".to_owned()), Just("@x".to_owned()), Just("#text".to_owned()), ".*"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..6).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn payload() -> impl Strategy<Value = Payload> {
    prop_oneof![
        Just(Payload::Empty),
        prop::collection::vec(any::<u8>(), 0..200).prop_map(Payload::from),
        text().prop_map(Payload::from),
        text().prop_map(|text| Payload::from(Xml::new(text))),
        value().prop_map(Payload::from),
    ]
}

/// The event as a request from outside, with what a client may have written into it.
fn request(payload: Payload, written: String) -> Event {
    Event::new(payload)
        .with_attribute("http.method", written.clone())
        .with_attribute("http.path", written.clone())
        .with_attribute("http.header.cookie", written.clone())
        .with_attribute("http.header.content-type", "application/x-www-form-urlencoded")
        .with_attribute("order", written)
}

macro_rules! survives {
    ($event:expr, $($actor:expr),+ $(,)?) => {$(
        if let Err(error) = feed(&$actor, $event.clone()).await {
            assert!(error.kind() != Kind::Internal, "{}: {error:?}", stringify!($actor));
            assert!(!error.message().is_empty());
        }
    )+};
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn no_payload_brings_an_actor_down(payload in payload(), written in text()) {
        let event = request(payload, written);
        let rules = || {
            RouterSettings::blacklist(["rest"])
                .route(When::text().matches("a+b?$"), ["yes"])
                .route(When::json("a/0").matches("."), ["yes"])
                .route(When::attribute("http.path").contains("a"), ["yes"])
        };
        let switch = SwitchSettings::default().case("json.a == attributes['order']", "yes").otherwise("no");
        let page = "{% for item in json %}{{ item }}{% endfor %}{{ attributes['order'] }}";
        let (set, read) = (
            SetCookieSettings { from_attribute: Some("order".into()), keys: vec![KEY.into()], ..Default::default() },
            ReadCookieSettings { keys: vec![KEY.into()], ..Default::default() },
        );
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            survives!(
                event,
                JsonToXml::default(),
                XmlToJson::default(),
                PropertiesToXml::default(),
                Xslt::from_text(STYLESHEET).unwrap(),
                Xsd::from_text(SCHEMA).unwrap(),
                Xsd::well_formed(),
                JsonSchema::new(json!({"type": "object", "properties": {"a": {"format": "date"}}})).unwrap(),
                Router::new(rules()).unwrap(),
                DocumentRouter::new(rules().route(When::xpath("//b").matches("."), ["yes"])).unwrap(),
                MethodRouter::of(["GET", "POST"]).unwrap(),
                Switch::new(switch).unwrap(),
                SetAttribute::new(Set::attribute("order/source").from_json("/a/0")).unwrap(),
                SetAttribute::new(Set::payload("a/b").from_attribute("order")).unwrap(),
                SetFromXml::new(Set::attribute("found").from_xpath("//b/@x")).unwrap(),
                SetStatus::to(202).unwrap(),
                SetCookie::new(set).unwrap(),
                ReadCookie::new(read).unwrap(),
                RestResponse::at("/orders/{entity_id}").unwrap(),
                Template::from_text(TemplateKind::Html, page).unwrap(),
                FormBody::default(),
                Split::json(),
                Split::xml(),
                Split::lines(),
                Dedup::new(DedupSettings { key: KeyFrom::Payload, ..Default::default() }).unwrap(),
            );
        });
    }
}
