//! Records as OTLP's JSON: what `format otlp_json` writes.
//!
//! ```text
//! {"resourceLogs":[{"resource":{},"scopeLogs":[{"scope":{},"logRecords":[
//!     {"timeUnixNano":"1700000000123456789","body":{"stringValue":"x"}}]}]}]}
//! ```
//! The body is the value of `log`, else of `message`, else the whole record.
//!
//! <https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>

use std::io::Write as _;

use crate::event::Event;
use crate::msgpack::json::{self, Json};
use crate::msgpack::read::{self, Pairs, Value};

/// What stands in front of the records of a request.
pub(super) const HEAD: &[u8] =
    br#"{"resourceLogs":[{"resource":{},"scopeLogs":[{"scope":{},"logRecords":["#;
/// What stands behind them.
pub(super) const TAIL: &[u8] = b"]}]}]}";

/// Appends an event as one of `logRecords`.
pub(super) fn record(event: Event<'_>, json: Json, out: &mut Vec<u8>) {
    let nanos = i128::from(event.time.seconds) * 1_000_000_000 + i128::from(event.time.nanos);
    let _infallible = write!(out, r#"{{"timeUnixNano":"{nanos}","body":"#);
    any(body(event.record), json, out);
    out.push(b'}');
}

fn body(record: &[u8]) -> &[u8] {
    let value = |name| {
        Pairs::of(record)
            .filter(|(key, _)| read::text(key) == Some(name))
            .last()
            .map(|(_, value)| value)
    };
    value(b"log")
        .or_else(|| value(b"message"))
        .unwrap_or(record)
}

/// Appends an `AnyValue` and gives what follows the encoded value. The depth is bounded, as that of a record is.
fn any<'v>(value: &'v [u8], json: Json, out: &mut Vec<u8>) -> &'v [u8] {
    let Ok((mut rest, read)) = read::value(value) else {
        out.extend_from_slice(b"{}");
        return &[];
    };
    match read {
        Value::Nil => {}
        Value::Str(text) => member(b"stringValue", out, |out| json.string(text, out)),
        Value::Bool(truth) => member(b"boolValue", out, |out| {
            let _infallible = write!(out, "{truth}");
        }),
        // Sixty-four bits are a text, since not every reader's numbers hold them.
        Value::Unsigned(number) => member(b"intValue", out, |out| {
            let _infallible = write!(out, r#""{number}""#);
        }),
        Value::Signed(number) => member(b"intValue", out, |out| {
            let _infallible = write!(out, r#""{number}""#);
        }),
        Value::Float(number) => member(b"doubleValue", out, |out| json::float(number, out)),
        Value::Bin(bytes) | Value::Ext(_, bytes) => member(b"bytesValue", out, |out| {
            let text = base64_simd::STANDARD.encode_to_string(bytes);
            let _infallible = write!(out, r#""{text}""#);
        }),
        Value::Array(count) => member(b"arrayValue", out, |out| {
            out.extend_from_slice(br#"{"values":["#);
            for index in 0..count {
                if index > 0 {
                    out.push(b',');
                }
                rest = any(rest, json, out);
            }
            out.extend_from_slice(b"]}");
        }),
        Value::Map(count) => member(b"kvlistValue", out, |out| {
            let mut pairs = Pairs::inside(rest, count);
            out.extend_from_slice(br#"{"values":["#);
            for (place, (key, value)) in pairs.by_ref().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(br#"{"key":"#);
                text(key, json, out);
                out.extend_from_slice(br#","value":"#);
                any(value, json, out);
                out.push(b'}');
            }
            rest = pairs.rest();
            out.extend_from_slice(b"]}");
        }),
    }
    if matches!(read, Value::Nil) {
        out.extend_from_slice(b"{}");
    }
    rest
}

fn member(name: &[u8], out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(b"{\"");
    out.extend_from_slice(name);
    out.extend_from_slice(b"\":");
    write(out);
    out.push(b'}');
}

/// Appends a key; one that is no text as the JSON of it, in quotes.
fn text(key: &[u8], json: Json, out: &mut Vec<u8>) {
    if let Some(text) = read::text(key) {
        return json.string(text, out);
    }
    let mut written = Vec::new();
    json.value(key, &mut written);
    json.string(&written, out);
}

/// Compact JSON for people: a member or value on each line, four blanks for each level.
pub(super) fn pretty(compact: &[u8], out: &mut Vec<u8>) {
    let (mut level, mut in_text, mut is_escaped, mut before) = (0, false, false, 0);
    for &byte in compact {
        if in_text {
            out.push(byte);
            in_text = is_escaped || byte != b'"';
            is_escaped = byte == b'\\' && !is_escaped;
            before = byte;
            continue;
        }
        let opens = matches!(before, b'{' | b'[');
        match byte {
            b'}' | b']' => {
                level -= 1;
                if !opens {
                    line(level, out);
                }
                out.push(byte);
            }
            _ => {
                if opens || before == b',' {
                    line(level, out);
                }
                out.push(byte);
                match byte {
                    b'{' | b'[' => level += 1,
                    b':' => out.push(b' '),
                    b'"' => in_text = true,
                    _ => {}
                }
            }
        }
        before = byte;
    }
}

fn line(level: usize, out: &mut Vec<u8>) {
    out.push(b'\n');
    out.resize(out.len() + 4 * level, b' ');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventTime;

    fn written(json: &str) -> String {
        let record = crate::output::testing::record(json);
        let event = Event {
            time: EventTime {
                seconds: 1_700_000_000,
                nanos: 123_456_789,
            },
            metadata: &[],
            record: &record,
        };
        let mut out = Vec::new();
        super::record(event, Json::default(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_body_is_log_or_message_or_the_whole_record() {
        let expected = r#"{"timeUnixNano":"1700000000123456789","body":{"stringValue":"x"}}"#;
        assert_eq!(written(r#"{"a":1,"log":"x","message":"y"}"#), expected);
        assert_eq!(written(r#"{"a":1,"message":"x"}"#), expected);
        let whole = r#"{"timeUnixNano":"1700000000123456789","body":{"kvlistValue":{"values":[{"key":"a","value":{"intValue":"1"}}]}}}"#;
        assert_eq!(written(r#"{"a":1}"#), whole);
    }

    #[test]
    fn every_kind_of_value_has_its_name() {
        let body = r#"{"arrayValue":{"values":[{},{"boolValue":true},{"intValue":"-5"},{"doubleValue":1.5},{"kvlistValue":{"values":[]}}]}}"#;
        let record = written(r#"{"log":[null,true,-5,1.5,{}]}"#);
        assert!(record.contains(body), "{record}");
        assert!(serde_json::from_str::<serde_json::Value>(&record).is_ok());
    }

    #[test]
    fn pretty_json_is_the_same_json() {
        let compact = r#"{"a":{},"b":["x,{\"","\\"],"c":[{"d":1}]}"#;
        let mut out = Vec::new();
        pretty(compact.as_bytes(), &mut out);
        let text = String::from_utf8(out).unwrap();
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&text), read(compact));
        assert!(
            text.starts_with("{\n    \"a\": {},\n    \"b\": [\n        \"x,{\\\"\",\n"),
            "{text}"
        );
    }
}
