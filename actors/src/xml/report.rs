//! What libxml2 and libxslt report, gathered and told as one failure with file, line and reason.

use std::fmt::Write as _;

use playhouse_engine::Error;

use super::sources;

/// At most so many messages of one run are kept: a stylesheet in a loop must not fill the memory.
const MOST_MESSAGES: usize = 1_000;

/// Why something failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// The document is no XML, or has a `DOCTYPE`.
    Malformed,
    /// A limit was passed.
    TooLarge,
    /// `xsl:message terminate="yes"`.
    Terminated,
    /// Templates call each other too deeply.
    Recursion,
    /// `document()` named something that may not be read.
    Forbidden,
    /// The stylesheet failed on this document.
    Transform,
    /// The stylesheet cannot be used at all.
    Stylesheet,
}

/// What failed, in words.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, message: String) -> Self {
        Self { kind, message }
    }
}

impl From<Failure> for Error {
    fn from(Failure { kind, message }: Failure) -> Self {
        match kind {
            FailureKind::Malformed | FailureKind::Terminated | FailureKind::Stylesheet => Self::malformed(message),
            FailureKind::TooLarge => Self::too_large(message),
            FailureKind::Forbidden => Self::forbidden(message),
            FailureKind::Recursion | FailureKind::Transform => Self::internal(message),
        }
    }
}

/// The reports of one call into the libraries, in their order.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// What `xsl:message` said.
    pub(crate) messages: Vec<String>,
    /// Something that libxslt itself would pass over, such as a document that it cannot load.
    pub(crate) failed: bool,
    failure: Option<Failure>,
    /// A report that names its place in a stylesheet, and one of the libraries without.
    located: Option<Problem>,
    detail: Option<Problem>,
    place: Option<(Option<String>, u32)>,
    last_was_message: bool,
    /// Every error of libxml2, up to a number of them, and how many there were beyond.
    problems: Vec<Problem>,
    most: usize,
    more: usize,
}

#[derive(Debug)]
struct Problem {
    file: Option<String>,
    line: u32,
    text: String,
}

impl Log {
    /// Makes a log that keeps so many errors of libxml2, and not just the first.
    pub(crate) fn collecting(most: usize) -> Self {
        Self { most, ..Self::default() }
    }

    /// Takes "runtime error: file F line N element E", after which the text of the error follows.
    pub(crate) fn place(&mut self, text: &str) {
        let file = text.split_once(": file ").map(|(_, rest)| rest.trim_end());
        let (file, line) = match file.map(|rest| rest.rsplit_once(" element ").map_or(rest, |(place, _)| place)) {
            Some(place) => match place.rsplit_once(" line ") {
                Some((file, line)) => (Some(file), line.parse().unwrap_or(0)),
                None => (Some(place), 0),
            },
            None => (None, 0),
        };
        self.place = Some((file.map(sources::decode), line));
        self.last_was_message = false;
    }

    /// Takes the text of an error, if a place came before it, or of an `xsl:message`.
    pub(crate) fn text(&mut self, text: &str) {
        let Some((file, line)) = self.place.take() else {
            self.last_was_message = true;
            self.say(text);
            return;
        };
        let problem = Problem { file, line, text: tidy(text) };
        match &self.located {
            None => self.located = Some(problem),
            // Of a bad pattern, libxslt names the reason first and the place after.
            Some(first) if first.file.is_none() && problem.file.is_some() => {
                let first = self.located.replace(problem);
                self.detail = self.detail.take().or(first);
            }
            Some(_) => {}
        }
    }

    /// Takes a message.
    pub(crate) fn say(&mut self, text: &str) {
        if self.messages.len() < MOST_MESSAGES {
            self.messages.push(text.trim_end().to_owned());
        }
    }

    /// Takes what libxslt says without a place.
    pub(crate) fn other(&mut self, text: &str) {
        if !text.trim().is_empty() {
            self.library(None, 0, text);
        }
    }

    /// Takes an error of libxml2.
    pub(crate) fn library(&mut self, file: Option<&str>, line: i32, text: &str) {
        self.last_was_message = false;
        let problem = || {
            let line = u32::try_from(line).unwrap_or(0);
            Problem { file: file.map(sources::decode), line, text: tidy(text) }
        };
        if self.problems.len() < self.most {
            self.problems.push(problem());
        } else {
            self.more += 1;
        }
        if self.detail.is_none() {
            self.detail = Some(problem());
        }
    }

    /// Takes a failure of our own, which counts for more than what the libraries make of it.
    pub(crate) fn fail(&mut self, failure: Failure) {
        self.failed = true;
        self.failure.get_or_insert(failure);
    }

    /// Tells why a document was not parsed.
    pub(crate) fn malformed(self) -> Failure {
        let mut message = "the document is not well-formed XML".to_owned();
        if let Some(Problem { line, text, .. }) = self.detail {
            let _ = write!(message, ": line {line}: {text}");
        }
        Failure::new(FailureKind::Malformed, message)
    }

    /// Tells why an XPath expression does not compile, or failed.
    pub(crate) fn expression(&self) -> Failure {
        let reason = self.detail.as_ref().map_or("libxml2 gives no reason", |problem| &problem.text);
        if reason.to_ascii_lowercase().contains("operation limit") {
            return Failure::new(FailureKind::TooLarge, "it takes more operations than are allowed".to_owned());
        }
        Failure::new(FailureKind::Malformed, reason.to_owned())
    }

