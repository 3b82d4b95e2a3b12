//! What is set to what, and what becomes of what is not there.
#![allow(clippy::unwrap_used, reason = "a test may")]

use playhouse_actors::{Missing, Set, SetAttribute};
use playhouse_engine::testing::feed;
use playhouse_engine::{Error, Event, Kind, Payload, Value as Attribute, Xml};
use proptest::prelude::*;
use serde_json::{Value, json};

async fn set(set: Set, event: Event) -> Result<Event, Error> {
    Ok(feed(&SetAttribute::new(set).unwrap(), event).await?.remove(0).event)
}

#[tokio::test]
async fn a_value_keeps_its_type() {
    for (value, expected) in [
        (json!("a"), Attribute::from("a")),
        (json!(7), 7_i64.into()),
        (json!(true), true.into()),
        (json!(1.5), json!(1.5).into()),
        (json!({"a": [1]}), json!({"a": [1]}).into()),
    ] {
        let event = set(Set::attribute("x").to(value), Event::new("p").with_attribute("x", "old")).await.unwrap();
        assert_eq!(event.attribute("x"), Some(expected));
        assert_eq!(event.payload().to_string(), "p");
    }
}

#[tokio::test]
async fn nested_keys_make_what_is_not_there() {
    let event = set(Set::attribute("a/b/c").to(1), Event::new(())).await.unwrap();
    assert_eq!(event.attribute("a"), Some(json!({"b": {"c": 1}}).into()));
    let again = set(Set::attribute("a/b/d").to(2), event.clone()).await.unwrap();
    assert_eq!(again.attribute("a"), Some(json!({"b": {"c": 1, "d": 2}}).into()));
    // The event that it was derived from is as it was.
    assert_eq!(event.attribute("a"), Some(json!({"b": {"c": 1}}).into()));
    let dotted = Set { separator: ".".into(), ..Set::attribute("a.b").to("x") };
    assert_eq!(set(dotted, Event::new(())).await.unwrap().attribute("a"), Some(json!({"b": "x"}).into()));
}

#[tokio::test]
async fn nothing_is_set_within_what_is_no_object() {
    for (attribute, name) in [(Attribute::from("text"), "a"), (json!({"b": 7}).into(), "b"), (json!([1]).into(), "a")] {
        let error =
            set(Set::attribute("a/b/c").to(1), Event::new(()).with_attribute("a", attribute)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Malformed);
        assert_eq!(error.message(), format!("`{name}` is no object, so nothing can be set within it"));
    }
    let error = set(Set::payload("a/b").to(1), Event::new(json!({"a": []}))).await.unwrap_err();
    assert_eq!(error.message(), "`a` is no object, so nothing can be set within it");
    let error = set(Set::payload("a").to(1), Event::new(json!([1]))).await.unwrap_err();
    assert_eq!(error.message(), "`payload` is no object, so nothing can be set within it");
}

#[tokio::test]
async fn what_is_set_can_be_another_attribute_or_a_part_of_one() {
    let event = Event::new(())
        .with_attribute("user", json!({"name": "Ada", "tags": [{"t": 1}, {"t": 2}]}))
        .with_attribute("n", 7_i64);
    for (source, expected) in [
        ("n", Attribute::from(7_i64)),
        ("user/name", "Ada".into()),
        ("user/tags/t", json!([1, 2]).into()),
        ("user/tags/1/t", 2_i64.into()),
    ] {
        let event = set(Set::attribute("x").from_attribute(source), event.clone()).await.unwrap();
        assert_eq!(event.attribute("x"), Some(expected), "{source}");
    }
}

