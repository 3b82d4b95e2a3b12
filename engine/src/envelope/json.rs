//! JSON text that nobody has checked, measured before memory is taken for its values.

use std::sync::Arc;

use serde_json::Value;

use crate::envelope::EnvelopeLimits;
use crate::envelope::reader::malformed;
use crate::error::Result;

/// Reads the JSON of an attribute.
pub(super) fn attribute(field: &str, json: &[u8], limits: &EnvelopeLimits) -> Result<Arc<Value>> {
    limits.check_depth(field, Extent::of(json).depth)?;
    value(field, json)
}

/// Reads a JSON payload.
pub(super) fn payload(json: &[u8], limits: &EnvelopeLimits) -> Result<Arc<Value>> {
    // A value has two bytes with what parts it from the next, so of most payloads it is known that they are small enough.
    if json.len() / 2 > limits.values {
        limits.check_values("payload", Extent::of(json).values)?;
    }
    value("payload", json)
}

fn value(field: &str, json: &[u8]) -> Result<Arc<Value>> {
    match serde_json::from_slice(json) {
        Ok(value) => Ok(Arc::new(value)),
        Err(error) => Err(malformed(field, "JSON", "something else").caused_by(error)),
    }
}

/// How much there is in JSON text, as far as brackets, commas and strings tell.
#[derive(Debug, PartialEq)]
struct Extent {
    depth: usize,
    values: usize,
}

impl Extent {
    fn of(json: &[u8]) -> Self {
        let mut extent = Self { depth: 0, values: 1 };
        let mut depth = 0_usize;
        let (mut in_text, mut escaped, mut just_opened) = (false, false, false);
        for byte in json {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if in_text => escaped = true,
                b'"' if in_text => in_text = false,
                _ if in_text || byte.is_ascii_whitespace() => {}
                b']' | b'}' => {
                    depth = depth.saturating_sub(1);
                    just_opened = false;
                }
                _ => {
                    extent.values += usize::from(just_opened || *byte == b',');
                    in_text = *byte == b'"';
                    just_opened = matches!(byte, b'[' | b'{');
                    depth += usize::from(just_opened);
                    extent.depth = extent.depth.max(depth);
                }
            }
        }
        extent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_and_values_are_counted() {
        for (json, depth, values) in [
            ("null", 0, 1),
            ("[ ]", 1, 1),
            ("[[],\n{}]", 2, 3),
            (r#"{"a,[": "}\"]{,", "b": [1, -2.5e3, "\\"]}"#, 2, 6),
            ("[[[[", 4, 4),
            ("]]]", 0, 1),
        ] {
            assert_eq!(Extent::of(json.as_bytes()), Extent { depth, values }, "{json}");
        }
    }
}
