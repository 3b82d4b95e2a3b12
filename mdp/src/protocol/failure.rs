//! A typed error in the place of a reply, which the protocol has no words for. The broker sends it to playhouse clients only,
//! for others expect silence of it; a worker sends it to everybody, for its silence would be a hang.

use std::time::Duration;

use bytes::Bytes;
use playhouse_engine::{Error, Kind};

use super::Frames;

/// The first frame of a failure. No text begins with it, and no document format that we know.
const MARK: &[u8] = b"\xc1PHF1";

/// The longest first frame of a request that its failure repeats, in bytes.
const LONGEST_ECHO: usize = 64 * 1024;

/// Makes the body of the reply that tells a client of ours why `request` has no other: the mark, the kind, the time after
/// which it may try again in ms (or nothing), the first frame of the request (or nothing, where it is larger than 64 KiB),
/// and the message.
#[must_use]
pub fn failure_body(error: &Error, request: &Frames) -> Frames {
    let wait = error.wait().map(|wait| wait.as_millis().to_string().into()).unwrap_or_default();
    let echo = request.first().filter(|frame| frame.len() <= LONGEST_ECHO).cloned().unwrap_or_default();
    let kind = Bytes::from_static(error.kind().as_str().as_bytes());
    vec![Bytes::from_static(MARK), kind, wait, echo, error.to_string().into()]
}

/// Reads the error from the body of a reply, and the first frame of the request that it is about; nothing where the body
/// is an ordinary one. A kind that is not known here reads as `Internal`.
#[must_use]
pub fn read_failure(body: &Frames) -> Option<(Error, Bytes)> {
    let [mark, kind, wait, echo, message] = body.as_slice() else {
        return None;
    };
    if mark != MARK {
        return None;
    }
    let kind = std::str::from_utf8(kind).ok().and_then(Kind::named).unwrap_or(Kind::Internal);
    let error = Error::new(kind, String::from_utf8_lossy(message).into_owned());
    let wait = std::str::from_utf8(wait).ok().and_then(|text| text.parse().ok()).map(Duration::from_millis);
    Some((wait.into_iter().fold(error, Error::retry_after), echo.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_comes_back_as_the_error_that_it_was() {
        let request = vec![Bytes::from("first"), Bytes::from("second")];
        let sent = Error::overloaded("too many wait").retry_after(Duration::from_millis(1500));
        let (error, echo) = read_failure(&failure_body(&sent, &request)).unwrap();
        assert_eq!((error.kind(), error.message(), error.wait()), (Kind::Overloaded, "too many wait", sent.wait()));
        assert_eq!(echo, "first");
        let (error, _) = read_failure(&failure_body(&Error::timeout("late"), &request)).unwrap();
        assert_eq!((error.kind(), error.wait()), (Kind::Timeout, None));
    }

    #[test]
    fn the_causes_of_an_error_are_told_with_it() {
        let sent = Error::unavailable("no worker").caused_by("it died");
        let (error, _) = read_failure(&failure_body(&sent, &Frames::new())).unwrap();
        assert_eq!(error.message(), "no worker: it died");
    }

    #[test]
    fn a_large_first_frame_is_not_repeated() {
        let body = |size| failure_body(&Error::timeout("late"), &vec![vec![7; size].into()]);
        assert_eq!(read_failure(&body(LONGEST_ECHO)).unwrap().1.len(), LONGEST_ECHO);
        assert_eq!(read_failure(&body(LONGEST_ECHO + 1)).unwrap().1.len(), 0);
    }

    #[test]
    fn a_kind_that_is_not_known_is_internal_and_a_wait_that_is_none_is_left_out() {
        let body = ["\u{0}", "melted", "soon", "", "oh"].map(Bytes::from).to_vec();
        assert!(read_failure(&body).is_none());
        let body: Frames = [Bytes::from_static(MARK)].into_iter().chain(body.into_iter().skip(1)).collect();
        let (error, _) = read_failure(&body).unwrap();
        assert_eq!((error.kind(), error.wait()), (Kind::Internal, None));
        assert!(read_failure(&body[..4].to_vec()).is_none());
    }
}
