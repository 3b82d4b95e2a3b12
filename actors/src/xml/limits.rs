//! What a document may cost.

use serde::{Deserialize, Serialize};

use super::report::{Failure, FailureKind};

/// What an untrusted document may cost. A `DOCTYPE` is refused whatever the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct DocumentLimits {
    /// The size of a document, in bytes; 16 MiB by default.
    pub bytes: usize,
    /// How deep elements may be nested; 256 by default. libxml2 itself stops at 256 (2,048 from its version 2.12 on).
    pub depth: u32,
    /// The number of elements and attributes in a document; 2,000,000 by default.
    pub nodes: u64,
}

impl Default for DocumentLimits {
    fn default() -> Self {
        Self { bytes: 16 << 20, depth: 256, nodes: 2_000_000 }
    }
}

/// Why the parser took no more of a document.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Refusal {
    Doctype,
    Depth,
    Nodes,
}

impl DocumentLimits {
    /// Refuses a document that is too large to look at.
    pub(crate) fn check_size(&self, bytes: usize) -> Result<(), Failure> {
        if bytes <= self.bytes {
            return Ok(());
        }
        let message = format!("the document has {bytes} bytes; at most {} are allowed", self.bytes);
        Err(Failure::new(FailureKind::TooLarge, message))
    }

    /// Puts a refusal in words.
    pub(crate) fn failure(&self, refusal: Refusal) -> Failure {
        let (kind, message) = match refusal {
            Refusal::Doctype => (FailureKind::Malformed, "the document has a `DOCTYPE`, which is refused".to_owned()),
            Refusal::Depth => {
                (FailureKind::TooLarge, format!("the document nests elements deeper than {} levels", self.depth))
            }
            Refusal::Nodes => {
                (FailureKind::TooLarge, format!("the document has more than {} elements and attributes", self.nodes))
            }
        };
        Failure::new(kind, message)
    }
}
