//! What a log must not tell: passwords, tokens, numbers of cards.

use std::borrow::Cow;
use std::ops::Range;

use regex::{Regex, RegexSet};

/// What stands in the place of what is not told.
const REDACTED: &str = "REDACTED";

/// Patterns whose matches are not written.
#[derive(Clone, Debug)]
pub(super) struct Redaction {
    /// Says which of the patterns match at all, in one pass.
    set: RegexSet,
    patterns: Vec<Regex>,
}

impl Redaction {
    /// # Errors
    /// All that is wrong with the patterns.
    pub(super) fn new(patterns: &[String]) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let mut compiled = Vec::new();
        for pattern in patterns {
            match Regex::new(pattern) {
                Ok(regex) if regex.is_match("") => {
                    problems.push(format!("`redact`: `{pattern}` matches where there is nothing"));
                }
                Ok(regex) => compiled.push(regex),
                Err(error) => {
                    let error = error.to_string();
                    let reason = error.lines().last().unwrap_or_default();
                    problems.push(format!("`redact`: `{pattern}` is no pattern: {reason}"));
                }
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        match RegexSet::new(patterns) {
            Ok(set) => Ok(Self { set, patterns: compiled }),
            Err(error) => Err(vec![format!("`redact`: the patterns are too large together: {error}")]),
        }
    }

    /// Takes out what the patterns match, one after the other.
    pub(super) fn apply<'a>(&self, message: Cow<'a, str>) -> Cow<'a, str> {
        let mut message = message;
        for index in &self.set.matches(&message) {
            if let Cow::Owned(told) = redacted(&self.patterns[index], &message) {
                message = Cow::Owned(told);
            }
        }
        message
    }
}

fn redacted<'a>(pattern: &Regex, message: &'a str) -> Cow<'a, str> {
    let mut told = String::new();
    let mut rest = 0;
    for found in pattern.captures_iter(message) {
        // A group that took no part hides nothing, so all of the match is hidden.
        let Some(hidden) = found.get(1).or_else(|| found.get(0)) else { continue };
        let Range { start, end } = hidden.range();
        told.push_str(&message[rest..start]);
        told.push_str(REDACTED);
        rest = end;
    }
    if rest == 0 {
        return Cow::Borrowed(message);
    }
    told.push_str(&message[rest..]);
    Cow::Owned(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(patterns: &[&str], message: &str) -> String {
        let patterns: Vec<_> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        Redaction::new(&patterns).unwrap().apply(message.into()).into_owned()
    }

    #[test]
    fn the_group_or_the_whole_match_is_not_told() {
        assert_eq!(told(&[r"password=(\S+)"], "password=a b password=ää"), "password=REDACTED b password=REDACTED");
        assert_eq!(told(&[r"\d{4}-\d{4}"], "card 1234-5678, 1111-2222."), "card REDACTED, REDACTED.");
        assert_eq!(told(&["a(b)?", "c(d)"], "a cd ab"), "REDACTED cREDACTED aREDACTED");
        assert_eq!(told(&["x", "y"], "nothing"), "nothing");
        assert_eq!(told(&[], "nothing"), "nothing");
        assert_eq!(told(&["(?:k)(e)y"], "key"), "kREDACTEDy");
    }

    #[test]
    fn all_bad_patterns_are_told_at_once() {
        let patterns = ["(", "a*", "ok", "[z-a]"].map(str::to_owned);
        let problems = Redaction::new(&patterns).unwrap_err();
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert_eq!(problems[0], "`redact`: `(` is no pattern: error: unclosed group");
    }
}
