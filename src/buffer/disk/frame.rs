//! The form of entries in a segment, and how the whole ones are found among damaged bytes.
//!
//! ```text
//! segment  `SLUICE01` │ entry │ entry ...
//! entry    marker 4 │ body length u32 │ sequence u64 │ events u32 │ checksum of body u32 │ checksum of the header u32 │ body
//! body     routes u16 │ source length u16 │ tag length u32 │ key of each route u64 │ source │ tag │ events as a Block has them
//! ```
//! Numbers are little-endian, checksums are CRC32C. They begin with a salt, which stands in the name of the file: nobody who
//! sends events knows it, so no event can be made to look like an entry. The header has a checksum of its own because a length
//! that is right tells where the next entry begins, whatever the body has come to.

use crate::event::Block;

/// What a segment begins with. The last two bytes are the version of the form.
pub(super) const MAGIC: &[u8; 8] = b"SLUICE01";

/// What an entry begins with.
const MARKER: [u8; 4] = [0xf5, b's', b'l', 0xe7];

/// The length of an entry's header.
pub(super) const HEADER: usize = 28;

/// The longest body that is believed.
const BODY_MAX: usize = 1 << 30;

/// The length of what stands before the keys of the routes.
const BODY_HEAD: usize = 8;

/// What is the same in all bodies of one stream: everything before the events.
#[derive(Debug)]
pub(super) struct Prefix {
    bytes: Vec<u8>,
    checksum: u32,
    salt: u32,
}

impl Prefix {
    /// For events of this source and tag that are owed to the routes with these keys.
    pub(super) fn new(salt: u32, keys: &[u64], source: &[u8], tag: &[u8]) -> Self {
        let source = source.get(..usize::from(u16::MAX)).unwrap_or(source);
        let keys = keys.get(..usize::from(u16::MAX)).unwrap_or(keys);
        let mut bytes = Vec::with_capacity(BODY_HEAD + keys.len() * 8 + source.len() + tag.len());
        bytes.extend_from_slice(&(keys.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&(source.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&(tag.len() as u32).to_le_bytes());
        for key in keys {
            bytes.extend_from_slice(&key.to_le_bytes());
        }
        bytes.extend_from_slice(source);
        bytes.extend_from_slice(tag);
        let checksum = crc32c::crc32c_append(salt, &bytes);
        Self {
            bytes,
            checksum,
            salt,
        }
    }

    /// The length of an entry with these events.
    pub(super) fn entry_length(&self, events: &[u8]) -> usize {
        HEADER + self.bytes.len() + events.len()
    }

    /// The checksum of a body with these events.
    pub(super) fn checksum(&self, events: &[u8]) -> u32 {
        crc32c::crc32c_append(self.checksum, events)
    }

    /// Appends an entry; `checksum` is what [`Prefix::checksum`] has said of the events.
    pub(super) fn write(
        &self,
        out: &mut Vec<u8>,
        sequence: u64,
        count: u32,
        checksum: u32,
        events: &[u8],
    ) {
        let start = out.len();
        out.extend_from_slice(&MARKER);
        out.extend_from_slice(&((self.bytes.len() + events.len()) as u32).to_le_bytes());
        out.extend_from_slice(&sequence.to_le_bytes());
        out.extend_from_slice(&count.to_le_bytes());
        out.extend_from_slice(&checksum.to_le_bytes());
        let header = crc32c::crc32c_append(self.salt, out.get(start..).unwrap_or_default());
        out.extend_from_slice(&header.to_le_bytes());
        out.extend_from_slice(&self.bytes);
        out.extend_from_slice(events);
    }
}

/// The header of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    body: usize,
    sequence: u64,
    count: u32,
    checksum: u32,
}

impl Header {
    /// Reads a header from the beginning of `bytes`, if one stands there.
    fn read(bytes: &[u8], salt: u32) -> Option<Self> {
        let (header, _) = bytes.split_first_chunk::<HEADER>()?;
        let (summed, sum) = header.split_last_chunk::<4>()?;
        if !header.starts_with(&MARKER)
            || crc32c::crc32c_append(salt, summed) != u32::from_le_bytes(*sum)
        {
            return None;
        }
        Self::split(header).filter(|header| header.body <= BODY_MAX)
    }

