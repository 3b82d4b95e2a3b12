//! How an error is told to a client: a message and a code, in XML or in JSON.

use bytes::Bytes;
use playhouse_engine::{Error, EventId, Kind};

use super::media::ErrorForm;
use super::status::status_of;

/// Writes the body that tells of `error`. What an internal error says stays in the log, where `id` finds it.
pub(crate) fn error_body(error: &Error, form: ErrorForm, id: Option<EventId>) -> Bytes {
    let code = error.kind().as_str();
    let message = match (error.kind(), id) {
        (Kind::Internal, Some(id)) => format!("an internal error happened; the log tells of it under event `{id}`"),
        (Kind::Internal, None) => "an internal error happened; the log tells of it".to_owned(),
        // What caused an error of the client's own helps the client; what caused one of ours is none of its business.
        (kind, _) if status_of(kind).is_client_error() => error.to_string(),
        _ => error.message().to_owned(),
    };
    let body = match form {
        ErrorForm::Json => serde_json::json!({ "errors": [{ "message": message, "code": code }] }).to_string(),
        ErrorForm::Xml => {
            let message = escaped(&message);
            format!("<errors><error><message>{message}</message><code>{code}</code></error></errors>")
        }
    };
    Bytes::from(body)
}

/// Writes text so that it can stand in an XML element; what XML cannot say at all becomes the replacement character.
fn escaped(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => written.push_str("&amp;"),
            '<' => written.push_str("&lt;"),
            '>' => written.push_str("&gt;"),
            '\t' | '\n' => written.push(letter),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => written.push(char::REPLACEMENT_CHARACTER),
            _ => written.push(letter),
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_in_both_forms() {
        let error = Error::malformed("`price` is no number").caused_by("found `<3>\u{1}`");
        assert_eq!(
            error_body(&error, ErrorForm::Json, None),
            r#"{"errors":[{"message":"`price` is no number: found `<3>\u0001`","code":"malformed"}]}"#
        );
        assert_eq!(
            error_body(&error, ErrorForm::Xml, None),
            "<errors><error><message>`price` is no number: found `&lt;3&gt;\u{fffd}`</message><code>malformed</code>\
             </error></errors>"
        );
    }

    #[test]
    fn what_an_internal_error_says_stays_in_the_log() {
        let error = Error::internal("password of the database is `secret`").caused_by("more secrets");
        let id = EventId::unique();
        let body = String::from_utf8(error_body(&error, ErrorForm::Json, Some(id)).into()).unwrap();
        assert!(!body.contains("secret"), "{body}");
        assert!(body.contains(&id.to_string()), "{body}");
    }

    #[test]
    fn what_caused_a_fault_of_ours_stays_here() {
        let error = Error::unavailable("the stock is not to be asked").caused_by("10.0.0.7:5432 refused");
        let body = String::from_utf8(error_body(&error, ErrorForm::Xml, None).into()).unwrap();
        assert!(body.contains("the stock is not to be asked") && !body.contains("10.0.0.7"), "{body}");
    }
}
