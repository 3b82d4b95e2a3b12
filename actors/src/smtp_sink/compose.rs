//! A letter as the bytes of a mail, by lettre: encoded words, transfer encodings, parts.

use lettre::Message;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment as File, MultiPart, SinglePart};
use playhouse_engine::{Error, Result};

use super::letter::Letter;

/// Headers that are made here, of what the letter says.
const OWN: [&str; 12] = [
    "bcc",
    "cc",
    "content-disposition",
    "content-transfer-encoding",
    "content-type",
    "date",
    "from",
    "message-id",
    "mime-version",
    "reply-to",
    "subject",
    "to",
];

/// How long a line of a mail may be, without its end.
const LONGEST_LINE: usize = 998;

/// A mail as it is sent.
#[derive(Debug)]
pub(super) struct Composed {
    pub(super) from: String,
    pub(super) to: Vec<String>,
    pub(super) message_id: String,
    pub(super) bytes: Vec<u8>,
}

/// Says whether a header can be one of all mails, or why not.
pub(super) fn check_header(name: &str) -> Result<(), String> {
    let is_wrong = |letter: char| !letter.is_ascii_graphic() || letter == ':';
    if name.is_empty() || name.len() > 76 || name.contains(is_wrong) {
        return Err(format!("`{}` is not the name of a header", name.escape_debug()));
    }
    if OWN.iter().any(|own| own.eq_ignore_ascii_case(name)) {
        return Err(format!("the header `{name}` is the sink's own"));
    }
    Ok(())
}

/// Writes a letter.
///
/// # Errors
/// `Malformed` where nobody sends it or gets it, where it has too many recipients, or where a part has no type that can be read; `TooLarge` where
/// it is larger than `size`.
pub(super) fn compose(letter: Letter, id: &str, recipients: usize, size: usize) -> Result<Composed> {
    let Some(from) = &letter.from else {
        return Err(Error::malformed("the mail has no sender; expected `from` in the settings, `mail.from` or `from`"));
    };
    let to: Vec<String> = letter.recipients().into_iter().map(ToString::to_string).collect();
    if to.is_empty() {
        return Err(Error::malformed("the mail has no recipient; expected `to` in the settings, `mail.to` or `to`"));
    }
    if to.len() > recipients {
        return Err(Error::malformed(format!("the mail has {} recipients; expected at most {recipients}", to.len())));
    }
    let sender = from.email.to_string();
    let message_id = format!("<{id}@{}>", id_domain(from.email.domain()));
    let mut builder = Message::builder().from(from.clone()).date_now().message_id(Some(message_id.clone()));
    for mailbox in &letter.to {
        builder = builder.to(mailbox.clone());
    }
    for mailbox in &letter.cc {
        builder = builder.cc(mailbox.clone());
    }
    for mailbox in &letter.reply_to {
        builder = builder.reply_to(mailbox.clone());
    }
    if letter.to.is_empty() && letter.cc.is_empty() {
        // A mail needs one of them (RFC 5322), be it a group of nobody.
        builder = builder
            .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("To"), "undisclosed-recipients:;".to_owned()));
    }
    if let Some(subject) = &letter.subject {
        builder = builder.subject(subject.as_str());
    }
    for (name, value) in &letter.headers {
        check_header(name).map_err(Error::malformed)?;
        let name = HeaderName::new_from_ascii(name.clone())
            .map_err(|error| Error::malformed(format!("`{name}` is not the name of a header")).caused_by(error))?;
        builder = builder.raw_header(HeaderValue::new(name, value.clone()));
    }
    // What lettre sends to is not asked for: who gets the mail is known here.
    let envelope = lettre::address::Envelope::new(Some(from.email.clone()), vec![from.email.clone()])
        .map_err(|error| Error::internal("a mail has no envelope").caused_by(error))?;
    builder = builder.envelope(envelope);
    let ends_itself = letter.html.as_ref().or(letter.text.as_ref()).is_some_and(|text| text.ends_with('\n'));
    let (message, is_one) = match parts(letter)? {
        Parts::One(part) => (builder.singlepart(part), true),
        Parts::Several(parts) => (builder.multipart(parts), false),
    };
    let message = message.map_err(|error| Error::malformed("the mail cannot be written").caused_by(error))?;
    let mut bytes = message.formatted();
    if is_one && ends_itself && bytes.ends_with(b"\r\n\r\n") {
        // The end of a line that is lettre's and not the text's.
        bytes.truncate(bytes.len() - 2);
    }
    if bytes.len() > size {
        return Err(Error::too_large(format!("the mail has {} bytes; expected at most {size}", bytes.len())));
    }
    if bytes.split(|byte| *byte == b'\n').any(|line| line.len() > LONGEST_LINE + 1) {
        return Err(Error::malformed("the mail has a header that cannot be folded into lines of 998 bytes"));
    }
    Ok(Composed { from: sender, to, message_id, bytes })
}

