//! What a document and a transform may cost, and how much stack that takes.

use crate::xml::DocumentLimits;

/// What an untrusted document, and the transform of it, may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The size of a document, in bytes.
    pub bytes: usize,
    /// How deep elements may be nested. libxml2 itself stops at 256 (2,048 from its version 2.12 on).
    pub depth: u32,
    /// The number of elements and attributes in a document.
    pub nodes: u64,
    /// How deep templates may call each other; an instruction that holds others counts as a level.
    pub recursion: u32,
    /// How many instructions, and how many XPath operations, one transform may run.
    pub operations: u64,
}

impl Default for Limits {
    fn default() -> Self {
        let DocumentLimits { bytes, depth, nodes } = DocumentLimits::default();
        Self { bytes, depth, nodes, recursion: 3_000, operations: 20_000_000 }
    }
}

/// The stack that a transform may take on a thread that it did not start: half of what tokio and the standard library
/// give a thread.
const STACK: usize = 1 << 20;

/// The stack for what is not recursion: XPath expressions, and the caller.
const RESERVE: usize = 2 << 20;

/// The stack of one level of recursion over a document of this depth. Measured, with libxslt 1.1.35 on x86-64: up to 650
/// bytes, and 130 for each element that the built-in rules descend through, which libxslt does not count as levels.
fn level(depth: u32) -> usize {
    1024 + 256 * (depth as usize + 1)
}

impl Limits {
    /// Returns the limits of the document alone.
    pub(crate) fn document(&self) -> DocumentLimits {
        DocumentLimits { bytes: self.bytes, depth: self.depth, nodes: self.nodes }
    }

    /// Returns the limits with no more recursion than any thread's stack takes.
    pub(super) fn on_any_stack(self, depth: u32) -> Self {
        let levels = u32::try_from(STACK / level(depth)).unwrap_or(u32::MAX);
        Self { recursion: self.recursion.min(levels), ..self }
    }

    /// Returns the stack, in bytes, that the recursion allowed takes.
    pub(super) fn stack(&self, depth: u32) -> usize {
        level(depth).saturating_mul(self.recursion as usize).saturating_add(RESERVE)
    }
}
