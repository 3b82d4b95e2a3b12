//! What `xsl:output` says, and what comes of it.

use bytes::Bytes;

use crate::xml::report::{Failure, FailureKind};

/// How a result is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Xml,
    Html,
    Text,
}

/// A serialised result.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) body: Bytes,
    pub(crate) method: Method,
}

/// The settings of `xsl:output`, imports included.
#[derive(Debug, Default)]
pub(crate) struct OutputSettings {
    /// Without one, the result decides.
    pub(crate) method: Option<Method>,
    pub(crate) encoding: Option<String>,
    pub(crate) media_type: Option<String>,
}

impl OutputSettings {
    /// Takes the settings as they are written; `is_known` tells whether an encoding is.
    pub(crate) fn read(
        method: Option<&str>,
        encoding: Option<String>,
        media_type: Option<String>,
        is_known: impl FnOnce(&str) -> bool,
    ) -> Result<Self, Failure> {
        let wrong = |message| Err(Failure::new(FailureKind::Stylesheet, message));
        let method = match method {
            None => None,
            Some("xml" | "xhtml") => Some(Method::Xml),
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
    pub(crate) fn encoding(&self) -> &str {
        self.encoding.as_deref().unwrap_or("UTF-8")
    }
}
