//! Text of strangers as a part of a line: nothing in it ends the line, moves the cursor of a terminal, or fills a disk.

use std::fmt::Write;

/// Writes text onto one line: what controls a terminal or the direction of writing is escaped, and after `limit` bytes the rest is
/// only counted.
pub(crate) fn put_printable(text: &str, limit: usize, line: &mut String) {
    let end = if text.len() <= limit { text.len() } else { text.floor_char_boundary(limit) };
    let shown = &text[..end];
    // Most text is plain, which is seen for many bytes at a time.
    let is_plain = shown.bytes().fold(true, |plain, byte| plain & (b' '..=b'~').contains(&byte));
    let looked_at = if is_plain { "" } else { shown };
    let mut plain = 0;
    for (at, letter) in looked_at.char_indices() {
        if !is_control(letter) {
            continue;
        }
        line.push_str(&shown[plain..at]);
        line.extend(letter.escape_default());
        plain = at + letter.len_utf8();
    }
    line.push_str(&shown[plain..]);
    if end < text.len() {
        // Writing into a string cannot fail.
        let _ = write!(line, "... ({} bytes more)", text.len() - end);
    }
}

/// Says whether a character does more than to stand there: controls, line and paragraph separators, and changes of direction.
fn is_control(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn printable(text: &str, limit: usize) -> String {
        let mut line = String::new();
        put_printable(text, limit, &mut line);
        line
    }

    #[test]
    fn what_controls_is_escaped_and_what_is_long_is_cut() {
        assert_eq!(printable("ä\r\n\u{1b}[2Jb\u{202e}\\n", 100), r"ä\r\n\u{1b}[2Jb\u{202e}\n");
        assert_eq!(printable("aä", 2), "a... (2 bytes more)");
        assert_eq!(printable("aä", 3), "aä");
    }

    proptest! {
        #[test]
        fn whatever_it_says_it_is_one_line(text in any::<String>(), limit in 0_usize..20) {
            let line = printable(&text, limit);
            prop_assert!(!line.contains(is_control));
            prop_assert!(line.len() <= limit * 10 + 40);
        }
    }
}
