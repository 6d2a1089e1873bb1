//! Writes events into the body of one `PutRecordBatch` call.
//!
//! A body holds at most 500 records; each at most 1 024 000 bytes before base64, its newline included. The service takes 4 MiB in all;
//! here the body itself stays below that, base64 and JSON included, which is safe however the service counts.
//!
//! Limits: <https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html>

use std::io::Write as _;

use super::time_key::TimeKey;
use crate::accessor::last_value;
use crate::event::DropReason;
use crate::msgpack::json::{Json, escape};
use crate::msgpack::read;
use crate::output::{Destination, Encoded, Item, Limits, Positions};

/// Of one call.
pub(super) const LIMITS: Limits = Limits {
    events: 500,
    bytes: 4 << 20,
};
/// The largest record.
const RECORD_MAX: usize = 1_024_000;
/// What a record that had to be cut ends with.
const CUT_MARK: &[u8] = b"[Truncated...]\n";
/// `{"Data":""},`
const FRAME: usize = 12;

/// How records are made.
#[derive(Debug, Clone)]
pub(super) struct Format {
    /// How records become JSON.
    pub(super) json: Json,
    /// Send this key's value instead of the whole record.
    pub(super) log_key: Option<Box<[u8]>>,
    /// Append the time under a key.
    pub(super) time_key: Option<TimeKey>,
    /// Compress each record.
    pub(super) gzip: bool,
    /// Join records up to the size of one.
    pub(super) aggregate: bool,
}

/// Writes one call.
pub(super) fn encode(
    destination: &Destination,
    format: &Format,
    items: &mut dyn Iterator<Item = Item<'_>>,
    body: Vec<u8>,
) -> Encoded {
    let mut body = Body::open(destination, format, body);
    let mut encoded = Encoded::default();
    let mut line = Vec::new();
    for item in items {
        line.clear();
        match format.write(item, &mut line) {
            Ok(()) if !body.add(&line) => break,
            Ok(()) => {}
            Err(reason) => encoded.refused.push((encoded.consumed, reason)),
        }
        encoded.consumed += 1;
    }
    (encoded.body, encoded.positions) = body.close();
    encoded
}

impl Format {
    /// Writes one event as a line.
    fn write(&self, item: Item<'_>, line: &mut Vec<u8>) -> Result<(), DropReason> {
        let record = item.event.record;
        match &self.log_key {
            None => self.json.value(record, line),
            Some(key) => {
                let value = last_value(record, key).ok_or(DropReason::KeyMissing)?;
                match read::text(value) {
                    Some(text) => line.extend_from_slice(text),
                    None => self.json.value(value, line),
                }
            }
        }
        if let Some(time_key) = &self.time_key {
            time_key.append(self.json, item.event, line);
        }
        if line.is_empty() {
            return Err(DropReason::Empty);
        }
        line.push(b'\n');
        if line.len() > RECORD_MAX {
            cut(line);
        }
        Ok(())
    }
}

/// Cuts a line to the size of a record, between two characters.
fn cut(line: &mut Vec<u8>) {
    metrics::counter!("sluice_truncated_records_total").increment(1);
    let mut end = RECORD_MAX - CUT_MARK.len();
    // A byte 10xxxxxx continues a character.
    while line.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
        end -= 1;
    }
    line.truncate(end);
    line.extend_from_slice(CUT_MARK);
}

/// A body being written.
struct Body<'f> {
    format: &'f Format,
    bytes: Vec<u8>,
    records: usize,
    /// Lines waiting to become one record.
    open: Vec<u8>,
    events: u32,
    /// Where each record ends, in events; only when records are joined.
    ends: Vec<u32>,
}

impl<'f> Body<'f> {
    fn open(destination: &Destination, format: &'f Format, mut bytes: Vec<u8>) -> Self {
        bytes.extend_from_slice(b"{\"DeliveryStreamName\":\"");
        escape(destination.name.as_bytes(), &mut bytes);
        bytes.extend_from_slice(b"\",\"Records\":[");
        Self {
            format,
            bytes,
            records: 0,
            open: Vec::new(),
            events: 0,
            ends: Vec::new(),
        }
    }

    /// Adds a line; false when it has to wait for the next call.
    fn add(&mut self, line: &[u8]) -> bool {
        if !self.format.aggregate {
            if !self.fits(line.len()) {
                return false;
            }
            self.record(line);
            self.events += 1;
            return true;
        }
        if self.open.len() + line.len() > RECORD_MAX {
            self.close_record();
        }
        if !self.fits(self.open.len() + line.len()) {
            return false;
        }
        self.open.extend_from_slice(line);
        self.events += 1;
        true
    }

