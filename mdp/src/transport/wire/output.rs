//! What is on its way to a peer: encoded, bounded, and not yet written.

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use omq_tokio::Message;
use omq_tokio::proto::Connection;

use super::bundle;
use crate::protocol::Frames;
use crate::transport::SocketSettings;
use crate::transport::stream::{Io, Stream};

/// A frame with more than this has a length of eight bytes on the wire.
const SHORT: usize = 255;

/// The most bytes that the head of a frame has.
const HEAD: usize = 9;

/// A buffer that has grown beyond this is given back once it is written.
const KEPT: usize = 64 * 1024;

/// Messages that wait to be written.
#[derive(Debug, Default)]
pub(super) struct Output {
    buffer: BytesMut,
    messages: usize,
    /// How many lanes share it; none where it is of one peer.
    lanes: usize,
    /// Whether somebody knows that there is something to write.
    noted: bool,
}

/// What became of a message.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::transport) enum Pushed {
    /// It is the first that is to be written.
    First,
    /// Others before it are to be written too.
    Another,
    /// There is no room for it.
    Full,
    /// The peer is gone.
    Gone,
}

impl Output {
    pub(super) fn set_lanes(&mut self, count: usize) {
        self.lanes = count;
    }

    /// Encodes a message, its frames in a bundle where the peer takes `bundles`.
    pub(super) fn push(
        &mut self,
        codec: &mut Connection,
        frames: &[Bytes],
        bundles: bool,
        settings: &SocketSettings,
    ) -> Pushed {
        if !self.has_room(codec, frames, settings) {
            return Pushed::Full;
        }
        if codec.has_frame_transform() {
            let bundle = if bundles { bundle::bundle(frames) } else { None };
            let message = bundle.map_or_else(|| Message::multipart(Frames::from(frames)), Message::single);
            if codec.send_message(&message).is_err() {
                return Pushed::Gone;
            }
        } else {
            self.encode(frames);
        }
        self.messages += 1;
        match std::mem::replace(&mut self.noted, true) {
            true => Pushed::Another,
            false => Pushed::First,
        }
    }

    /// Says whether a message may be added: by their number, and by their bytes too, because a thousand of the largest messages
    /// would be gigabytes. There is as much room for each lane.
    pub(super) fn has_room(&self, codec: &Connection, frames: &[Bytes], settings: &SocketSettings) -> bool {
        let size: usize = frames.iter().map(|frame| frame.len() + HEAD).sum();
        let queued = self.buffer.len() + codec.pending_transmit_size();
        let lanes = self.lanes.max(1);
        let fits = queued == 0 || queued + size <= settings.largest_message.saturating_mul(2 * lanes);
        fits && self.messages < settings.send_queue.max(1).saturating_mul(lanes)
    }

    pub(super) fn is_empty(&self, codec: &Connection) -> bool {
        self.buffer.is_empty() && !codec.has_pending_transmit()
    }

    /// Writes what the stream takes, and says whether that was all.
    pub(super) fn write(&mut self, codec: &mut Connection, stream: &Stream) -> Io<bool> {
        loop {
            if self.buffer.is_empty() {
                if !codec.has_pending_transmit() {
                    break;
                }
                // Greetings, commands, answers to PING, encrypted messages: only now, so that the codec knows how much of them
                // nobody took, and takes no more from a peer that does not read.
                let bytes = codec.poll_transmit();
                self.buffer.extend_from_slice(&bytes);
                codec.advance_transmit(bytes.len());
            }
            match stream.try_write(&self.buffer) {
                Ok(written) => self.buffer.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        (self.messages, self.noted) = (0, false);
        if self.buffer.capacity() > KEPT {
            self.buffer = BytesMut::new();
        }
        Ok(true)
    }

    fn encode(&mut self, frames: &[Bytes]) {
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
    }
}
