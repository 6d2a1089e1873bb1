//! Which shard a Kinesis record goes to: the key whose hash decides it.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::event::Event;
use crate::output::go;

/// The longest key, in characters.
const CHARS_MAX: usize = 256;
/// The bytes of a record that make its key: the end, where most lines differ.
const HASHED_MAX: usize = 64;

/// How keys are made.
#[derive(Debug, Clone)]
pub(in crate::output) struct PartitionKey {
    /// Makes two instances spread the same records differently.
    seed: u64,
    /// Where in the record a key is; nowhere if empty.
    path: Vec<Box<[u8]>>,
    /// What becomes of a record before its key is looked for.
    record: go::Record,
}

impl PartitionKey {
    /// Keys out of the record: `kubernetes->pod`. Without a path, and for a record without a key, they spread over all shards.
    pub(in crate::output) fn at(path: &str, record: go::Record) -> Self {
        let path = path.split("->").filter(|name| !name.is_empty());
        Self {
            seed: fastrand::u64(..),
            path: path.map(|name| name.as_bytes().into()).collect(),
            record,
        }
    }

    /// Puts the key of an event in place of what `key` held: text of 1 to 256 characters.
    ///
    /// The same event gets the same key again, so that a request sent twice is the same request.
    pub(super) fn write(&self, event: Event<'_>, key: &mut String) {
        key.clear();
        self.record.text_at(event, &self.path, |text| {
            let text = String::from_utf8_lossy(text);
            key.extend(text.chars().take(CHARS_MAX));
        });
        if key.is_empty() {
            self.spread_over(event, key);
        }
    }

    fn spread_over(&self, event: Event<'_>, key: &mut String) {
        let mut hasher = DefaultHasher::new();
        self.seed.hash(&mut hasher);
        (event.time.seconds, event.time.nanos, event.record.len()).hash(&mut hasher);
        let start = event.record.len().saturating_sub(HASHED_MAX);
        event.record.get(start..).hash(&mut hasher);
        key.push_str(itoa::Buffer::new().format(hasher.finish()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventTime;
    use std::collections::HashSet;

    fn key(keys: &PartitionKey, record: &[u8], nanos: u32) -> String {
        let event = Event {
            time: EventTime { seconds: 1, nanos },
            metadata: &[],
            record,
        };
        let mut key = "old".to_owned();
        keys.write(event, &mut key);
        key
    }

    #[test]
    fn a_key_comes_out_of_the_record_and_is_cut() {
        let keys = PartitionKey::at("k->p", go::Record::default());
        assert_eq!(key(&keys, b"\x81\xa1k\x81\xa1p\xa2p1", 0), "p1");
        let mut long = b"\x81\xa1k\x81\xa1p".to_vec();
        crate::msgpack::write::str(&mut long, "\u{e9}".repeat(300).as_bytes());
        assert_eq!(key(&keys, &long, 0).chars().count(), 256);
    }

    #[test]
    fn without_one_keys_spread_and_the_same_event_has_the_same() {
        let keys = PartitionKey::at("k->p", go::Record::default());
        for record in [
            &b"\x81\xa1k\x81\xa1p\x07"[..],
            b"\x81\xa1k\x81\xa1p\xa0",
            b"\x80",
        ] {
            let spread: HashSet<_> = (0..100).map(|nanos| key(&keys, record, nanos)).collect();
            assert_eq!(spread.len(), 100);
            assert_eq!(key(&keys, record, 7), key(&keys, record, 7));
        }
    }
}
