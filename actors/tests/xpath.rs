//! XPath on documents of strangers: what it finds, whatever their namespaces, and what ends it.

#![cfg(feature = "xslt")]
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use playhouse_actors::xml::{Document, DocumentLimits, Found, XPath};
use playhouse_engine::{Kind, Payload};
use serde_json::{Value, json};

fn namespaces(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|&(prefix, uri)| (prefix.to_owned(), uri.to_owned())).collect()
}

#[track_caller]
fn xpath(expression: &str) -> XPath {
    XPath::compile(expression, &BTreeMap::new()).expect("the expression compiles")
}

#[track_caller]
fn found(expression: &str, xml: &str) -> Value {
    xpath(expression).evaluate_bytes(xml.as_bytes()).expect("the expression is evaluated").into_json()
}

#[test]
fn nothing_is_null_one_is_its_text_or_xml_and_many_are_a_list() {
    let xml =
        r#"<r a="né"><e>tea &amp; <![CDATA[<milk>]]></e><p>a<b>ü</b>c</p><i>1</i><i>2</i><!--note--><?go on?><x/></r>"#;
    for (expression, expected) in [
        ("none", json!(null)),
        ("e", json!("tea & <milk>")),
        ("e/text()", json!("tea & <milk>")),
        ("@a", json!("né")),
        ("p", json!("<p>a<b>ü</b>c</p>")),
        ("p/node()", json!(["a", "ü", "c"])),
        ("i", json!(["1", "2"])),
        ("x", json!("")),
        ("comment()", json!("note")),
        ("processing-instruction()", json!("on")),
        ("i[. > 1]", json!("2")),
        ("count(i)", json!(2)),
        ("sum(i) div 2", json!(1.5)),
        ("string(i)", json!("1")),
        ("string(@a)", json!("né")),
        ("i = 2", json!(true)),
        ("not(i)", json!(false)),
        ("1 div 0", json!(null)),
        ("namespace::*", json!("http://www.w3.org/XML/1998/namespace")),
    ] {
        assert_eq!(found(expression, xml), expected, "{expression}");
    }
    assert_eq!(found("/", "<a><b/></a>"), json!("<a><b/></a>"));
    assert_eq!(found("b/@c", "<a><b c='1'/><b c='2'/></a>"), json!(["1", "2"]));
}

#[test]
fn a_document_in_another_encoding_is_found_as_text() {
    let latin: Vec<u8> =
        "<?xml version='1.0' encoding='ISO-8859-1'?><a é='ü'><é>ö<b/></é></a>".chars().map(|c| c as u8).collect();
    for (expression, expected) in [("@é", "ü"), ("é", "<é>ö<b/></é>"), ("é/text()", "ö")] {
        let found = xpath(expression).evaluate_bytes(&latin).unwrap();
        assert_eq!(found, Found::Nodes(vec![expected.to_owned()]), "{expression}");
    }
    let utf16: Vec<u8> = "\u{feff}<a>é</a>".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(xpath("/a").evaluate_bytes(&utf16).unwrap().into_json(), json!("é"));
}

#[test]
fn a_bare_name_is_found_in_every_namespace_at_every_depth() {
    let xml = r#"<order xmlns="urn:o"><item>1</item><group xmlns="urn:g"><item a="2">2</item><s:item xmlns:s="urn:s">3</s:item>
        <inner xmlns=""><item>4</item></inner></group></order>"#;
    for (expression, expected) in [
        ("//item", json!(["1", "2", "3", "4"])),
        ("/order/group/item", json!(["2", "3"])),
        ("group/item[2]", json!("3")),
        ("//item[@a]", json!("2")),
        ("//inner/ancestor::group/item[1]/@a", json!("2")),
        ("count(//item[parent::group])", json!(2)),
        ("//item[last()]", json!(["1", "3", "4"])),
    ] {
        assert_eq!(found(expression, xml), expected, "{expression}");
    }
}

