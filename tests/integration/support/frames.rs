//! Frames of the forward protocol, as clients build them.

use sluice::msgpack::write;

/// A frame being built.
#[derive(Clone)]
pub(crate) struct Frame {
    tag: Vec<u8>,
    events: Vec<(u64, Vec<u8>)>,
    /// The chunk id, encoded.
    chunk: Option<Vec<u8>>,
}

impl Frame {
    /// A frame for this tag.
    pub(crate) fn new(tag: &str) -> Self {
        Self {
            tag: tag.as_bytes().to_vec(),
            events: Vec::new(),
            chunk: None,
        }
    }

    /// Adds an event `{"log": text}` of this second.
    pub(crate) fn log(self, text: &str) -> Self {
        self.at(now(), "log", text)
    }

    /// Adds an event `{key: text}` of another time.
    pub(crate) fn at(mut self, seconds: u64, key: &str, text: &str) -> Self {
        let mut record = Vec::new();
        write::map_header(&mut record, 1);
        write::str(&mut record, key.as_bytes());
        write::str(&mut record, text.as_bytes());
        self.events.push((seconds, record));
        self
    }

    /// Adds an event whose text carries the mark that the sink counts by, and has about this length.
    pub(crate) fn marked(self, connection: u32, number: u64, length: usize) -> Self {
        let mark = format!("seq={connection:03}.{number:010}.{:019} ", 0);
        let padding = "x".repeat(length.saturating_sub(mark.len()));
        self.log(&(mark + &padding))
    }

    /// Asks for an acknowledgement of this chunk.
    pub(crate) fn chunk(self, id: &str) -> Self {
        let mut encoded = Vec::new();
        write::str(&mut encoded, id.as_bytes());
        self.raw_chunk(&encoded)
    }

    /// Asks for an acknowledgement of a chunk whose encoding is given.
    pub(crate) fn raw_chunk(mut self, encoded: &[u8]) -> Self {
        self.chunk = Some(encoded.to_vec());
        self
    }

    /// The bytes, in Forward mode.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write::array_header(&mut out, if self.chunk.is_some() { 3 } else { 2 });
        write::str(&mut out, &self.tag);
        write::array_header(&mut out, u32::try_from(self.events.len()).unwrap());
        for (time, record) in &self.events {
            write::array_header(&mut out, 2);
            write::unsigned(&mut out, *time);
            out.extend_from_slice(record);
        }
        if let Some(chunk) = &self.chunk {
            write::map_header(&mut out, 1);
            write::str(&mut out, b"chunk");
            out.extend_from_slice(chunk);
        }
        out
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

/// The acknowledgement of a chunk with this id.
pub(crate) fn ack(id: &str) -> Vec<u8> {
    let mut encoded = b"\x81\xa3ack".to_vec();
    write::str(&mut encoded, id.as_bytes());
    encoded
}
