//! Replies as REST has them.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use playhouse_engine::{Error, Event, Light, Outbox, Payload, Result};
use serde::{Deserialize, Serialize};

use super::view::HttpReply;

/// All but what RFC 3986 calls unreserved: what is written so is one part of a path.
const ONE_PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Where the entity's id stands in the location.
const PLACE: &str = "{entity_id}";

/// Gives a reply the status that REST has for it, by the method of its request.
///
/// The reply to a `POST` with the status 200 or 201 becomes 201 Created, with a `Location` header. The reply to a `GET`,
/// `PUT`, `PATCH` or `DELETE` with the status 200 and without a body becomes 204 No Content. A reply without a status has
/// 200. Any other passes as it is, and so does what came from no request.
///
/// # Ports
/// The inbox `inbox` and the outbox `outbox`, for any format.
///
/// # Settings
///
/// | name | default | meaning |
/// |---|---|---|
/// | `location` | none | the URL of what was created: `{entity_id}` in it stands for the id; without that the id is put behind it, after a slash. Without any there is no `Location` |
/// | `entity` | `entity_id` | the attribute that holds the id; where an event has none, its correlation id is taken |
///
/// The id is encoded so that it stays one part of the path. A payload is empty where it is nothing, no bytes, no text, or
/// null in JSON; an empty list is an answer.
///
/// # Errors
/// `Unprocessable` where the id is not text, number or truth value, or is empty, `.` or `..`: it would name another place.
///
/// # Example
/// ```
/// use playhouse_actors::{RestResponse, RestResponseSettings};
///
/// let rest = RestResponse::at("/orders/{entity_id}/status")?;
/// let numbered = RestResponse::new(RestResponseSettings {
///     location: Some("/orders".into()),
///     entity: "order.number".into(),
/// })?;
/// # Ok::<_, playhouse_engine::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct RestResponse {
    /// What stands before the id, and behind it.
    location: Option<(String, String)>,
    entity: String,
}

/// How [`RestResponse`] answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct RestResponseSettings {
    /// The URL of what was created; none by default.
    pub location: Option<String>,
    /// The attribute that holds the id of what was created; `entity_id` by default.
    pub entity: String,
}

impl Default for RestResponseSettings {
    fn default() -> Self {
        Self { location: None, entity: "entity_id".to_owned() }
    }
}

impl RestResponse {
    /// Makes an actor that tells of what was created at `location`.
    ///
    /// # Errors
    /// As [`RestResponse::new`].
    pub fn at(location: impl Into<String>) -> Result<Self> {
        Self::new(RestResponseSettings { location: Some(location.into()), ..Default::default() })
    }

    /// Makes an actor that answers as `settings` say.
    ///
    /// # Errors
    /// `Malformed` where the location has a place other than `{entity_id}`, or what no URL has.
    pub fn new(settings: RestResponseSettings) -> Result<Self> {
        let RestResponseSettings { location, entity } = settings;
        let Some(location) = location else { return Ok(Self { location: None, entity }) };
        let (before, behind) = match location.split_once(PLACE) {
            Some((before, behind)) => (before.to_owned(), behind.to_owned()),
            None => (format!("{}/", location.strip_suffix('/').unwrap_or(&location)), String::new()),
        };
        let is_wrong = |byte: u8| !byte.is_ascii_graphic() || matches!(byte, b'{' | b'}' | b'<' | b'>' | b'"');
        if before.bytes().chain(behind.bytes()).any(is_wrong) {
            let message = format!("the location `{location}` is no URL with one `{PLACE}` in it");
            return Err(Error::malformed(message));
        }
        Ok(Self { location: Some((before, behind)), entity })
    }

    fn created(&self, event: &Event) -> Result<Event> {
        let created = event.clone().with_status(201);
        let Some((before, behind)) = &self.location else { return Ok(created) };
        let id = match event.attribute(&self.entity) {
            Some(playhouse_engine::Value::Json(_)) => {
                return Err(Error::unprocessable(format!("the attribute `{}` is no id", self.entity)));
            }
            Some(id) => id.to_string(),
            None => event.correlation_id().into_owned(),
        };
        if matches!(id.as_str(), "" | "." | "..") {
            return Err(Error::unprocessable(format!("the attribute `{}` is `{id}`, which is no id", self.entity)));
        }
        let id = utf8_percent_encode(&id, ONE_PART);
        Ok(created.with_reply_header("location", format!("{before}{id}{behind}")))
    }
}

