//! Ours beside Python's xmltodict, on documents that are made up at random: they differ where that was decided, and nowhere
//! else.

#![cfg(feature = "convert")]
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "oracles/python.rs"]
mod python;
#[path = "json_xml_support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use playhouse_actors::json_xml::{JsonToXmlSettings, XmlToJsonSettings, json_to_xml, xml_to_json};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use python::python;
use serde_json::{Value, json};

/// A Python with xmltodict, which answers until it is dropped.
struct Oracle {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Oracle {
    fn start() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut process = Command::new(python(&["xmltodict==1.0.4"]))
            .arg(folder.join("tests/oracles/xmltodict_lines.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (process.stdin.take(), BufReader::new(process.stdout.take().unwrap()));
        Self { process, input, output }
    }

    /// Returns what xmltodict answers, or why it does not.
    fn ask(&mut self, question: &Value) -> Result<Value, String> {
        writeln!(self.input.as_mut().unwrap(), "{question}").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let mut answer: Value = serde_json::from_str(&line).unwrap();
        match answer.get_mut("value") {
            Some(value) => Ok(value.take()),
            None => Err(answer["error"].to_string()),
        }
    }

    fn parse(&mut self, xml: &str) -> Result<Value, String> {
        self.ask(&json!({"parse": xml}))
    }

    fn unparse(&mut self, value: &Value) -> Result<String, String> {
        self.ask(&json!({"unparse": value})).map(|xml| xml.as_str().unwrap().to_owned())
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        // It ends with its input.
        self.input = None;
        let _ = self.process.wait();
    }
}

fn ours(xml: &str) -> Result<Value, playhouse_engine::Error> {
    xml_to_json(xml.as_bytes(), &XmlToJsonSettings::default())
}

/// Returns as many values as are asked for, the same in each run.
fn made_up<S: Strategy>(strategy: S, count: usize) -> impl Iterator<Item = S::Value> {
    let mut runner = TestRunner::deterministic();
    (0..count).map(move |_| strategy.new_tree(&mut runner).unwrap().current())
}

#[test]
fn xml_is_read_as_xmltodict_reads_it() {
    let mut oracle = Oracle::start();
    for xml in made_up(support::any_xml(), 1500) {
        let theirs = oracle.parse(&xml).unwrap();
        // As text, so that the order counts too.
        assert_eq!(ours(&xml).unwrap().to_string(), theirs.to_string(), "{xml}");
    }
}

#[test]
fn what_expat_refuses_is_refused_and_nothing_else() {
    let mut oracle = Oracle::start();
    // A letter put in the place of another, or left out, or put in.
    let letters = prop_oneof![
        Just(None),
        proptest::sample::select("<>&;'\"/=!?-[] \u{1}ax#:0".chars().collect::<Vec<_>>()).prop_map(Some)
    ];
    let broken = (support::any_xml(), any::<prop::sample::Index>(), letters, any::<bool>());
    let mut refused = 0;
    for (xml, at, letter, replaces) in made_up(broken, 3000) {
        let mut letters: Vec<_> = xml.chars().collect();
        let at = at.index(letters.len());
        letters.splice(at..at + usize::from(replaces), letter);
        let xml: String = letters.into_iter().collect();
        // Decided: version 1.0, and what may come after it, where expat takes any word.
        if xml.starts_with("<?xml ") {
            continue;
        }
        let (theirs, ours) = (oracle.parse(&xml), ours(&xml));
        refused += usize::from(theirs.is_err());
        assert_eq!(ours.is_ok(), theirs.is_ok(), "{xml:?}: {ours:?}, {theirs:?}");
        if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
            assert_eq!(ours.to_string(), theirs.to_string(), "{xml}");
        }
    }
    assert!(refused > 500, "{refused}");
}

#[test]
fn json_is_written_as_xmltodict_writes_it() {
    let mut oracle = Oracle::start();
    let mut compared = 0;
    for value in made_up(support::document(false), 2500) {
        let has_a_root =
            value.as_object().is_some_and(|members| members.len() == 1 && !members.values().any(Value::is_array));
        // Which quotes stand around an attribute depends on those in it.
        if !has_a_root || value.to_string().contains("\\\"") {
            continue;
        }
        compared += 1;
        let ours = json_to_xml(&value, &JsonToXmlSettings::default()).unwrap();
        // Decided: a line break in text is a reference, so that it comes back and a document is one line.
        let theirs = oracle.unparse(&value).unwrap().replace('\n', "&#10;").replace('\r', "&#13;");
        assert_eq!(ours, theirs, "{value}");
        assert_eq!(oracle.parse(&ours).unwrap().to_string(), value.to_string());
    }
    assert!(compared > 500, "{compared}");
}

#[test]
fn scalars_and_empty_values_are_written_as_xmltodict_writes_them() {
    let mut oracle = Oracle::start();
    for value in [
        json!({"a": 1}),
        json!({"a": -1.5}),
        json!({"a": 0.001}),
        json!({"a": true}),
        json!({"a": {"b": [true, false, null, "", {}, 12345678901_u64]}}),
        json!({"a": {"b": [], "c": {}}}),
        json!({"a": {"@x": null, "@y": true, "@z": 1.5, "#text": false}}),
        json!({"a": {"#text": null}}),
        json!({"a": {"#text": "t", "b": 1}}),
        json!({"a": "<b>]]></b>"}),
        json!({"p:a": {"@xmlns:p": "urn:x", "@xmlns": "urn:y"}}),
    ] {
        let ours = json_to_xml(&value, &JsonToXmlSettings::default()).unwrap();
        assert_eq!(ours, oracle.unparse(&value).unwrap(), "{value}");
    }
}

#[test]
fn what_was_decided_differently_still_differs() {
    let mut oracle = Oracle::start();
    // A root list, several members and an empty object have no root in xmltodict.
    for value in [json!([1]), json!({"a": 1, "b": 2}), json!({})] {
        assert!(json_to_xml(&value, &JsonToXmlSettings::default()).is_ok());
        assert!(!oracle.unparse(&value).is_ok_and(|xml| ours(&xml).is_ok()), "{value}");
    }
    // Lists in lists and objects as attributes become the text of Python's own values.
    let nested = json!({"a": {"b": [[1, 2]]}});
    assert_eq!(oracle.unparse(&nested).unwrap(), "<a><b>[1, 2]</b></a>");
    assert_eq!(oracle.unparse(&json!({"a": {"@b": {"c": 1}}})).unwrap(), "<a b=\"{'c': 1}\"/>");
    // Names and characters that XML does not allow are written by xmltodict, and refused when they are read again.
    for value in [json!({"1": "x"}), json!({"a&b": "x"}), json!({"a": "\u{0}"})] {
        let theirs = oracle.unparse(&value).unwrap();
        assert!(oracle.parse(&theirs).is_err() && json_to_xml(&value, &JsonToXmlSettings::default()).is_err());
    }
    // The names of XML's fifth edition, of which expat knows the fourth.
    assert!(ours("<\u{2c00}/>").is_ok() && oracle.parse("<\u{2c00}/>").is_err());
    // A `DOCTYPE` is refused, and not its entities alone.
    assert!(ours("<!DOCTYPE a><a/>").is_err() && oracle.parse("<!DOCTYPE a><a/>").is_ok());
}
