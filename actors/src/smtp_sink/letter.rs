//! What a mail is made of, by the settings and the event.

use std::borrow::Cow;
use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lettre::Address;
use lettre::message::{Mailbox, Mailboxes};
use playhouse_engine::{Error, Event, Payload, Result, Value as Attribute};
use serde_json::Value;

use super::settings::{MailForm, SmtpSinkSettings};
use super::xml_form;

/// How long a list of addresses may be that is to be read.
const LONGEST_LIST: usize = 64 * 1024;

/// What a mail is made of.
#[derive(Debug, Default)]
pub(super) struct Letter {
    pub(super) from: Option<Mailbox>,
    pub(super) to: Vec<Mailbox>,
    pub(super) cc: Vec<Mailbox>,
    pub(super) bcc: Vec<Mailbox>,
    pub(super) reply_to: Vec<Mailbox>,
    pub(super) subject: Option<String>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) text: Option<String>,
    pub(super) html: Option<String>,
    pub(super) attachments: Vec<Attachment>,
}

/// A file that goes with a mail.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Attachment {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) bytes: Vec<u8>,
}

/// What an event says of its mail: its attributes, before them the members of a JSON payload.
struct Said<'e> {
    event: &'e Event,
    members: Option<&'e Value>,
}

impl Letter {
    /// Makes the letter of an event. What the settings say is not up to it.
    ///
    /// # Errors
    /// `Malformed` where something in it cannot be read; `Unsupported` where the payload cannot be text.
    pub(super) fn of(event: &Event, settings: &SmtpSinkSettings) -> Result<Self> {
        let json = match settings.form {
            MailForm::Json => Some(event.payload().as_json()?),
            _ => None,
        };
        if json.as_ref().is_some_and(|json| !json.is_object()) {
            return Err(Error::malformed("expected a JSON object with the parts of a mail"));
        }
        let said = Said { event, members: json.as_deref() };
        let mut letter = match settings.form {
            MailForm::Xml => xml_form::read(event.payload(), settings.domain.as_deref())?,
            MailForm::Json => Self { text: said.text("text")?, html: said.text("html")?, ..Self::default() },
            MailForm::Text => Self { text: text_of(event.payload())?, html: said.text("html")?, ..Self::default() },
        };
        let fixed = |value: &[String]| Value::from(value);
        for (name, value, place) in [
            ("to", &settings.to, &mut letter.to),
            ("cc", &settings.cc, &mut letter.cc),
            ("bcc", &settings.bcc, &mut letter.bcc),
            ("reply-to", &settings.reply_to, &mut letter.reply_to),
        ] {
            if !value.is_empty() {
                *place = mailboxes(name, &fixed(value))?;
            } else if place.is_empty()
                && let Some(value) = said.value(name)
            {
                *place = mailboxes(name, &value)?;
            }
        }
        let from = match &settings.from {
            Some(from) => Some(Cow::Owned(Value::from(from.as_str()))),
            None if letter.from.is_some() => None,
            None => said.value("from"),
        };
        if let Some(from) = from {
            letter.from = match mailboxes("from", &from)?.as_slice() {
                [one] => Some(one.clone()),
                [] => None,
                _ => return Err(Error::malformed("`from` holds several addresses; expected one")),
            };
        }
        if let Some(subject) = &settings.subject {
            letter.subject = Some(subject.clone());
        } else if letter.subject.is_none() {
            letter.subject = said.text("subject")?;
        }
        letter.attachments = attachments(said.value("attachments").as_deref())?;
        for (name, value) in &settings.headers {
            letter.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
            letter.headers.push((name.clone(), value.clone()));
        }
        letter.check()?;
        Ok(letter)
    }

    /// Returns whom the mail goes to, each once.
    pub(super) fn recipients(&self) -> Vec<&Address> {
        let mut named = HashSet::new();
        let all = self.to.iter().chain(&self.cc).chain(&self.bcc).map(|mailbox| &mailbox.email);
        all.filter(|address| named.insert(*address)).collect()
    }

