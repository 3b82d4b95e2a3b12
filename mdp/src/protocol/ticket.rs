//! The number by which a request is known that no socket waits for.

use std::fmt;

/// The number of a durable request, unlike any other: on the wire it is 32 hexadecimal digits, lower case
/// where we write them (RFC 9).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(u128);

impl Ticket {
    /// Makes a ticket that nobody can guess: who knows it may read the reply.
    ///
    /// # Panics
    /// Where the operating system has no random numbers to give.
    #[must_use]
    pub fn unique() -> Self {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the operating system gives random numbers");
        Self(u128::from_be_bytes(bytes))
    }

    /// Reads a ticket from the wire: 32 hexadecimal digits of either case, and nothing else.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() != 32 || !text.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        u128::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok().map(Self)
    }

    /// Makes a ticket of a number that was stored.
    #[must_use]
    pub fn from_u128(number: u128) -> Self {
        Self(number)
    }

    /// Returns the number.
    #[must_use]
    pub fn as_u128(self) -> u128 {
        self.0
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", self.0)
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}
