//! Validation by JSON Schema: the verdicts and pointers of Python's jsonschema for each draft, the words, and what ends
//! documents and schemas that mean harm.

#![cfg(feature = "json-schema")]
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use playhouse_actors::{Draft, JsonSchema, JsonSchemaSettings};
use playhouse_engine::testing::{Probe, feed};
use playhouse_engine::{Error, Event, Kind, Payload, Xml};
use serde_json::{Value, json};

const DRAFTS: [&str; 5] = ["4", "6", "7", "2019-09", "2020-12"];

#[track_caller]
fn schema(schema: Value) -> JsonSchema {
    JsonSchema::new(schema).expect("the schema compiles")
}

async fn check(actor: &JsonSchema, payload: impl Into<Payload>) -> Result<(), Error> {
    let event = Event::new(payload);
    let outputs = feed(actor, event.clone()).await?;
    assert_eq!(outputs.len(), 1);
    assert_eq!(
        (outputs[0].event.id(), outputs[0].event.payload().to_bytes()),
        (event.id(), event.payload().to_bytes())
    );
    Ok(())
}

/// The JSON pointers in a message.
fn pointers(message: &str) -> Vec<String> {
    let problems = message.strip_prefix("the document is not valid: `").unwrap().split("; `");
    let mut pointers: Vec<_> = problems.map(|problem| problem.split_once("`: ").unwrap().0.to_owned()).collect();
    pointers.sort();
    pointers
}

