//! Many regular expressions on one text, at the cost of the few that can match.
//!
//! Most patterns hold some text that is in whatever they match. One pass of Aho-Corasick over the value finds which of these
//! texts are there, and only the patterns they belong to are run. Of the texts in a pattern the one is taken that the fewest
//! other patterns share. What has none, or shares it with many, runs in sets.

use std::collections::HashMap;

use aho_corasick::AhoCorasick;
use playhouse_engine::{Error, Result};
use regex::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use regex_syntax::hir::literal::{ExtractKind, Extractor, Seq};
use regex_syntax::hir::{Hir, HirKind};

/// How many patterns may share a text before they are better off in a set.
const SHARED: usize = 16;

/// How many patterns a set has. The work of a set grows faster than the number of its patterns.
const SET: usize = 64;

/// How large the tables may become that a pattern builds while it runs; beyond it runs more slowly, and as long as before
/// in the order of its length.
const TABLES: usize = 256 << 10;

/// Patterns, each with the numbers of the conditions that it belongs to.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    finder: Option<AhoCorasick>,
    /// For each text that is looked for, what it says.
    says: Vec<Says>,
    lone: Vec<(Regex, Vec<u32>)>,
    sets: Vec<(RegexSet, Vec<Vec<u32>>)>,
}

/// What it means that a text was found.
#[derive(Debug, Default)]
struct Says {
    /// Conditions that hold then.
    holds: Vec<u32>,
    /// The patterns that are worth running then.
    runs: Vec<u32>,
}

/// Patterns while they are collected.
#[derive(Debug, Default)]
pub(super) struct PatternsBuilder {
    parts: HashMap<String, Vec<u32>>,
    patterns: Vec<(Regex, Vec<u32>)>,
    known: HashMap<String, usize>,
}

impl PatternsBuilder {
    /// Adds text that a value must have in it.
    pub(super) fn part(&mut self, part: &str, condition: u32) {
        self.parts.entry(part.to_owned()).or_default().push(condition);
    }

    /// Adds a pattern that must be found in a value, or says in a sentence what is wrong with it.
    pub(super) fn pattern(&mut self, pattern: &str, largest: usize, condition: u32) -> Result<(), String> {
        match self.known.get(pattern) {
            Some(&number) => self.patterns[number].1.push(condition),
            None => {
                let compiled = compile(pattern, largest)?;
                self.known.insert(pattern.to_owned(), self.patterns.len());
                self.patterns.push((compiled, vec![condition]));
            }
        }
        Ok(())
    }

    /// Puts all of it together.
    pub(super) fn build(self, largest: usize) -> Result<Patterns> {
        let mut texts: HashMap<Vec<u8>, Says> = HashMap::new();
        for (part, conditions) in self.parts {
            texts.entry(part.into_bytes()).or_default().holds.extend(conditions);
        }
        let choices: Vec<Vec<Vec<Vec<u8>>>> =
            self.patterns.iter().map(|(pattern, _)| choices(pattern.as_str())).collect();
        let mut shared: HashMap<&[u8], usize> = HashMap::new();
        for text in choices.iter().flatten().flatten() {
            *shared.entry(text).or_default() += 1;
        }
        let (mut lone, mut rest) = (Vec::new(), Vec::new());
        for ((pattern, conditions), choices) in self.patterns.into_iter().zip(&choices) {
            let cost = |choice: &&Vec<Vec<u8>>| {
                let sharing = choice.iter().map(|text| shared[text.as_slice()]).max().unwrap_or(usize::MAX);
                (sharing, std::cmp::Reverse(choice.iter().map(Vec::len).min().unwrap_or(0)))
            };
            match choices.iter().min_by_key(cost) {
                Some(choice) if cost(&choice).0 <= SHARED => {
                    let number = count(lone.len())?;
                    lone.push((pattern, conditions));
                    for text in choice {
                        texts.entry(text.clone()).or_default().runs.push(number);
                    }
                }
                _ => rest.push((pattern, conditions)),
            }
        }
        let mut sets = Vec::new();
        for chunk in rest.chunks(SET) {
            let set = RegexSetBuilder::new(chunk.iter().map(|(pattern, _)| pattern.as_str()))
                .size_limit(largest.saturating_mul(SET))
                .dfa_size_limit(TABLES * 8)
                .build()
                .map_err(|error| Error::malformed("the patterns do not compile together").caused_by(error))?;
            sets.push((set, chunk.iter().map(|(_, conditions)| conditions.clone()).collect()));
        }
        let (texts, says): (Vec<_>, Vec<_>) = texts.into_iter().unzip();
        let finder = match texts.is_empty() {
            true => None,
            false => {
                Some(AhoCorasick::new(&texts).map_err(|error| Error::too_large("too many patterns").caused_by(error))?)
            }
        };
        Ok(Patterns { finder, says, lone, sets })
    }
}

