//! What a document may cost.

use serde::{Deserialize, Serialize};

use super::fault::Fault;

/// What a document that is read or written may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    /// The size of the XML in bytes, and of the text where JSON comes as text; 16 MiB by default.
    pub bytes: usize,
    /// How deep elements may be nested; 256 by default. More than 1,024 counts as 1,024, which any stack can hold.
    pub depth: usize,
    /// The number of elements and attributes; 500,000 by default.
    pub nodes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 16 << 20, depth: 256, nodes: 500_000 }
    }
}

impl Limits {
    /// The deepest that values may be nested, whatever is set: whoever walks or drops them recurses.
    const DEEPEST: usize = 1024;

    /// Returns what makes no sense: limits that nothing can pass.
    pub(crate) fn problems(&self) -> impl Iterator<Item = String> {
        let limits = [("bytes", self.bytes), ("depth", self.depth), ("nodes", self.nodes)];
        let none = limits.into_iter().filter(|(_, limit)| *limit == 0);
        none.map(|(name, _)| format!("the limit `{name}` is 0; expected at least 1"))
    }

    pub(crate) fn check_bytes(&self, bytes: usize) -> Result<(), Fault> {
        if bytes <= self.bytes {
            return Ok(());
        }
        Err(Fault::too_large(format!("the document has more than {} bytes", self.bytes)))
    }

    pub(super) fn check_depth(&self, depth: usize) -> Result<(), Fault> {
        let most = self.depth.min(Self::DEEPEST);
        if depth <= most {
            return Ok(());
        }
        Err(Fault::too_large(format!("the document nests elements deeper than {most} levels")))
    }

    pub(super) fn check_nodes(&self, nodes: usize) -> Result<(), Fault> {
        if nodes <= self.nodes {
            return Ok(());
        }
        Err(Fault::too_large(format!("the document has more than {} elements and attributes", self.nodes)))
    }
}
