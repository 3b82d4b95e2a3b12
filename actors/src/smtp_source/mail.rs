//! A mail as an event.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use playhouse_engine::{Error, Event, Payload, Result, Text, Xml};
use quick_xml::escape::escape;
use serde_json::{Map, Value, json};

use super::content::{Address, Content, ContentLimits};
use super::memory::Share;
use super::settings::{MailPayload, SmtpSourceSettings};

/// From which size on a mail is read where it holds up no other connection.
const LARGE: usize = 64 * 1024;

/// How a mail came.
#[derive(Debug)]
pub(crate) struct Envelope {
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) helo: String,
    pub(crate) user: Option<Text>,
    pub(crate) tls: bool,
    pub(crate) peer: IpAddr,
}

/// Makes the event of a mail, and gives its share of the memory back: whoever is given up while the mail is read has it until then.
///
/// # Errors
/// `Unprocessable` where it is beyond a limit on its form.
pub(crate) async fn event(
    envelope: Envelope,
    bytes: Vec<u8>,
    share: Share,
    settings: &SmtpSourceSettings,
) -> Result<(Event, Share)> {
    let limits = ContentLimits {
        headers: settings.headers,
        header_size: settings.header_size,
        parts: settings.parts,
        depth: settings.depth,
    };
    let form = settings.payload;
    let (read, share) = if bytes.len() < LARGE {
        (read(bytes, form, limits), share)
    } else {
        let read = tokio::task::spawn_blocking(move || (read(bytes, form, limits), share));
        read.await.map_err(|error| Error::internal("a mail could not be read").caused_by(error))?
    };
    let read = read?;
    let mut event = Event::new(read.payload)
        .with_attribute("mail.from", envelope.from)
        .with_attribute("mail.to", json!(envelope.to))
        .with_attribute("smtp.peer", envelope.peer.to_string())
        .with_attribute("smtp.helo", envelope.helo)
        .with_attribute("smtp.tls", envelope.tls);
    for (name, value) in [("mail.subject", read.subject), ("mail.message-id", read.message_id)] {
        if let Some(value) = value {
            event = event.with_attribute(name, value);
        }
    }
    if let Some(user) = envelope.user {
        event = event.with_attribute("auth.user", user);
    }
    Ok((event, share))
}

struct Read {
    payload: Payload,
    subject: Option<String>,
    message_id: Option<String>,
}

fn read(bytes: Vec<u8>, form: MailPayload, limits: ContentLimits) -> Result<Read> {
    if form == MailPayload::Raw {
        let Content { subject, message_id, .. } = Content::of_header(&bytes, limits)?;
        return Ok(Read { payload: Bytes::from(bytes).into(), subject, message_id });
    }
    let content = Content::read(&bytes, limits)?;
    let (subject, message_id) = (content.subject.clone(), content.message_id.clone());
    let payload = match form {
        MailPayload::Xml => Xml::new(to_xml(&content)).into(),
        _ => to_json(content).into(),
    };
    Ok(Read { payload, subject, message_id })
}

fn to_json(content: Content) -> Value {
    let addresses = |all: Vec<Address>| -> Value {
        all.into_iter()
            .map(|Address { name, address }| match name {
                Some(name) => json!({"address": address, "name": name}),
                None => json!({"address": address}),
            })
            .collect()
    };
    let mut headers = Map::new();
    for (name, value) in content.headers {
        match headers.get_mut(&name.to_lowercase()) {
            None => {
                headers.insert(name.to_lowercase(), value.into());
            }
            Some(Value::Array(values)) => values.push(value.into()),
            Some(first) => *first = json!([first.take(), value]),
        }
    }
    let attachments: Vec<Value> = content
        .attachments
        .into_iter()
        .map(|attachment| {
            let mut members = Map::new();
            for (member, value) in [("name", attachment.name), ("id", attachment.id)] {
                if let Some(value) = value {
                    members.insert(member.to_owned(), value.into());
                }
            }
            members.insert("type".to_owned(), attachment.kind.into());
            members.insert("base64".to_owned(), STANDARD.encode(attachment.bytes).into());
            members.into()
        })
        .collect();
    json!({
        "from": addresses(content.from),
        "to": addresses(content.to),
        "cc": addresses(content.cc),
        "reply-to": addresses(content.reply_to),
        "subject": content.subject,
        "date": content.date,
        "message-id": content.message_id,
        "text": content.text,
        "html": content.html,
        "attachments": attachments,
        "headers": headers,
    })
}

/// Writes what the original wrote: an element for each header, and the text.
fn to_xml(content: &Content) -> String {
    let mut xml = String::from("<mail>");
    let mut element = |name: &str, value: &str| {
        let value: String = value.chars().map(|letter| if is_xml(letter) { letter } else { '\u{fffd}' }).collect();
        let value = escape(&value);
        if is_name(name) {
            xml.push_str(&format!("<{name}>{value}</{name}>"));
        } else {
            xml.push_str(&format!("<Header name=\"{}\">{value}</Header>", escape(name)));
        }
    };
    for (name, value) in &content.headers {
        // The text has that name, and a sender must not set it by a header.
        if !name.eq_ignore_ascii_case("body") {
            element(name, value);
        }
    }
    element("Body", content.text.as_deref().unwrap_or_default());
    xml.push_str("</mail>");
    xml
}

/// Says whether a header's name can be an element's.
fn is_name(name: &str) -> bool {
    name.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_')
}

fn is_xml(letter: char) -> bool {
    matches!(letter, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ContentLimits = ContentLimits { headers: 100, header_size: 1000, parts: 10, depth: 3 };

    #[test]
    fn xml_is_well_formed_whatever_the_headers_are() {
        let mail = b"To: <a@b.test>\r\nX-<&: \x01&<\r\nbody: evil\r\n1st: x\r\n\r\n</Body>\r\n";
        let xml = to_xml(&Content::read(mail, LIMITS).unwrap());
        assert_eq!(
            xml,
            "<mail><To>&lt;a@b.test&gt;</To><Header name=\"X-&lt;&amp;\">\u{fffd}&amp;&lt;</Header>\
             <Header name=\"1st\">x</Header><Body>&lt;/Body&gt;\n</Body></mail>"
        );
    }

    #[test]
    fn a_header_that_comes_again_is_a_list() {
        let mail = b"Received: a\r\nreceived: b\r\nX: y\r\nRECEIVED: c\r\n\r\n";
        let json = to_json(Content::read(mail, LIMITS).unwrap());
        assert_eq!(json["headers"], json!({"received": ["a", "b", "c"], "x": "y"}));
    }
}
