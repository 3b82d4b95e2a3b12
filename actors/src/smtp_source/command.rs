//! What the parser of commands passes over or takes for something else.

use super::reply::{BAD_ADDRESS, NEEDS_SMTPUTF8, Reply};

/// The digits of a size that fits any number.
const DIGITS: usize = 18;

/// Says what is wrong with an address, where something is.
pub(super) fn address_fault(address: &str, has_utf8: bool, may_be_empty: bool) -> Option<Reply> {
    // The parser takes quotes away, and without them such an address would be another one.
    let needs_quotes = |letter: char| letter.is_ascii_control() || " \"(),:;<>@[\\]".contains(letter);
    let is_wrong = match address.rsplit_once('@') {
        _ if address.is_empty() => !may_be_empty,
        _ if !may_be_empty && address == "postmaster" => false,
        None => true,
        Some((user, domain)) => {
            let domain = domain.strip_prefix('[').and_then(|literal| literal.strip_suffix(']')).unwrap_or(domain);
            user.is_empty() || user.contains(needs_quotes) || !is_domain(domain)
        }
    };
    if is_wrong {
        return Some(BAD_ADDRESS);
    }
    (!has_utf8 && !address.is_ascii()).then_some(NEEDS_SMTPUTF8)
}

fn is_domain(domain: &str) -> bool {
    let may_be_in = |letter: char| letter.is_alphanumeric() || "-._:".contains(letter) || !letter.is_ascii();
    !domain.is_empty() && !domain.starts_with('.') && domain.chars().all(may_be_in)
}

pub(super) fn is_for_postmaster(line: &[u8]) -> bool {
    const POSTMASTER: &[u8] = b"<postmaster>";
    line.windows(POSTMASTER.len()).any(|part| part.eq_ignore_ascii_case(POSTMASTER))
}

pub(super) fn is_auth(line: &[u8]) -> bool {
    line.get(..4).is_some_and(|verb| verb.eq_ignore_ascii_case(b"auth"))
}

/// Says whether a size is said that is too large for a number: the parser's begins anew there.
pub(super) fn has_huge_size(line: &[u8]) -> bool {
    const SIZE: &[u8] = b" SIZE=";
    let found = line.windows(SIZE.len()).position(|part| part.eq_ignore_ascii_case(SIZE));
    let digits = found.map(|begin| line[begin + SIZE.len()..].iter().take_while(|byte| byte.is_ascii_digit()).count());
    digits.is_some_and(|digits| digits > DIGITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_without_quotes_too() {
        for (address, right) in [
            ("a@x.test", true),
            ("a.b+c=d@[127.0.0.1]", true),
            ("a@[IPv6:::1]", true),
            ("a b@x.test", false),
            ("a@b@x.test", false),
            ("a@", false),
            ("@x.test", false),
            ("a", false),
            ("a@x test", false),
            ("a@x,y", false),
            ("a@.test", false),
        ] {
            assert_eq!(address_fault(address, true, true).is_none(), right, "{address}");
        }
        assert!(address_fault("", true, true).is_none() && address_fault("", true, false).is_some());
        assert_eq!(address_fault("ü@x.test", false, true), Some(NEEDS_SMTPUTF8));
        assert_eq!(address_fault("ü@x.test", true, true), None);
    }

    #[test]
    fn a_size_beyond_numbers_is_huge() {
        assert!(has_huge_size(b"MAIL FROM:<a@x> size=99999999999999999999999\r\n"));
        assert!(!has_huge_size(b"MAIL FROM:<a@x> SIZE=999999999999999999\r\n"));
    }
}
