//! What the outputs that write text share: dates in JSON, and the filling of a request.

use std::io::{self, Write as _};

use jiff::Timestamp;

use super::{Item, Limits};
use crate::config::Settings;
use crate::event::{Event, EventTime};
use crate::msgpack::json::{self, Json};
use crate::msgpack::metadata;
pub(super) use crate::msgpack::print::print;
use crate::msgpack::read::{self, Pairs};

/// One request of an output that writes text. Large enough that a write costs little beside its bytes.
pub(super) const LIMITS: Limits = Limits {
    events: usize::MAX,
    bytes: 1 << 20,
};

/// Has `write` append items, each with its place, until a request is full; gives how many it took.
pub(super) fn fill(
    items: &mut dyn Iterator<Item = Item<'_>>,
    body: &mut Vec<u8>,
    mut write: impl FnMut(usize, Item<'_>, &mut Vec<u8>),
) -> usize {
    let mut taken = 0;
    while body.len() < LIMITS.bytes
        && let Some(item) = items.next()
    {
        write(taken, item, body);
        taken += 1;
    }
    taken
}

/// Runs what may block where it holds up nothing else.
pub(super) async fn blocking(
    work: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> io::Result<()> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|ended| Err(io::Error::other(ended)))
}

/// Seconds since 1970 with a fraction, as exact as a double is.
pub(super) fn seconds(time: EventTime) -> f64 {
    time.seconds as f64 + f64::from(time.nanos) / 1e9
}

/// The date that a record gets on its way to JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Date {
    /// `None` for no date.
    key: Option<String>,
    format: DateFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DateFormat {
    Double,
    Iso8601,
    Epoch,
    EpochMillis,
    JavaSqlTimestamp,
}

impl DateFormat {
    const NAMES: [(&str, Self); 7] = [
        ("double", Self::Double),
        ("iso8601", Self::Iso8601),
        ("epoch", Self::Epoch),
        ("epoch_ms", Self::EpochMillis),
        ("epoch_millis", Self::EpochMillis),
        ("epoch_milliseconds", Self::EpochMillis),
        ("java_sql_timestamp", Self::JavaSqlTimestamp),
    ];

    fn find(text: &str) -> Option<Self> {
        Self::NAMES
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(text))
            .map(|(_, format)| *format)
    }

    fn write(self, time: EventTime, out: &mut Vec<u8>) {
        let calendar = match self {
            Self::Double => return json::float(seconds(time), out),
            Self::Epoch => {
                return out.extend_from_slice(itoa::Buffer::new().format(time.seconds).as_bytes());
            }
            Self::EpochMillis => {
                return out.extend_from_slice(itoa::Buffer::new().format(time.millis()).as_bytes());
            }
            Self::Iso8601 => "\"%Y-%m-%dT%H:%M:%S.%6fZ\"",
            Self::JavaSqlTimestamp => "\"%Y-%m-%d %H:%M:%S.%6f\"",
        };
        let whole = i64::try_from(time.seconds).unwrap_or(i64::MAX);
        match Timestamp::new(whole, time.nanos.cast_signed()) {
            Ok(timestamp) => {
                let _infallible = write!(out, "{}", timestamp.strftime(calendar));
            }
            // Beyond the year 9999, where a client took milliseconds for seconds, the number says more than a made-up date.
            Err(_) => json::float(seconds(time), out),
        }
    }
}

impl Date {
    /// Reads `json_date_key` and `json_date_format`, which is a double unless it is given.
    pub(super) fn new(settings: &mut Settings<'_>) -> Self {
        Self::read(settings, DateFormat::Double)
    }

    /// Reads `json_date_key` and `json_date_format`, which is ISO 8601 unless it is given.
    pub(super) fn iso8601(settings: &mut Settings<'_>) -> Self {
        Self::read(settings, DateFormat::Iso8601)
    }

    fn read(settings: &mut Settings<'_>, default: DateFormat) -> Self {
        let is_off = |key: &String| {
            ["false", "off", "no"]
                .iter()
                .any(|off| key.eq_ignore_ascii_case(off))
        };
        let key = settings
            .text("json_date_key")
            .unwrap_or_else(|| "date".to_owned());
        let format = settings
            .text("json_date_format")
            .map(|text| (DateFormat::find(&text), text));
        if let Some((None, text)) = &format {
            let names: Vec<_> = DateFormat::NAMES.iter().map(|(name, _)| *name).collect();
            let message = format!(
                "`{text}` is no date format: write one of {}",
                names.join(", ")
            );
            let default = DateFormat::NAMES
                .iter()
                .find(|(_, known)| *known == default);
            let instead = format!("{} is used", default.map_or("", |(name, _)| *name));
            settings.lapse("json_date_format", message, &instead);
        }
        let format = format.and_then(|(format, _)| format).unwrap_or(default);
        Self {
            key: Some(key).filter(|key| !is_off(key)),
            format,
        }
    }

