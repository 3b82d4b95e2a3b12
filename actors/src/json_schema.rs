//! Validation of JSON by JSON Schema.

mod schema;
mod settings;

use std::path::Path;
use std::sync::Arc;

use jsonschema::{ValidationError, Validator};
use playhouse_engine::{Actor, Error, Event, Format, Outbox, Payload, Ports, Result};
use serde_json::Value;

use schema::Source;

use crate::aside::aside;
pub use settings::{Draft, JsonSchemaSettings};

/// From this size on, in bytes of text or in JSON values, a document is worked on in tokio's blocking pool, lest it hold a
/// thread of the runtime: that is about half a millisecond.
const LARGE_BYTES: usize = 16 * 1024;
const LARGE_VALUES: usize = 4_000;

/// What is said of one problem has at most so many characters, since it quotes the document.
const LONGEST: usize = 300;

/// Passes on each event whose payload is valid JSON by a schema, as it came.
///
/// The schema is compiled once, when the actor is made, and shared by all workers. The drafts are 4, 6, 7, 2019-09 and
/// 2020-12, as `$schema` says; without one, [`JsonSchemaSettings::draft`]. `format` is checked in all of them, but for
/// internationalised host names and mail addresses. A `$ref` finds what stands in the schema itself and in the files
/// that the settings name; nothing else is read and nothing is fetched.
///
/// Patterns take time linear in the text, by the `regex` crate: one with a look-around or a back-reference is an error of
/// the schema. What else a document costs is bounded by its limits and by the schema, which is trusted like code.
///
/// # Ports
/// Inbox `inbox`: JSON, text or bytes. Outbox `outbox`: the same event.
///
/// # Settings
/// [`JsonSchemaSettings`], besides the schema itself:
///
/// | name | default | meaning |
/// |---|---|---|
/// | `draft` | `2020-12` | the draft of a schema without `$schema`: `4`, `6`, `7`, `2019-09`, `2020-12` |
/// | `files` | none | further schemas that a `$ref` may name, by their `$id` or their path beside the schema's |
/// | `bytes` | 1 MiB | the size of a document that comes as text or bytes |
/// | `values` | 100,000 | the number of values in a document: objects, lists, and what is in them |
/// | `problems` | 100 | how many problems of a document are told; the rest is counted |
///
/// # Errors
/// - `Malformed` (400 over HTTP) where the payload is no JSON or is not valid: every problem with its JSON pointer, such as
///   ``the document is not valid: `/b/0`: 1 is not of type "string"``, separated by `; `. The whole document is ``` `` ```.
/// - `TooLarge` beyond the limits, `Unsupported` where the payload is empty or XML.
///
/// # Example
/// ```
/// use playhouse_actors::JsonSchema;
/// use playhouse_engine::testing::feed;
/// use playhouse_engine::Event;
/// use serde_json::json;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> playhouse_engine::Result<()> {
/// let order = JsonSchema::new(json!({"required": ["id"], "properties": {"b": {"items": {"type": "string"}}}}))?;
/// assert_eq!(feed(&order, Event::new(json!({"id": 7}))).await?.len(), 1);
/// let error = feed(&order, Event::new(r#"{"id": 7, "b": [1]}"#)).await.unwrap_err();
/// assert_eq!(error.message(), r#"the document is not valid: `/b/0`: 1 is not of type "string""#);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct JsonSchema {
    check: Arc<Check>,
}

#[derive(Debug)]
struct Check {
    settings: JsonSchemaSettings,
    validator: Validator,
}

impl JsonSchema {
    /// Compiles a schema under the default settings.
    ///
    /// # Errors
    /// `Malformed` where it is no schema: every problem with its JSON pointer.
    pub fn new(schema: Value) -> Result<Self> {
        Self::new_with(schema, JsonSchemaSettings::default())
    }

    /// Compiles a schema from its text.
    ///
    /// # Errors
    /// As [`JsonSchema::new`], and `Malformed` where the text is no JSON.
    pub fn from_text(text: &str) -> Result<Self> {
        Self::compile(&Source::from_text(text)?, JsonSchemaSettings::default())
    }

