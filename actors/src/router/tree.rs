//! XPath for rules, where it is compiled in.

use std::collections::BTreeMap;

use playhouse_engine::{Payload, Result};

/// A compiled XPath.
#[derive(Debug)]
pub(super) struct Query(
    #[cfg(feature = "xslt")] crate::xml::XPath,
    #[cfg(not(feature = "xslt"))] std::convert::Infallible,
);

/// A parsed document.
#[derive(Debug)]
pub(super) struct Tree(
    #[cfg(feature = "xslt")] crate::xml::Document,
    #[cfg(not(feature = "xslt"))] std::convert::Infallible,
);

#[cfg(feature = "xslt")]
impl Query {
    pub(super) fn compile(expression: &str, namespaces: &BTreeMap<String, String>, operations: u64) -> Result<Self> {
        Ok(Self(crate::xml::XPath::compile(expression, namespaces)?.operations(operations)))
    }

    /// Shows each thing that is found to `visit`.
    pub(super) fn each(&self, tree: &Tree, mut visit: impl FnMut(&str) -> Result<()>) -> Result<()> {
        let found = self.0.evaluate(&tree.0)?;
        found.texts().try_for_each(|text| visit(&text))
    }
}

#[cfg(feature = "xslt")]
impl Tree {
    /// Reads a payload of XML; text and bytes are taken for such.
    pub(super) fn read(payload: &Payload, bytes: usize) -> Result<Self> {
        let limits = crate::xml::DocumentLimits { bytes, ..Default::default() };
        Ok(Self(crate::xml::Document::read(payload, &limits)?))
    }
}

#[cfg(not(feature = "xslt"))]
impl Query {
    pub(super) fn compile(expression: &str, _: &BTreeMap<String, String>, _: u64) -> Result<Self> {
        let message = format!("the XPath `{expression}` needs the feature `xslt`");
        Err(playhouse_engine::Error::unsupported(message))
    }

    pub(super) fn each(&self, _: &Tree, _: impl FnMut(&str) -> Result<()>) -> Result<()> {
        match self.0 {}
    }
}

#[cfg(not(feature = "xslt"))]
impl Tree {
    pub(super) fn read(_: &Payload, _: usize) -> Result<Self> {
        Err(playhouse_engine::Error::unsupported("XML documents need the feature `xslt`"))
    }
}
