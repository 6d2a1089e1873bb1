//! What filters do to a record.

use std::sync::Arc;

use super::{Pair, Slice, View, key_text, pairs_in, place};
use crate::accessor::Accessor;
use crate::event::EventTime;
use crate::msgpack::read::{self, Value};
use crate::msgpack::write::{self, OpenMap};
use crate::msgpack::{metadata, scan};
use crate::parser::{Parser, Room};

/// One end of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// In front of the first pair.
    Front,
    /// Behind the last.
    Back,
}

/// A text of the record, parsed and not yet part of the record.
#[derive(Debug, Clone, Copy)]
pub struct Parsing {
    pub(super) map: Slice,
    /// The time that the text told.
    pub time: Option<EventTime>,
}

impl View<'_> {
    /// Gives the event another time.
    pub fn set_time(&mut self, time: EventTime) {
        self.changed |= self.time != time;
        self.time = time;
    }

    /// Gives the event other metadata: an encoded map, or nothing. Its group stays.
    pub fn set_metadata(&mut self, own: &[u8]) {
        let (_, group) = metadata::split(self.carried());
        let mut carried = Vec::new();
        metadata::join(own, group, &mut carried);
        let slice = self.add(&carried);
        self.new_metadata = Some(slice);
        self.changed = true;
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
            let key = from.get(pair.key.start..pair.key.end).unwrap_or_default();
            key_text(key).map_or(others, &keep)
        });
        self.changed |= self.scratch.pairs.len() != before;
    }

    /// Keeps the pairs that `choose` wants, under their key or another one that it gives, encoded. Keys that are no strings go.
    pub fn select<'k>(&mut self, choose: impl Fn(&[u8]) -> Option<Option<&'k [u8]>>) {
        let before = self.scratch.pairs.len();
        let mut all = std::mem::take(&mut self.scratch.pairs);
        all.retain_mut(|pair| match self.key(*pair).and_then(&choose) {
            None => false,
            Some(None) => true,
            Some(Some(key)) => {
                pair.key = self.add(key);
                self.changed = true;
                true
            }
        });
        self.changed |= all.len() != before;
        self.scratch.pairs = all;
    }

    /// Takes every pair called `name` away.
    pub fn remove(&mut self, name: &[u8]) {
        self.retain_keys(true, |key| key != name);
    }

    /// Takes the first pair called `name` away.
    pub fn remove_first(&mut self, name: &[u8]) {
        if let Some(index) = self.first(name) {
            self.scratch.pairs.remove(index);
            self.changed = true;
        }
    }

    /// The place of the first pair called `name`.
    pub fn first(&self, name: &[u8]) -> Option<usize> {
        self.fields().position(|(key, _)| key == Some(name))
    }

    /// Gives every pair called `from` another key, which is encoded already.
    pub fn rename(&mut self, from: &[u8], key: &[u8]) {
        if self.count(from) == 0 {
            return;
        }
        let key = self.add(key);
        for index in 0..self.len() {
            if self.is_called(index, from) {
                self.set_key(index, key);
            }
        }
        self.changed = true;
    }

    /// Gives the first pair called `from` another key, which is encoded already.
    pub fn rename_first(&mut self, from: &[u8], key: &[u8]) {
        if let Some(index) = self.first(from) {
            let key = self.add(key);
            self.set_key(index, key);
            self.changed = true;
        }
    }

    fn is_called(&self, index: usize, name: &[u8]) -> bool {
        let pair = self.scratch.pairs.get(index);
        pair.is_some_and(|pair| self.key(*pair) == Some(name))
    }

    fn set_key(&mut self, index: usize, key: Slice) {
        if let Some(pair) = self.scratch.pairs.get_mut(index) {
            pair.key = key;
        }
    }

    /// Appends a pair that is encoded already.
    pub fn push_encoded(&mut self, key: &[u8], value: &[u8]) {
        let pair = Pair {
            key: self.add(key),
            value: self.add(value),
        };
        self.scratch.pairs.push(pair);
        self.changed = true;
    }

    /// Puts a pair that is encoded already in front of all others.
    pub fn push_front(&mut self, key: &[u8], value: &[u8]) {
        let pair = Pair {
            key: self.add(key),
            value: self.add(value),
        };
        self.scratch.pairs.insert(0, pair);
        self.changed = true;
    }

    /// Appends a pair whose value `write` makes of the value that `from` finds among the `first` pairs. Nothing happens
    /// where there is none, or where `write` gives nothing and so has to append nothing.
    pub fn push_made(
        &mut self,
        key: &[u8],
        (first, from): (usize, &Accessor),
        write: impl FnOnce(&[u8], &mut Vec<u8>) -> Option<()>,
    ) {
        let Some(from) = self
            .find_among(first, from)
            .and_then(|value| self.lies(value))
        else {
            return;
        };
        let start = self.scratch.arena.len();
        if self.with(from, |value, _, out| write(value, out)).is_none() {
            return;
        }
        let value = self.since(start);
        let key = self.add(key);
        self.scratch.pairs.push(Pair { key, value });
        self.changed = true;
    }

    /// Puts the value of the first pair called `name` that `write` makes of it in its place. Nothing happens where
    /// `write` gives nothing, and so has to append nothing.
    pub fn replace_first(
        &mut self,
        name: &[u8],
        write: impl FnOnce(&[u8], &mut Vec<u8>) -> Option<()>,
    ) {
        let Some(index) = self.first(name) else {
            return;
        };
        let Some(from) = self.scratch.pairs.get(index).map(|pair| pair.value) else {
            return;
        };
        let start = self.scratch.arena.len();
        if self.with(from, |value, _, out| write(value, out)).is_none() {
            return;
        }
        let value = self.since(start);
        if let Some(pair) = self.scratch.pairs.get_mut(index) {
            pair.value = value;
            self.changed = true;
        }
    }

    /// Puts a copy of each pair called `from` behind it, under a key that is encoded already. The value is not copied.
    pub fn copy(&mut self, from: &[u8], key: &[u8]) {
        let key = self.add(key);
        // Into another list, since to make room between pairs costs as much as there are pairs.
        let mut pairs = std::mem::take(&mut self.scratch.moved);
        pairs.clear();
        for pair in &self.scratch.pairs {
            pairs.push(*pair);
            if self.key(*pair) == Some(from) {
                pairs.push(Pair { key, ..*pair });
            }
        }
        self.changed |= pairs.len() != self.len();
        self.scratch.moved = std::mem::replace(&mut self.scratch.pairs, pairs);
    }

    /// Moves the pairs whose key satisfies `wanted` to one end, in their order.
    pub fn move_keys(&mut self, end: End, wanted: impl Fn(&[u8]) -> bool) {
        self.set_apart(wanted);
        let scratch = &mut *self.scratch;
        if scratch.moved.is_empty() {
            return;
        }
        match end {
            End::Back => scratch.pairs.append(&mut scratch.moved),
            End::Front => {
                scratch.moved.append(&mut scratch.pairs);
                std::mem::swap(&mut scratch.moved, &mut scratch.pairs);
            }
        }
        self.changed = true;
    }

    /// Takes the pairs whose key satisfies `wanted` out into `moved`.
    fn set_apart(&mut self, wanted: impl Fn(&[u8]) -> bool) {
        let mut all = std::mem::take(&mut self.scratch.pairs);
        let mut moved = std::mem::take(&mut self.scratch.moved);
        moved.clear();
        all.retain(|pair| {
            let is_wanted = self.key(*pair).is_some_and(&wanted);
            if is_wanted {
                moved.push(*pair);
            }
            !is_wanted
        });
        self.scratch.pairs = all;
        self.scratch.moved = moved;
    }

    /// Moves the pairs whose key satisfies `wanted` into a map, which is appended under a key that is encoded already.
    /// `rename` may append another key, encoded; it says whether it did.
    ///
    /// `false`, and the record as it was, where the values would then be nested too deep.
    pub fn nest(
        &mut self,
        key: &[u8],
        wanted: impl Fn(&[u8]) -> bool,
        rename: impl Fn(&[u8], &mut Vec<u8>) -> bool,
    ) -> bool {
        self.scratch.moved.clone_from(&self.scratch.pairs);
        let all = std::mem::take(&mut self.scratch.moved);
        self.set_apart(wanted);
        let moved = std::mem::take(&mut self.scratch.moved);
        if moved.is_empty() {
            self.scratch.moved = all;
            return true;
        }
        let fits = self.push_map(key, &moved, |view, slice| {
            let renamed = view.with(slice, |key, _, out| {
                key_text(key).is_some_and(|key| rename(key, out))
            });
            if !renamed {
                view.append(slice);
            }
        });
        if !fits {
            self.scratch.pairs.clone_from(&all);
        }
        self.scratch.moved = moved;
        fits
    }

    /// Appends a map of pairs, whose keys `write_key` adds to the arena, under a key that is encoded already. `false`, and nothing
    /// appended, where it would be nested too deep.
    pub(super) fn push_map(
        &mut self,
        key: &[u8],
        pairs: &[Pair],
        mut write_key: impl FnMut(&mut Self, Slice),
    ) -> bool {
        // The new pair, as a map of its own to begin with, so that its depth can be looked at.
        let start = self.scratch.arena.len();
        write::map_header(&mut self.scratch.arena, 1);
        let key = self.add(key);
        let value_start = self.scratch.arena.len();
        let mut map = OpenMap::begin(&mut self.scratch.arena);
        for pair in pairs {
            map.count();
            write_key(self, pair.key);
            self.append(pair.value);
        }
        map.end(&mut self.scratch.arena);
        let whole = self.since(start);
        let fits = matches!(scan::value_len(self.bytes(whole)), Ok(Some(_)));
        if fits {
            let value = self.since(value_start);
            self.scratch.pairs.push(Pair { key, value });
            self.changed = true;
        }
        fits
    }

    /// Takes every map called `name` apart: its pairs are appended to the record. `rename` as in [`View::nest`].
    ///
    /// `false` where a pair of that name holds no map; it stays.
    pub fn lift(&mut self, name: &[u8], rename: impl Fn(&[u8], &mut Vec<u8>) -> bool) -> bool {
        let mut lifted = std::mem::take(&mut self.scratch.moved);
        lifted.clear();
        let mut all_maps = true;
        let mut pairs = std::mem::take(&mut self.scratch.pairs);
        let before = pairs.len();
        pairs.retain(|pair| {
            if self.key(*pair) != Some(name) {
                return true;
            }
            let value = self.bytes(pair.value);
            let is_map = matches!(read::value(value), Ok((_, Value::Map(_))));
            if is_map {
                let outer = if pair.value.added {
                    self.scratch.arena.as_slice()
                } else {
                    self.record
                };
                lifted.extend(pairs_in(outer, value, pair.value.added));
            }
            all_maps &= is_map;
            !is_map
        });
        self.changed |= pairs.len() != before;
        self.scratch.pairs = pairs;
        for pair in &mut lifted {
            let start = self.scratch.arena.len();
            let renamed = self.with(pair.key, |key, _, out| {
                key_text(key).is_some_and(|key| rename(key, out))
            });
            if renamed {
                pair.key = self.since(start);
            }
        }
        self.scratch.pairs.append(&mut lifted);
        self.scratch.moved = lifted;
        all_maps
    }

    /// Parses the text of the pair at `index` with the first of `parsers` that takes it.
    pub fn parse_at(&mut self, index: usize, parsers: &[Arc<Parser>]) -> Option<Parsing> {
        let value = self.scratch.pairs.get(index)?.value;
        self.parse(value, parsers)
    }

    /// Parses the text that an accessor names with the first of `parsers` that takes it.
    pub fn parse_found(&mut self, accessor: &Accessor, parsers: &[Arc<Parser>]) -> Option<Parsing> {
        let value = self.lies(self.find(accessor)?)?;
        self.parse(value, parsers)
    }

    fn parse(&mut self, value: Slice, parsers: &[Arc<Parser>]) -> Option<Parsing> {
        let start = self.scratch.arena.len();
        let parsed = self.with(value, |value, room, out| {
            let text = read::text(value)?;
            parsers
                .iter()
                .find_map(|parser| parser.parse(text, room, out))
        });
        Some(Parsing {
            time: parsed?.time,
            map: self.since(start),
        })
    }

    /// Makes what was parsed the record; the pairs whose place satisfies `keep` go behind it.
    pub fn become_parsed(&mut self, parsing: Parsing, keep: impl Fn(usize) -> bool) {
        let mut kept = std::mem::take(&mut self.scratch.moved);
        kept.clear();
        let old = self.scratch.pairs.iter().enumerate();
        kept.extend(old.filter(|(index, _)| keep(*index)).map(|(_, pair)| *pair));
        let mut pairs = std::mem::take(&mut self.scratch.pairs);
        pairs.clear();
        pairs.extend(pairs_in(&self.scratch.arena, self.bytes(parsing.map), true));
        pairs.append(&mut kept);
        self.scratch.pairs = pairs;
        self.scratch.moved = kept;
        self.changed = true;
    }

    /// Adds bytes to the arena.
    pub(super) fn add(&mut self, bytes: &[u8]) -> Slice {
        let start = self.scratch.arena.len();
        self.scratch.arena.extend_from_slice(bytes);
        self.since(start)
    }

    /// What the arena has got since it was `start` long.
    pub(super) fn since(&self, start: usize) -> Slice {
        Slice {
            start,
            end: self.scratch.arena.len(),
            added: true,
        }
    }

    /// Adds a copy of a slice to the arena.
    pub(super) fn append(&mut self, slice: Slice) {
        let arena = &mut self.scratch.arena;
        if slice.added {
            arena.extend_from_within(slice.start..slice.end);
        } else {
            arena.extend_from_slice(self.record.get(slice.start..slice.end).unwrap_or_default());
        }
    }

    /// Where bytes of this view lie.
    fn lies(&self, bytes: &[u8]) -> Option<Slice> {
        place(self.record, bytes, false).or_else(|| place(&self.scratch.arena, bytes, true))
    }

    /// Has `work` read a slice while the arena grows.
    pub(super) fn with<T>(
        &mut self,
        slice: Slice,
        work: impl FnOnce(&[u8], &mut Room, &mut Vec<u8>) -> T,
    ) -> T {
        let scratch = &mut *self.scratch;
        let bytes = if slice.added {
            let bytes = scratch.arena.get(slice.start..slice.end);
            scratch.text.clear();
            scratch.text.extend_from_slice(bytes.unwrap_or_default());
            &scratch.text
        } else {
            self.record.get(slice.start..slice.end).unwrap_or_default()
        };
        work(bytes, &mut scratch.room, &mut scratch.arena)
    }
}
