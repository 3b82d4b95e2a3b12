//! The XSLT actor, handler alone and in a flow: what it makes of payloads, and which errors it ends with.

#![cfg(feature = "xslt")]
#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::path::Path;
use std::time::{Duration, Instant};

use playhouse_actors::Xslt;
use playhouse_actors::xslt::Limits;
use playhouse_engine::testing::{Probe, feed};
use playhouse_engine::{Error, Event, Kind, Payload, Policy, Workers, Xml};

fn sheet(body: &str) -> String {
    format!(r#"<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">{body}</xsl:stylesheet>"#)
}

#[track_caller]
fn xslt(body: &str) -> Xslt {
    Xslt::from_text(&sheet(body)).expect("the stylesheet compiles")
}

async fn transform(actor: &Xslt, payload: impl Into<Payload>) -> Result<Event, Error> {
    let mut outputs = feed(actor, Event::new(payload)).await?;
    assert_eq!(outputs.len(), 1);
    Ok(outputs.remove(0).event)
}

const COPY: &str = r#"<xsl:template match="/"><xsl:copy-of select="."/></xsl:template>"#;

#[tokio::test]
async fn the_bytes_are_those_of_xsltproc() {
    // The `.out` files were written by xsltproc (libxslt 1.1.35, libxml2 2.9.14), `parameters.out` with --stringparam.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/xslt");
    let orders = Payload::Xml(Xml::new(std::fs::read(folder.join("orders.xml")).unwrap()));
    let mut compared = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "xsl") {
            continue;
        }
        let mut actor = Xslt::from_file(&path).unwrap();
        if path.ends_with("parameters.xsl") {
            for (name, value) in [("single", "it's"), ("double", "say \"hi\""), ("expression", "1 + 1")] {
                actor = actor.parameter(name, value).unwrap();
            }
        }
        let body = transform(&actor, orders.clone()).await.unwrap().payload().to_bytes();
        let expected = std::fs::read(path.with_extension("out")).unwrap();
        assert!(body == expected, "{}:\n{}", path.display(), String::from_utf8_lossy(&body));
        compared += 1;
    }
    assert_eq!(compared, 19);
}

#[tokio::test]
async fn every_form_of_a_document_is_taken() {
    let actor = xslt(COPY);
    let text = "<a>tea</a>";
    for payload in [text.into(), Payload::from(text.as_bytes().to_vec()), Payload::Xml(Xml::new(text))] {
        let event = transform(&actor, payload).await.unwrap();
        assert_eq!(event.payload().as_text().unwrap(), "<?xml version=\"1.0\"?>\n<a>tea</a>\n");
    }
    for payload in [Payload::Empty, serde_json::json!({"a": 1}).into()] {
        let error = transform(&actor, payload).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported, "{error}");
    }
}

