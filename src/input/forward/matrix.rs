//! The shapes of the protocol crossed with each other: what a frame holds comes out the same however it is put together, and
//! what is wrong in one shape is wrong in all.

use std::io::Write as _;

use flate2::{Compression, GzBuilder};
use futures_util::future::BoxFuture;

use super::reject::Reject;
use super::replay::Replay;
use crate::event::{Event, Receipt};
use crate::input::Session;
use crate::msgpack::write;

const LIMIT: usize = 6_144_000;
const CHUNK: &[u8] = b"\xa5chunk\xa2id";
const ACK: &[u8] = b"\x81\xa3ack\xa2id";
/// `[5, {"k": "v"}]`
const ENTRY: &[u8] = b"\x92\x05\x81\xa1k\xa1v";

/// Tag, seconds, nanoseconds, metadata, record.
type Kept = (Vec<u8>, u64, u32, Vec<u8>, Vec<u8>);

/// Keeps what it is offered.
#[derive(Default)]
struct Taken {
    tag: Vec<u8>,
    events: Vec<Kept>,
    frame: usize,
}

impl Session for Taken {
    fn tag(&mut self, tag: &[u8]) {
        self.tag = tag.to_vec();
    }

    fn offer(&mut self, event: Event<'_>) {
        let (seconds, nanos) = (event.time.seconds, event.time.nanos);
        let (metadata, record) = (event.metadata.to_vec(), event.record.to_vec());
        self.events
            .push((self.tag.clone(), seconds, nanos, metadata, record));
    }

    fn open_frame(&mut self) {
        self.frame = self.events.len();
    }

    fn refuse_frame(&mut self) {
        self.events.truncate(self.frame);
    }

    fn receipt(&mut self, _: Receipt) {}

