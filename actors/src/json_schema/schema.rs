//! Where schemas come from, and how they are compiled.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::path::Path;

use jsonschema::{PatternOptions, Retrieve, Uri, Validator, meta};
use playhouse_engine::{Error, Result};
use serde_json::Value;

use super::problem;
use super::settings::JsonSchemaSettings;

/// A schema, and the URI that its references are relative to.
#[derive(Clone, Debug)]
pub(super) struct Source {
    schema: Value,
    base: Option<String>,
}

impl Source {
    pub(super) fn of(schema: Value) -> Self {
        Self { schema, base: None }
    }

    pub(super) fn from_text(text: &str) -> Result<Self> {
        match serde_json::from_str(text) {
            Ok(schema) => Ok(Self::of(schema)),
            Err(error) => Err(Error::malformed(format!("the schema is not JSON: {error}"))),
        }
    }

    pub(super) fn from_file(path: &Path) -> Result<Self> {
        let failed = |problem: String| Error::malformed(format!("the schema `{}` {problem}", path.display()));
        let text = std::fs::read(path).map_err(|error| failed(format!("cannot be read: {error}")))?;
        let schema = serde_json::from_slice(&text).map_err(|error| failed(format!("is not JSON: {error}")))?;
        let absolute = std::path::absolute(path).map_err(|error| failed(format!("cannot be found: {error}")))?;
        Ok(Self { schema, base: Some(file_uri(&absolute)) })
    }

    /// Compiles the schema; what the settings name is read now. Every problem is told.
    pub(super) fn compile(&self, settings: &JsonSchemaSettings) -> Result<Validator> {
        let mut known = Known::default();
        let mut problems = Vec::new();
        for path in &settings.files {
            match Self::from_file(path) {
                Ok(source) => known.add(source),
                Err(error) => problems.push(error.message().to_owned()),
            }
        }
        let mut options = jsonschema::options()
            .with_retriever(known)
            .should_validate_formats(true)
            .with_pattern_options(PatternOptions::regex());
        let mut checked = self.schema.clone();
        if let Value::Object(members) = &mut checked
            && !members.contains_key("$schema")
        {
            options = options.with_draft(settings.draft.named_by_crate());
            // Only for the meta-schema to be found.
            members.insert("$schema".to_owned(), meta_schema(settings).into());
        }
        if let Some(base) = &self.base {
            options = options.with_base_uri(base.clone());
        }
        if let Ok(validator) = meta::validator_for(&checked) {
            // The later meta-schemas come to the same place by several ways.
            for problem in validator.iter_errors(&checked).map(|error| problem(&error)) {
                if !problems.contains(&problem) {
                    problems.push(problem);
                }
            }
        }
        match options.build(&self.schema) {
            Ok(validator) if problems.is_empty() => return Ok(validator),
            // The meta-schema has said so already, in its order.
            Err(error) if problems.is_empty() => problems.push(problem(&error)),
            _ => {}
        }
        Err(Error::malformed(format!("the schema cannot be used: {}", problems.join("; "))))
    }
}

fn meta_schema(settings: &JsonSchemaSettings) -> &'static str {
    use super::settings::Draft;
    match settings.draft {
        Draft::Draft4 => "http://json-schema.org/draft-04/schema#",
        Draft::Draft6 => "http://json-schema.org/draft-06/schema#",
        Draft::Draft7 => "http://json-schema.org/draft-07/schema#",
        Draft::Draft201909 => "https://json-schema.org/draft/2019-09/schema",
        Draft::Draft202012 => "https://json-schema.org/draft/2020-12/schema",
    }
}

/// The schemas that a reference may name, by URI.
#[derive(Debug, Default)]
struct Known(HashMap<String, Value>);

impl Known {
    fn add(&mut self, Source { schema, base }: Source) {
        for name in ["$id", "id"] {
            if let Some(Value::String(id)) = schema.get(name) {
                self.0.insert(id.trim_end_matches('#').to_owned(), schema.clone());
            }
        }
        if let Some(base) = base {
            self.0.insert(base, schema);
        }
    }
}

impl Retrieve for Known {
    fn retrieve(&self, uri: &Uri<String>) -> std::result::Result<Value, Box<dyn StdError + Send + Sync>> {
        let schema = self.0.get(uri.as_str().trim_end_matches('#')).cloned();
        schema.ok_or_else(|| format!("no file of the settings is `{uri}`").into())
    }
}

/// Writes an absolute path as a URI.
fn file_uri(path: &Path) -> String {
    use std::fmt::Write as _;
    let mut uri = "file://".to_owned();
    for &byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => uri.push(char::from(byte)),
            // Writing into a string cannot fail.
            _ => drop(write!(uri, "%{byte:02X}")),
        }
    }
    uri
}
