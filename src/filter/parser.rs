//! `parser`: makes the text of a field the record.
//!
//! | setting | effect |
//! |---|---|
//! | `Key_Name` | the field; an accessor if it starts with `$` |
//! | `Parser` | repeatable; the first that takes the text wins |
//! | `Reserve_Data` | keep the other fields, behind what was parsed |
//! | `Preserve_Key` | keep the field that was parsed |
//!
//! A record whose field is missing, is no text, or does not fit stays as it is.
//! <https://docs.fluentbit.io/manual/pipeline/filters/parser>

use std::sync::Arc;

use super::{Filter, Means, Parsing, Verdict, View};
use crate::accessor::Accessor;
use crate::config::Settings;
use crate::msgpack::read;
use crate::parser::Parser as TextParser;

enum Key {
    Plain(Box<[u8]>),
    Accessor(Accessor),
}

struct Parser {
    key: Key,
    parsers: Vec<Arc<TextParser>>,
    reserve_data: bool,
    preserve_key: bool,
}

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, means: Means<'_>) -> Box<dyn Filter> {
    let key = settings.required("key_name").unwrap_or_default();
    let key = if key.starts_with('$') {
        match Accessor::new(&key) {
            Ok(accessor) => Key::Accessor(accessor),
            Err(error) => {
                settings.error("key_name", error.to_string());
                Key::Plain(Box::default())
            }
        }
    } else {
        Key::Plain(key.as_bytes().into())
    };
    if settings.text("unescape_key").is_some() {
        settings.warning("unescape_key", "has no effect; use a decoder of the parser");
    }
    Box::new(Parser {
        key,
        parsers: parsers(settings, means),
        reserve_data: settings.flag("reserve_data", false),
        preserve_key: settings.flag("preserve_key", false),
    })
}

/// The parsers that there are of those named; one at least is needed.
fn parsers(settings: &mut Settings<'_>, means: Means<'_>) -> Vec<Arc<TextParser>> {
    let mut parsers = Vec::new();
    let names = settings.all("parser");
    for (name, _) in &names {
        match means.parsers.get(name) {
            Some(parser) => parsers.push(parser),
            None => settings.lapse(
                "parser",
                format!("there is no parser `{name}`; names have a case"),
                "the other parsers are used",
            ),
        }
    }
    if parsers.is_empty() {
        settings.error(
            "parser",
            "no parser is left: name one that a Parsers_File defines",
        );
    }
    parsers
}

impl Filter for Parser {
    fn apply(&self, record: &mut View<'_>) -> Verdict {
        match &self.key {
            Key::Plain(name) => self.parse_key(record, name),
            Key::Accessor(accessor) => {
                if let Some(parsing) = record.parse_found(accessor, &self.parsers) {
                    settle(record, parsing, |_| self.reserve_data);
                }
            }
        }
        Verdict::Keep
    }
}

impl Parser {
    /// Parses each field of the name, in practice one. The last attempt decides; the last field it succeeded with is the
    /// one that goes or is preserved.
    fn parse_key(&self, record: &mut View<'_>, name: &[u8]) {
        let mut last = None;
        let mut from = 0;
        while let Some((index, value)) = record.next(from, name) {
            from = index + 1;
            if read::text(value).is_some() {
                last = Some((index, record.parse_at(index, &self.parsers)));
            }
        }
        if let Some((source, Some(parsing))) = last {
            settle(record, parsing, |index| {
                if index == source {
                    self.preserve_key
                } else {
                    self.reserve_data
                }
            });
        }
    }
}

