//! What is wrong with a graph, all of it at once.

use std::fmt;

use crate::error::Error;

/// One thing that is wrong with a graph. It shows as a sentence that names the thing and what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// What kind of thing is wrong.
    pub kind: ProblemKind,
    /// The sentence.
    pub message: String,
}

/// What kind of thing can be wrong with a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProblemKind {
    /// Two actors have one name, or one has none.
    Name,
    /// A connection names an actor of another director.
    UnknownActor,
    /// A connection names a port that the actor does not have.
    UnknownPort,
    /// Two connections are the same, or a port that takes one connection has several.
    ConnectedTwice,
    /// Two connected ports have no format in common.
    Format,
    /// Nothing is connected to an actor, or to an outbox that must be connected.
    NotConnected,
    /// An actor has no error route where the director demands them.
    NoErrorRoute,
    /// Full inboxes that wait for each other can bring a ring of actors to a stand.
    Ring,
    /// A policy that makes no sense.
    Policy,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

/// Why a flow could not be built.
#[derive(Clone, PartialEq, Eq)]
pub struct BuildErrors {
    /// The flow's name.
    pub flow: String,
    /// Everything that is wrong, in the order in which it was described.
    pub problems: Vec<Problem>,
}

impl fmt::Display for BuildErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (flow, count) = (&self.flow, self.problems.len());
        write!(formatter, "the flow `{flow}` has {count} problem{}", if count == 1 { "" } else { "s" })?;
        for problem in &self.problems {
            write!(formatter, "\n- {problem}")?;
        }
        Ok(())
    }
}

/// Reads as a sentence, because `main` prints this form.
impl fmt::Debug for BuildErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl std::error::Error for BuildErrors {}

impl From<BuildErrors> for Error {
    fn from(errors: BuildErrors) -> Self {
        Self::malformed(errors.to_string())
    }
}
