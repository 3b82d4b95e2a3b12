//! How much of an envelope is believed.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How large an envelope may be that came from elsewhere. Each limit is looked at before memory is taken for what it bounds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct EnvelopeLimits {
    /// How many bytes the head may have; 64 KiB by default.
    pub head: usize,
    /// How many bytes the payload may have; 8 MiB by default.
    pub payload: usize,
    /// How many values a JSON payload may hold, each list and map one of them; 500,000 by default. Each takes about 100 bytes of
    /// memory, and as text perhaps two.
    pub values: usize,
    /// How many attributes there may be; 256 by default.
    pub attributes: usize,
    /// How deep what is in the head may be nested: the JSON of an attribute, a field of a newer version, the causes of an
    /// error; 32 by default. JSON is never read deeper than 127 levels, neither here nor as a payload.
    pub depth: usize,
}

impl Default for EnvelopeLimits {
    fn default() -> Self {
        Self { head: 64 * 1024, payload: 8 * 1024 * 1024, values: 500_000, attributes: 256, depth: 32 }
    }
}

impl EnvelopeLimits {
    pub(super) fn check_head(&self, found: usize) -> Result<()> {
        check("head", "bytes", self.head, found)
    }

    pub(super) fn check_payload(&self, found: usize) -> Result<()> {
        check("payload", "bytes", self.payload, found)
    }

    pub(super) fn check_values(&self, field: &str, found: usize) -> Result<()> {
        check(field, "values", self.values, found)
    }

    pub(super) fn check_attributes(&self, found: usize) -> Result<()> {
        check("a", "attributes", self.attributes, found)
    }

    pub(super) fn check_depth(&self, field: &str, found: usize) -> Result<()> {
        check(field, "levels", self.depth, found)
    }
}

fn check(field: &str, of_what: &str, allowed: usize, found: usize) -> Result<()> {
    if found <= allowed {
        return Ok(());
    }
    Err(Error::too_large(format!("`{field}` of the envelope: expected at most {allowed} {of_what}, found {found}")))
}
