//! Writes events into the body of one `PutRecordBatch` or `PutRecords` call.
//!
//! A body holds at most 500 records. Firehose takes 1 024 000 bytes a record and 4 MiB a call, Kinesis 1 MiB a record with its
//! partition key and 10 MiB a call. Here the body itself stays below 4 MiB for both, base64 and JSON included: that is safe however
//! the service counts, and bodies in flight are not in the budget of the process.
//!
//! Limits: <https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html>,
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html>

use super::kpl::Aggregate;
use super::{Line, PartitionKey};
use crate::event::DropReason;
use crate::msgpack::json::escape;
use crate::output::compression::{Compression, Packer};
use crate::output::oversized::{Oversized, part_of};
use crate::output::{Destination, Encoded, Item, Limits, Positions};

/// What packing may add to a text that cannot be packed.
const PACKING: usize = 8 << 10;
/// From this size on, a record is not worth joining with others in the format of the Kinesis Producer Library.
const KPL_MAX: usize = 20 << 10;
/// `{"Data":"","PartitionKey":""},`
const FRAME: usize = 30;

/// One of the two services.
#[derive(Debug, Clone, Copy)]
pub(in crate::output) struct Api {
    /// Where the body names the stream.
    stream: &'static str,
    /// The largest record, its partition key included.
    record_max: usize,
}

impl Api {
    /// Data Firehose.
    pub(in crate::output) const FIREHOSE: Self = Self {
        stream: "DeliveryStreamName",
        record_max: 1_024_000,
    };
    /// Kinesis Data Streams.
    pub(in crate::output) const KINESIS: Self = Self {
        stream: "StreamName",
        record_max: 1 << 20,
    };
    /// Of one call.
    pub(in crate::output) const LIMITS: Limits = Limits {
        events: 500,
        bytes: 4 << 20,
    };
}

/// How many events become one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::output) enum Joining {
    /// Each becomes its own.
    None,
    /// Lines, one behind the other.
    Lines,
    /// In the format of the Kinesis Producer Library.
    Kpl,
}

/// How records are made.
#[derive(Debug, Clone)]
pub(in crate::output) struct Format {
    pub(in crate::output) api: Api,
    pub(in crate::output) line: Line,
    /// How each record is packed.
    pub(in crate::output) compression: Option<Compression>,
    pub(in crate::output) joining: Joining,
    pub(in crate::output) oversized: Oversized,
    /// For Kinesis.
    pub(in crate::output) partition_key: Option<PartitionKey>,
}

/// Writes one call.
pub(in crate::output) fn encode(
    destination: &Destination,
    format: &Format,
    items: &mut dyn Iterator<Item = Item<'_>>,
    body: Vec<u8>,
) -> Encoded {
    let mut body = Body::open(destination, format, body);
    let mut encoded = Encoded::default();
    let mut line = Vec::new();
    let mut key = String::new();
    for item in items {
        line.clear();
        if let Some(partition_key) = &format.partition_key {
            partition_key.write(item.event, &mut key);
        }
        let written = format.line.write(item.event, &mut line);
        match written.and_then(|()| body.add(&mut line, &key)) {
            Ok(true) => {}
            Ok(false) => break,
            // It goes alone, see [`encode_part`].
            Err(DropReason::TooLarge) if format.oversized == Oversized::Split => break,
            Err(reason) => encoded.refused.push((encoded.consumed, reason)),
        }
        encoded.consumed += 1;
    }
    (encoded.body, encoded.positions) = body.close();
    encoded
}

/// Writes a call with one part of an event that is larger than a record.
pub(in crate::output) fn encode_part(
    destination: &Destination,
    format: &Format,
    item: Item<'_>,
    number: u32,
) -> Option<(Encoded, bool)> {
    if format.oversized != Oversized::Split {
        return None;
    }
    let (mut line, mut key) = (Vec::new(), String::new());
    if let Some(partition_key) = &format.partition_key {
        partition_key.write(item.event, &mut key);
    }
    format.line.write(item.event, &mut line).ok()?;
    let newline = usize::from(format.line.newline);
    line.truncate(line.len() - newline);
    let packing = if format.compression.is_some() {
        PACKING
    } else {
        0
    };
    let most = format.api.record_max - key.len() - packing - newline;
    let (mut part, more) = part_of(item, &line, most, number)?;
    if format.line.newline {
        part.push(b'\n');
    }
    let mut body = Body::open(destination, format, Vec::new());
    if format.compression.is_some() {
        body.pack(&part);
        std::mem::swap(&mut part, &mut body.packed);
    }
    body.record(&part, &key);
    body.events = 1;
    body.ends.push(1);
    let mut encoded = Encoded {
        consumed: 1,
        ..Encoded::default()
    };
    (encoded.body, encoded.positions) = body.close();
    Some((encoded, more))
}