    /// Refuses what would stand in the mail's header as more than one line.
    fn check(&self) -> Result<()> {
        let subject = self.subject.iter().map(|subject| ("subject", subject));
        let headers = self.headers.iter().map(|(name, value)| (name.as_str(), value));
        let files = self.attachments.iter().flat_map(|file| [("name", &file.name), ("type", &file.kind)]);
        for (name, value) in subject.chain(headers).chain(files) {
            one_line(name, value)?;
        }
        Ok(())
    }
}

impl<'e> Said<'e> {
    fn value(&self, name: &str) -> Option<Cow<'e, Value>> {
        if let Some(value) = self.members.and_then(|members| members.get(name)) {
            return (!value.is_null()).then_some(Cow::Borrowed(value));
        }
        Some(Cow::Owned(match self.event.attribute(&format!("mail.{name}"))? {
            Attribute::Json(value) => (*value).clone(),
            other => Value::from(other.to_string()),
        }))
    }

    fn text(&self, name: &str) -> Result<Option<String>> {
        match self.value(name).as_deref() {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(Error::malformed(format!("`{name}` is no text"))),
        }
    }
}

fn text_of(payload: &Payload) -> Result<Option<String>> {
    match payload {
        Payload::Empty => Ok(None),
        other => other
            .as_text()
            .map(|text| Some(text.into_owned()))
            .map_err(|error| Error::unsupported("expected a payload that can be the text of a mail").caused_by(error)),
    }
}

/// Refuses line breaks and other control characters, by which a value would become more than it is.
pub(super) fn one_line(name: &str, value: &str) -> Result<()> {
    if value.contains(|letter: char| letter.is_control() && letter != '\t') {
        return Err(Error::malformed(format!("`{name}` holds a line break or another control character")));
    }
    Ok(())
}

/// Reads addresses: a text with commas, an object with an address and a name, or a list of these.
pub(super) fn mailboxes(name: &str, value: &Value) -> Result<Vec<Mailbox>> {
    let malformed = || Error::malformed(format!("`{name}` is no list of addresses"));
    match value {
        Value::Null => Ok(Vec::new()),
        Value::String(text) => {
            one_line(name, text)?;
            if text.len() > LONGEST_LIST {
                return Err(Error::too_large(format!("`{name}` has more than {LONGEST_LIST} bytes")));
            }
            // A comma more than there are addresses is no harm.
            let text = text.trim().trim_matches(',');
            if text.trim().is_empty() {
                return Ok(Vec::new());
            }
            match text.parse::<Mailboxes>() {
                Ok(mailboxes) => Ok(mailboxes.into_iter().collect()),
                Err(error) => Err(malformed().caused_by(error)),
            }
        }
        Value::Object(members) => {
            let text = |member: &str| members.get(member).and_then(Value::as_str);
            let address = text("address").ok_or_else(malformed)?;
            let owner = text("name").map(str::to_owned);
            one_line(name, address)?;
            one_line(name, owner.as_deref().unwrap_or_default())?;
            let address = address.parse().map_err(|error| malformed().caused_by(error))?;
            Ok(vec![Mailbox::new(owner, address)])
        }
        Value::Array(items) => {
            let mut all = Vec::new();
            for item in items {
                if item.is_array() {
                    return Err(malformed());
                }
                all.extend(mailboxes(name, item)?);
            }
            Ok(all)
        }
        Value::Bool(_) | Value::Number(_) => Err(malformed()),
    }
}

