//! The frames of a small message as one frame, between sockets of ours whose connection is encrypted: the codec seals each frame
//! by itself, and what that costs depends little on how small it is.
//!
//! A bundle is each frame behind its length: one byte, or for one of 255 bytes and more that byte and four others.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::protocol::Frames;

/// What begins a length of four bytes.
const LONG: u8 = u8::MAX;

/// A message of several frames and more bytes goes as it is: there the frames cost little beside what is in them.
const LARGEST: usize = 64 * 1024;

/// How many frames a bundle has at most.
const MOST: usize = 64;

/// Bundles the frames of a message; nothing where it is to go as it is. One of a single frame never does: who gets a single frame
/// takes it for a bundle.
pub(super) fn bundle(frames: &[Bytes]) -> Option<Bytes> {
    let size: usize = frames.iter().map(|frame| frame.len() + 5).sum();
    if frames.is_empty() || (frames.len() > 1 && (size > LARGEST || frames.len() > MOST)) {
        return None;
    }
    let mut bundle = BytesMut::with_capacity(size);
    for frame in frames {
        match u8::try_from(frame.len()) {
            Ok(length) if length != LONG => bundle.put_u8(length),
            _ => {
                bundle.put_u8(LONG);
                bundle.put_u32(u32::try_from(frame.len()).ok()?);
            }
        }
        bundle.extend_from_slice(frame);
    }
    Some(bundle.freeze())
}

/// Returns the frames of a bundle; nothing where it is none.
pub(super) fn frames(mut bundle: Bytes) -> Option<Frames> {
    let mut frames = Frames::new();
    while !bundle.is_empty() {
        let length = match bundle.get_u8() {
            LONG if bundle.len() < 4 => return None,
            LONG => usize::try_from(bundle.get_u32()).ok()?,
            length => usize::from(length),
        };
        if length > bundle.len() || frames.len() == MOST {
            return None;
        }
        frames.push(bundle.split_to(length));
    }
    (!frames.is_empty()).then_some(frames)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_bundled_comes_out_again(frames_in in vec(vec(any::<u8>(), 0..600), 1..70)) {
            let frames_in: Frames = frames_in.into_iter().map(Bytes::from).collect();
            match bundle(&frames_in) {
                Some(bundle) => prop_assert_eq!(frames(bundle), Some(frames_in)),
                None => prop_assert!(
                    frames_in.len() != 1
                        && (frames_in.len() > MOST || frames_in.iter().map(Bytes::len).sum::<usize>() > LARGEST / 2)
                ),
            }
        }

        #[test]
        fn any_bytes_are_frames_or_none(bytes in vec(any::<u8>(), 0..300)) {
            let whole = bytes.len();
            if let Some(frames) = frames(bytes.into()) {
                prop_assert!(frames.len() <= MOST && frames.iter().map(Bytes::len).sum::<usize>() < whole);
            }
        }
    }

    #[test]
    fn one_frame_is_a_bundle_however_large_it_is() {
        for length in [0, LARGEST - 5, LARGEST, 3 * LARGEST] {
            let frame = Bytes::from(vec![7; length]);
            let bundle = bundle(std::slice::from_ref(&frame)).unwrap();
            assert_eq!(frames(bundle), Some(Frames::from(vec![frame])));
        }
        assert_eq!(bundle(&[]), None);
    }

    #[test]
    fn what_is_no_bundle_is_told() {
        for bytes in [&b""[..], b"\x01", b"\x02a", b"\xff\x00\x00\x00", b"\xff\xff\xff\xff\xff", &[0; MOST + 1]] {
            assert_eq!(frames(Bytes::copy_from_slice(bytes)), None, "{}", bytes.escape_ascii());
        }
        assert_eq!(frames(Bytes::from_static(b"\x00\x01a")).map(|frames| frames.len()), Some(2));
    }
}