#[tokio::test]
async fn what_is_set_can_be_what_lies_in_the_payload() {
    let value = json!({"a": {"b": [5, 6]}, "items": [{"sku": "x"}, {"sku": "y"}]});
    for payload in [Payload::from(value.clone()), value.to_string().into()] {
        for (path, expected) in [
            ("/a/b/1", Attribute::from(6_i64)),
            ("a/b/0", 5_i64.into()),
            ("items/sku", json!(["x", "y"]).into()),
            ("", value.clone().into()),
        ] {
            let event = set(Set::attribute("x").from_json(path), Event::new(payload.clone())).await.unwrap();
            assert_eq!(event.attribute("x"), Some(expected), "{path}");
        }
    }
    // A list at the root is looked into whole, not at its first element only.
    let event = set(Set::attribute("x").from_json("a"), Event::new(json!([{"a": 1}, {"a": 2}]))).await.unwrap();
    assert_eq!(event.attribute("x"), Some(json!([1, 2]).into()));
}

#[tokio::test]
async fn the_payload_is_set_whole_or_in_part() {
    let event = Event::new(json!({"a": 1})).with_attribute("agent", "curl");
    let whole = set(Set::payload("").from_attribute("agent"), event.clone()).await.unwrap();
    assert!(matches!(whole.payload(), Payload::Text(text) if text.as_str() == "curl"));
    let part = set(Set::payload("request/agent").from_attribute("agent"), event.clone()).await.unwrap();
    assert_eq!(*part.payload().as_json().unwrap(), json!({"a": 1, "request": {"agent": "curl"}}));
    assert_eq!(*event.payload().as_json().unwrap(), json!({"a": 1}));
    let fixed = set(Set::payload("").to(json!({"b": 2})), event).await.unwrap();
    assert_eq!(*fixed.payload().as_json().unwrap(), json!({"b": 2}));
    let made = set(Set::payload("a/b").to(1), Event::new(())).await.unwrap();
    assert_eq!(*made.payload().as_json().unwrap(), json!({"a": {"b": 1}}));
}

#[tokio::test]
async fn what_is_missing_is_cleared_kept_or_refused() {
    let event = Event::new(json!({"there": null})).with_attribute("x", "old");
    for source in [
        Set::attribute("x").from_json("gone"),
        Set::attribute("x").from_json("/there"),
        Set::attribute("x").from_attribute("gone/a"),
    ] {
        assert_eq!(set(source.clone(), event.clone()).await.unwrap().attribute("x"), None);
        let kept = set(source.clone().missing(Missing::Keep), event.clone()).await.unwrap();
        assert_eq!(kept.attribute("x"), Some("old".into()));
        let error = set(source.missing(Missing::Fail), event.clone()).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unprocessable);
    }
    let within = set(Set::attribute("a/b").from_attribute("gone"), event.clone()).await.unwrap();
    assert_eq!(within.attribute("a"), Some(json!({"b": null}).into()));
    let cleared = set(Set::attribute("x").to(Value::Null).missing(Missing::Fail), event).await.unwrap();
    assert_eq!(cleared.attribute("x"), None);
}

#[tokio::test]
async fn payloads_that_are_no_json_are_typed_errors() {
    let small = Set { largest_payload: 10, ..Set::attribute("x").from_json("a") };
    for (source, payload, kind) in [
        (Set::attribute("x").from_json("a"), Payload::from("{bad"), Kind::Malformed),
        (Set::attribute("x").from_json("a"), "[".repeat(100_000).into(), Kind::Malformed),
        (Set::attribute("x").from_json("a"), Xml::new("<a/>").into(), Kind::Unsupported),
        (Set::payload("a").to(1), Xml::new("<a/>").into(), Kind::Unsupported),
        (small, " ".repeat(11).into(), Kind::TooLarge),
    ] {
        assert_eq!(set(source, Event::new(payload)).await.unwrap_err().kind(), kind);
    }
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let message = SetAttribute::new(Set { separator: String::new(), ..Set::default() }).unwrap_err().to_string();
    for expected in ["the separator is empty", "expected one of `attribute` and `payload`", "expected one of `value`"] {
        assert!(message.contains(expected), "{expected} in {message}");
    }
    for wrong in [
        Set::attribute("").to(1),
        Set::attribute("x").to(1).from_json("a"),
        Set { payload: Some("a".into()), ..Set::attribute("x").to(1) },
        Set::attribute("x").from_json("/~"),
        Set::attribute("x").from_xpath("//a"),
    ] {
        assert!(SetAttribute::new(wrong.clone()).is_err(), "{wrong:?}");
    }
}

