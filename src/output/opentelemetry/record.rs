//! From an event to a `LogRecord`.
//!
//! | field | where it comes from, the first that is there |
//! |---|---|
//! | time | metadata `$otlp['timestamp']`, `logs_timestamp_metadata_key`; the event's time |
//! | observed time | metadata `$otlp['observed_timestamp']`, `logs_observed_timestamp_metadata_key` |
//! | severity's number (1 to 24) and text, trace and span | metadata `$otlp[..]`, `logs_*_metadata_key`; the record's `logs_*_message_key` |
//! | flags | metadata `$otlp['trace_flags']`, `logs_trace_flags_metadata_key` |
//! | body | the record's `logs_body_key`; the whole record |
//! | attributes | metadata; the rest of the record with `logs_body_key_attributes`; metadata `$otlp['attributes']` or `logs_attributes_metadata_key` |
//!
//! <https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/logs/v1/logs.proto>

use super::protobuf::{bytes, fixed32, fixed64, message, text, varint};
use crate::accessor::Accessor;
use crate::config::Settings;
use crate::event::{Event, EventTime};
use crate::msgpack::read::{self, Pairs, Value};

/// Where in the metadata and in the record a field is looked for, in this order.
struct Places {
    metadata: Vec<Accessor>,
    record: Option<Accessor>,
}