    fn split(header: &[u8]) -> Option<Self> {
        let mut fields = Fields(header.get(MARKER.len()..)?);
        Some(Self {
            body: fields.u32()? as usize,
            sequence: fields.u64()?,
            count: fields.u32()?,
            checksum: fields.u32()?,
        })
    }
}

/// Reads numbers off the front.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }
}

/// An entry, whole and checked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Entry<'a> {
    /// Its place among all entries.
    pub sequence: u64,
    /// How many events it holds.
    pub count: u32,
    /// The input they came from.
    pub source: &'a [u8],
    /// Their tag.
    pub tag: &'a [u8],
    keys: &'a [u8],
    events: &'a [u8],
}

impl<'a> Entry<'a> {
    /// Reads a body, whose events have to be whole.
    fn read(header: Header, body: &'a [u8]) -> Option<Self> {
        let entry = Self::split(header, body)?;
        let is_whole = Block::is_whole(entry.events, entry.count as usize);
        is_whole.then_some(entry)
    }

    fn split(header: Header, body: &'a [u8]) -> Option<Self> {
        let mut fields = Fields(body);
        let (keys, source, tag) = (fields.u16()?, fields.u16()?, fields.u32()?);
        Some(Self {
            sequence: header.sequence,
            count: header.count,
            keys: fields.bytes(usize::from(keys) * 8)?,
            source: fields.bytes(usize::from(source))?,
            tag: fields.bytes(tag as usize)?,
            events: fields.0,
        })
    }

    /// The keys of the routes that it was stored for.
    pub(super) fn keys(&self) -> impl Iterator<Item = u64> {
        let (keys, _) = self.keys.as_chunks::<8>();
        keys.iter().map(|key| u64::from_le_bytes(*key))
    }

    /// The events, as a [`Block`] has them.
    pub fn events(&self) -> &'a [u8] {
        self.events
    }
}

/// What stands at the beginning of some bytes of a segment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Step<'a> {
    /// An entry that takes so many bytes.
    Entry(Entry<'a>, usize),
    /// An entry may stand here, and it takes so many bytes, of which not all are there.
    Short(usize),
    /// So many bytes that are no entry; when there are more bytes, an entry may follow.
    Damaged(usize),
}

/// Reads again what [`step`] has found to be an entry.
pub(super) fn parse(bytes: &[u8]) -> Option<Entry<'_>> {
    let (fields, body) = bytes.split_first_chunk::<HEADER>()?;
    Entry::split(Header::split(fields)?, body)
}

/// Says what stands at the beginning of `bytes`, which are not empty.
pub fn step(bytes: &[u8], salt: u32) -> Step<'_> {
    let Some(header) = Header::read(bytes, salt) else {
        return Step::damaged(bytes, salt);
    };
    let length = HEADER + header.body;
    let Some(body) = bytes.get(HEADER..length) else {
        return Step::Short(length);
    };
    let is_sound = crc32c::crc32c_append(salt, body) == header.checksum;
    match Entry::read(header, body).filter(|_| is_sound) {
        Some(entry) => Step::Entry(entry, length),
        None => Step::Damaged(length),
    }
}

impl<'a> Step<'a> {
    /// No header stands at the beginning: looks for the next one.
    fn damaged(bytes: &'a [u8], salt: u32) -> Self {
        // The part of a header that the end cuts off.
        if bytes.len() < HEADER && Self::may_begin(bytes) {
            return Self::Short(HEADER);
        }
        let mut from = 1;
        while let Some(rest) = bytes.get(from..)
            && let Some(at) = memchr::memchr(MARKER[0], rest)
        {
            let rest = rest.get(at..).unwrap_or_default();
            from += at;
            let is_cut = rest.len() < HEADER && Self::may_begin(rest);
            if is_cut || Header::read(rest, salt).is_some() {
                return Self::Damaged(from);
            }
            from += 1;
        }
        Self::Damaged(bytes.len())
    }

    fn may_begin(bytes: &[u8]) -> bool {
        let common = bytes.len().min(MARKER.len());
        bytes.get(..common) == MARKER.get(..common)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, EventTime};
    use proptest::prelude::*;

