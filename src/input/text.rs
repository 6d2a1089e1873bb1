//! From a line of text to a record.

use crate::msgpack::write;

/// Encoded pairs that every record of one source has.
#[derive(Debug, Clone, Default)]
pub(super) struct Pairs {
    count: u32,
    bytes: Vec<u8>,
}

impl Pairs {
    /// Appends a text.
    pub(super) fn text(&mut self, key: &str, text: &[u8]) {
        self.key(key);
        write::str(&mut self.bytes, text);
    }

    /// Appends a number.
    pub(super) fn unsigned(&mut self, key: &str, number: u64) {
        self.key(key);
        write::unsigned(&mut self.bytes, number);
    }

    /// Forgets all of them.
    pub(super) fn clear(&mut self) {
        self.count = 0;
        self.bytes.clear();
    }

    fn key(&mut self, key: &str) {
        self.count += 1;
        write::str(&mut self.bytes, key.as_bytes());
    }
}

/// Makes records of lines.
#[derive(Debug)]
pub(super) struct TextRecords {
    /// The encoded key of a line.
    key: Vec<u8>,
    record: Vec<u8>,
}

impl TextRecords {
    /// Records with the line under `key`.
    pub(super) fn new(key: &str) -> Self {
        let mut encoded = Vec::new();
        write::str(&mut encoded, key.as_bytes());
        Self {
            key: encoded,
            record: Vec::new(),
        }
    }

    /// The record of a line, with `pairs` before it.
    pub(super) fn make(&mut self, line: &[u8], pairs: &Pairs) -> &[u8] {
        self.record.clear();
        write::map_header(&mut self.record, pairs.count + 1);
        self.record.extend_from_slice(&pairs.bytes);
        self.record.extend_from_slice(&self.key);
        write::str(&mut self.record, line);
        &self.record
    }
}
