//! Validation by XML schemas: the verdicts and the words of xmllint, what schemas may read, and what ends documents that
//! mean harm. `scripts/install` installs xmllint (libxml2-utils).

#![cfg(feature = "xslt")]
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use playhouse_actors::xml::DocumentLimits;
use playhouse_actors::{Xsd, XsdSettings};
use playhouse_engine::testing::{Probe, feed};
use playhouse_engine::{Error, Event, Kind, Payload, Xml};

fn schema(body: &str) -> String {
    format!(
        r#"<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns="urn:t" targetNamespace="urn:t" elementFormDefault="qualified">{body}</xs:schema>"#
    )
}

/// A schema of simple content: an element `v` in no namespace.
fn simple(body: &str) -> String {
    format!(
        r#"<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="v"><xs:simpleType><xs:restriction {body}</xs:restriction></xs:simpleType></xs:element></xs:schema>"#
    )
}

/// Schemas, each with documents; which are valid is xmllint's to say.
fn table() -> Vec<(String, Vec<String>)> {
    let values =
        |body: &str, values: &[&str]| (simple(body), values.iter().map(|value| format!("<v>{value}</v>")).collect());
    let documents =
        |schema: String, documents: &[&str]| (schema, documents.iter().map(|&document| document.to_owned()).collect());
    vec![
        values(
            r#"base="xs:integer"><xs:minInclusive value="0"/><xs:maxExclusive value="10"/>"#,
            &["0", "9", "10", "-1", "a", "", " 5 ", "1.0"],
        ),
        values(r#"base="xs:string"><xs:pattern value="[A-Z]{2}\d+"/>"#, &["AB1", "AB", "ab1", "ÄB1", "AB１"]),
        values(
            r#"base="xs:string"><xs:enumeration value="tea"/><xs:enumeration value="milk"/>"#,
            &["tea", "Tea", " tea"],
        ),
        values(r#"base="xs:token"><xs:maxLength value="3"/>"#, &["  abc ", "abcd", "äöü"]),
        values(
            r#"base="xs:dateTime">"#,
            &["2026-02-28T12:00:00Z", "2026-02-29T12:00:00Z", "2024-02-29T24:00:00", "12:00"],
        ),
        values(r#"base="xs:date">"#, &["2026-11-21", "2026-11-31", "26-11-21", "2026-11-21+14:00", "2026-11-21+14:01"]),
        values(
            r#"base="xs:decimal"><xs:totalDigits value="4"/><xs:fractionDigits value="2"/>"#,
            &["12.34", "12.345", "12345", "-1", "1e2"],
        ),
        values(r#"base="xs:boolean">"#, &["true", "1", "TRUE", "yes"]),
        values(r#"base="xs:base64Binary">"#, &["YQ==", "YQ", "é"]),
        values(r#"base="xs:anyURI">"#, &["http://example.org/", "a b", "::"]),
        values(r#"base="xs:QName">"#, &["a", "xml:a", "p:a"]),
        values(r#"base="xs:double">"#, &["1e3", "INF", "inf", "NaN"]),
        values(r#"base="xs:duration">"#, &["P1Y2M3DT4H", "P", "1D"]),
        values(r#"base="xs:language">"#, &["de-AT", "d_e"]),
        values(r#"base="xs:unsignedByte">"#, &["255", "256"]),
        documents(
            schema(
                r#"<xs:element name="order"><xs:complexType><xs:sequence>
                <xs:element name="item" maxOccurs="3"><xs:complexType><xs:simpleContent><xs:extension base="xs:string">
                  <xs:attribute name="sku" type="xs:NCName" use="required"/><xs:attribute name="n" type="xs:int" default="1"/>
                </xs:extension></xs:simpleContent></xs:complexType></xs:element>
                <xs:element name="note" type="xs:string" minOccurs="0"/></xs:sequence></xs:complexType></xs:element>"#,
            ),
            &[
                r#"<order xmlns="urn:t"><item sku="a">tea</item></order>"#,
                "<order xmlns=\"urn:t\">\n<item sku=\"1\">tea</item>\n<item n=\"x\" extra=\"\"/>\n<b/>\n</order>",
                r#"<order xmlns="urn:t"/>"#,
                r#"<order><item sku="a"/></order>"#,
                r#"<o:order xmlns:o="urn:t"><o:item sku="a"/><o:note>é</o:note></o:order>"#,
                "<order xmlns=\"urn:t\"><item sku=\"a\"/><item sku=\"a\"/><item sku=\"a\"/>\n<item sku=\"a\"/></order>",
                r#"<order xmlns="urn:t"><item sku="a"><b/></item></order>"#,
                r#"<other xmlns="urn:t"/>"#,
                "<order xmlns=\"urn:t\">text<item sku=\"a\"/></order>",
            ],
        ),
        documents(
            schema(
                r#"<xs:element name="r"><xs:complexType><xs:sequence><xs:element name="i" maxOccurs="unbounded"><xs:complexType>
                <xs:attribute name="id" type="xs:int"/><xs:attribute name="of" type="xs:int"/></xs:complexType></xs:element></xs:sequence></xs:complexType>
                <xs:key name="k" xmlns:t="urn:t"><xs:selector xpath="t:i"/><xs:field xpath="@id"/></xs:key>
                <xs:keyref name="f" refer="k" xmlns:t="urn:t"><xs:selector xpath="t:i"/><xs:field xpath="@of"/></xs:keyref></xs:element>"#,
            ),
            &[
                r#"<r xmlns="urn:t"><i id="1"/><i id="2" of="1"/></r>"#,
                "<r xmlns=\"urn:t\"><i id=\"1\"/>\n<i id=\"01\"/></r>",
                r#"<r xmlns="urn:t"><i id="1" of="3"/></r>"#,
                r#"<r xmlns="urn:t"><i/></r>"#,
            ],
        ),
        documents(
            schema(
                r###"<xs:element name="a" type="base"/><xs:complexType name="base" abstract="true"><xs:sequence/></xs:complexType>
                <xs:complexType name="one"><xs:complexContent><xs:extension base="base"><xs:choice><xs:element name="x" type="xs:int"/>
                <xs:element name="y" type="xs:int"/></xs:choice></xs:extension></xs:complexContent></xs:complexType>
                <xs:element name="head" type="xs:string"/><xs:element name="member" substitutionGroup="head" type="xs:string"/>
                <xs:element name="list"><xs:complexType><xs:sequence><xs:element ref="head" maxOccurs="2"/></xs:sequence></xs:complexType></xs:element>
                <xs:element name="all"><xs:complexType><xs:all><xs:element name="p" nillable="true" type="xs:int"/><xs:element name="q" minOccurs="0"/></xs:all></xs:complexType></xs:element>
                <xs:element name="any"><xs:complexType mixed="true"><xs:sequence><xs:any namespace="##other" processContents="lax"/></xs:sequence><xs:anyAttribute processContents="skip"/></xs:complexType></xs:element>
                <xs:element name="fixed" type="xs:string" fixed="f"/>"###,
            ),
            &[
                r#"<a xmlns="urn:t" xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:type="one"><x>1</x></a>"#,
                r#"<a xmlns="urn:t"/>"#,
                r#"<a xmlns="urn:t" xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:type="one"><x>1</x><y>1</y></a>"#,
                r#"<a xmlns="urn:t" xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:type="none"/>"#,
                r#"<list xmlns="urn:t"><member/><head/></list>"#,
                r#"<list xmlns="urn:t"><member/><tail/></list>"#,
                r#"<all xmlns="urn:t" xmlns:i="http://www.w3.org/2001/XMLSchema-instance"><q/><p i:nil="true"/></all>"#,
                r#"<all xmlns="urn:t"><q/><q/></all>"#,
                r#"<all xmlns="urn:t"><q/></all>"#,
                r#"<any xmlns="urn:t" z="1">text<b xmlns="urn:b"/>text</any>"#,
                r#"<any xmlns="urn:t"><b/></any>"#,
                r#"<fixed xmlns="urn:t">f</fixed>"#,
                r#"<fixed xmlns="urn:t">g</fixed>"#,
            ],
        ),
    ]
}

/// What xmllint finds wrong, as our messages say it; nothing if it is valid.
fn xmllint(schema: &Path, document: &Path) -> Vec<String> {
    let output =
        Command::new("xmllint").args(["--noout", "--nowarning", "--schema"]).arg(schema).arg(document).output();
    let output = output.expect("`xmllint` runs: `scripts/install` installs it");
    let text = String::from_utf8(output.stderr).unwrap();
    let prefix = format!("{}:", document.display());
    let mut problems = Vec::new();
    for line in text.lines().filter_map(|line| line.strip_prefix(&prefix)) {
        let (number, rest) = line.split_once(':').unwrap();
        let (_, reason) = rest.split_once("Schemas validity error : ").unwrap();
        problems.push(format!("line {number}: {}", reason.trim()));
    }
    assert_eq!(problems.is_empty(), output.status.success(), "{text}");
    problems
}

async fn check(actor: &Xsd, payload: impl Into<Payload>) -> Result<(), Error> {
    let event = Event::new(payload);
    let outputs = feed(actor, event.clone()).await?;
    assert_eq!(outputs.len(), 1);
    assert_eq!(
        (outputs[0].event.id(), outputs[0].event.payload().to_bytes()),
        (event.id(), event.payload().to_bytes())
    );
    Ok(())
}

#[tokio::test]
async fn verdicts_lines_and_words_are_those_of_xmllint() {
    let folder = tempfile::tempdir().unwrap();
    let (path, document) = (folder.path().join("s.xsd"), folder.path().join("d.xml"));
    let (mut valid, mut invalid) = (0, 0);
    for (schema, documents) in table() {
        std::fs::write(&path, &schema).unwrap();
        let actor = Xsd::from_file(&path).unwrap();
        for text in documents {
            std::fs::write(&document, &text).unwrap();
            let expected = xmllint(&path, &document);
            match check(&actor, text.clone()).await {
                Ok(()) => {
                    assert!(expected.is_empty(), "{text}: {expected:?}");
                    valid += 1;
                }
                Err(error) => {
                    assert_eq!(error.kind(), Kind::Malformed, "{text}");
                    assert_eq!(
                        error.message(),
                        format!("the document is not valid: {}", expected.join("; ")),
                        "{text}"
                    );
                    invalid += 1;
                }
            }
        }
    }
    assert!(valid > 30 && invalid > 40, "{valid} {invalid}");
}

#[tokio::test]
async fn every_problem_is_told_with_its_line_however_far_down() {
    let actor = Xsd::from_text(&simple(r#"base="xs:int">"#).replace(
        r#"<xs:element name="v">"#,
        r#"<xs:element name="r"><xs:complexType><xs:sequence><xs:element ref="v" maxOccurs="unbounded"/></xs:sequence></xs:complexType></xs:element><xs:element name="v">"#,
    ))
    .unwrap();
    let document = |bad: usize| format!("<r>{}{}</r>", "\n<v>1</v>".repeat(69_999), "\n<v>x</v>".repeat(bad));
    let error = check(&actor, document(2)).await.unwrap_err();
    assert!(error.message().contains("line 70001: Element 'v': 'x' is not"), "{error}");
    assert!(error.message().contains("line 70002: Element 'v': 'x' is not"), "{error}");
    let error = check(&actor, document(1_000)).await.unwrap_err();
    assert!(error.message().ends_with("; and 900 more"), "{error}");
    assert!(error.message().len() < 20_000);
    let few = Xsd::from_text(&simple(r#"base="xs:int">"#)).unwrap();
    let few = few.with_settings(XsdSettings { problems: 0, ..XsdSettings::default() });
    assert_eq!(check(&few, "<v>x</v>").await.unwrap_err().message(), "the document is not valid: and 1 more");
}

#[tokio::test]
async fn without_a_schema_every_well_formed_document_passes() {
    let actor = Xsd::well_formed();
    for payload in
        ["<a/>".into(), Payload::from(b"<a/>".to_vec()), Payload::Xml(Xml::new("<a xmlns='urn:a'>&#233;</a>"))]
    {
        check(&actor, payload).await.unwrap();
    }
    for (document, expected) in [
        ("<a>\n</b>", "the document is not well-formed XML: line 2: Opening and ending tag mismatch: a line 1 and b"),
        ("", "the document is not well-formed XML: line 1: Document is empty"),
        ("<a b='1' b='2'/>", "the document is not well-formed XML: line 1: Attribute b redefined"),
    ] {
        let error = check(&actor, document).await.unwrap_err();
        assert_eq!((error.kind(), error.message()), (Kind::Malformed, expected));
    }
    for payload in [Payload::Empty, serde_json::json!({}).into()] {
        assert_eq!(check(&actor, payload).await.unwrap_err().kind(), Kind::Unsupported);
    }
}

#[tokio::test]
async fn imports_and_includes_are_found_beside_the_schema() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    };
    write(
        "lib dir/types.xsd",
        &schema(
            r#"<xs:include schemaLocation="more.xsd"/><xs:simpleType name="small"><xs:restriction base="byte"/></xs:simpleType>"#,
        ),
    );
    write(
        "lib dir/more.xsd",
        &schema(
            r#"<xs:simpleType name="byte"><xs:restriction base="xs:int"><xs:maxInclusive value="9"/></xs:restriction></xs:simpleType>"#,
        ),
    );
    write("other.xsd", &schema(r#"<xs:element name="x" type="xs:int"/>"#).replace("urn:t", "urn:o"));
    let main = write(
        "main.xsd",
        &schema(
            r#"<xs:include schemaLocation="lib%20dir/types.xsd"/><xs:import namespace="urn:o" schemaLocation="other.xsd"/>
            <xs:element name="a"><xs:complexType><xs:sequence><xs:element name="n" type="small"/><xs:element xmlns:o="urn:o" ref="o:x"/></xs:sequence></xs:complexType></xs:element>"#,
        ),
    );
    let actor = Xsd::from_file(&main).unwrap();
    // Nothing of it is read again.
    drop(folder);
    check(&actor, r#"<a xmlns="urn:t"><n>9</n><x xmlns="urn:o">1</x></a>"#).await.unwrap();
    let error = check(&actor, r#"<a xmlns="urn:t"><n>10</n><x xmlns="urn:o">a</x></a>"#).await.unwrap_err();
    assert!(error.message().contains("'10'") && error.message().contains("'a'"), "{error}");
}

#[test]
fn a_schema_that_cannot_be_used_is_an_error_when_the_actor_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let bad = write("bad.xsd", &schema("\n<xs:element name='a' type='none'/>\n<xs:element name='b' type='nor'/>"));
    let message = Xsd::from_file(&bad).unwrap_err().message().to_owned();
    let name = format!("`{}`", bad.display());
    assert!(
        message.starts_with(&format!("{name} line 2: ")) && message.contains(&format!("; {name} line 3: ")),
        "{message}"
    );
    for (what, expected) in [
        (r#"<xs:import namespace="urn:o" schemaLocation="none.xsd"/>"#, "none.xsd` cannot be read: No such file"),
        (r#"<xs:include schemaLocation="none.xsd"/>"#, "none.xsd` cannot be read: No such file"),
        (
            r#"<xs:import namespace="urn:o" schemaLocation="http://localhost:1/a.xsd"/>"#,
            "`http://localhost:1/a.xsd` is no absolute path of a local file",
        ),
        (r#"<xs:include schemaLocation="bad.xsd"/>"#, "bad.xsd` line 2: "),
    ] {
        let message = Xsd::from_file(write("main.xsd", &schema(what))).unwrap_err().message().to_owned();
        assert!(message.contains(expected), "{message}");
    }
    for (text, expected) in [
        ("<a>\n</b>", "`schema` line 2: Opening and ending tag mismatch: a line 1 and b"),
        ("<a/>", "The XML document 'schema' is not a schema document."),
        ("", "`schema` line 1: Document is empty"),
    ] {
        let error = Xsd::from_text(text).unwrap_err();
        assert_eq!((error.kind(), error.message()), (Kind::Malformed, expected));
    }
    let error = Xsd::from_text(&schema(r#"<xs:include schemaLocation="a.xsd"/>"#)).unwrap_err();
    assert!(error.message().contains("`a.xsd` is no absolute path"), "{error}");
    assert!(Xsd::from_file("/none.xsd").unwrap_err().message().starts_with("`/none.xsd` cannot be read"));
}

#[tokio::test]
async fn a_document_names_no_schema_and_no_entity() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.xsd");
    std::fs::write(&other, schema(r#"<xs:element name="b" type="xs:int"/>"#)).unwrap();
    let actor = Xsd::from_text(&simple(r#"base="xs:int">"#)).unwrap();
    let named = format!(
        r#"<b xmlns="urn:t" xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:schemaLocation="urn:t {}">1</b>"#,
        other.display()
    );
    let error = check(&actor, named).await.unwrap_err();
    assert!(error.message().contains("No matching global declaration"), "{error}");
    let error = check(&actor, r#"<!DOCTYPE v [<!ENTITY e SYSTEM "file:///etc/passwd">]><v>&e;</v>"#).await.unwrap_err();
    assert_eq!(error.message(), "the document has a `DOCTYPE`, which is refused");
    let limits = DocumentLimits { bytes: 50, depth: 2, nodes: 3 };
    let small = actor.with_settings(XsdSettings { limits, ..XsdSettings::default() });
    for document in ["<v><v><v/></v></v>", "<v><v/><v/><v/></v>", &"x".repeat(51)] {
        assert_eq!(check(&small, document.to_owned()).await.unwrap_err().kind(), Kind::TooLarge);
    }
}

#[tokio::test]
async fn no_document_makes_a_pattern_or_a_content_model_run_for_long() {
    let pattern = Xsd::from_text(&simple(r#"base="xs:string"><xs:pattern value="(a+)+b"/>"#)).unwrap();
    let model = Xsd::from_text(
        r#"<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="r"><xs:complexType><xs:sequence maxOccurs="unbounded">
        <xs:element name="a" minOccurs="0" maxOccurs="500"/><xs:element name="b"/></xs:sequence></xs:complexType></xs:element></xs:schema>"#,
    )
    .unwrap();
    let started = Instant::now();
    assert!(check(&pattern, format!("<v>{}</v>", "a".repeat(1_000))).await.is_err());
    assert!(check(&model, format!("<r>{}</r>", "<a/>".repeat(20_000))).await.is_err());
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[test]
fn one_schema_serves_many_threads_at_once() {
    let actor = Xsd::from_text(&simple(r#"base="xs:string"><xs:pattern value="[a-z]+\d{3,5}"/>"#)).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                for turn in 0..1_000 {
                    let passed = runtime.block_on(check(&actor, format!("<v>a{turn}</v>"))).is_ok();
                    assert_eq!(passed, turn >= 100);
                }
            });
        }
    });
}

#[tokio::test]
async fn in_a_flow_an_invalid_document_takes_the_error_route() {
    let mut probe = Probe::new(Xsd::from_text(&simple(r#"base="xs:int">"#)).unwrap()).await.unwrap();
    probe.send(Event::new("<v>x</v>")).await.unwrap();
    assert_eq!(probe.error().await.unwrap().error().unwrap().kind(), Kind::Malformed);
    let large = Event::new(format!("<v>1</v><!--{}-->", " ".repeat(100_000)));
    probe.send(large.clone()).await.unwrap();
    assert_eq!(probe.output().await.unwrap().id(), large.id());
}
