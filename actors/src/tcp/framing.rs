//! How events lie in a stream of bytes: where one ends and the next begins. Does no I/O.

use bytes::{BufMut, Bytes, BytesMut};
use playhouse_engine::{Error, Payload, Result, Text};
use serde::{Deserialize, Serialize};

/// How events lie in a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Framing {
    /// Whole events, between a sink and a source of ours: with their ids, attributes and deadlines, each acknowledged.
    #[default]
    Events,
    /// A line is the payload of an event, with LF or CRLF at its end: for anybody.
    Lines,
    /// Four bytes that say how many follow, the highest first, and as many bytes of payload: for anybody.
    LengthPrefixed,
}

/// What becomes of a line that is not UTF-8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InvalidText {
    /// It is bytes in the place of text.
    #[default]
    Bytes,
    /// It fails, as `Malformed`.
    Refuse,
}

/// How many bytes say how many follow.
const LENGTH: usize = 4;

/// Takes payloads off a stream.
#[derive(Debug)]
pub(super) struct Cutter {
    lines: bool,
    longest: usize,
    invalid: InvalidText,
    /// How many bytes at the front are known to hold no end of a line.
    searched: usize,
}

/// A payload, or what can be none, and why.
#[derive(Debug)]
pub(super) enum Piece {
    Payload(Payload),
    Refused(Bytes, Error),
}

impl Cutter {
    pub(super) fn new(framing: Framing, longest: usize, invalid: InvalidText) -> Self {
        Self { lines: framing == Framing::Lines, longest, invalid, searched: 0 }
    }

    /// Takes the next payload; nothing where it has not come whole.
    ///
    /// # Errors
    /// `TooLarge` where it is too long: nothing behind it can be read.
    pub(super) fn next(&mut self, input: &mut BytesMut) -> Result<Option<Piece>> {
        if self.lines { self.line(input) } else { self.frame(input) }
    }

    /// Takes what is left where no more comes.
    ///
    /// # Errors
    /// `Malformed` where it is a part of something.
    pub(super) fn rest(&mut self, input: &mut BytesMut) -> Result<Option<Piece>> {
        if input.is_empty() {
            return Ok(None);
        }
        if self.lines {
            let line = input.split().freeze();
            return Ok(Some(self.text(line)));
        }
        Err(Error::malformed(format!("the connection ended within a frame, {} bytes after its beginning", input.len())))
    }

    fn line(&mut self, input: &mut BytesMut) -> Result<Option<Piece>> {
        let end = memchr::memchr(b'\n', &input[self.searched..]).map(|end| end + self.searched);
        // The line may end with one more byte that is not its own.
        if end.unwrap_or(input.len()) > self.longest + 1 {
            return Err(Error::too_large(format!(
                "expected a line of {} bytes at most, found a longer one",
                self.longest
            )));
        }
        let Some(end) = end else {
            self.searched = input.len();
            return Ok(None);
        };
        self.searched = 0;
        let mut line = input.split_to(end + 1).freeze();
        line.truncate(end);
        if line.last() == Some(&b'\r') {
            line.truncate(end - 1);
        }
        if line.len() > self.longest {
            return Err(Error::too_large(format!(
                "expected a line of {} bytes at most, found a longer one",
                self.longest
            )));
        }
        Ok(Some(self.text(line)))
    }

    fn text(&self, line: Bytes) -> Piece {
        match Text::from_utf8(line.clone()) {
            Ok(text) => Piece::Payload(Payload::Text(text)),
            Err(_) if self.invalid == InvalidText::Bytes => Piece::Payload(Payload::Bytes(line)),
            Err(error) => Piece::Refused(line, Error::malformed("expected a line of UTF-8 text").caused_by(error)),
        }
    }

    fn frame(&mut self, input: &mut BytesMut) -> Result<Option<Piece>> {
        let Some(length) = input.first_chunk().map(|length| u32::from_be_bytes(*length)) else { return Ok(None) };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > self.longest {
            return Err(Error::too_large(format!(
                "expected a frame of {} bytes at most, found {length}",
                self.longest
            )));
        }
        if input.len() < LENGTH + length {
            return Ok(None);
        }
        let payload = input.split_to(LENGTH + length).freeze().slice(LENGTH..);
        Ok(Some(Piece::Payload(Payload::Bytes(payload))))
    }
}

