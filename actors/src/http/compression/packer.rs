//! What compresses: a body at once, or one piece after another.

use std::fmt;
use std::io::{self, Write};
use std::task::{Context, Poll};

use brotli::CompressorWriter;
use bytes::Bytes;
use flate2::write::GzEncoder;
use playhouse_engine::{Error, Result};
use zstd::stream::raw::CParameter;
use zstd::stream::write::Encoder;

use super::{Coding, Compression};
use crate::http::body::Feed;

/// How far back is looked for what is alike, as a power of two: an answer takes so much memory while it is compressed.
const WINDOW: u8 = 19;

/// What is compressed before others have their turn.
const TURN: usize = 16 * 1024;

/// One body while it is compressed.
pub(crate) enum Packer {
    Gzip(GzEncoder<Vec<u8>>),
    // Both are large, and most bodies are compressed by neither.
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    Zstd(Box<Encoder<'static, Vec<u8>>>),
}

impl Packer {
    pub(crate) fn new(coding: Coding, settings: &Compression) -> Result<Self> {
        let to = Vec::new();
        Ok(match coding {
            Coding::Gzip => Self::Gzip(GzEncoder::new(to, flate2::Compression::new(settings.gzip))),
            Coding::Brotli => {
                Self::Brotli(Box::new(CompressorWriter::new(to, TURN, settings.brotli, u32::from(WINDOW))))
            }
            Coding::Zstd => {
                let mut encoder = Encoder::new(to, settings.zstd).map_err(failed)?;
                encoder.set_parameter(CParameter::WindowLog(u32::from(WINDOW))).map_err(failed)?;
                Self::Zstd(Box::new(encoder))
            }
        })
    }

    /// Compresses all of a body.
    pub(crate) fn whole(mut self, bytes: &[u8]) -> Result<Bytes> {
        self.writer().write_all(bytes).and_then(|()| self.end()).map_err(failed)
    }

    /// Compresses some more, and returns what there is to send; where `is_all` of a piece is there, what the client needs to read it.
    fn more(&mut self, bytes: &[u8], is_all: bool) -> Result<Bytes> {
        let writer = self.writer();
        writer.write_all(bytes).map_err(failed)?;
        if is_all {
            writer.flush().map_err(failed)?;
        }
        let written = match self {
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Brotli(encoder) => encoder.get_mut(),
            Self::Zstd(encoder) => encoder.get_mut(),
        };
        Ok(std::mem::take(written).into())
    }

    fn end(self) -> io::Result<Bytes> {
        Ok(match self {
            Self::Gzip(encoder) => encoder.finish()?,
            Self::Brotli(encoder) => encoder.into_inner(),
            Self::Zstd(encoder) => encoder.finish()?,
        }
        .into())
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Gzip(encoder) => encoder,
            Self::Brotli(encoder) => encoder,
            Self::Zstd(encoder) => encoder,
        }
    }
}

fn failed(error: io::Error) -> Error {
    Error::internal("the answer cannot be compressed").caused_by(error)
}

impl fmt::Debug for Packer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Gzip(_) => "Gzip",
            Self::Brotli(_) => "Brotli",
            Self::Zstd(_) => "Zstd",
        })
    }
}

/// The pieces of an answer, compressed as they come.
pub(crate) struct Packed {
    feed: Box<dyn Feed>,
    /// There until the end.
    packer: Option<Packer>,
    /// What is left of the last piece.
    rest: Bytes,
    /// Whether others are to have their turn.
    has_worked: bool,
}

impl Packed {
    pub(crate) fn new(feed: Box<dyn Feed>, packer: Packer) -> Self {
        Self { feed, packer: Some(packer), rest: Bytes::new(), has_worked: false }
    }
}

impl Feed for Packed {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        if std::mem::take(&mut self.has_worked) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            let Some(packer) = &mut self.packer else { return Poll::Ready(None) };
            if !self.rest.is_empty() {
                let some = self.rest.split_to(self.rest.len().min(TURN));
                let packed = packer.more(&some, self.rest.is_empty());
                self.has_worked = !self.rest.is_empty();
                match packed {
                    Ok(packed) if packed.is_empty() && self.has_worked => {
                        self.has_worked = false;
                        context.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    Ok(packed) if packed.is_empty() => continue,
                    packed => return Poll::Ready(Some(packed)),
                }
            }
            match self.feed.poll_piece(context) {
                Poll::Ready(Some(Ok(piece))) => self.rest = piece,
                Poll::Ready(None) => {
                    let last = self.packer.take().map(Packer::end);
                    return Poll::Ready(last.map(|last| last.map_err(failed)));
                }
                other => return other,
            }
        }
    }
}