fn attachments(value: Option<&Value>) -> Result<Vec<Attachment>> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let expected = || Error::malformed("`attachments` is no list of objects with `name`, `type` and `base64`");
    let items = value.as_array().ok_or_else(expected)?;
    items
        .iter()
        .map(|item| {
            let text = |member: &str| match item.get(member) {
                None | Some(Value::Null) => Ok(None),
                Some(Value::String(text)) => Ok(Some(text.as_str())),
                Some(_) => Err(expected()),
            };
            let bytes = STANDARD.decode(text("base64")?.ok_or_else(expected)?);
            Ok(Attachment {
                name: text("name")?.unwrap_or("attachment").to_owned(),
                kind: text("type")?.unwrap_or("application/octet-stream").to_owned(),
                bytes: bytes.map_err(|error| expected().caused_by(error))?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use playhouse_engine::Kind;
    use serde_json::json;

    use super::*;

    fn settings() -> SmtpSinkSettings {
        SmtpSinkSettings::default()
    }

    #[test]
    fn addresses_are_read_in_every_form() {
        let expected = "Ada Lovelace <ada@x.test>, b@y.test";
        for value in [
            json!("Ada Lovelace <ada@x.test>, b@y.test,"),
            json!(["Ada Lovelace <ada@x.test>", "b@y.test"]),
            json!([{"name": "Ada Lovelace", "address": "ada@x.test"}, {"address": "b@y.test", "name": null}]),
        ] {
            let read = mailboxes("to", &value).unwrap();
            let shown: Vec<String> = read.iter().map(|mailbox| mailbox.to_string().replace('"', "")).collect();
            assert_eq!(shown.join(", "), expected);
        }
        for empty in [json!(null), json!(""), json!(" , "), json!([])] {
            assert!(mailboxes("to", &empty).unwrap().is_empty());
        }
        for wrong in [json!("ada"), json!(7), json!([["a@b.test"]]), json!({"name": "x"}), json!("a@b@c"), json!("<>")]
        {
            assert_eq!(mailboxes("to", &wrong).unwrap_err().kind(), Kind::Malformed, "{wrong}");
        }
    }

    #[test]
    fn a_line_break_is_refused_wherever_it_stands() {
        let form = MailForm::Json;
        for member in [
            json!({"subject": "a\r\nBcc: evil@x.test"}),
            json!({"subject": "a\nb"}),
            json!({"to": "a@b.test\r\nBcc: evil@x.test"}),
            json!({"to": {"address": "a@b.test", "name": "a\r\nb"}}),
            json!({"from": ["a@b.test\n"]}),
            json!({"attachments": [{"name": "a\r\nb", "base64": ""}]}),
            json!({"attachments": [{"type": "text/plain\r\nX: y", "base64": ""}]}),
        ] {
            let error = Letter::of(&Event::new(member.clone()), &SmtpSinkSettings { form, ..settings() }).unwrap_err();
            assert_eq!(error.kind(), Kind::Malformed, "{member}");
            assert!(error.message().ends_with("holds a line break or another control character"), "{error}");
        }
    }

    #[test]
    fn what_the_settings_say_is_not_up_to_an_event() {
        let fixed = SmtpSinkSettings {
            from: Some("service@x.test".to_owned()),
            to: vec!["ops@x.test".to_owned()],
            subject: Some("alarm".to_owned()),
            ..settings()
        };
        let event = Event::new("text")
            .with_attribute("mail.from", "evil@x.test")
            .with_attribute("mail.to", json!(["evil@x.test"]))
            .with_attribute("mail.subject", "evil")
            .with_attribute("mail.cc", "c@x.test");
        let letter = Letter::of(&event, &fixed).unwrap();
        assert_eq!(letter.from.unwrap().email.to_string(), "service@x.test");
        assert_eq!(letter.to[0].email.to_string(), "ops@x.test");
        assert_eq!(letter.subject.as_deref(), Some("alarm"));
        assert_eq!(letter.cc[0].email.to_string(), "c@x.test");
    }

    #[test]
    fn each_recipient_is_named_once() {
        let event =
            Event::new("x").with_attribute("mail.to", "a@x.test, b@x.test").with_attribute("mail.bcc", "a@x.test");
        assert_eq!(Letter::of(&event, &settings()).unwrap().recipients().len(), 2);
    }

    #[test]
    fn many_recipients_are_counted_in_no_time() {
        let mailbox = |number: u32| Mailbox::new(None, Address::new(format!("a{number}"), "x.test").unwrap());
        let to: Vec<Mailbox> = (0..50_000).map(mailbox).collect();
        let letter = Letter { cc: to.clone(), to, ..Letter::default() };
        let began = std::time::Instant::now();
        assert_eq!(letter.recipients().len(), 50_000);
        assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
    }
}
