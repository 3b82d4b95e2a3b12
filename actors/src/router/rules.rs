//! Rules, compiled: grouped by what they look at, so that each thing is looked at once for each event.

use std::collections::HashMap;

use playhouse_engine::{Error, Event, Result, Text};

use super::patterns::{PatternsBuilder, compile};
use super::scope::{Look, Scope};
use super::settings::{Mode, RouterSettings};
use super::table::Table;
use super::tree::Query;
use super::when::When;
use crate::json_path::JsonPath;

/// Compiled rules.
#[derive(Debug)]
pub(super) struct Rules {
    tables: Vec<Table>,
    rules: Vec<CompiledRule>,
    pub(super) outboxes: Vec<Text>,
    /// Where a blacklist sends what no rule matches.
    defaults: Vec<u16>,
    pub(super) settings: RouterSettings,
}

#[derive(Debug)]
struct CompiledRule {
    /// What must hold beside the condition that the rule begins with.
    rest: Vec<Place>,
    to: Vec<u16>,
}

/// A condition: its table, and its number there.
#[derive(Clone, Copy, Debug)]
struct Place {
    table: usize,
    condition: u32,
}

/// What becomes of an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// It goes to these outboxes, each once, in the order of the ports.
    To(Vec<u16>),
    /// A rule took it, and none sends it on.
    Discarded,
    /// No rule of a whitelist took it.
    Unmatched,
}

impl Rules {
    /// Compiles `settings`, or says in a sentence for each what is wrong.
    pub(super) fn compile(settings: RouterSettings) -> Result<Self> {
        let mut builder =
            Builder { settings: &settings, tables: Vec::new(), known: HashMap::new(), problems: Vec::new() };
        let outboxes = builder.outboxes();
        let rules = builder.rules(&outboxes);
        let defaults = builder.defaults(&outboxes);
        let (tables, problems) = builder.finish();
        if !problems.is_empty() {
            return Err(Error::malformed(format!("no router of these rules: {}", problems.join("; "))));
        }
        Ok(Self { tables, rules, outboxes: outboxes.into_iter().map(Text::from).collect(), defaults, settings })
    }

    /// Tells whether a rule looks into XML.
    pub(super) fn looks_into_xml(&self) -> bool {
        self.tables.iter().any(|table| matches!(table.scope, Scope::XPath(_)) || !table.own.is_empty())
    }

    /// Decides what becomes of `event`.
    pub(super) fn decide(&self, event: &Event) -> Result<Decision> {
        let mut look = Look::at(event, self.settings.largest_payload, self.settings.unreadable);
        // What holds in each table, where that was asked for: chains come back to it.
        let mut holding: Vec<Option<Vec<u32>>> = vec![None; self.tables.len()];
        let (mut to, mut is_taken) = (Vec::new(), false);
        for number in (0..self.tables.len()).filter(|&number| self.tables[number].is_first) {
            let first = self.holding(number, &mut holding, &mut look)?.to_vec();
            for rule in first.iter().filter_map(|&condition| self.tables[number].begins[condition as usize]) {
                let rule = &self.rules[rule as usize];
                if self.rest_holds(&rule.rest, &mut holding, &mut look)? {
                    is_taken = true;
                    to.extend(&rule.to);
                }
            }
        }
        if !to.is_empty() {
            to.sort_unstable();
            to.dedup();
            return Ok(Decision::To(to));
        }
        Ok(match self.settings.mode {
            _ if is_taken => Decision::Discarded,
            Mode::Whitelist => Decision::Unmatched,
            Mode::Blacklist => Decision::To(self.defaults.clone()),
        })
    }

