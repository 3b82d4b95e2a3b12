//! For whom mail is taken.

use playhouse_engine::{Error, Result};

/// The recipients for whom mail is taken.
#[derive(Debug)]
pub(crate) struct Accepts(Vec<Pattern>);

#[derive(Debug)]
enum Pattern {
    Address(String),
    Domain(String),
    /// With the dot before it.
    Under(String),
}

impl Accepts {
    /// Reads patterns; none takes mail for anybody.
    ///
    /// # Errors
    /// `Malformed`, with all that are none.
    pub(crate) fn new(patterns: &[String]) -> Result<Self> {
        let (mut read, mut problems) = (Vec::new(), Vec::new());
        for pattern in patterns {
            let lower = pattern.to_lowercase();
            let name = lower.strip_prefix("*.").unwrap_or(&lower);
            let is_wrong = |letter: char| letter.is_whitespace() || letter.is_control() || letter == '*';
            if name.is_empty() || name.starts_with('@') || name.ends_with('@') || name.contains(is_wrong) {
                problems.push(format!("`{}`", pattern.escape_debug()));
            } else if lower.starts_with("*.") {
                read.push(Pattern::Under(lower[1..].to_owned()));
            } else if lower.contains('@') {
                read.push(Pattern::Address(lower));
            } else {
                read.push(Pattern::Domain(lower));
            }
        }
        if problems.is_empty() {
            return Ok(Self(read));
        }
        let problems = problems.join(", ");
        let expected = "expected `user@domain`, `domain` or `*.domain`";
        Err(Error::malformed(format!("`accepts` holds {problems}; {expected}")))
    }

    pub(crate) fn takes(&self, address: &str) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let address = address.to_lowercase();
        let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
        self.0.iter().any(|pattern| match pattern {
            Pattern::Address(one) => *one == address,
            Pattern::Domain(name) => name == domain,
            Pattern::Under(end) => domain.ends_with(end.as_str()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(patterns: &[&str]) -> Result<Accepts> {
        Accepts::new(&patterns.iter().map(|pattern| (*pattern).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn mail_is_taken_for_whom_a_pattern_names() {
        let accepts = accepts(&["Ada@Example.com", "example.org", "*.example.net"]).unwrap();
        for (address, taken) in [
            ("ada@example.com", true),
            ("ADA@EXAMPLE.COM", true),
            ("bob@example.com", false),
            ("bob@example.org", true),
            ("bob@sub.example.org", false),
            ("bob@sub.example.net", true),
            ("bob@example.net", false),
            ("bob@badexample.net", false),
            ("example.org", false),
            ("\"x@example.org\"@evil.test", false),
        ] {
            assert_eq!(accepts.takes(address), taken, "{address}");
        }
    }

    #[test]
    fn all_that_are_no_patterns_are_named() {
        let error = accepts(&["a b", "fine.test", "@x", "*"]).unwrap_err();
        assert_eq!(error.message(), "`accepts` holds `a b`, `@x`, `*`; expected `user@domain`, `domain` or `*.domain`");
    }
}
