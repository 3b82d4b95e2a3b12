//! Reads whatever came as XML. What can be read keeps the limits, and is the same when it was written and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use playhouse_actors::json_xml::{JsonToXmlSettings, Limits, XmlToJsonSettings, json_to_xml, xml_to_json};
use serde_json::Value;

const LIMITS: Limits = Limits { bytes: 1 << 14, depth: 12, nodes: 500 };

fuzz_target!(|input: &[u8]| {
    let Some((flags, xml)) = input.split_first() else { return };
    let mut settings = XmlToJsonSettings {
        typed: flags & 1 != 0,
        keep_whitespace: flags & 2 != 0,
        flatten: flags & 8 != 0,
        limits: LIMITS,
        ..Default::default()
    };
    if flags & 4 != 0 {
        settings.lists = ["a".to_owned()].into();
    }
    let Ok(first) = xml_to_json(xml, &settings) else { return };
    assert!(xml.len() <= LIMITS.bytes && values(&first) <= 3 * LIMITS.nodes + 3);
    if settings.flatten {
        return;
    }
    let xml = json_to_xml(&first, &JsonToXmlSettings::default()).expect("what was read can be written");
    let again = XmlToJsonSettings { limits: Limits::default(), ..settings };
    let second = xml_to_json(xml.as_bytes(), &again).expect("what was written can be read");
    // As text, so that the order counts too.
    assert_eq!(first.to_string(), second.to_string(), "{xml}");
});

fn values(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(values).sum(),
        Value::Object(members) => members.values().map(values).sum(),
        _ => 0,
    }
}
