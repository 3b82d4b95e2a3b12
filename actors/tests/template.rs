//! What templates make of events, and what they cannot do.
#![cfg(feature = "template")]
#![allow(clippy::unwrap_used, reason = "a test may")]

use playhouse_actors::{Template, TemplateKind, TemplateSettings};
use playhouse_engine::testing::feed;
use playhouse_engine::{Error, Event, Kind, Payload, Xml};
use proptest::prelude::*;
use serde_json::json;

async fn made(kind: TemplateKind, text: &str, event: Event) -> Result<Event, Error> {
    Ok(feed(&Template::from_text(kind, text)?, event).await?.remove(0).event)
}

async fn text(kind: TemplateKind, template: &str, event: Event) -> String {
    made(kind, template, event).await.unwrap().payload().to_string()
}

#[tokio::test]
async fn a_template_sees_payload_attributes_ids_and_errors() {
    let event = Event::new(json!({"z": 1, "a": [{"n": "x"}, {"n": "y"}]}))
        .with_attribute("http.path", "/p")
        .with_attribute("count", 7_i64)
        .with_correlation_id("c-1")
        .with_error(Error::gone("it went"));
    let template = "{{ payload.a[1].n }} {{ json.z }} {{ attributes['http.path'] }} {{ attributes.count + 1 }} \
                    {{ correlation_id }} {{ error.kind }}: {{ error.message }} \
                    {% for name in payload %}{{ name }},{% endfor %}{% for a in payload.a %}{{ a.n }}{% endfor %}";
    assert_eq!(text(TemplateKind::Text, template, event).await, "y 1 /p 8 c-1 gone: it went z,a,xy");
    assert_eq!(text(TemplateKind::Text, "{{ payload }}", Event::new(Xml::new("<a/>"))).await, "<a/>");
    assert_eq!(text(TemplateKind::Text, "{{ json.a }}{{ payload }}", Event::new("{\"a\":1}")).await, "1{\"a\":1}");
}

#[tokio::test]
async fn values_are_escaped_as_the_kind_asks_for() {
    let event = Event::new(json!({"v": "<b a=\"1\">'&"}));
    for (kind, template, expected) in [
        (TemplateKind::Html, "<p>{{ payload.v }}</p>", "<p>&lt;b a=&quot;1&quot;&gt;&#x27;&amp;</p>"),
        (TemplateKind::Xml, "<p>{{ payload.v }}</p>", "<p>&lt;b a=&quot;1&quot;&gt;&#x27;&amp;</p>"),
        (TemplateKind::Text, "{{ payload.v }}", "<b a=\"1\">'&"),
        (TemplateKind::Html, "{{ payload.v|safe }}", "<b a=\"1\">'&"),
    ] {
        assert_eq!(text(kind, template, event.clone()).await, expected);
    }
    let written = text(TemplateKind::Json, "{\"x\": {{ payload.v }}, \"all\": {{ payload }}}", event).await;
    let read: serde_json::Value = serde_json::from_str(&written).unwrap();
    assert_eq!(read, json!({"x": "<b a=\"1\">'&", "all": {"v": "<b a=\"1\">'&"}}));
}

#[tokio::test]
async fn the_kind_says_the_format_and_the_content_type() {
    for (kind, format, content_type) in [
        (TemplateKind::Html, "text", "text/html; charset=utf-8"),
        (TemplateKind::Xml, "xml", "application/xml"),
        (TemplateKind::Json, "text", "application/json"),
        (TemplateKind::Text, "text", "text/plain; charset=utf-8"),
    ] {
        let event = made(kind, "1", Event::new(())).await.unwrap();
        assert_eq!(event.payload().format().to_string(), format);
        assert_eq!(event.attribute("http.reply.header.content-type").unwrap().to_string(), content_type);
    }
    let settings = TemplateSettings {
        text: Some("{{ payload }}".into()),
        content_type: Some("image/svg+xml".into()),
        ..Default::default()
    };
    let event = feed(&Template::new(settings).unwrap(), Event::new("<")).await.unwrap().remove(0).event;
    assert_eq!(event.payload().to_string(), "&lt;");
}

