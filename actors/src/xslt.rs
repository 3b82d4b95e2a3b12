//! Transforms by XSLT 1.0 with EXSLT, on libxslt.

mod job;
mod limits;
pub(crate) mod output;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use playhouse_engine::{Actor, Error, Event, Format, Outbox, Payload, Ports, Result, Text, Xml};
use tracing::{info, warn};

use job::{Job, Outcome};
pub use limits::Limits;
use output::{Method, Output};

use crate::aside::aside;
use crate::xml::LARGE;
use crate::xml::libxml::{Stylesheet, c_string};
use crate::xml::sources;

/// Where the output's media type and encoding are told.
const CONTENT_TYPE: &str = "http.header.content-type";

/// Transforms each XML document by a stylesheet, compiled once and shared by all workers.
///
/// `xsl:output` decides what is made: XML, or text where the method is `html` or `text` (bytes where that is not in
/// UTF-8); the attribute `http.header.content-type` tells it. What `xsl:message` says is traced at info;
/// `terminate="yes"` makes the event fail with that text, kind `Malformed`.
///
/// A stylesheet is trusted like code, a document is not: a `DOCTYPE` is refused, nothing is fetched or written, and
/// `document()` reads but the stylesheet itself and the folders that were allowed. [`Limits`] bound size, depth,
/// recursion and work; the length of the strings that a stylesheet builds is its own affair.
///
/// # Ports
/// Inbox: `inbox`, for XML, text (UTF-8 whatever its declaration says) or bytes. Outbox: `outbox`, for what `xsl:output` says.
///
/// # Settings
/// Set by methods of the same names:
///
/// | name | default | meaning |
/// |---|---|---|
/// | `parameter` | none | a global parameter of the stylesheet: a string, never an expression |
/// | `limits` | [`Limits`] | what a document and a transform may cost |
/// | `allow_folder` | none | a folder that `document()` may read |
/// | `allow_doctype` | refused | documents may have a `DOCTYPE` |
/// | `skip_unreadable` | an error | what `document()` cannot read is left out |
/// | `document_path` | none | what relative URLs in documents are relative to |
/// | `on_message` | traced | who is told what `xsl:message` says |
///
/// The limits:
///
/// | name | default | meaning |
/// |---|---|---|
/// | `bytes` | 16 MiB | the size of a document |
/// | `depth` | 256 | how deep elements may be nested |
/// | `nodes` | 2,000,000 | the number of elements and attributes |
/// | `recursion` | 3,000 | how deep templates may call each other |
/// | `operations` | 20,000,000 | how many instructions, and how many XPath operations, one transform may run |
///
/// # Errors
/// | kind | when |
/// |---|---|
/// | `Malformed` | the document is not well-formed or has a `DOCTYPE`, or the stylesheet said `terminate="yes"` |
/// | `TooLarge` | the document, or the work on it, is beyond the limits |
/// | `Forbidden` | the stylesheet asked for what it may not read |
/// | `Unsupported` | the payload is no document |
/// | `Internal` | the stylesheet failed, or its recursion was too deep |
///
/// # Example
/// ```
/// use playhouse_actors::Xslt;
///
/// # fn main() -> playhouse_engine::Result<()> {
/// let greet = Xslt::from_text(
///     r#"<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
///          <xsl:param name="word"/>
///          <xsl:template match="/name"><p><xsl:value-of select="$word"/>, <xsl:value-of select="."/></p></xsl:template>
///        </xsl:stylesheet>"#,
/// )?
/// .parameter("word", "Hello")?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Xslt {
    job: Arc<Job>,
    types: Types,
    say: Option<Say>,
}

/// Who is told what `xsl:message` says.
struct Say(Box<dyn Fn(&str) + Send + Sync>);

impl fmt::Debug for Say {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Say")
    }
}

/// The content type of each method that a result can have.
#[derive(Debug)]
struct Types {
    xml: Text,
    html: Text,
    text: Text,
}

impl Xslt {
    /// Compiles a stylesheet from its text, which can import by absolute path only.
    ///
    /// # Errors
    /// `Malformed` where the stylesheet does not compile, with line and reason.
    pub fn from_text(text: &str) -> Result<Self> {
        Ok(Self::new(Stylesheet::from_text(text)?))
    }

