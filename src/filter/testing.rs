//! Events for the tests of filters.

use super::{Filter, Halt, Means, Scratch, Verdict, View};
use crate::config::testing::configured;
use crate::config::{Settings, Variables};
use crate::event::{Event, EventTime};
use crate::msgpack::json::Json;
use crate::msgpack::scan::value_len;
use crate::parser::{Parsers, json};

/// The time of every event here.
pub(super) const TIME: EventTime = EventTime {
    seconds: 1_700_000_000,
    nanos: 7,
};

/// A JSON value in msgpack.
pub(super) fn encoded(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    json::to_msgpack(text.as_bytes(), &mut out).unwrap();
    out
}

/// What a filter makes of a record written as JSON, as JSON with every pair; `None` when it drops it. A record that it
/// leaves alone must not count as changed, and a changed one must be whole.
pub(super) fn filtered(filter: &dyn Filter, record: &str) -> Option<String> {
    filtered_event(filter, record).map(|(record, _)| record)
}

/// As [`filtered`], with the seconds of the event.
pub(super) fn filtered_event(filter: &dyn Filter, record: &str) -> Option<(String, u64)> {
    let record = encoded(record);
    let event = Event {
        time: TIME,
        metadata: &[0x81, 0xa1, b'm', 1],
        record: &record,
    };
    let mut scratch = Scratch::default();
    let mut view = View::open(b"a.b", event, &mut scratch);
    if filter.apply(&mut view) == Verdict::Drop {
        return None;
    }
    let mut out = Vec::new();
    view.write(&mut out);
    assert!(view.changed() || out == record);
    assert_eq!(value_len(&out), Ok(Some(out.len())));
    Some((shown(&out), view.time().seconds))
}

/// A map as JSON in which a repeated key is repeated.
pub(super) fn shown(map: &[u8]) -> String {
    let json = |value: &[u8]| {
        let mut out = Vec::new();
        Json {
            escape_unicode: false,
        }
        .value(value, &mut out);
        String::from_utf8(out).unwrap()
    };
    let pairs = crate::msgpack::read::Pairs::of(map);
    let pairs: Vec<_> = pairs
        .map(|(key, value)| format!("{}:{}", json(key), json(value)))
        .collect();
    format!("{{{}}}", pairs.join(","))
}

/// The filter that a section makes, and what is wrong with it.
pub(super) fn built(
    build: fn(&mut Settings<'_>, Means<'_>) -> Box<dyn Filter>,
    properties: &[(&str, &str)],
) -> (Box<dyn Filter>, Vec<String>) {
    let parsers = Parsers::default();
    let means = Means {
        parsers: &parsers,
        variables: &Variables::default(),
        directory: std::path::Path::new(""),
        halt: &Halt::default(),
    };
    configured(properties, |settings| build(settings, means))
}

/// What the filter of a section makes of records: `=` stands for unchanged, nothing for dropped.
pub(super) fn check(
    build: fn(&mut Settings<'_>, Means<'_>) -> Box<dyn Filter>,
    properties: &[(&str, &str)],
    cases: &[(&str, &str)],
) {
    let (filter, problems) = built(build, properties);
    assert!(problems.is_empty(), "{problems:?}");
    for (record, expected) in cases {
        let expected = if *expected == "=" { record } else { expected };
        assert_eq!(
            filtered(&*filter, record).unwrap_or_default(),
            *expected,
            "{properties:?} on {record}"
        );
    }
}

/// Checks that a section is refused with these words.
pub(super) fn refused(
    build: fn(&mut Settings<'_>, Means<'_>) -> Box<dyn Filter>,
    properties: &[(&str, &str)],
    words: &str,
) {
    let (_, problems) = built(build, properties);
    let is_refused = |problem: &String| problem.starts_with("error: ") && problem.contains(words);
    assert!(
        problems.iter().any(is_refused),
        "{properties:?}: {problems:?}"
    );
}