    /// Appends the record as JSON, the date first, then what Fluent Bit shows of metadata and group. A key of the record by the
    /// same name wins, as there.
    pub(super) fn record(&self, event: Event<'_>, json: Json, out: &mut Vec<u8>) {
        let is_taken = |name: &str| {
            Pairs::of(event.record).any(|(key, _)| read::text(key) == Some(name.as_bytes()))
        };
        let date = self.key.as_ref().filter(|name| !is_taken(name));
        let has_internal = !event.metadata.is_empty() && !is_taken(INTERNAL);
        if date.is_none() && !has_internal {
            return json.value(event.record, out);
        }
        out.push(b'{');
        if let Some(name) = date {
            json.string(name.as_bytes(), out);
            out.push(b':');
            self.format.write(event.time, out);
            out.push(b',');
        }
        if has_internal {
            internal(event.metadata, json, out);
        }
        // A comma, or the brace where there was nothing to show.
        let last = out.pop();
        let brace = out.len();
        json.value(event.record, out);
        if last == Some(b'{') {
            return;
        }
        if out.get(brace + 1) == Some(&b'}') {
            out.remove(brace);
        } else if let Some(brace) = out.get_mut(brace) {
            *brace = b',';
        }
    }
}

/// Where Fluent Bit shows what stands beside a record.
const INTERNAL: &str = "__internal__";