    /// Reads and compiles a schema.
    ///
    /// # Errors
    /// As [`JsonSchema::from_text`], and `Malformed` where the file cannot be read.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        Self::from_file_with(path, JsonSchemaSettings::default())
    }

    /// Compiles a schema under settings of its own.
    ///
    /// # Errors
    /// As [`JsonSchema::new`].
    pub fn new_with(schema: Value, settings: JsonSchemaSettings) -> Result<Self> {
        Self::compile(&Source::of(schema), settings)
    }

    /// Reads and compiles a schema under settings of its own, whose files it may refer to.
    ///
    /// # Errors
    /// As [`JsonSchema::from_file`].
    pub fn from_file_with(path: impl AsRef<Path>, settings: JsonSchemaSettings) -> Result<Self> {
        Self::compile(&Source::from_file(path.as_ref())?, settings)
    }

    fn compile(source: &Source, settings: JsonSchemaSettings) -> Result<Self> {
        let validator = source.compile(&settings)?;
        Ok(Self { check: Arc::new(Check { settings, validator }) })
    }
}

impl Check {
    fn run(&self, payload: &Payload) -> Result<()> {
        let value = payload.as_json()?;
        let most = self.settings.values;
        if has_more_values(&value, most) {
            return Err(Error::too_large(format!("the document has more than {most} values")));
        }
        // The verdict alone is several times faster than the reasons.
        if self.validator.is_valid(&value) {
            return Ok(());
        }
        let errors = self.validator.iter_errors(&value).into_errors();
        let mut problems: Vec<_> = errors.iter().take(self.settings.problems).map(problem).collect();
        match errors.len().saturating_sub(problems.len()) {
            0 => {}
            more => problems.push(format!("and {more} more")),
        }
        Err(Error::malformed(format!("the document is not valid: {}", problems.join("; "))))
    }
}

impl Actor for JsonSchema {
    fn ports(&self) -> Ports {
        let formats = Format::JSON | Format::TEXT | Format::BYTES;
        Ports::pipe(formats, formats)
    }

    async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        let (bytes, large) = match event.payload() {
            Payload::Text(text) => (text.len(), text.len() >= LARGE_BYTES),
            Payload::Bytes(bytes) => (bytes.len(), bytes.len() >= LARGE_BYTES),
            Payload::Json(value) => (0, has_more_values(value, LARGE_VALUES)),
            _ => (0, false),
        };
        let most = self.check.settings.bytes;
        if bytes > most {
            return Err(Error::too_large(format!("the document has {bytes} bytes; at most {most} are allowed")));
        }
        if large {
            let (check, payload) = (self.check.clone(), event.payload().clone());
            aside("the validation", move || check.run(&payload)).await?;
        } else {
            self.check.run(event.payload())?;
        }
        out.push(event);
        Ok(())
    }
}

/// Says where something is wrong, and what.
fn problem(error: &ValidationError<'_>) -> String {
    // A whole list or object is not written out only to be cut.
    let message = match error.instance().as_ref() {
        Value::Array(_) | Value::Object(_) => error.masked_with("the value").to_string(),
        Value::String(text) if text.len() > LONGEST => error.masked_with("the text").to_string(),
        _ => error.to_string(),
    };
    let message = match message.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &message[..end]),
        None => message,
    };
    format!("`{}`: {message}", error.instance_path())
}

/// Tells whether a document has more values than that; it looks at no more of them.
fn has_more_values(value: &Value, most: usize) -> bool {
    fn count(value: &Value, left: &mut usize) -> bool {
        let Some(less) = left.checked_sub(1) else {
            return false;
        };
        *left = less;
        match value {
            Value::Array(values) => values.iter().all(|value| count(value, left)),
            Value::Object(members) => members.values().all(|value| count(value, left)),
            _ => true,
        }
    }
    !count(value, &mut { most })
}