#[test]
fn a_prefix_is_what_the_settings_say_or_else_the_document() {
    let xml =
        r#"<o:order xmlns:o="urn:o"><x:item xmlns:x="urn:x">1</x:item><x:item xmlns:x="urn:y">2</x:item></o:order>"#;
    assert_eq!(found("/o:order/x:item", xml), json!("1"));
    assert_eq!(found("/o:order/y:item", xml), json!(null));
    assert_eq!(found("/o:order/o:*", xml), json!(null));
    assert_eq!(found("@xml:lang", "<a xml:lang='de'/>"), json!("de"));
    let settings = namespaces(&[("x", "urn:y"), ("order", "urn:o")]);
    let xpath = XPath::compile("/order:order/x:item", &settings).unwrap();
    assert_eq!(xpath.evaluate_bytes(xml.as_bytes()).unwrap().into_json(), json!("2"));
}

#[test]
fn xml_that_is_found_declares_the_namespaces_that_it_inherits() {
    let xml = r#"<a xmlns="urn:a" xmlns:p="urn:p"><b p:c="1"><p:d/></b></a>"#;
    let found = found("b", xml);
    let found = found.as_str().unwrap();
    assert!(found.contains(r#"xmlns="urn:a""#) && found.contains(r#"xmlns:p="urn:p""#), "{found}");
    assert_eq!(self::found("@p:c", found), json!("1"));
}

#[test]
fn every_type_has_a_truth_and_texts() {
    let xml = "<a><b>1</b><b/></a>";
    for (expression, truth, texts) in [
        ("b", true, vec!["1", ""]),
        ("c", false, vec![]),
        ("string(b)", true, vec!["1"]),
        ("''", false, vec![""]),
        ("0", false, vec!["0"]),
        ("0 div 0", false, vec!["NaN"]),
        ("1 = 1", true, vec!["true"]),
    ] {
        let found = xpath(expression).evaluate_bytes(xml.as_bytes()).unwrap();
        assert_eq!(found.is_true(), truth, "{expression}");
        assert_eq!(found.texts().collect::<Vec<_>>(), texts, "{expression}");
    }
}

#[test]
fn a_bad_expression_is_an_error_before_any_document_is_there() {
    for (expression, expected) in [
        ("", "Invalid expression"),
        ("a[", "`[` is not closed"),
        ("/a/", "Invalid expression"),
        ("a b", "expected an operator, found `b` (at character 4)"),
        ("matches(a) = $b", "there is no function `matches`; `$b` is no value: there are no variables here"),
        ("count('a')", "Invalid type"),
        ("contains(a)", "the function `contains` takes 2 arguments, and gets 1"),
        ("a\0", "it has a NUL character in it"),
        ("a[]", "Invalid expression"),
        ("1 +", "Invalid expression"),
    ] {
        let error = XPath::compile(expression, &BTreeMap::new()).unwrap_err();
        assert_eq!(error.kind(), Kind::Malformed);
        assert_eq!(error.message(), format!("the XPath `{expression}` is wrong: {expected}"));
    }
    for expression in ["(".repeat(1_000_000), "-".repeat(1_000_000), "a[".repeat(1_000_000), "a/".repeat(1_000_000)] {
        assert!(XPath::compile(&expression, &BTreeMap::new()).is_err());
    }
}

#[test]
fn the_largest_expressions_that_are_taken_fit_a_small_stack() {
    let nested = |open: &str, close: &str| open.repeat(60) + "a" + &close.repeat(60);
    let expressions = [
        nested("(", ")"),
        nested("not(", ")"),
        nested("a[", "]"),
        nested("//a[", "]"),
        "a/".repeat(490) + "a",
        "//".to_owned() + &"a//".repeat(300) + "a",
        "a|".repeat(490) + "a",
        "1 or ".repeat(490) + "1",
        "1=".repeat(490) + "1",
        "-".repeat(990) + "1",
        "a".to_owned() + &"[1]".repeat(320),
        "1+".repeat(490) + "1",
    ];
    let xml = "<a>".repeat(256) + &"</a>".repeat(256);
    let run = move || {
        for expression in &expressions {
            match XPath::compile(expression, &BTreeMap::new()) {
                Ok(xpath) => drop(xpath.operations(2_000_000).evaluate_bytes(xml.as_bytes())),
                Err(error) => assert_eq!(error.kind(), Kind::Malformed, "{error}"),
            }
        }
    };
    std::thread::Builder::new().stack_size(1 << 20).spawn(run).unwrap().join().unwrap();
}

#[test]
fn endless_work_ends_with_an_error() {
    let xml = format!("<r>{}</r>", "<a/>".repeat(5_000));
    let xpath = xpath("count(//a[count(//a[count(//a[//a]) > 1]) > 1])").operations(1_000_000);
    let started = Instant::now();
    let error = xpath.evaluate_bytes(xml.as_bytes()).unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(error.kind(), Kind::TooLarge);
    assert!(error.message().ends_with("fails on the document: it takes more operations than are allowed"), "{error}");
}

#[test]
fn what_is_found_has_a_limit() {
    // Each element holds all the deeper ones: written out, they are far larger than the document.
    let xml = "<a>".repeat(200) + &"x".repeat(10_000) + "<b/>" + &"</a>".repeat(200);
    let error = xpath("//*").found_bytes(1 << 20).evaluate_bytes(xml.as_bytes()).unwrap_err();
    assert_eq!(error.kind(), Kind::TooLarge);
    assert!(error.message().ends_with("it finds more than 1048576 bytes"), "{error}");
    assert!(xpath("//b").found_bytes(100).evaluate_bytes(xml.as_bytes()).is_ok());
}

#[test]
fn a_document_that_means_harm_is_refused() {
    let limits = DocumentLimits { bytes: 100, depth: 3, nodes: 5 };
    for (xml, kind, reason) in [
        ("<!DOCTYPE a [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><a>&e;</a>", Kind::Malformed, "`DOCTYPE`"),
        ("<a><a><a><a/></a></a></a>", Kind::TooLarge, "deeper than 3 levels"),
        ("<a><a/><a/><a/><a/><a/></a>", Kind::TooLarge, "more than 5 elements"),
        ("<a>", Kind::Malformed, "line 1: "),
        (&"x".repeat(101), Kind::TooLarge, "101 bytes"),
    ] {
        let error = Document::parse(xml.as_bytes(), &limits).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains(reason), "{error}");
    }
}

#[test]
fn one_document_serves_many_expressions_and_payloads_of_every_form_are_read() {
    let limits = DocumentLimits::default();
    let text = Payload::from("<?xml version='1.0' encoding='ISO-8859-1'?><a b='1'>é</a>");
    let document = Document::read(&text, &limits).unwrap();
    assert_eq!(xpath("/a").evaluate(&document).unwrap().into_json(), json!("é"));
    assert_eq!(xpath("@b").evaluate(&document).unwrap().into_json(), json!("1"));
    for payload in [Payload::Empty, json!({}).into()] {
        assert_eq!(Document::read(&payload, &limits).unwrap_err().kind(), Kind::Unsupported);
    }
}

#[test]
fn one_expression_serves_many_threads_at_once() {
    let xpath = xpath("concat(count(//i[@k = 'a' and position() > 1]), '-', p:name, '-', normalize-space(//j))");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let xpath = &xpath;
            scope.spawn(move || {
                for turn in 0..2_000 {
                    let xml =
                        format!("<r xmlns:p='urn:{thread}'><i/><i k='a'/><p:name>{turn}</p:name><j> {thread} </j></r>");
                    let found = xpath.evaluate_bytes(xml.as_bytes()).unwrap();
                    assert_eq!(found, Found::Text(format!("1-{turn}-{thread}")));
                }
            });
        }
    });
}
