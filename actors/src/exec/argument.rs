//! An argument of a program: a word as it stands, or one with attributes in it.

use playhouse_engine::{Error, Event, Result};

/// An argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Argument(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Attribute(String),
}

impl Argument {
    /// Reads an argument. `{name}` stands for an attribute, if it may; braces around anything else are braces.
    pub(super) fn new(word: String, placeholders: bool) -> Self {
        if !placeholders {
            return Self(vec![Part::Text(word)]);
        }
        let mut parts = Vec::new();
        let (mut text, mut rest) = (String::new(), word.as_str());
        while let Some((before, after)) = rest.split_once('{') {
            text.push_str(before);
            match after.split_once('}') {
                Some((name, behind)) if is_name(name) => {
                    parts.push(Part::Text(std::mem::take(&mut text)));
                    parts.push(Part::Attribute(name.to_owned()));
                    rest = behind;
                }
                _ => {
                    text.push('{');
                    rest = after;
                }
            }
        }
        text.push_str(rest);
        parts.push(Part::Text(text));
        Self(parts)
    }

    /// Returns the word for an event; without one, what is the same for all.
    ///
    /// # Errors
    /// `Malformed` where the event has not the attribute, or its value cannot be in an argument.
    pub(super) fn word(&self, event: Option<&Event>) -> Result<String> {
        let mut word = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => word.push_str(text),
                Part::Attribute(name) => {
                    let value = event.and_then(|event| event.attribute(name));
                    let value = value.ok_or_else(|| {
                        Error::malformed(format!("expected the attribute `{name}` for an argument, found none"))
                    })?;
                    word.push_str(&value.to_string());
                }
            }
        }
        if word.contains('\0') {
            return Err(Error::malformed("expected arguments without a zero byte"));
        }
        Ok(word)
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "._-".contains(letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_stands_where_its_name_is_in_braces() {
        let event = Event::new(()).with_attribute("order.id", "7; rm -rf /").with_attribute("n", 3_i64);
        for (word, expected) in [
            ("--id={order.id}/{n}", "--id=7; rm -rf //3"),
            ("{n}", "3"),
            ("{print $1} {} {{n}", "{print $1} {} {3"),
            ("plain", "plain"),
        ] {
            assert_eq!(Argument::new(word.to_owned(), true).word(Some(&event)).unwrap(), expected);
        }
        assert_eq!(Argument::new("{n}".to_owned(), false).word(Some(&event)).unwrap(), "{n}");
    }

    #[test]
    fn what_is_missing_or_cannot_be_an_argument_is_refused() {
        let argument = Argument::new("{n}".to_owned(), true);
        let error = argument.word(Some(&Event::new(()))).unwrap_err();
        assert_eq!(error.message(), "expected the attribute `n` for an argument, found none");
        let error = argument.word(Some(&Event::new(()).with_attribute("n", "a\0b"))).unwrap_err();
        assert_eq!(error.message(), "expected arguments without a zero byte");
    }
}
