//! What unpacks: as much as is wanted at a time, so that a body that grows beyond measure is noticed while it does.

use std::fmt;
use std::io::{self, BufRead, ErrorKind, Read};

use brotli::Decompressor;
use bytes::{Buf, Bytes, BytesMut};
use flate2::bufread::MultiGzDecoder;
use playhouse_engine::{Error, Result};
use zstd::stream::read::Decoder;

use super::Coding;
use crate::http::admission::too_large;
use crate::http::reply::Refusal;

/// How much is unpacked at a time.
const PIECE: usize = 64 * 1024;

/// How much of what Brotli reads lies between us and it.
const BETWEEN: usize = 4 * 1024;

/// How far back a Zstandard frame may look, as a power of two: 8 MiB, which every decoder must allow, and ours no more.
const LARGEST_WINDOW: u32 = 23;

/// The seven low bits of the first byte of a Brotli stream with a window of up to 1 GiB, which RFC 7932 does not know and its reader
/// does.
const LARGE_WINDOW: u8 = 0x11;

/// One body while it is unpacked.
pub(crate) struct Unpacker {
    coding: Coding,
    reader: Reader,
    /// Where the next piece is unpacked to.
    space: BytesMut,
    taken: u64,
    given: u64,
}

enum Reader {
    Gzip(MultiGzDecoder<Input>),
    Brotli(Box<Decompressor<Input>>),
    Zstd(Decoder<'static, Input>),
}

impl Unpacker {
    pub(crate) fn new(coding: Coding) -> Result<Self> {
        let input = Input::default();
        let reader = match coding {
            Coding::Gzip => Reader::Gzip(MultiGzDecoder::new(input)),
            Coding::Brotli => Reader::Brotli(Box::new(Decompressor::new(input, BETWEEN))),
            Coding::Zstd => {
                let failed = |error| Error::internal("a body cannot be unpacked").caused_by(error);
                let mut decoder = Decoder::with_buffer(input).map_err(failed)?;
                decoder.window_log_max(LARGEST_WINDOW).map_err(failed)?;
                Reader::Zstd(decoder)
            }
        };
        Ok(Self { coding, reader, space: BytesMut::new(), taken: 0, given: 0 })
    }

    /// Returns how many bytes it was fed.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    /// Returns how many bytes it has given.
    pub(crate) fn given(&self) -> u64 {
        self.given
    }

    /// Feeds it with what comes next, once it has asked for it.
    ///
    /// # Errors
    /// `Malformed` where the body begins as none may that it says to be.
    pub(crate) fn feed(&mut self, data: Bytes) -> Result<()> {
        let begins_large = self.taken == 0 && data.first().is_some_and(|first| first & 0x7f == LARGE_WINDOW);
        if begins_large && matches!(self.reader, Reader::Brotli(_)) {
            return Err(self.malformed("its window is too large"));
        }
        self.taken += data.len() as u64;
        self.input().data = data;
        Ok(())
    }

    /// Tells it that nothing more comes.
    pub(crate) fn end(&mut self) {
        self.input().has_ended = true;
    }

