//! What a target reads its steps from: bytes, and zeros when they are used up.

#![allow(dead_code, reason = "no target uses all of it")]

use bytes::Bytes;

pub struct Input<'a> {
    bytes: &'a [u8],
}

impl<'a> Input<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        match self.bytes.split_first() {
            Some((first, rest)) => {
                self.bytes = rest;
                *first
            }
            None => 0,
        }
    }

    /// A frame: its length, and so many bytes.
    pub fn frame(&mut self) -> Bytes {
        let length = usize::from(self.byte()).min(self.bytes.len());
        let (frame, rest) = self.bytes.split_at(length);
        self.bytes = rest;
        Bytes::copy_from_slice(frame)
    }

    /// Up to seven frames.
    pub fn frames(&mut self) -> Vec<Bytes> {
        (0..self.byte() % 8).map(|_| self.frame()).collect()
    }

    /// One frame or more.
    pub fn body(&mut self) -> Vec<Bytes> {
        let mut frames = vec![self.frame()];
        frames.extend((0..(self.byte() % 8).saturating_sub(4)).map(|_| self.frame()));
        frames
    }
}
