//! What comes after `DATA`, up to the line that ends it.
//!
//! A line ends by CR and LF and by nothing else: whoever takes another line end for one, or passes it on, lets one mail
//! smuggle in a second (CVE-2023-51764).

use bytes::{Buf, BytesMut};
use memchr::memchr3;

use super::memory::Share;
use super::reply::{LINE_TOO_LONG, NO_ROOM, NUL_BYTE, Reply, TOO_LARGE};

/// Where in a line the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Start,
    /// After a `.` at the start.
    Dot,
    /// After a `.` and a CR at the start.
    DotCr,
    Within,
    /// After a CR.
    Cr,
}

/// What there is after some input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fed {
    /// More is to come.
    More,
    /// The mail has ended.
    End,
    /// There was a CR or an LF alone.
    BareLineEnd,
    /// What is to be thrown away has no end.
    Flood,
}

/// How much of it is taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DataLimits {
    pub(crate) size: usize,
    pub(crate) line_size: usize,
}

/// A mail that is coming in.
#[derive(Debug)]
pub(crate) struct Data {
    limits: DataLimits,
    at: At,
    bytes: Vec<u8>,
    share: Share,
    /// How many bytes the line has so far, as it came.
    line: usize,
    /// How many bytes were thrown away.
    refused: usize,
    fault: Option<Reply>,
}

impl Data {
    pub(crate) fn new(limits: DataLimits, share: Share) -> Self {
        Self { limits, at: At::Start, bytes: Vec::new(), share, line: 0, refused: 0, fault: None }
    }

    /// Returns the mail once it has ended, with its share of the memory, or why it is refused.
    pub(crate) fn finish(self) -> Result<(Vec<u8>, Share), Reply> {
        match self.fault {
            None => Ok((self.bytes, self.share)),
            Some(fault) => Err(fault),
        }
    }

    /// Takes what belongs to the mail off `input`.
    pub(crate) fn feed(&mut self, input: &mut BytesMut) -> Fed {
        while let Some(&byte) = input.first() {
            self.at = match (self.at, byte) {
                (At::Start, b'.') => {
                    input.advance(1);
                    self.line += 1;
                    At::Dot
                }
                (At::Dot, b'\r') => {
                    input.advance(1);
                    At::DotCr
                }
                (At::DotCr, b'\n') => {
                    input.advance(1);
                    return Fed::End;
                }
                (At::Cr, b'\n') => {
                    input.advance(1);
                    self.put(b"\r\n");
                    self.line = 0;
                    At::Start
                }
                (At::Cr | At::DotCr, _) => return Fed::BareLineEnd,
                // A `.` before anything else was put there by the client, for this.
                (At::Start | At::Dot | At::Within, _) => {
                    let end = memchr3(b'\r', b'\n', 0, input).unwrap_or(input.len());
                    let run = input.split_to(end);
                    self.line += run.len();
                    if self.line + 2 > self.limits.line_size {
                        self.refuse(LINE_TOO_LONG);
                    }
                    self.put(&run);
                    match input.first() {
                        None => At::Within,
                        Some(b'\n') => return Fed::BareLineEnd,
                        Some(b'\r') => {
                            input.advance(1);
                            At::Cr
                        }
                        Some(_) => {
                            input.advance(1);
                            self.refuse(NUL_BYTE);
                            self.refused += 1;
                            At::Within
                        }
                    }
                }
            };
            if self.refused > self.limits.size {
                return Fed::Flood;
            }
        }
        Fed::More
    }

    fn put(&mut self, run: &[u8]) {
        let length = self.bytes.len() + run.len();
        if self.fault.is_none() && length > self.limits.size {
            self.refuse(TOO_LARGE);
        }
        if self.fault.is_none() && !self.share.grow_to(length) {
            self.refuse(NO_ROOM);
        }
        match self.fault {
            None => self.bytes.extend_from_slice(run),
            Some(_) => self.refused += run.len(),
        }
    }

