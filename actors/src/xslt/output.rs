//! What `xsl:output` says, and what comes of it.

use bytes::Bytes;

use super::report::{Failure, FailureKind};

/// How a result is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Xml,
    Html,
    Text,
}

/// A serialised result.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) body: Bytes,
    pub(super) method: Method,
}

/// The settings of `xsl:output`, imports included.
#[derive(Debug, Default)]
pub(super) struct OutputSettings {
    /// Without one, the result decides.
    pub(super) method: Option<Method>,
    pub(super) encoding: Option<String>,
    pub(super) media_type: Option<String>,
}

impl OutputSettings {
    /// Takes the settings as they are written; `is_known` tells whether an encoding is.
    pub(super) fn read(
        method: Option<&str>,
        encoding: Option<String>,
        media_type: Option<String>,
        is_known: impl FnOnce(&str) -> bool,
    ) -> Result<Self, Failure> {
        let wrong = |message| Err(Failure::new(FailureKind::Stylesheet, message));
        let method = match method {
            None => None,
            Some("xml") => Some(Method::Xml),
            Some("html") => Some(Method::Html),
            Some("text") => Some(Method::Text),
            Some(other) => {
                return wrong(format!("`xsl:output` names the method `{other}`; expected `xml`, `html` or `text`"));
            }
        };
        match &encoding {
            Some(name) if !is_known(name) => {
                wrong(format!("`xsl:output` names the encoding `{name}`, which is not known"))
            }
            _ => Ok(Self { method, encoding, media_type }),
        }
    }

    /// Returns the encoding of the result.
    pub(super) fn encoding(&self) -> &str {
        self.encoding.as_deref().unwrap_or("UTF-8")
    }
}
