//! What is in a mail: its headers, its texts and its attachments.
//!
//! mail-parser reads header fields, transfer encodings and character sets. The parts are found here, because a parser
//! without limits makes hundreds of bytes of a part or a field that takes four.

use std::borrow::Cow;

use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::decoders::html::html_to_text;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;
use mail_parser::parsers::MessageStream;
use mail_parser::{Address as Addresses, ContentType, HeaderName, HeaderValue, Message, MessageParser, MimeHeaders};
use memchr::memmem;
use playhouse_engine::{Error, Result};

use super::boundary;

/// How the names of fields with parameters begin.
const CONTENT: &[u8] = b"content-";

/// How many parameters, or pieces of some (RFC 2231), the fields of a header may have together.
const MOST_PARAMETERS: usize = 200;

/// How much is read of a mail's form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ContentLimits {
    pub(crate) headers: usize,
    pub(crate) header_size: usize,
    pub(crate) parts: usize,
    pub(crate) depth: usize,
}

/// What is in a mail.
#[derive(Debug, Default)]
pub(crate) struct Content {
    /// Names as they are written, values decoded.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) from: Vec<Address>,
    pub(crate) to: Vec<Address>,
    pub(crate) cc: Vec<Address>,
    pub(crate) reply_to: Vec<Address>,
    pub(crate) subject: Option<String>,
    pub(crate) date: Option<String>,
    pub(crate) message_id: Option<String>,
    pub(crate) text: Option<String>,
    pub(crate) html: Option<String>,
    pub(crate) attachments: Vec<Attachment>,
}

/// An address with the name of whom it belongs to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) name: Option<String>,
    pub(crate) address: String,
}

/// A part that is none of the texts.
#[derive(Debug)]
pub(crate) struct Attachment {
    pub(crate) name: Option<String>,
    /// Its content id, by which an HTML text may refer to it.
    pub(crate) id: Option<String>,
    pub(crate) kind: String,
    pub(crate) bytes: Vec<u8>,
}

/// A part that is still to be read.
struct Part<'m> {
    bytes: &'m [u8],
    depth: usize,
    /// Whether it is a mail where it does not say what it is.
    in_digest: bool,
}

impl Content {
    /// Reads a mail whole.
    ///
    /// # Errors
    /// `Unprocessable` where it is beyond a limit.
    pub(crate) fn read(mail: &[u8], limits: ContentLimits) -> Result<Self> {
        let mut content = Self::of_header(mail, limits)?;
        let (mut parts, mut fields) = (0, 0);
        let mut open = vec![Part { bytes: mail, depth: 0, in_digest: false }];
        while let Some(part) = open.pop() {
            let (header, body) = split(part.bytes);
            check(header, &mut fields, limits)?;
            let parsed = parse(header);
            let kind = parsed.as_ref().and_then(Message::content_type);
            let multipart = kind.filter(|kind| kind.ctype().eq_ignore_ascii_case("multipart"));
            let boundary = multipart.and_then(|kind| kind.attribute("boundary"));
            let Some(boundary) = boundary.filter(|boundary| !boundary.is_empty()) else {
                content.take(parsed.as_ref(), body, part.in_digest);
                continue;
            };
            if part.depth == limits.depth {
                return Err(Error::unprocessable(format!("the mail has parts deeper than {}", limits.depth)));
            }
            let in_digest = kind.and_then(ContentType::subtype) == Some("digest");
            let first = open.len();
            for bytes in boundary::parts(body, boundary) {
                parts += 1;
                if parts > limits.parts {
                    return Err(Error::unprocessable(format!("the mail has more than {} parts", limits.parts)));
                }
                open.push(Part { bytes, depth: part.depth + 1, in_digest });
            }
            // The first one is read first.
            open[first..].reverse();
        }
        if content.text.is_none() {
            content.text = content.html.as_deref().map(html_to_text);
        }
        Ok(content)
    }

    /// Reads the header of a mail alone.
    ///
    /// # Errors
    /// `Unprocessable` where it is beyond a limit.
    pub(crate) fn of_header(mail: &[u8], limits: ContentLimits) -> Result<Self> {
        let (header, _) = split(mail);
        check(header, &mut 0, limits)?;
        let Some(message) = parse(header) else { return Ok(Self::default()) };
        let headers = message.headers().iter().map(|field| {
            let value = header.get(field.offset_start() as usize..field.offset_end() as usize).unwrap_or_default();
            let value = match MessageStream::new(value).parse_unstructured() {
                HeaderValue::Text(value) => value.into_owned(),
                _ => String::new(),
            };
            let name = header.get(field.offset_field() as usize..field.offset_start() as usize).unwrap_or_default();
            let name = name.split(|byte| *byte == b':').next().unwrap_or_default();
            (String::from_utf8_lossy(name.trim_ascii()).into_owned(), value)
        });
        let message_id = message.message_id().map(|id| format!("<{id}>"));
        Ok(Self {
            headers: headers.collect(),
            from: addresses(message.from()),
            to: addresses(message.to()),
            cc: addresses(message.cc()),
            reply_to: addresses(message.reply_to()),
            subject: message.subject().map(str::to_owned),
            date: message.date().filter(|date| date.is_valid()).map(mail_parser::DateTime::to_rfc3339),
            message_id,
            ..Self::default()
        })
    }

