//! From a record to its line.

use std::io::Write as _;

use super::template::Template;
use crate::config::Settings;
use crate::event::Event;
use crate::msgpack::json::Json;
use crate::msgpack::read::Pairs;
use crate::output::Item;
use crate::output::entry::Entries;
use crate::output::text;

/// How records are written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Format {
    /// `tag: [1700000000.123456789, {"log":"x"}]`
    OutFile,
    /// `{"log":"x"}`
    Plain,
    /// `1700000000.123456789,"x"`; text is not escaped.
    Csv {
        /// Between the fields.
        delimiter: String,
        /// Whether a file begins with the keys.
        has_head: bool,
    },
    /// `"time":1700000000.123457<tab>"log":"x"`
    Ltsv {
        /// Between the fields.
        delimiter: String,
        /// Between label and value.
        label_delimiter: String,
    },
    /// As the user wants it.
    Template(Template),
    /// `[[time, metadata], record]` without anything between two.
    Msgpack,
}

impl Format {
    /// Reads `format` and what the formats ask for.
    pub(super) fn new(settings: &mut Settings<'_>) -> Self {
        let name = settings.choice(
            "format",
            &["out_file", "plain", "csv", "ltsv", "template", "msgpack"],
        );
        let usual = if name == Some("ltsv") { "\t" } else { "," };
        let delimiter = delimiter(settings, "delimiter", usual);
        let label_delimiter = self::delimiter(settings, "label_delimiter", ":");
        let has_head = settings.flag("csv_column_names", false);
        let template = settings
            .text("template")
            .unwrap_or_else(|| "{time} {message}".to_owned());
        match name {
            Some("plain") => Self::Plain,
            Some("csv") => Self::Csv {
                delimiter,
                has_head,
            },
            Some("ltsv") => Self::Ltsv {
                delimiter,
                label_delimiter,
            },
            Some("template") => Self::Template(Template::new(&template)),
            Some("msgpack") => Self::Msgpack,
            _ => Self::OutFile,
        }
    }

    /// Appends the line at the top of a file whose first record is this one, if there is one.
    pub(super) fn head(&self, event: Event<'_>, out: &mut Vec<u8>) {
        if let Self::Csv {
            delimiter,
            has_head: true,
        } = self
            && Pairs::of(event.record).next().is_some()
        {
            out.extend_from_slice(b"timestamp");
            for (key, _) in Pairs::of(event.record) {
                out.extend_from_slice(delimiter.as_bytes());
                text::print(key, out);
            }
            out.push(b'\n');
        }
    }

    /// Appends one record.
    pub(super) fn row(&self, Item { tag, event }: Item<'_>, json: Json, out: &mut Vec<u8>) {
        let is_empty = Pairs::of(event.record).next().is_none();
        match self {
            // A line of a time alone says nothing.
            Self::Csv { .. } | Self::Ltsv { .. } if is_empty => return,
            Self::OutFile => {
                let _infallible = write!(
                    out,
                    "{tag}: [{}.{:09}, ",
                    event.time.seconds, event.time.nanos
                );
                json.value(event.record, out);
                out.push(b']');
            }
            Self::Plain => json.value(event.record, out),
            Self::Csv { delimiter, .. } => csv(event, delimiter, out),
            Self::Ltsv {
                delimiter,
                label_delimiter,
            } => ltsv(event, delimiter, label_delimiter, out),
            Self::Template(template) => template.write(event, out),
            Self::Msgpack => return msgpack(event, out),
        }
        out.push(b'\n');
    }
}

/// Reads a delimiter.
fn delimiter(settings: &mut Settings<'_>, key: &'static str, default: &str) -> String {
    let text = settings.text(key);
    let known = text.as_deref().map(named);
    if known == Some(None) {
        let message = "no delimiter; write tab, space or comma";
        settings.lapse(key, message, "the default is taken");
    }
    known.flatten().unwrap_or(default).to_owned()
}

/// A delimiter by its name.
fn named(text: &str) -> Option<&'static str> {
    match text.to_ascii_lowercase().as_str() {
        "tab" | "\\t" => Some("\t"),
        "space" => Some(" "),
        "comma" => Some(","),
        _ => None,
    }
}

fn csv(event: Event<'_>, delimiter: &str, out: &mut Vec<u8>) {
    let _infallible = write!(out, "{}.{:09}", event.time.seconds, event.time.nanos);
    for (_, value) in Pairs::of(event.record) {
        out.extend_from_slice(delimiter.as_bytes());
        text::print(value, out);
    }
}

