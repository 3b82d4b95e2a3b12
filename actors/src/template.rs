//! Makes text of events by templates.

mod settings;
pub(crate) mod view;

use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use playhouse_engine::{Actor, Error, Event, Format, Outbox, Payload, Ports, Result, Text, Xml};

use crate::aside::aside;
use crate::content::unparsed_size;
pub use settings::{TemplateKind, TemplateSettings};

const CONTENT_TYPE: &str = "http.reply.header.content-type";

/// From this size on, in bytes, a payload is rendered on tokio's blocking pool.
const LARGE: usize = 16 * 1024;

/// Makes the payload anew from a template in the language of Jinja: text, XML for a template of XML.
///
/// A template sees `payload` (a value of JSON as it is, any other payload as text), `json` (the payload as JSON, where it is text
/// too), `attributes["http.path"]`, `id`, `correlation_id`, and `error.kind` and `error.message` on an error route. Values are
/// escaped as the kind of the template asks for; `|safe` lets one through.
///
/// A template is trusted like code, an event is not. A template reaches no file and no other template: there is no include,
/// import or inheritance, and no macro. It takes a number of steps at most, and what it makes has a limit. A step can look at
/// a whole value, and a template that joins text to itself in a loop can make long text: that is its own affair, each by the
/// 100 MB that the engine allows at most.
///
/// # Ports
/// The inbox `inbox`, for any format; the outbox `outbox`, for text and XML.
///
/// # Settings
///
/// | name | default | meaning |
/// |---|---|---|
/// | `text` | | the template; or |
/// | `file` | | the file that holds it, read once |
/// | `kind` | by `content-type`, or the file's name | `html`, `xml`, `json` or `text`: how values are escaped |
/// | `content-type` | by `kind` | the reply's content type (the attribute `http.reply.header.content-type`) |
/// | `strict` | `true` | whether a value that is not there is an error; else it is empty |
/// | `steps` | 100,000 | how many steps it may take |
/// | `largest-output` | 1 MiB | how large the output may be |
/// | `largest-payload` | 1 MiB | the largest payload that is looked into |
///
/// # Errors
/// `TooLarge` beyond the limits, `Malformed` where the payload is not what the template takes it for, `Unprocessable` where
/// a value is not there or cannot be used so.
///
/// # Example
/// ```
/// use playhouse_actors::{Template, TemplateKind};
///
/// let page = Template::from_text(
///     TemplateKind::Html,
///     "<ul>{% for item in json.items %}<li>{{ item.name }}: {{ item.count }}</li>{% endfor %}</ul>",
/// )?;
/// # Ok::<_, playhouse_engine::Error>(())
/// ```
pub struct Template(Arc<Compiled>);

struct Compiled {
    environment: Environment<'static>,
    kind: TemplateKind,
    content_type: Text,
    largest_output: usize,
    largest_payload: usize,
}

/// The name of the one template in its environment.
const NAME: &str = "template";

impl Template {
    /// Compiles a template.
    ///
    /// # Errors
    /// `Malformed` where it is wrong, with line and reason.
    pub fn from_text(kind: TemplateKind, text: impl Into<String>) -> Result<Self> {
        Self::new(TemplateSettings { text: Some(text.into()), kind: Some(kind), ..Default::default() })
    }

    /// Reads and compiles a template; the ending of the file's name (`.html`, `.xml`, `.json`, `.txt`, maybe with `.j2` behind
    /// it) says what it makes.
    ///
    /// # Errors
    /// `Malformed` where it cannot be read, is wrong, or has another ending.
    pub fn from_file(path: impl Into<PathBuf>) -> Result<Self> {
        Self::new(TemplateSettings { file: Some(path.into()), ..Default::default() })
    }

    /// Compiles a template as `settings` say.
    ///
    /// # Errors
    /// `Malformed` where the template or the settings are wrong.
    pub fn new(settings: TemplateSettings) -> Result<Self> {
        let (text, of_file) = match (settings.text, settings.file) {
            (Some(text), None) => (text, None),
            (None, Some(path)) => {
                let kind = TemplateKind::of_file(&path);
                let text = std::fs::read_to_string(&path).map_err(|error| {
                    Error::malformed(format!("the template `{}` cannot be read", path.display())).caused_by(error)
                })?;
                (text, kind)
            }
            _ => return Err(Error::malformed("no template: expected one of `text` and `file`")),
        };
        let by_type = settings.content_type.as_deref().and_then(TemplateKind::of_media_type);
        let Some(kind) = settings.kind.or(by_type).or(of_file) else {
            let message =
                "how are values escaped in the template? expected `kind`, or a content type or file name that tells";
            return Err(Error::malformed(message));
        };
        let content_type = settings.content_type.map_or(Text::from_static(kind.content_type()), Text::from);
        let mut environment = environment(settings.steps);
        environment.set_undefined_behavior(match settings.strict {
            true => UndefinedBehavior::Strict,
            false => UndefinedBehavior::Chainable,
        });
        environment.set_auto_escape_callback(move |_| match kind {
            TemplateKind::Html | TemplateKind::Xml => AutoEscape::Html,
            TemplateKind::Json => AutoEscape::Json,
            TemplateKind::Text => AutoEscape::None,
        });
        environment
            .add_template_owned(NAME, text)
            .map_err(|error| Error::malformed(format!("the template is wrong: {error}")))?;
        let TemplateSettings { largest_output, largest_payload, .. } = settings;
        Ok(Self(Arc::new(Compiled { environment, kind, content_type, largest_output, largest_payload })))
    }
}

/// Makes an environment without any way out of it.
pub(crate) fn environment(steps: u64) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(steps.min(isize::MAX as u64)));
    environment
}

impl Compiled {
    fn render(&self, event: &Event) -> Result<Vec<u8>> {
        let failed = |error| view::failure("the template", &error);
        let template = self.environment.get_template(NAME).map_err(failed)?;
        let mut output = Limited { written: Vec::new(), most: self.largest_output, is_full: false };
        let outcome = template.render_captured_to(view::View::of(event, self.largest_payload), &mut output).map(drop);
        if output.is_full {
            let message = format!("the template makes more than {} bytes", self.largest_output);
            return Err(Error::too_large(message));
        }
        outcome.map_err(failed)?;
        Ok(output.written)
    }
}

impl Actor for Template {
    fn ports(&self) -> Ports {
        Ports::pipe(Format::ANY, Format::TEXT | Format::XML)
    }

    async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        let output = if unparsed_size(event.payload()) < LARGE {
            self.0.render(event)?
        } else {
            let (compiled, event) = (self.0.clone(), event.clone());
            aside("the template", move || compiled.render(&event)).await?
        };
        let payload = match self.0.kind {
            TemplateKind::Xml => Payload::Xml(Xml::new(output)),
            _ => Payload::Text(Text::from_utf8(output.into())?),
        };
        out.push(event.derive(payload).with_attribute(CONTENT_TYPE, self.0.content_type.clone()));
        Ok(())
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Template").field("kind", &self.0.kind).finish_non_exhaustive()
    }
}

/// Takes so many bytes and no more.
struct Limited {
    written: Vec<u8>,
    most: usize,
    is_full: bool,
}

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.most - self.written.len() {
            self.is_full = true;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
