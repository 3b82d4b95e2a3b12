//! How documents are validated.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A draft of JSON Schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Draft {
    /// Draft 4, written `4`.
    #[serde(rename = "4")]
    Draft4,
    /// Draft 6, written `6`.
    #[serde(rename = "6")]
    Draft6,
    /// Draft 7, written `7`.
    #[serde(rename = "7")]
    Draft7,
    /// Draft 2019-09.
    #[serde(rename = "2019-09")]
    Draft201909,
    /// Draft 2020-12.
    #[default]
    #[serde(rename = "2020-12")]
    Draft202012,
}

impl Draft {
    pub(super) fn named_by_crate(self) -> jsonschema::Draft {
        match self {
            Self::Draft4 => jsonschema::Draft::Draft4,
            Self::Draft6 => jsonschema::Draft::Draft6,
            Self::Draft7 => jsonschema::Draft::Draft7,
            Self::Draft201909 => jsonschema::Draft::Draft201909,
            Self::Draft202012 => jsonschema::Draft::Draft202012,
        }
    }
}

/// What [`JsonSchema`](crate::JsonSchema) takes of a schema and of documents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct JsonSchemaSettings {
    /// The draft of a schema that has no `$schema`; 2020-12 by default.
    pub draft: Draft,
    /// Further schemas that a `$ref` may name: by their `$id` (`id` in draft 4), or by their path relative to the schema
    /// that names them, if that was read from a file. None by default.
    pub files: Vec<PathBuf>,
    /// The size of a document that comes as text or bytes, in bytes; 1 MiB by default.
    pub bytes: usize,
    /// The number of values in a document: objects and lists, and what is in them; 100,000 by default.
    pub values: usize,
    /// How many problems of a document are told; 100 by default. The rest is counted.
    pub problems: usize,
}

impl Default for JsonSchemaSettings {
    fn default() -> Self {
        Self { draft: Draft::default(), files: Vec::new(), bytes: 1 << 20, values: 100_000, problems: 100 }
    }
}