    /// Takes a part that has no parts: as the text or the HTML where there is none yet, else as an attachment.
    fn take(&mut self, header: Option<&Message<'_>>, body: &[u8], in_digest: bool) {
        let kind = header.and_then(Message::content_type);
        let disposition = header.and_then(Message::content_disposition);
        let name = header.and_then(Message::attachment_name);
        let is_attached = name.is_some() || disposition.is_some_and(ContentType::is_attachment);
        let bytes = decoded(header.and_then(Message::content_transfer_encoding), body);
        let essence = match kind {
            Some(kind) => format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or_default()).to_lowercase(),
            None if in_digest => "message/rfc822".to_owned(),
            None => "text/plain".to_owned(),
        };
        let slot = match essence.as_str() {
            _ if is_attached => None,
            "text/plain" => Some(&mut self.text),
            "text/html" => Some(&mut self.html),
            _ => None,
        };
        match slot {
            Some(slot @ None) => *slot = Some(text(&bytes, kind.and_then(|kind| kind.attribute("charset")))),
            // A mail without a body has no attachment because of it.
            _ if bytes.is_empty() && name.is_none() && kind.is_none() => {}
            _ => self.attachments.push(Attachment {
                name: name.map(str::to_owned),
                id: header.and_then(Message::content_id).map(str::to_owned),
                kind: essence,
                bytes: bytes.into_owned(),
            }),
        }
    }
}

/// Splits a mail or a part into its header, with the line that ends it, and its body.
fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    if bytes.starts_with(b"\r\n") {
        return bytes.split_at(2);
    }
    match memmem::find(bytes, b"\r\n\r\n") {
        Some(end) => bytes.split_at(end + 4),
        None => (bytes, &[]),
    }
}

/// Counts the fields of a header before it is read.
fn check(header: &[u8], fields: &mut usize, limits: ContentLimits) -> Result<()> {
    if header.len() > limits.header_size {
        let message = format!("the mail has a header of more than {} bytes", limits.header_size);
        return Err(Error::unprocessable(message));
    }
    let begins_field = |line: &&[u8]| !matches!(line, [] | [b'\r' | b' ' | b'\t', ..]);
    *fields += header.split(|byte| *byte == b'\n').filter(begins_field).count();
    if *fields > limits.headers {
        return Err(Error::unprocessable(format!("the mail has more than {} header fields", limits.headers)));
    }
    if has_too_many_parameters(header) {
        return Err(Error::unprocessable("the mail has a header with too many parameters"));
    }
    Ok(())
}

/// Says whether the fields with parameters have more than are read: the parser looks through all for each piece of one.
fn has_too_many_parameters(header: &[u8]) -> bool {
    let (mut ends, mut pieces, mut has_parameters) = (0, 0, false);
    for line in header.split(|byte| *byte == b'\n') {
        let begin = line.trim_ascii_start();
        // A line that begins with a space goes on with the field before it, but may be the first.
        if begin.get(..CONTENT.len()).is_some_and(|name| name.eq_ignore_ascii_case(CONTENT)) {
            has_parameters = true;
        } else if !begin.is_empty() && begin.len() == line.len() {
            has_parameters = false;
        }
        if has_parameters {
            ends += line.iter().filter(|byte| **byte == b';').count();
            pieces += line.iter().filter(|byte| **byte == b'*').count();
        }
    }
    ends.max(pieces) > MOST_PARAMETERS
}

fn parse(header: &[u8]) -> Option<Message<'_>> {
    MessageParser::new()
        .with_mime_headers()
        .with_date_headers()
        .with_address_headers()
        .with_message_ids()
        .header_text(HeaderName::Subject)
        .parse_headers(header)
}

fn addresses(all: Option<&Addresses<'_>>) -> Vec<Address> {
    let Some(all) = all else { return Vec::new() };
    all.iter()
        .filter_map(|one| {
            let name = one.name().filter(|name| !name.is_empty()).map(str::to_owned);
            Some(Address { name, address: one.address()?.to_owned() })
        })
        .collect()
}

/// Undoes a transfer encoding; what is not encoded as it says stays as it is.
fn decoded<'b>(encoding: Option<&str>, body: &'b [u8]) -> Cow<'b, [u8]> {
    let bytes = match encoding.map(str::to_ascii_lowercase).as_deref() {
        Some("base64") => base64_decode(body),
        Some("quoted-printable") => quoted_printable_decode(body),
        _ => None,
    };
    bytes.map_or(Cow::Borrowed(body), Cow::Owned)
}

/// Makes text of bytes in a character set, with line ends as they are everywhere but in mail.
fn text(bytes: &[u8], charset: Option<&str>) -> String {
    let is = |name: &str| charset.is_some_and(|charset| charset.eq_ignore_ascii_case(name));
    // Who says nothing, or ASCII which it is not, writes UTF-8 today, and wrote what Windows does.
    let unsaid = charset.is_none() || is("us-ascii") || is("ascii");
    let decoder = match std::str::from_utf8(bytes) {
        Ok(text) if unsaid => return text.replace("\r\n", "\n"),
        Err(_) if unsaid => charset_decoder(b"windows-1252"),
        _ => charset.and_then(|charset| charset_decoder(charset.as_bytes())),
    };
    let text = match decoder {
        Some(decoder) => decoder(bytes),
        // UTF-8, which needs no decoder, or a name that nobody knows.
        None => String::from_utf8_lossy(bytes).into_owned(),
    };
    text.replace("\r\n", "\n")
}
