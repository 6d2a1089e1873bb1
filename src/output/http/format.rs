//! Bodies that hold many events.

use super::gelf::Gelf;
use crate::config::Settings;
use crate::event::DropReason;
use crate::msgpack::json::Json;
use crate::output::compression::Compression;
use crate::output::entry::Entries;
use crate::output::text::Date;
use crate::output::web::Room;
use crate::output::{Encoded, Item};

/// How events are written.
pub(in crate::output) struct Format {
    kind: Kind,
    date: Date,
    json: Json,
    gelf: Option<Gelf>,
    compress: Option<Compression>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Json,
    JsonLines,
    JsonStream,
    Msgpack,
    Gelf,
}

impl Kind {
    const NAMES: [(&'static str, Self); 5] = [
        ("json", Self::Json),
        ("json_lines", Self::JsonLines),
        ("json_stream", Self::JsonStream),
        ("msgpack", Self::Msgpack),
        ("gelf", Self::Gelf),
    ];
}

impl Format {
    /// Reads `format` and what belongs to it.
    pub(super) fn read(
        settings: &mut Settings<'_>,
        json: Json,
        compress: Option<Compression>,
    ) -> Self {
        let names = Kind::NAMES.map(|(name, _)| name);
        let name = settings.choice("format", &names);
        let kind = Kind::NAMES.iter().find(|(known, _)| Some(*known) == name);
        Self {
            kind: kind.map_or(Kind::Json, |(_, kind)| *kind),
            date: Date::new(settings),
            json,
            gelf: Some(Gelf::read(settings)),
            compress,
        }
    }

    /// Reads `format` for a stream of bytes: msgpack unless it is given, and no GELF.
    pub(in crate::output) fn of_stream(settings: &mut Settings<'_>, json: Json) -> Self {
        let names = Kind::NAMES.map(|(name, _)| name);
        let (_, names) = names.split_last().unwrap_or((&"", &[]));
        let name = settings.choice("format", names);
        let kind = Kind::NAMES.iter().find(|(known, _)| Some(*known) == name);
        Self {
            kind: kind.map_or(Kind::Msgpack, |(_, kind)| *kind),
            date: Date::new(settings),
            json,
            gelf: None,
            compress: None,
        }
    }

    /// What the body is.
    pub(super) fn content_type(&self) -> &'static str {
        match self.kind {
            Kind::Json | Kind::JsonStream | Kind::Gelf => "application/json",
            Kind::JsonLines => "application/x-ndjson",
            Kind::Msgpack => "application/msgpack",
        }
    }

    /// Writes events until the body is full.
    pub(in crate::output) fn encode(
        &self,
        items: &mut dyn Iterator<Item = Item<'_>>,
        mut body: Vec<u8>,
    ) -> Encoded {
        let write = |_, item: Item<'_>, body: &mut Vec<u8>| self.write(item, body);
        let mut encoded = Room::FREE.fill(items, &mut body, 0, write);
        if self.kind == Kind::Json && !body.is_empty() {
            body.push(b']');
        }
        encoded.body = match self.compress {
            Some(compression) => compression.pack(&body),
            None => body,
        }
        .into();
        encoded
    }

    fn write(&self, item: Item<'_>, body: &mut Vec<u8>) -> Result<(), DropReason> {
        match self.kind {
            Kind::Json => {
                body.push(if body.is_empty() { b'[' } else { b',' });
                self.date.record(item.event, self.json, body);
            }
            Kind::JsonLines => {
                self.date.record(item.event, self.json, body);
                body.push(b'\n');
            }
            Kind::JsonStream => self.date.record(item.event, self.json, body),
            Kind::Msgpack => {
                let entries = Entries {
                    metadata: true,
                    integer_time: false,
                };
                let _infallible = entries.write(item.event, body);
            }
            Kind::Gelf => {
                if let Some(gelf) = &self.gelf {
                    gelf.write(item.event, self.json, body)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::config::testing::configured;
    use crate::event::{Event, EventTime, Tag};

    fn encoded(
        properties: &[(&str, &str)],
        records: &[&[u8]],
        compress: Option<Compression>,
    ) -> Encoded {
        let read = |settings: &mut Settings<'_>| Format::read(settings, Json::default(), compress);
        let (format, problems) = configured(properties, read);
        assert_eq!(problems, [""; 0]);
        let (tag, time) = (
            Tag::new(b"a"),
            EventTime {
                seconds: 1_700_000_000,
                nanos: 500_000_000,
            },
        );
        let mut items = records.iter().map(|record| Item {
            tag: &tag,
            event: Event {
                time,
                metadata: &[],
                record,
            },
        });
        format.encode(&mut items, Vec::new())
    }

    #[test]
    fn every_format_writes_what_fluent_bit_writes() {
        let records: [&[u8]; 2] = [b"\x81\xa1a\x01", b"\x81\xa1b\x02"];
        let text = |properties: &[(&str, &str)]| {
            let body = encoded(properties, &records, None).body;
            String::from_utf8(body.to_vec()).unwrap()
        };
        let epoch = ("json_date_format", "epoch");
        let first = r#"{"date":1700000000,"a":1}"#;
        let second = r#"{"date":1700000000,"b":2}"#;
        assert_eq!(text(&[epoch]), format!("[{first},{second}]"));
        for (format, expected) in [
            ("json", format!("[{first},{second}]")),
            ("JSON_lines", format!("{first}\n{second}\n")),
            ("json_stream", format!("{first}{second}")),
        ] {
            assert_eq!(text(&[("format", format), epoch]), expected);
        }
        let body = encoded(&[("format", "msgpack")], &records[..1], None).body;
        let expected = b"\x92\x92\xd7\x00\x65\x53\xf1\x00\x1d\xcd\x65\x00\x80\x81\xa1a\x01";
        assert_eq!(&body[..], expected);
    }

    #[test]
    fn a_body_is_compressed_as_a_whole() {
        let body = |compression| {
            let properties = [("json_date_key", "off")];
            encoded(&properties, &[&[0x80][..]; 3], Some(compression)).body
        };
        let mut text = String::new();
        let gzip = body(Compression::Gzip);
        let mut reader = flate2::read::GzDecoder::new(&gzip[..]);
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "[{},{},{}]");
        let zstd = zstd::decode_all(&body(Compression::Zstd)[..]).unwrap();
        let snappy = body(Compression::Snappy);
        let snappy = snap::raw::Decoder::new().decompress_vec(&snappy).unwrap();
        assert_eq!((&zstd[..], &snappy[..]), (text.as_bytes(), text.as_bytes()));
    }

    #[test]
    fn an_event_that_cannot_be_written_costs_itself() {
        let records: [&[u8]; 3] = [&[0x80], b"\x81\xadshort_message\xa1m", &[0x80]];
        let encoded = encoded(&[("format", "gelf")], &records, None);
        assert_eq!(encoded.consumed, 3);
        let refused = [(0, DropReason::KeyMissing), (2, DropReason::KeyMissing)];
        assert_eq!(encoded.refused, refused);
        assert!(
            encoded.body.starts_with(b"{\"version\":\"1.1\", ") && encoded.body.ends_with(b"}\n")
        );
    }

    #[test]
    fn a_full_body_leaves_the_rest() {
        let record = [b"\x81\xa1a\xc6\x00\x0a\x00\x00", &vec![b'x'; 0xa_0000][..]].concat();
        let encoded = encoded(&[], &[&record[..]; 3], None);
        assert_eq!(encoded.consumed, 2);
        assert!(encoded.body.ends_with(b"}]"));
    }
}