    fn block(records: &[&[u8]]) -> Block {
        let mut block = Block::default();
        for record in records {
            block.push(Event {
                time: EventTime::default(),
                metadata: &[],
                record,
            });
        }
        block
    }

    fn write(out: &mut Vec<u8>, sequence: u64, tag: &str, records: &[&[u8]]) {
        let prefix = Prefix::new(7, &[1, 2], b"in.0", tag.as_bytes());
        let block = block(records);
        let bytes = block.bytes();
        let count = block.count() as u32;
        prefix.write(out, sequence, count, prefix.checksum(bytes), bytes);
    }

    /// The sequences of all whole entries, and how many bytes are in none.
    fn read(mut bytes: &[u8]) -> (Vec<u64>, usize) {
        let (mut sequences, mut lost) = (Vec::new(), 0);
        while !bytes.is_empty() {
            let length = match step(bytes, 7) {
                Step::Entry(entry, length) => {
                    sequences.push(entry.sequence);
                    length
                }
                Step::Short(_) => {
                    lost += bytes.len();
                    break;
                }
                Step::Damaged(length) => {
                    lost += length.min(bytes.len());
                    length
                }
            };
            bytes = bytes.get(length..).unwrap_or_default();
        }
        (sequences, lost)
    }

    fn three() -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for sequence in 0..3 {
            write(
                &mut bytes,
                sequence,
                "app",
                &[&[0x81, 0xa1, b'k', 1], &[0x80]],
            );
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    #[test]
    fn an_entry_comes_back_as_it_was_written() {
        let mut bytes = Vec::new();
        write(&mut bytes, 5, "app.x", &[&[0x80]]);
        let Step::Entry(entry, length) = step(&bytes, 7) else {
            panic!("no entry");
        };
        assert_eq!(length, bytes.len());
        assert_eq!((entry.sequence, entry.count), (5, 1));
        assert_eq!((entry.source, entry.tag), (&b"in.0"[..], &b"app.x"[..]));
        assert_eq!(entry.keys().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(entry.events(), block(&[&[0x80]]).bytes());
    }

    #[test]
    fn nobody_without_the_salt_writes_an_entry() {
        let (bytes, _) = three();
        assert!(matches!(step(&bytes, 8), Step::Damaged(_)));
    }

    #[test]
    fn a_file_cut_anywhere_loses_the_entry_it_is_cut_in_and_no_other() {
        let (bytes, ends) = three();
        for cut in 0..=bytes.len() {
            let whole = ends.iter().filter(|end| **end <= cut).count() as u64;
            assert_eq!(read(&bytes[..cut]).0, (0..whole).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_flipped_bit_loses_the_entry_it_is_in_and_no_other() {
        let (bytes, ends) = three();
        for bit in 0..bytes.len() * 8 {
            let mut broken = bytes.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            let hit = ends.iter().filter(|end| **end <= bit / 8).count() as u64;
            let expected: Vec<u64> = (0..3).filter(|sequence| *sequence != hit).collect();
            assert_eq!(read(&broken).0, expected, "bit {bit}");
        }
    }

    #[test]
    fn a_count_that_does_not_fit_the_events_is_damage() {
        let mut bytes = Vec::new();
        let prefix = Prefix::new(7, &[], b"", b"t");
        let block = block(&[&[0x80]]);
        prefix.write(
            &mut bytes,
            0,
            2,
            prefix.checksum(block.bytes()),
            block.bytes(),
        );
        assert_eq!(step(&bytes, 7), Step::Damaged(bytes.len()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_to_their_end(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            read(&bytes);
        }

        #[test]
        fn damage_in_one_place_loses_only_what_it_touches(
            at in 0usize..300, junk in proptest::collection::vec(any::<u8>(), 1..80)
        ) {
            let (bytes, ends) = three();
            let at = at.min(bytes.len() - 1);
            let mut broken = bytes.clone();
            for (place, byte) in broken[at..].iter_mut().zip(&junk) {
                *place = *byte;
            }
            let end = (at + junk.len()).min(bytes.len());
            let (found, _) = read(&broken);
            let mut start = 0;
            for (sequence, stop) in ends.iter().enumerate() {
                if end <= start || at >= *stop {
                    prop_assert!(found.contains(&(sequence as u64)));
                }
                start = *stop;
            }
        }
    }
}