    /// Refuses the mail, which goes on to come in. Nothing of it is kept.
    fn refuse(&mut self, fault: Reply) {
        if self.fault.is_none() {
            self.fault = Some(fault);
            self.bytes = Vec::new();
            self.share.give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::memory::Memory;
    use super::*;

    const LIMITS: DataLimits = DataLimits { size: 100, line_size: 20 };

    fn data(memory: usize) -> Data {
        Data::new(LIMITS, Share::new(Arc::new(Memory::new(memory))))
    }

    /// Feeds `input` in pieces of each size, which must make no difference.
    #[track_caller]
    fn fed(input: &[u8]) -> (Fed, Result<Vec<u8>, u16>, Vec<u8>) {
        let run = |piece: usize| {
            let mut data = data(1000);
            let (mut buffer, mut last) = (BytesMut::new(), Fed::More);
            let mut pieces = input.chunks(piece);
            while last == Fed::More {
                let Some(piece) = pieces.next() else { break };
                buffer.extend_from_slice(piece);
                last = data.feed(&mut buffer);
            }
            // Where in it a flood is given up makes no difference.
            let rest = buffer.iter().copied().chain(pieces.flatten().copied()).filter(|_| last != Fed::Flood).collect();
            (last, data.finish().map(|(bytes, _)| bytes).map_err(|reply| reply.code), rest)
        };
        let whole = run(input.len());
        for piece in 1..input.len() {
            assert_eq!(run(piece), whole, "in pieces of {piece}");
        }
        whole
    }

    #[test]
    fn a_mail_ends_by_a_dot_alone() {
        assert_eq!(fed(b"a\r\n.\r\nQUIT\r\n"), (Fed::End, Ok(b"a\r\n".to_vec()), b"QUIT\r\n".to_vec()));
        assert_eq!(fed(b".\r\n"), (Fed::End, Ok(Vec::new()), Vec::new()));
    }

    #[test]
    fn dots_at_the_start_are_unstuffed() {
        let (fed, bytes, _) = fed(b"..\r\n...a\r\n.b\r\na.\r\n\r\n.\r\n");
        assert_eq!((fed, bytes.unwrap()), (Fed::End, b".\r\n..a\r\nb\r\na.\r\n\r\n".to_vec()));
    }

    #[test]
    fn nothing_but_cr_and_lf_ends_a_line() {
        for input in [
            &b"a\n.\nb\r\n.\r\n"[..],
            b"a\n.\r\n",
            b"a\r\n.\n",
            b"a\r.\r\r\n.\r\n",
            b"a\r\n.\r\r\n",
            b"a\r\n.\rb\r\n",
            b"a\r\r\n.\r\n",
            b"\n",
        ] {
            assert_eq!(fed(input).0, Fed::BareLineEnd, "{:?}", input.escape_ascii().to_string());
        }
    }

    #[test]
    fn what_is_refused_is_read_to_its_end() {
        let (first, bytes, rest) = fed(&[&b"abcdefgh\r\n".repeat(12)[..], b".\r\nNOOP\r\n"].concat());
        assert_eq!((first, bytes, &rest[..]), (Fed::End, Err(552), &b"NOOP\r\n"[..]));
        assert_eq!(fed(b"123456789012345678\r\n.\r\n").1.unwrap().len(), 20);
        assert_eq!(fed(b"1234567890123456789\r\n.\r\n").1, Err(554));
        assert_eq!(fed(b"a\0b\r\n.\r\n").1, Err(554));
    }

    #[test]
    fn what_has_no_end_is_given_up() {
        assert_eq!(fed(&b"abcdefgh\r\n".repeat(40)).0, Fed::Flood);
        assert_eq!(fed(&b"a".repeat(400)).0, Fed::Flood);
        assert_eq!(fed(&[0; 400]).0, Fed::Flood);
    }

    #[test]
    fn what_is_refused_takes_no_room_while_its_rest_comes_in() {
        let memory = Arc::new(Memory::new(160));
        let mut refused = Data::new(LIMITS, Share::new(memory.clone()));
        let mut other = Data::new(LIMITS, Share::new(memory));
        let lines = b"abcdefgh\r\n".repeat(9);
        assert_eq!(refused.feed(&mut BytesMut::from(&lines[..])), Fed::More);
        assert_eq!(refused.feed(&mut BytesMut::from(&b"\0"[..])), Fed::More);
        assert_eq!(other.feed(&mut BytesMut::from(&[&lines[..], b".\r\n"].concat()[..])), Fed::End);
        assert_eq!(other.finish().unwrap().0, lines);
    }

    #[test]
    fn without_memory_a_mail_is_refused_for_now() {
        let mut data = data(5);
        assert_eq!(data.feed(&mut BytesMut::from(&b"123456\r\n.\r\n"[..])), Fed::End);
        assert_eq!(data.finish().unwrap_err().code, 452);
    }
}
