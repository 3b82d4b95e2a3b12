//! Conversions between JSON and XML by the conventions of Python's `xmltodict`, in both directions, each in one pass and
//! without a tree of XML.
//!
//! [`json_to_xml`] and [`xml_to_json`] are plain functions. The actors [`JsonToXml`](crate::JsonToXml),
//! [`XmlToJson`](crate::XmlToJson) and [`PropertiesToXml`](crate::PropertiesToXml) put them into flows.
//!
//! ```
//! use playhouse_actors::json_xml::{JsonToXmlSettings, XmlToJsonSettings, json_to_xml, xml_to_json};
//! use serde_json::json;
//!
//! # fn main() -> playhouse_engine::Result<()> {
//! let order = json!({"order": {"@number": "42", "line": ["pen", "ink"], "note": null}});
//! let xml = json_to_xml(&order, &JsonToXmlSettings::default())?;
//! assert_eq!(xml, r#"<order number="42"><line>pen</line><line>ink</line><note/></order>"#);
//! assert_eq!(xml_to_json(xml.as_bytes(), &XmlToJsonSettings::default())?, order);
//! # Ok(())
//! # }
//! ```
//!
//! # How JSON is written
//!
//! | JSON | XML |
//! |---|---|
//! | `{"a": "x"}` | `<a>x</a>` |
//! | `{"a": 1}`, `{"a": true}`, `{"a": 1.5}` | `<a>1</a>`, `<a>true</a>`, `<a>1.5</a>` |
//! | `{"a": null}`, `{"a": ""}`, `{"a": {}}` | `<a/>` |
//! | `{"a": {"@x": "1", "b": "2", "#text": "t"}}` | `<a x="1"><b>2</b>t</a>` |
//! | `{"a": {"@x": null}}` | `<a x=""/>` |
//! | `{"a": {"b": [1, 2]}}` | `<a><b>1</b><b>2</b></a>` |
//! | `{"a": {"b": []}}` | `<a/>` |
//! | `{"a": {"b": [[1, 2], 3]}}` | `<a><b><b>1</b><b>2</b></b><b>3</b></a>` |
//! | `{"a": "<b/>"}` | `<a>&lt;b/&gt;</a>`, or `<a><b/></a>` with [`embed_xml`](JsonToXmlSettings::embed_xml) |
//! | `{"p:a": {"@xmlns:p": "urn:x"}}` | `<p:a xmlns:p="urn:x"/>`: prefixes are names like others |
//!
//! The members of an object are written in their order, but attributes stand in the tag, and text stands behind the
//! children. Line breaks are written as `&#10;` and `&#13;`, so a document is one line unless XML is embedded in it.
//!
//! A document has one root. What has none is wrapped in `jsonified_envelope`:
//!
//! | JSON | XML |
//! |---|---|
//! | `{"a": 1, "b": 2}` | `<jsonified_envelope><a>1</a><b>2</b></jsonified_envelope>`, or in [`key`](JsonToXmlSettings::key) |
//! | `{"a": [1, 2]}` | `<jsonified_envelope><a>1</a><a>2</a></jsonified_envelope>` |
//! | `{"@a": 1}` | `<jsonified_envelope a="1"/>` |
//! | `[1, 2]` | `<jsonified_envelope><jsonified_envelope>1</jsonified_envelope>`...`</jsonified_envelope>` |
//! | `[]` | `<jsonified_envelope type="list"/>` |
//! | `{}`, `null` | `<jsonified_envelope/>` |
//! | `"x"`, `1` | `<jsonified_envelope>x</jsonified_envelope>`, and so on |
//!
//! A name that XML does not allow, a character that it cannot hold (most control characters), and a list or an object as
//! the value of an attribute or of `#text` are errors of the kind `Unprocessable`. Nothing is ever written that would not
//! be read as the same value.
//!
//! # How XML is read
//!
//! As the tables say, the other way round. Elements that are empty are `null`, repeated ones are lists wherever they
//! stand, text and CDATA sections of one element are put together, white space at both ends is stripped, comments and
//! processing instructions are dropped, references are resolved. Every value is a string, unless the setting
//! [`typed`](XmlToJsonSettings::typed) says otherwise. A root of the name `jsonified_envelope` is stripped, once.
//!
//! A document that is not well-formed is an error of the kind `Malformed`, which tells the line. A `DOCTYPE` is refused, so no
//! entity can be declared: those that XML brings along and character references are all there is. UTF-8, UTF-16,
//! ISO-8859-1 and US-ASCII are read; another encoding is `Unsupported`.
//!
//! # What does not come back
//!
//! JSON that becomes XML and then JSON again is the same value, in the same order, but for:
//!
//! - numbers, `true` and `false`, which come back as strings; `typed` reads them as what they are, and strings that look
//!   like them too;
//! - `""` and `{}` as members or items, which come back as `null`; `null` as an attribute, which comes back as `""`;
//!   `null` and `""` as a whole document, which come back as `{}`;
//! - a list of one item, which comes back as the item, and an empty one, which is gone; neither where the list is the whole
//!   document. [`lists`](XmlToJsonSettings::lists) names the elements that are always lists;
//! - a list within a list, whose items come back as members of an object;
//! - an object that holds `#text` alone, which comes back as the string, or as `null`;
//! - white space at both ends of text, unless [`keep_whitespace`](XmlToJsonSettings::keep_whitespace) is set;
//! - the order of members where attributes do not come first, or `#text` does not come last;
//! - an object whose only member is called `jsonified_envelope`, and the whole document `{"@type": "list"}`.
//!
//! # Limits
//!
//! [`Limits`] bound the size, the depth and the number of nodes of what is read and written; what passes one is an error of
//! the kind `TooLarge`. A document that is read takes memory for its values, at most some 500 bytes for each node beside its
//! text, which the limit on nodes bounds; a document that is written takes its own size, which the limit on bytes bounds. The
//! work grows with the size alone.

mod attributes;
mod builder;
mod document;
mod encoding;
mod fault;
mod json_text;
mod limits;
mod names;
mod references;
mod to_json;
mod to_xml;
mod writer;

pub use limits::Limits;
pub use to_json::{XmlToJsonSettings, xml_to_json};
pub use to_xml::{JsonToXmlSettings, json_to_xml};

pub(crate) use fault::refuse;
pub(crate) use json_text::check_extent;
pub(crate) use names::name_problem;
pub(crate) use to_json::text_to_json;
pub(crate) use writer::XmlWriter;

/// The name of the root that is put around what has none.
pub const ENVELOPE: &str = "jsonified_envelope";
