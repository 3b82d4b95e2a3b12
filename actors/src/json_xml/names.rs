//! Which names and characters XML 1.0 (fifth edition) allows.

use std::fmt::{self, Display, Write as _};

/// Says whether `name` is a name that an element or an attribute may have.
pub(super) fn is_name(name: &str) -> bool {
    match name.as_bytes() {
        [] => false,
        // Nearly every name is ASCII.
        [first, rest @ ..] if name.is_ascii() => {
            is_ascii_start(*first) && rest.iter().all(|byte| is_ascii_start(*byte) || is_ascii_further(*byte))
        }
        _ => {
            let mut characters = name.chars();
            characters.next().is_some_and(is_start)
                && characters.all(|character| is_start(character) || is_further(character))
        }
    }
}

/// Says whether XML 1.0 allows a character anywhere in a document.
pub(super) fn is_allowed(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// Returns the first character of `text` that XML does not allow.
pub(super) fn first_not_allowed(text: &str) -> Option<char> {
    // The two passes are over bytes and find nothing as a rule. What is not allowed and no control character is U+FFFE
    // or U+FFFF, whose first byte is 0xEF.
    let is_suspect = |byte: &u8| (*byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r')) || *byte == 0xef;
    if !text.as_bytes().iter().fold(false, |found, byte| found | is_suspect(byte)) {
        return None;
    }
    text.chars().find(|character| !is_allowed(*character))
}

/// Returns what is wrong with a name from the settings.
pub(crate) fn name_problem(setting: &str, name: &str) -> Option<String> {
    let problem = || format!("`{setting}` is `{}`; expected a name that an XML element may have", shown(name));
    (!is_name(name)).then(problem)
}

/// Shows what a peer wrote, in one line and not too much of it.
pub(super) fn shown(text: &str) -> impl Display {
    shown_up_to(60, text)
}

/// Shows so many characters of what a peer wrote, in one line.
pub(super) fn shown_up_to(most: usize, text: &str) -> impl Display {
    fmt::from_fn(move |formatter| {
        let mut characters = text.chars();
        for character in characters.by_ref().take(most) {
            match character {
                '"' | '\'' | '\\' => formatter.write_char(character)?,
                other => write!(formatter, "{}", other.escape_debug())?,
            }
        }
        if characters.next().is_some() { formatter.write_str("...") } else { Ok(()) }
    })
}

const fn is_ascii_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || matches!(byte, b'_' | b':')
}

const fn is_ascii_further(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
}

const fn is_start(character: char) -> bool {
    matches!(character,
        ':' | '_' | 'A'..='Z' | 'a'..='z' | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{2ff}'
        | '\u{370}'..='\u{37d}' | '\u{37f}'..='\u{1fff}' | '\u{200c}'..='\u{200d}' | '\u{2070}'..='\u{218f}'
        | '\u{2c00}'..='\u{2fef}' | '\u{3001}'..='\u{d7ff}' | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fffd}'
        | '\u{10000}'..='\u{effff}')
}

const fn is_further(character: char) -> bool {
    matches!(character, '-' | '.' | '0'..='9' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_fifth_edition() {
        for name in ["a", "_", ":", "p:a", "a-b.c1", "é", "\u{10000}", "a\u{b7}", "日本"] {
            assert!(is_name(name), "{name}");
        }
        for name in
            ["", "1", "-a", ".a", "a b", "a>", "a<b", "a\n", "@a", "#text", "\u{b7}", "\u{d7}", "a\u{37e}", "a/"]
        {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn control_characters_and_the_two_that_are_none_are_not_allowed() {
        for text in ["\0", "a\u{1}", "\u{1f}", "é\u{fffe}", "\u{ffff}"] {
            assert!(first_not_allowed(text).is_some(), "{text:?}");
        }
        for text in ["", "a\t\n\r", "\u{7f}\u{85}", "\u{feff}\u{fffd}", "\u{10ffff}"] {
            assert_eq!(first_not_allowed(text), None);
        }
    }

    #[test]
    fn what_a_peer_wrote_is_shown_in_one_line() {
        assert_eq!(shown("a\n\"b\"").to_string(), "a\\n\"b\"");
        assert_eq!(shown(&"x".repeat(1000)).to_string().len(), 63);
    }
}
