//! JSON text of strangers, measured before memory is taken for its values.

use playhouse_engine::Result;

use super::fault::Fault;
use super::limits::Limits;

/// Refuses text that is longer, or holds more values, than the limits allow. Its depth is serde_json's own affair.
pub(crate) fn check_extent(text: &[u8], limits: &Limits) -> Result<()> {
    limits.check_bytes(text.len())?;
    // Two bytes are the least that one more value takes.
    if text.len() / 2 > limits.nodes && values(text) > limits.nodes {
        return Err(Fault::too_large(format!("the document has more than {} values", limits.nodes)).into());
    }
    Ok(())
}

/// Returns how many values the text holds at most, which is exact where it is JSON without empty lists and objects.
fn values(text: &[u8]) -> usize {
    let (mut values, mut in_string, mut escaped) = (1, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b',' | b'[' | b'{' => values += usize::from(!in_string),
            _ => {}
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use playhouse_engine::Kind;

    use super::*;

    #[test]
    fn values_are_counted_outside_of_strings() {
        for (text, count) in [("1", 1), ("[1,2]", 3), (r#"{"a,[":"\",{"}"#, 2), (r#"[["\\",1],{"a":1}]"#, 6)] {
            assert_eq!(values(text.as_bytes()), count, "{text}");
        }
    }

    #[test]
    fn many_values_in_a_short_text_are_refused() {
        let limits = Limits { nodes: 10, bytes: 100, ..Limits::default() };
        assert!(check_extent(b"[0,0,0,0,0,0,0,0,0]", &limits).is_ok());
        let error = check_extent(b"[0,0,0,0,0,0,0,0,0,0,0]", &limits).unwrap_err();
        assert_eq!((error.kind(), error.message()), (Kind::TooLarge, "the document has more than 10 values"));
        assert_eq!(check_extent(&[b' '; 101], &limits).unwrap_err().kind(), Kind::TooLarge);
    }
}