#[tokio::test]
async fn the_method_decides_the_payload_and_the_content_type() {
    for (output, payload, content_type) in [
        ("", "xml", "application/xml; charset=UTF-8"),
        (
            r#"<xsl:output encoding="ISO-8859-1" media-type="image/svg+xml"/>"#,
            "xml",
            "image/svg+xml; charset=ISO-8859-1",
        ),
        (r#"<xsl:output method="html"/>"#, "text", "text/html; charset=UTF-8"),
        (r#"<xsl:output method="html" encoding="ISO-8859-1"/>"#, "bytes", "text/html; charset=ISO-8859-1"),
        (r#"<xsl:output method="text" encoding="utf-8"/>"#, "text", "text/plain; charset=utf-8"),
    ] {
        let event = transform(&xslt(&format!("{output}{COPY}")), "<a>é</a>").await.unwrap();
        assert_eq!(event.payload().format().to_string(), payload, "{output}");
        assert_eq!(event.attributes().text("http.header.content-type").as_deref(), Some(content_type));
    }
}

#[tokio::test]
async fn the_input_keeps_its_id_and_attributes() {
    let event = Event::new("<a/>").with_attribute("user", "ada");
    let output = feed(&xslt(COPY), event.clone()).await.unwrap().remove(0).event;
    assert_eq!(output.id(), event.id());
    assert_eq!(output.attributes().text("user").as_deref(), Some("ada"));
}

#[tokio::test]
async fn a_terminating_message_is_the_error() {
    let actor = xslt(
        r#"<xsl:template match="/"><xsl:message terminate="yes">no order <xsl:value-of select="/a"/></xsl:message></xsl:template>"#,
    );
    let error = transform(&actor, "<a>7</a>").await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (Kind::Malformed, "no order 7"));
}

#[tokio::test]
async fn hostile_documents_and_stylesheets_end_with_an_error_soon() {
    let laughs = r#"<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><a>&b;</a>"#.to_owned();
    let external = r#"<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><a>&e;</a>"#.to_owned();
    let deep = "<a>".repeat(100_000) + &"</a>".repeat(100_000);
    let endless = r#"<xsl:template match="*"><xsl:apply-templates select="/"/></xsl:template>"#;
    let read = r#"<xsl:template match="/"><xsl:copy-of select="document('file:///etc/passwd')"/></xsl:template>"#;
    let loops = r#"<xsl:template match="/" name="t"><xsl:param name="d" select="0"/><xsl:if test="$d &lt; 60">
        <xsl:call-template name="t"><xsl:with-param name="d" select="$d + 1"/></xsl:call-template>
        <xsl:call-template name="t"><xsl:with-param name="d" select="$d + 1"/></xsl:call-template></xsl:if></xsl:template>"#;
    let started = Instant::now();
    for (body, document, kind) in [
        (COPY, laughs, Kind::Malformed),
        (COPY, external, Kind::Malformed),
        (COPY, deep, Kind::TooLarge),
        (COPY, "no xml".into(), Kind::Malformed),
        (endless, "<a/>".into(), Kind::Internal),
        (read, "<a/>".into(), Kind::Forbidden),
        (loops, "<a/>".into(), Kind::TooLarge),
    ] {
        let actor = xslt(body).limits(Limits { operations: 1_000_000, ..Limits::default() });
        let error = transform(&actor, document).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_large_document_does_not_hold_the_runtime() {
    let actor = xslt(COPY);
    let large = format!("<a>{}</a>", "<b>text</b>".repeat(50_000));
    let done = Cell::new(false);
    let transform = async {
        let event = transform(&actor, large).await;
        done.set(true);
        event
    };
    // Polled in this order, on one thread: had the transform run there, it would be done at the second's first poll.
    let (transformed, was_done) = tokio::join!(biased; transform, async { done.get() });
    assert!(!was_done);
    assert!(transformed.unwrap().payload().to_bytes().ends_with(b"<b>text</b></a>\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flow_transforms_and_sends_what_fails_along_the_error_route() {
    let policy = Policy { workers: Workers::from(2), ..Policy::default() };
    let mut probe = Probe::with_policy(xslt(COPY), policy).await.unwrap();
    for _ in 0..50 {
        probe.send(Event::new("<a/>")).await.unwrap();
        assert!(probe.output().await.unwrap().payload().as_text().unwrap().ends_with("<a/>\n"));
    }
    probe.send(Event::new("<a>")).await.unwrap();
    let failed = probe.error().await.unwrap();
    assert_eq!(failed.error().unwrap().kind(), Kind::Malformed);
    assert_eq!(failed.payload().as_text().unwrap(), "<a>");
    let ledger = probe.stop().await.unwrap();
    assert!(ledger.balances(), "{ledger:?}");
}

#[test]
fn a_stylesheet_that_does_not_compile_is_an_error_at_construction() {
    let error = Xslt::from_text(&sheet("\n<xsl:template match='/'><xsl:value-of/></xsl:template>")).unwrap_err();
    assert_eq!(error.kind(), Kind::Malformed);
    assert!(error.message().starts_with("`stylesheet` line 2: "), "{error}");
    assert!(Xslt::from_file("none.xsl").unwrap_err().message().starts_with("`none.xsl` cannot be read: "));
    assert!(xslt(COPY).parameter("p", "1").is_err());
    assert!(xslt(COPY).allow_folder("/none").is_err());
}

#[tokio::test]
async fn a_doctype_is_read_where_it_is_allowed_and_counts_against_the_limits() {
    let entities = r#"<!DOCTYPE a [<!ENTITY e "<b><b>x</b></b>"><!ATTLIST b c CDATA "d">]><a>&e;&e;</a>"#;
    let body =
        r#"<xsl:output omit-xml-declaration="yes"/><xsl:template match="/"><xsl:copy-of select="a"/></xsl:template>"#;
    let error = transform(&xslt(body), entities).await.unwrap_err();
    assert_eq!(error.message(), "the document has a `DOCTYPE`, which is refused");
    let allowed = xslt(body).allow_doctype();
    let event = transform(&allowed, entities).await.unwrap();
    let b = r#"<b c="d"><b c="d">x</b></b>"#;
    assert_eq!(event.payload().as_text().unwrap(), format!("<a>{b}{b}</a>\n"));
    for (limits, expected) in [
        (Limits { depth: 2, ..Limits::default() }, "the document nests elements deeper than 2 levels"),
        (Limits { nodes: 8, ..Limits::default() }, "the document has more than 8 elements and attributes"),
    ] {
        let error = transform(&xslt(body).allow_doctype().limits(limits), entities).await.unwrap_err();
        assert_eq!((error.kind(), error.message()), (Kind::TooLarge, expected));
    }
    // Nothing else is read for it: no folder is allowed.
    let external = r#"<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/hostname">]><a>&e;</a>"#;
    if let Ok(event) = transform(&allowed, external).await {
        assert_eq!(event.payload().as_text().unwrap(), "<a/>\n");
    }
}

#[tokio::test]
async fn what_document_cannot_read_may_be_skipped_and_messages_go_where_they_are_wanted() {
    let (sender, messages) = std::sync::mpsc::channel();
    let body = r#"<xsl:output method="text"/><xsl:template match="/"><xsl:message>note</xsl:message>
        <xsl:value-of select="count(document('none.xml', /))"/></xsl:template>"#;
    let folder = tempfile::tempdir().unwrap();
    let actor = xslt(body).skip_unreadable().on_message(move |text| drop(sender.send(text.to_owned())));
    let actor = actor.allow_folder(folder.path()).unwrap().document_path(folder.path().join("doc.xml")).unwrap();
    assert_eq!(transform(&actor, "<a/>").await.unwrap().payload().as_text().unwrap(), "0");
    std::fs::write(folder.path().join("none.xml"), "<found/>").unwrap();
    assert_eq!(transform(&actor, "<a/>").await.unwrap().payload().as_text().unwrap(), "1");
    let messages: Vec<_> = messages.try_iter().collect();
    assert_eq!(messages.len(), 3);
    assert!(messages[0] == "note" && messages[1].contains("none.xml')` may not be read"), "{messages:?}");
    assert!(!actor.declares("p") && xslt(r#"<xsl:param name="p"/>"#).declares("p"));
}
