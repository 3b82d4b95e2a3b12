//! The parts between the boundaries of a multipart body (RFC 2046).

use memchr::memchr;

/// Returns the parts of a body, without the line end before each boundary. What stands before the first one and after the
/// last one is nobody's.
pub(crate) fn parts<'b>(body: &'b [u8], boundary: &str) -> impl Iterator<Item = &'b [u8]> {
    Parts { body, boundary: boundary.as_bytes(), next: 0, begin: None, ended: false }
}

struct Parts<'b, 'n> {
    body: &'b [u8],
    boundary: &'n [u8],
    /// Where the next line begins.
    next: usize,
    /// Where the part that is being looked for began.
    begin: Option<usize>,
    ended: bool,
}

impl<'b> Iterator for Parts<'b, '_> {
    type Item = &'b [u8];

    fn next(&mut self) -> Option<&'b [u8]> {
        while !self.ended {
            let line_begin = self.next;
            let rest = &self.body[line_begin..];
            if rest.is_empty() {
                // A mail that was cut off still has its last part.
                self.ended = true;
                return self.begin.map(|begin| &self.body[begin..]).filter(|part| !part.is_empty());
            }
            let line_end = memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
            self.next += line_end;
            let Some(is_last) = self.is_boundary(&rest[..line_end]) else { continue };
            self.ended = is_last;
            let begin = self.begin.replace(self.next);
            if let Some(begin) = begin {
                let part = &self.body[begin..line_begin];
                return Some(part.strip_suffix(b"\r\n").unwrap_or(part));
            }
        }
        None
    }
}

impl Parts<'_, '_> {
    /// Says whether a line is a boundary, and if so, whether it is the last one.
    fn is_boundary(&self, line: &[u8]) -> Option<bool> {
        let rest = line.strip_prefix(b"--")?.strip_prefix(self.boundary)?.trim_ascii_end();
        match rest {
            b"" => Some(false),
            b"--" => Some(true),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn found(body: &str) -> Vec<&str> {
        parts(body.as_bytes(), "b").map(|part| std::str::from_utf8(part).unwrap()).collect()
    }

    #[test]
    fn parts_stand_between_boundaries() {
        assert_eq!(
            found("before\r\n--b\r\none\r\n\r\n--b \t\r\n--b\r\ntwo\r\n--b--\r\nafter\r\n--b\r\nx"),
            ["one\r\n", "", "two"]
        );
        assert_eq!(found("--b\r\n--bc\r\n --b\r\nx--b\r\n--b--"), ["--bc\r\n --b\r\nx--b"]);
    }

    #[test]
    fn a_body_that_is_cut_off_has_its_last_part() {
        assert_eq!(found("--b\r\none\r\n--b\r\ntwo"), ["one", "two"]);
        assert_eq!(found("--b"), [""; 0]);
        assert_eq!(found("no boundary\r\n"), [""; 0]);
    }
}
