//! All that rules ask of one thing, answered in one go.

use std::collections::HashMap;

use playhouse_engine::{Error, Result};

use super::patterns::{Patterns, compile};
use super::scope::{Look, Scope};
use super::settings::RouterSettings;
use super::tree::Query;

/// How large the regular expressions may become that an event brings.
const OWN_PATTERN: usize = 64 << 10;

/// What rules ask of one thing. Each condition has a number.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) scope: Scope,
    /// The conditions that any value will do for.
    pub(super) any: Vec<u32>,
    pub(super) equals: HashMap<String, Vec<u32>>,
    pub(super) patterns: Patterns,
    /// Conditions whose patterns the event brings.
    pub(super) own: Vec<(u32, Query)>,
    /// The rule that begins with each condition.
    pub(super) begins: Vec<Option<u32>>,
    /// Whether any does.
    pub(super) is_first: bool,
}

impl Table {
    /// Returns the conditions that hold, each once, in order.
    pub(super) fn holding(&self, look: &mut Look<'_>, limits: &RouterSettings) -> Result<Vec<u32>> {
        let mut found = Vec::new();
        let mut values = Vec::new();
        let mut is_there = false;
        look.each(&self.scope, &mut |value| {
            is_there = true;
            if let Some(conditions) = self.equals.get(value) {
                found.extend(conditions);
            }
            self.patterns.find(value, &mut found);
            if !self.own.is_empty() {
                values.push(value.to_owned());
            }
            Ok(())
        })?;
        if is_there {
            found.extend(&self.any);
        }
        for (condition, query) in &self.own {
            if !values.is_empty() && own_match(query, &values, look, limits)? {
                found.push(*condition);
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }
}

/// Tells whether a pattern that the event brings is found in one of the values.
fn own_match(query: &Query, values: &[String], look: &mut Look<'_>, limits: &RouterSettings) -> Result<bool> {
    let (mut count, mut is_match) = (0, false);
    look.each_found(query, &mut |pattern| {
        count += 1;
        if count > limits.most_own_patterns {
            let message = format!("the event brings more than {} patterns", limits.most_own_patterns);
            return Err(Error::too_large(message));
        }
        if pattern.len() > limits.longest_own_pattern {
            let message = format!("the event brings a pattern of more than {} bytes", limits.longest_own_pattern);
            return Err(Error::too_large(message));
        }
        let pattern = compile(pattern, OWN_PATTERN).map_err(Error::unprocessable)?;
        is_match = is_match || values.iter().any(|value| pattern.is_match(value));
        Ok(())
    })?;
    Ok(is_match)
}
