//! `time_key`: the event's time as a last member of the record's JSON.

use crate::event::{Event, EventTime};
use crate::msgpack::json::Json;
use crate::msgpack::read;
use crate::msgpack::read::Pairs;
use crate::msgpack::write;

/// The default of `time_key_format`.
pub(super) const DEFAULT_FORMAT: &str = "%Y-%m-%dT%H:%M:%S";

/// A key and how its time is written.
#[derive(Debug, Clone)]
pub(super) struct TimeKey {
    key: Vec<u8>,
    format: String,
}

impl TimeKey {
    /// Takes a strftime format with the extensions `%3N`, `%9N` and `%L`.
    ///
    /// # Errors
    /// When the format cannot be used.
    pub(super) fn new(key: &str, format: &str) -> Result<Self, String> {
        let time_key = Self {
            key: key.as_bytes().to_vec(),
            format: format.to_owned(),
        };
        time_key.text(EventTime::default()).map(|_| time_key)
    }

    /// Appends the member to the object at the end of `line`, which was written from the event's record; a member of the same
    /// name makes room for it.
    pub(super) fn append(&self, json: Json, event: Event<'_>, line: &mut Vec<u8>) {
        let Ok(text) = self.text(event.time) else {
            return;
        };
        if text.is_empty() {
            return;
        }
        if Pairs::of(event.record).any(|(key, _)| read::text(key) == Some(&self.key)) {
            line.clear();
            json.value(&without(event.record, &self.key), line);
        }
        line.pop();
        if line.last() != Some(&b'{') {
            line.push(b',');
        }
        json.string(&self.key, line);
        line.push(b':');
        json.string(text.as_bytes(), line);
        line.push(b'}');
    }

    fn text(&self, time: EventTime) -> Result<String, String> {
        let seconds = i64::try_from(time.seconds).unwrap_or(i64::MAX);
        let nanos = time.nanos.cast_signed();
        let date = jiff::Timestamp::new(seconds, nanos)
            .unwrap_or(jiff::Timestamp::MAX)
            .to_zoned(jiff::tz::TimeZone::UTC);
        let format = extended(&self.format, time.nanos);
        jiff::fmt::strtime::format(&format, &date).map_err(|error| error.to_string())
    }
}

/// Replaces the extensions; a doubled percent sign starts none.
fn extended(format: &str, nanos: u32) -> String {
    let mut text = String::with_capacity(format.len() + 9);
    let mut rest = format;
    while let Some((before, behind)) = rest.split_once('%') {
        text.push_str(before);
        let (replacement, length) = match behind {
            _ if behind.starts_with("3N") => (format!("{:03}", nanos / 1_000_000), 2),
            _ if behind.starts_with("9N") => (format!("{nanos:09}"), 2),
            _ if behind.starts_with('L') => (format!("{nanos:09}"), 1),
            _ if behind.starts_with('%') => ("%%".to_owned(), 1),
            _ => ("%".to_owned(), 0),
        };
        text.push_str(&replacement);
        rest = behind.get(length..).unwrap_or_default();
    }
    text + rest
}

/// The record without the pairs of this key.
fn without(record: &[u8], name: &[u8]) -> Vec<u8> {
    let kept = || Pairs::of(record).filter(|(key, _)| read::text(key) != Some(name));
    let mut out = Vec::with_capacity(record.len());
    write::map_header(&mut out, kept().count() as u32);
    for (key, value) in kept() {
        out.extend_from_slice(key);
        out.extend_from_slice(value);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: EventTime = EventTime {
        seconds: 1_700_000_000,
        nanos: 123_456_789,
    };

    fn append(key: &str, format: &str, record: &[u8]) -> String {
        let mut line = Vec::new();
        Json::default().value(record, &mut line);
        let event = Event {
            time: TIME,
            metadata: &[],
            record,
        };
        TimeKey::new(key, format)
            .unwrap()
            .append(Json::default(), event, &mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn the_time_is_the_last_member() {
        let record = [0x81, 0xa1, b'a', 1];
        assert_eq!(
            append("t", DEFAULT_FORMAT, &record),
            r#"{"a":1,"t":"2023-11-14T22:13:20"}"#
        );
        assert_eq!(
            append("t\"k", "%S.%3N %9N %L", &[0x80]),
            r#"{"t\"k":"20.123 123456789 123456789"}"#
        );
        assert_eq!(append("t", "%%L %Y", &[0x80]), r#"{"t":"%L 2023"}"#);
    }

    #[test]
    fn a_member_of_the_same_name_is_replaced() {
        let record = [0x82, 0xa1, b't', 1, 0xa1, b'a', 2];
        assert_eq!(append("t", "%Y", &record), r#"{"a":2,"t":"2023"}"#);
    }

    #[test]
    fn a_format_that_means_nothing_is_refused() {
        assert!(TimeKey::new("t", "%!").is_err());
    }
}
