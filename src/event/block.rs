//! Encoded events, one behind the other: the form in which they wait, in memory and on disk.
//!
//! ```text
//! event    seconds u64 │ nanos u32 │ metadata length u32 │ record length u32 │ metadata │ record
//! ```
//! Numbers are little-endian; metadata and record are `MessagePack` as the client sent it, or as the filters left it. The
//! lengths make walking a block independent of what the records hold.

use super::EventTime;

const HEADER: usize = 20;

/// One event, borrowed from a [`Block`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Event<'a> {
    /// When it happened.
    pub time: EventTime,
    /// The metadata map, or nothing.
    pub metadata: &'a [u8],
    /// The record, a msgpack map.
    pub record: &'a [u8],
}

/// What stands in front of an event's metadata and record.
#[inline]
fn header(time: EventTime, metadata: usize, record: usize) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    let (times, lengths) = header.split_at_mut(12);
    let (seconds, nanos) = times.split_at_mut(8);
    let (first, second) = lengths.split_at_mut(4);
    seconds.copy_from_slice(&time.seconds.to_le_bytes());
    nanos.copy_from_slice(&time.nanos.to_le_bytes());
    first.copy_from_slice(&(metadata as u32).to_le_bytes());
    second.copy_from_slice(&(record as u32).to_le_bytes());
    header
}

/// Events of one tag, in the order they came.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Block {
    bytes: Vec<u8>,
    count: usize,
}

impl Block {
    /// An empty block with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(capacity),
            count: 0,
        }
    }

    /// Appends one event.
    #[inline]
    pub fn push(&mut self, event: Event<'_>) {
        let (metadata, record) = (event.metadata, event.record);
        self.bytes.reserve(HEADER + metadata.len() + record.len());
        let header = header(event.time, metadata.len(), record.len());
        self.bytes.extend_from_slice(&header);
        self.bytes.extend_from_slice(metadata);
        self.bytes.extend_from_slice(record);
        self.count += 1;
    }

    /// Appends one event whose record `write` appends.
    #[inline]
    pub fn push_with(
        &mut self,
        time: EventTime,
        metadata: &[u8],
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let before = self.bytes.len();
        self.bytes
            .extend_from_slice(&header(time, metadata.len(), 0));
        self.bytes.extend_from_slice(metadata);
        let start = self.bytes.len();
        write(&mut self.bytes);
        let header = header(time, metadata.len(), self.bytes.len() - start);
        if let Some(place) = self.bytes.get_mut(before..before + HEADER) {
            place.copy_from_slice(&header);
        }
        self.count += 1;
    }

    /// Appends a part of another block.
    pub fn append(&mut self, part: Part<'_>) {
        self.bytes.extend_from_slice(part.bytes);
        self.count += part.count;
    }

    /// All of it as bytes, which [`Block::append_bytes`] takes back.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether these are the bytes of a block with `count` events, and nothing else.
    pub fn is_whole(bytes: &[u8], count: usize) -> bool {
        let mut events = Events { bytes, position: 0 };
        events.by_ref().count() == count && events.position == bytes.len()
    }

    /// Appends the bytes of a block with `count` events, for which [`Block::is_whole`] must have held.
    pub fn append_bytes(&mut self, bytes: &[u8], count: usize) {
        self.append(Part { bytes, count });
    }

    /// All of it, in parts of at most `most` bytes; only an event that is longer makes a longer one.
    pub fn parts(&self, most: usize) -> Parts<'_> {
        Parts {
            events: self.events_from(0),
            left: self.count,
            most,
        }
    }

    /// How many events it holds.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Its size in bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Room it occupies, filled or not.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Makes room for `additional` bytes and no more, and says by how much the room has grown.
    pub fn reserve_exact(&mut self, additional: usize) -> usize {
        let before = self.bytes.capacity();
        self.bytes.reserve_exact(additional);
        self.bytes.capacity() - before
    }

    /// Empties it and keeps its room.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
    }

    /// A mark to [`Block::cut`] back to.
    pub fn mark(&self) -> (usize, usize) {
        (self.bytes.len(), self.count)
    }

    /// Forgets everything behind a mark.
    pub fn cut(&mut self, mark: (usize, usize)) {
        self.bytes.truncate(mark.0);
        self.count = self.count.min(mark.1);
    }

    /// Walks the events from the byte `start` on.
    pub fn events_from(&self, start: usize) -> Events<'_> {
        Events {
            bytes: &self.bytes,
            position: start,
        }
    }
}

