//! Payloads and messages: text is text, everything else is bytes.

use bytes::Bytes;
use playhouse_engine::{Error, Event, Payload, Result, Text};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Utf8Bytes;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::link::Leave;

/// The attribute of an event that closes the connection with this code, and its payload as the reason.
const CLOSE: &str = "websocket.close";

/// The longest reason that fits into a control frame beside the code.
const REASON: usize = 123;

/// Makes the message that carries a payload: text and JSON as text, XML as text where it is UTF-8, bytes as they are.
pub(crate) fn message_of(payload: &Payload) -> Message {
    match payload {
        Payload::Text(text) => text_of(text.clone().into_bytes()),
        Payload::Bytes(bytes) => Message::Binary(bytes.clone()),
        Payload::Empty => Message::Text(Utf8Bytes::from_static("")),
        other => text_of(other.to_bytes()),
    }
}

/// Makes the payload of a message; nothing for what only keeps the connection.
pub(super) fn payload_of(message: Message) -> Option<Payload> {
    match message {
        Message::Text(text) => {
            let bytes = Bytes::from(text);
            Some(Text::from_utf8(bytes.clone()).map_or(Payload::Bytes(bytes), Payload::Text))
        }
        Message::Binary(bytes) => Some(Payload::Bytes(bytes)),
        _ => None,
    }
}

/// Returns how an event closes the connection; nothing where it is a message.
///
/// # Errors
/// `Malformed` where its code is none that may be sent.
pub(crate) fn close_of(event: &Event) -> Result<Option<Leave>> {
    let Some(value) = event.attribute(CLOSE) else { return Ok(None) };
    let code = value.to_string();
    let allowed = code.parse::<u16>().ok().filter(|code| CloseCode::from(*code).is_allowed());
    let Some(code) = allowed else {
        return Err(Error::malformed(format!(
            "`{CLOSE}` is `{}`; expected a code that may be sent, such as 1000 or 4000",
            code.escape_debug()
        )));
    };
    let mut reason = String::from_utf8_lossy(&event.payload().to_bytes()).into_owned();
    reason.truncate(reason.floor_char_boundary(REASON));
    Ok(Some(Leave { code: CloseCode::from(code), reason: reason.into() }))
}

fn text_of(bytes: Bytes) -> Message {
    Utf8Bytes::try_from(bytes.clone()).map_or(Message::Binary(bytes), Message::Text)
}

#[cfg(test)]
mod tests {
    use playhouse_engine::{Kind, Xml};
    use serde_json::json;

    use super::*;

    #[test]
    fn text_travels_as_text_and_bytes_as_bytes() {
        for (payload, expected) in [
            (Payload::from("Äda"), Message::text("Äda")),
            (Payload::Empty, Message::text("")),
            (json!([1]).into(), Message::text("[1]")),
            (Xml::new("<a/>").into(), Message::text("<a/>")),
            (Xml::new(&b"<?xml version='1.0' encoding='ISO-8859-1'?><a>\xc4</a>"[..]).into(), {
                Message::binary(&b"<?xml version='1.0' encoding='ISO-8859-1'?><a>\xc4</a>"[..])
            }),
            (b"ab".to_vec().into(), Message::binary(&b"ab"[..])),
        ] {
            assert_eq!(message_of(&payload), expected);
        }
        assert_eq!(payload_of(Message::text("Äda")).unwrap().format().to_string(), "text");
        assert_eq!(payload_of(Message::binary(vec![0])).unwrap().format().to_string(), "bytes");
        assert!(payload_of(Message::Ping(Bytes::new())).is_none());
    }

    #[test]
    fn an_event_closes_with_a_code_that_may_be_sent() {
        let event = |code: &'static str| Event::new("é".repeat(100)).with_attribute("websocket.close", code);
        let leave = close_of(&event("4001")).unwrap().unwrap();
        assert_eq!((u16::from(leave.code), leave.reason.len()), (4001, 122));
        assert!(close_of(&Event::new("a")).unwrap().is_none());
        for code in ["1005", "1006", "999", "5000", "bye"] {
            assert_eq!(close_of(&event(code)).unwrap_err().kind(), Kind::Malformed, "{code}");
        }
    }
}
