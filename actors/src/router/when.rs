//! What a rule asks of an event.

use serde::{Deserialize, Serialize};

/// What a rule asks of an event: one thing to look at, what that must be, and further conditions that must hold too.
///
/// Of the tests `equals`, `contains` and `matches` one that fits is enough; without any, it is enough that there is a value.
/// Where there are several values, as of an XPath or a list, one that fits is enough. Text is compared as it stands, with
/// the case of its letters.
///
/// The same in a file: `{ json = "order/kind", equals = ["urgent"], and = [{ attribute = "http.method", equals = ["POST"] }] }`.
///
/// ```
/// use playhouse_actors::When;
///
/// let urgent = When::json("order/kind").equals("urgent").or_equals("express");
/// let posted = urgent.and(When::attribute("http.method").equals("POST"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct When {
    /// Looks at the attribute of that name. One that is a list has a value for each element.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    /// Looks at what lies there in a payload of JSON: a pointer as of RFC 6901 (`/items/0/sku`) or a path (`items/sku`),
    /// which looks into every element of a list. A list there has a value for each element, null is no value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json: Option<String>,
    /// Looks at what the XPath finds in a payload of XML. An empty element has the value `""`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub xpath: Option<String>,
    /// Looks at the payload as text; an empty one is `""`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub text: bool,
    /// Takes a value that is one of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub equals: Vec<String>,
    /// Takes a value that has one of these in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub contains: Vec<String>,
    /// Takes a value in which one of these regular expressions is found, anywhere unless `^` and `$` say where.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<String>,
    /// Takes a value in which a regular expression is found that the event itself brings: what this XPath finds in its
    /// payload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matches_xpath: Option<String>,
    /// What must hold too. It is looked at only where all before it holds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub and: Vec<When>,
}

impl When {
    /// Looks at the attribute `name`.
    #[must_use]
    pub fn attribute(name: impl Into<String>) -> Self {
        Self { attribute: Some(name.into()), ..Self::default() }
    }

    /// Looks at what lies at `path` in a payload of JSON.
    #[must_use]
    pub fn json(path: impl Into<String>) -> Self {
        Self { json: Some(path.into()), ..Self::default() }
    }

    /// Looks at what `expression` finds in a payload of XML.
    #[must_use]
    pub fn xpath(expression: impl Into<String>) -> Self {
        Self { xpath: Some(expression.into()), ..Self::default() }
    }

    /// Looks at the payload as text.
    #[must_use]
    pub fn text() -> Self {
        Self { text: true, ..Self::default() }
    }

    /// Takes a value that is `value`.
    #[must_use]
    pub fn equals(mut self, value: impl Into<String>) -> Self {
        self.equals.push(value.into());
        self
    }

    /// Takes a value that is `value` too: [`When::equals`], where that reads better.
    #[must_use]
    pub fn or_equals(self, value: impl Into<String>) -> Self {
        self.equals(value)
    }

    /// Takes a value that has `part` in it.
    #[must_use]
    pub fn contains(mut self, part: impl Into<String>) -> Self {
        self.contains.push(part.into());
        self
    }

    /// Takes a value in which the regular expression `pattern` is found.
    #[must_use]
    pub fn matches(mut self, pattern: impl Into<String>) -> Self {
        self.matches.push(pattern.into());
        self
    }

    /// Takes a value in which one of the regular expressions is found that `expression` finds in the event's payload.
    #[must_use]
    pub fn matches_xpath(mut self, expression: impl Into<String>) -> Self {
        self.matches_xpath = Some(expression.into());
        self
    }

    /// Asks for `other` too.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.and.push(other);
        self
    }
}