    fn rest_holds(&self, rest: &[Place], holding: &mut [Option<Vec<u32>>], look: &mut Look<'_>) -> Result<bool> {
        for place in rest {
            if self.holding(place.table, holding, look)?.binary_search(&place.condition).is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn holding<'h>(&self, table: usize, holding: &'h mut [Option<Vec<u32>>], look: &mut Look<'_>) -> Result<&'h [u32]> {
        if holding[table].is_none() {
            holding[table] = Some(self.tables[table].holding(look, &self.settings)?);
        }
        Ok(holding[table].as_deref().unwrap_or_default())
    }
}

/// Rules while they are compiled.
struct Builder<'s> {
    settings: &'s RouterSettings,
    tables: Vec<(Table, PatternsBuilder)>,
    /// The tables by what they look at.
    known: HashMap<Key<'s>, Option<usize>>,
    problems: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key<'s> {
    Attribute(&'s str),
    Json(&'s str),
    XPath(&'s str),
    Text,
}

impl<'s> Builder<'s> {
    /// Returns the names of the outboxes, each once: those that rules name, then the others.
    fn outboxes(&mut self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        let mut known = std::collections::HashSet::new();
        for name in self.settings.rules.iter().flat_map(|rule| &rule.to).chain(&self.settings.outboxes) {
            if known.insert(name) {
                names.push(name.clone());
            }
        }
        if names.iter().any(String::is_empty) {
            self.problems.push("an outbox has no name".to_owned());
        }
        if names.len() > usize::from(u16::MAX) {
            self.problems.push(format!("there are {} outboxes; at most {} are possible", names.len(), u16::MAX));
        }
        names
    }

    fn rules(&mut self, outboxes: &[String]) -> Vec<CompiledRule> {
        if self.settings.rules.is_empty() && self.settings.mode == Mode::Whitelist {
            self.problems.push("a whitelist without rules lets nothing pass; expected a rule".to_owned());
        }
        let numbers: HashMap<&str, u16> = outboxes.iter().map(String::as_str).zip(0..).collect();
        let mut rules = Vec::new();
        for (number, rule) in (0..).zip(&self.settings.rules) {
            let mut chain = Vec::new();
            self.conditions(&rule.when, number, &mut chain);
            if let Some(first) = chain.first() {
                let table: &mut Table = &mut self.tables[first.table].0;
                table.begins[first.condition as usize] = Some(number);
                table.is_first = true;
            }
            let to = rule.to.iter().filter_map(|name| numbers.get(name.as_str()).copied()).collect();
            rules.push(CompiledRule { rest: chain.into_iter().skip(1).collect(), to });
        }
        rules
    }

    /// Adds what `when` asks, and what it asks too, to the tables.
    fn conditions(&mut self, when: &'s When, rule: u32, chain: &mut Vec<Place>) {
        if let Some(place) = self.condition(when, rule) {
            chain.push(place);
        }
        for other in &when.and {
            self.conditions(other, rule, chain);
        }
    }

    fn condition(&mut self, when: &'s When, rule: u32) -> Option<Place> {
        let own = when.matches_xpath.as_deref().map(|expression| (expression, self.query(expression, rule)));
        let table = self.table(when, rule)?;
        let largest = self.settings.largest_pattern;
        let (table_number, (table, patterns)) = (table, &mut self.tables[table]);
        let condition = u32::try_from(table.begins.len()).unwrap_or(u32::MAX);
        table.begins.push(None);
        if when.equals.is_empty() && when.contains.is_empty() && when.matches.is_empty() && own.is_none() {
            table.any.push(condition);
        }
        for value in &when.equals {
            table.equals.entry(value.clone()).or_default().push(condition);
        }
        for part in &when.contains {
            patterns.part(part, condition);
        }
        for pattern in &when.matches {
            if let Err(problem) = patterns.pattern(pattern, largest, condition) {
                self.problems.push(format!("rule {}: {problem}", rule + 1));
            }
        }
        if let Some((_, Some(query))) = own {
            table.own.push((condition, query));
        }
        Some(Place { table: table_number, condition })
    }

    /// Returns the table for what `when` looks at, made if it is new.
    fn table(&mut self, when: &'s When, rule: u32) -> Option<usize> {
        let keys = [
            when.attribute.as_deref().map(Key::Attribute),
            when.json.as_deref().map(Key::Json),
            when.xpath.as_deref().map(Key::XPath),
            when.text.then_some(Key::Text),
        ];
        let mut keys = keys.into_iter().flatten();
        let (Some(key), None) = (keys.next(), keys.next()) else {
            let message = "expected one of `attribute`, `json`, `xpath` and `text` to look at";
            self.problems.push(format!("rule {}: {message}", rule + 1));
            return None;
        };
        if let Some(&known) = self.known.get(&key) {
            return known;
        }
        let scope = match key {
            Key::Attribute(name) => Some(Scope::Attribute(name.to_owned())),
            Key::Text => Some(Scope::Text),
            Key::XPath(expression) => self.query(expression, rule).map(Scope::XPath),
            Key::Json(path) => match JsonPath::parse(path) {
                Ok(path) => Some(Scope::Json(path)),
                Err(error) => {
                    self.problems.push(format!("rule {}: {error}", rule + 1));
                    None
                }
            },
        };
        let number = scope.map(|scope| {
            let table = Table {
                scope,
                any: Vec::new(),
                equals: HashMap::new(),
                patterns: super::patterns::Patterns::default(),
                own: Vec::new(),
                begins: Vec::new(),
                is_first: false,
            };
            self.tables.push((table, PatternsBuilder::default()));
            self.tables.len() - 1
        });
        self.known.insert(key, number);
        number
    }

    fn query(&mut self, expression: &str, rule: u32) -> Option<Query> {
        match Query::compile(expression, &self.settings.namespaces, self.settings.xpath_operations) {
            Ok(query) => Some(query),
            Err(error) => {
                self.problems.push(format!("rule {}: {error}", rule + 1));
                None
            }
        }
    }

    /// Returns the outboxes for what no rule of a blacklist matches.
    fn defaults(&mut self, outboxes: &[String]) -> Vec<u16> {
        let mut patterns = Vec::new();
        for pattern in &self.settings.default_outboxes {
            match compile(pattern, self.settings.largest_pattern) {
                Ok(pattern) => patterns.push(pattern),
                Err(problem) => self.problems.push(format!("`default-outboxes`: {problem}")),
            }
        }
        let named: std::collections::HashSet<&String> = self.settings.rules.iter().flat_map(|rule| &rule.to).collect();
        let is_default = |name: &String| !named.contains(name) && patterns.iter().any(|pattern| pattern.is_match(name));
        let defaults: Vec<u16> =
            (0..).zip(outboxes).filter(|(_, name)| is_default(name)).map(|(number, _)| number).collect();
        if self.settings.mode == Mode::Blacklist
            && defaults.is_empty()
            && patterns.len() == self.settings.default_outboxes.len()
        {
            let message = "a blacklist has nowhere to send what no rule matches; expected an outbox that no rule names and \
                           that one of `default-outboxes` matches";
            self.problems.push(message.to_owned());
        }
        defaults
    }

    fn finish(self) -> (Vec<Table>, Vec<String>) {
        let Self { settings, tables, mut problems, .. } = self;
        let mut finished = Vec::new();
        for (mut table, patterns) in tables {
            match patterns.build(settings.largest_pattern) {
                Ok(patterns) => table.patterns = patterns,
                Err(error) => problems.push(error.to_string()),
            }
            finished.push(table);
        }
        (finished, problems)
    }
}
