//! Elements of XML documents as parts of others: whether a document is well-formed, where its root element stands, and what
//! its children are. Nothing is expanded or fetched.

use std::ops::Range;

use playhouse_engine::{Error, Payload, Result};
use quick_xml::Reader;
use quick_xml::escape::{resolve_xml_entity, unescape};
use quick_xml::events::{BytesStart, Event};

/// How deep elements may lie within each other.
const DEEPEST: usize = 256;

/// The end of an element whose end tag has not come yet.
const OPEN: usize = 0;

const BYTE_ORDER_MARK: char = '\u{feff}';

/// A child of a document's root element.
#[derive(Debug)]
struct Child {
    range: Range<usize>,
    /// Where the name in its start tag ends.
    name_end: usize,
    /// The namespace declarations that it makes itself.
    declared: Vec<String>,
}

/// What a walk through a document found.
#[derive(Debug, Default)]
struct Found {
    root: Range<usize>,
    /// The namespace declarations of the root element, with their values as they are written.
    namespaces: Vec<(String, String)>,
    children: Vec<Child>,
}

/// Returns an XML payload as text.
///
/// # Errors
/// `Unsupported` where it is no XML, text or bytes; `Malformed` where it is not UTF-8.
pub(crate) fn document(payload: &Payload) -> Result<&str> {
    let bytes: &[u8] = match payload {
        Payload::Xml(xml) => xml.bytes(),
        Payload::Text(text) => return Ok(text.as_str()),
        Payload::Bytes(bytes) => bytes,
        other => return Err(Error::unsupported(format!("expected an XML document, found {}", other.format()))),
    };
    std::str::from_utf8(bytes).map_err(|error| Error::malformed("expected an XML document in UTF-8").caused_by(error))
}

/// Returns where the root element of a document stands, which is well-formed.
///
/// # Errors
/// `Malformed` where it is not, or has a `DOCTYPE`; `Unsupported` where it declares another encoding; `TooLarge` where it is
/// deeper than 256 elements.
pub(crate) fn root(document: &str) -> Result<Range<usize>> {
    walk(document, 0).map(|found| found.root)
}

/// Returns the children of a document's root element, each a document of its own: with the namespaces of the root.
///
/// # Errors
/// As [`root`]; `TooLarge` where there are more than `most`.
pub(crate) fn children(document: &str, most: usize) -> Result<Vec<String>> {
    let found = walk(document, most.saturating_add(1))?;
    if found.children.len() > most {
        return Err(Error::too_large(format!("the document's root has more than {most} children")));
    }
    Ok(found
        .children
        .into_iter()
        .map(|Child { range, name_end, declared }| {
            let mut child = document[range.start..name_end].to_owned();
            for (name, value) in &found.namespaces {
                if !declared.contains(name) {
                    let value = value.replace('"', "&quot;");
                    child.push_str(&format!(" {name}=\"{value}\""));
                }
            }
            child.push_str(&document[name_end..range.end]);
            child
        })
        .collect())
}

/// Says whether `name` can be the name of an element.
pub(crate) fn is_name(name: &str) -> bool {
    let first = |letter: char| letter.is_alphabetic() || letter == '_';
    let further = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '.' | '\u{b7}');
    let part = |part: &str| part.starts_with(first) && part.chars().all(further);
    match name.split_once(':') {
        Some((prefix, local)) => part(prefix) && part(local),
        None => part(name),
    }
}

