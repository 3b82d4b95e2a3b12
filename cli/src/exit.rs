//! How the process ends: one exit code for each kind of error, so that a script can tell them apart.

use std::process::ExitCode;

use playhouse::Kind;

/// What `--help` says of it.
pub(crate) const HELP: &str = "Exit codes: 0 done, 1 internal error, 2 wrong arguments, 10 malformed, 11 unauthorized, \
12 forbidden, 13 not found, 14 not allowed, 15 timeout, 16 conflict, 17 gone, 18 too large, 19 unsupported, \
20 unprocessable, 21 rate exceeded, 22 overloaded, 23 unavailable, 24 cancelled.";

/// Returns the exit code for a kind of error.
pub(crate) fn code(kind: Kind) -> ExitCode {
    ExitCode::from(number(kind))
}

fn number(kind: Kind) -> u8 {
    match kind {
        Kind::Malformed => 10,
        Kind::Unauthorized => 11,
        Kind::Forbidden => 12,
        Kind::NotFound => 13,
        Kind::NotAllowed => 14,
        Kind::Timeout => 15,
        Kind::Conflict => 16,
        Kind::Gone => 17,
        Kind::TooLarge => 18,
        Kind::Unsupported => 19,
        Kind::Unprocessable => 20,
        Kind::RateExceeded => 21,
        Kind::Overloaded => 22,
        Kind::Unavailable => 23,
        Kind::Cancelled => 24,
        // An internal error, and kinds that are added later.
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_names_the_code_of_every_kind() {
        let named = |kind: Kind| format!("{} {}", number(kind), kind.as_str().replace('-', " "));
        for kind in [
            Kind::Malformed,
            Kind::Unauthorized,
            Kind::Forbidden,
            Kind::NotFound,
            Kind::NotAllowed,
            Kind::Timeout,
            Kind::Conflict,
            Kind::Gone,
            Kind::TooLarge,
            Kind::Unsupported,
            Kind::Unprocessable,
            Kind::RateExceeded,
            Kind::Overloaded,
            Kind::Unavailable,
            Kind::Cancelled,
            Kind::Internal,
        ] {
            assert!(HELP.contains(&named(kind)), "{}", named(kind));
        }
    }
}
