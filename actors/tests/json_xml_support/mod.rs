//! Documents that are made up at random.

#![allow(dead_code, reason = "no test needs all of it")]

use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// Text that XML can hold and that is not stripped.
fn text() -> impl Strategy<Value = String> {
    let character = prop_oneof![
        8 => proptest::char::range(' ', '~'),
        1 => Just('\n'),
        1 => Just('\r'),
        1 => Just('\t'),
        2 => any::<char>().prop_filter("XML cannot hold it", |character| {
            !character.is_control() && !matches!(character, '\u{fffe}' | '\u{ffff}')
        }),
    ];
    proptest::collection::vec(character, 1..12)
        .prop_map(|characters| characters.into_iter().collect::<String>())
        .prop_filter("it would be stripped", |text| !text.is_empty() && text.trim() == text)
}

/// A name that an element or an attribute may have.
pub(crate) fn name() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-c]", 2 => "[a-zA-Z_][a-zA-Z0-9_.-]{0,6}", 1 => "[a-z]{1,3}:[a-z]{1,3}", 1 => "[é-öа-я日]{1,3}"]
}

pub(crate) fn scalar(typed: bool) -> BoxedStrategy<Value> {
    let looks_typed = |text: &String| {
        matches!(&**text, "true" | "false") || text.starts_with(|first: char| first == '-' || first.is_ascii_digit())
    };
    let string = text()
        .prop_filter("it would be read as a number", move |text| !typed || !looks_typed(text))
        .prop_map(Value::String);
    if !typed {
        return string.boxed();
    }
    prop_oneof![
        string,
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        proptest::num::f64::NORMAL.prop_map(Value::from)
    ]
    .boxed()
}

/// An element's value that comes back: not a list, and not an empty object.
fn element(typed: bool) -> BoxedStrategy<Value> {
    let leaf = prop_oneof![3 => scalar(typed), 1 => Just(Value::Null)];
    leaf.prop_recursive(4, 40, 5, move |inner| {
        let member = prop_oneof![
            3 => inner.clone(),
            1 => proptest::collection::vec(inner, 2..4).prop_map(Value::Array)
        ];
        let attributes =
            proptest::collection::btree_map(name(), prop_oneof![scalar(typed), Just(Value::from(""))], 0..3);
        let children = proptest::collection::vec((name(), member), 0..4);
        (attributes, children, proptest::option::of(scalar(typed))).prop_map(|(attributes, children, text)| {
            let mut object = Map::new();
            object.extend(attributes.into_iter().map(|(name, value)| (format!("@{name}"), value)));
            object.extend(children);
            match text {
                Some(text) if object.is_empty() => return text,
                Some(text) => drop(object.insert("#text".to_owned(), text)),
                None if object.is_empty() => return Value::Null,
                None => {}
            }
            Value::Object(object)
        })
    })
    .boxed()
}

/// A document that comes back; where it is typed, as numbers and booleans too.
pub(crate) fn document(typed: bool) -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => (name(), element(typed)).prop_map(|(name, value)| json!({name: value})),
        2 => element(typed).prop_filter("it has a root, or none", |value| value.as_object().is_some_and(|members| members.len() > 1)),
        1 => proptest::collection::vec(element(typed), 0..4).prop_map(Value::Array),
        1 => scalar(typed),
        1 => Just(json!({})),
    ]
}

/// Any JSON at all, with what XML cannot say.
pub(crate) fn any_json() -> impl Strategy<Value = Value> {
    let key = prop_oneof![3 => "[@#]?[a-c]", 1 => Just("#text".to_owned()), 1 => any::<String>()];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "<a[ b='\"<>/&;]{0,6}(/>|>[x<&]</a>)".prop_map(Value::from)
    ];
    leaf.prop_recursive(5, 40, 4, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            proptest::collection::vec((key.clone(), inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect()))
        ]
    })
}

/// Well-formed XML with all that may stand in it, but no envelope and no `DOCTYPE`.
pub(crate) fn any_xml() -> impl Strategy<Value = String> {
    let words = prop_oneof![
        4 => "[a-z0-9 .]{0,6}",
        2 => "[ \t\r\n]{1,4}",
        1 => "[é-öа-я\u{a0}\u{85}日]{1,3}",
        2 => "&(amp|lt|gt|quot|apos|#[4-9][0-9]|#x[2-7][0-9A-F]|#10|#13|#9|#x1F600);",
        1 => "<!\\[CDATA\\[[a-z<>& \r\n]{0,6}\\]\\]>",
        1 => "<!--[a-z<>& ]{0,6}-->",
        1 => "<\\?[a-z]{4}( [a-z<>& ]{0,6})?\\?>"
    ];
    let value = prop_oneof!["\"[a-z '>\t\r\n]{0,5}(&(amp|quot|#10);)?\"", "'[a-zé \">]{0,5}'"];
    let attributes = proptest::collection::btree_map(name(), value, 0..3)
        .prop_map(|attributes| attributes.iter().map(|(name, value)| format!(" {name} = {value}")).collect::<String>())
        .boxed();
    let leaf = (name(), attributes.clone()).prop_map(|(name, attributes)| format!("<{name}{attributes}/>"));
    let tree = leaf.prop_recursive(4, 30, 5, move |inner| {
        let content = proptest::collection::vec(prop_oneof![words.clone(), inner], 0..6);
        (name(), attributes.clone(), content)
            .prop_map(|(name, attributes, content)| format!("<{name}{attributes} >{}</{name}\n>", content.concat()))
    });
    let declaration = prop_oneof![
        3 => Just(String::new()),
        1 => "<\\?xml version='1\\.0'( encoding=\"utf-8\")?( standalone='(yes|no)')? ?\\?>"
    ];
    (declaration, "[ \n]{0,2}(<!-- c -->)?", tree, "(<\\?end\\?>)?\n?")
        .prop_map(|parts| [parts.0, parts.1, parts.2, parts.3].concat())
}