/// Reads a document from end to end, and keeps up to `most` children.
fn walk(document: &str, most: usize) -> Result<Found> {
    let marked = if document.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len_utf8() } else { 0 };
    let text = &document[marked..];
    if let Some(place) = text.bytes().position(|byte| byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r')) {
        return Err(Error::malformed(format!("the document has a control character at byte {}", marked + place)));
    }
    let mut reader = Reader::from_str(text);
    reader.config_mut().check_comments = true;
    let at = |position: u64| marked + usize::try_from(position).unwrap_or(usize::MAX - marked);
    let mut found = Found::default();
    let (mut depth, mut has_root) = (0_usize, false);
    loop {
        let begin = at(reader.buffer_position());
        let event = reader.read_event();
        let end = at(reader.buffer_position());
        let malformed =
            |what: &str| Error::malformed(format!("the document is not well-formed: {what} at byte {begin}"));
        let event = event.map_err(|error| {
            let place = at(reader.error_position());
            Error::malformed(format!("the document is not well-formed at byte {place}")).caused_by(error.to_string())
        })?;
        match event {
            Event::Start(tag) => {
                if depth == 0 && has_root {
                    return Err(malformed("a second root element"));
                }
                if depth == DEEPEST {
                    return Err(Error::too_large(format!("the document is deeper than {DEEPEST} elements")));
                }
                note(&tag, begin..OPEN, depth, most, &mut found).map_err(|what| malformed(&what))?;
                has_root = true;
                depth += 1;
            }
            Event::Empty(tag) => {
                if depth == 0 && has_root {
                    return Err(malformed("a second root element"));
                }
                note(&tag, begin..end, depth, most, &mut found).map_err(|what| malformed(&what))?;
                has_root = true;
            }
            Event::End(_) => {
                depth = depth.saturating_sub(1);
                match depth {
                    0 => found.root.end = end,
                    1 => {
                        if let Some(child) = found.children.last_mut().filter(|child| child.range.end == OPEN) {
                            child.range.end = end;
                        }
                    }
                    _ => {}
                }
            }
            Event::Text(text) if depth == 0 && !text.trim().is_empty() => {
                return Err(malformed("text outside of the root element"));
            }
            Event::Text(text) if text.contains("]]>") => return Err(malformed("`]]>` in text")),
            Event::CData(_) | Event::GeneralRef(_) if depth == 0 => {
                return Err(malformed("text outside of the root element"));
            }
            Event::GeneralRef(reference) => {
                let is_known = match reference.resolve_char_ref() {
                    Ok(Some(letter)) => is_letter(letter),
                    Ok(None) => resolve_xml_entity(&reference).is_some(),
                    Err(_) => false,
                };
                if !is_known {
                    return Err(malformed(&format!("the unknown entity `{}`", &*reference)));
                }
            }
            Event::Decl(_) if begin != marked => return Err(malformed("an XML declaration")),
            Event::Decl(declaration) => {
                let encoding = declaration.encoding().and_then(Result::ok);
                let is_ours =
                    |name: &str| ["utf-8", "utf8", "us-ascii"].iter().any(|our| name.eq_ignore_ascii_case(our));
                if let Some(encoding) = encoding.filter(|name| !is_ours(name)) {
                    return Err(Error::unsupported(format!("expected a document in UTF-8, found one in `{encoding}`")));
                }
            }
            Event::DocType(_) => return Err(Error::malformed("the document has a `DOCTYPE`, which is refused")),
            Event::Eof if depth > 0 => return Err(malformed("the end, with elements open")),
            Event::Eof if !has_root => return Err(Error::malformed("the document has no root element")),
            Event::Eof => return Ok(found),
            Event::Text(_) | Event::CData(_) | Event::Comment(_) | Event::PI(_) => {}
        }
    }
}

/// Checks a start tag, and notes it where it is the root's or that of a child.
fn note(tag: &BytesStart<'_>, range: Range<usize>, depth: usize, most: usize, found: &mut Found) -> Result<(), String> {
    let name = tag.name();
    let name = name.as_ref();
    if !is_name(name) {
        return Err(format!("`{name}` is not a name"));
    }
    let is_child = depth == 1 && found.children.len() < most;
    let mut declared = Vec::new();
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|error| error.to_string())?;
        let key = attribute.key.as_ref();
        if !is_name(key) {
            return Err(format!("`{key}` is not a name"));
        }
        if attribute.value.contains('<') {
            return Err(format!("`<` in the attribute `{key}`"));
        }
        let value = unescape(&attribute.value).map_err(|error| error.to_string())?;
        if !value.chars().all(is_letter) {
            return Err(format!("a control character in the attribute `{key}`"));
        }
        if (depth == 0 || is_child) && (key == "xmlns" || key.starts_with("xmlns:")) {
            match depth {
                0 => found.namespaces.push((key.to_owned(), attribute.value.clone().into_owned())),
                _ => declared.push(key.to_owned()),
            }
        }
    }
    match depth {
        0 => found.root = range,
        1 if is_child => {
            let name_end = range.start + 1 + name.len();
            found.children.push(Child { range, name_end, declared });
        }
        _ => {}
    }
    Ok(())
}

