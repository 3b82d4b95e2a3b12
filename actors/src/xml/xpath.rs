//! XPath expressions, compiled once and evaluated on any number of documents.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};

use playhouse_engine::{Error, Result};

use super::expression::Expression;
use super::found::Found;
use super::libxml::{Compiled, Document, c_string};
use super::limits::DocumentLimits;
use super::report::{Failure, FailureKind};

/// What a prefix stands for that neither the settings nor the document declare: nothing has it.
const UNDECLARED: &CStr = c"urn:playhouse:undeclared";

/// An XPath 1.0 expression, compiled once and shared by any number of threads.
///
/// - A name without a prefix is an element of that name in **any** namespace, or in none: `//item` finds
///   `<item xmlns="urn:shop"/>` and `<s:item/>`. An attribute without a prefix is in no namespace, as always.
/// - A prefix stands for what the settings say, else for what the document says where it first declares it. One that
///   neither declares finds nothing.
/// - The expression begins at the root element: `/order/id` and `id` are the same in an `<order>`.
/// - There are the functions of XPath 1.0, and no variables.
///
/// An evaluation ends after a number of operations (20,000,000 by default), each a node looked at or a step of the
/// expression; how long an operation takes is bounded by the size of the document. What it finds has a limit too
/// (16 MiB by default). An expression has at most 1,000 parts and 64 nested brackets, so it cannot exhaust the stack.
///
/// ```
/// use std::collections::BTreeMap;
///
/// use playhouse_actors::xml::{Found, XPath};
///
/// # fn main() -> playhouse_engine::Result<()> {
/// let total = XPath::compile("sum(//item/@price)", &BTreeMap::new())?;
/// let order = br#"<order xmlns="urn:shop"><item price="2"/><item price="3.5"/></order>"#;
/// assert_eq!(total.evaluate_bytes(order)?, Found::Number(5.5));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct XPath {
    source: String,
    compiled: Compiled,
    namespaces: Vec<(CString, CString)>,
    /// The prefixes that documents say the meaning of.
    open: Vec<CString>,
    operations: u64,
    found: usize,
}

impl XPath {
    /// Compiles an expression; `namespaces` are URIs by prefix.
    ///
    /// # Errors
    /// `Malformed` where it is no XPath 1.0, with every problem found: also unknown functions, wrong numbers of
    /// arguments, and values of the wrong type where they show without a document.
    pub fn compile(expression: &str, namespaces: &BTreeMap<String, String>) -> Result<Self> {
        let wrong = |problem: &str| Error::malformed(format!("the XPath `{expression}` is wrong: {problem}"));
        if expression.contains('\0') {
            return Err(wrong("it has a NUL character in it"));
        }
        let read = Expression::read(expression).map_err(|problems| wrong(&problems.join("; ")))?;
        let compiled = Compiled::new(&c_string(&read.text)?).map_err(|failure| wrong(&failure.message))?;
        let mut this = Self {
            source: expression.to_owned(),
            compiled,
            namespaces: Vec::new(),
            open: Vec::new(),
            operations: 20_000_000,
            found: 16 << 20,
        };
        for (prefix, uri) in namespaces {
            this.namespaces.push((c_string(prefix)?, c_string(uri)?));
        }
        for prefix in read.prefixes.iter().filter(|prefix| *prefix != "xml" && !namespaces.contains_key(*prefix)) {
            this.open.push(c_string(prefix)?);
        }
        // Tells what is wrong in every document.
        let empty = Document::parse(b"<empty/>", &DocumentLimits::default())?;
        this.run(&empty).map_err(|failure| wrong(&failure.message))?;
        Ok(this)
    }

    /// Sets how many operations an evaluation may take.
    #[must_use]
    pub fn operations(mut self, most: u64) -> Self {
        self.operations = most;
        self
    }

    /// Sets how much an evaluation may find, in bytes.
    #[must_use]
    pub fn found_bytes(mut self, most: usize) -> Self {
        self.found = most;
        self
    }

    /// Returns the expression as it was given.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Evaluates the expression on a document.
    ///
    /// # Errors
    /// `TooLarge` where it takes more operations or finds more than is allowed; `Unprocessable` where the document makes
    /// it fail otherwise.
    pub fn evaluate(&self, document: &Document) -> Result<Found> {
        self.run(document).map_err(|failure| {
            let message = format!("the XPath `{}` fails on the document: {}", self.source, failure.message);
            match failure.kind {
                FailureKind::TooLarge => Error::too_large(message),
                _ => Error::unprocessable(message),
            }
        })
    }

    /// Parses a document under the default limits, and evaluates the expression on it.
    ///
    /// # Errors
    /// Those of [`Document::parse`] and [`XPath::evaluate`].
    pub fn evaluate_bytes(&self, xml: &[u8]) -> Result<Found> {
        self.evaluate(&Document::parse(xml, &DocumentLimits::default())?)
    }

    fn run(&self, document: &Document) -> Result<Found, Failure> {
        let mut namespaces: Vec<&CStr> = Vec::new();
        namespaces.extend(self.namespaces.iter().flat_map(|(prefix, uri)| [prefix.as_c_str(), uri.as_c_str()]));
        for prefix in &self.open {
            namespaces.extend([prefix.as_c_str(), document.namespace(prefix).unwrap_or(UNDECLARED)]);
        }
        self.compiled.evaluate(document, &namespaces, self.operations, self.found)
    }
}