/// A body being written.
struct Body<'f> {
    format: &'f Format,
    bytes: Vec<u8>,
    records: usize,
    packer: Option<Packer>,
    packed: Vec<u8>,
    /// Lines waiting to become one record, and its key.
    open: Vec<u8>,
    open_key: String,
    aggregate: Aggregate,
    events: u32,
    /// Where each record ends, in events; only when records are joined.
    ends: Vec<u32>,
}

impl<'f> Body<'f> {
    fn open(destination: &Destination, format: &'f Format, mut bytes: Vec<u8>) -> Self {
        bytes.extend_from_slice(b"{\"");
        bytes.extend_from_slice(format.api.stream.as_bytes());
        bytes.extend_from_slice(b"\":\"");
        escape(destination.name.as_bytes(), &mut bytes);
        bytes.extend_from_slice(b"\",\"Records\":[");
        Self {
            format,
            bytes,
            records: 0,
            packer: format.compression.map(Compression::packer),
            packed: Vec::new(),
            open: Vec::new(),
            open_key: String::new(),
            aggregate: Aggregate::default(),
            events: 0,
            ends: Vec::new(),
        }
    }

    /// Adds a line; false when it has to wait for the next call.
    fn add(&mut self, line: &mut Vec<u8>, key: &str) -> Result<bool, DropReason> {
        match self.format.joining {
            Joining::None => self.add_alone(line, key),
            Joining::Lines => self.add_to_lines(line, key),
            Joining::Kpl => self.add_to_aggregate(line, key),
        }
    }

    /// Makes a line a record.
    fn add_alone(&mut self, line: &mut Vec<u8>, key: &str) -> Result<bool, DropReason> {
        let most = self.format.api.record_max - key.len();
        if self.format.compression.is_none() {
            if line.len() > most {
                self.shorten(line, most)?;
            }
            if !self.fits(line.len(), key) {
                return Ok(false);
            }
            self.record(line, key);
        } else {
            self.pack_within(line, most)?;
            if !self.fits(self.packed.len(), key) {
                return Ok(false);
            }
            let packed = std::mem::take(&mut self.packed);
            self.record(&packed, key);
            self.packed = packed;
        }
        self.events += 1;
        Ok(true)
    }

    /// Packs a line, and less of it until that fits into a record.
    fn pack_within(&mut self, line: &mut Vec<u8>, most: usize) -> Result<(), DropReason> {
        loop {
            self.pack(line);
            if self.packed.len() <= most {
                return Ok(());
            }
            let share = most as f64 / self.packed.len() as f64;
            // A little less, for what is left need not pack as well as the whole; what is not packed at all always fits.
            let shorter = (line.len() as f64 * share * 0.95) as usize;
            self.shorten(line, shorter.max(most - PACKING).min(line.len() * 95 / 100))?;
        }
    }

    fn pack(&mut self, data: &[u8]) {
        if let Some(packer) = &mut self.packer {
            packer.pack(data, &mut self.packed);
        }
    }

    fn shorten(&self, line: &mut Vec<u8>, most: usize) -> Result<(), DropReason> {
        match self.format.oversized {
            Oversized::Drop | Oversized::Split => Err(DropReason::TooLarge),
            Oversized::Truncate => {
                metrics::counter!("sluice_truncated_records_total").increment(1);
                self.format.line.cut(line, most);
                Ok(())
            }
        }
    }

    /// Adds a line to those that become one record.
    fn add_to_lines(&mut self, line: &mut Vec<u8>, key: &str) -> Result<bool, DropReason> {
        let packing = if self.packer.is_some() { PACKING } else { 0 };
        let most = self.format.api.record_max - key.len().max(self.open_key.len()) - packing;
        if line.len() > most {
            self.shorten(line, most)?;
        }
        if self.open.len() + line.len() > most {
            self.close_record();
        }
        if !self.fits(self.open.len() + line.len(), key) {
            return Ok(false);
        }
        if self.open.is_empty() {
            self.open_key.replace_range(.., key);
        }
        self.open.extend_from_slice(line);
        self.events += 1;
        Ok(true)
    }

