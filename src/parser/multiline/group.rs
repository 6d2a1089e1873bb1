//! The lines of one group that are together so far.

use std::time::Instant;

use super::machine::Fields;
use crate::event::EventTime;
use crate::msgpack::read::{self, Pairs, Value};
use crate::msgpack::{metadata, write};

/// A message that has ended.
#[derive(Debug)]
pub struct Message<'m, M> {
    /// Its lines, joined.
    pub text: &'m [u8],
    /// What the owner noted with the first line.
    pub mark: M,
    /// How many lines it has.
    pub lines: u64,
    /// The time of the first.
    pub time: EventTime,
    /// The metadata of all, equal pairs once: a msgpack map, or nothing; with the group of the first.
    pub metadata: &'m [u8],
    /// The record of the first line around its text; nothing when lines are no records.
    record: Option<(&'m [u8], &'m [u8])>,
}

impl<M> Message<'_, M> {
    /// Appends the record: that of the first line, with the joined text in its place. Nothing for lines that are no records.
    pub fn write(&self, out: &mut Vec<u8>) {
        if let Some((before, after)) = self.record {
            out.extend_from_slice(before);
            write::str(out, self.text);
            out.extend_from_slice(after);
        }
    }
}

/// The first line of a message.
#[derive(Debug)]
struct First<M> {
    mark: M,
    time: EventTime,
    /// The record as encoded, and where in it the text lies.
    record: Vec<u8>,
    text: (usize, usize),
}

/// A line on its way into a group.
#[derive(Clone, Copy)]
pub(super) struct Line<'l, M> {
    pub(super) text: &'l [u8],
    /// The record that holds it, and under which key.
    pub(super) record: Option<(&'l dyn Fields, &'l [u8])>,
    pub(super) time: EventTime,
    pub(super) metadata: &'l [u8],
    pub(super) mark: M,
    pub(super) now: Instant,
}

/// What stands between two lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Between {
    Nothing,
    /// A newline, unless there is one.
    Break,
    /// The same, and an empty line counts as one more.
    Line,
}

/// One group of lines.
#[derive(Debug)]
pub(super) struct Group<M> {
    /// The value of `key_group`.
    pub(super) name: Box<[u8]>,
    /// The rule of the last line that was taken; stays when a message ends.
    pub(super) rule: Option<usize>,
    /// When the last line came.
    pub(super) touched: Instant,
    first: Option<First<M>>,
    text: Vec<u8>,
    metadata: Vec<u8>,
    lines: u64,
}

/// The most room of a group that is kept for its next message.
const ROOM_MAX: usize = 16 * 1024;

impl<M: Copy> Group<M> {
    pub(super) fn new(name: &[u8], now: Instant) -> Self {
        Self {
            name: name.into(),
            rule: None,
            touched: now,
            first: None,
            text: Vec::new(),
            metadata: Vec::new(),
            lines: 0,
        }
    }

    /// Whether a message is open.
    pub(super) fn is_open(&self) -> bool {
        self.first.is_some()
    }

    /// The mark of the open message.
    pub(super) fn mark(&self) -> Option<M> {
        self.first.as_ref().map(|first| first.mark)
    }

    /// The length of the open message's text.
    pub(super) fn length(&self) -> usize {
        self.text.len()
    }

    /// The bytes it takes while a message is open.
    pub(super) fn size(&self) -> usize {
        let record = self
            .first
            .as_ref()
            .map_or(0, |first| first.record.capacity());
        record + self.text.capacity() + self.metadata.capacity() + size_of::<Self>()
    }

    /// Adds a line to the open message, or opens one with it.
    pub(super) fn add(&mut self, line: Line<'_, M>, between: Between) {
        if self.first.is_none() {
            self.first = Some(first(line));
            self.metadata.extend_from_slice(line.metadata);
        } else if self.metadata != line.metadata {
            merge(&mut self.metadata, line.metadata);
        }
        let ends_in_text = self.text.last().is_some_and(|last| *last != b'\n');
        if between != Between::Nothing && ends_in_text {
            self.text.push(b'\n');
        }
        if between == Between::Line && line.text.is_empty() {
            self.text.push(b'\n');
        }
        self.text.extend_from_slice(line.text);
        self.lines += 1;
        self.touched = line.now;
    }

    /// Ends the open message, if there is one.
    pub(super) fn end(&mut self, put: &mut dyn FnMut(Message<'_, M>)) {
        let Some(first) = self.first.take() else {
            return;
        };
        let (start, end) = first.text;
        let before = first.record.get(..start).unwrap_or_default();
        let after = first.record.get(end..).unwrap_or_default();
        put(Message {
            text: &self.text,
            mark: first.mark,
            lines: self.lines,
            time: first.time,
            metadata: &self.metadata,
            record: (!first.record.is_empty()).then_some((before, after)),
        });
        self.lines = 0;
        for room in [&mut self.text, &mut self.metadata] {
            if room.capacity() > ROOM_MAX {
                *room = Vec::new();
            }
            room.clear();
        }
    }
}

fn first<M>(line: Line<'_, M>) -> First<M> {
    let mut record = Vec::new();
    let mut text = (0, 0);
    if let Some((fields, key)) = line.record {
        fields.write(&mut record);
        let base = record.as_ptr() as usize;
        for (name, value) in Pairs::of(&record) {
            if matches!(read::value(name), Ok((_, Value::Str(name))) if name == key) {
                let start = value.as_ptr() as usize - base;
                text = (start, start + value.len());
            }
        }
    }
    First {
        mark: line.mark,
        time: line.time,
        record,
        text,
    }
}

/// Appends the pairs of the metadata `more` that `first` does not have.
fn merge(first: &mut Vec<u8>, more: &[u8]) {
    let (map, group) = metadata::split(first);
    let missing: Vec<_> = {
        let known: Vec<_> = Pairs::of(map).collect();
        Pairs::of(more)
            .filter(|pair| !known.contains(pair))
            .collect()
    };
    if missing.is_empty() {
        return;
    }
    let count = Pairs::of(map).count() + missing.len();
    let mut merged = Vec::with_capacity(first.len() + more.len());
    write::map_header(&mut merged, count as u32);
    for (key, value) in Pairs::of(map).chain(missing) {
        merged.extend_from_slice(key);
        merged.extend_from_slice(value);
    }
    let mut joined = Vec::with_capacity(merged.len());
    metadata::join(&merged, group, &mut joined);
    *first = joined;
}
