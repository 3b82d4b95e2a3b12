//! What an XPath found.

use std::borrow::Cow;

use serde_json::{Number, Value};

/// What an XPath found in a document.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// Nodes in document order, none of them too: the XML of an element that holds elements, the text of any other
    /// node.
    Nodes(Vec<String>),
    /// A string.
    Text(String),
    /// A number, which may be infinite or not a number.
    Number(f64),
    /// A truth value.
    Boolean(bool),
}

impl Found {
    /// Tells whether anything was found: XPath's `boolean()` of it.
    #[must_use]
    pub fn is_true(&self) -> bool {
        match self {
            Self::Nodes(nodes) => !nodes.is_empty(),
            Self::Text(text) => !text.is_empty(),
            Self::Number(number) => *number != 0.0 && !number.is_nan(),
            Self::Boolean(truth) => *truth,
        }
    }

    /// Returns each thing found as text: every node, or the one value as XPath writes it.
    pub fn texts(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let (nodes, value) = match self {
            Self::Nodes(nodes) => (nodes.as_slice(), None),
            Self::Text(text) => (&[][..], Some(Cow::Borrowed(text.as_str()))),
            Self::Number(number) => (&[][..], Some(Cow::Owned(write(*number)))),
            Self::Boolean(truth) => (&[][..], Some(Cow::Borrowed(if *truth { "true" } else { "false" }))),
        };
        nodes.iter().map(|node| Cow::Borrowed(node.as_str())).chain(value)
    }

    /// Returns what was found as one JSON value: no node is null, one is its text, several are a list of texts. A number
    /// that JSON cannot write is null.
    #[must_use]
    pub fn into_json(self) -> Value {
        match self {
            Self::Nodes(mut nodes) if nodes.len() < 2 => nodes.pop().map_or(Value::Null, Value::String),
            Self::Nodes(nodes) => nodes.into_iter().map(Value::String).collect(),
            Self::Text(text) => Value::String(text),
            #[expect(clippy::cast_possible_truncation, reason = "it is whole and small")]
            Self::Number(number) if number.fract() == 0.0 && number.abs() < 9e15 => Value::from(number as i64),
            Self::Number(number) => Number::from_f64(number).map_or(Value::Null, Value::Number),
            Self::Boolean(truth) => Value::Bool(truth),
        }
    }
}

/// Writes a number as XPath does: never with an exponent.
fn write(number: f64) -> String {
    if number == f64::INFINITY {
        "Infinity".to_owned()
    } else if number == f64::NEG_INFINITY {
        "-Infinity".to_owned()
    } else {
        // Of the two zeros XPath knows one.
        (number + 0.0).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_xpath_writes_them() {
        for (number, text) in
            [(1.0, "1"), (-0.0, "0"), (1.5, "1.5"), (f64::NAN, "NaN"), (f64::NEG_INFINITY, "-Infinity"), (1e3, "1000")]
        {
            assert_eq!(Found::Number(number).texts().collect::<Vec<_>>(), [text]);
        }
    }

    #[test]
    fn none_is_null_one_is_itself_and_many_are_a_list() {
        let nodes = |texts: &[&str]| Found::Nodes(texts.iter().map(|&text| text.to_owned()).collect()).into_json();
        assert_eq!(nodes(&[]), Value::Null);
        assert_eq!(nodes(&["é"]), Value::from("é"));
        assert_eq!(nodes(&["a", "b"]), Value::from(vec!["a", "b"]));
        assert_eq!(Found::Number(2.0).into_json(), Value::from(2));
        assert_eq!(Found::Number(f64::NAN).into_json(), Value::Null);
        assert_eq!(Found::Boolean(true).into_json(), Value::Bool(true));
    }
}
