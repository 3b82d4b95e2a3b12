//! Writes whatever came as XML: JSON text, or a value made of the bytes. What is written keeps the limits and is well-formed.

#![no_main]

use libfuzzer_sys::fuzz_target;
use playhouse_actors::json_xml::{JsonToXmlSettings, Limits, XmlToJsonSettings, json_to_xml, xml_to_json};
use serde_json::{Map, Value};

const LIMITS: Limits = Limits { bytes: 1 << 14, depth: 12, nodes: 500 };

fuzz_target!(|input: &[u8]| {
    let Some((flags, input)) = input.split_first() else { return };
    let settings = JsonToXmlSettings { embed_xml: flags & 1 == 1, limits: LIMITS, ..Default::default() };
    if flags & 2 == 0 {
        if let Ok(value) = serde_json::from_slice(input) {
            check(&value, &settings);
        }
    } else {
        check(&value(&mut { input }, 0), &settings);
    }
});

fn check(value: &Value, settings: &JsonToXmlSettings) {
    let Ok(xml) = json_to_xml(value, settings) else { return };
    assert!(xml.len() <= LIMITS.bytes);
    assert!(settings.embed_xml || !xml.contains(['\n', '\r']), "{xml}");
    let read = XmlToJsonSettings { limits: LIMITS, keep_whitespace: true, ..Default::default() };
    if let Err(error) = xml_to_json(xml.as_bytes(), &read) {
        panic!("{xml}: {error}");
    }
}

/// Makes a value of the bytes, which is soon one with names and nesting that mean something.
fn value(input: &mut &[u8], depth: usize) -> Value {
    let kind = byte(input);
    let count = usize::from(kind >> 4) % 6;
    match kind % 8 {
        0 => Value::Null,
        1 => Value::Bool(kind & 16 != 0),
        2 => Value::from(f64::from(kind) / 3.0),
        3 | 4 => Value::String(text(input)),
        5 if depth < 16 => Value::Array((0..count).map(|_| value(input, depth + 1)).collect()),
        6 | 7 if depth < 16 => {
            let mut members = Map::new();
            for _ in 0..count {
                let name = match byte(input) % 8 {
                    0 => "#text".to_owned(),
                    1 => format!("@{}", text(input)),
                    2 => "@a".to_owned(),
                    3 => text(input),
                    letter => char::from(b'a' + letter).to_string(),
                };
                members.insert(name, value(input, depth + 1));
            }
            Value::Object(members)
        }
        _ => Value::String(String::new()),
    }
}

fn byte(input: &mut &[u8]) -> u8 {
    let (first, rest) = input.split_first().unwrap_or((&0, &[]));
    *input = rest;
    *first
}

fn text(input: &mut &[u8]) -> String {
    let length = usize::from(byte(input) % 32).min(input.len());
    let (text, rest) = input.split_at(length);
    *input = rest;
    String::from_utf8_lossy(text).into_owned()
}