#[test]
fn the_name_of_a_file_says_its_kind() {
    let folder = tempfile::tempdir().unwrap();
    for (name, is_known) in
        [("a.html", true), ("a.xml.j2", true), ("a.json.jinja", true), ("a.txt", true), ("a.j2", false), ("a", false)]
    {
        let path = folder.path().join(name);
        std::fs::write(&path, "{{ payload }}").unwrap();
        assert_eq!(Template::from_file(&path).is_ok(), is_known, "{name}");
    }
    assert!(Template::from_file(folder.path().join("none.html")).unwrap_err().message().contains("cannot be read"));
}

#[tokio::test]
async fn what_is_not_there_is_an_error_unless_it_may_be_empty() {
    let error = made(TemplateKind::Text, "a{{ payload.gone }}b", Event::new(json!({}))).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unprocessable);
    assert_eq!(text(TemplateKind::Text, "{{ payload.gone | default('x') }}", Event::new(json!({}))).await, "x");
    let settings = TemplateSettings {
        text: Some("a{{ payload.gone.too }}b".into()),
        kind: Some(TemplateKind::Text),
        strict: false,
        ..Default::default()
    };
    let event = feed(&Template::new(settings).unwrap(), Event::new(json!({}))).await.unwrap().remove(0).event;
    assert_eq!(event.payload().to_string(), "ab");
}

#[test]
fn a_template_reaches_nothing_outside_of_it() {
    for template in [
        "{% include '/etc/passwd' %}",
        "{% import 'x' as y %}",
        "{% extends 'x' %}",
        "{% macro m() %}{% endmacro %}",
        "{{ unfinished",
        "{% for x in y %}",
    ] {
        let error = Template::from_text(TemplateKind::Text, template).unwrap_err();
        assert_eq!(error.kind(), Kind::Malformed, "{template}");
        assert!(error.message().starts_with("the template is wrong: "), "{error}");
    }
    assert!(Template::new(TemplateSettings::default()).is_err());
    let unknown = TemplateSettings { text: Some("a".into()), ..Default::default() };
    assert!(Template::new(unknown).unwrap_err().message().contains("how are values escaped"));
}

#[tokio::test]
async fn time_and_output_are_bounded() {
    let many = "{% for a in range(10000) %}{% for b in range(10000) %}{% endfor %}{% endfor %}";
    let error = made(TemplateKind::Text, many, Event::new(())).await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (Kind::TooLarge, "the template takes more steps than are allowed"));
    let long = "{% for a in range(20000) %}{{ payload }}{% endfor %}";
    let error = made(TemplateKind::Text, long, Event::new("x".repeat(100))).await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (Kind::TooLarge, "the template makes more than 1048576 bytes"));
    let recursive = "{% for a in payload recursive %}{{ loop(a) }}{% endfor %}";
    let mut deep = json!([]);
    for _ in 0..100 {
        deep = json!([deep]);
    }
    assert!(made(TemplateKind::Text, recursive, Event::new(deep)).await.is_ok());
}

#[tokio::test]
async fn hostile_payloads_are_typed_errors() {
    for (payload, kind) in [
        (Payload::from("{bad"), Kind::Malformed),
        ("[".repeat(100_000).into(), Kind::Malformed),
        (vec![0xff].into(), Kind::Malformed),
        (" ".repeat((1 << 20) + 1).into(), Kind::TooLarge),
        (().into(), Kind::Unprocessable),
        (Xml::new("<a/>").into(), Kind::Unprocessable),
        (json!([1]).into(), Kind::Unprocessable),
    ] {
        let error = made(TemplateKind::Text, "{{ json.a.b }}", Event::new(payload)).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
}

#[test]
fn settings_in_a_file_are_those_in_code() {
    let text = "text = \"{{ id }}\"\nkind = \"html\"\nsteps = 50\nstrict = false";
    let in_code = TemplateSettings {
        text: Some("{{ id }}".into()),
        kind: Some(TemplateKind::Html),
        steps: 50,
        strict: false,
        ..Default::default()
    };
    assert_eq!(toml::from_str::<TemplateSettings>(text).unwrap(), in_code);
}

proptest! {
    #[test]
    fn no_text_breaks_out_of_html(value in "\\PC{0,40}") {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let made = runtime.block_on(text(TemplateKind::Html, "<p title=\"{{ payload }}\">{{ payload }}</p>", Event::new(value.clone())));
        let inner = made.strip_prefix("<p title=\"").unwrap().strip_suffix("</p>").unwrap();
        prop_assert_eq!(inner.matches('<').count() + inner.matches('"').count() + inner.matches('>').count(), 2);
    }
}