    /// Reads and compiles a stylesheet, and what it imports and includes. No file is read again later.
    ///
    /// # Errors
    /// `Malformed` where a file cannot be read or the stylesheet does not compile, with file, line and reason.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        Ok(Self::new(Stylesheet::from_file(path.as_ref())?))
    }

    /// Sets a global parameter: a string, never an XPath expression. A name in a namespace is written `{uri}name`.
    ///
    /// # Errors
    /// `Malformed` where the stylesheet declares no such parameter.
    pub fn parameter(mut self, name: &str, value: &str) -> Result<Self> {
        self.job_mut().set_parameter(name, value)?;
        Ok(self)
    }

    /// Allows `document()` to read the files beneath a folder, links followed. It may be called for several folders.
    ///
    /// # Errors
    /// `Malformed` where the folder does not exist.
    pub fn allow_folder(mut self, path: impl AsRef<Path>) -> Result<Self> {
        self.job_mut().stylesheet.sources_mut().allow(path.as_ref())?;
        Ok(self)
    }

    /// Tells whether the stylesheet declares a global parameter of that name.
    #[must_use]
    pub fn declares(&self, name: &str) -> bool {
        self.job.stylesheet.declares(name).unwrap_or(false)
    }

    /// Takes documents with a `DOCTYPE`. Its entities are expanded, within the [`Limits`] and the bounds of libxml2, and its
    /// default attributes are set; external entities and subsets are read beneath the folders that were allowed, and left
    /// out elsewhere.
    #[must_use]
    pub fn allow_doctype(mut self) -> Self {
        self.job_mut().stylesheet.sources_mut().doctype = true;
        self
    }

    /// Goes on without what `document()` may not or cannot read, as XSLT allows: it finds nothing there, and a message says
    /// so. By default the event fails.
    #[must_use]
    pub fn skip_unreadable(mut self) -> Self {
        self.job_mut().stylesheet.sources_mut().lenient = true;
        self
    }

    /// Sets the file that documents come from: URLs in them are relative to it. Nothing is read of it.
    ///
    /// # Errors
    /// `Malformed` where the path is not UTF-8.
    pub fn document_path(mut self, path: impl AsRef<Path>) -> Result<Self> {
        self.job_mut().base = Some(c_string(&sources::url(path.as_ref())?)?);
        Ok(self)
    }

    /// Hands what `xsl:message` says to a closure, in place of tracing it.
    #[must_use]
    pub fn on_message(mut self, say: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.say = Some(Say(Box::new(say)));
        self
    }

    /// Sets what documents and transforms may cost.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.job_mut().limits = limits;
        self
    }

    fn new(stylesheet: Stylesheet) -> Self {
        if let Some(warning) = stylesheet.warning() {
            warn!(warning, "stylesheet compiled with a warning");
        }
        let settings = stylesheet.output();
        let encoding = settings.encoding();
        let tell =
            |default| Text::from(format!("{}; charset={encoding}", settings.media_type.as_deref().unwrap_or(default)));
        let types = Types { xml: tell("application/xml"), html: tell("text/html"), text: tell("text/plain") };
        Self { job: Arc::new(Job::new(stylesheet)), types, say: None }
    }

    fn job_mut(&mut self) -> &mut Job {
        Arc::get_mut(&mut self.job).expect("a handler alone shares the job, and it borrows the actor")
    }

    async fn transform(&self, input: &Bytes, is_text: bool) -> Result<Output> {
        let outcome = if input.len() < LARGE {
            self.job.run(input, is_text)
        } else {
            self.run_aside(input, is_text, Job::run).await?
        };
        let outcome = if outcome.deeper { self.run_aside(input, is_text, Job::run_deep).await? } else { outcome };
        for message in &outcome.messages {
            match &self.say {
                Some(Say(say)) => say(message),
                None => info!(text = %message, "message of the stylesheet"),
            }
        }
        Ok(outcome.result?)
    }

    /// Runs the job on the blocking pool.
    async fn run_aside(
        &self,
        input: &Bytes,
        is_text: bool,
        run: impl FnOnce(&Job, &[u8], bool) -> Outcome + Send + 'static,
    ) -> Result<Outcome> {
        let (job, input) = (self.job.clone(), input.clone());
        aside("the transform", move || Ok(run(&job, &input, is_text))).await
    }

    fn answer(&self, event: &Event, Output { body, method }: Output) -> Event {
        let (content_type, payload) = match method {
            Method::Xml => (&self.types.xml, Payload::Xml(Xml::new(body))),
            Method::Html => (&self.types.html, self.characters(body)),
            Method::Text => (&self.types.text, self.characters(body)),
        };
        event.derive(payload).with_attribute(CONTENT_TYPE, content_type.clone())
    }

    fn characters(&self, body: Bytes) -> Payload {
        if self.job.stylesheet.output().encoding().eq_ignore_ascii_case("UTF-8")
            && let Ok(text) = Text::from_utf8(body.clone())
        {
            return Payload::Text(text);
        }
        Payload::Bytes(body)
    }
}

impl Actor for Xslt {
    fn ports(&self) -> Ports {
        Ports::pipe(Format::XML | Format::TEXT | Format::BYTES, Format::XML | Format::TEXT | Format::BYTES)
    }

    async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        let output = match event.payload() {
            Payload::Text(text) => self.transform(&text.clone().into_bytes(), true).await?,
            Payload::Bytes(bytes) => self.transform(bytes, false).await?,
            Payload::Xml(xml) => self.transform(xml.bytes(), false).await?,
            other => {
                return Err(Error::unsupported(format!("expected an XML document, found {}", other.format())));
            }
        };
        out.push(self.answer(event, output));
        Ok(())
    }
}