impl Patterns {
    /// Adds the conditions that hold for `value` to `found`, some maybe twice. It takes at most as long as all patterns would,
    /// one after the other, and each of these time in the order of the value's length.
    pub(super) fn find(&self, value: &str, found: &mut Vec<u32>) {
        if let Some(finder) = &self.finder {
            // A bit for each text, made at the first that is found; most values have none.
            let mut seen: Vec<u64> = Vec::new();
            let mut unseen = self.says.len();
            for place in finder.find_overlapping_iter(value) {
                let number = place.pattern().as_usize();
                if seen.is_empty() {
                    seen.resize(self.says.len().div_ceil(64), 0);
                }
                let (word, bit) = (&mut seen[number / 64], 1 << (number % 64));
                if *word & bit != 0 {
                    continue;
                }
                *word |= bit;
                let says = &self.says[number];
                found.extend(&says.holds);
                for &number in &says.runs {
                    let (pattern, conditions) = &self.lone[number as usize];
                    if pattern.is_match(value) {
                        found.extend(conditions);
                    }
                }
                unseen -= 1;
                if unseen == 0 {
                    break;
                }
            }
        }
        for (set, conditions) in &self.sets {
            for number in &set.matches(value) {
                found.extend(&conditions[number]);
            }
        }
    }
}

/// Compiles one pattern, or says in a sentence what is wrong with it. A match takes time in the order of the value's length
/// and the pattern's size, whatever the two are.
pub(super) fn compile(pattern: &str, largest: usize) -> Result<Regex, String> {
    let outcome = RegexBuilder::new(pattern).size_limit(largest).dfa_size_limit(TABLES).nest_limit(100).build();
    outcome.map_err(|error| match error {
        regex::Error::CompiledTooBig(limit) => {
            format!("the pattern `{pattern}` takes more than {limit} bytes when it is compiled")
        }
        error => {
            // The last line of several, behind a picture of the pattern.
            let message = error.to_string();
            let reason = message.rsplit("error: ").next().unwrap_or_default().trim();
            format!("the pattern `{pattern}` is wrong: {reason}")
        }
    })
}

/// Returns for a pattern the lists of texts of which each match has one, by list.
fn choices(pattern: &str) -> Vec<Vec<Vec<u8>>> {
    let Ok(hir) = regex_syntax::parse(pattern) else { return Vec::new() };
    let mut choices = Vec::new();
    for kind in [ExtractKind::Prefix, ExtractKind::Suffix] {
        choices.extend(texts(&Extractor::new().kind(kind).extract(&hir)));
    }
    if let HirKind::Concat(parts) = hir.kind() {
        choices.extend(parts.iter().filter_map(inner));
    }
    choices
}

fn inner(part: &Hir) -> Option<Vec<Vec<u8>>> {
    match part.kind() {
        HirKind::Literal(literal) => Some(vec![literal.0.to_vec()]),
        HirKind::Capture(capture) => inner(&capture.sub),
        _ => None,
    }
}

fn texts(sequence: &Seq) -> Option<Vec<Vec<u8>>> {
    let literals = sequence.literals().filter(|literals| !literals.is_empty())?;
    if literals.iter().any(|literal| literal.is_empty()) {
        return None;
    }
    Some(literals.iter().map(|literal| literal.as_bytes().to_vec()).collect())
}

fn count(number: usize) -> Result<u32> {
    u32::try_from(number).map_err(|_| Error::too_large("there are too many patterns"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(patterns: &[String], value: &str) -> Vec<u32> {
        let mut builder = PatternsBuilder::default();
        for (number, pattern) in (0..).zip(patterns) {
            builder.pattern(pattern, 1 << 20, number).unwrap();
        }
        let mut found = Vec::new();
        builder.build(1 << 20).unwrap().find(value, &mut found);
        found.sort_unstable();
        found.dedup();
        found
    }

    #[test]
    fn many_patterns_that_share_a_text_are_found_too() {
        let patterns: Vec<_> = (0..200).map(|number| format!("^same[^x]{{{number}}}$")).collect();
        assert_eq!(found(&patterns, "same12345"), [5]);
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_each_pattern_finds_alone(
            patterns in prop::collection::vec("(\\^)?([a-c]|\\[ab\\]|\\.|a\\*|\\(b\\|c\\)|\\\\bc|\\(\\?i:B\\)|b\\?|\\$){1,5}", 1..20),
            value in "[a-cA-C \n]{0,12}",
        ) {
            let alone: Vec<u32> = (0..)
                .zip(&patterns)
                .filter(|(_, pattern)| Regex::new(pattern).unwrap().is_match(&value))
                .map(|(number, _)| number)
                .collect();
            prop_assert_eq!(found(&patterns, &value), alone);
        }
    }
}