/// Writes a payload as a line or as a frame.
///
/// # Errors
/// `Unprocessable` where a line would be several; `TooLarge` where it is longer than `longest`. Nothing is written then.
pub(super) fn put(framing: Framing, payload: &[u8], longest: usize, into: &mut BytesMut) -> Result<()> {
    let found = payload.len();
    if found > longest {
        return Err(Error::too_large(format!("expected a payload of {longest} bytes at most, found {found}")));
    }
    if framing == Framing::Lines {
        if memchr::memchr(b'\n', payload).is_some() {
            return Err(Error::unprocessable("expected a payload of one line, found a line break in it"));
        }
        into.reserve(found + 1);
        into.put_slice(payload);
        into.put_u8(b'\n');
    } else {
        let length = u32::try_from(found).map_err(|_| {
            Error::too_large(format!("expected a payload that four bytes can count, found {found} bytes"))
        })?;
        into.reserve(found + LENGTH);
        into.put_u32(length);
        into.put_slice(payload);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use playhouse_engine::Kind;
    use proptest::prelude::*;

    use super::*;

    /// Shows what is taken of `input` that comes in pieces of `piece` bytes.
    fn taken(cutter: &mut Cutter, input: &[u8], piece: usize) -> Vec<String> {
        let mut bytes = BytesMut::new();
        let mut shown = Vec::new();
        for piece in input.chunks(piece) {
            bytes.extend_from_slice(piece);
            loop {
                match cutter.next(&mut bytes) {
                    Ok(Some(piece)) => shown.push(format!("{piece:?}")),
                    Ok(None) => break,
                    Err(error) => {
                        shown.push(error.to_string());
                        return shown;
                    }
                }
            }
        }
        match cutter.rest(&mut bytes) {
            Ok(Some(piece)) => shown.push(format!("{piece:?}")),
            Ok(None) => {}
            Err(error) => shown.push(error.to_string()),
        }
        shown
    }

    fn lines(longest: usize) -> Cutter {
        Cutter::new(Framing::Lines, longest, InvalidText::Bytes)
    }

    #[test]
    fn lines_end_with_or_without_a_carriage_return_and_the_last_one_with_nothing() {
        let expected = ["one", "two", "", "th\\ree", "four"]
            .map(|line| format!("Payload(Text({line:?}))").replace("\\\\", "\\\\"));
        for piece in 1..30 {
            assert_eq!(taken(&mut lines(64), b"one\ntwo\r\n\nth\\ree\nfour", piece), expected, "{piece}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_told_before_its_end_comes() {
        for piece in 1..9 {
            assert_eq!(taken(&mut lines(3), b"abc\r\nabc\nab", piece).len(), 3);
            let told = "expected a line of 3 bytes at most, found a longer one";
            assert_eq!(taken(&mut lines(3), b"abcde", piece), [told]);
            assert_eq!(taken(&mut lines(3), b"abcd\n", piece), [told]);
        }
    }

    #[test]
    fn a_line_that_is_no_text_is_bytes_or_refused() {
        assert_eq!(taken(&mut lines(9), b"\xff\n", 9), ["Payload(Bytes(b\"\\xff\"))"]);
        let mut strict = Cutter::new(Framing::Lines, 9, InvalidText::Refuse);
        let shown = taken(&mut strict, b"\xff\nb\n", 9);
        assert!(shown[0].starts_with("Refused(b\"\\xff\", expected a line of UTF-8 text"), "{shown:?}");
        assert_eq!(shown[1], "Payload(Text(\"b\"))");
    }

    #[test]
    fn a_frame_that_is_cut_off_says_so() {
        let mut cutter = Cutter::new(Framing::LengthPrefixed, 9, InvalidText::Bytes);
        let shown = taken(&mut cutter, b"\0\0\0\x02ab\0\0\0\x09c", 3);
        assert_eq!(shown[0], "Payload(Bytes(b\"ab\"))");
        assert_eq!(shown[1], "the connection ended within a frame, 5 bytes after its beginning");
        assert_eq!(taken(&mut cutter, b"\0\0\0\x0a", 4), ["expected a frame of 9 bytes at most, found 10"]);
    }

    #[test]
    fn what_would_be_two_lines_is_not_written() {
        let mut output = BytesMut::new();
        assert_eq!(put(Framing::Lines, b"a\nb", 9, &mut output).unwrap_err().kind(), Kind::Unprocessable);
        assert_eq!(put(Framing::Lines, b"abc", 2, &mut output).unwrap_err().kind(), Kind::TooLarge);
        assert!(output.is_empty());
    }

    proptest! {
        #[test]
        fn what_is_written_is_taken_again(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..9),
            piece in 1_usize..20,
        ) {
            let mut output = BytesMut::new();
            for payload in &payloads {
                put(Framing::LengthPrefixed, payload, 40, &mut output).unwrap();
            }
            let mut cutter = Cutter::new(Framing::LengthPrefixed, 40, InvalidText::Bytes);
            let expected: Vec<_> =
                payloads.into_iter().map(|payload| format!("{:?}", Piece::Payload(Payload::from(payload)))).collect();
            prop_assert_eq!(taken(&mut cutter, &output, piece), expected);
        }

        #[test]
        fn no_bytes_make_the_cutter_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), piece in 1_usize..20) {
            for framing in [Framing::Lines, Framing::LengthPrefixed] {
                taken(&mut Cutter::new(framing, 20, InvalidText::Refuse), &bytes, piece);
            }
        }
    }
}
