//! Pairs of a map that become pairs of the record.

use super::{Parsing, Slice, View, pairs_in};
use crate::msgpack::read::{self, Value};
use crate::msgpack::write;

impl View<'_> {
    /// The map that the pair at `index` holds, as if it had been parsed.
    pub fn map_at(&self, index: usize) -> Option<Parsing> {
        let map = self.scratch.pairs.get(index)?.value;
        let is_map = matches!(read::value(self.bytes(map)), Ok((_, Value::Map(_))));
        is_map.then_some(Parsing { map, time: None })
    }

    /// Appends what was parsed: its pairs, or all of them as one map under a key that is encoded already. `kept` says how many bytes of a
    /// text stay. A map without pairs adds nothing.
    ///
    /// `false`, and the record as it was, where the values would be nested too deep under the key.
    pub fn append_parsed(
        &mut self,
        parsing: Parsing,
        under: Option<&[u8]>,
        kept: impl Fn(&[u8]) -> usize,
    ) -> bool {
        let mut pairs = std::mem::take(&mut self.scratch.moved);
        pairs.clear();
        let outer = if parsing.map.added {
            self.scratch.arena.as_slice()
        } else {
            self.record
        };
        let map = self.bytes(parsing.map);
        pairs.extend(pairs_in(outer, map, parsing.map.added));
        for pair in &mut pairs {
            pair.value = self.cut(pair.value, &kept);
        }
        let fits = match under {
            _ if pairs.is_empty() => true,
            None => {
                self.scratch.pairs.append(&mut pairs);
                self.changed = true;
                true
            }
            Some(key) => self.push_map(key, &pairs, Self::append),
        };
        self.scratch.moved = pairs;
        fits
    }

    /// A value, or a shorter one where it is a text of which less stays.
    fn cut(&mut self, value: Slice, kept: impl Fn(&[u8]) -> usize) -> Slice {
        let less = |text: &[u8]| Some(kept(text)).filter(|kept| *kept < text.len());
        let Ok((_, Value::Str(text))) = read::value(self.bytes(value)) else {
            return value;
        };
        let Some(kept) = less(text) else {
            return value;
        };
        let start = self.scratch.arena.len();
        self.with(value, |value, _, out| {
            let text = read::text(value).unwrap_or_default();
            write::str(out, text.get(..kept).unwrap_or(text));
        });
        self.since(start)
    }
}
