//! What a template is made of.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The template of a [`Template`](crate::Template) and its limits, in code and in files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct TemplateSettings {
    /// The template; or
    pub text: Option<String>,
    /// the file that holds it, read once.
    pub file: Option<PathBuf>,
    /// What it makes, and so how values are escaped; by default as the content type or the file's name says.
    pub kind: Option<TemplateKind>,
    /// The media type of what it makes; by default that of its kind.
    pub content_type: Option<String>,
    /// Whether a value that is not there is an error; it is by default. Else it is empty.
    pub strict: bool,
    /// How many steps it may take; 100,000 by default.
    pub steps: u64,
    /// How large the output may be, in bytes; 1 MiB by default.
    pub largest_output: usize,
    /// The largest payload that is looked into, in bytes; 1 MiB by default.
    pub largest_payload: usize,
}

impl Default for TemplateSettings {
    fn default() -> Self {
        Self {
            text: None,
            file: None,
            kind: None,
            content_type: None,
            strict: true,
            steps: 100_000,
            largest_output: 1 << 20,
            largest_payload: 1 << 20,
        }
    }
}

/// What a template makes, and so how the values in it are escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TemplateKind {
    /// HTML: values are escaped for elements and quoted attributes.
    Html,
    /// XML: likewise.
    Xml,
    /// JSON: each value is written as JSON, with quotes where it is text.
    Json,
    /// Plain text: values stand as they are.
    Text,
}

impl TemplateKind {
    /// Returns what a file of that name makes; `.j2` and `.jinja` at its end say nothing.
    #[must_use]
    pub fn of_file(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let name = name.strip_suffix(".j2").or(name.strip_suffix(".jinja")).unwrap_or(name);
        match name.rsplit_once('.')?.1 {
            "html" | "htm" => Some(Self::Html),
            "xml" => Some(Self::Xml),
            "json" => Some(Self::Json),
            "txt" | "text" => Some(Self::Text),
            _ => None,
        }
    }

    /// Returns what a media type means.
    #[must_use]
    pub fn of_media_type(media_type: &str) -> Option<Self> {
        let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "text/html" => Some(Self::Html),
            "application/xml" | "text/xml" => Some(Self::Xml),
            "application/json" => Some(Self::Json),
            "text/plain" => Some(Self::Text),
            other if other.ends_with("+xml") => Some(Self::Xml),
            other if other.ends_with("+json") => Some(Self::Json),
            _ => None,
        }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Html => "text/html; charset=utf-8",
            Self::Xml => "application/xml",
            Self::Json => "application/json",
            Self::Text => "text/plain; charset=utf-8",
        }
    }
}