/// Some events of a block, one behind the other.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    bytes: &'a [u8],
    count: usize,
}

impl Part<'_> {
    /// Its size in bytes.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes
    }

    /// How many events it holds.
    pub fn count(&self) -> usize {
        self.count
    }
}

/// Cuts a block; see [`Block::parts`].
#[derive(Debug)]
pub struct Parts<'a> {
    events: Events<'a>,
    left: usize,
    most: usize,
}

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        let start = self.events.position;
        let rest = self
            .events
            .bytes
            .get(start..)
            .filter(|rest| !rest.is_empty())?;
        if rest.len() <= self.most {
            self.events.position = self.events.bytes.len();
            return Some(Part {
                bytes: rest,
                count: self.left,
            });
        }
        let (mut end, mut count) = (start, 0);
        while self.events.next().is_some() {
            if count > 0 && self.events.position - start > self.most {
                break;
            }
            (end, count) = (self.events.position, count + 1);
        }
        self.events.position = end;
        self.left -= count;
        let bytes = self
            .events
            .bytes
            .get(start..end)
            .filter(|part| !part.is_empty())?;
        Some(Part { bytes, count })
    }
}

/// Walks a block; see [`Block::events_from`].
#[derive(Debug, Clone)]
pub struct Events<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl Events<'_> {
    /// Where the next event starts.
    pub fn position(&self) -> usize {
        self.position
    }
}

impl<'a> Iterator for Events<'a> {
    type Item = Event<'a>;

    #[inline]
    fn next(&mut self) -> Option<Event<'a>> {
        let (header, rest) = self
            .bytes
            .get(self.position..)?
            .split_first_chunk::<HEADER>()?;
        let (seconds, lengths) = header.split_first_chunk::<8>()?;
        let (nanos, lengths) = lengths.split_first_chunk::<4>()?;
        let (metadata, record) = lengths.split_first_chunk::<4>()?;
        let record = record.first_chunk::<4>()?;
        let (metadata, rest) = rest.split_at_checked(u32::from_le_bytes(*metadata) as usize)?;
        let record = rest.get(..u32::from_le_bytes(*record) as usize)?;
        self.position += HEADER + metadata.len() + record.len();
        let time = EventTime {
            seconds: u64::from_le_bytes(*seconds),
            nanos: u32::from_le_bytes(*nanos),
        };
        Some(Event {
            time,
            metadata,
            record,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seconds: u64, record: &[u8]) -> Event<'_> {
        Event {
            time: EventTime { seconds, nanos: 7 },
            metadata: &[],
            record,
        }
    }

    #[test]
    fn events_come_back_in_order_and_whole() {
        let mut block = Block::default();
        block.push(event(1, &[0x80]));
        block.push(Event {
            metadata: &[0x81, 0xa1, b'm', 1],
            ..event(2, &[0x81, 0xa1, b'k', 2])
        });
        let mut events = block.events_from(0);
        assert_eq!(events.next(), Some(event(1, &[0x80])));
        let second = events.position();
        assert_eq!(
            events.next().map(|e| (e.time.seconds, e.metadata.len())),
            Some((2, 4))
        );
        assert_eq!(events.next(), None);
        assert_eq!(
            block.events_from(second).next().map(|e| e.record),
            Some(&[0x81, 0xa1, b'k', 2][..])
        );
    }

    #[test]
    fn parts_hold_everything_in_order_and_only_a_long_event_makes_a_long_one() {
        let mut block = Block::default();
        for (seconds, length) in [(1, 10), (2, 10), (3, 500), (4, 10)] {
            block.push(event(seconds, &vec![0xc0; length]));
        }
        let mut joined = Block::default();
        let mut sizes = Vec::new();
        for part in block.parts(70) {
            sizes.push(part.size());
            joined.append(part);
        }
        assert_eq!(sizes, [60, 520, 30]);
        assert_eq!(joined, block);
    }

    #[test]
    fn a_cut_forgets_what_came_behind_the_mark() {
        let mut block = Block::default();
        block.push(event(1, &[0x80]));
        let mark = block.mark();
        block.push(event(2, &[0x80]));
        block.cut(mark);
        assert_eq!(block.count(), 1);
        assert_eq!(block.events_from(0).count(), 1);
    }
}
