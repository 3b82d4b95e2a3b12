//! JSON to XML and back: the rules, what is refused, what the limits bound, and what comes back.

#![cfg(feature = "convert")]
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "json_xml_support/mod.rs"]
mod support;

use playhouse_actors::json_xml::{JsonToXmlSettings, Limits, XmlToJsonSettings, json_to_xml, xml_to_json};
use playhouse_engine::{Error, Kind};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::{any_json, document};

#[track_caller]
fn xml(value: &Value) -> String {
    json_to_xml(value, &JsonToXmlSettings::default()).unwrap()
}

#[track_caller]
fn read(xml: &str, settings: &XmlToJsonSettings) -> String {
    xml_to_json(xml.as_bytes(), settings).unwrap().to_string()
}

#[track_caller]
fn json_of(xml: &str) -> String {
    read(xml, &XmlToJsonSettings::default())
}

fn refused(value: &Value) -> Error {
    json_to_xml(value, &JsonToXmlSettings::default()).unwrap_err()
}

fn unread(xml: impl AsRef<[u8]>) -> Error {
    xml_to_json(xml.as_ref(), &XmlToJsonSettings::default()).unwrap_err()
}

#[test]
fn json_is_written_as_the_documentation_says() {
    for (value, expected) in [
        (json!({"foo": "bar"}), "<foo>bar</foo>"),
        (json!({"a": 1}), "<a>1</a>"),
        (json!({"a": true}), "<a>true</a>"),
        (json!({"a": false}), "<a>false</a>"),
        (json!({"a": 1.5}), "<a>1.5</a>"),
        (json!({"a": -12}), "<a>-12</a>"),
        (json!({"a": null}), "<a/>"),
        (json!({"a": ""}), "<a/>"),
        (json!({"a": {}}), "<a/>"),
        (json!({"a": {"#text": ""}}), "<a/>"),
        (json!({"a": {"#text": null}}), "<a/>"),
        (json!({"a": {"#text": 7}}), "<a>7</a>"),
        (json!({"a": {"@x": "1", "b": "2", "#text": "t"}}), r#"<a x="1"><b>2</b>t</a>"#),
        (json!({"a": {"#text": "t", "b": "2", "@x": 1}}), r#"<a x="1"><b>2</b>t</a>"#),
        (json!({"a": {"@x": null, "@y": true}}), r#"<a x="" y="true"/>"#),
        (json!({"a": {"b": [1, 2]}}), "<a><b>1</b><b>2</b></a>"),
        (json!({"a": {"b": []}}), "<a/>"),
        (json!({"a": {"b": [], "c": 1}}), "<a><c>1</c></a>"),
        (json!({"a": {"b": [null, {}]}}), "<a><b/><b/></a>"),
        (json!({"a": {"b": [[1, 2], 3]}}), "<a><b><b>1</b><b>2</b></b><b>3</b></a>"),
        (json!({"a": {"b": [[]]}}), "<a><b/></a>"),
        (json!({"a": {"b": [[[1]]]}}), "<a><b><b><b>1</b></b></b></a>"),
        (json!({"p:a": {"@xmlns": "urn:y", "@xmlns:p": "urn:x"}}), r#"<p:a xmlns="urn:y" xmlns:p="urn:x"/>"#),
        (json!({"root": {"b": 1, "a": 2}}), "<root><b>1</b><a>2</a></root>"),
        (json!({"a": "<b/>"}), "<a>&lt;b/&gt;</a>"),
        (json!({"a": " <b>\"x\" & y</b>\r\n\t"}), "<a> &lt;b&gt;\"x\" &amp; y&lt;/b&gt;&#13;&#10;\t</a>"),
        (json!({"a": {"@x": "<\"'&>\n\t"}}), r#"<a x="&lt;&quot;'&amp;&gt;&#10;&#9;"/>"#),
        (json!({"é": "日本\u{ffee}"}), "<é>日本\u{ffee}</é>"),
    ] {
        assert_eq!(xml(&value), expected, "{value}");
    }
}

#[test]
fn what_has_no_single_root_is_wrapped() {
    const LIST: &str = "<jsonified_envelope><jsonified_envelope>1</jsonified_envelope>\
                        <jsonified_envelope>2</jsonified_envelope></jsonified_envelope>";
    for (value, expected) in [
        (json!({"a": 1, "b": 2}), "<jsonified_envelope><a>1</a><b>2</b></jsonified_envelope>"),
        (json!({"a": [1, 2]}), "<jsonified_envelope><a>1</a><a>2</a></jsonified_envelope>"),
        (
            json!({"errors": [{"foo": "bar"}, {"foo": "bar"}]}),
            "<jsonified_envelope><errors><foo>bar</foo></errors><errors><foo>bar</foo></errors></jsonified_envelope>",
        ),
        (json!({"a": []}), "<jsonified_envelope/>"),
        (json!([1, 2]), LIST),
        (json!([]), r#"<jsonified_envelope type="list"/>"#),
        (json!({}), "<jsonified_envelope/>"),
        (json!(null), "<jsonified_envelope/>"),
        (json!("x"), "<jsonified_envelope>x</jsonified_envelope>"),
        (json!(1), "<jsonified_envelope>1</jsonified_envelope>"),
        (json!({"@a": 1}), r#"<jsonified_envelope a="1"/>"#),
        (json!({"#text": "x"}), "<jsonified_envelope>x</jsonified_envelope>"),
    ] {
        assert_eq!(xml(&value), expected, "{value}");
    }
}

#[test]
fn several_members_are_wrapped_in_the_key() {
    let settings = JsonToXmlSettings { key: "dicttoxml".into(), ..Default::default() };
    let keyed = |value| json_to_xml(&value, &settings).unwrap();
    assert_eq!(keyed(json!({"foo": "bar"})), "<foo>bar</foo>");
    assert_eq!(
        keyed(json!({"foo": "bar", "fubar": "barfu"})),
        "<dicttoxml><foo>bar</foo><fubar>barfu</fubar></dicttoxml>"
    );
    assert_eq!(keyed(json!({"a": [1]})), "<jsonified_envelope><a>1</a></jsonified_envelope>");
}

#[test]
fn strings_that_are_xml_are_embedded_where_that_is_set() {
    let settings = JsonToXmlSettings { key: "dicttoxml".into(), embed_xml: true, ..Default::default() };
    let embedding = |value: Value| json_to_xml(&value, &settings).unwrap();
    assert_eq!(
        embedding(json!({"foo": "<foo><bar>barvalue</bar></foo>", "fubar": "barfu"})),
        "<dicttoxml><foo><foo><bar>barvalue</bar></foo></foo><fubar>barfu</fubar></dicttoxml>"
    );
    for (text, expected) in [
        (" <b/>", "<a> <b/></a>"),
        ("<b x='1'>&amp;</b>", "<a><b x='1'>&amp;</b></a>"),
        ("<!-- c --><b/>", "<a><!-- c --><b/></a>"),
        ("<b>", "<a>&lt;b&gt;</a>"),
        ("<b/><c/>", "<a>&lt;b/&gt;&lt;c/&gt;</a>"),
        ("<b/>text", "<a>&lt;b/&gt;text</a>"),
        ("</a><a>", "<a>&lt;/a&gt;&lt;a&gt;</a>"),
        ("<b x='1' x='2'/>", "<a>&lt;b x='1' x='2'/&gt;</a>"),
        ("<?xml version='1.0'?><b/>", "<a>&lt;?xml version='1.0'?&gt;&lt;b/&gt;</a>"),
        ("<!DOCTYPE b><b/>", "<a>&lt;!DOCTYPE b&gt;&lt;b/&gt;</a>"),
        ("<b>&nbsp;</b>", "<a>&lt;b&gt;&amp;nbsp;&lt;/b&gt;</a>"),
        ("plain", "<a>plain</a>"),
    ] {
        assert_eq!(embedding(json!({"a": text})), expected, "{text}");
    }
    let flat = JsonToXmlSettings { limits: Limits { depth: 2, ..Limits::default() }, ..settings };
    assert!(json_to_xml(&json!({"a": "<b/>"}), &flat).is_ok());
    assert_eq!(json_to_xml(&json!({"a": "<b><c/></b>"}), &flat).unwrap_err().kind(), Kind::TooLarge);
    let few = JsonToXmlSettings { limits: Limits { nodes: 4, ..Limits::default() }, ..flat };
    assert!(json_to_xml(&json!({"a": {"b": "x", "c": "<d e=''/>"}}), &few).is_err());
}

#[test]
fn what_xml_cannot_say_is_refused_and_never_written() {
    for (value, message) in [
        (json!({"a b": 1}), "`a b` is no name that an XML element may have"),
        (json!({"a><b": 1}), "`a><b` is no name that an XML element may have"),
        (json!({"": 1}), "`` is no name that an XML element may have"),
        (json!({"a": {"1": 1}}), "`1` is no name that an XML element may have"),
        (json!({"a": {"#comment": "x"}}), "`#comment` is no name that an XML element may have"),
        (json!({"a\n": [1]}), "`a\\n` is no name that an XML element may have"),
        (json!({"a": {"@": 1}}), "`` is no name that an XML attribute may have"),
        (json!({"a": {"@x=\"\" y": 1}}), "`x=\"\" y` is no name that an XML attribute may have"),
        (json!({"a": {"@x": [1]}}), "the attribute `x` is a list; expected a string or another scalar"),
        (
            json!({"a": {"@xmlns": {"p": "u"}}}),
            "the attribute `xmlns` is an object; expected a string or another scalar",
        ),
        (json!({"a": {"#text": {}}}), "`#text` of `a` is an object; expected a string or another scalar"),
        (json!({"a": "x\u{0}"}), "the character U+0000 cannot be written in XML"),
        (json!({"a": {"@x": "\u{b}"}}), "the character U+000B cannot be written in XML"),
        (json!({"a": "\u{fffe}"}), "the character U+FFFE cannot be written in XML"),
    ] {
        let error = refused(&value);
        assert_eq!((error.kind(), error.message()), (Kind::Unprocessable, message), "{value}");
    }
}

#[test]
fn xml_is_read_as_the_documentation_says() {
    for (xml, expected) in [
        ("<foo>bar</foo>", r#"{"foo":"bar"}"#),
        ("<a/>", r#"{"a":null}"#),
        ("<a></a>", r#"{"a":null}"#),
        ("<a> \n </a>", r#"{"a":null}"#),
        ("<a>&#32;&#10;</a>", r#"{"a":null}"#),
        ("<a> x\u{a0}</a>", r#"{"a":"x"}"#),
        ("<a x=''/>", r#"{"a":{"@x":""}}"#),
        ("<a x=' 1 '>t</a>", r##"{"a":{"@x":" 1 ","#text":"t"}}"##),
        ("<a>t<b>1</b>u</a>", r##"{"a":{"b":"1","#text":"tu"}}"##),
        ("<a> t <b/> u <c/> </a>", r##"{"a":{"b":null,"c":null,"#text":"t  u"}}"##),
        ("<a><b>1</b><c/><b>2</b><b/></a>", r#"{"a":{"b":["1","2",null],"c":null}}"#),
        ("<a>\n  <b>1</b>\n  <b>2</b>\n</a>", r#"{"a":{"b":["1","2"]}}"#),
        ("<a><!-- c -->x<?p i?>y</a>", r#"{"a":"xy"}"#),
        ("<a><![CDATA[<b>&amp;]]>&amp;<![CDATA[]]]]></a>", r#"{"a":"<b>&amp;&]]"}"#),
        ("<a>&lt;&gt;&apos;&quot;&#x41;&#66;</a>", r#"{"a":"<>'\"AB"}"#),
        ("<a>x\r\ny\rz</a>", r#"{"a":"x\ny\nz"}"#),
        ("<a x='p\r\nq\tr'/>", r#"{"a":{"@x":"p q r"}}"#),
        (
            "<p:a xmlns='u' xmlns:p='v' p:x='1'><p:b/></p:a>",
            r#"{"p:a":{"@xmlns":"u","@xmlns:p":"v","@p:x":"1","p:b":null}}"#,
        ),
        ("<?xml version='1.0' encoding='utf-8' standalone='no'?>\n<!-- c --><a/>\n<?p?>\n", r#"{"a":null}"#),
        ("\u{feff}<?xml version=\"1.1\"?><a/>", r#"{"a":null}"#),
        ("<a\n x = '>' ><b></b\n></a>", r#"{"a":{"@x":">","b":null}}"#),
        ("<root><b>1</b><a>2</a></root>", r#"{"root":{"b":"1","a":"2"}}"#),
        (
            "<root><foo><foo><bar>barvalue</bar></foo></foo><fubar>barfu</fubar></root>",
            r#"{"root":{"foo":{"foo":{"bar":"barvalue"}},"fubar":"barfu"}}"#,
        ),
    ] {
        assert_eq!(json_of(xml), expected, "{xml}");
    }
}

#[test]
fn the_envelope_is_stripped_once() {
    for (xml, expected) in [
        ("<jsonified_envelope><a>1</a><b>2</b></jsonified_envelope>", r#"{"a":"1","b":"2"}"#),
        (
            "<jsonified_envelope><errors><foo>bar</foo></errors><errors><foo>bar</foo></errors></jsonified_envelope>",
            r#"{"errors":[{"foo":"bar"},{"foo":"bar"}]}"#,
        ),
        ("<jsonified_envelope/>", "{}"),
        ("<jsonified_envelope>x</jsonified_envelope>", r#""x""#),
        ("<jsonified_envelope><jsonified_envelope/></jsonified_envelope>", "[null]"),
        ("<a><jsonified_envelope>1</jsonified_envelope></a>", r#"{"a":{"jsonified_envelope":"1"}}"#),
    ] {
        assert_eq!(json_of(xml), expected, "{xml}");
    }
}

#[test]
fn settings_change_how_xml_is_read() {
    let plain = XmlToJsonSettings::default;
    let flat = XmlToJsonSettings { flatten: true, ..plain() };
    assert_eq!(read("<a x='1'><b>2</b></a>", &flat), r#"{"@x":"1","b":"2"}"#);
    assert_eq!(read("<a>x</a>", &flat), r#""x""#);
    assert_eq!(read("<jsonified_envelope><a>1</a></jsonified_envelope>", &flat), r#"{"a":"1"}"#);
    let typed = XmlToJsonSettings { typed: true, ..plain() };
    assert_eq!(
        read(
            "<a x='1' y='-0.5'><b>true</b><b> false </b><b>True</b><b>007</b><b>1e3</b><b>12345678901234567890123</b></a>",
            &typed
        ),
        r#"{"a":{"@x":1,"@y":-0.5,"b":[true,false,"True","007","1e3","12345678901234567890123"]}}"#
    );
    let spaced = XmlToJsonSettings { keep_whitespace: true, ..plain() };
    assert_eq!(read("<a> <b> x </b>\n</a>", &spaced), r##"{"a":{"b":" x ","#text":" \n"}}"##);
    let lists = XmlToJsonSettings { lists: ["b".to_owned()].into(), ..plain() };
    assert_eq!(
        read("<b><b>1</b><c><b/><d/><b/></c></b>", &lists),
        r#"{"b":{"b":["1"],"c":{"b":[null,null],"d":null}}}"#
    );
}

#[test]
fn what_is_not_well_formed_is_refused_with_its_line() {
    for xml in [
        "",
        " ",
        "x",
        "<a>",
        "<a></b>",
        "</a>",
        "<a/><b/>",
        "<a/>x",
        "x<a/>",
        "&amp;<a/>",
        "<a/>&amp;",
        "<![CDATA[x]]><a/>",
        "<a b/>",
        "<a b=1/>",
        "<a b='1'c='2'/>",
        "<a b='1' b='2'/>",
        "<a b='<'/>",
        "<a b='&'/>",
        "<a b='&x;'/>",
        "<a 1=''/>",
        "<1/>",
        "<a&b/>",
        "< a/>",
        "<>x</>",
        "<a / >",
        "<a></a b='1'>",
        "<a>]]></a>",
        "<a>&</a>",
        "<a>& </a>",
        "<a>&nbsp;</a>",
        "<a>&#0;</a>",
        "<a>&#xD800;</a>",
        "<a>\u{1}</a>",
        "<a>\u{ffff}</a>",
        "<a><!-- -- --></a>",
        "<a><!-- ---></a>",
        "<a><!x></a>",
        "<a><![CDATA[x</a>",
        "<a><?xml version='1.0'?></a>",
        " <?xml version='1.0'?><a/>",
        "<?xml?><a/>",
        "<?xml encoding='utf-8'?><a/>",
        "<?xml version='2.0'?><a/>",
        "<?xml version='1.0' standalone='maybe'?><a/>",
        "<?xml version='1.0' standalone='no' encoding='utf-8'?><a/>",
        "<a><?XML x?></a>",
        "<a><? x?></a>",
        "<a><?p</a>",
        "\u{feff}\u{feff}<a/>",
        "<a b=\"'/>",
    ] {
        let error = unread(xml);
        assert_eq!(error.kind(), Kind::Malformed, "{xml}");
        assert!(error.message().starts_with("line 1: "), "{xml}: {error}");
    }
    assert_eq!(
        unread("<a>\n<b>\n</a>").message(),
        "line 3: ill-formed document: expected `</b>`, but `</a>` was found"
    );
    assert_eq!(unread("<a>\n&x;</a>").message(), "line 2: the entity `x` is not declared");
    assert_eq!(unread(b"<a>\xff</a>").message(), "the document is not UTF-8 at byte 3");
}

#[test]
fn a_doctype_is_refused_so_no_entity_can_grow() {
    let laughs = "<!DOCTYPE a [<!ENTITY x 'ha'><!ENTITY y '&x;&x;&x;'>]><a>&y;</a>";
    let fetched = "<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>";
    for xml in [laughs, fetched, "<!doctype a><a/>"] {
        let error = unread(xml);
        assert_eq!(
            (error.kind(), error.message()),
            (Kind::Malformed, "line 1: the document has a `DOCTYPE`, which is refused")
        );
    }
}

#[test]
fn other_encodings_are_read_or_refused() {
    let latin = b"<?xml version='1.0' encoding='ISO-8859-1'?><a>\xe9</a>";
    let settings = XmlToJsonSettings::default();
    assert_eq!(xml_to_json(latin, &settings).unwrap(), json!({"a": "é"}));
    let wide: Vec<u8> = "\u{feff}<a>é</a>".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(xml_to_json(&wide, &settings).unwrap(), json!({"a": "é"}));
    assert_eq!(unread(b"<?xml version='1.0' encoding='shift_jis'?><a/>").kind(), Kind::Unsupported);
}

#[test]
fn every_limit_is_an_error_of_its_own() {
    let tight = Limits { bytes: 40, depth: 3, nodes: 4 };
    let settings = XmlToJsonSettings { limits: tight, ..Default::default() };
    for (xml, message) in [
        ("<a><b><c><d/></c></b></a>", "line 1: the document nests elements deeper than 3 levels"),
        ("<a b='' c=''>\n<d/><e/></a>", "line 2: the document has more than 4 elements and attributes"),
        ("<aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/>", "the document has more than 40 bytes"),
    ] {
        let error = xml_to_json(xml.as_bytes(), &settings).unwrap_err();
        assert_eq!((error.kind(), error.message()), (Kind::TooLarge, message));
    }
    let settings = JsonToXmlSettings { limits: tight, ..Default::default() };
    for (value, message) in [
        (json!({"a": {"b": {"c": {"d": 1}}}}), "the document nests elements deeper than 3 levels"),
        (json!({"a": {"b": [1, 2, 3]}}), "the document has more than 4 elements and attributes"),
        (json!({"a": {"b": [], "c": [], "d": [], "e": []}}), "the document has more than 4 elements and attributes"),
        (json!({"a": "&".repeat(9)}), "the document has more than 40 bytes"),
        (json!({"a": {"@b": "x".repeat(34)}}), "the document has more than 40 bytes"),
    ] {
        let error = json_to_xml(&value, &settings).unwrap_err();
        assert_eq!((error.kind(), error.message()), (Kind::TooLarge, message), "{value}");
    }
}

#[test]
fn a_long_name_in_a_long_list_is_not_written_without_end() {
    let value = json!({"x".repeat(1 << 20): vec![1; 10_000]});
    assert_eq!(refused(&json!({"a": value})).kind(), Kind::TooLarge);
}

#[test]
fn no_depth_that_is_set_overflows_the_stack() {
    let limits = Limits { depth: usize::MAX, ..Limits::default() };
    let open = "<a>".repeat(1024);
    let close = "</a>".repeat(1024);
    let settings = XmlToJsonSettings { limits, ..Default::default() };
    let value = xml_to_json(format!("{open}{close}").as_bytes(), &settings).unwrap();
    let settings_back = JsonToXmlSettings { limits, ..Default::default() };
    assert_eq!(json_to_xml(&value, &settings_back).unwrap().len(), 1023 * 7 + 4);
    let error = xml_to_json(format!("<a>{open}{close}</a>").as_bytes(), &settings).unwrap_err();
    assert_eq!(error.message(), "line 1: the document nests elements deeper than 1024 levels");
    assert_eq!(json_to_xml(&json!({"b": value}), &settings_back).unwrap_err().kind(), Kind::TooLarge);
}

#[test]
fn the_work_grows_with_the_size_alone() {
    // Each of these takes minutes where a step looks again at all that came before it.
    let settings = XmlToJsonSettings { limits: Limits { nodes: 1 << 22, ..Limits::default() }, ..Default::default() };
    let space = " ".repeat(2 << 20);
    let spaced = format!("<a>{space}{}</a>", "x&amp;".repeat(100_000));
    let referred = format!("<a>{}{}</a>", "&#32;".repeat(100_000), "x&amp;".repeat(100_000));
    let alternating = format!("<a>{}</a>", "<b/><c/>".repeat(100_000));
    let attributes: String = (0..50_000).map(|number| format!(" a{number}=''")).collect();
    let attributes = format!("<a{attributes}/>");
    let begin = std::time::Instant::now();
    for xml in [spaced, referred, alternating, attributes] {
        assert!(xml_to_json(xml.as_bytes(), &settings).is_ok());
    }
    assert!(begin.elapsed().as_secs() < 30, "{:?}", begin.elapsed());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn json_comes_back_through_xml(value in document(false)) {
        let xml = json_to_xml(&value, &JsonToXmlSettings::default()).unwrap();
        prop_assert!(!xml.contains(['\n', '\r']));
        let back = xml_to_json(xml.as_bytes(), &XmlToJsonSettings::default()).unwrap();
        // As text, so that the order counts too.
        prop_assert_eq!(back.to_string(), value.to_string(), "{}", xml);
    }

    #[test]
    fn numbers_and_booleans_come_back_where_reading_is_typed(value in document(true)) {
        let xml = json_to_xml(&value, &JsonToXmlSettings::default()).unwrap();
        let settings = XmlToJsonSettings { typed: true, ..Default::default() };
        let back = xml_to_json(xml.as_bytes(), &settings).unwrap();
        prop_assert_eq!(back.to_string(), value.to_string(), "{}", xml);
    }

    #[test]
    fn any_json_is_refused_or_becomes_well_formed(value in any_json(), embed_xml: bool) {
        let settings = JsonToXmlSettings { embed_xml, ..Default::default() };
        if let Ok(xml) = json_to_xml(&value, &settings) {
            let read = XmlToJsonSettings { keep_whitespace: true, ..Default::default() };
            let back = xml_to_json(xml.as_bytes(), &read);
            prop_assert!(back.is_ok(), "{}: {:?}", xml, back);
        }
    }

    #[test]
    fn any_text_is_refused_or_read(xml in "[<>/!?a&;'\"=\\[\\]CDAT#x0-9 \n-]{0,40}") {
        let _ = xml_to_json(xml.as_bytes(), &XmlToJsonSettings::default());
        let _ = xml_to_json(format!("<a>{xml}</a>").as_bytes(), &XmlToJsonSettings::default());
    }
}
