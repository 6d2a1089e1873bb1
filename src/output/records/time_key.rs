//! `time_key`: the event's time as a member of the record's JSON.

use crate::config::Settings;
use crate::event::{Event, EventTime};
use crate::msgpack::json::Json;
use crate::msgpack::read;
use crate::msgpack::read::Pairs;
use crate::msgpack::write;
use jiff::tz::TimeZone;

/// The default of `time_key_format`.
const DEFAULT_FORMAT: &str = "%Y-%m-%dT%H:%M:%S";

/// What a format may hold beside strftime's own, and how many digits of the second each stands for.
type Extensions = &'static [(&'static str, usize)];

/// Of the C plugins.
const EXTENSIONS: Extensions = &[("3N", 3), ("9N", 9), ("L", 9)];
/// Of the Go plugins.
const GO_EXTENSIONS: Extensions = &[("L", 3), ("f", 6)];

/// A key and how its time is written.
#[derive(Debug, Clone)]
pub(in crate::output) struct TimeKey {
    key: Vec<u8>,
    format: String,
    extensions: Extensions,
    zone: TimeZone,
}

impl TimeKey {
    /// Reads `time_key` and `time_key_format` as the C plugins do: in UTC, with the extensions `%3N`, `%9N` and `%L`.
    pub(in crate::output) fn read(settings: &mut Settings<'_>) -> Option<Self> {
        Self::read_with(settings, EXTENSIONS, TimeZone::UTC)
    }

    /// Reads them as the Go plugins do: in the time zone of the process, with the extensions `%L` and `%f`.
    pub(in crate::output) fn read_go(settings: &mut Settings<'_>) -> Option<Self> {
        Self::read_with(settings, GO_EXTENSIONS, TimeZone::system())
    }

    fn read_with(
        settings: &mut Settings<'_>,
        extensions: Extensions,
        zone: TimeZone,
    ) -> Option<Self> {
        let format = settings.text("time_key_format");
        let time_key = Self {
            key: settings.text("time_key")?.into_bytes(),
            format: format.unwrap_or_else(|| DEFAULT_FORMAT.to_owned()),
            extensions,
            zone,
        };
        match time_key.text(EventTime::default()) {
            Ok(_) => Some(time_key),
            Err(error) => {
                settings.error("time_key_format", error);
                None
            }
        }
    }

    /// The key and the text for it; `None` where the format comes to nothing.
    pub(in crate::output) fn pair(&self, time: EventTime) -> Option<(&[u8], String)> {
        let text = self.text(time).ok().filter(|text| !text.is_empty())?;
        Some((&self.key, text))
    }

    /// Appends the member to the object at the end of `line`, which was written from the event's record; a member of the same
    /// name makes room for it.
    pub(super) fn append(&self, json: Json, event: Event<'_>, line: &mut Vec<u8>) {
        let Some((_, text)) = self.pair(event.time) else {
            return;
        };
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
            .to_zoned(self.zone.clone());
        let format = extended(&self.format, self.extensions, time.nanos);
        jiff::fmt::strtime::format(&format, &date).map_err(|error| error.to_string())
    }
}

/// Replaces the extensions; a doubled percent sign starts none.
fn extended(format: &str, extensions: Extensions, nanos: u32) -> String {
    let mut text = String::with_capacity(format.len() + 9);
    let mut rest = format;
    while let Some((before, behind)) = rest.split_once('%') {
        text.push_str(before);
        let known = extensions
            .iter()
            .find_map(|(name, digits)| Some((*digits, behind.strip_prefix(name)?)));
        rest = behind;
        if let Some((digits, behind)) = known {
            text.extend(format!("{nanos:09}").chars().take(digits));
            rest = behind;
        } else if let Some(behind) = behind.strip_prefix('%') {
            text.push_str("%%");
            rest = behind;
        } else {
            text.push('%');
        }
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
    use crate::config::testing::configured;

    const TIME: EventTime = EventTime {
        seconds: 1_700_000_000,
        nanos: 123_456_789,
    };

    fn time_key(key: &str, format: &str) -> Option<TimeKey> {
        configured(
            &[("time_key", key), ("time_key_format", format)],
            TimeKey::read,
        )
        .0
    }

    fn append(key: &str, format: &str, record: &[u8]) -> String {
        let mut line = Vec::new();
        Json::default().value(record, &mut line);
        let event = Event {
            time: TIME,
            metadata: &[],
            record,
        };
        time_key(key, format)
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
        assert!(time_key("t", "%!").is_none());
    }
}
