//! What a router is made of, in code and in files.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::when::When;

/// The rules of a [`Router`](crate::Router) and of a [`DocumentRouter`](crate::DocumentRouter), in code and in files.
///
/// ```
/// use playhouse_actors::{RouterSettings, When};
///
/// let in_code = RouterSettings::whitelist()
///     .route(When::attribute("http.path").matches("^/orders/"), ["orders", "audit"])
///     .discard(When::text().contains("unsubscribe"));
/// let in_a_file = r#"
///     mode = "whitelist"
///     [[rules]]
///     when = { attribute = "http.path", matches = ["^/orders/"] }
///     to = ["orders", "audit"]
///     [[rules]]
///     when = { text = true, contains = ["unsubscribe"] }
/// "#;
/// assert_eq!(toml::from_str::<RouterSettings>(in_a_file)?, in_code);
/// # Ok::<_, toml::de::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct RouterSettings {
    /// What happens to an event that no rule matches; `whitelist` by default.
    pub mode: Mode,
    /// What a whitelist does with an event that no rule matches; `fail` by default.
    pub unmatched: Unmatched,
    /// What happens where a rule looks into a payload that cannot be read; `fail` by default.
    pub unreadable: Unreadable,
    /// Outboxes beside those that rules name.
    pub outboxes: Vec<String>,
    /// Regular expressions for the names of the outboxes that a blacklist sends unmatched events to, of those that no rule
    /// names; `.*` by default, which is all of them.
    pub default_outboxes: Vec<String>,
    /// The rules.
    pub rules: Vec<Rule>,
    /// The namespaces that prefixes in XPaths stand for, by prefix.
    pub namespaces: BTreeMap<String, String>,
    /// The largest payload that is looked into, in bytes; 1 MiB by default. A larger one is `TooLarge`.
    pub largest_payload: usize,
    /// How large a regular expression may become when it is compiled, in bytes; 1 MiB by default.
    pub largest_pattern: usize,
    /// How many operations an XPath may take; 2,000,000 by default, which is about a tenth of a second.
    pub xpath_operations: u64,
    /// How many regular expressions an event may bring (`matches-xpath`); 16 by default.
    pub most_own_patterns: usize,
    /// How long each of these may be, in bytes; 256 by default.
    pub longest_own_pattern: usize,
}

/// One rule: where an event goes that is as `when` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rule {
    /// What it asks of an event.
    pub when: When,
    /// The outboxes that the event goes to. Without any the rule takes the event and discards it; other rules may still
    /// send it on.
    #[serde(default)]
    pub to: Vec<String>,
}

/// What happens to an event that no rule matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Only what a rule matches goes on.
    #[default]
    Whitelist,
    /// What no rule matches goes to the default outboxes.
    Blacklist,
}

/// What a whitelist does with an event that no rule matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unmatched {
    /// It fails as `NotFound`, along the error route.
    #[default]
    Fail,
    /// It ends here, as delivered, and the router's [`Tally`](super::Tally) counts it.
    Drop,
}

/// What happens where a rule looks into a payload that cannot be read as what the rule expects: bytes that are no text, text
/// that is no JSON or no XML.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unreadable {
    /// The event fails as `Malformed`.
    #[default]
    Fail,
    /// The rule does not match.
    NoMatch,
}

impl Default for RouterSettings {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            unmatched: Unmatched::default(),
            unreadable: Unreadable::default(),
            outboxes: Vec::new(),
            default_outboxes: vec![".*".to_owned()],
            rules: Vec::new(),
            namespaces: BTreeMap::new(),
            largest_payload: 1 << 20,
            largest_pattern: 1 << 20,
            xpath_operations: 2_000_000,
            most_own_patterns: 16,
            longest_own_pattern: 256,
        }
    }
}

impl RouterSettings {
    /// Begins a router from which only what a rule matches goes on.
    #[must_use]
    pub fn whitelist() -> Self {
        Self::default()
    }

    /// Begins a router that sends what no rule matches to those of `outboxes` that no rule names.
    #[must_use]
    pub fn blacklist<N: Into<String>>(outboxes: impl IntoIterator<Item = N>) -> Self {
        let outboxes = outboxes.into_iter().map(Into::into).collect();
        Self { mode: Mode::Blacklist, outboxes, ..Self::default() }
    }

    /// Sends what is as `when` says to `outboxes`.
    #[must_use]
    pub fn route<N: Into<String>>(mut self, when: When, outboxes: impl IntoIterator<Item = N>) -> Self {
        self.rules.push(Rule { when, to: outboxes.into_iter().map(Into::into).collect() });
        self
    }

    /// Adds a rule for each of `outboxes`: the value that `scope` looks at goes where the outbox's name, as a regular
    /// expression, is found in it.
    #[must_use]
    pub fn route_by_name<N: Into<String>>(self, scope: &When, outboxes: impl IntoIterator<Item = N>) -> Self {
        outboxes
            .into_iter()
            .map(Into::into)
            .fold(self, |settings, outbox: String| settings.route(scope.clone().matches(outbox.clone()), [outbox]))
    }

    /// Takes what is as `when` says and discards it.
    #[must_use]
    pub fn discard(self, when: When) -> Self {
        self.route(when, [] as [String; 0])
    }
}
