//! What holds for every filter that looks at one record at a time, whatever the record.

use proptest::prelude::*;

use super::testing::TIME;
use super::{Filter, Halt, Means, Scratch, Verdict, View, find_processor};
use crate::config::testing::configured;
use crate::config::{Problems, Section, SectionKind, Variables};
use crate::event::Event;
use crate::msgpack::read::Pairs;
use crate::msgpack::scan::value_len;
use crate::msgpack::write;
use crate::parser::Parsers;

type Properties = &'static [(&'static str, &'static str)];

/// Sections that do something to many of the records below.
const SECTIONS: &[(&str, Properties)] = &[
    ("grep", &[("regex", "a b")]),
    ("grep", &[("exclude", "$b['a'] .")]),
    (
        "record_modifier",
        &[("remove_key", "a"), ("record", "n \"two words\"")],
    ),
    (
        "record_modifier",
        &[("allowlist_key", "a*"), ("allowlist_key", "log")],
    ),
    (
        "modify",
        &[
            ("rename", "a b"),
            ("hard_copy", "b c"),
            ("set", "a 1"),
            ("move_to_start", "l"),
        ],
    ),
    (
        "modify",
        &[
            ("condition", "key_value_matches $b['a'] ."),
            ("hard_rename", "b log"),
        ],
    ),
    (
        "modify",
        &[
            ("remove_regex", "^a+$"),
            ("add", "log x"),
            ("copy", "log d"),
        ],
    ),
    (
        "nest",
        &[
            ("operation", "nest"),
            ("wildcard", "a*"),
            ("nest_under", "b"),
            ("add_prefix", "p_"),
        ],
    ),
    (
        "nest",
        &[
            ("operation", "lift"),
            ("nested_under", "b"),
            ("remove_prefix", "a"),
        ],
    ),
    (
        "parser",
        &[
            ("key_name", "log"),
            ("parser", "json"),
            ("parser", "logfmt"),
            ("reserve_data", "on"),
        ],
    ),
    (
        "parser",
        &[
            ("key_name", "$b['a']"),
            ("parser", "logfmt"),
            ("reserve_data", "on"),
        ],
    ),
    (
        "parser",
        &[
            ("key_name", "a"),
            ("parser", "regex"),
            ("preserve_key", "on"),
        ],
    ),
    (
        "type_converter",
        &[
            ("str_key", "a n int"),
            ("int_key", "b s string"),
            ("str_key", "log f float"),
        ],
    ),
    ("expect", &[("key_exists", "a"), ("action", "result_key")]),
    ("sysinfo", &[("os_name_key", "a")]),
    ("content_modifier", &[("action", "hash"), ("key", "a")]),
    (
        "content_modifier",
        &[
            ("action", "convert"),
            ("key", "b"),
            ("converted_type", "string"),
        ],
    ),
    (
        "content_modifier",
        &[
            ("action", "extract"),
            ("key", "log"),
            ("pattern", r"(?<a>\w)(?<b>\w*)"),
        ],
    ),
    (
        "content_modifier",
        &[
            ("action", "upsert"),
            ("key", "a"),
            ("value", "v"),
            ("context", "attributes"),
        ],
    ),
];

fn parsers() -> Parsers {
    let sections = [
        &[
            ("name", "json"),
            ("format", "json"),
            ("decode_field_as", "escaped_utf8 a"),
        ][..],
        &[
            ("name", "logfmt"),
            ("format", "logfmt"),
            ("time_key", "a"),
            ("time_format", "%s"),
        ],
        &[
            ("name", "regex"),
            ("format", "regex"),
            ("regex", r"(?<a>\w)(?<c>\w?)"),
            ("types", "a:integer"),
        ],
    ];
    let sections = sections.map(|properties| Section::of_pairs(SectionKind::Parser, properties));
    Parsers::read(&sections, &Variables::default(), &mut Problems::default())
}

fn chain(places: &[usize]) -> Vec<Box<dyn Filter>> {
    let parsers = parsers();
    let variables = Variables::default();
    let means = Means {
        parsers: &parsers,
        variables: &variables,
        directory: std::path::Path::new(""),
        halt: &Halt::default(),
    };
    let filters = places.iter().filter_map(|place| SECTIONS.get(*place));
    let built = filters.map(|(name, properties)| {
        let build = find_processor(name).unwrap();
        let (link, problems) = configured(properties, |settings| build.build(settings, means));
        assert!(problems.is_empty(), "{problems:?}");
        match link {
            super::Link::Filter(filter) => filter,
            super::Link::Operator(_) => unreachable!("{name} is a filter"),
        }
    });
    built.collect()
}

