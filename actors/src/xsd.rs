//! Validation of XML by an XML schema, on libxml2.

use std::path::Path;
use std::sync::Arc;

use playhouse_engine::{Actor, Event, Format, Outbox, Payload, Ports, Result};
use serde::{Deserialize, Serialize};

use crate::aside::aside;
use crate::content::unparsed_size;
use crate::xml::libxml::{Document, Schema};
use crate::xml::sources::{SCHEMA_NAME, Sources};
use crate::xml::{DocumentLimits, LARGE};

/// Passes on each event whose payload is a valid XML document, as it came.
///
/// A document is valid if it is well-formed and keeps to the XML schema (XSD 1.0), compiled once when the actor is made
/// and shared by all workers. [`Xsd::well_formed`] takes every well-formed document. A schema is trusted like code: what
/// it imports and includes is read from local files, relative to it, and never from a network. A document is not: a
/// `DOCTYPE` is refused, and schemas that it names itself are not looked at.
///
/// What a document costs is bounded by its limits: it is read once, content models and patterns take a bounded number of
/// steps, and keys are looked up (20,000 of them with references take a quarter of a second with libxml2 2.9.14).
///
/// # Ports
/// Inbox `inbox`: XML, text or bytes. Outbox `outbox`: the same event.
///
/// # Settings
/// [`XsdSettings`], besides the schema itself:
///
/// | name | default | meaning |
/// |---|---|---|
/// | `limits.bytes` | 16 MiB | the size of a document |
/// | `limits.depth` | 256 | how deep its elements may be nested |
/// | `limits.nodes` | 2,000,000 | the number of its elements and attributes |
/// | `problems` | 100 | how many problems of a document are told; the rest is counted |
///
/// # Errors
/// - `Malformed` (400 over HTTP) where the document is not well-formed, has a `DOCTYPE` or is not valid: every problem with
///   its line, such as `` the document is not valid: line 3: Element 'b': This element is not expected. Expected is ( c ). ``,
///   separated by `; `.
/// - `TooLarge` beyond the limits, `Unsupported` where the payload is empty or JSON.
///
/// # Example
/// ```
/// use playhouse_actors::Xsd;
/// use playhouse_engine::testing::feed;
/// use playhouse_engine::{Event, Kind};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> playhouse_engine::Result<()> {
/// let order = Xsd::from_text(
///     r#"<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">
///          <xs:element name="order" type="xs:positiveInteger"/>
///        </xs:schema>"#,
/// )?;
/// assert_eq!(feed(&order, Event::new("<order>7</order>")).await?.len(), 1);
/// let error = feed(&order, Event::new("<order>\n-7</order>")).await.unwrap_err();
/// assert_eq!(error.kind(), Kind::Malformed);
/// assert!(error.message().starts_with("the document is not valid: line 1: Element 'order': "));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Xsd {
    check: Arc<Check>,
}

/// What [`Xsd`] takes of a document, and what it says of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct XsdSettings {
    /// What a document may cost.
    pub limits: DocumentLimits,
    /// How many problems of a document are told; 100 by default. The rest is counted.
    pub problems: usize,
}

impl Default for XsdSettings {
    fn default() -> Self {
        Self { limits: DocumentLimits::default(), problems: 100 }
    }
}

#[derive(Debug)]
struct Check {
    schema: Option<Arc<Schema>>,
    settings: XsdSettings,
}

impl Xsd {
    /// Reads and compiles a schema, and what it imports and includes. No file is read again later.
    ///
    /// # Errors
    /// `Malformed` where a file cannot be read or the schema does not compile: every problem with file and line.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let mut sources = Sources::default();
        let url = sources.read(path.as_ref())?;
        Ok(Self::new(Some(Schema::compile(&url, sources)?)))
    }

    /// Compiles a schema from its text, which can import and include by absolute path only.
    ///
    /// # Errors
    /// `Malformed` where the schema does not compile: every problem with its line.
    pub fn from_text(text: &str) -> Result<Self> {
        let mut sources = Sources::default();
        sources.add(SCHEMA_NAME.to_owned(), text.as_bytes().into());
        Ok(Self::new(Some(Schema::compile(SCHEMA_NAME, sources)?)))
    }

    /// Takes every well-formed document.
    #[must_use]
    pub fn well_formed() -> Self {
        Self::new(None)
    }

    /// Sets what documents may cost and how much is said of them, in place of the defaults.
    #[must_use]
    pub fn with_settings(self, settings: XsdSettings) -> Self {
        Self { check: Arc::new(Check { schema: self.check.schema.clone(), settings }) }
    }

    fn new(schema: Option<Schema>) -> Self {
        Self { check: Arc::new(Check { schema: schema.map(Arc::new), settings: XsdSettings::default() }) }
    }
}

impl Check {
    fn run(&self, payload: &Payload) -> Result<()> {
        let document = Document::read(payload, &self.settings.limits)?;
        match &self.schema {
            Some(schema) => Ok(schema.validate(&document, self.settings.problems)?),
            None => Ok(()),
        }
    }
}

impl Actor for Xsd {
    fn ports(&self) -> Ports {
        let formats = Format::XML | Format::TEXT | Format::BYTES;
        Ports::pipe(formats, formats)
    }

    async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        if unparsed_size(event.payload()) < LARGE {
            self.check.run(event.payload())?;
        } else {
            let (check, payload) = (self.check.clone(), event.payload().clone());
            aside("the validation", move || check.run(&payload)).await?;
        }
        out.push(event);
        Ok(())
    }
}