/// Appends `"__internal__":{"group_attributes":{..},"log_metadata":{..}},`, each only where there is something.
fn internal(metadata: &[u8], json: Json, out: &mut Vec<u8>) {
    let (own, group) = metadata::split(metadata);
    let attributes = group.map_or(&[][..], |group| group.attributes);
    let mut is_first = true;
    for (name, map) in [("group_attributes", attributes), ("log_metadata", own)] {
        if Pairs::of(map).next().is_none() {
            continue;
        }
        if is_first {
            json.string(INTERNAL.as_bytes(), out);
            out.extend_from_slice(b":{");
        } else {
            out.push(b',');
        }
        is_first = false;
        json.string(name.as_bytes(), out);
        out.push(b':');
        json.value(map, out);
    }
    if !is_first {
        out.extend_from_slice(b"},");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::configured;
    use crate::event::Tag;

    fn dated(properties: &[(&str, &str)], time: EventTime, record: &[u8]) -> String {
        let mut out = Vec::new();
        let (date, _) = configured(properties, Date::new);
        date.record(
            Event {
                time,
                metadata: &[],
                record,
            },
            Json::default(),
            &mut out,
        );
        String::from_utf8(out).unwrap()
    }

    const TIME: EventTime = EventTime {
        seconds: 1_700_000_000,
        nanos: 123_456_789,
    };

    /// What Fluent Bit 5.1.1 printed for the same events.
    #[test]
    fn metadata_and_attributes_of_the_group_stand_where_fluent_bit_puts_them() {
        let group = metadata::Group {
            metadata: b"\x81\xa6schema\xa4otlp",
            attributes: b"\x81\xa5scope\x81\xa4name\xa2sc",
        };
        let empty = metadata::Group {
            metadata: b"\x80",
            attributes: b"\x80",
        };
        let own = b"\x81\xa1k\xa1v";
        let attributes = r#""group_attributes":{"scope":{"name":"sc"}}"#;
        let log = r#""log_metadata":{"k":"v"}"#;
        let cases = [
            (&own[..], None, format!("\"__internal__\":{{{log}}},")),
            (
                b"",
                Some(group),
                format!("\"__internal__\":{{{attributes}}},"),
            ),
            (
                own,
                Some(group),
                format!("\"__internal__\":{{{attributes},{log}}},"),
            ),
            (b"", Some(empty), String::new()),
        ];
        for (own, group, expected) in cases {
            let mut carried = Vec::new();
            metadata::join(own, group, &mut carried);
            let shown = |properties: &[(&str, &str)], record| {
                let mut out = Vec::new();
                let event = Event {
                    time: TIME,
                    metadata: &carried,
                    record,
                };
                let date = configured(properties, Date::new).0;
                date.record(event, Json::default(), &mut out);
                String::from_utf8(out).unwrap()
            };
            let date = "\"date\":1700000000.123457";
            let record = b"\x81\xa1n\x01";
            assert_eq!(shown(&[], record), format!("{{{date},{expected}\"n\":1}}"));
            let empty = format!("{{{date},{expected}");
            let empty = format!("{}}}", empty.trim_end_matches(','));
            assert_eq!(shown(&[], b"\x80"), empty);
            let undated = [("json_date_key", "off")];
            assert_eq!(shown(&undated, record), format!("{{{expected}\"n\":1}}"));
            let alone = format!("{{{}}}", expected.trim_end_matches(','));
            assert_eq!(shown(&undated, b"\x80"), alone);
        }
    }

    /// Checklist: engine 69
    #[test]
    fn every_date_format_reads_as_fluent_bit_writes_it() {
        for (format, expected) in [
            ("double", "1700000000.123457"),
            ("ISO8601", "\"2023-11-14T22:13:20.123456Z\""),
            ("epoch", "1700000000"),
            ("epoch_ms", "1700000000123"),
            ("epoch_millis", "1700000000123"),
            ("epoch_milliseconds", "1700000000123"),
            ("java_sql_timestamp", "\"2023-11-14 22:13:20.123456\""),
        ] {
            let text = dated(&[("json_date_format", format)], TIME, b"\x81\xa1a\x01");
            assert_eq!(text, format!("{{\"date\":{expected},\"a\":1}}"));
        }
        let whole = EventTime {
            seconds: 1_700_000_000,
            nanos: 0,
        };
        assert_eq!(dated(&[], whole, &[0x80]), r#"{"date":1700000000.0}"#);
    }

    #[test]
    fn a_year_beyond_calendars_is_written_as_a_number() {
        let time = EventTime {
            seconds: 1_700_000_000_123,
            nanos: 0,
        };
        assert_eq!(
            dated(&[("json_date_format", "iso8601")], time, &[0x80]),
            r#"{"date":1700000000123.0}"#
        );
        let last = EventTime {
            seconds: u64::MAX,
            nanos: 999_999_999,
        };
        assert_eq!(
            dated(&[("json_date_format", "iso8601")], last, &[0x80]),
            r#"{"date":1.844674407370955e+19}"#
        );
    }

    /// Checklist: engine 69
    #[test]
    fn a_date_that_cannot_be_is_a_warning_and_a_double() {
        let (date, problems) = configured(&[("json_date_format", "iso8601_ns")], Date::new);
        assert_eq!(
            date,
            Date {
                key: Some("date".to_owned()),
                format: DateFormat::Double
            }
        );
        assert!(
            problems.concat().starts_with("warning: ") && problems.len() == 1,
            "{problems:?}"
        );
    }

    /// Checklist: engine 68, 70
    #[test]
    fn the_date_can_be_renamed_and_left_out_and_yields_to_the_record() {
        assert_eq!(
            dated(&[("json_date_key", "@t\"")], TIME, &[0x80]),
            r#"{"@t\"":1700000000.123457}"#
        );
        assert_eq!(dated(&[("json_date_key", "Off")], TIME, &[0x80]), "{}");
        assert_eq!(
            dated(&[("json_date_key", "false")], TIME, b"\x81\xa1a\x01"),
            r#"{"a":1}"#
        );
        assert_eq!(dated(&[], TIME, b"\x81\xa4date\x01"), r#"{"date":1}"#);
    }

    fn printed(value: &[u8]) -> String {
        let mut out = Vec::new();
        print(value, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_are_printed_as_fluent_bit_prints_them() {
        let record = b"\x83\xa3log\xa3x\"\n\xa1a\x93\x01\xc0\xc3\xa1e\x80";
        assert_eq!(
            printed(record),
            "{\"log\"=>\"x\"\n\", \"a\"=>[1, nil, true], \"e\"=>{}}"
        );
        assert_eq!(printed(&[0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0]), "1.500000");
        assert_eq!(printed(&[0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0]), "nan");
        assert_eq!(printed(&[0xd0, 0x9b]), "-101");
        assert_eq!(printed(b"\xc4\x03\"a\x00"), "\"\\\"a\\x00\"");
        assert_eq!(printed(&[0xd4, 0xff, 0x9a]), "(ext: -1)\"\\x9a\"");
    }

    #[test]
    fn a_request_is_full_at_its_limit_and_takes_at_least_one_item() {
        let tag = Tag::new(b"t");
        let event = Event {
            time: TIME,
            metadata: &[],
            record: &[0x80],
        };
        let mut items = std::iter::repeat_n(Item { tag: &tag, event }, 5);
        let mut body = Vec::new();
        let taken = fill(&mut items, &mut body, |_, _, body| {
            body.resize(body.len() + LIMITS.bytes / 2, 0);
        });
        assert_eq!((taken, items.len()), (2, 3));
        body.clear();
        assert_eq!(
            fill(&mut items, &mut body, |_, _, body| body
                .resize(2 * LIMITS.bytes, 0)),
            1
        );
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_printing_panic(value in proptest::collection::vec(proptest::num::u8::ANY, 0..100)) {
            if let Ok((_, whole)) = read::raw(&value) {
                print(whole, &mut Vec::new());
            }
        }
    }
}
