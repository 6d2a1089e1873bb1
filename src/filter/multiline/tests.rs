use super::build;
use crate::config::{Problems, Section, SectionKind, Variables};
use crate::filter::stand::{Stand, built, built_in};
use crate::parser::Parsers;

const PARTIAL: &[(&str, &str)] = &[
    ("mode", "partial_message"),
    ("multiline.key_content", "log"),
];
const JAVA: &[(&str, &str)] = &[
    ("multiline.parser", "go, java"),
    ("multiline.key_content", "log"),
];

fn stand(properties: &[(&str, &str)]) -> Stand {
    let (maker, problems) = built(build, properties);
    assert!(problems.is_empty(), "{problems:?}");
    Stand::new(maker.as_ref())
}

fn part(id: &str, text: &str, last: &str) -> String {
    format!(
        r#"{{"k":1,"log":"{text}","partial_message":"true","partial_id":"{id}","partial_last":{last}}}"#
    )
}

const NOTHING: [&str; 0] = [];

/// Checklist: filters 62, 63; firelens 8
#[test]
fn parts_become_a_line_in_the_place_of_the_last() {
    let mut stand = stand(PARTIAL);
    assert_eq!(stand.send(&part("1", "a", "false")), NOTHING);
    assert_eq!(stand.send(r#"{"log":"whole"}"#), [r#"{"log":"whole"}"#]);
    assert!(stand.operator.held() > 0);
    assert_eq!(
        stand.send(&part("1", "b", r#""TRUE""#)),
        [r#"next 1700000000.500000000 {"k":1,"log":"ab"}"#]
    );
    assert_eq!((stand.operator.held(), stand.operator.due()), (0, None));
}

/// Checklist: filters 64; firelens 8
#[test]
fn parts_without_a_last_one_go_when_they_have_waited_long_enough() {
    let mut stand = stand(PARTIAL);
    stand.send(&part("1", "a", "false"));
    let due = stand.operator.due().unwrap();
    assert_eq!(stand.release(false), NOTHING);
    stand.send(&part("2", "b", "5"));
    stand.now = due;
    stand.send(&part("1", "c", "null"));
    assert_eq!(
        stand.release(false),
        [r#"again 1700000000.500000000 {"k":1,"log":"b"}"#]
    );
    assert_eq!(
        stand.release(true),
        [r#"again 1700000000.500000000 {"k":1,"log":"ac"}"#]
    );
}

#[test]
fn open_parts_are_not_gathered_without_end() {
    let mut stand = stand(PARTIAL);
    for id in 0..super::partial::OPEN_MAX {
        assert_eq!(stand.send(&part(&id.to_string(), "a", "false")), NOTHING);
    }
    assert_eq!(
        stand.send(&part("more", "b", "false")),
        [r#"again 1700000000.500000000 {"k":1,"log":"a"}"#]
    );
}

/// Checklist: filters 57
#[test]
fn lines_become_a_message_that_goes_through_the_chain_again() {
    let mut stand = stand(JAVA);
    assert_eq!(stand.send(r#"{"log":"x.Error: a","id":1}"#), NOTHING);
    assert_eq!(stand.send(r#"{"log":"\tat b","id":2}"#), NOTHING);
    assert_eq!(
        stand.send(r#"{"log":"other"}"#),
        [
            r#"again 1700000000.500000000 {"log":"x.Error: a\n\tat b","id":1}"#,
            r#"again 1700000000.500000000 {"log":"other"}"#,
        ]
    );
    assert_eq!(stand.operator.due(), None);
}

#[test]
fn without_a_buffer_messages_stay_in_their_place_and_end_with_their_chunk() {
    let mut stand = stand(&[JAVA, &[("buffer", "off"), ("flush_ms", "1")]].concat());
    assert_eq!(stand.send(r#"{"log":"x.Error: a"}"#), NOTHING);
    assert_eq!(
        stand.send(r#"{"log":"other"}"#),
        [
            r#"next 1700000000.500000000 {"log":"x.Error: a"}"#,
            r#"{"log":"other"}"#,
        ]
    );
}

/// Checklist: filters 61
#[test]
fn sections_that_cannot_work_are_refused() {
    for (properties, part) in [
        (
            &[("multiline.parser", "java"), ("flush_ms", "499")][..],
            "flush_ms",
        ),
        (&[("multiline.parser", "java, cobol")], "`cobol`"),
        (&[], "multiline.parser"),
        (&[("mode", "partial_message")], "multiline.key_content"),
        (&[("mode", "whole"), ("multiline.parser", "java")], "mode"),
    ] {
        let problems = built(build, properties).1.join("\n");
        assert!(
            problems.contains("error: ") && problems.contains(part),
            "{properties:?}: {problems}"
        );
    }
}

/// Checklist: filters 54, 55
#[test]
fn the_parser_of_a_multiline_parser_makes_the_records_and_looks_at_the_rest_first() {
    let sections = [
        Section::of_pairs(
            SectionKind::Parser,
            &[
                ("name", "p"),
                ("format", "regex"),
                ("regex", "^(?<lvl>I) (?<log>.*)$"),
            ],
        ),
        Section::of_pairs(
            SectionKind::MultilineParser,
            &[
                ("name", "own"),
                ("type", "regex"),
                ("parser", "p"),
                ("key_content", "log"),
                ("rule", r#""start_state" "/^\d/" "cont""#),
                ("rule", r#""cont" "/^ /" "cont""#),
            ],
        ),
    ];
    let variables = Variables::default();
    let mut problems = Problems::default();
    let parsers = Parsers::read(&sections, &variables, &mut problems);
    assert_eq!(problems.to_string(), "");
    let properties = [
        ("multiline.parser", "own"),
        ("multiline.key_content", "log"),
    ];
    let (maker, problems) = built_in(&variables, &parsers, build, &properties);
    assert!(problems.is_empty(), "{problems:?}");
    let mut stand = Stand::new(maker.as_ref());
    let mut sent = |log: &str| stand.send(&format!(r#"{{"log":"{log}","n":1}}"#)).concat();
    assert_eq!(sent("I 1 a"), "");
    assert_eq!(sent("I  b"), "");
    assert_eq!(
        sent("I 2 c"),
        r#"again 1700000000.500000000 {"lvl":"I","log":"1 a\n b"}"#
    );
    assert_eq!(
        sent("plain"),
        r#"again 1700000000.500000000 {"lvl":"I","log":"2 c"}again 1700000000.500000000 {"log":"plain","n":1}"#
    );
}