    /// Adds a line to an aggregated record; a large one stays alone.
    fn add_to_aggregate(&mut self, line: &mut Vec<u8>, key: &str) -> Result<bool, DropReason> {
        if self.packer.is_some() {
            self.pack_within(line, self.format.api.record_max - key.len())?;
            std::mem::swap(line, &mut self.packed);
        }
        if line.len() >= KPL_MAX {
            self.close_record();
            let most = self.format.api.record_max - key.len();
            if self.packer.is_none() && line.len() > most {
                self.shorten(line, most)?;
            }
            let fits = self.fits(line.len(), key);
            if fits {
                self.record(line, key);
                self.events += 1;
                self.ends.push(self.events);
            }
            return Ok(fits);
        }
        if self.aggregate.size_with(key.as_bytes(), line) > self.format.api.record_max {
            self.close_record();
        }
        if !self.fits(self.aggregate.size_with(key.as_bytes(), line), key) {
            return Ok(false);
        }
        self.aggregate.add(key.as_bytes(), line);
        self.events += 1;
        Ok(true)
    }

    /// Whether a record of so many bytes still fits; one always does.
    fn fits(&self, length: usize, key: &str) -> bool {
        // In a key, every byte may need an escape.
        let encoded = length.div_ceil(3) * 4 + FRAME + key.len() * 6;
        self.records == 0
            || (self.records < Api::LIMITS.events
                && self.bytes.len() + encoded + 2 <= Api::LIMITS.bytes)
    }

    /// Makes the lines that wait a record.
    fn close_record(&mut self) {
        if !self.open.is_empty() {
            let lines = std::mem::take(&mut self.open);
            let key = std::mem::take(&mut self.open_key);
            if self.packer.is_some() {
                self.pack(&lines);
                let packed = std::mem::take(&mut self.packed);
                self.record(&packed, &key);
                self.packed = packed;
            } else {
                self.record(&lines, &key);
            }
            self.ends.push(self.events);
            self.open = lines;
            self.open.clear();
            self.open_key = key;
        } else if !self.aggregate.is_empty() {
            let mut record = Vec::new();
            let key = self.aggregate.finish(&mut record);
            self.record(&record, &String::from_utf8_lossy(&key));
            self.ends.push(self.events);
        }
    }

    fn record(&mut self, data: &[u8], key: &str) {
        self.bytes.extend_from_slice(if self.records == 0 {
            b"{\"Data\":\""
        } else {
            b",{\"Data\":\""
        });
        base64_simd::STANDARD.encode_append(data, &mut self.bytes);
        if !key.is_empty() {
            self.bytes.extend_from_slice(b"\",\"PartitionKey\":\"");
            escape(key.as_bytes(), &mut self.bytes);
        }
        self.bytes.extend_from_slice(b"\"}");
        self.records += 1;
    }

