//! Events as frames, and frames as events.

use std::sync::Arc;

use bytes::Bytes;
use playhouse_engine::{Envelope, EnvelopeLimits, Error, Event, Payload, Result, Value};

use crate::protocol::Frames;

/// The lengths of the frames of a message that is no envelope.
const LENGTHS: &str = "zmq.frames";

/// Makes frames of an event.
pub(super) fn frames(event: &Event, raw: bool) -> Result<Frames> {
    if raw {
        return split(event.payload().to_bytes(), event.attribute(LENGTHS));
    }
    let envelope = Envelope::of(event);
    Ok(vec![envelope.head().clone(), envelope.payload().clone()])
}

/// Makes an event of frames. What cannot be read comes back as an event of its bytes, with the reason.
pub(super) fn event(frames: Frames, raw: bool, limits: &EnvelopeLimits) -> Result<Event, (Event, Error)> {
    if raw {
        return Ok(joined(&frames));
    }
    let opened = match frames.as_slice() {
        [head, payload] => Envelope::from_parts(head.clone(), payload.clone()).open(limits),
        _ => {
            let found = frames.len();
            Err(Error::malformed(format!("expected the two frames of an envelope, head and payload, found {found}")))
        }
    };
    opened.map_err(|error| (joined(&frames), error))
}

fn joined(frames: &[Bytes]) -> Event {
    match frames {
        [payload] => Event::new(Payload::from(payload.clone())),
        _ => {
            let lengths: Vec<_> = frames.iter().map(Bytes::len).collect();
            let lengths = Value::Json(Arc::new(lengths.into()));
            Event::new(Payload::from(Bytes::from(frames.concat()))).with_attribute(LENGTHS, lengths)
        }
    }
}

fn split(payload: Bytes, lengths: Option<Value>) -> Result<Frames> {
    let Some(lengths) = lengths else { return Ok(vec![payload]) };
    let found = payload.len();
    let mut rest = payload;
    let mut take = |length: &serde_json::Value| {
        let length = usize::try_from(length.as_u64()?).ok().filter(|length| *length <= rest.len())?;
        Some(rest.split_to(length))
    };
    let frames = match &lengths {
        Value::Json(list) => list.as_array().and_then(|list| list.iter().map(&mut take).collect::<Option<Frames>>()),
        _ => None,
    };
    match frames {
        Some(frames) if !frames.is_empty() && rest.is_empty() => Ok(frames),
        _ => {
            let message =
                format!("expected a list of lengths that add up to the payload's {found} bytes in `{LENGTHS}`");
            Err(Error::malformed(format!("{message}, found `{lengths}`")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(parts: &[&str]) -> Frames {
        parts.iter().map(|part| Bytes::copy_from_slice(part.as_bytes())).collect()
    }

    #[test]
    fn raw_frames_leave_as_they_came() {
        for message in [bytes(&["one"]), bytes(&["", "two", ""]), bytes(&[""])] {
            let event = event(message.clone(), true, &EnvelopeLimits::default()).unwrap();
            assert_eq!(event.payload().to_bytes(), message.concat());
            assert_eq!(frames(&event, true).unwrap(), message);
        }
    }

    #[test]
    fn lengths_that_do_not_fit_the_payload_are_refused() {
        let event = event(bytes(&["one", "two"]), true, &EnvelopeLimits::default()).unwrap().with_payload("another");
        let expected = "expected a list of lengths that add up to the payload's 7 bytes in `zmq.frames`, found `[3,3]`";
        assert_eq!(frames(&event, true).unwrap_err().to_string(), expected);
    }

    #[test]
    fn an_event_travels_whole() {
        let sent = Event::new("tea").with_attribute("table", 7_i64);
        let opened = event(frames(&sent, false).unwrap(), false, &EnvelopeLimits::default()).unwrap();
        assert_eq!((opened.id(), opened.attributes().integer("table")), (sent.id(), Some(7)));
    }

    #[test]
    fn what_is_no_envelope_comes_back_with_the_reason() {
        let (event, error) = event(bytes(&["just", "two", "three"]), false, &EnvelopeLimits::default()).unwrap_err();
        assert_eq!(event.payload().to_bytes(), "justtwothree");
        assert_eq!(error.to_string(), "expected the two frames of an envelope, head and payload, found 3");
    }
}