fn ltsv(event: Event<'_>, delimiter: &str, label_delimiter: &str, out: &mut Vec<u8>) {
    let _infallible = write!(
        out,
        "\"time\"{label_delimiter}{:.6}",
        text::seconds(event.time)
    );
    for (key, value) in Pairs::of(event.record) {
        out.extend_from_slice(delimiter.as_bytes());
        text::print(key, out);
        out.extend_from_slice(label_delimiter.as_bytes());
        text::print(value, out);
    }
}

/// As Fluent Bit's chunks are. Writing to memory does not fail.
fn msgpack(event: Event<'_>, out: &mut Vec<u8>) {
    let entries = Entries {
        metadata: true,
        integer_time: false,
    };
    let _infallible = entries.write(event, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventTime, Tag};

    const TIME: EventTime = EventTime {
        seconds: 1_700_000_000,
        nanos: 123_456_789,
    };
    const RECORD: &[u8] =
        b"\x83\xa3log\xa8h \"q\" \xc3\xa9\xa1n\x01\xa1k\x81\xa1a\xcb\x3f\xf8\0\0\0\0\0\0";

    fn row(format: &Format, record: &[u8]) -> Vec<u8> {
        let tag = Tag::new(b"t\n");
        let mut out = Vec::new();
        format.row(
            Item {
                tag: &tag,
                event: Event {
                    time: TIME,
                    metadata: &[],
                    record,
                },
            },
            Json::default(),
            &mut out,
        );
        out
    }

    fn csv(has_head: bool) -> Format {
        Format::Csv {
            delimiter: ",".to_owned(),
            has_head,
        }
    }

    #[test]
    fn every_format_writes_the_line_fluent_bit_writes() {
        let ltsv = Format::Ltsv {
            delimiter: "\t".to_owned(),
            label_delimiter: ":".to_owned(),
        };
        let template = Format::Template(Template::new("[{time}] {log} {n} {nope} {k}"));
        for (format, expected) in [
            (
                &Format::OutFile,
                r#"t\n: [1700000000.123456789, {"log":"h \"q\" \u00e9","n":1,"k":{"a":1.5}}]"#,
            ),
            (
                &Format::Plain,
                r#"{"log":"h \"q\" \u00e9","n":1,"k":{"a":1.5}}"#,
            ),
            (
                &csv(true),
                r#"1700000000.123456789,"h "q" é",1,{"a"=>1.500000}"#,
            ),
            (
                &ltsv,
                "\"time\":1700000000.123457\t\"log\":\"h \"q\" é\"\t\"n\":1\t\"k\":{\"a\"=>1.500000}",
            ),
            (
                &template,
                "[1700000000.123457] h \"q\" é 1 {nope} {\"a\"=>1.500000}",
            ),
        ] {
            assert_eq!(
                String::from_utf8(row(format, RECORD)).unwrap(),
                format!("{expected}\n")
            );
        }
    }

    #[test]
    fn the_keys_stand_above_the_values_when_asked() {
        let event = Event {
            time: TIME,
            metadata: &[],
            record: RECORD,
        };
        let head = |format: &Format| {
            let mut out = Vec::new();
            format.head(event, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(head(&csv(true)), "timestamp,\"log\",\"n\",\"k\"\n");
        assert_eq!(head(&csv(false)), "");
        assert_eq!(head(&Format::Plain), "");
    }

    #[test]
    fn an_empty_record_has_no_line_of_fields() {
        assert_eq!(row(&csv(true), &[0x80]), b"");
    }

    #[test]
    fn msgpack_is_written_as_fluent_bit_keeps_it() {
        let expected = [
            &[
                0x92, 0x92, 0xd7, 0, 0x65, 0x53, 0xf1, 0, 0x07, 0x5b, 0xcd, 0x15, 0x80,
            ][..],
            &[0x80],
        ]
        .concat();
        assert_eq!(row(&Format::Msgpack, &[0x80]), expected);
    }

    #[test]
    fn a_delimiter_is_one_of_three() {
        for (text, expected) in [
            ("TAB", Some("\t")),
            ("\\t", Some("\t")),
            ("space", Some(" ")),
            ("comma", Some(",")),
            ("; ", None),
        ] {
            assert_eq!(named(text), expected);
        }
    }
}
