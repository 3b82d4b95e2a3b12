//! What is set, and what to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What [`SetAttribute`](crate::SetAttribute) sets, and what to: one target and one source.
///
/// The same in a file: `{ attribute = "order/customer", from-json = "/customer/name", missing = "fail" }`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Set {
    /// The target is this attribute. Behind a separator come names within it: `order/customer` is the member `customer` of
    /// the attribute `order`, which is made an object if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    /// The target is what lies there in a payload of JSON, names with separators between them; or with `""` the payload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// The source is this value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// The source is the attribute of that name, or with separators what lies within one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_attribute: Option<String>,
    /// The source is what lies there in a payload of JSON: a pointer (`/items/0/sku`) or a path (`items/sku`), which can
    /// find several things in lists, and is then a list of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_json: Option<String>,
    /// The source is what this XPath finds in a payload of XML. One node is its text, or its XML where it holds elements;
    /// several are a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_xpath: Option<String>,
    /// What happens where there is no such thing; `clear` by default.
    pub missing: Missing,
    /// What stands between names; `/` by default.
    pub separator: String,
    /// The namespaces that prefixes in the XPath stand for, by prefix; none by default.
    pub namespaces: BTreeMap<String, String>,
    /// The largest payload that is looked into, in bytes; 1 MiB by default.
    pub largest_payload: usize,
}

/// What happens where the source is not there. Null in JSON is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Missing {
    /// The attribute is taken away; within an object, and in a payload, null is set.
    #[default]
    Clear,
    /// Everything stays as it is.
    Keep,
    /// The event fails as `Unprocessable`.
    Fail,
}

impl Default for Set {
    fn default() -> Self {
        Self {
            attribute: None,
            payload: None,
            value: None,
            from_attribute: None,
            from_json: None,
            from_xpath: None,
            missing: Missing::default(),
            separator: "/".to_owned(),
            namespaces: BTreeMap::new(),
            largest_payload: 1 << 20,
        }
    }
}

impl Set {
    /// Sets the attribute `name`.
    #[must_use]
    pub fn attribute(name: impl Into<String>) -> Self {
        Self { attribute: Some(name.into()), ..Self::default() }
    }

    /// Sets what lies at `path` in the payload; with `""` the payload.
    #[must_use]
    pub fn payload(path: impl Into<String>) -> Self {
        Self { payload: Some(path.into()), ..Self::default() }
    }

    /// Sets it to `value`.
    #[must_use]
    pub fn to(mut self, value: impl Into<Value>) -> Self {
        self.value = Some(value.into());
        self
    }

    /// Sets it to what the attribute `name` is.
    #[must_use]
    pub fn from_attribute(mut self, name: impl Into<String>) -> Self {
        self.from_attribute = Some(name.into());
        self
    }

    /// Sets it to what lies at `path` in the payload.
    #[must_use]
    pub fn from_json(mut self, path: impl Into<String>) -> Self {
        self.from_json = Some(path.into());
        self
    }

    /// Sets it to what `expression` finds in the payload.
    #[must_use]
    pub fn from_xpath(mut self, expression: impl Into<String>) -> Self {
        self.from_xpath = Some(expression.into());
        self
    }

    /// Says what happens where there is no such thing.
    #[must_use]
    pub fn missing(mut self, missing: Missing) -> Self {
        self.missing = missing;
        self
    }
}
