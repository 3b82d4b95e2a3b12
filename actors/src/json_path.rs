//! Where in a JSON value something lies.

use playhouse_engine::{Error, Result};
use serde_json::Value;

/// The way to something in a JSON value, in one of two forms.
///
/// `/order/items/0` is a JSON pointer (RFC 6901): exact, with `~1` for a slash and `~0` for a tilde in a name.
/// `order/items/sku` is a path: where it meets a list, a number picks one element and a name is looked for in every
/// element, so that a path can find several things. The empty string is the whole value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JsonPath {
    steps: Vec<Step>,
    through_lists: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    name: String,
    index: Option<usize>,
}

impl JsonPath {
    /// Reads a path or a pointer.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let Some(pointer) = text.strip_prefix('/') else {
            let names = text.split('/').filter(|_| !text.is_empty());
            return Ok(Self { steps: names.map(|name| Step::new(name.to_owned())).collect(), through_lists: true });
        };
        let mut steps = Vec::new();
        for part in pointer.split('/') {
            let escapes = part.match_indices('~');
            if escapes.map(|(at, _)| part.as_bytes().get(at + 1)).any(|next| !matches!(next, Some(b'0' | b'1'))) {
                let message = format!("the JSON pointer `{text}` has a `~` that is not followed by `0` or `1`");
                return Err(Error::malformed(message));
            }
            steps.push(Step::new(part.replace("~1", "/").replace("~0", "~")));
        }
        Ok(Self { steps, through_lists: false })
    }

    /// Returns all that lies there, in the order of the value. Each part of the value is looked at once for each step.
    pub(crate) fn find<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        let mut here = vec![value];
        for step in &self.steps {
            let mut next = Vec::new();
            for value in here {
                match value {
                    Value::Object(members) => next.extend(members.get(&step.name)),
                    Value::Array(elements) => match step.index {
                        Some(index) => next.extend(elements.get(index)),
                        None if self.through_lists => {
                            next.extend(elements.iter().filter_map(|element| element.get(&step.name)));
                        }
                        None => {}
                    },
                    _ => {}
                }
            }
            here = next;
        }
        here
    }
}

impl Step {
    fn new(name: String) -> Self {
        // RFC 6901 knows no leading zeros and no signs.
        let is_number = name == "0" || (!name.starts_with('0') && name.bytes().all(|byte| byte.is_ascii_digit()));
        let index = if is_number { name.parse().ok() } else { None };
        Self { name, index }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(path: &str, value: &Value) -> Vec<Value> {
        JsonPath::parse(path).unwrap().find(value).into_iter().cloned().collect()
    }

    #[test]
    fn a_pointer_is_exact() {
        let value = json!({"a": {"b": [7, 8]}, "x/y": 1, "m~n": 2, "": 3, "01": 4, "l": [{"c": 1}]});
        for (pointer, there) in [
            ("/a/b/0", vec![json!(7)]),
            ("/a/b/1", vec![json!(8)]),
            ("/a/b/2", vec![]),
            ("/a/b/01", vec![]),
            ("/a/b/-", vec![]),
            ("/x~1y", vec![json!(1)]),
            ("/m~0n", vec![json!(2)]),
            ("/", vec![json!(3)]),
            ("/01", vec![json!(4)]),
            ("/l/c", vec![]),
            ("", vec![value.clone()]),
        ] {
            assert_eq!(found(pointer, &value), there, "{pointer}");
        }
        for wrong in ["/a~", "/a~2b"] {
            assert!(JsonPath::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_path_looks_into_every_element_of_a_list() {
        let value = json!([{"a": [{"b": 1}, {"c": 0}, {"b": 2}]}, {"a": {"b": 3}}, 5, null]);
        assert_eq!(found("a/b", &value), [json!(1), json!(2), json!(3)]);
        assert_eq!(found("0/a/2/b", &value), [json!(2)]);
        assert!(found("a/b/c/d", &value).is_empty());
    }
}
