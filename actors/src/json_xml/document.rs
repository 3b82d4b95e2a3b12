//! A document as a row of tokens. quick-xml tells where markup begins and ends and that tags match; what else makes a
//! document well-formed is checked here, as strictly as expat does.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::events::Event;

use super::attributes::{Attributes, is_space};
use super::fault::Fault;
use super::limits::Limits;
use super::names::{first_not_allowed, is_name, shown, shown_up_to};
use super::references;

/// A part of a document.
#[derive(Debug)]
pub(super) enum Token<'x> {
    /// An element begins.
    Open { name: &'x str, attributes: Attributes<'x> },
    /// The element that began last, and has not ended, ends.
    Close,
    /// Text, or a CDATA section.
    Text(Cow<'x, str>),
    /// A character that was referred to.
    Character(char),
}

/// Where the document is read, as to its root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Before,
    Within,
    After,
}

/// What tokens are read from.
pub(super) struct Document<'x> {
    text: &'x str,
    reader: Reader<&'x [u8]>,
    limits: Limits,
    place: Place,
    /// The number of elements around the root, of which an embedded document has some.
    around: usize,
    /// The number of elements that have begun and not ended.
    open: usize,
    nodes: usize,
    /// Whether the element that began last is `<empty/>`, and its end is the next token.
    is_empty: bool,
    may_declare: bool,
}

impl<'x> Document<'x> {
    /// Makes a document of its text, which has passed the limit on bytes.
    pub(super) fn new(text: &'x str, limits: Limits) -> Result<Self, Fault> {
        if let Some(character) = first_not_allowed(text) {
            let line = line_at(text, text.find(character).unwrap_or_default());
            let message = format!("the character U+{:04X} is not allowed in XML", u32::from(character));
            return Err(Fault::malformed(message).at_line(line));
        }
        // The reader would pass over it, and count the bytes of all that follows wrong.
        if text.starts_with('\u{feff}') {
            return Err(Fault::malformed("a byte order mark stands elsewhere than at the start").at_line(1));
        }
        let mut reader = Reader::from_str(text);
        reader.config_mut().check_comments = true;
        let place = Place::Before;
        Ok(Self { text, reader, limits, place, around: 0, open: 0, nodes: 0, is_empty: false, may_declare: true })
    }

    /// Makes a document that stands within another, at beneath so many elements, and so can have no XML declaration.
    pub(super) fn within(text: &'x str, limits: Limits, around: usize, nodes: usize) -> Result<Self, Fault> {
        Ok(Self { may_declare: false, around, nodes, ..Self::new(text, limits)? })
    }

    /// Returns the number of elements and attributes so far.
    pub(super) fn nodes(&self) -> usize {
        self.nodes
    }

    /// Counts an element or an attribute.
    pub(super) fn count(&mut self) -> Result<(), Fault> {
        self.nodes += 1;
        self.limits.check_nodes(self.nodes)
    }

    /// Returns the line, counted from 1, up to which the document is read.
    pub(super) fn line(&self) -> usize {
        line_at(self.text, self.position())
    }

