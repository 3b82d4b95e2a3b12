//! Reads MessagePack that nobody has checked. Nothing here takes memory for what a length claims.

use bytes::Bytes;
use rmp::Marker;
use rmp::decode::{
    NumValueReadError, ValueReadError, read_array_len, read_bin_len, read_bool, read_int, read_map_len, read_str_len,
};

use crate::envelope::EnvelopeLimits;
use crate::error::{Error, Result};
use crate::text::Text;

/// What of a head is not read yet.
pub(super) struct Reader<'a> {
    head: &'a Bytes,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Begins to read what lies behind the first `from` bytes of a head.
    pub(super) fn new(head: &'a Bytes, from: usize) -> Self {
        Self { head, rest: head.get(from..).unwrap_or_default() }
    }

    /// Returns how many bytes are not read yet.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    /// Returns what was read since `left` bytes were not.
    pub(super) fn read_since(&self, left: usize) -> &'a [u8] {
        let (from, to) = (self.head.len() - left, self.head.len() - self.rest.len());
        &self.head[from..to]
    }

    /// Returns what comes next, without reading it.
    pub(super) fn next(&self) -> Option<Marker> {
        self.rest.first().copied().map(Marker::from_u8)
    }

    pub(super) fn boolean(&mut self, field: &str) -> Result<bool> {
        read_bool(&mut self.rest).map_err(|error| wrong(field, "true or false", error))
    }

    pub(super) fn integer(&mut self, field: &str) -> Result<i64> {
        read_int(&mut self.rest).map_err(|error| wrong_number(field, "an integer of 64 bits", error))
    }

    pub(super) fn unsigned(&mut self, field: &str) -> Result<u64> {
        read_int(&mut self.rest).map_err(|error| wrong_number(field, "an integer of 64 bits from 0", error))
    }

    pub(super) fn map(&mut self, field: &str) -> Result<usize> {
        length(read_map_len(&mut self.rest).map_err(|error| wrong(field, "a map", error))?)
    }

    pub(super) fn array(&mut self, field: &str) -> Result<usize> {
        length(read_array_len(&mut self.rest).map_err(|error| wrong(field, "an array", error))?)
    }

    pub(super) fn binary(&mut self, field: &str) -> Result<&'a [u8]> {
        let length = length(read_bin_len(&mut self.rest).map_err(|error| wrong(field, "a binary", error))?)?;
        self.take(length, field)
    }

    /// Reads text that is looked at here and now.
    pub(super) fn borrowed_text(&mut self, field: &str) -> Result<&'a str> {
        let bytes = self.text_bytes(field)?;
        std::str::from_utf8(bytes).map_err(|error| not_text(field).caused_by(error))
    }

    /// Reads text that stays. It shares the head's memory.
    pub(super) fn text(&mut self, field: &str) -> Result<Text> {
        let bytes = self.text_bytes(field)?;
        Text::from_utf8(self.head.slice_ref(bytes)).map_err(|error| not_text(field).caused_by(error))
    }

    fn text_bytes(&mut self, field: &str) -> Result<&'a [u8]> {
        let length = length(read_str_len(&mut self.rest).map_err(|error| wrong(field, "text", error))?)?;
        self.take(length, field)
    }

    /// Passes over a value, whatever it is.
    pub(super) fn skip(&mut self, field: &str, limits: &EnvelopeLimits) -> Result<()> {
        // How many values are still to come within each map or array that is open: no more than the depth that is allowed.
        let mut open: Vec<u64> = Vec::new();
        loop {
            let within = self.skip_one(field)?;
            if within > 0 {
                limits.check_depth(field, open.len() + 1)?;
                open.push(within);
                continue;
            }
            loop {
                let Some(left) = open.last_mut() else { return Ok(()) };
                *left -= 1;
                if *left > 0 {
                    break;
                }
                open.pop();
            }
        }
    }

    /// Passes over one value, or the beginning of a map or an array, and returns how many values are within it.
    fn skip_one(&mut self, field: &str) -> Result<u64> {
        let Some(marker) = self.next() else { return Err(cut_off(field)) };
        let bytes = match marker {
            Marker::FixMap(_) | Marker::Map16 | Marker::Map32 => return Ok(self.map(field)? as u64 * 2),
            Marker::FixArray(_) | Marker::Array16 | Marker::Array32 => return Ok(self.array(field)? as u64),
            Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32 => {
                return self.text_bytes(field).map(|_| 0);
            }
            Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => return self.binary(field).map(|_| 0),
            Marker::Ext8 | Marker::Ext16 | Marker::Ext32 => return self.skip_extension(marker, field).map(|()| 0),
            Marker::Reserved => return Err(mismatch(field, "a value", marker)),
            Marker::FixPos(_) | Marker::FixNeg(_) | Marker::Null | Marker::True | Marker::False => 0,
            Marker::U8 | Marker::I8 => 1,
            Marker::U16 | Marker::I16 | Marker::FixExt1 => 2,
            Marker::FixExt2 => 3,
            Marker::U32 | Marker::I32 | Marker::F32 => 4,
            Marker::FixExt4 => 5,
            Marker::U64 | Marker::I64 | Marker::F64 => 8,
            Marker::FixExt8 => 9,
            Marker::FixExt16 => 17,
        };
        self.take(1 + bytes, field)?;
        Ok(0)
    }

    fn skip_extension(&mut self, marker: Marker, field: &str) -> Result<()> {
        self.take(1, field)?;
        let size = match marker {
            Marker::Ext8 => 1,
            Marker::Ext16 => 2,
            _ => 4,
        };
        let length = self.take(size, field)?.iter().fold(0, |length, byte| (length << 8) | usize::from(*byte));
        // A byte that says what kind of extension it is, and its data.
        self.take(1, field)?;
        self.take(length, field).map(|_| ())
    }

    fn take(&mut self, count: usize, field: &str) -> Result<&'a [u8]> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else { return Err(cut_off(field)) };
        self.rest = rest;
        Ok(taken)
    }
}

