//! `stdout`: writes records to standard output, which nothing else in this process does.
//!
//! | setting | default | effect |
//! |---|---|---|
//! | `format` | msgpack | `msgpack` for people, `json` (an array for each request), `json_lines`, `json_stream`, `otlp_json`, `otlp_json_pretty` |
//! | `json_date_key` | date | the key of the time; `off` for none |
//! | `json_date_format` | double | `double`, `iso8601`, `epoch`, `epoch_ms`, `java_sql_timestamp` |
//!
//! Who does not read our standard output holds up this output and no other.
//!
//! <https://docs.fluentbit.io/manual/pipeline/outputs/standard-output>

use std::io::{self, Write as _};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::otlp_json;
use super::text::{self, Date};
use super::{Answer, Destination, Encoded, Item, Limits, Options, Output};
use crate::config::Settings;
use crate::event::Tag;
use crate::msgpack::json::Json;

struct Stdout {
    format: Format,
    date: Date,
    json: Json,
    /// Held while writing: a request given up and sent again waits here and not on a thread of its own.
    turn: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Msgpack,
    Json,
    JsonLines,
    JsonStream,
    OtlpJson,
    OtlpJsonPretty,
}

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, options: Options) -> Arc<dyn Output> {
    Arc::new(Stdout {
        format: format(settings),
        date: Date::new(settings),
        json: options.json,
        turn: Arc::default(),
    })
}

fn format(settings: &mut Settings<'_>) -> Format {
    const NAMES: [&str; 6] = [
        "msgpack",
        "json",
        "json_lines",
        "json_stream",
        "otlp_json",
        "otlp_json_pretty",
    ];
    match settings.choice("format", &NAMES) {
        Some("json") => Format::Json,
        Some("json_lines") => Format::JsonLines,
        Some("json_stream") => Format::JsonStream,
        Some("otlp_json") => Format::OtlpJson,
        Some("otlp_json_pretty") => Format::OtlpJsonPretty,
        _ => Format::Msgpack,
    }
}

impl Stdout {
    fn write(&self, index: usize, item: Item<'_>, out: &mut Vec<u8>) {
        match self.format {
            Format::Msgpack => print_line(index, item, out),
            Format::JsonStream => self.date.record(item.event, self.json, out),
            Format::JsonLines => {
                self.date.record(item.event, self.json, out);
                out.push(b'\n');
            }
            Format::Json => {
                out.push(if index == 0 { b'[' } else { b',' });
                self.date.record(item.event, self.json, out);
            }
            Format::OtlpJson | Format::OtlpJsonPretty => {
                out.extend_from_slice(if index == 0 { otlp_json::HEAD } else { b"," });
                otlp_json::record(item.event, self.json, out);
            }
        }
    }
}

/// `[0] tag: [[1700000000.123456789, {}], {"log"=>"x"}]`
fn print_line(index: usize, Item { tag, event }: Item<'_>, out: &mut Vec<u8>) {
    let _infallible = write!(
        out,
        "[{index}] {tag}: [[{}.{:09}, ",
        event.time.seconds, event.time.nanos
    );
    text::print(
        if event.metadata.is_empty() {
            &[0x80]
        } else {
            event.metadata
        },
        out,
    );
    out.extend_from_slice(b"], ");
    text::print(event.record, out);
    out.extend_from_slice(b"]\n");
}

impl Output for Stdout {
    fn limits(&self) -> Limits {
        text::LIMITS
    }

    fn destination(&self, _: &Tag) -> Option<Destination> {
        Some(Destination {
            name: "standard output".into(),
            ..Destination::default()
        })
    }

    fn encode(
        &self,
        _: &Destination,
        items: &mut dyn Iterator<Item = Item<'_>>,
        mut body: Vec<u8>,
    ) -> Encoded {
        let consumed = text::fill(items, &mut body, |index, item, body| {
            self.write(index, item, body);
        });
        match self.format {
            Format::Json => body.extend_from_slice(b"]\n"),
            Format::JsonStream => body.push(b'\n'),
            Format::OtlpJson => {
                body.extend_from_slice(otlp_json::TAIL);
                body.push(b'\n');
            }
            Format::OtlpJsonPretty => {
                body.extend_from_slice(otlp_json::TAIL);
                let compact = std::mem::take(&mut body);
                otlp_json::pretty(&compact, &mut body);
                body.push(b'\n');
            }
            Format::Msgpack | Format::JsonLines => {}
        }
        Encoded {
            body: body.into(),
            consumed,
            ..Encoded::default()
        }
    }

    fn send<'a>(&'a self, _: &'a Destination, body: Bytes) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            let turn = Arc::clone(&self.turn).lock_owned().await;
            let written = text::blocking(move || {
                let _turn = turn;
                let mut stdout = io::stdout().lock();
                stdout.write_all(&body)?;
                stdout.flush()
            });
            match written.await {
                Ok(()) => Answer::done(),
                Err(error) => Answer::again(format!("cannot write to standard output: {error}")),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::configured;
    use crate::event::{Event, EventTime};

    fn encoded(properties: &[(&str, &str)], records: &[&[u8]]) -> String {
        let (output, problems) =
            configured(properties, |settings| build(settings, Options::default()));
        assert_eq!(problems, [""; 0]);
        let (tag, time) = (
            Tag::new(b"a.b"),
            EventTime {
                seconds: 1_700_000_000,
                nanos: 5,
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
        let encoded = output.encode(&Destination::default(), &mut items, Vec::new());
        assert_eq!(
            (encoded.consumed, encoded.taken()),
            (records.len(), records.len())
        );
        String::from_utf8(encoded.body.to_vec()).unwrap()
    }

    /// Checklist: engine 61
    #[test]
    fn every_format_writes_a_request_as_fluent_bit_writes_a_chunk() {
        let records: [&[u8]; 2] = [b"\x81\xa1a\x01", &[0x80]];
        let lines = "[0] a.b: [[1700000000.000000005, {}], {\"a\"=>1}]\n[1] a.b: [[1700000000.000000005, {}], {}]\n";
        assert_eq!(encoded(&[], &records), lines);
        for (format, expected) in [
            (
                "json",
                "[{\"date\":1700000000,\"a\":1},{\"date\":1700000000}]\n",
            ),
            (
                "json_lines",
                "{\"date\":1700000000,\"a\":1}\n{\"date\":1700000000}\n",
            ),
            (
                "json_stream",
                "{\"date\":1700000000,\"a\":1}{\"date\":1700000000}\n",
            ),
        ] {
            assert_eq!(
                encoded(
                    &[("format", format), ("json_date_format", "epoch")],
                    &records
                ),
                expected
            );
        }
    }

    /// Checklist: engine 61
    #[test]
    fn a_request_is_one_message_of_opentelemetry() {
        let records: [&[u8]; 2] = [b"\x81\xa3log\xa1x", b"\x81\xa3log\x02"];
        let compact = concat!(
            r#"{"resourceLogs":[{"resource":{},"scopeLogs":[{"scope":{},"logRecords":["#,
            r#"{"timeUnixNano":"1700000000000000005","body":{"stringValue":"x"}},"#,
            r#"{"timeUnixNano":"1700000000000000005","body":{"intValue":"2"}}]}]}]}"#,
            "\n"
        );
        assert_eq!(encoded(&[("format", "otlp_json")], &records), compact);
        let pretty = encoded(&[("format", "otlp_json_pretty")], &records);
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&pretty), read(compact));
        assert!(pretty.lines().count() > 20, "{pretty}");
    }
}