    /// Returns the next token, or none at the end of the document.
    pub(super) fn next(&mut self) -> Result<Option<Token<'x>>, Fault> {
        loop {
            if self.is_empty {
                self.is_empty = false;
                self.close();
                return Ok(Some(Token::Close));
            }
            let begin = self.position();
            let event = self
                .reader
                .read_event()
                .map_err(|error| Fault::malformed(shown_up_to(200, &error.to_string()).to_string()))?;
            let may_declare = std::mem::replace(&mut self.may_declare, false);
            match event {
                Event::Start(_) => return self.open(begin, false).map(Some),
                Event::Empty(_) => return self.open(begin, true).map(Some),
                Event::End(_) => {
                    self.close();
                    return Ok(Some(Token::Close));
                }
                Event::Text(_) => {
                    if let Some(token) = self.characters(self.since(begin))? {
                        return Ok(Some(token));
                    }
                }
                Event::CData(_) => {
                    self.expect_root("a CDATA section")?;
                    let section = self.since(begin).strip_prefix("<![CDATA[").and_then(|text| text.strip_suffix("]]>"));
                    return Ok(Some(Token::Text(references::lines(section.unwrap_or_default()))));
                }
                Event::GeneralRef(reference) => {
                    self.expect_root("a reference")?;
                    return Ok(Some(Token::Character(references::resolve(&reference)?)));
                }
                Event::Comment(_) => {}
                Event::PI(instruction) => check_target(instruction.target())?,
                Event::Decl(_) if may_declare => check_declaration(self.since(begin))?,
                Event::Decl(_) => {
                    return Err(Fault::malformed("an XML declaration stands elsewhere than at the start"));
                }
                Event::DocType(_) => return Err(Fault::malformed("the document has a `DOCTYPE`, which is refused")),
                Event::Eof => return self.end(),
            }
        }
    }

    fn open(&mut self, begin: usize, is_empty: bool) -> Result<Token<'x>, Fault> {
        if self.place == Place::After {
            return Err(Fault::malformed("a second element stands beside the root"));
        }
        self.place = Place::Within;
        self.is_empty = is_empty;
        self.open += 1;
        self.limits.check_depth(self.around + self.open)?;
        self.count()?;
        let tag = self.since(begin);
        let tag = tag.strip_prefix('<').and_then(|tag| tag.strip_suffix(if is_empty { "/>" } else { ">" }));
        let tag = tag.unwrap_or_default();
        let (name, attributes) = tag.split_at(tag.bytes().position(is_space).unwrap_or(tag.len()));
        if !is_name(name) {
            return Err(Fault::malformed(format!("`{}` is no name of an element", shown(name))));
        }
        Ok(Token::Open { name, attributes: Attributes(attributes) })
    }

    fn close(&mut self) {
        // quick-xml refuses an end without a beginning.
        self.open = self.open.saturating_sub(1);
        if self.open == 0 {
            self.place = Place::After;
        }
    }

    fn characters(&self, text: &'x str) -> Result<Option<Token<'x>>, Fault> {
        if self.place != Place::Within {
            if text.bytes().all(is_space) {
                return Ok(None);
            }
            return Err(Fault::malformed("text stands outside of the root"));
        }
        if memchr::memchr(b']', text.as_bytes()).is_some() && text.contains("]]>") {
            return Err(Fault::malformed("text holds `]]>`"));
        }
        Ok((!text.is_empty()).then(|| Token::Text(references::lines(text))))
    }

    fn expect_root(&self, what: &str) -> Result<(), Fault> {
        if self.place == Place::Within {
            return Ok(());
        }
        Err(Fault::malformed(format!("{what} stands outside of the root")))
    }

    fn end(&self) -> Result<Option<Token<'x>>, Fault> {
        match self.place {
            Place::After => Ok(None),
            Place::Before => Err(Fault::malformed("the document has no root")),
            Place::Within => Err(Fault::malformed("the document ends within an element")),
        }
    }

    /// Returns what was read since that position. It is borrowed from the document, which events of the reader are not.
    fn since(&self, begin: usize) -> &'x str {
        self.text.get(begin..self.position()).unwrap_or_default()
    }

    fn position(&self) -> usize {
        // The document lies in memory, so what counts its bytes fits.
        self.reader.buffer_position() as usize
    }
}

/// Checks the target of a processing instruction.
fn check_target(target: &str) -> Result<(), Fault> {
    if is_name(target) && !target.eq_ignore_ascii_case("xml") {
        return Ok(());
    }
    Err(Fault::malformed(format!("`{}` is no name of a processing instruction", shown(target))))
}

/// Checks `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>`, of which the last two may be missing.
fn check_declaration(declaration: &str) -> Result<(), Fault> {
    let parts = declaration.strip_prefix("<?xml").and_then(|text| text.strip_suffix("?>")).unwrap_or_default();
    // How far the parts have come, of `version`, `encoding` and `standalone`.
    let mut done = 0;
    for part in Attributes(parts) {
        let (name, value) = part?;
        done = match name {
            "version" if done == 0 && value.strip_prefix("1.").is_some_and(is_digits) => 1,
            "encoding" if done == 1 && value.starts_with(|first: char| first.is_ascii_alphabetic()) => 2,
            "standalone" if matches!(done, 1 | 2) && matches!(&*value, "yes" | "no") => 3,
            _ => return Err(Fault::malformed(format!("`{}` in the XML declaration is wrong", shown(name)))),
        };
    }
    if done == 0 { Err(Fault::malformed("the XML declaration has no `version`")) } else { Ok(()) }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn line_at(text: &str, position: usize) -> usize {
    let before = &text.as_bytes()[..position.min(text.len())];
    1 + memchr::memchr_iter(b'\n', before).count()
}
