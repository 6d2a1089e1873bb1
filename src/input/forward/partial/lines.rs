//! Lines that wait for pieces.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tokio::time::Instant;

use crate::budget::{Budget, Charge};
use crate::event::{Event, EventTime};
use crate::input::Session;
use crate::msgpack::read::{self, Pairs};
use crate::msgpack::write;

/// What a line takes beside its bytes, about.
const OVERHEAD: usize = 256;
/// Lines in the order of their last pieces.
#[derive(Default)]
pub(super) struct Lines {
    places: HashMap<Box<[u8]>, u64>,
    waiting: BTreeMap<u64, Line>,
    next_place: u64,
    /// What all of them take.
    pub(super) size: usize,
}

/// The pieces of one line so far.
pub(super) struct Line {
    key: Box<[u8]>,
    pub(super) tag: Box<[u8]>,
    time: EventTime,
    metadata: Box<[u8]>,
    /// The other fields, encoded, and how many there are.
    fields: Vec<u8>,
    count: u32,
    pub(super) text: Vec<u8>,
    pub(super) touched: Instant,
    size: usize,
    charge: Charge,
}

/// What a record says when it is a piece.
pub(super) struct Piece<'a> {
    pub(super) id: &'a [u8],
    pub(super) text: &'a [u8],
    pub(super) is_last: bool,
}

impl Lines {
    pub(super) fn insert(&mut self, line: Line) {
        self.size += line.size;
        self.places.insert(line.key.clone(), self.next_place);
        self.waiting.insert(self.next_place, line);
        self.next_place += 1;
    }

    pub(super) fn remove(&mut self, key: &[u8]) -> Option<Line> {
        let place = self.places.remove(key)?;
        let line = self.waiting.remove(&place)?;
        self.size -= line.size;
        Some(line)
    }

    /// The line whose last piece is the longest ago.
    pub(super) fn first(&self) -> Option<&Line> {
        self.waiting.first_key_value().map(|(_, line)| line)
    }

    pub(super) fn oldest(&mut self) -> Option<Line> {
        let (_, line) = self.waiting.pop_first()?;
        self.places.remove(&line.key);
        self.size -= line.size;
        Some(line)
    }
}

impl Line {
    /// A line without text yet, that begins with this piece.
    pub(super) fn new(key: Box<[u8]>, tag: &[u8], event: Event<'_>, budget: &Arc<Budget>) -> Self {
        let (mut fields, mut count) = (Vec::new(), 0);
        for (key, value) in Pairs::of(event.record) {
            let name = read::text(key).unwrap_or_default();
            if name != b"log" && !name.starts_with(b"partial_") {
                fields.extend_from_slice(key);
                fields.extend_from_slice(value);
                count += 1;
            }
        }
        let size = OVERHEAD + 2 * key.len() + tag.len() + event.metadata.len() + fields.len();
        Self {
            key,
            tag: tag.into(),
            time: event.time,
            metadata: event.metadata.into(),
            fields,
            count,
            text: Vec::new(),
            touched: Instant::now(),
            size,
            charge: budget.charge(size as u64),
        }
    }

    pub(super) fn grow(&mut self, text: &[u8]) {
        let before = self.text.capacity();
        self.text.extend_from_slice(text);
        let more = self.text.capacity() - before;
        self.charge.grow(more as u64);
        self.size += more;
        self.touched = Instant::now();
    }

    pub(super) fn offer(&self, session: &mut dyn Session) {
        let mut record = Vec::with_capacity(self.fields.len() + self.text.len() + 16);
        write::map_header(&mut record, self.count.saturating_add(1));
        record.extend_from_slice(&self.fields);
        write::str(&mut record, b"log");
        write::str(&mut record, &self.text);
        session.offer(Event {
            time: self.time,
            metadata: &self.metadata,
            record: &record,
        });
    }
}

/// Ids are told apart by their tags.
pub(super) fn key(tag: &[u8], id: &[u8]) -> Box<[u8]> {
    let length = (tag.len() as u32).to_le_bytes();
    [&length[..], tag, id].concat().into()
}

impl<'a> Piece<'a> {
    /// Reads a record; nothing when it is no piece.
    pub(super) fn of(record: &'a [u8]) -> Option<Self> {
        let (mut is_piece, mut is_last) = (false, false);
        let (mut id, mut text) = (None, None);
        let is_true =
            |value| read::text(value).is_some_and(|text| text.eq_ignore_ascii_case(b"true"));
        for (key, value) in Pairs::of(record) {
            match read::text(key) {
                Some(b"partial_message") => is_piece = is_true(value),
                Some(b"partial_last") => is_last = is_true(value),
                Some(b"partial_id") => id = read::text(value),
                Some(b"log") => text = read::text(value),
                _ => {}
            }
        }
        let (id, text) = (id.filter(|_| is_piece)?, text?);
        Some(Self { id, text, is_last })
    }
}
