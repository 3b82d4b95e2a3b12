//! Whether transforms, XPath and schemas keep memory that it should give back: alone in its process, so that nothing else counts.
#![cfg(target_os = "linux")]
#![cfg(feature = "xslt")]
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use playhouse_actors::xml::{Document, DocumentLimits, XPath};
use playhouse_actors::{Xsd, Xslt};
use playhouse_engine::Event;
use playhouse_engine::testing::feed;

fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("Linux tells the resident memory");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number of KiB")
}

fn sheet(body: &str) -> String {
    format!(r#"<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">{body}</xsl:stylesheet>"#)
}

#[tokio::test]
async fn no_path_through_a_transform_an_xpath_a_validation_or_a_compile_leaks() {
    let copy = sheet(r#"<xsl:param name="p"/><xsl:template match="/"><xsl:copy-of select="."/></xsl:template>"#);
    let good = Xslt::from_text(&copy).unwrap().parameter("p", "it's").unwrap();
    let terminated = r#"<xsl:template match="/"><xsl:variable name="v"><a/></xsl:variable>
        <b><xsl:message terminate="yes"><xsl:copy-of select="$v"/>no</xsl:message></b></xsl:template>"#;
    let terminated = Xslt::from_text(&sheet(terminated)).unwrap();
    let failing = r#"<xsl:template match="/"><b><xsl:value-of select="none()"/></b></xsl:template>"#;
    let failing = Xslt::from_text(&sheet(failing)).unwrap();
    let reading = r#"<xsl:template match="/"><xsl:copy-of select="document('/etc/passwd')"/></xsl:template>"#;
    let reading = Xslt::from_text(&sheet(reading)).unwrap();
    let bad_pattern = sheet("<xsl:template match='['/><xsl:variable name='v'><a/></xsl:variable>");
    let bad_import = sheet("<xsl:import href='/none.xsl'/>");

    let nodes = XPath::compile("//b | //p:b", &BTreeMap::new()).unwrap();
    let types = XPath::compile("concat(count(//b), //b, //*[. = 'a'])", &BTreeMap::new()).unwrap();
    let endless = XPath::compile("//*[//*[//*]]", &BTreeMap::new()).unwrap().operations(50);

    let limits = DocumentLimits::default();

    let schema =
        r#"<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="b" type="xs:int"/></xs:schema>"#;
    let xsd = Xsd::from_text(schema).unwrap();
    let doctype = Xslt::from_text(&copy).unwrap().allow_doctype();

    let turns = async |count: usize| {
        for turn in 0..count {
            let event = Event::new(format!("<a{turn}><b>{turn}</b></a{turn}>"));
            assert!(feed(&good, event.clone()).await.is_ok());
            for actor in [&terminated, &failing, &reading] {
                assert!(feed(actor, event.clone()).await.is_err());
            }
            for document in ["<!DOCTYPE a [<!ENTITY b 'c'>]><a/>", "<a><b><c>text</c>", ""] {
                assert!(feed(&good, Event::new(document)).await.is_err());
            }
            for text in [&*bad_pattern, &*bad_import, "<a><b>", "<a/>"] {
                assert!(Xslt::from_text(text).is_err());
            }
            assert!(Xslt::from_text(&copy).is_ok());
            let document = Document::parse(b"<a xmlns:p='urn:p'><p:b><c/></p:b><b>1</b></a>", &limits).unwrap();
            assert!(nodes.evaluate(&document).is_ok() && types.evaluate(&document).is_ok());
            assert!(endless.evaluate(&document).is_err());
            assert!(feed(&xsd, Event::new("<b>1</b>")).await.is_ok() && feed(&xsd, event.clone()).await.is_err());
            assert!(Xsd::from_text(schema).is_ok() && Xsd::from_text(&schema.replace("xs:int", "int")).is_err());
            let entities = "<!DOCTYPE a [<!ENTITY e '<b/>'>]><a>&e;&e;</a>";
            assert!(feed(&doctype, Event::new(entities)).await.is_ok());
            assert!(
                XPath::compile("a[", &BTreeMap::new()).is_err() && XPath::compile("/a/", &BTreeMap::new()).is_err()
            );
        }
    };
    turns(300).await;
    let before = resident_kib();
    turns(2_000).await;
    let grown = resident_kib().saturating_sub(before);
    // 24,000 transforms and compiles: had each kept a hundred bytes, it would be more.
    assert!(grown < 2_048, "{grown} KiB more");
}
