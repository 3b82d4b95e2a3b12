//! Writes MessagePack into memory.

use rmp::Marker;
use rmp::encode::{write_array_len, write_bin, write_bool, write_map_len, write_sint, write_str, write_uint};

use crate::envelope::Fields;

const INTO_MEMORY: &str = "memory takes what is written";

/// MessagePack that is being written, behind what is there already.
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn text(&mut self, text: &str) {
        write_str(&mut self.0, text).expect(INTO_MEMORY);
    }

    pub(super) fn binary(&mut self, bytes: &[u8]) {
        write_bin(&mut self.0, bytes).expect(INTO_MEMORY);
    }

    pub(super) fn boolean(&mut self, value: bool) {
        write_bool(&mut self.0, value).expect(INTO_MEMORY);
    }

    pub(super) fn integer(&mut self, number: i64) {
        write_sint(&mut self.0, number).expect(INTO_MEMORY);
    }

    pub(super) fn unsigned(&mut self, number: u64) {
        write_uint(&mut self.0, number).expect(INTO_MEMORY);
    }

    pub(super) fn texts(&mut self, texts: &[String]) {
        write_array_len(&mut self.0, u32::try_from(texts.len()).unwrap_or(u32::MAX)).expect(INTO_MEMORY);
        texts.iter().for_each(|text| self.text(text));
    }

    /// Writes a map of as many entries as `fill` writes.
    pub(super) fn map(&mut self, fill: impl FnOnce(&mut Entries<'_>)) {
        let at = self.0.len();
        self.0.push(0);
        let mut entries = Entries { writer: self, count: 0 };
        fill(&mut entries);
        match u8::try_from(entries.count) {
            Ok(count) if count < 16 => self.0[at] = Marker::FixMap(count).to_u8(),
            // Few maps are so large, so making room for a longer beginning costs nothing that matters.
            _ => {
                let mut beginning = Vec::new();
                write_map_len(&mut beginning, entries.count).expect(INTO_MEMORY);
                self.0.splice(at..=at, beginning);
            }
        }
    }
}

/// The entries of a map that is being written.
pub(super) struct Entries<'a> {
    writer: &'a mut Writer,
    count: u32,
}

impl Entries<'_> {
    /// Begins an entry; its value is written next.
    pub(super) fn entry(&mut self, key: &str) -> &mut Writer {
        self.count += 1;
        self.writer.text(key);
        self.writer
    }

    /// Writes fields as they came.
    pub(super) fn fields(&mut self, fields: &Fields) {
        let (count, bytes) = fields.parts();
        self.count += count;
        self.writer.0.extend_from_slice(bytes);
    }
}
