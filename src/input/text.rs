//! From a line of text to a record.

use std::sync::Arc;

use crate::config::Settings;
use crate::event::EventTime;
use crate::msgpack::read::{self, Value};
use crate::msgpack::write;
use crate::parser::{Parser, Parsers, Room};

/// The parser that a section names; one that there is not is overlooked, as in Fluent Bit.
pub(super) fn parser(
    settings: &mut Settings<'_>,
    key: &'static str,
    parsers: &Parsers,
) -> Option<Arc<Parser>> {
    let name = settings.text(key)?;
    let parser = parsers.get(&name);
    if parser.is_none() {
        settings.lapse(
            key,
            format!("parser `{name}` is not registered: name one that a Parsers_File defines"),
            "lines are taken as they are",
        );
    }
    parser
}

/// Encoded pairs that every record of one source has.
#[derive(Debug, Clone, Default)]
pub(super) struct Pairs {
    count: u32,
    bytes: Vec<u8>,
}

impl Pairs {
    /// Appends a text.
    pub(super) fn text(&mut self, key: &str, text: &[u8]) {
        self.key(key);
        write::str(&mut self.bytes, text);
    }

    /// Appends a number.
    pub(super) fn unsigned(&mut self, key: &str, number: u64) {
        self.key(key);
        write::unsigned(&mut self.bytes, number);
    }

    /// Forgets all of them.
    pub(super) fn clear(&mut self) {
        self.count = 0;
        self.bytes.clear();
    }

    fn key(&mut self, key: &str) {
        self.count += 1;
        write::str(&mut self.bytes, key.as_bytes());
    }
}

/// Makes records of lines.
#[derive(Debug)]
pub(super) struct TextRecords {
    /// The encoded key of a line that is not parsed.
    key: Vec<u8>,
    parser: Option<Arc<Parser>>,
    room: Room,
    parsed: Vec<u8>,
    record: Vec<u8>,
}

impl TextRecords {
    /// Records as the parser makes them; a line that does not fit, or all without a parser, under `key`.
    pub(super) fn new(key: &str, parser: Option<Arc<Parser>>) -> Self {
        let mut encoded = Vec::new();
        write::str(&mut encoded, key.as_bytes());
        Self {
            key: encoded,
            parser,
            room: Room::default(),
            parsed: Vec::new(),
            record: Vec::new(),
        }
    }

    /// The record of a line with its time, which is `now` unless the parser finds one. The `pairs` stand before a line and behind
    /// what was parsed.
    pub(super) fn make(
        &mut self,
        line: &[u8],
        pairs: &Pairs,
        now: EventTime,
    ) -> (EventTime, &[u8]) {
        self.parsed.clear();
        let parsed = match &self.parser {
            Some(parser) => parser.parse(line, &mut self.room, &mut self.parsed),
            None => None,
        };
        let Some(parsed) = parsed else {
            return (now, self.plain(line, pairs));
        };
        let time = parsed.time.unwrap_or(now);
        if pairs.count == 0 {
            return (time, &self.parsed);
        }
        extend(&mut self.record, &self.parsed, pairs);
        (time, &self.record)
    }

    /// As [`TextRecords::make`], but nothing for a line that the parser does not take.
    pub(super) fn make_parsed(
        &mut self,
        line: &[u8],
        pairs: &Pairs,
        now: EventTime,
    ) -> Option<(EventTime, &[u8])> {
        self.parsed.clear();
        let parser = self.parser.as_ref()?;
        let parsed = parser.parse(line, &mut self.room, &mut self.parsed)?;
        extend(&mut self.record, &self.parsed, pairs);
        Some((parsed.time.unwrap_or(now), &self.record))
    }

    /// The record of a text, which no parser looks at.
    pub(super) fn plain(&mut self, text: &[u8], pairs: &Pairs) -> &[u8] {
        self.record.clear();
        write::map_header(&mut self.record, pairs.count + 1);
        self.record.extend_from_slice(&pairs.bytes);
        self.record.extend_from_slice(&self.key);
        write::str(&mut self.record, text);
        &self.record
    }

    /// A record with the `pairs` behind its own.
    pub(super) fn beside(&mut self, record: &[u8], pairs: &Pairs) -> &[u8] {
        extend(&mut self.record, record, pairs);
        &self.record
    }
}

/// Writes a map with more pairs.
pub(super) fn extend(out: &mut Vec<u8>, map: &[u8], pairs: &Pairs) {
    out.clear();
    if let Ok((rest, Value::Map(count))) = read::value(map) {
        write::map_header(out, count.saturating_add(pairs.count));
        out.extend_from_slice(rest);
        out.extend_from_slice(&pairs.bytes);
    }
}

/// A parser called `p` with these properties.
#[cfg(test)]
pub(super) fn test_parsers(properties: &[(&str, &str)]) -> Parsers {
    use crate::config::{Problems, Section, SectionKind, Variables};
    let properties = [&[("name", "p")], properties].concat();
    let section = Section::of_pairs(SectionKind::Parser, &properties);
    let mut problems = Problems::default();
    let parsers = Parsers::read([&section], &Variables::default(), &mut problems);
    assert_eq!(problems.to_string(), "");
    parsers
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: EventTime = EventTime {
        seconds: 5,
        nanos: 0,
    };

    #[test]
    fn a_line_is_parsed_or_stays_a_line_with_the_pairs_beside_it() {
        let parsers = test_parsers(&[("format", "json"), ("time_key", "t"), ("time_format", "%s")]);
        let mut records = TextRecords::new("log", parsers.get("p"));
        let mut pairs = Pairs::default();
        pairs.text("file", b"a");
        pairs.unsigned("at", 7);
        let (time, record) = records.make(br#"{"t":"9","m":1}"#, &pairs, NOW);
        assert_eq!(time.seconds, 9);
        assert_eq!(record, b"\x83\xa1m\x01\xa4file\xa1a\xa2at\x07");
        assert_eq!(
            records.make(b"x", &pairs, NOW),
            (NOW, &b"\x83\xa4file\xa1a\xa2at\x07\xa3log\xa1x"[..])
        );
        pairs.clear();
        assert_eq!(records.make(b"{}", &pairs, NOW), (NOW, &b"\x80"[..]));
    }
}
