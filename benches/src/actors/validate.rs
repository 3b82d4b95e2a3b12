//! Validation: by JSON Schema beside Python's jsonschema on the same documents, and by XML Schema.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use playhouse::actors::{JsonSchema, Xsd};
use playhouse::testing::feed;
use playhouse::{Actor, Event, Payload};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::python::Python;
use crate::{Race, wanted};

/// For how long one round validates.
const ROUND: Duration = Duration::from_millis(500);

const ROUNDS: usize = 7;

/// How many lines a document has, and what the cases of that size are called.
const SIZES: [(usize, &str); 2] = [(10, "1k"), (700, "70k")];

const XSD: &str = r#"<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">
  <xs:element name="order">
    <xs:complexType>
      <xs:sequence>
        <xs:element name="customer" type="xs:string"/>
        <xs:element name="line" maxOccurs="unbounded">
          <xs:complexType>
            <xs:sequence><xs:element name="price" type="xs:decimal"/></xs:sequence>
            <xs:attribute name="sku" use="required">
              <xs:simpleType>
                <xs:restriction base="xs:string"><xs:pattern value="A[0-9]+"/></xs:restriction>
              </xs:simpleType>
            </xs:attribute>
            <xs:attribute name="quantity" type="xs:positiveInteger" use="required"/>
          </xs:complexType>
        </xs:element>
      </xs:sequence>
    </xs:complexType>
  </xs:element>
</xs:schema>"#;

/// Races `JsonSchema` against Python's jsonschema, and says what a document costs `JsonSchema` and `Xsd`.
///
/// # Errors
/// Where a schema is wrong, or jsonschema cannot be installed or started.
pub fn race() -> Result<(), Box<dyn Error>> {
    let runtime = Runtime::new()?;
    let json_schema = JsonSchema::new(schema())?;
    let xsd = Xsd::from_text(XSD)?;
    for (lines, size) in SIZES {
        let case = format!("json-schema-{size}");
        if wanted(&case) {
            let folder = tempfile::tempdir()?;
            fs::write(folder.path().join("schema.json"), schema().to_string())?;
            fs::write(folder.path().join("document.json"), order(lines).to_string())?;
            let mut python = start(folder.path())?;
            let payload = Payload::from(order(lines));
            Race::new(case, "documents/s")
                .ours("", || rate(&runtime, &json_schema, &payload))
                .peer("jsonschema", || told(&mut python))
                .run(Duration::MAX, ROUNDS);
        }
        let case = format!("xsd-{size}");
        if wanted(&case) {
            let payload = Payload::from(order_of_xml(lines));
            let best = (0..ROUNDS).map(|_| rate(&runtime, &xsd, &payload)).fold(0.0, f64::max);
            println!("FIGURE {case} {:.1} us-a-document -", 1e6 / best);
        }
    }
    Ok(())
}

fn start(folder: &Path) -> std::io::Result<Python> {
    Python::start("jsonschema_rate.py", &["jsonschema==4.25.1"], folder)
}

/// Returns the rate that the peer tells.
fn told(python: &mut Python) -> f64 {
    let answer = python.ask(&format!("validate {}", ROUND.as_secs_f64())).expect("the peer runs");
    answer.parse().expect("the peer tells a number")
}

/// Validates a document again and again, and returns how often a second.
fn rate(runtime: &Runtime, actor: &impl Actor, payload: &Payload) -> f64 {
    runtime.block_on(async {
        let (mut done, begin) = (0.0, Instant::now());
        loop {
            let outputs = feed(actor, Event::new(payload.clone())).await.expect("the document is valid");
            assert_eq!(outputs.len(), 1);
            done += 1.0;
            let elapsed = begin.elapsed();
            if elapsed >= ROUND {
                return done / elapsed.as_secs_f64();
            }
        }
    })
}

fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "required": ["customer", "lines"],
        "additionalProperties": false,
        "properties": {
            "customer": {"type": "string", "minLength": 1},
            "lines": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/line"}},
        },
        "$defs": {
            "line": {
                "type": "object",
                "required": ["sku", "quantity", "price"],
                "properties": {
                    "sku": {"type": "string", "pattern": "^A[0-9]+$"},
                    "quantity": {"type": "integer", "minimum": 1},
                    "price": {"type": "number", "exclusiveMinimum": 0},
                },
            },
        },
    })
}

fn order(lines: usize) -> Value {
    let lines: Vec<_> = (0..lines)
        .map(|line| json!({"sku": format!("A{line:06}"), "quantity": line % 7 + 1, "price": line as f64 + 0.25, "name": "pen and ink"}))
        .collect();
    json!({"customer": "Ada Lovelace", "lines": lines})
}

fn order_of_xml(lines: usize) -> String {
    let lines: String = (0..lines)
        .map(|line| format!("<line sku=\"A{line:06}\" quantity=\"{}\"><price>{line}.25</price></line>\n", line % 7 + 1))
        .collect();
    format!("<order><customer>Ada Lovelace, with a note of some length</customer>{lines}</order>")
}