#[test]
fn settings_in_a_file_are_those_in_code() {
    let text = r#"
        attribute = "order/customer"
        from-json = "/customer/name"
        missing = "fail"
    "#;
    let in_code = Set::attribute("order/customer").from_json("/customer/name").missing(Missing::Fail);
    assert_eq!(toml::from_str::<Set>(text).unwrap(), in_code);
    assert!(toml::from_str::<Set>("atribute = \"x\"").is_err());
}

#[cfg(feature = "xslt")]
mod xml {
    use playhouse_actors::SetFromXml;

    use super::*;

    async fn found(expression: &str, xml: impl Into<String>) -> Result<Option<Attribute>, Error> {
        let actor = SetFromXml::new(Set::attribute("x").from_xpath(expression))?;
        Ok(feed(&actor, Event::new(Xml::new(xml.into()))).await?[0].event.attribute("x"))
    }

    #[tokio::test]
    async fn what_an_xpath_finds_is_none_one_or_a_list() {
        let xml = "<a xmlns='urn:a'><b>é</b><b>2</b><c k='ü'><d/></c></a>";
        assert_eq!(found("//nothing", xml).await.unwrap(), None);
        assert_eq!(found("//c/@k", xml).await.unwrap(), Some("ü".into()));
        assert_eq!(found("//b[1]/text()", xml).await.unwrap(), Some("é".into()));
        assert_eq!(found("//b", xml).await.unwrap(), Some(json!(["é", "2"]).into()));
        assert_eq!(found("count(//b)", xml).await.unwrap(), Some(2_i64.into()));
        let element = found("//c", xml).await.unwrap().unwrap().to_string();
        assert!(element.contains("<d"), "{element}");
    }

    #[tokio::test]
    async fn a_document_of_any_size_is_looked_into() {
        let large = format!("<a>{}</a>", "<b/>".repeat(10_000));
        assert_eq!(found("count(//b)", large).await.unwrap(), Some(10_000_i64.into()));
    }

    #[tokio::test]
    async fn hostile_documents_are_typed_errors() {
        for (expression, xml, kind) in [
            ("//a", "<a>".to_owned(), Kind::Malformed),
            ("//a", "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>".to_owned(), Kind::Malformed),
            ("//a", format!("{}{}", "<a>".repeat(5000), "</a>".repeat(5000)), Kind::TooLarge),
            ("count(//b[count(//b)>1])", format!("<a>{}</a>", "<b/>".repeat(10_000)), Kind::TooLarge),
            ("//a", format!("<a>{}</a>", " ".repeat(1 << 20)), Kind::TooLarge),
        ] {
            assert_eq!(found(expression, xml).await.unwrap_err().kind(), kind);
        }
        assert_eq!(found("//[", "<a/>").await.unwrap_err().kind(), Kind::Malformed);
    }
}

proptest! {
    #[test]
    fn any_target_and_any_payload_end_in_an_event_or_a_typed_error(
        target in "[a-c/]{1,8}",
        path in "[a-c0-2/]{0,8}",
        text in "[\\[\\]{}\",:a-c0-2]{0,30}",
        in_payload in any::<bool>(),
    ) {
        let settings = if in_payload { Set::payload(target) } else { Set::attribute(target) };
        let Ok(actor) = SetAttribute::new(settings.from_json(path)) else { return Ok(()) };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        if let Err(error) = runtime.block_on(feed(&actor, Event::new(text))) {
            prop_assert_eq!(error.kind(), Kind::Malformed);
        }
    }
}
