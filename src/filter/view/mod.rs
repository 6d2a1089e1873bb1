//! A record as its top-level pairs, without decoding the values.
//!
//! A pair is two slices: of the record as it came, or of an arena that holds what filters added. Changing a record means
//! to move slices about; bytes are written once, when a value is new. `change.rs` holds the changes, this file the look
//! at the record and the way out.

mod change;
mod merge;
#[cfg(test)]
mod tests;

pub use change::{End, Parsing};

use crate::accessor::Accessor;
use crate::event::{Event, EventTime};
use crate::msgpack::read::{self, Pairs, Value};
use crate::msgpack::{metadata, write};
use crate::parser::Room;

/// The most room an arena keeps for the next record.
const ARENA_KEPT: usize = 1 << 20;

/// Bytes of the record, or of the arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// Pairs on their way into `pairs`.
    moved: Vec<Pair>,
    /// What filters added. Only grows while a record is open.
    arena: Vec<u8>,
    /// A copy of what is read in the arena while the arena grows.
    text: Vec<u8>,
    room: Room,
}

/// One event, open for looking and changing.
#[derive(Debug)]
pub struct View<'a> {
    tag: &'a [u8],
    time: EventTime,
    metadata: &'a [u8],
    /// What took the place of the metadata.
    new_metadata: Option<Slice>,
    record: &'a [u8],
    scratch: &'a mut Scratch,
    changed: bool,
}

/// Where `inner`, a part of `outer`, lies in it.
fn place(outer: &[u8], inner: &[u8], added: bool) -> Option<Slice> {
    let start = (inner.as_ptr() as usize).checked_sub(outer.as_ptr() as usize)?;
    let end = start.checked_add(inner.len())?;
    (end <= outer.len()).then_some(Slice { start, end, added })
}

impl<'a> View<'a> {
    /// Opens an event of `tag`, whose record must be a whole msgpack map.
    pub fn open(tag: &'a [u8], event: Event<'a>, scratch: &'a mut Scratch) -> Self {
        let record = event.record;
        scratch.arena.clear();
        scratch.arena.shrink_to(ARENA_KEPT);
        scratch.pairs.clear();
        scratch.pairs.extend(pairs_in(record, record, false));
        Self {
            tag,
            time: event.time,
            metadata: event.metadata,
            new_metadata: None,
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

    /// The event's metadata map, or nothing.
    pub fn metadata(&self) -> &[u8] {
        metadata::split(self.carried()).0
    }

    /// The same, and the group that the event lies in: what goes on with it.
    pub fn carried(&self) -> &[u8] {
        self.new_metadata
            .map_or(self.metadata, |slice| self.bytes(slice))
    }

    /// Lends the room in which texts are put together, empty. Who gives it [back](View::give_back) spares the next record an
    /// allocation.
    pub fn lend(&mut self) -> Vec<u8> {
        let mut room = std::mem::take(&mut self.scratch.text);
        room.clear();
        room
    }

    /// Takes the room back that was lent.
    pub fn give_back(&mut self, room: Vec<u8>) {
        self.scratch.text = room;
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
        key_text(self.bytes(pair.key))
    }

    /// The pairs in their order: the text of the key, `None` where it is no string, and the raw value.
    pub fn fields(&self) -> impl Iterator<Item = (Option<&[u8]>, &[u8])> {
        let pairs = self.scratch.pairs.iter();
        pairs.map(|pair| (self.key(*pair), self.bytes(pair.value)))
    }

    /// The raw pairs in order.
    pub fn pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let pairs = self.scratch.pairs.iter();
        pairs.map(|pair| (self.bytes(pair.key), self.bytes(pair.value)))
    }

    /// The place of the next pair called `name`, from the place `from` on, and its raw value.
    pub fn next(&self, from: usize, name: &[u8]) -> Option<(usize, &[u8])> {
        let pairs = self.scratch.pairs.get(from..)?;
        let ahead = pairs
            .iter()
            .position(|pair| self.key(*pair) == Some(name))?;
        let index = from + ahead;
        let pair = self.scratch.pairs.get(index)?;
        Some((index, self.bytes(pair.value)))
    }

    /// How many pairs are called `name`.
    pub fn count(&self, name: &[u8]) -> usize {
        self.fields().filter(|(key, _)| *key == Some(name)).count()
    }

    /// The raw value of the last pair called `name`: a repeated key counts as its last occurrence.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.get_among(self.len(), name)
    }

    /// The raw value that an accessor names.
    pub fn find(&self, accessor: &Accessor) -> Option<&[u8]> {
        self.find_among(self.len(), accessor)
    }

    /// As [`View::find`] among the `first` pairs, so that those appended behind are not seen.
    pub fn find_among(&self, first: usize, accessor: &Accessor) -> Option<&[u8]> {
        accessor.descend(self.get_among(first, accessor.key())?)
    }

    fn get_among(&self, first: usize, name: &[u8]) -> Option<&[u8]> {
        let pairs = self.scratch.pairs.get(..first)?;
        let pair = pairs
            .iter()
            .rev()
            .find(|pair| self.key(**pair) == Some(name))?;
        Some(self.bytes(pair.value))
    }

    /// Whether a filter changed the event, so that its record has to be [written](View::write).
    pub fn changed(&self) -> bool {
        self.changed
    }

    /// Encodes the record as it stands now.
    pub fn write(&self, out: &mut Vec<u8>) {
        write::map_header(out, self.scratch.pairs.len() as u32);
        // What lies together is copied together.
        let mut run: Option<Slice> = None;
        let slices = self.scratch.pairs.iter();
        for slice in slices.flat_map(|pair| [pair.key, pair.value]) {
            run = match run {
                Some(run) if run.added == slice.added && run.end == slice.start => Some(Slice {
                    end: slice.end,
                    ..run
                }),
                Some(run) => {
                    out.extend_from_slice(self.bytes(run));
                    Some(slice)
                }
                None => Some(slice),
            };
        }
        if let Some(run) = run {
            out.extend_from_slice(self.bytes(run));
        }
    }
}

/// The pairs of `map`, which lies in `outer`.
fn pairs_in(outer: &[u8], map: &[u8], added: bool) -> impl Iterator<Item = Pair> {
    Pairs::of(map).filter_map(move |(key, value)| {
        Some(Pair {
            key: place(outer, key, added)?,
            value: place(outer, value, added)?,
        })
    })
}

fn key_text(key: &[u8]) -> Option<&[u8]> {
    match read::value(key) {
        Ok((_, Value::Str(text))) => Some(text),
        _ => None,
    }
}
