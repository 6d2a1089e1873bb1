//! Writes events into one frame.
//!
//! ```text
//! frame = [tag, entries in a bin, {"size": n, "compressed": "gzip", "fluent_signal": 0, …, "chunk": id}]
//! entry = [time, record]  or  [[time, metadata], record]
//! ```
//! Of the modes of the protocol this one, `PackedForward`, costs its reader least: the end of the frame is known from its start.
//! The id of a frame is the last thing in it, made from what stands before: the same events sent again have the same id.
//!
//! Specification: <https://github.com/fluent/fluentd/wiki/Forward-Protocol-Specification-v1.5>

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{self, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::framing::{Framing, Tagging};
use crate::event::{DropReason, Tag};
use crate::msgpack::write;
use crate::output::entry;
use crate::output::{Destination, Encoded, Item, Limits};

/// Of one frame, before compression. Far below what receivers take, so that an acknowledgement is soon there.
pub(super) const LIMITS: Limits = Limits {
    events: usize::MAX,
    bytes: 1 << 20,
};
/// The largest event. Fluent Bit takes frames of 6 144 000 bytes and closes the connection on longer ones, again and again.
const EVENT_MAX: usize = 6_000_000;
/// The length of an id.
const ID: usize = 24;

/// Makes ids: 64 bits that tell this output from others, and 64 bits that tell its frames apart.
#[derive(Debug)]
pub(super) struct Ids {
    ours: u64,
    hash: RandomState,
}

impl Default for Ids {
    fn default() -> Self {
        Self {
            ours: fastrand::u64(..),
            hash: RandomState::new(),
        }
    }
}

impl Ids {
    fn of(&self, frame: &[u8]) -> String {
        let mut hasher = self.hash.build_hasher();
        hasher.write(frame);
        let id = [self.ours.to_be_bytes(), hasher.finish().to_be_bytes()].concat();
        base64_simd::STANDARD.encode_to_string(id)
    }
}

/// The id of a frame that was written with one.
pub(super) fn id_of(frame: &Bytes) -> Option<Bytes> {
    let start = frame.len().checked_sub(ID)?;
    Some(frame.slice(start..))
}

/// Writes one frame.
pub(super) fn encode(
    framing: &Framing,
    ids: &Ids,
    destination: &Destination,
    items: &mut dyn Iterator<Item = Item<'_>>,
    mut frame: Vec<u8>,
) -> Encoded {
    let mut choice = Choice {
        items,
        framing,
        tag: None,
        bytes: 0,
        encoded: Encoded::default(),
    };
    if let Some(first) = choice.next() {
        let tag = match framing.tag {
            Tagging::Own => first.tag.as_bytes(),
            Tagging::Fixed(_) | Tagging::Made(_) => destination.name.as_bytes(),
        };
        write::array_header(&mut frame, 3);
        write::str(&mut frame, tag);
        frame.push(0xc6);
        frame.extend_from_slice(&[0; 4]);
        let start = frame.len();
        frame = choice.fill(first, frame);
        let length = (frame.len() - start) as u32;
        if let Some(place) = frame.get_mut(start - 4..start) {
            place.copy_from_slice(&length.to_be_bytes());
        }
        options(framing, ids, choice.encoded.taken(), &mut frame);
    }
    let mut encoded = choice.encoded;
    encoded.body = frame.into();
    encoded
}

/// Takes those items that belong into the frame.
struct Choice<'i, 'e> {
    items: &'i mut dyn Iterator<Item = Item<'e>>,
    framing: &'i Framing,
    tag: Option<&'e Tag>,
    bytes: usize,
    encoded: Encoded,
}

impl<'e> Choice<'_, 'e> {
    fn next(&mut self) -> Option<Item<'e>> {
        loop {
            let item = self.items.next()?;
            let size = entry::size(item.event);
            if size > EVENT_MAX {
                let place = self.encoded.consumed;
                self.encoded.refused.push((place, DropReason::TooLarge));
                self.encoded.consumed += 1;
                continue;
            }
            let is_full = self.bytes > 0 && self.bytes + size > LIMITS.bytes;
            // Two tags that are no UTF-8 may look the same, and so share a destination.
            let is_other =
                self.framing.tag == Tagging::Own && self.tag.is_some_and(|tag| tag != item.tag);
            if is_full || is_other {
                return None;
            }
            self.tag = Some(item.tag);
            self.bytes += size;
            self.encoded.consumed += 1;
            return Some(item);
        }
    }

    /// Appends all entries. Writing to memory does not fail.
    fn fill(&mut self, first: Item<'e>, mut frame: Vec<u8>) -> Vec<u8> {
        if !self.framing.gzip {
            let _infallible = self.write(first, &mut frame);
            return frame;
        }
        let mut packed = GzEncoder::new(frame, Compression::default());
        let _infallible = self.write(first, &mut packed);
        packed.finish().unwrap_or_default()
    }

    fn write(&mut self, first: Item<'e>, out: &mut impl Write) -> io::Result<()> {
        let mut next = Some(first);
        while let Some(item) = next {
            self.framing.entries.write(item.event, out)?;
            next = self.next();
        }
        Ok(())
    }
}

