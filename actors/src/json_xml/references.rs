//! Text and attribute values as they are meant: references resolved, line ends as XML wants them.

use std::borrow::Cow;

use super::fault::Fault;
use super::names::{is_allowed, shown};

/// Returns the character that the reference between `&` and `;` stands for.
pub(super) fn resolve(reference: &str) -> Result<char, Fault> {
    match reference {
        "amp" => return Ok('&'),
        "lt" => return Ok('<'),
        "gt" => return Ok('>'),
        "quot" => return Ok('"'),
        "apos" => return Ok('\''),
        _ => {}
    }
    let Some(number) = reference.strip_prefix('#') else {
        return Err(Fault::malformed(format!("the entity `{}` is not declared", shown(reference))));
    };
    let (digits, radix) = match number.strip_prefix('x') {
        Some(digits) => (digits, 16),
        None => (number, 10),
    };
    // A sign is no digit, but the standard library takes one.
    let code = if digits.starts_with('+') { None } else { u32::from_str_radix(digits, radix).ok() };
    code.and_then(char::from_u32).filter(|character| is_allowed(*character)).ok_or_else(|| {
        Fault::malformed(format!("the reference `&{};` stands for no character of XML", shown(reference)))
    })
}

/// Returns text with each line end as one `\n`.
pub(super) fn lines(text: &str) -> Cow<'_, str> {
    if memchr::memchr(b'\r', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n"))
}

/// Returns an attribute's value from between its quotes: references resolved, white space as spaces.
pub(super) fn value(mut raw: &str) -> Result<Cow<'_, str>, Fault> {
    let special = |text: &str| text.bytes().position(|byte| matches!(byte, b'&' | b'<' | b'\t' | b'\n' | b'\r'));
    let Some(mut at) = special(raw) else { return Ok(Cow::Borrowed(raw)) };
    let mut value = String::with_capacity(raw.len());
    loop {
        let (plain, rest) = raw.split_at(at);
        value.push_str(plain);
        raw = if let Some(rest) = rest.strip_prefix('&') {
            let Some((reference, rest)) = rest.split_once(';') else {
                return Err(Fault::malformed("a `&` begins a reference that has no `;`"));
            };
            value.push(resolve(reference)?);
            rest
        } else if rest.starts_with('<') {
            return Err(Fault::malformed("the value of an attribute holds a `<`"));
        } else {
            value.push(' ');
            rest.strip_prefix("\r\n").unwrap_or(&rest[1..])
        };
        match special(raw) {
            Some(next) => at = next,
            None => {
                value.push_str(raw);
                return Ok(Cow::Owned(value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_stand_for_characters_of_xml_alone() {
        for (reference, character) in
            [("amp", '&'), ("#65", 'A'), ("#x41", 'A'), ("#x10FFFF", '\u{10ffff}'), ("#10", '\n')]
        {
            assert_eq!(resolve(reference).unwrap(), character);
        }
        for reference in
            ["", "nbsp", "#", "#x", "#0", "#1", "#+65", "#x+41", "#xD800", "#xFFFE", "#x110000", "#X41", "#99999999999"]
        {
            assert!(resolve(reference).is_err(), "{reference}");
        }
    }

    #[test]
    fn white_space_in_a_value_becomes_spaces_unless_it_is_referred_to() {
        assert_eq!(value("a\r\nb\tc\n\rd&#10;&amp;").unwrap(), "a b c  d\n&");
        assert!(matches!(value("plain é"), Ok(Cow::Borrowed("plain é"))));
        assert!(value("a<b").is_err() && value("a&b").is_err() && value("&").is_err());
    }

    #[test]
    fn line_ends_become_one_character() {
        assert_eq!(lines("a\r\nb\rc\r\r\nd"), "a\nb\nc\n\nd");
        assert!(matches!(lines("a\nb"), Cow::Borrowed(_)));
    }
}
