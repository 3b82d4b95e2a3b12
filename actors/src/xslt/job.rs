//! A stylesheet with its parameters and limits, run on one document after the other. Knows no events.

use std::ffi::CString;
use std::thread;

use super::limits::Limits;
use super::output::Output;
use crate::xml::libxml::{Document, Parameter, Stylesheet};
use crate::xml::report::{Failure, FailureKind};

/// All that a transform needs but the document.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) stylesheet: Stylesheet,
    pub(super) parameters: Vec<Parameter>,
    pub(super) limits: Limits,
    /// What relative URLs in documents are relative to.
    pub(super) base: Option<CString>,
}

/// How a transform ended, and what `xsl:message` said in it.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) result: Result<Output, Failure>,
    pub(super) messages: Vec<String>,
    /// The recursion outgrew this thread's stack, though not its limit: [`Job::run_deep`] goes on from the start.
    pub(super) deeper: bool,
}

impl Job {
    pub(super) fn new(stylesheet: Stylesheet) -> Self {
        Self { stylesheet, parameters: Vec::new(), limits: Limits::default(), base: None }
    }

    /// Sets a parameter, in place of what it was.
    pub(super) fn set_parameter(&mut self, name: &str, value: &str) -> Result<(), Failure> {
        let parameter = self.stylesheet.parameter(name, value)?;
        self.parameters.retain(|other| !other.has_the_name_of(&parameter));
        self.parameters.push(parameter);
        Ok(())
    }

    /// Transforms a document on the caller's stack.
    pub(super) fn run(&self, input: &[u8], is_text: bool) -> Outcome {
        self.attempt(input, is_text, |document| self.limits.on_any_stack(self.depth(document)))
    }

    /// Transforms a document on a stack that all the recursion allowed has room on, in a thread of its own.
    pub(super) fn run_deep(&self, input: &[u8], is_text: bool) -> Outcome {
        // A document that cannot be parsed needs no stack.
        let depth = self.parse(input, is_text).map_or(0, |document| self.depth(&document));
        let stack = self.limits.stack(depth);
        let failed = |message| Outcome {
            result: Err(Failure::new(FailureKind::Recursion, message)),
            messages: Vec::new(),
            deeper: false,
        };
        thread::scope(|scope| {
            let thread = thread::Builder::new().name("xslt".into()).stack_size(stack);
            match thread.spawn_scoped(scope, || self.attempt(input, is_text, |_| self.limits)) {
                Ok(thread) => thread.join().unwrap_or_else(|_| failed("the transform panicked".into())),
                Err(error) => failed(format!("the recursion needs a stack of {stack} bytes: {error}")),
            }
        })
    }

    fn parse(&self, input: &[u8], is_text: bool) -> Result<Document, Failure> {
        let sources = self.stylesheet.sources().clone();
        Document::parse_for_transform(input, is_text, self.base.as_deref(), sources, &self.limits.document())
    }

    fn attempt(&self, input: &[u8], is_text: bool, limits: impl FnOnce(&Document) -> Limits) -> Outcome {
        let mut messages = Vec::new();
        let mut deeper = false;
        let result = self.parse(input, is_text).and_then(|mut document| {
            let limits = limits(&document);
            let result = self.stylesheet.apply(&mut document, &self.parameters, &limits, &mut messages);
            deeper = limits.recursion < self.limits.recursion
                && matches!(&result, Err(failure) if failure.kind == FailureKind::Recursion);
            result
        });
        Outcome { result, messages, deeper }
    }

    /// Returns how deep the built-in rules may descend: through this document, or through one that is read in the run.
    fn depth(&self, document: &Document) -> u32 {
        // A stylesheet can read itself and build small trees.
        const LEAST: u32 = 16;
        if self.stylesheet.sources().has_folders() { self.limits.depth } else { document.depth().max(LEAST) }
    }
}