/// Appends the options, the id last.
fn options(framing: &Framing, ids: &Ids, size: usize, frame: &mut Vec<u8>) {
    let count = 1 + usize::from(framing.gzip) + usize::from(framing.signal);
    let count = count + framing.options.len() + usize::from(framing.ack);
    write::map_header(frame, count as u32);
    write::str(frame, b"size");
    write::unsigned(frame, size as u64);
    if framing.gzip {
        write::str(frame, b"compressed");
        write::str(frame, b"gzip");
    }
    if framing.signal {
        write::str(frame, b"fluent_signal");
        write::unsigned(frame, 0);
    }
    for (key, value) in &framing.options {
        write::str(frame, key.as_bytes());
        write::str(frame, value.as_bytes());
    }
    if framing.ack {
        let id = ids.of(frame);
        write::str(frame, b"chunk");
        write::str(frame, id.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::event::{Event, EventTime};
    use crate::output::entry::Entries;
    use crate::output::template::Template;

    const TIME: EventTime = EventTime {
        seconds: 1_700_000_000,
        nanos: 7,
    };
    const RECORD: &[u8] = b"\x81\xa3log\xa2hi";

    fn item<'a>(tag: &'a Tag, time: EventTime, record: &'a [u8]) -> Item<'a> {
        let metadata = &[][..];
        Item {
            tag,
            event: Event {
                time,
                metadata,
                record,
            },
        }
    }

    fn frame(framing: &Framing, items: &[Item<'_>]) -> Encoded {
        let destination = Destination {
            name: "other".into(),
            ..Destination::default()
        };
        let ids = Ids::default();
        encode(
            framing,
            &ids,
            &destination,
            &mut items.iter().copied(),
            Vec::new(),
        )
    }

    fn joined(parts: &[&[u8]]) -> Vec<u8> {
        parts.concat()
    }

    #[test]
    fn a_frame_holds_entries_with_their_times() {
        let tag = Tag::new(b"a.b");
        let entry = joined(&[b"\x92\xd7\x00\x65\x53\xf1\x00\x00\x00\x00\x07", RECORD]);
        let encoded = frame(&Framing::default(), &[item(&tag, TIME, RECORD); 2]);
        let expected = joined(&[
            b"\x93\xa3a.b\xc6\x00\x00\x00\x26",
            &entry,
            &entry,
            b"\x81\xa4size\x02",
        ]);
        assert_eq!((&encoded.body[..], encoded.consumed), (&expected[..], 2));
    }

    #[test]
    fn every_setting_changes_the_frame_as_it_says() {
        let tag = Tag::new(b"a");
        let items = [item(&tag, TIME, RECORD)];
        let made = |framing: Framing| frame(&framing, &items).body;
        let fixed = made(Framing {
            tag: Tagging::Fixed("other".to_owned()),
            entries: Entries {
                integer_time: true,
                metadata: false,
            },
            signal: true,
            options: vec![("k".to_owned(), "v".to_owned())],
            ..Framing::default()
        });
        let expected = joined(&[
            b"\x93\xa5other\xc6\x00\x00\x00\x0e\x92\xce\x65\x53\xf1\x00",
            RECORD,
            b"\x83\xa4size\x01\xadfluent_signal\x00\xa1k\xa1v",
        ]);
        assert_eq!(&fixed[..], expected);
        let retaining = made(Framing {
            entries: Entries {
                integer_time: false,
                metadata: true,
            },
            tag: Tagging::Made(Template::new("$log").unwrap()),
            ..Framing::default()
        });
        let expected = joined(&[
            b"\x93\xa5other\xc6\x00\x00\x00\x15\x92\x92\xd7\x00\x65\x53\xf1\x00\x00\x00\x00\x07\x80",
            RECORD,
            b"\x81\xa4size\x01",
        ]);
        assert_eq!(&retaining[..], expected);
    }

    #[test]
    fn entries_are_compressed_together() {
        let tag = Tag::new(b"a");
        let framing = Framing {
            gzip: true,
            ..Framing::default()
        };
        let body = frame(&framing, &[item(&tag, TIME, RECORD); 50]).body;
        let length = u32::from_be_bytes(body[4..8].try_into().unwrap()) as usize;
        let mut entries = Vec::new();
        let mut reader = flate2::read::GzDecoder::new(&body[8..8 + length]);
        reader.read_to_end(&mut entries).unwrap();
        let entry = joined(&[b"\x92\xd7\x00\x65\x53\xf1\x00\x00\x00\x00\x07", RECORD]);
        assert_eq!(entries, entry.repeat(50));
        assert_eq!(
            &body[8 + length..],
            b"\x82\xa4size\x32\xaacompressed\xa4gzip"
        );
    }

    #[test]
    fn the_id_is_the_same_for_the_same_frame_and_stands_at_its_end() {
        let tag = Tag::new(b"a");
        let framing = Framing {
            ack: true,
            ..Framing::default()
        };
        let (ids, destination) = (Ids::default(), Destination::default());
        let id = |ids: &Ids, record: &[u8]| {
            let mut items = std::iter::once(item(&tag, TIME, record));
            let body = encode(&framing, ids, &destination, &mut items, Vec::new()).body;
            let id = id_of(&body).unwrap();
            let end = joined(&[b"\x82\xa4size\x01\xa5chunk\xb8", &id]);
            assert!(body.ends_with(&end), "{body:?}");
            id
        };
        let first = id(&ids, RECORD);
        assert_eq!(first, id(&ids, RECORD));
        assert_ne!(first, id(&ids, &[0x80]));
        assert_ne!(first, id(&Ids::default(), RECORD));
        assert_eq!(
            base64_simd::STANDARD.decode_to_vec(&first).unwrap().len(),
            16
        );
    }

    #[test]
    fn a_frame_ends_before_it_is_too_large_and_where_the_tag_changes() {
        let (tag, other) = (Tag::new(b"\xfe"), Tag::new(b"\xff"));
        let record = joined(&[b"\x81\xa1k\xc6\x00\x06\x00\x00", &vec![0; 0x6_0000]]);
        let items = [item(&tag, TIME, &record); 3];
        assert_eq!(frame(&Framing::default(), &items).consumed, 2);
        let items = [item(&tag, TIME, RECORD), item(&other, TIME, RECORD)];
        assert_eq!(frame(&Framing::default(), &items).consumed, 1);
        let huge = joined(&[b"\x81\xa1k\xc6\x00\x5b\x8d\x80", &vec![0; EVENT_MAX]]);
        let items = [
            item(&tag, TIME, &huge),
            item(&tag, TIME, RECORD),
            item(&tag, TIME, &huge),
        ];
        let encoded = frame(&Framing::default(), &items);
        assert_eq!(encoded.consumed, 3);
        assert_eq!(
            encoded.refused,
            [(0, DropReason::TooLarge), (2, DropReason::TooLarge)]
        );
        assert!(encoded.body.ends_with(b"\x81\xa4size\x01"));
        let encoded = frame(&Framing::default(), &items[..1]);
        assert_eq!(
            (encoded.consumed, encoded.taken(), encoded.body.len()),
            (1, 0, 0)
        );
    }
}