/// Makes the error for a field that is not what was expected.
pub(super) fn malformed(field: &str, expected: &str, found: &str) -> Error {
    Error::malformed(format!("`{field}` of the envelope: expected {expected}, found {found}"))
}

pub(super) fn mismatch(field: &str, expected: &str, found: Marker) -> Error {
    let found = match found {
        Marker::Null => "nil",
        Marker::True | Marker::False => "true or false",
        Marker::FixPos(_) | Marker::U8 | Marker::U16 | Marker::U32 | Marker::U64 => "an integer",
        Marker::FixNeg(_) | Marker::I8 | Marker::I16 | Marker::I32 | Marker::I64 => "an integer",
        Marker::F32 | Marker::F64 => "a number with a point",
        Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32 => "text",
        Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => "a binary",
        Marker::FixArray(_) | Marker::Array16 | Marker::Array32 => "an array",
        Marker::FixMap(_) | Marker::Map16 | Marker::Map32 => "a map",
        Marker::Reserved => "the byte c1",
        _ => "an extension",
    };
    malformed(field, expected, found)
}

pub(super) fn cut_off(field: &str) -> Error {
    Error::malformed(format!("`{field}` of the envelope: expected a whole value, found the end of the head"))
}

fn not_text(field: &str) -> Error {
    malformed(field, "UTF-8 text", "other bytes")
}

fn wrong(field: &str, expected: &str, error: ValueReadError) -> Error {
    match error {
        ValueReadError::TypeMismatch(found) => mismatch(field, expected, found),
        ValueReadError::InvalidMarkerRead(_) | ValueReadError::InvalidDataRead(_) => cut_off(field),
    }
}

fn wrong_number(field: &str, expected: &str, error: NumValueReadError) -> Error {
    match error {
        NumValueReadError::TypeMismatch(found) => mismatch(field, expected, found),
        NumValueReadError::OutOfRange => malformed(field, expected, "another number"),
        NumValueReadError::InvalidMarkerRead(_) | NumValueReadError::InvalidDataRead(_) => cut_off(field),
    }
}

fn length(length: u32) -> Result<usize> {
    usize::try_from(length).map_err(|error| Error::too_large("a length does not fit into memory").caused_by(error))
}
