//! What is on its way to one peer.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use omq_tokio::Message;
use omq_tokio::proto::Connection;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::protocol::Frames;
use crate::transport::SocketSettings;
use crate::transport::stream::Stream;

/// A frame with more than this has a length of eight bytes on the wire.
const SHORT: usize = 255;

/// One peer: its stream, the codec, and what is not written yet.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) stream: Stream,
    outgoing: Mutex<Outgoing>,
    /// The stream takes nothing for now, so the peer's task is to wait for it.
    pub(super) blocked: Notify,
    pub(super) gone: CancellationToken,
}

#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) codec: Connection,
    buffer: BytesMut,
    messages: usize,
    /// Whether somebody knows that there is something to write.
    noted: bool,
}

/// What became of a message.
pub(super) enum Pushed {
    /// It is the first that is to be written.
    First,
    /// Others before it are to be written too.
    Another,
    /// There is no room for it.
    Full,
    /// The peer is gone.
    Gone,
}

impl Link {
    pub(super) fn new(stream: Stream, codec: Connection, closing: &CancellationToken) -> Self {
        let outgoing = Outgoing { codec, buffer: BytesMut::new(), messages: 0, noted: false };
        let gone = closing.child_token();
        Self { stream, outgoing: Mutex::new(outgoing), blocked: Notify::new(), gone }
    }

    pub(super) fn outgoing(&self) -> MutexGuard<'_, Outgoing> {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, frames: &[Bytes], settings: &SocketSettings) -> Pushed {
        if self.gone.is_cancelled() {
            return Pushed::Gone;
        }
        let mut outgoing = self.outgoing();
        let size: usize = frames.iter().map(|frame| frame.len() + 9).sum();
        // By bytes too: a thousand of the largest messages would be gigabytes.
        let fits = outgoing.buffer.len() + size <= settings.largest_message.saturating_mul(2);
        if outgoing.messages >= settings.send_queue.max(1) || (!fits && !outgoing.buffer.is_empty()) {
            return Pushed::Full;
        }
        if outgoing.encode(frames).is_err() {
            return Pushed::Gone;
        }
        outgoing.messages += 1;
        match std::mem::replace(&mut outgoing.noted, true) {
            true => Pushed::Another,
            false => Pushed::First,
        }
    }

    /// Writes what the stream takes. Where that is not all, the peer's task goes on with it.
    pub(super) fn write(&self) {
        let mut outgoing = self.outgoing();
        outgoing.take_from_codec();
        while !outgoing.buffer.is_empty() {
            match self.stream.try_write(&outgoing.buffer) {
                Ok(written) => outgoing.buffer.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked.notify_one();
                    return;
                }
                Err(_) => {
                    self.gone.cancel();
                    return;
                }
            }
        }
        (outgoing.messages, outgoing.noted) = (0, false);
        if outgoing.buffer.capacity() > 256 * 1024 {
            outgoing.buffer = BytesMut::new();
        }
    }

    /// Says whether all is written.
    pub(super) fn is_written(&self) -> bool {
        let outgoing = self.outgoing();
        outgoing.buffer.is_empty() && !outgoing.codec.has_pending_transmit()
    }
}

impl Outgoing {
    fn encode(&mut self, frames: &[Bytes]) -> omq_tokio::Result<()> {
        if self.codec.has_frame_transform() {
            self.codec.send_message(&Message::multipart(Frames::from(frames)))?;
            self.take_from_codec();
            return Ok(());
        }
        let mut rest = frames.len();
        for frame in frames {
            rest -= 1;
            let more = u8::from(rest > 0);
            if frame.len() <= SHORT {
                self.buffer.put_u8(more);
                self.buffer.put_u8(u8::try_from(frame.len()).unwrap_or(u8::MAX));
            } else {
                self.buffer.put_u8(more | 2);
                self.buffer.put_u64(frame.len() as u64);
            }
            self.buffer.extend_from_slice(frame);
        }
        Ok(())
    }

    /// Takes what the codec wants written: greetings, commands, answers to PING, encrypted messages.
    fn take_from_codec(&mut self) {
        while self.codec.has_pending_transmit() {
            let bytes = self.codec.poll_transmit();
            self.buffer.extend_from_slice(&bytes);
            self.codec.advance_transmit(bytes.len());
        }
    }
}
