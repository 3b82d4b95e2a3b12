//! The attributes of a tag, one by one, as strictly as XML wants them.

use std::borrow::Cow;

use super::fault::Fault;
use super::names::{is_name, shown};
use super::references;

/// Says whether a byte is white space of XML's own grammar.
pub(super) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn trimmed_start(text: &str) -> &str {
    &text[text.bytes().position(|byte| !is_space(byte)).unwrap_or(text.len())..]
}

/// What stands in a tag behind its name. That no attribute comes twice is left to whoever collects them.
#[derive(Debug)]
pub(super) struct Attributes<'x>(pub(super) &'x str);

impl<'x> Attributes<'x> {
    fn read(&mut self) -> Result<Option<(&'x str, Cow<'x, str>)>, Fault> {
        let rest = trimmed_start(self.0);
        if rest.is_empty() {
            return Ok(None);
        }
        let end = rest.bytes().position(|byte| byte == b'=' || is_space(byte)).unwrap_or(rest.len());
        let (name, behind) = rest.split_at(end);
        if !is_name(name) {
            return Err(Fault::malformed(format!("`{}` is no name of an attribute", shown(name))));
        }
        if rest.len() == self.0.len() {
            return Err(Fault::malformed(format!("no space before the attribute `{}`", shown(name))));
        }
        let quoted = trimmed_start(behind).strip_prefix('=').map(trimmed_start);
        let value = quoted.and_then(|quoted| {
            let quote = quoted.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
            quoted[1..].split_once(quote)
        });
        let Some((value, behind)) = value else {
            return Err(Fault::malformed(format!("the attribute `{}` has no value in quotes", shown(name))));
        };
        self.0 = behind;
        Ok(Some((name, references::value(value)?)))
    }
}

impl<'x> Iterator for Attributes<'x> {
    type Item = Result<(&'x str, Cow<'x, str>), Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_one_by_one() {
        let all: Result<Vec<_>, _> = Attributes(" a='1' \n p:b = \"it's &lt;\" ").collect();
        assert_eq!(all.unwrap(), [("a", "1".into()), ("p:b", "it's <".into())]);
    }

    #[test]
    fn what_is_no_attribute_is_refused() {
        for raw in [" a", " a=", " a=1", " a='1", " a='1'b='2'", " =''", " 1=''", " a b=''", " /", " a=''/"] {
            assert!(Attributes(raw).any(|attribute| attribute.is_err()), "{raw}");
        }
    }
}