    /// Whether a record of so many bytes still fits; one always does.
    fn fits(&self, length: usize) -> bool {
        let encoded = length.div_ceil(3) * 4 + FRAME;
        self.records == 0
            || (self.records < LIMITS.events && self.bytes.len() + encoded + 2 <= LIMITS.bytes)
    }

    fn close_record(&mut self) {
        if !self.open.is_empty() {
            let lines = std::mem::take(&mut self.open);
            self.record(&lines);
            self.ends.push(self.events);
            self.open = lines;
            self.open.clear();
        }
    }

    fn record(&mut self, line: &[u8]) {
        self.bytes.extend_from_slice(if self.records == 0 {
            b"{\"Data\":\""
        } else {
            b",{\"Data\":\""
        });
        if self.format.gzip {
            base64_simd::STANDARD.encode_append(compressed(line), &mut self.bytes);
        } else {
            base64_simd::STANDARD.encode_append(line, &mut self.bytes);
        }
        self.bytes.extend_from_slice(b"\"}");
        self.records += 1;
    }

    fn close(mut self) -> (bytes::Bytes, Positions) {
        self.close_record();
        self.bytes.extend_from_slice(b"]}");
        let positions = if self.format.aggregate {
            Positions::Joined(self.ends)
        } else {
            Positions::AsTaken
        };
        (self.bytes.into(), positions)
    }
}

fn compressed(line: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    // Writing to memory cannot fail.
    let written = encoder.write_all(line).and_then(|()| encoder.finish());
    written.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, EventTime, Tag};
    use crate::msgpack::write;
    use std::io::Read as _;

    fn format() -> Format {
        Format {
            json: Json::default(),
            log_key: None,
            time_key: None,
            gzip: false,
            aggregate: false,
        }
    }

    fn log_key() -> Format {
        Format {
            log_key: Some(b"log".to_vec().into()),
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
        assert_eq!(json["DeliveryStreamName"], "d");
        let data = json["Records"].as_array().unwrap().iter().map(|record| {
            base64_simd::STANDARD
                .decode_to_vec(record["Data"].as_str().unwrap())
                .unwrap()
        });
        let data = data.collect();
        (encoded, data)
    }

    #[test]
    fn a_record_is_json_and_one_newline() {
        assert_eq!(encode_logs(&[b"x"], &format()).1, [b"{\"log\":\"x\"}\n"]);
        assert_eq!(
            encode_logs(&[b"say \"hi\"\xff"], &log_key()).1,
            [b"say \"hi\"\xff\n"]
        );
    }

    #[test]
    fn five_hundred_records_fit_and_one_more_waits() {
        let (encoded, data) = encode_logs(&vec![&b"x"[..]; 501], &log_key());
        assert_eq!((encoded.consumed, data.len()), (500, 500));
    }

    #[test]
    fn a_body_stays_below_four_mebibytes() {
        let big = vec![b'x'; 1_000_000];
        let (encoded, _) = encode_logs(&[&big[..]; 5], &log_key());
        assert_eq!(encoded.consumed, 3);
        assert!(encoded.body.len() <= LIMITS.bytes);
    }

    #[test]
    fn a_record_that_is_too_large_is_cut_and_its_neighbours_go_with_it() {
        let big = "\u{e9}".repeat(600_000);
        let (_, data) = encode_logs(&[b"before", big.as_bytes(), b"after"], &log_key());
        assert_eq!(data.len(), 3);
        assert!(data[1].len() <= RECORD_MAX && data[1].len() > RECORD_MAX - 4);
        assert!(data[1].ends_with("\u{e9}[Truncated...]\n".as_bytes()));
    }

    #[test]
    fn joined_lines_know_which_events_they_hold() {
        let aggregate = Format {
            aggregate: true,
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

    #[test]
    fn a_compressed_record_inflates_to_its_line() {
        let (_, data) = encode_logs(
            &[b"text"],
            &Format {
                gzip: true,
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
            log_key: Some(b"lo".to_vec().into()),
            ..format()
        };
        assert_eq!(
            encode_logs(&[b"x"], &other).0.refused,
            [(0, DropReason::KeyMissing)]
        );
    }
}