impl Light for RestResponse {
    fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        let status = match event.attribute(super::view::STATUS) {
            None => 200,
            // What is no number is for the server to complain of.
            Some(status) => status.to_string().parse().unwrap_or(0),
        };
        match event.attributes().text("http.method").as_deref() {
            Some("POST") if matches!(status, 200 | 201) => out.push(self.created(event)?),
            Some("GET" | "PUT" | "PATCH" | "DELETE") if status == 200 && is_empty(event.payload()) => {
                out.push(event.derive(()).with_status(204));
            }
            _ => out.push(event),
        }
        Ok(())
    }
}

fn is_empty(payload: &Payload) -> bool {
    match payload {
        Payload::Empty => true,
        Payload::Text(text) => text.is_empty(),
        Payload::Bytes(bytes) => bytes.is_empty(),
        Payload::Json(value) => value.is_null(),
        Payload::Xml(xml) => xml.bytes().is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use playhouse_engine::{Kind, testing};
    use serde_json::json;

    use super::*;

    fn reply(method: &'static str, status: u16, payload: impl Into<Payload>) -> Event {
        Event::new(payload).with_attribute("http.method", method).with_status(status)
    }

    async fn answer(rest: &RestResponse, event: Event) -> Event {
        testing::feed(rest, event).await.unwrap().remove(0).event
    }

    fn location(event: &Event) -> Option<String> {
        event.attribute("http.reply.header.location").map(|value| value.to_string())
    }

    #[tokio::test]
    async fn what_was_posted_is_created_and_has_a_location() {
        let filled = RestResponse::at("/orders/{entity_id}/status").unwrap();
        let appended = RestResponse::at("https://example.org/orders/").unwrap();
        for status in [200, 201] {
            let event = reply("POST", status, "made").with_attribute("entity_id", "7 a/b?é");
            let answered = answer(&filled, event.clone()).await;
            assert_eq!((answered.status(), answered.payload().to_string()), (Some(201), "made".to_owned()));
            assert_eq!(location(&answered).as_deref(), Some("/orders/7%20a%2Fb%3F%C3%A9/status"));
            let answered = answer(&appended, event).await;
            assert_eq!(location(&answered).as_deref(), Some("https://example.org/orders/7%20a%2Fb%3F%C3%A9"));
        }
    }

    #[tokio::test]
    async fn the_correlation_id_stands_for_an_id_that_is_not_there() {
        let rest = RestResponse::at("/orders").unwrap();
        let event = Event::new(()).with_correlation_id("c-1").with_attribute("http.method", "POST");
        let answered = answer(&rest, event).await;
        assert_eq!((answered.status(), location(&answered).as_deref()), (Some(201), Some("/orders/c-1")));
        let without = RestResponse::new(RestResponseSettings::default()).unwrap();
        assert_eq!(location(&answer(&without, reply("POST", 200, ())).await), None);
    }

    #[tokio::test]
    async fn what_has_no_body_is_no_content() {
        let rest = RestResponse::at("/orders").unwrap();
        for method in ["GET", "PUT", "PATCH", "DELETE"] {
            for empty in [Payload::Empty, "".into(), Vec::new().into(), serde_json::Value::Null.into()] {
                let answered = answer(&rest, reply(method, 200, empty)).await;
                assert_eq!(answered.status(), Some(204), "{method}");
                assert!(matches!(answered.payload(), Payload::Empty));
            }
        }
    }

    #[tokio::test]
    async fn everything_else_passes_as_it_is() {
        let rest = RestResponse::at("/orders").unwrap();
        for event in [
            reply("GET", 200, json!([])),
            reply("GET", 200, "a"),
            reply("GET", 404, ()),
            reply("POST", 202, ()),
            reply("POST", 400, ()),
            reply("HEAD", 200, ()),
            reply("OPTIONS", 200, ()),
            reply("BREW", 200, ()),
            Event::new(()).with_status(200),
        ] {
            let (status, format) = (event.status(), event.payload().format());
            let answered = answer(&rest, event).await;
            assert_eq!((answered.status(), answered.payload().format(), location(&answered)), (status, format, None));
        }
    }

    #[tokio::test]
    async fn an_id_that_would_name_another_place_is_refused() {
        let rest = RestResponse::at("/orders").unwrap();
        for id in ["..", ".", ""] {
            let event = reply("POST", 200, ()).with_attribute("entity_id", id);
            assert_eq!(testing::feed(&rest, event).await.unwrap_err().kind(), Kind::Unprocessable, "{id}");
        }
        let event = reply("POST", 200, ()).with_attribute("entity_id", json!({"a": 1}));
        assert_eq!(testing::feed(&rest, event).await.unwrap_err().kind(), Kind::Unprocessable);
    }

    #[test]
    fn a_location_is_a_url_with_one_place() {
        for wrong in ["/orders/{id}", "/a/{entity_id}/{entity_id}", "/a b", "/a\r\nx: y"] {
            assert!(RestResponse::at(wrong).is_err(), "{wrong}");
        }
    }
}
