//! Errors in place of replies, for which the protocol has no words.
//!
//! A failure is the body of an ordinary reply, of five frames:
//!
//! | frame | content |
//! |---|---|
//! | 0 | `0xc1 P H F 1`: what no text, JSON, XML or MessagePack begins with |
//! | 1 | the kind of the error, such as `timeout` |
//! | 2 | after how many milliseconds to try again, or nothing |
//! | 3 | the first frame of the request's body, or nothing where that is long: a client with many requests finds its own by it |
//! | 4 | the message |
//!
//! The broker sends such only to playhouse clients, whose addresses it knows ([`Address::is_ours`](super::Address::is_ours)):
//! to others it is silent, as the protocol wants it. Our workers send it to everybody, for silence would be a hang.

use std::time::Duration;

use bytes::Bytes;
use playhouse_engine::{Error, Kind};

use super::Frames;

const MARK: &[u8] = b"\xc1PHF1";

/// The longest first frame that is sent back, in bytes.
const LONGEST: usize = 64 * 1024;

/// Makes the body that tells of `error` in place of the reply to `request`.
#[must_use]
pub fn failure_body(error: &Error, request: &Frames) -> Frames {
    let wait = error.wait().map(|wait| wait.as_millis().to_string()).unwrap_or_default();
    let first = request.first().filter(|first| first.len() <= LONGEST).cloned().unwrap_or_default();
    vec![
        Bytes::from_static(MARK),
        Bytes::from_static(error.kind().as_str().as_bytes()),
        wait.into(),
        first,
        error.to_string().into(),
    ]
}

/// Reads the error and the first frame of the request that it answers; nothing where the body is a reply.
#[must_use]
pub fn read_failure(body: &Frames) -> Option<(Error, Bytes)> {
    let [mark, kind, wait, first, message] = body.as_slice() else { return None };
    if mark != MARK {
        return None;
    }
    // Kinds that a newer peer knows are nothing that a caller here could act on.
    let kind = std::str::from_utf8(kind).ok().and_then(Kind::named).unwrap_or(Kind::Internal);
    let error = Error::new(kind, String::from_utf8_lossy(message).into_owned());
    let wait = std::str::from_utf8(wait).ok().and_then(|wait| wait.parse().ok()).map(Duration::from_millis);
    Some((wait.into_iter().fold(error, Error::retry_after), first.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_arrives_with_its_kind_its_message_and_its_wait() {
        let request = vec![Bytes::from_static(b"head"), Bytes::from_static(b"body")];
        let error = Error::overloaded("full").caused_by("too many").retry_after(Duration::from_millis(1_500));
        let (read, first) = read_failure(&failure_body(&error, &request)).unwrap();
        assert_eq!((read.kind(), read.to_string().as_str()), (Kind::Overloaded, "full: too many"));
        assert_eq!((read.wait(), first), (Some(Duration::from_millis(1_500)), Bytes::from_static(b"head")));
    }

    #[test]
    fn a_long_first_frame_is_not_sent_back() {
        let request = vec![Bytes::from(vec![0; LONGEST + 1])];
        assert!(read_failure(&failure_body(&Error::timeout("late"), &request)).unwrap().1.is_empty());
    }

    #[test]
    fn a_reply_is_no_failure_and_an_unknown_kind_is_internal() {
        let reply: Frames = ["a", "b", "c", "d", "e"].into_iter().map(Bytes::from).collect();
        assert!(read_failure(&reply).is_none());
        let mut body = failure_body(&Error::timeout("late"), &Frames::new());
        body[1] = Bytes::from_static(b"from-the-future");
        assert_eq!(read_failure(&body).unwrap().0.kind(), Kind::Internal);
    }
}