    /// Tells why a schema does not compile.
    pub(crate) fn schema(self) -> Failure {
        let problems = self.problems.iter().map(|problem| located(Some(problem), problem.text.clone())).collect();
        let message = match (&self.failure, self.list(problems)) {
            (Some(failure), Some(problems)) => format!("{}; {problems}", failure.message),
            (Some(failure), None) => failure.message.clone(),
            (None, problems) => problems.unwrap_or_else(|| "libxml2 gives no reason".to_owned()),
        };
        Failure::new(FailureKind::Stylesheet, message)
    }

    /// Tells why a document does not validate.
    pub(crate) fn invalid(self) -> Failure {
        let problems = self.problems.iter().map(|Problem { line, text, .. }| format!("line {line}: {text}")).collect();
        match self.list(problems) {
            Some(problems) => Failure::new(FailureKind::Malformed, format!("the document is not valid: {problems}")),
            None => Failure::new(FailureKind::Transform, "libxml2 could not validate the document".to_owned()),
        }
    }

    fn list(&self, mut problems: Vec<String>) -> Option<String> {
        match self.more {
            0 => {}
            more => problems.push(format!("and {more} more")),
        }
        (!problems.is_empty()).then(|| problems.join("; "))
    }

    /// Tells why a stylesheet was not compiled.
    pub(crate) fn stylesheet(self) -> Failure {
        let problem = self.problem("the stylesheet cannot be compiled");
        match self.failure {
            // Where the failing import stands, and why it failed.
            Some(failure) => Failure { message: located(self.located.as_ref(), failure.message), ..failure },
            None => Failure::new(FailureKind::Stylesheet, problem),
        }
    }

    /// Returns what was said of a stylesheet that did compile.
    pub(crate) fn warning(self) -> Option<String> {
        (self.located.is_some() || self.detail.is_some()).then(|| self.problem(""))
    }

    /// Tells why a run that libxslt stopped has no result: `xsl:message terminate="yes"`, or an error.
    pub(crate) fn stopped(&mut self) -> Failure {
        if self.located.is_some() && !self.last_was_message {
            return self.transform();
        }
        let message = match self.messages.pop() {
            Some(text) if !text.is_empty() => text,
            _ => "the stylesheet ended the transform by `xsl:message`".to_owned(),
        };
        Failure::new(FailureKind::Terminated, message)
    }

    /// Tells why a run has no result.
    pub(crate) fn transform(&mut self) -> Failure {
        let message = self.problem("the transform failed");
        if let Some(failure) = self.failure.take() {
            return Failure { message: located(self.located.as_ref(), failure.message), ..failure };
        }
        let lower = message.to_ascii_lowercase();
        let (kind, reason) = if lower.contains("infinite") && lower.contains("recursion") {
            (FailureKind::Recursion, "templates call each other too deeply, perhaps without end")
        } else if lower.contains("operation limit") {
            (FailureKind::TooLarge, "the transform takes more operations than are allowed")
        } else {
            return Failure::new(FailureKind::Transform, message);
        };
        Failure::new(kind, located(self.located.as_ref(), reason.to_owned()))
    }

    fn problem(&self, otherwise: &str) -> String {
        match (&self.located, &self.detail) {
            (Some(place), Some(detail)) if place.text != detail.text => {
                located(Some(place), format!("{} ({})", place.text, detail.text))
            }
            (Some(problem), _) | (None, Some(problem)) => located(Some(problem), problem.text.clone()),
            (None, None) => otherwise.to_owned(),
        }
    }
}

/// Puts a file and line before a reason.
fn located(place: Option<&Problem>, reason: String) -> String {
    match place {
        Some(Problem { file: Some(file), line: 0, .. }) => format!("`{file}`: {reason}"),
        Some(Problem { file: Some(file), line, .. }) => format!("`{file}` line {line}: {reason}"),
        _ => reason,
    }
}

/// Makes one line of a report, without the name of the C function that it begins with.
fn tidy(text: &str) -> String {
    let text = match text.split_once(':') {
        Some((name, rest)) if is_function(name.trim_end()) => rest,
        _ => text,
    };
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

fn is_function(name: &str) -> bool {
    (name.starts_with("xml") || name.starts_with("xslt") || name.starts_with("exslt"))
        && name.chars().all(|character| character.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_takes_its_place_from_the_report_before_it() {
        let mut log = Log::default();
        log.library(None, 0, "Undefined variable\n");
        log.place("runtime error: file /tmp/a%20b.xsl line 7 element value-of\n");
        log.text("XPath evaluation returned no result.\n");
        let failure = log.transform();
        assert_eq!(failure.kind, FailureKind::Transform);
        assert_eq!(failure.message, "`/tmp/a b.xsl` line 7: XPath evaluation returned no result. (Undefined variable)");
    }

    #[test]
    fn a_place_may_lack_line_or_file() {
        for (text, expected) in [
            ("error: file f element e\n", "`f`: bad"),
            ("error: file f line 2\n", "`f` line 2: bad"),
            ("error: element e\n", "bad"),
            ("error\n", "bad"),
        ] {
            let mut log = Log::default();
            log.place(text);
            log.text("bad\n");
            assert_eq!(log.transform().message, expected, "{text}");
        }
    }
}