/// What became of a record: the record, its metadata and whether a filter changed it; nothing if one dropped it.
type Outcome = Option<(Vec<u8>, Vec<u8>, bool)>;

fn run(chain: &[Box<dyn Filter>], record: &[u8], scratch: &mut Scratch) -> Outcome {
    let event = Event {
        time: TIME,
        metadata: &[],
        record,
    };
    let mut view = View::open(b"a.b", event, scratch);
    for filter in chain {
        if filter.apply(&mut view) != Verdict::Keep {
            return None;
        }
    }
    let mut out = Vec::new();
    view.write(&mut out);
    Some((out, view.metadata().to_vec(), view.changed()))
}

fn any_value() -> impl Strategy<Value = Vec<u8>> {
    let text = prop_oneof![
        "[ab1 ={}\":\\\\]{0,12}",
        Just(r#"{"a":"x\\n","b":{"a":1}}"#.to_owned()),
        Just("a=5 b=\"x y\" c".to_owned()),
    ];
    let leaf = prop_oneof![
        Just(vec![0xc0]),
        Just(vec![0xc3]),
        any::<i64>().prop_map(|number| {
            let mut out = Vec::new();
            write::signed(&mut out, number);
            out
        }),
        any::<f64>().prop_map(|number| {
            let mut out = Vec::new();
            write::float(&mut out, number);
            out
        }),
        proptest::collection::vec(any::<u8>(), 0..6).prop_map(|bytes| {
            let mut out = Vec::new();
            write::bin(&mut out, &bytes);
            out
        }),
        text.prop_map(|text| {
            let mut out = Vec::new();
            write::str(&mut out, text.as_bytes());
            out
        }),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| any_map(inner.boxed(), 4))
}

fn any_map(value: BoxedStrategy<Vec<u8>>, most: usize) -> impl Strategy<Value = Vec<u8>> {
    let key = prop_oneof![
        6 => proptest::sample::select(vec!["a", "b", "log", "aa", "c", "p_a", ""]).prop_map(|name| {
            let mut out = Vec::new();
            write::str(&mut out, name.as_bytes());
            out
        }),
        1 => Just(vec![0x05]),
        1 => Just(vec![0xc4, 1, b'a']),
    ];
    proptest::collection::vec((key, value), 0..most).prop_map(|pairs| {
        let mut out = Vec::new();
        write::map_header(&mut out, pairs.len() as u32);
        for (key, value) in pairs {
            out.extend(key);
            out.extend(value);
        }
        out
    })
}

fn any_record() -> impl Strategy<Value = Vec<u8>> {
    any_map(any_value().boxed(), 20)
}

proptest! {
    #[test]
    fn a_record_is_a_whole_map_behind_any_chain_and_the_same_bytes_if_nothing_changed(
        places in proptest::collection::vec(0..SECTIONS.len(), 1..5),
        record in any_record(),
    ) {
        if let Some((out, metadata, changed)) = run(&chain(&places), &record, &mut Scratch::default()) {
            prop_assert_eq!(value_len(&out), Ok(Some(out.len())));
            let left = Pairs::of(&out).left() as usize;
            prop_assert_eq!(Pairs::of(&out).count(), left);
            prop_assert!(metadata.is_empty() || value_len(&metadata) == Ok(Some(metadata.len())));
            prop_assert!(changed || out == record);
        }
    }

    #[test]
    fn a_record_becomes_the_same_whatever_came_before_it(
        places in proptest::collection::vec(0..SECTIONS.len(), 1..4),
        records in proptest::collection::vec(any_record(), 1..6),
    ) {
        let chain = chain(&places);
        let mut shared = Scratch::default();
        for record in &records {
            prop_assert_eq!(run(&chain, record, &mut shared), run(&chain, record, &mut Scratch::default()));
        }
    }

    #[test]
    fn what_is_appended_leaves_the_bytes_before_it_alone(record in any_record()) {
        let appending = SECTIONS.iter().position(|(name, _)| *name == "sysinfo").unwrap();
        let (out, _, _) = run(&chain(&[appending]), &record, &mut Scratch::default()).unwrap();
        let body = |map: &[u8]| -> Vec<u8> {
            Pairs::of(map).flat_map(|(key, value)| [key, value].concat()).collect()
        };
        prop_assert!(body(&out).starts_with(&body(&record)));
    }
}