fn verdicts_of_python(cases: &Value) -> Vec<Vec<String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = Command::new(folder.join("../scripts/pyjsonschema")).output().unwrap();
    assert!(script.status.success(), "{}", String::from_utf8_lossy(&script.stderr));
    let mut python = Command::new(String::from_utf8(script.stdout).unwrap().trim())
        .arg(folder.join("tests/json_schema/verdicts.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(cases.to_string().as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn verdicts_and_pointers_are_those_of_python_in_every_draft() {
    let table: Vec<Value> = serde_json::from_str(include_str!("json_schema/table.json")).unwrap();
    let mut cases = Vec::new();
    for row in table {
        let drafts = row.get("drafts").map_or(DRAFTS.to_vec(), |drafts| {
            drafts.as_array().unwrap().iter().map(|draft| draft.as_str().unwrap()).collect()
        });
        for draft in drafts {
            for instance in row["instances"].as_array().unwrap() {
                // Of a schema that is `false`, Python names the place above.
                let pointers = row.get("pointers").is_none();
                cases
                    .push(json!({"draft": draft, "schema": row["schema"], "instance": instance, "pointers": pointers}));
            }
        }
    }
    let expected = verdicts_of_python(&Value::Array(cases.clone()));
    let mut differences = Vec::new();
    for (case, expected) in cases.iter().zip(&expected) {
        let draft = serde_json::from_value(case["draft"].clone()).unwrap();
        let settings = JsonSchemaSettings { draft, ..JsonSchemaSettings::default() };
        let actor = JsonSchema::new_with(case["schema"].clone(), settings).unwrap();
        let found = match check(&actor, case["instance"].clone()).await {
            Ok(()) => Vec::new(),
            Err(error) => pointers(error.message()),
        };
        let same = if case["pointers"] == true { found == *expected } else { found.len() == expected.len() };
        if !same {
            differences.push(format!("{case}: {found:?}, and python {expected:?}"));
        }
    }
    assert!(cases.len() > 500, "{}", cases.len());
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[tokio::test]
async fn decimals_are_exact_and_patterns_know_all_of_unicode() {
    let cent = schema(json!({"multipleOf": 0.01}));
    for (amount, valid) in [(0.07, true), (19.99, true), (1.001, false)] {
        assert_eq!(check(&cent, json!(amount)).await.is_ok(), valid, "{amount}");
    }
    let letters = schema(json!({"pattern": "^\\p{L}+$"}));
    assert!(check(&letters, json!("é")).await.is_ok() && check(&letters, json!("1")).await.is_err());
}

#[tokio::test]
async fn every_problem_is_told_with_its_pointer() {
    let actor =
        schema(json!({"required": ["id"], "properties": {"b": {"items": {"type": "string"}}, "n": {"maximum": 3}}}));
    let error = check(&actor, r#"{"b": ["x", 1, null], "n": 4}"#).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Malformed);
    assert_eq!(
        error.message(),
        r#"the document is not valid: ``: "id" is a required property; `/b/1`: 1 is not of type "string"; `/b/2`: null is not of type "string"; `/n`: 4 is greater than the maximum of 3"#
    );
    let list = schema(json!({"items": {"type": "string"}}));
    let error = check(&list, Value::from(vec![1; 1_000])).await.unwrap_err();
    assert!(error.message().ends_with("; and 900 more"), "{error}");
    let long = check(&list, json!([[["x".repeat(100_000)]], "x"])).await.unwrap_err();
    assert_eq!(long.message(), r#"the document is not valid: `/0`: the value is not of type "string""#);
    let names = schema(json!({"additionalProperties": false}));
    let error = check(&names, json!({"x".repeat(100_000): 1})).await.unwrap_err();
    assert!(error.message().len() < 400, "{error}");
}

#[tokio::test]
async fn every_form_of_json_is_taken_and_nothing_else() {
    let actor = schema(json!({"type": "object"}));
    for payload in [json!({}).into(), Payload::from("{}"), Payload::from(b"{}".to_vec())] {
        check(&actor, payload).await.unwrap();
    }
    assert_eq!(check(&actor, "{").await.unwrap_err().kind(), Kind::Malformed);
    for payload in [Payload::Empty, Payload::Xml(Xml::new("<a/>"))] {
        assert_eq!(check(&actor, payload).await.unwrap_err().kind(), Kind::Unsupported);
    }
}

#[test]
fn a_schema_that_cannot_be_used_is_an_error_when_the_actor_is_made() {
    for (bad, expected) in [
        (json!({"type": "text", "minimum": "a"}), vec!["`/minimum`: ", "`/type`: "]),
        (json!({"pattern": "(a"}), vec!["(a"]),
        (json!({"pattern": "(?=a)b"}), vec!["(?=a)b"]),
        (json!({"$ref": "#/none"}), vec!["/none"]),
        (json!({"$ref": "http://localhost:1/a.json"}), vec!["no file of the settings is `http://localhost:1/a.json`"]),
        (json!({"$ref": "file:///etc/passwd"}), vec!["no file of the settings is `file:///etc/passwd`"]),
        (json!({"$schema": "urn:none"}), vec!["urn:none"]),
        (json!(7), vec!["7"]),
    ] {
        let error = JsonSchema::new(bad.clone()).unwrap_err();
        assert_eq!(error.kind(), Kind::Malformed);
        assert!(error.message().starts_with("the schema cannot be used: "), "{error}");
        for expected in expected {
            assert!(error.message().contains(expected), "{bad}: {error}");
        }
    }
    assert!(JsonSchema::from_text("{").unwrap_err().message().starts_with("the schema is not JSON: "));
    assert!(
        JsonSchema::from_file("/none.json")
            .unwrap_err()
            .message()
            .starts_with("the schema `/none.json` cannot be read")
    );
}

#[tokio::test]
async fn the_draft_is_what_the_schema_says_or_else_the_settings() {
    let old = json!({"minimum": 2, "exclusiveMinimum": true});
    assert!(JsonSchema::new(old.clone()).is_err());
    let said =
        schema(json!({"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 2, "exclusiveMinimum": true}));
    assert!(check(&said, json!(2)).await.is_err());
    let settings = JsonSchemaSettings { draft: Draft::Draft4, ..JsonSchemaSettings::default() };
    assert!(check(&JsonSchema::new_with(old, settings).unwrap(), json!(2)).await.is_err());
}

#[tokio::test]
async fn references_find_the_files_of_the_settings_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, schema: Value| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, schema.to_string()).unwrap();
        path
    };
    let main =
        write("main.json", json!({"properties": {"a": {"$ref": "lib%20dir/a.json"}, "b": {"$ref": "urn:b#/$defs/s"}}}));
    let a = write("lib dir/a.json", json!({"$ref": "inner.json#/$defs/i"}));
    let inner = write("lib dir/inner.json", json!({"$defs": {"i": {"type": "integer"}}}));
    let b = write("b.json", json!({"$id": "urn:b", "$defs": {"s": {"type": "string"}}}));
    assert!(JsonSchema::from_file(&main).unwrap_err().message().contains("no file of the settings"));
    let settings = JsonSchemaSettings { files: vec![a, inner, b], ..JsonSchemaSettings::default() };
    let actor = JsonSchema::from_file_with(&main, settings).unwrap();
    check(&actor, json!({"a": 1, "b": "x"})).await.unwrap();
    let error = check(&actor, json!({"a": "x", "b": 1})).await.unwrap_err();
    assert_eq!(pointers(error.message()), ["/a", "/b"]);
    let settings = JsonSchemaSettings { files: vec!["/none.json".into()], ..JsonSchemaSettings::default() };
    assert!(JsonSchema::from_file_with(&main, settings).unwrap_err().message().contains("`/none.json` cannot be read"));
}

#[tokio::test]
async fn nothing_in_a_document_takes_unbounded_time_or_memory() {
    let pattern = schema(json!({"pattern": "^(a+)+$"}));
    let unique = schema(json!({"uniqueItems": true}));
    let started = Instant::now();
    assert!(check(&pattern, json!("a".repeat(500_000) + "b")).await.is_err());
    check(&unique, (0..90_000).collect::<Value>()).await.unwrap();
    check(&unique, (0..20_000).map(|n| json!({"a": [n]})).collect::<Value>()).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    let any = schema(json!(true));
    for (payload, message) in [
        (Payload::from(vec![b' '; 1 << 21]), "the document has 2097152 bytes; at most 1048576 are allowed"),
        (Value::from(vec![0; 100_000]).into(), "the document has more than 100000 values"),
        (Payload::from(format!("[{}0]", "0,".repeat(200_000))), "the document has more than 100000 values"),
    ] {
        let error = check(&any, payload).await.unwrap_err();
        assert_eq!((error.kind(), error.message()), (Kind::TooLarge, message));
    }
    assert_eq!(check(&any, "[".repeat(100_000)).await.unwrap_err().kind(), Kind::Malformed);
}

#[tokio::test]
async fn a_schema_that_refers_to_itself_for_ever_harms_nobody() {
    for endless in [
        json!({"$ref": "#"}),
        json!({"allOf": [{"$ref": "#"}]}),
        json!({"anyOf": [{"$ref": "#"}, {"not": {"$ref": "#"}}]}),
    ] {
        if let Ok(actor) = JsonSchema::new(endless) {
            let _ = check(&actor, json!({"a": 1})).await;
        }
    }
    let tree = schema(json!({"items": {"$ref": "#"}, "type": "array"}));
    check(&tree, "[".repeat(120) + &"]".repeat(120)).await.unwrap();
}

#[tokio::test]
async fn in_a_flow_an_invalid_document_takes_the_error_route() {
    let mut probe = Probe::new(schema(json!({"items": {"type": "integer"}}))).await.unwrap();
    probe.send(Event::new("[null]")).await.unwrap();
    assert_eq!(probe.error().await.unwrap().error().unwrap().kind(), Kind::Malformed);
    for large in [Payload::from(format!("[{}1]", " ".repeat(100_000))), Value::from(vec![1; 10_000]).into()] {
        let event = Event::new(large);
        probe.send(event.clone()).await.unwrap();
        assert_eq!(probe.output().await.unwrap().id(), event.id());
    }
}

#[test]
fn settings_are_read_from_files() {
    let settings: JsonSchemaSettings = toml::from_str("draft = '7'\nproblems = 3\nfiles = ['a.json']").unwrap();
    let expected = JsonSchemaSettings {
        draft: Draft::Draft7,
        problems: 3,
        files: vec!["a.json".into()],
        ..JsonSchemaSettings::default()
    };
    assert_eq!(settings, expected);
    assert!(toml::from_str::<JsonSchemaSettings>("drafts = '7'").is_err());
}