    fn commit(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// What becomes of a frame that is there as a whole: its events and its acknowledgement.
fn play(frame: &[u8]) -> Result<(Taken, Vec<u8>), Reject> {
    let (mut replay, mut taken) = (Replay::new(LIMIT), Taken::default());
    let outcome = replay.take(frame, &mut taken);
    let answers = replay.answers();
    match outcome {
        Ok(length) => {
            assert_eq!(length, frame.len(), "{:02x?}", brief(frame));
            Ok((taken, answers))
        }
        Err(reject) => {
            assert_eq!((taken.events.len(), answers.len()), (0, 0), "{reject}");
            Err(reject)
        }
    }
}

fn brief(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(80)]
}

fn array(elements: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    write::array_header(&mut out, elements.len() as u32);
    out.extend(elements.concat());
    out
}

/// The pair `"chunk": "id"` and others, as a map.
fn options(pairs: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    write::map_header(&mut out, pairs.len() as u32 + 1);
    out.extend_from_slice(CHUNK);
    out.extend(pairs.concat());
    out
}

fn bin(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write::bin(&mut out, bytes);
    out
}

/// One event in each mode, with an option.
fn modes(time: &[u8], record: &[u8], option: &[u8]) -> [Vec<u8>; 3] {
    let entry = array(&[time, record]);
    [
        array(&[b"\xa1t", time, record, option]),
        array(&[b"\xa1t", &array(&[&entry]), option]),
        array(&[b"\xa1t", &bin(&entry), option]),
    ]
}

const TIMES: &[(&[u8], u64, u32)] = &[
    (b"\x05", 5, 0),
    (b"\xcc\xf5", 245, 0),
    (b"\xcd\x00\x05", 5, 0),
    (b"\xce\xff\xff\xff\xff", 0xffff_ffff, 0),
    (b"\xcf\x00\x00\x00\x01\x00\x00\x00\x00", 1 << 32, 0),
    (b"\xd0\x05", 5, 0),
    (b"\xd1\x7f\xff", 0x7fff, 0),
    (b"\xd2\x65\x53\xf1\x00", 1_700_000_000, 0),
    (b"\xd3\x00\x00\x00\x00\x65\x53\xf1\x00", 1_700_000_000, 0),
    (b"\xca\x40\xb0\x00\x00", 5, 500_000_000),
    (b"\xcb\x40\x16\x00\x00\x00\x00\x00\x00", 5, 500_000_000),
    (
        b"\xd7\x00\x65\x53\xf1\x00\x00\x00\x00\x07",
        1_700_000_000,
        7,
    ),
    (
        b"\xc7\x08\x00\x65\x53\xf1\x00\x00\x00\x00\x07",
        1_700_000_000,
        7,
    ),
    (
        b"\xc8\x00\x08\x00\x65\x53\xf1\x00\x00\x00\x00\x07",
        1_700_000_000,
        7,
    ),
    (
        b"\xc9\x00\x00\x00\x08\x00\x65\x53\xf1\x00\x00\x00\x00\x07",
        1_700_000_000,
        7,
    ),
    (
        b"\xd7\x00\x80\x00\x00\x00\x3b\x9a\xc9\xff",
        0x8000_0000,
        999_999_999,
    ),
    (b"\xd7\x00\xff\xff\xff\xfd\x00\x00\x00\x00", 0xffff_fffd, 0),
];

const NO_TIMES: &[&[u8]] = &[
    b"\xc0",
    b"\xc2",
    b"\xc3",
    b"\xa1t",
    b"\xc4\x01t",
    b"\x80",
    b"\xff",
    b"\xd0\xff",
    b"\xd1\xff\xff",
    b"\xd2\xff\xff\xff\xff",
    b"\xd3\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xd3\x7f\xff\xff\xff\xff\xff\xff\xff",
    b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xca\x7f\xc0\x00\x00",
    b"\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00",
    b"\xcb\xbf\xf0\x00\x00\x00\x00\x00\x00",
    b"\xcb\x7e\x37\xe4\x3c\x88\x00\x75\x9c",
    b"\xc7\x00\x00",
    b"\xd6\x00\x65\x53\xf1\x00",
    b"\xd8\x00\x65\x53\xf1\x00\x00\x00\x00\x07\x65\x53\xf1\x00\x00\x00\x00\x07",
    b"\xd7\x01\x65\x53\xf1\x00\x00\x00\x00\x07",
    b"\xd6\xff\x65\x53\xf1\x00",
    b"\xd7\x00\x65\x53\xf1\x00\x3b\x9a\xca\x00",
];

/// Checklist: forward 12, 13, 14, 15.
#[test]
fn every_encoding_of_a_time_means_the_same_in_every_mode() {
    for (time, seconds, nanos) in TIMES {
        let header = array(&[time, b"\x81\xa1m\x01"]);
        let beside = array(&[b"\xa1t", &array(&[&array(&[&header, b"\x80"])])]);
        let frames = modes(time, b"\x80", b"\xc0");
        for frame in frames.iter().chain([&beside]) {
            let (taken, _) = play(frame).unwrap_or_else(|reject| panic!("{time:02x?}: {reject}"));
            let found: Vec<_> = taken.events.iter().map(|it| (it.1, it.2)).collect();
            assert_eq!(found, [(*seconds, *nanos)], "{time:02x?}");
        }
    }
}

/// Checklist: forward 38.
#[test]
fn what_is_no_time_costs_a_message_or_an_entry_and_no_neighbour() {
    for time in NO_TIMES {
        for frame in modes(time, b"\x80", &options(&[])) {
            assert!(play(&frame).is_err(), "{frame:02x?}");
        }
        let bad = array(&[time, b"\x80"]);
        let list = array(&[&bad, ENTRY, &bad]);
        let packed = bin(&[ENTRY, &bad, ENTRY].concat());
        for (body, count) in [(list, 1), (packed, 2)] {
            let frame = array(&[b"\xa1t", &body, &options(&[])]);
            let (taken, answers) = play(&frame).unwrap();
            assert_eq!((taken.events.len(), answers), (count, ACK.to_vec()));
        }
    }
}

/// Text and bytes under every header that holds so many.
fn headers(bytes: &[u8]) -> Vec<Vec<u8>> {
    let length = bytes.len();
    let mut all = Vec::new();
    let mut put = |head: &[u8]| all.push([head, bytes].concat());
    if length < 32 {
        put(&[0xa0 | length as u8]);
    }
    for marker in [0xd9, 0xc4] {
        if let Ok(length) = u8::try_from(length) {
            put(&[marker, length]);
        }
        if let Ok(length) = u16::try_from(length) {
            let [high, low] = length.to_be_bytes();
            put(&[marker + 1, high, low]);
        }
        let head = [&[marker + 2][..], &(length as u32).to_be_bytes()].concat();
        put(&head);
    }
    all
}

/// Checklist: forward 17, 18, 19.
#[test]
fn tags_keys_and_values_may_be_text_or_bytes_under_any_header() {
    let expected = |record: Vec<u8>| vec![(b"t".to_vec(), 5, 0, Vec::new(), record)];
    for tag in headers(b"t") {
        for key in headers(b"k") {
            for value in headers(b"v\xff") {
                let maps: [&[u8]; 3] = [b"\x81", b"\xde\0\x01", b"\xdf\0\0\0\x01"];
                for map in maps {
                    let record = [map, &key, &value].concat();
                    for mut frame in modes(b"\x05", &record, b"\x80") {
                        frame.splice(1..3, tag.iter().copied());
                        let count = frame[0] & 0x0f;
                        let wide = [&[0xdc, 0, count][..], &frame[1..]].concat();
                        for frame in [frame, wide] {
                            let (taken, _) = play(&frame).unwrap();
                            assert_eq!(taken.events, expected(record.clone()));
                        }
                    }
                }
            }
        }
    }
    for tag in [
        &b"\x05"[..],
        b"\xc0",
        b"\x80",
        b"\x90",
        b"\xc3",
        b"\xc4\x01\xff",
        b"\xd4\0t",
    ] {
        for mut frame in modes(b"\x05", b"\x80", b"\x80") {
            frame.splice(1..3, tag.iter().copied());
            assert!(play(&frame).is_err(), "{frame:02x?}");
        }
    }
}

fn gzip(builder: GzBuilder, level: u32, bytes: &[u8]) -> Vec<u8> {
    let mut encoder = builder.write(Vec::new(), Compression::new(level));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The same bytes, compressed in every way that there is, with the name of it.
fn compressed(bytes: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let plain = |bytes: &[u8]| gzip(GzBuilder::new(), 6, bytes);
    let (first, second) = bytes.split_at(bytes.len().div_ceil(2));
    let header = GzBuilder::new()
        .filename("f")
        .comment("c")
        .extra(*b"ex")
        .mtime(7);
    let stream = |bytes: &[u8]| {
        let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
        encoder.include_checksum(true).unwrap();
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let bulk = |bytes: &[u8]| zstd::bulk::compress(bytes, 3).unwrap();
    vec![
        ("gzip", plain(bytes)),
        ("gzip", gzip(GzBuilder::new(), 0, bytes)),
        ("gzip", gzip(header, 9, bytes)),
        ("gzip", [plain(first), plain(b""), plain(second)].concat()),
        ("zstd", bulk(bytes)),
        ("zstd", stream(bytes)),
        ("zstd", [bulk(first), bulk(b""), stream(second)].concat()),
    ]
}

/// Checklist: forward 25, 26, 27, 28, 29.
#[test]
fn packed_entries_come_out_however_they_are_wrapped() {
    let large = [
        b"\x92\x05\x81\xa1k\xc6\0\x15\0\0".as_slice(),
        &vec![7; 0x15_0000],
    ]
    .concat();
    for (entries, count) in [
        (vec![], 0),
        (ENTRY.repeat(2), 2),
        (ENTRY.repeat(9000), 9000),
        (large, 1),
    ] {
        let check = |body: &[u8], option: Option<&[u8]>| {
            let mut elements: Vec<&[u8]> = vec![b"\xa1t", body];
            elements.extend(option);
            let (taken, _) = play(&array(&elements)).unwrap();
            assert_eq!(taken.events.len(), count, "{option:02x?}");
        };
        let sizes: [&[u8]; 5] = [b"\x00", b"\xcd\xff\xff", b"\xa1x", b"\xc0", b"\xff"];
        for body in headers(&entries) {
            check(&body, None);
            check(&body, Some(b"\xc0"));
            check(&body, Some(b"\x80"));
            check(&body, Some(b"\x81\xaacompressed\xa4text"));
            for size in sizes {
                check(&body, Some(&[b"\x81\xa4size", size].concat()));
            }
        }
        for (name, payload) in compressed(&entries) {
            let named = [b"\x81\xaacompressed\xa4", name.as_bytes()].concat();
            let with_size = [b"\x82\xa4size\xa1x\xaacompressed\xc4\x04", name.as_bytes()].concat();
            for body in headers(&payload) {
                check(&body, Some(&named));
                check(&body, Some(&with_size));
                // Recognised by its first bytes, which can begin no entry.
                check(&body, None);
                check(&body, Some(b"\xc0"));
                check(&body, Some(b"\x80"));
            }
            // One byte more, one byte less, and another checksum where there is one.
            let mut other = payload.clone();
            if name == "gzip" {
                let checksum = other.len() - 6;
                other[checksum] ^= 0x55;
            } else {
                other.truncate(2);
            }
            for damaged in [
                [&payload[..], b"\0"].concat(),
                payload[..payload.len() - 1].to_vec(),
                other,
            ] {
                let frame = array(&[b"\xa1t", &bin(&damaged), &named]);
                assert!(play(&frame).is_err(), "{name} {count}");
            }
        }
    }
}

/// Checklist: forward 38.
#[test]
fn an_option_that_means_nothing_refuses_the_message_in_every_mode() {
    let long = [&b"\xa5chunk\xda\x04\x01"[..], &[b'x'; 1025]].concat();
    let pairs: [&[u8]; 16] = [
        b"\xa5chunk\x05",
        b"\xa5chunk\x80",
        b"\xa5chunk\x90",
        b"\xa5chunk\xc3",
        b"\xa5chunk\xca\0\0\0\0",
        b"\xa5chunk\xd4\0x",
        &long,
        b"\xaacompressed\xa3lz4",
        b"\xaacompressed\x05",
        b"\xadfluent_signal\x03",
        b"\xadfluent_signal\xff",
        b"\xadfluent_signal\xa10",
        b"\xadfluent_signal\xca\0\0\0\0",
        b"\xadfluent_signal\xc0",
        b"\xa8metadata\x05",
        b"\xa8metadata\xc0",
    ];
    let whole: [&[u8]; 6] = [
        b"\x05",
        b"\xa1x",
        b"\x90",
        b"\xc3",
        b"\xca\0\0\0\0",
        b"\xd4\0x",
    ];
    let maps = pairs.iter().map(|pair| [b"\x81", *pair].concat());
    for option in maps.chain(whole.iter().map(|option| option.to_vec())) {
        for frame in modes(b"\x05", b"\x80", &option) {
            assert!(play(&frame).is_err(), "{:02x?}", brief(&frame));
        }
    }
}

/// Checklist: forward 35, 37, 41.
#[test]
fn ids_come_back_as_they_are_in_every_mode_and_only_where_they_are_asked_for() {
    let uuid = b"6ba7b810-9dad-11d1-80b4-00c04fd430c8".as_slice();
    let longest = [b'x'; 1024];
    for id in [
        &b""[..],
        b"Y2h1bmsx\n",
        uuid,
        b"\xff\xfe",
        b"a\0b",
        &longest,
    ] {
        let mut text = Vec::new();
        write::str(&mut text, id);
        for (id, marker) in [(text, "str"), (bin(id), "bin")] {
            let option = [b"\x83\xa1x\xd4\0x\x05\x06\xa5chunk".as_slice(), &id].concat();
            let ack = [b"\x81\xa3ack".as_slice(), &id].concat();
            for frame in modes(b"\x05", b"\x80", &option) {
                let (taken, answers) = play(&frame).unwrap();
                assert_eq!((taken.events.len(), &answers), (1, &ack), "{marker}");
            }
        }
    }
    let unasked: [&[u8]; 4] = [b"\xc0", b"\x80", b"\x81\xa5chunk\xc0", b"\x81\xc0\xa5chunk"];
    for option in unasked {
        for frame in modes(b"\x05", b"\x80", option) {
            assert_eq!(play(&frame).unwrap().1, b"");
        }
    }
    // Of two the first counts.
    let twice = [b"\x82", CHUNK, b"\xa5chunk\xa2no"].concat();
    for frame in modes(b"\x05", b"\x80", &twice) {
        assert_eq!(play(&frame).unwrap().1, ACK);
    }
}

/// Checklist: forward 32.
#[test]
fn metrics_and_traces_are_taken_without_events_and_without_an_acknowledgement() {
    for signal in [1, 2] {
        let signal = [b"\xadfluent_signal".as_slice(), &[signal]].concat();
        let named = |payload: &[u8], name: &str| {
            let mut pair = b"\xaacompressed".to_vec();
            write::str(&mut pair, name.as_bytes());
            array(&[b"\xa1m", &bin(payload), &options(&[&signal, &pair])])
        };
        let maps = b"\x81\xa4meta\x80\x80";
        let mut good: Vec<_> = compressed(maps)
            .iter()
            .map(|(name, payload)| named(payload, name))
            .collect();
        good.push(named(maps, "text"));
        let compat = array(&[&array(&[b"\x05", &array(&[b"\x80"])])]);
        good.push(array(&[b"\xa1m", &compat, &options(&[&signal])]));
        for frame in good {
            let (taken, answers) = play(&frame).unwrap();
            assert_eq!((taken.events.len(), answers.len()), (0, 0));
        }
        for frame in modes(b"\x05", b"\x80", &options(&[&signal])) {
            assert_eq!(play(&frame).err(), Some(Reject::Signal), "{frame:02x?}");
        }
        for garbage in [&b""[..], b"\xc1", b"\x81", b"text"] {
            assert!(play(&named(garbage, "text")).is_err());
        }
    }
}

#[test]
fn what_is_no_record_costs_a_message_or_an_entry_and_no_neighbour() {
    for record in [
        &b"\xc0"[..],
        b"\x05",
        b"\xa1x",
        b"\xc4\x01x",
        b"\x91\x80",
        b"\xc3",
        b"\xd4\0x",
    ] {
        for frame in modes(b"\x05", record, &options(&[])) {
            assert!(play(&frame).is_err(), "{frame:02x?}");
        }
    }
    // A map that is no entry, entries of other lengths, and times beside what is no metadata.
    let bad: [&[u8]; 9] = [
        b"\x80",
        b"\x90",
        b"\x91\x05",
        b"\x93\x05\x80\x80",
        b"\x92\x91\x05\x80",
        b"\x92\x90\x80",
        b"\x92\x93\x05\x80\x80\x80",
        b"\x92\x92\x05\xc0\x80",
        b"\x92\x92\x80\x05\x80",
    ];
    for bad in bad {
        for body in [
            array(&[ENTRY, bad, ENTRY]),
            bin(&[ENTRY, bad, ENTRY].concat()),
        ] {
            let (taken, answers) = play(&array(&[b"\xa1t", &body, &options(&[])])).unwrap();
            assert_eq!(
                (taken.events.len(), answers),
                (2, ACK.to_vec()),
                "{bad:02x?}"
            );
        }
        for body in [array(&[bad]), bin(bad)] {
            let frame = array(&[b"\xa1t", &body, &options(&[])]);
            assert_eq!(play(&frame).err(), Some(Reject::NoEvent), "{bad:02x?}");
        }
    }
}

/// Checklist: forward 11.
#[test]
fn a_message_has_three_elements_or_more_and_a_frame_that_is_cut_waits() {
    let record = b"\x81\xa1k\x90";
    let good = [
        array(&[b"\xa1t", b"\x05", record]),
        array(&[b"\xa1t", b"\x05", record, b"\xc0"]),
        array(&[b"\xa1t", b"\x05", record, b"\x80"]),
        array(&[b"\xa1t", b"\x05", record, &options(&[])]),
        array(&[
            b"\xa1t",
            b"\x05",
            record,
            &options(&[]),
            b"\xc0",
            b"\xd4\0x",
        ]),
        array(&[b"\xa1t", &array(&[ENTRY])]),
        array(&[b"\xa1t", &bin(ENTRY), b"\xc0", b"\x05"]),
    ];
    for frame in good {
        assert_eq!(play(&frame).unwrap().0.events.len(), 1, "{frame:02x?}");
        for end in 0..frame.len() {
            let (mut replay, mut taken) = (Replay::new(LIMIT), Taken::default());
            assert_eq!(
                replay.take(&frame[..end], &mut taken),
                Ok(0),
                "{frame:02x?} {end}"
            );
            assert_eq!((taken.events.len(), replay.answers()), (0, Vec::new()));
        }
    }
    for frame in [
        &b"\x90"[..],
        b"\x91\xa1t",
        b"\x92\xa1t\x05",
        b"\x92\xa1t\x80",
        b"\x93\xa1t\xc0\x80",
    ] {
        assert!(play(frame).is_err(), "{frame:02x?}");
    }
}