    fn close(mut self) -> (bytes::Bytes, Positions) {
        self.close_record();
        self.bytes.extend_from_slice(b"]}");
        let positions = if self.format.joining == Joining::None {
            Positions::AsTaken
        } else {
            Positions::Joined(self.ends)
        };
        (self.bytes.into(), positions)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Content;
    use super::*;
    use crate::event::{Event, EventTime, Tag};
    use crate::msgpack::json::Json;
    use crate::msgpack::write;
    use crate::output::go;
    use std::io::Read as _;

    fn format() -> Format {
        Format {
            api: Api::FIREHOSE,
            line: line(None, true),
            compression: None,
            joining: Joining::None,
            oversized: Oversized::Truncate,
            partition_key: None,
        }
    }

    fn line(log_key: Option<&str>, newline: bool) -> Line {
        let log_key = log_key.map(|key| key.as_bytes().into());
        Line {
            content: Content::C {
                json: Json::default(),
                log_key,
                time_key: None,
            },
            newline,
        }
    }

    fn log_key() -> Format {
        Format {
            line: line(Some("log"), true),
            ..format()
        }
    }

    fn kinesis() -> Format {
        Format {
            api: Api::KINESIS,
            line: line(Some("log"), false),
            partition_key: Some(PartitionKey::at("", go::Record::default())),
            ..format()
        }
    }

    fn encode_logs(logs: &[&[u8]], format: &Format) -> (Encoded, Vec<Vec<u8>>) {
        let tag = Tag::new(b"t");
        let records: Vec<_> = logs
            .iter()
            .map(|text| {
                let mut record = vec![0x81];
                write::str(&mut record, b"log");
                write::str(&mut record, text);
                record
            })
            .collect();
        let mut items = records.iter().map(|record| {
            let time = EventTime {
                seconds: 1_700_000_000,
                nanos: 0,
            };
            Item {
                tag: &tag,
                event: Event {
                    time,
                    metadata: &[],
                    record,
                },
            }
        });
        let destination = Destination {
            group: "".into(),
            name: "d".into(),
        };
        let encoded = encode(&destination, format, &mut items, Vec::new());
        let json: serde_json::Value = serde_json::from_slice(&encoded.body).unwrap();
        assert_eq!(json[format.api.stream], "d");
        let data = json["Records"].as_array().unwrap().iter().map(|record| {
            base64_simd::STANDARD
                .decode_to_vec(record["Data"].as_str().unwrap())
                .unwrap()
        });
        let data = data.collect();
        (encoded, data)
    }

    /// Checklist: outputs 11
    #[test]
    fn a_record_is_json_and_one_newline() {
        assert_eq!(encode_logs(&[b"x"], &format()).1, [b"{\"log\":\"x\"}\n"]);
        assert_eq!(
            encode_logs(&[b"say \"hi\"\xff"], &log_key()).1,
            [b"say \"hi\"\xff\n"]
        );
    }

    /// Checklist: outputs 26
    #[test]
    fn five_hundred_records_fit_and_one_more_waits() {
        let (encoded, data) = encode_logs(&vec![&b"x"[..]; 501], &log_key());
        assert_eq!((encoded.consumed, data.len()), (500, 500));
    }

    /// Checklist: outputs 26
    #[test]
    fn a_body_stays_below_four_mebibytes() {
        let big = vec![b'x'; 1_000_000];
        let (encoded, _) = encode_logs(&[&big[..]; 5], &log_key());
        assert_eq!(encoded.consumed, 3);
        assert!(encoded.body.len() <= Api::LIMITS.bytes);
    }

    #[test]
    fn a_record_that_is_too_large_is_cut_and_its_neighbours_go_with_it() {
        let big = "\u{e9}".repeat(600_000);
        let (_, data) = encode_logs(&[b"before", big.as_bytes(), b"after"], &log_key());
        assert_eq!(data.len(), 3);
        assert!(
            data[1].len() <= Api::FIREHOSE.record_max
                && data[1].len() > Api::FIREHOSE.record_max - 4
        );
        assert!(data[1].ends_with("\u{e9}[Truncated...]\n".as_bytes()));
    }

    #[test]
    fn a_record_that_is_split_goes_in_parts_however_records_are_made() {
        let long = "\u{20ac}".repeat(900_000);
        let firehose = Format {
            oversized: Oversized::Split,
            ..log_key()
        };
        let packing = Format {
            compression: Some(Compression::Gzip),
            ..firehose.clone()
        };
        let joining = Format {
            joining: Joining::Lines,
            ..firehose.clone()
        };
        let kinesis = Format {
            oversized: Oversized::Split,
            joining: Joining::Kpl,
            ..kinesis()
        };
        for format in [firehose, joining, kinesis] {
            let (encoded, _) = encode_logs(&[b"before", long.as_bytes()], &format);
            assert_eq!(encoded.consumed, 1);
            assert_eq!(in_parts(&long, &format), long);
        }
        // What packs badly, and so is too large although it is packed.
        let noise: String = (0..4 << 20).map(|_| fastrand::alphanumeric()).collect();
        assert_eq!(encode_logs(&[noise.as_bytes()], &packing).0.consumed, 0);
        assert_eq!(in_parts(&noise, &packing), noise);
    }

    /// Sends a text in parts and puts them together.
    fn in_parts(text: &str, format: &Format) -> String {
        let (tag, destination) = (Tag::new(b"t"), Destination::default());
        let mut record = vec![0x81];
        write::str(&mut record, b"log");
        write::str(&mut record, text.as_bytes());
        let event = Event {
            time: EventTime {
                seconds: 1_700_000_000,
                nanos: 0,
            },
            metadata: &[],
            record: &record,
        };
        let mut whole = String::new();
        let mut keys = Vec::new();
        for number in 0.. {
            let item = Item { tag: &tag, event };
            let (encoded, more) = encode_part(&destination, format, item, number).unwrap();
            let body: serde_json::Value = serde_json::from_slice(&encoded.body).unwrap();
            let data = body["Records"][0]["Data"].as_str().unwrap();
            let data = base64_simd::STANDARD.decode_to_vec(data).unwrap();
            keys.push(body["Records"][0]["PartitionKey"].to_string());
            assert!(data.len() + keys[0].len() - 2 <= format.api.record_max);
            let mut part = String::new();
            if format.compression.is_some() {
                let mut unpacked = flate2::read::GzDecoder::new(&data[..]);
                unpacked.read_to_string(&mut part).unwrap();
            } else {
                part = String::from_utf8(data).unwrap();
            }
            let end = if format.line.newline { "]\n" } else { "]" };
            let (part, _) = part
                .strip_suffix(end)
                .unwrap()
                .rsplit_once("[Split ")
                .unwrap();
            whole.push_str(part);
            assert_eq!((encoded.items_in(0..9), encoded.consumed), (1, 1));
            if !more {
                break;
            }
        }
        keys.dedup();
        assert_eq!(keys.len(), 1, "the parts of an event go to one shard");
        whole
    }

    /// Checklist: outputs 15
    #[test]
    fn joined_lines_know_which_events_they_hold() {
        let aggregate = Format {
            joining: Joining::Lines,
            ..log_key()
        };
        let (encoded, data) = encode_logs(&[b"a", b"b"], &aggregate);
        assert_eq!(data, [b"a\nb\n"]);
        assert_eq!(encoded.positions, Positions::Joined(vec![2]));
        let big = vec![b'x'; 600_000];
        let (encoded, data) = encode_logs(&[&big, &big, b"c"], &aggregate);
        assert_eq!(
            (data.len(), encoded.positions),
            (2, Positions::Joined(vec![1, 3]))
        );
    }

    /// Checklist: outputs 13
    #[test]
    fn a_compressed_record_inflates_to_its_line() {
        let (_, data) = encode_logs(
            &[b"text"],
            &Format {
                compression: Some(Compression::Gzip),
                ..log_key()
            },
        );
        let mut line = String::new();
        flate2::read::GzDecoder::new(&data[0][..])
            .read_to_string(&mut line)
            .unwrap();
        assert_eq!(line, "text\n");
    }

    #[test]
    fn an_empty_value_and_a_missing_key_are_refused() {
        assert_eq!(
            encode_logs(&[b""], &log_key()).0.refused,
            [(0, DropReason::Empty)]
        );
        let other = Format {
            line: line(Some("lo"), true),
            ..format()
        };
        assert_eq!(
            encode_logs(&[b"x"], &other).0.refused,
            [(0, DropReason::KeyMissing)]
        );
    }

    #[test]
    fn what_packs_well_may_be_larger_than_a_record() {
        for compression in [Compression::Gzip, Compression::Zstd] {
            let packing = Format {
                compression: Some(compression),
                ..kinesis()
            };
            let zeros = vec![b'0'; 3 << 20];
            let (encoded, data) = encode_logs(&[&zeros, b"after"], &packing);
            assert_eq!((encoded.consumed, data.len()), (2, 2));
            assert!(data[0].len() < 20_000);
        }
    }

    #[test]
    fn what_packs_badly_is_cut_until_it_fits() {
        let packing = Format {
            compression: Some(Compression::Snappy),
            ..kinesis()
        };
        let noise: Vec<u8> = (0..2 << 20).map(|_| fastrand::u8(b' '..b'~')).collect();
        let (_, data) = encode_logs(&[&noise], &packing);
        assert!(data[0].len() < Api::KINESIS.record_max - 16);
        let line = snap::raw::Decoder::new().decompress_vec(&data[0]).unwrap();
        assert!(line.len() > 900_000 && line.ends_with(b"[Truncated...]"));
    }

    /// Checklist: outputs 26
    #[test]
    fn a_record_and_its_key_stay_within_the_limit() {
        let big = vec![b'x'; 2 << 20];
        let (encoded, data) = encode_logs(&[&big], &kinesis());
        let body: serde_json::Value = serde_json::from_slice(&encoded.body).unwrap();
        let key = body["Records"][0]["PartitionKey"].as_str().unwrap();
        assert_eq!(data[0].len() + key.len(), Api::KINESIS.record_max);
        let dropping = Format {
            oversized: Oversized::Drop,
            ..kinesis()
        };
        assert_eq!(
            encode_logs(&[&big, b"x"], &dropping).0.refused,
            [(0, DropReason::TooLarge)]
        );
    }

    /// Checklist: outputs 14
    #[test]
    fn aggregated_records_know_their_events_and_large_ones_stay_alone() {
        let aggregating = Format {
            joining: Joining::Kpl,
            ..kinesis()
        };
        let big = vec![b'x'; KPL_MAX];
        let (encoded, data) = encode_logs(&[b"a", b"b", &big, b"c"], &aggregating);
        assert_eq!(encoded.positions, Positions::Joined(vec![2, 3, 4]));
        assert!(data[0].starts_with(b"\xf3\x89\x9a\xc2") && data[1] == big);
        let line = vec![b'y'; 19_000];
        let many = vec![&line[..]; 100];
        let (encoded, data) = encode_logs(&many, &aggregating);
        assert_eq!((encoded.consumed, data.len()), (100, 2));
        assert!(
            data.iter()
                .all(|record| record.len() < Api::KINESIS.record_max)
        );
    }
}