/// Makes what was parsed the event.
fn settle(record: &mut View<'_>, parsing: Parsing, keep: impl Fn(usize) -> bool) {
    record.become_parsed(parsing, keep);
    if let Some(time) = parsing.time {
        record.set_time(time);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::filtered_event;
    use super::*;
    use crate::config::testing::configured;
    use crate::config::{Problems, Section, SectionKind, Variables};
    use crate::parser::Parsers;

    fn parsers() -> Parsers {
        let sections = [
            &[
                ("name", "json"),
                ("format", "json"),
                ("time_key", "t"),
                ("time_format", "%s"),
            ][..],
            &[
                ("name", "lvl"),
                ("format", "regex"),
                ("regex", "^(?<level>[A-Z]+) (?<message>.*)$"),
            ],
        ];
        let sections =
            sections.map(|properties| Section::of_pairs(SectionKind::Parser, properties));
        Parsers::read(&sections, &Variables::default(), &mut Problems::default())
    }

    fn built(properties: &[(&str, &str)]) -> (Box<dyn Filter>, Vec<String>) {
        let parsers = parsers();
        let means = Means {
            parsers: &parsers,
            variables: &Variables::default(),
            directory: std::path::Path::new(""),
            halt: &super::super::Halt::default(),
        };
        configured(properties, |settings| build(settings, means))
    }

    fn check(properties: &[(&str, &str)], cases: &[(&str, &str)]) {
        let (filter, problems) = built(properties);
        assert!(problems.is_empty(), "{problems:?}");
        for (record, expected) in cases {
            let expected = if *expected == "=" { record } else { expected };
            let (parsed, _) = filtered_event(&*filter, record).unwrap();
            assert_eq!(parsed, *expected, "{properties:?} on {record}");
        }
    }

    const LOG: (&str, &str) = ("key_name", "log");
    const JSON: (&str, &str) = ("parser", "json");

    #[test]
    fn the_text_of_a_field_becomes_the_record() {
        check(
            &[LOG, JSON],
            &[
                (
                    r#"{"log":"{\"level\":\"info\",\"n\":1}","container":"c"}"#,
                    r#"{"level":"info","n":1}"#,
                ),
                (r#"{"log":"{}","container":"c"}"#, "{}"),
                (r#"{"log":"plain text","x":1}"#, "="),
                (r#"{"log":5}"#, "="),
                (r#"{"x":8}"#, "="),
                (r#"{"log":"[1,2]"}"#, "="),
                (r#"{"log":"{\"a\":1}{\"b\":2}"}"#, "="),
            ],
        );
    }

    #[test]
    fn the_other_fields_and_the_field_itself_can_stay() {
        let record = r#"{"a":"old","log":"{\"a\":1,\"b\":2}","source":"stdout"}"#;
        let (reserve, preserve) = (("reserve_data", "on"), ("preserve_key", "on"));
        check(
            &[LOG, JSON, reserve],
            &[(record, r#"{"a":1,"b":2,"a":"old","source":"stdout"}"#)],
        );
        check(
            &[LOG, JSON, preserve],
            &[(record, r#"{"a":1,"b":2,"log":"{\"a\":1,\"b\":2}"}"#)],
        );
        check(
            &[LOG, JSON, reserve, preserve],
            &[(
                record,
                r#"{"a":1,"b":2,"a":"old","log":"{\"a\":1,\"b\":2}","source":"stdout"}"#,
            )],
        );
    }

    #[test]
    fn an_accessor_keeps_what_it_reads() {
        let record = r#"{"k8s":{"log":"{\"a\":1}"},"x":1}"#;
        let key = ("key_name", "$k8s['log']");
        check(&[key, JSON], &[(record, r#"{"a":1}"#), (r#"{"x":1}"#, "=")]);
        check(
            &[key, JSON, ("reserve_data", "on"), ("preserve_key", "on")],
            &[(record, r#"{"a":1,"k8s":{"log":"{\"a\":1}"},"x":1}"#)],
        );
    }

    /// Checklist: filters 32
    #[test]
    fn the_first_parser_that_fits_wins() {
        check(
            &[LOG, JSON, ("parser", "lvl")],
            &[
                (
                    r#"{"log":"INFO starting up"}"#,
                    r#"{"level":"INFO","message":"starting up"}"#,
                ),
                (r#"{"log":"{\"a\":1}"}"#, r#"{"a":1}"#),
            ],
        );
    }

    #[test]
    fn of_two_fields_of_one_name_the_last_decides() {
        check(
            &[LOG, JSON, ("reserve_data", "on")],
            &[
                (
                    r#"{"log":"{\"a\":1}","x":0,"log":"{\"b\":2}"}"#,
                    r#"{"b":2,"log":"{\"a\":1}","x":0}"#,
                ),
                (r#"{"log":"{\"a\":1}","log":"no"}"#, "="),
                (r#"{"log":"{\"a\":1}","log":5}"#, r#"{"a":1,"log":5}"#),
            ],
        );
    }

    #[test]
    fn a_time_in_the_text_is_the_time_of_the_event() {
        let (filter, _) = built(&[LOG, JSON]);
        let time = |record: &str| filtered_event(&*filter, record).map(|(_, time)| time);
        assert_eq!(time(r#"{"log":"{\"t\":\"5\"}"}"#), Some(5));
        for record in [
            r#"{"log":"{\"t\":\"0\"}"}"#,
            r#"{"log":"{\"t\":\"x\"}"}"#,
            r#"{"log":"{}"}"#,
        ] {
            assert_eq!(time(record), Some(1_700_000_000), "{record}");
        }
    }

    /// Checklist: filters 32, 33
    #[test]
    fn parsers_that_there_are_not_are_left_out_but_one_is_needed() {
        for (properties, words) in [
            (
                &[LOG][..],
                "error: command line: key `parser`: no parser is left",
            ),
            (&[LOG, ("parser", "JSON")], "no parser is left"),
            (&[JSON], "key `key_name`: missing"),
            (&[("key_name", "$a["), JSON], "bracket"),
            (&[LOG, JSON, ("nest_under", "x")], "unknown property"),
            (
                &[LOG, JSON, ("parser", "nope")],
                "warning: command line: key `parser`: there is no parser `nope`",
            ),
            (
                &[LOG, JSON, ("unescape_key", "on")],
                "warning: command line: key `unescape_key`: has no effect",
            ),
        ] {
            let (_, problems) = built(properties);
            assert!(
                problems.iter().any(|problem| problem.contains(words)),
                "{problems:?}"
            );
        }
    }

    /// Checklist: filters 31
    #[test]
    fn each_pair_of_options_with_a_key_and_with_an_accessor_on_success_and_on_failure() {
        let good = r#"{"a":"old","log":"{\"b\":2}","s":"o"}"#;
        let bad = r#"{"a":"old","log":"text","s":"o"}"#;
        let all = r#"{"b":2,"a":"old","log":"{\"b\":2}","s":"o"}"#;
        for (reserve, preserve, with_key, with_accessor) in [
            ("off", "off", r#"{"b":2}"#, r#"{"b":2}"#),
            ("on", "off", r#"{"b":2,"a":"old","s":"o"}"#, all),
            ("off", "on", r#"{"b":2,"log":"{\"b\":2}"}"#, r#"{"b":2}"#),
            ("on", "on", all, all),
        ] {
            for (key, expected) in [("log", with_key), ("$log", with_accessor)] {
                let properties = [
                    ("key_name", key),
                    JSON,
                    ("reserve_data", reserve),
                    ("preserve_key", preserve),
                ];
                check(&properties, &[(good, expected), (bad, "=")]);
            }
        }
    }
}