/// Says whether XML allows a character at all.
fn is_letter(letter: char) -> bool {
    letter >= ' ' && !matches!(letter, '\u{fffe}' | '\u{ffff}') || matches!(letter, '\t' | '\n' | '\r')
}

#[cfg(test)]
mod tests {
    use playhouse_engine::Kind;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_root_element_is_found_among_what_surrounds_it() {
        for (document, expected) in [
            ("<a/>", "<a/>"),
            ("\u{feff}<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- c --><a x='1'>t</a>\n<?p i?>", "<a x='1'>t</a>"),
            (
                "<p:a xmlns:p=\"u\"><b/>&amp;&#65;<![CDATA[<]]></p:a>",
                "<p:a xmlns:p=\"u\"><b/>&amp;&#65;<![CDATA[<]]></p:a>",
            ),
        ] {
            assert_eq!(&document[root(document).unwrap()], expected);
        }
    }

    #[test]
    fn what_is_not_well_formed_is_refused() {
        for document in [
            "",
            " ",
            "text",
            "<a>",
            "</a>",
            "<a></b>",
            "<a/><b/>",
            "<a/>x",
            "<a/>&amp;",
            "<a b='1' b='2'/>",
            "<a b=1/>",
            "<a>&nope;</a>",
            "<a>&#0;</a>",
            "<a b='<'/>",
            "<a b='&nope;'/>",
            "<1/>",
            "<a 1='x'/>",
            "<!DOCTYPE a><a/>",
            "<a>\u{1}</a>",
            "<a/><?xml version='1.0'?>",
            "<a><!-- -- --></a>",
            "<a>]]></a>",
            "<a",
            "<a b='",
            "<![CDATA[x]]><a/>",
            "<a><?xml version='1.0'?></a>",
            "<a:b:c/>",
        ] {
            let error = root(document).unwrap_err();
            assert_eq!(error.kind(), Kind::Malformed, "{document}: {error}");
        }
        assert_eq!(root("<?xml version='1.0' encoding='latin1'?><a/>").unwrap_err().kind(), Kind::Unsupported);
        let deep = "<a>".repeat(10_000);
        assert_eq!(root(&deep).unwrap_err().kind(), Kind::TooLarge);
    }

    #[test]
    fn a_child_takes_the_namespaces_of_the_root_with_it() {
        let document = "<r xmlns='u' xmlns:p='v\"w'> <a/>text<p:b x='1'><c/></p:b><d xmlns='other' >t</d></r>";
        assert_eq!(
            children(document, 3).unwrap(),
            [
                "<a xmlns=\"u\" xmlns:p=\"v&quot;w\"/>",
                "<p:b xmlns=\"u\" xmlns:p=\"v&quot;w\" x='1'><c/></p:b>",
                "<d xmlns:p=\"v&quot;w\" xmlns='other' >t</d>",
            ]
        );
        assert_eq!(children(document, 2).unwrap_err().kind(), Kind::TooLarge);
        assert!(children("<r/>", 2).unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(document in r#"[<>/a-c"'=&;!? \[\]:#x-]{0,60}"#) {
            if let Ok(range) = root(&document) {
                // What is well-formed stays so when it stands within another.
                let whole = format!("<r>{}</r>", &document[range]);
                prop_assert!(root(&whole).is_ok());
                let parts = children(&whole, 10).unwrap();
                prop_assert!(parts.iter().all(|part| root(part).is_ok()));
            }
        }
    }
}
