//! A record as its top-level pairs, without decoding the values.

use crate::event::{Event, EventTime};
use crate::msgpack::read::{self, Pairs, Value};
use crate::msgpack::write;

/// Bytes of the record, or of the arena.
#[derive(Debug, Clone, Copy)]
struct Slice {
    start: usize,
    end: usize,
    added: bool,
}

#[derive(Debug, Clone, Copy)]
struct Pair {
    key: Slice,
    value: Slice,
}

/// The storage of views, kept from record to record so that looking at one allocates nothing.
#[derive(Debug, Default)]
pub struct Scratch {
    pairs: Vec<Pair>,
    arena: Vec<u8>,
}

/// One event, open for looking and changing.
#[derive(Debug)]
pub struct View<'a> {
    tag: &'a [u8],
    time: EventTime,
    metadata: &'a [u8],
    record: &'a [u8],
    scratch: &'a mut Scratch,
    changed: bool,
}

impl<'a> View<'a> {
    /// Opens an event of `tag`, whose record must be a whole msgpack map.
    pub fn open(tag: &'a [u8], event: Event<'a>, scratch: &'a mut Scratch) -> Self {
        let record = event.record;
        scratch.pairs.clear();
        scratch.arena.clear();
        let base = record.as_ptr() as usize;
        let slice = |bytes: &[u8]| {
            let start = bytes.as_ptr() as usize - base;
            Slice {
                start,
                end: start + bytes.len(),
                added: false,
            }
        };
        scratch
            .pairs
            .extend(Pairs::of(record).map(|(key, value)| Pair {
                key: slice(key),
                value: slice(value),
            }));
        Self {
            tag,
            time: event.time,
            metadata: event.metadata,
            record,
            scratch,
            changed: false,
        }
    }

    /// The event's tag.
    pub fn tag(&self) -> &'a [u8] {
        self.tag
    }

    /// When the event happened.
    pub fn time(&self) -> EventTime {
        self.time
    }

    /// Gives the event another time.
    pub fn set_time(&mut self, time: EventTime) {
        self.changed |= self.time != time;
        self.time = time;
    }

    /// The event's metadata map, or nothing.
    pub fn metadata(&self) -> &'a [u8] {
        self.metadata
    }

    /// How many pairs there are.
    pub fn len(&self) -> usize {
        self.scratch.pairs.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.scratch.pairs.is_empty()
    }

    fn bytes(&self, slice: Slice) -> &[u8] {
        let from = if slice.added {
            &self.scratch.arena
        } else {
            self.record
        };
        from.get(slice.start..slice.end).unwrap_or_default()
    }

    /// The text of a pair's key; `None` for keys that are no strings, which match no name.
    fn key(&self, pair: Pair) -> Option<&[u8]> {
        match read::value(self.bytes(pair.key)) {
            Ok((_, Value::Str(text))) => Some(text),
            _ => None,
        }
    }

    /// The raw value of the last pair called `name`: a repeated key counts as its last occurrence.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        let pair = self
            .scratch
            .pairs
            .iter()
            .rev()
            .find(|pair| self.key(**pair) == Some(name))?;
        Some(self.bytes(pair.value))
    }

    /// Keeps the pairs whose key satisfies `keep`; keys that are no strings stay or go by `others`.
    pub fn retain_keys(&mut self, others: bool, keep: impl Fn(&[u8]) -> bool) {
        let (record, arena) = (self.record, &self.scratch.arena);
        let before = self.scratch.pairs.len();
        self.scratch.pairs.retain(|pair| {
            let from = if pair.key.added {
                arena.as_slice()
            } else {
                record
            };
            match read::value(from.get(pair.key.start..pair.key.end).unwrap_or_default()) {
                Ok((_, Value::Str(text))) => keep(text),
                _ => others,
            }
        });
        self.changed |= self.scratch.pairs.len() != before;
    }

    /// Appends a pair that is encoded already.
    pub fn push_encoded(&mut self, key: &[u8], value: &[u8]) {
        let mut add = |bytes: &[u8]| {
            let start = self.scratch.arena.len();
            self.scratch.arena.extend_from_slice(bytes);
            Slice {
                start,
                end: self.scratch.arena.len(),
                added: true,
            }
        };
        let pair = Pair {
            key: add(key),
            value: add(value),
        };
        self.scratch.pairs.push(pair);
        self.changed = true;
    }

    /// Whether a filter changed the event, so that its record has to be [written](View::write).
    pub fn changed(&self) -> bool {
        self.changed
    }

    /// Encodes the record as it stands now.
    pub fn write(&self, out: &mut Vec<u8>) {
        write::map_header(out, self.scratch.pairs.len() as u32);
        for pair in &self.scratch.pairs {
            out.extend_from_slice(self.bytes(pair.key));
            out.extend_from_slice(self.bytes(pair.value));
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// `{"a":1,"b":"x","a":2}`
    const RECORD: &[u8] = &[0x83, 0xa1, b'a', 1, 0xa1, b'b', 0xa1, b'x', 0xa1, b'a', 2];

    fn event(record: &[u8]) -> Event<'_> {
        Event {
            time: EventTime::default(),
            metadata: &[],
            record,
        }
    }

    /// What a filter makes of a record written as JSON, as JSON; `None` when it drops it.
    pub(in crate::filter) fn filtered(
        filter: &dyn super::super::Filter,
        record: &str,
    ) -> Option<String> {
        let mut encoded = Vec::new();
        crate::parser::json::to_msgpack(record.as_bytes(), &mut encoded).unwrap();
        let mut scratch = Scratch::default();
        let mut view = View::open(b"tag", event(&encoded), &mut scratch);
        if filter.apply(&mut view) == super::super::Verdict::Drop {
            return None;
        }
        let mut out = Vec::new();
        view.write(&mut out);
        let mut json = Vec::new();
        crate::msgpack::json::Json::default().value(&out, &mut json);
        Some(String::from_utf8(json).unwrap())
    }

    #[test]
    fn a_repeated_key_is_seen_as_its_last_occurrence() {
        let mut scratch = Scratch::default();
        let view = View::open(b"tag", event(RECORD), &mut scratch);
        assert_eq!(view.get(b"a"), Some(&[2][..]));
        assert_eq!(view.get(b"c"), None);
        assert!(!view.changed());
    }

    #[test]
    fn pairs_are_kept_in_order_and_new_ones_go_to_the_end() {
        let mut scratch = Scratch::default();
        let mut view = View::open(b"tag", event(RECORD), &mut scratch);
        view.retain_keys(true, |key| key != b"a");
        view.push_encoded(&[0xa1, b'n'], &[0xc3]);
        let mut out = Vec::new();
        view.write(&mut out);
        assert!(view.changed());
        assert_eq!(out, [0x82, 0xa1, b'b', 0xa1, b'x', 0xa1, b'n', 0xc3]);
    }
}