enum Parts {
    One(SinglePart),
    Several(MultiPart),
}

fn parts(letter: Letter) -> Result<Parts> {
    let text = match (letter.text, letter.html) {
        (Some(text), Some(html)) => Parts::Several(MultiPart::alternative_plain_html(text, html)),
        (None, Some(html)) => Parts::One(SinglePart::html(html)),
        (text, None) => Parts::One(SinglePart::plain(text.unwrap_or_default())),
    };
    if letter.attachments.is_empty() {
        return Ok(text);
    }
    let mut mixed = match text {
        Parts::One(part) => MultiPart::mixed().singlepart(part),
        Parts::Several(parts) => MultiPart::mixed().multipart(parts),
    };
    for file in letter.attachments {
        let kind = ContentType::parse(&file.kind)
            .map_err(|error| Error::malformed(format!("`{}` is no content type", file.kind)).caused_by(error))?;
        mixed = mixed.singlepart(File::new(file.name).body(file.bytes, kind));
    }
    Ok(Parts::Several(mixed))
}

/// Returns a domain that can stand in a message id everywhere.
fn id_domain(domain: &str) -> &str {
    if domain.is_ascii() { domain } else { "localhost" }
}

#[cfg(test)]
mod tests {
    use playhouse_engine::Kind;

    use super::*;

    fn letter() -> Letter {
        Letter {
            from: Some("a@x.test".parse().unwrap()),
            to: vec!["b@x.test".parse().unwrap()],
            text: Some("hi".to_owned()),
            ..Letter::default()
        }
    }

    #[track_caller]
    fn refused(letter: Letter) -> String {
        let error = compose(letter, "1", 2, 10_000).unwrap_err();
        assert!(matches!(error.kind(), Kind::Malformed | Kind::TooLarge));
        error.message().to_owned()
    }

    #[test]
    fn who_is_copied_in_secret_is_not_in_the_mail() {
        let composed = compose(Letter { bcc: vec!["c@x.test".parse().unwrap()], ..letter() }, "1", 9, 10_000).unwrap();
        assert_eq!(composed.to, ["b@x.test", "c@x.test"]);
        let text = String::from_utf8(composed.bytes).unwrap();
        assert!(!text.contains("c@x.test") && text.contains("Message-ID: <1@x.test>\r\n"), "{text}");
    }

    #[test]
    fn a_mail_that_cannot_be_says_why() {
        assert!(refused(Letter { from: None, ..letter() }).starts_with("the mail has no sender;"));
        assert!(refused(Letter { to: Vec::new(), ..letter() }).starts_with("the mail has no recipient;"));
        let to = ["b@x.test", "c@x.test", "d@x.test"].map(|one| one.parse().unwrap()).to_vec();
        assert_eq!(refused(Letter { to, ..letter() }), "the mail has 3 recipients; expected at most 2");
        let headers = vec![("Content-Type".to_owned(), "text/html".to_owned())];
        assert_eq!(refused(Letter { headers, ..letter() }), "the header `Content-Type` is the sink's own");
        let subject = Some("x".repeat(2000));
        assert!(refused(Letter { subject, ..letter() }).starts_with("the mail has a header that cannot be folded"));
        let text = Some("x".repeat(20_000));
        assert!(refused(Letter { text, ..letter() }).starts_with("the mail has 2"));
    }

    #[test]
    fn all_that_is_sent_is_seven_bit_and_short_lined() {
        let long = Letter {
            subject: Some("ü".repeat(500)),
            text: Some("ß\r.\n.\r\n".repeat(300) + &"x".repeat(3000)),
            html: Some("日本語".repeat(1000)),
            ..letter()
        };
        let bytes = compose(long, "1", 9, 1 << 20).unwrap().bytes;
        assert!(bytes.is_ascii() && bytes.split(|byte| *byte == b'\n').all(|line| line.len() < 1000));
    }
}
