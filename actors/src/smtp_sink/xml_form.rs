//! The form that the actor's forerunner took: an element for each header, and `Body` with the text.

use playhouse_engine::{Error, Payload, Result};
use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::Event;
use serde_json::Value;

use super::letter::{Letter, mailboxes};
use crate::fragment;

/// How many elements the root may have.
const MOST: usize = 200;

/// Reads a letter.
///
/// # Errors
/// `Malformed` where the document is not well-formed, or an address in it is none; `Unsupported` where there is no document.
pub(super) fn read(payload: &Payload, domain: Option<&str>) -> Result<Letter> {
    let mut letter = Letter::default();
    for child in fragment::children(fragment::document(payload)?, MOST)? {
        let (name, text) = content(&child)?;
        let value = text.trim();
        // So the original wrote that there is none.
        if value.is_empty() || value == "None" && name.eq_ignore_ascii_case("to") {
            continue;
        }
        let list = || mailboxes(&name, &Value::from(value));
        match name.to_ascii_lowercase().as_str() {
            "to" => letter.to.extend(list()?),
            "cc" => letter.cc.extend(list()?),
            "bcc" => letter.bcc.extend(list()?),
            "reply-to" => letter.reply_to.extend(list()?),
            "from" => {
                let from = match domain {
                    Some(domain) if !value.contains('@') => mailboxes(&name, &Value::from(format!("{value}@{domain}"))),
                    _ => list(),
                };
                letter.from = from?.into_iter().next();
            }
            "subject" => letter.subject = Some(value.to_owned()),
            "body" => letter.text = Some(text),
            _ => letter.headers.push((name, value.to_owned())),
        }
    }
    Ok(letter)
}

/// Returns an element's name, and all text within it.
fn content(element: &str) -> Result<(String, String)> {
    let (mut name, mut text) = (None, String::new());
    let mut reader = Reader::from_str(element);
    loop {
        let event = reader.read_event();
        match event.map_err(|error| Error::malformed("the document is not well-formed").caused_by(error.to_string()))? {
            Event::Start(tag) | Event::Empty(tag) => {
                name.get_or_insert_with(|| tag.local_name().as_ref().to_owned());
            }
            Event::Text(piece) => text.push_str(&piece),
            Event::CData(piece) => text.push_str(&piece),
            Event::GeneralRef(reference) => match reference.resolve_char_ref() {
                Ok(Some(letter)) => text.push(letter),
                _ => text.push_str(resolve_xml_entity(&reference).unwrap_or_default()),
            },
            Event::Eof => return Ok((name.unwrap_or_default(), text)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use playhouse_engine::Kind;

    use super::*;

    #[test]
    fn each_element_is_a_header_and_body_the_text() {
        let document = "<mail><From>service</From><To>a@x.test, B &lt;b@x.test&gt;</To><Subject>x &amp; y</Subject>\
                        <X-Order>7</X-Order><Body>one\n<![CDATA[<two>]]></Body><Cc/></mail>";
        let letter = read(&Payload::from(document), Some("x.test")).unwrap();
        assert_eq!(letter.from.unwrap().email.to_string(), "service@x.test");
        assert_eq!(letter.to.len(), 2);
        assert_eq!(letter.subject.as_deref(), Some("x & y"));
        assert_eq!(letter.headers, [("X-Order".to_owned(), "7".to_owned())]);
        assert_eq!(letter.text.as_deref(), Some("one\n<two>"));
    }

    #[test]
    fn a_line_break_by_a_reference_is_refused_too() {
        let document = "<mail><To>a@x.test&#13;&#10;Bcc: evil@x.test</To></mail>";
        assert_eq!(read(&Payload::from(document), None).unwrap_err().kind(), Kind::Malformed);
    }

    #[test]
    fn nobody_is_nobody() {
        let letter = read(&Payload::from("<mail><To>None</To><From>x@y.test</From></mail>"), None).unwrap();
        assert!(letter.to.is_empty());
    }
}