impl Places {
    fn read(
        settings: &mut Settings<'_>,
        otlp: &str,
        (metadata_key, metadata): (&'static str, &str),
        record: Option<(&'static str, &str)>,
    ) -> Self {
        let mut metadata_places = Accessor::new(otlp).into_iter().collect::<Vec<_>>();
        metadata_places.extend(accessor(settings, metadata_key, metadata));
        Self {
            metadata: metadata_places,
            record: record.and_then(|(key, default)| accessor(settings, key, default)),
        }
    }

    /// What `read` makes of the first value that it can make something of.
    fn find<'e, T>(&self, event: Event<'e>, read: impl Fn(&'e [u8]) -> Option<T>) -> Option<T> {
        let metadata = self.metadata.iter();
        let mut found = metadata.filter_map(|place| place.find_in(event.metadata));
        let record = self.record.as_ref();
        found
            .find_map(&read)
            .or_else(|| read(record?.find_in(event.record)?))
    }
}

fn accessor(settings: &mut Settings<'_>, key: &'static str, default: &str) -> Option<Accessor> {
    let given = settings.text(key);
    Accessor::new(given.as_deref().unwrap_or(default))
        .inspect_err(|error| settings.error(key, error.to_string()))
        .ok()
}

/// How records are made.
pub(super) struct Records {
    time: Places,
    observed: Places,
    number: Places,
    severity: Places,
    trace: Places,
    span: Places,
    flags: Places,
    attributes: Places,
    bodies: Vec<Accessor>,
    /// What is left of the record becomes attributes.
    keeps_rest: bool,
}

impl Records {
    /// Reads `logs_*`.
    pub(super) fn read(settings: &mut Settings<'_>) -> Self {
        let mut bodies = Vec::new();
        for (path, place) in settings.all("logs_body_key") {
            match Accessor::new(&path) {
                Ok(accessor) => bodies.push(accessor),
                Err(error) => settings.error_at(&place, "logs_body_key", error.to_string()),
            }
        }
        if bodies.is_empty() {
            bodies.extend(
                ["$log", "$message"]
                    .iter()
                    .flat_map(|key| Accessor::new(key)),
            );
        }
        let mut places = |otlp, metadata, record| Places::read(settings, otlp, metadata, record);
        Self {
            time: places(
                "$otlp['timestamp']",
                ("logs_timestamp_metadata_key", "$Timestamp"),
                None,
            ),
            observed: places(
                "$otlp['observed_timestamp']",
                ("logs_observed_timestamp_metadata_key", "$ObservedTimestamp"),
                None,
            ),
            number: places(
                "$otlp['severity_number']",
                ("logs_severity_number_metadata_key", "$SeverityNumber"),
                Some(("logs_severity_number_message_key", "$SeverityNumber")),
            ),
            severity: places(
                "$otlp['severity_text']",
                ("logs_severity_text_metadata_key", "$SeverityText"),
                Some(("logs_severity_text_message_key", "$SeverityText")),
            ),
            trace: places(
                "$otlp['trace_id']",
                ("logs_trace_id_metadata_key", "$TraceId"),
                Some(("logs_trace_id_message_key", "$TraceId")),
            ),
            span: places(
                "$otlp['span_id']",
                ("logs_span_id_metadata_key", "$SpanId"),
                Some(("logs_span_id_message_key", "$SpanId")),
            ),
            flags: places(
                "$otlp['trace_flags']",
                ("logs_trace_flags_metadata_key", "$TraceFlags"),
                None,
            ),
            attributes: places(
                "$otlp['attributes']",
                ("logs_attributes_metadata_key", "$Attributes"),
                None,
            ),
            bodies,
            keeps_rest: settings.flag("logs_body_key_attributes", false),
        }
    }

    /// Appends the fields of an event. `scratch` is room that is used again for each.
    pub(super) fn write(&self, event: Event<'_>, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
        let time = self.time.find(event, unsigned);
        fixed64(1, time.unwrap_or_else(|| nanos(event.time)), out);
        if let Some(number) = self.number.find(event, severity) {
            varint(2, number, out);
        }
        if let Some(severity) = self.severity.find(event, str) {
            text(3, severity, out);
        }
        let named = self.bodies.iter().find_map(|place| {
            let value = place.find_in(event.record)?;
            Some((place, value))
        });
        let body = named.map_or(event.record, |(_, value)| value);
        message(5, out, |out| {
            any_value(body, out);
        });
        for (key, value) in Pairs::of(event.metadata) {
            if str(key) != Some(b"otlp") {
                attribute(key, value, out);
            }
        }
        if let (true, Some((place, _))) = (self.keeps_rest, named) {
            scratch.clear();
            place.write_without(event.record, scratch);
            for (key, value) in Pairs::of(scratch) {
                attribute(key, value, out);
            }
        }
        let attributes = self.attributes.find(event, map).unwrap_or_default();
        for (key, value) in Pairs::of(attributes) {
            attribute(key, value, out);
        }
        if let Some(flags) = self.flags.find(event, unsigned) {
            fixed32(8, flags as u32, out);
        }
        if let Some(id) = self.trace.find(event, id::<16>) {
            bytes(9, &id, out);
        }
        if let Some(id) = self.span.find(event, id::<8>) {
            bytes(10, &id, out);
        }
        if let Some(time) = self.observed.find(event, unsigned) {
            fixed64(11, time, out);
        }
    }
}

/// Nanoseconds, of which there are enough until the year 2554.
fn nanos(time: EventTime) -> u64 {
    let nanos = u64::from(time.nanos);
    time.seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(nanos)
}

fn unsigned(value: &[u8]) -> Option<u64> {
    match read::value(value) {
        Ok((_, Value::Unsigned(number))) => Some(number),
        _ => None,
    }
}

fn severity(value: &[u8]) -> Option<u64> {
    unsigned(value).filter(|number| (1..=24).contains(number))
}

fn str(value: &[u8]) -> Option<&[u8]> {
    match read::value(value) {
        Ok((_, Value::Str(text))) => Some(text),
        _ => None,
    }
}

fn map(value: &[u8]) -> Option<&[u8]> {
    match read::value(value) {
        Ok((_, Value::Map(_))) => Some(value),
        _ => None,
    }
}

/// An id: its bytes, or a text of as many pairs of hexadecimal digits.
fn id<const N: usize>(value: &[u8]) -> Option<[u8; N]> {
    match read::value(value) {
        Ok((_, Value::Bin(bytes))) => bytes.try_into().ok(),
        Ok((_, Value::Str(digits))) if digits.len() == 2 * N => {
            let mut id = [0; N];
            for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
                let mut pair = pair.iter().map(|&digit| char::from(digit).to_digit(16));
                *byte = pair.try_fold(0, |byte, digit| Some(byte << 4 | digit? as u8))?;
            }
            Some(id)
        }
        _ => None,
    }
}

/// Appends an attribute of a record; one whose name is no text is left out.
fn attribute(key: &[u8], value: &[u8], out: &mut Vec<u8>) {
    if str(key).is_some() {
        message(6, out, |out| key_value(key, value, out));
    }
}

fn key_value(key: &[u8], value: &[u8], out: &mut Vec<u8>) {
    text(1, str(key).unwrap_or_default(), out);
    message(2, out, |out| {
        any_value(value, out);
    });
}

/// Appends the field of an `AnyValue`, nothing for nil, and gives what follows the value. The depth is bounded, see
/// [`crate::msgpack::scan::MAX_DEPTH`].
fn any_value<'v>(value: &'v [u8], out: &mut Vec<u8>) -> &'v [u8] {
    let Ok((mut rest, kind)) = read::value(value) else {
        return &[];
    };
    match kind {
        Value::Nil => {}
        Value::Bool(truth) => varint(2, u64::from(truth), out),
        Value::Unsigned(number) => varint(3, number, out),
        Value::Signed(number) => varint(3, number.cast_unsigned(), out),
        Value::Float(number) => fixed64(4, number.to_bits(), out),
        Value::Str(string) => text(1, string, out),
        Value::Bin(data) | Value::Ext(_, data) => bytes(7, data, out),
        Value::Array(count) => message(5, out, |out| {
            for _ in 0..count {
                message(1, out, |out| rest = any_value(rest, out));
            }
        }),
        Value::Map(count) => message(6, out, |out| {
            let mut pairs = Pairs::inside(rest, count);
            for (key, value) in pairs.by_ref() {
                if str(key).is_some() {
                    message(1, out, |out| key_value(key, value, out));
                }
            }
            rest = pairs.rest();
        }),
    }
    rest
}
