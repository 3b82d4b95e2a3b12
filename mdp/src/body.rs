//! Events as the bodies of requests and replies.
//!
//! Between playhouse peers an event travels whole: two frames, the envelope's head and the payload. To others its body is the
//! payload alone. What comes is told apart by the head's first bytes, so a worker serves both.

use bytes::Bytes;
use playhouse_engine::{Envelope, EnvelopeLimits};
use playhouse_engine::{Error, Event, Payload, Result};
use serde_json::Value;

use crate::protocol::Frames;
use crate::transport::SocketSettings;

/// The attribute that holds the frames before the last one, where a plain body has several: a JSON array of texts, or of
/// arrays of bytes where a frame is not text.
pub const FRAMES: &str = "mdp.frames";

/// The attribute of the service that was asked, at a worker, or is to be asked, at a client.
pub const SERVICE: &str = "mdp.service";

/// The attribute, `true`, of a reply that is not the last one to its request.
pub const PARTIAL: &str = "mdp.partial";

/// Makes the body of an event.
pub(crate) fn body_of(event: &Event, envelope: bool) -> Frames {
    if envelope {
        let envelope = Envelope::of(event);
        vec![envelope.head().clone(), envelope.payload().clone()]
    } else {
        vec![event.payload().to_bytes()]
    }
}

/// What a socket counts for a frame beside its bytes, and what the protocol puts around a body: five frames, two of them with
/// names of up to 255 bytes.
const FRAME: usize = 64;
const AROUND: usize = 5 * FRAME + 2 * 255;

/// How much a body may have. The broker cuts off whoever sends more, and would give the request to the next worker, which does
/// no better: so it must not be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Most {
    size: usize,
    frames: usize,
}

impl Most {
    /// Takes the broker to have the same limits as our own socket.
    pub(crate) fn of(socket: &SocketSettings) -> Self {
        Self { size: socket.largest_message, frames: socket.most_frames }
    }

    /// Looks whether a body can be sent.
    ///
    /// # Errors
    /// `TooLarge` where it cannot.
    pub(crate) fn check(self, body: &Frames) -> Result<()> {
        let size: usize = body.iter().map(Bytes::len).sum();
        let cost = size + body.len() * FRAME + AROUND;
        if cost <= self.size.saturating_add(self.frames.saturating_mul(FRAME)) {
            return Ok(());
        }
        let (frames, Self { size: most, .. }) = (body.len(), self);
        let message = format!("the reply has {size} bytes in {frames} frames; a message may have {most} bytes in all");
        Err(Error::too_large(message))
    }
}

/// Says whether a body is an event whole.
pub(crate) fn is_envelope(body: &Frames) -> bool {
    matches!(body.as_slice(), [head, _] if Envelope::is_head(head))
}

/// Reads the event of a body: whole where it travelled so, else a new one with the last frame as its payload.
pub(crate) fn event_of(mut body: Frames, limits: &EnvelopeLimits) -> Result<Event> {
    if is_envelope(&body)
        && let (Some(payload), Some(head)) = (body.pop(), body.pop())
    {
        return Envelope::from_parts(head, payload).open(limits);
    }
    let payload = body.pop().map_or(Payload::Empty, Payload::Bytes);
    let event = Event::new(payload);
    Ok(if body.is_empty() { event } else { event.with_attribute(FRAMES, Value::from_iter(body.iter().map(frame))) })
}

fn frame(bytes: &Bytes) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::from(text),
        Err(_) => bytes.iter().copied().collect(),
    }
}

/// Derives from a request the event of its reply: id, correlation, deadline and receipt are the request's, the payload is the
/// reply's, and its attributes lie over the request's.
pub(crate) fn reply_of(request: &Event, reply: &Event) -> Event {
    let mut derived = request.derive(reply.payload().clone());
    let mut changed = Vec::new();
    reply.attributes().each(|name, value| {
        if request.attribute(name).as_ref() != Some(value) {
            changed.push((name.to_owned(), value.clone()));
        }
    });
    for (name, value) in changed {
        derived = derived.with_attribute(name, value);
    }
    derived
}

#[cfg(test)]
mod tests {
    use playhouse_engine::Kind;

    use super::*;

    #[test]
    fn an_event_travels_whole_between_peers_of_ours() {
        let event = Event::new("hello").with_attribute("colour", "red");
        let body = body_of(&event, true);
        assert_eq!((body.len(), &body[1][..]), (2, &b"hello"[..]));
        let read = event_of(body, &EnvelopeLimits::default()).unwrap();
        assert_eq!((read.id(), read.attribute("colour")), (event.id(), Some("red".into())));
    }

    #[test]
    fn the_plain_body_of_a_foreign_peer_loses_nothing() {
        let body = vec![Bytes::from_static(b"put"), Bytes::from_static(&[0xff, 0]), Bytes::from_static(b"data")];
        let event = event_of(body, &EnvelopeLimits::default()).unwrap();
        assert_eq!(event.payload().to_bytes(), "data");
        assert_eq!(event.attribute(FRAMES), Some(serde_json::json!(["put", [255, 0]]).into()));
        assert!(
            event_of(vec![Bytes::from_static(b"one")], &EnvelopeLimits::default()).unwrap().attributes().is_empty()
        );
    }

    #[test]
    fn a_body_is_as_large_as_the_limit_and_no_larger() {
        let most = Most::of(&SocketSettings::default());
        let body = |size| vec![Bytes::from_static(b"head"), vec![0; size].into()];
        most.check(&body(8 * 1024 * 1024)).unwrap();
        let error = most.check(&body(9 * 1024 * 1024)).unwrap_err();
        let expected = "the reply has 9437188 bytes in 2 frames; a message may have 8388608 bytes in all";
        assert_eq!((error.kind(), error.message()), (Kind::TooLarge, expected));
    }

    #[test]
    fn a_reply_keeps_who_asked_and_takes_over_what_the_worker_set() {
        let request = Event::new("a").with_attribute("user", "ada").with_attribute("status", 1_i64);
        let reply = Event::new("b").with_attribute("status", 2_i64);
        let derived = reply_of(&request, &reply);
        assert_eq!(derived.id(), request.id());
        assert_eq!((derived.attribute("user"), derived.attribute("status")), (Some("ada".into()), Some(2_i64.into())));
        assert_eq!(derived.payload().to_bytes(), "b");
    }
}