    /// Unpacks a piece. Nothing is returned where it must be fed, and an empty piece at the end.
    ///
    /// # Errors
    /// `Malformed` where the body is not what it says.
    pub(crate) fn unpack(&mut self) -> Result<Option<Bytes>> {
        if self.taken == 0 {
            return Ok(self.input().has_ended.then(Bytes::new));
        }
        self.space.resize(PIECE, 0);
        let space = &mut self.space;
        let read = match &mut self.reader {
            Reader::Gzip(reader) => reader.read(space),
            Reader::Brotli(reader) => match reader.read(space) {
                // It looks only now whether more follows in what it has read already.
                Ok(0) => reader.read(space),
                read => read,
            },
            Reader::Zstd(reader) => reader.read(space),
        };
        match read {
            Ok(0) => {
                let Input { data, has_ended } = self.input();
                match (data.is_empty(), *has_ended) {
                    (true, true) => Ok(Some(Bytes::new())),
                    (true, false) => Ok(None),
                    (false, _) => Err(self.malformed("more follows its end")),
                }
            }
            Ok(count) => {
                self.given += count as u64;
                // Whoever keeps a piece keeps no more than twice what it counts for.
                if count < PIECE / 2 {
                    return Ok(Some(Bytes::copy_from_slice(&self.space[..count])));
                }
                let mut piece = std::mem::take(&mut self.space);
                piece.truncate(count);
                Ok(Some(piece.freeze()))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(self.malformed(error)),
        }
    }

    fn malformed(&self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::malformed(format!("the body is not `{}`, as it says", self.coding.name())).caused_by(cause)
    }

    fn input(&mut self) -> &mut Input {
        match &mut self.reader {
            Reader::Gzip(reader) => reader.get_mut(),
            Reader::Brotli(reader) => reader.get_mut(),
            Reader::Zstd(reader) => reader.get_mut(),
        }
    }
}

/// Unpacks a whole body to at most `limit` bytes; this may take long.
pub(crate) fn unpack(coding: Coding, body: Bytes, limit: usize) -> Result<Bytes, Refusal> {
    let mut unpacker = Unpacker::new(coding)?;
    unpacker.feed(body)?;
    unpacker.end();
    let mut whole = BytesMut::new();
    while let Some(piece) = unpacker.unpack()? {
        if piece.is_empty() {
            break;
        }
        if whole.len() + piece.len() > limit {
            return Err(too_large(limit));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

impl fmt::Debug for Unpacker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Unpacker").field("coding", &self.coding).finish_non_exhaustive()
    }
}

/// What has come and is not unpacked.
#[derive(Debug, Default)]
struct Input {
    data: Bytes,
    has_ended: bool,
}

impl BufRead for Input {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.data.is_empty() && !self.has_ended {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(&self.data)
    }

    fn consume(&mut self, count: usize) {
        self.data.advance(count);
    }
}

impl Read for Input {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let there = self.fill_buf()?;
        let count = there.len().min(space.len());
        space[..count].copy_from_slice(&there[..count]);
        self.consume(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use playhouse_engine::Kind;

    use super::super::packer::Packer;
    use super::*;

    const CODINGS: [Coding; 3] = [Coding::Gzip, Coding::Brotli, Coding::Zstd];

    fn packed(coding: Coding, bytes: &[u8]) -> Bytes {
        Packer::new(coding, &super::super::Compression::default()).unwrap().whole(bytes).unwrap()
    }

    fn text() -> Vec<u8> {
        (0..30_000).flat_map(|number: u32| (number * number).to_string().into_bytes()).collect()
    }

    #[test]
    fn what_comes_in_pieces_of_any_size_is_unpacked() {
        let text = text();
        for coding in CODINGS {
            let packed = packed(coding, &text);
            for size in [1, 7, 1000, packed.len()] {
                let (mut unpacker, mut unpacked) = (Unpacker::new(coding).unwrap(), Vec::new());
                let mut pieces = packed.chunks(size);
                loop {
                    match unpacker.unpack().unwrap() {
                        Some(piece) if piece.is_empty() => break,
                        Some(piece) => unpacked.extend_from_slice(&piece),
                        None => match pieces.next() {
                            Some(piece) => unpacker.feed(Bytes::copy_from_slice(piece)).unwrap(),
                            None => unpacker.end(),
                        },
                    }
                }
                assert_eq!(unpacked.len(), text.len(), "{coding:?} {size}");
                assert!(unpacked == text, "{coding:?} {size}");
            }
        }
    }

    #[test]
    fn what_grows_beyond_its_limit_is_too_large() {
        let bomb = vec![0; 50_000_000];
        for coding in CODINGS {
            let packed = packed(coding, &bomb);
            assert!(packed.len() < 100_000, "{}", packed.len());
            assert_eq!(unpack(coding, packed.clone(), 1_000_000).unwrap_err().error.kind(), Kind::TooLarge);
            assert_eq!(unpack(coding, packed, 50_000_000).unwrap().len(), 50_000_000);
        }
    }

    #[test]
    fn what_is_not_what_it_says_is_malformed() {
        for coding in CODINGS {
            let whole = packed(coding, &text());
            let half = whole.slice(..whole.len() / 2);
            let more = [&whole[..], b"something that is none of it"].concat().into();
            let wrong = Bytes::from_static(b"this is only text, and nothing else");
            for body in [half, more, wrong] {
                let length = body.len();
                let kind =
                    unpack(coding, body, usize::MAX).map(|body| body.len()).map_err(|refusal| refusal.error.kind());
                assert_eq!(kind.unwrap_err(), Kind::Malformed, "{coding:?} {length}");
            }
            assert_eq!(unpack(coding, Bytes::new(), 10).unwrap().len(), 0);
        }
    }

    #[test]
    fn a_small_piece_keeps_no_large_space() {
        for coding in CODINGS {
            let mut unpacker = Unpacker::new(coding).unwrap();
            unpacker.feed(packed(coding, b"small")).unwrap();
            unpacker.end();
            let piece = unpacker.unpack().unwrap().unwrap();
            assert_eq!(&piece[..], b"small");
            assert!(piece.try_into_mut().unwrap().capacity() < 1024, "{coding:?}");
        }
    }

    #[test]
    fn a_stream_with_a_window_beyond_the_standard_is_refused() {
        // The window of 2 to the power of 30, and an end at once.
        let stream = Bytes::from_static(&[0x11, 0xde]);
        let error = unpack(Coding::Brotli, stream, usize::MAX).unwrap_err().error;
        assert_eq!(error.kind(), Kind::Malformed);
        assert!(format!("{error:?}").contains("its window is too large"), "{error:?}");
    }

    #[test]
    fn a_frame_that_looks_back_too_far_is_refused() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
        encoder.set_parameter(zstd::stream::raw::CParameter::WindowLog(25)).unwrap();
        io::Write::write_all(&mut encoder, &text()).unwrap();
        let frame = encoder.finish().unwrap();
        assert_eq!(unpack(Coding::Zstd, frame.into(), usize::MAX).unwrap_err().error.kind(), Kind::Malformed);
    }
}
