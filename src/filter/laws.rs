//! What holds for every filter, whatever the record.

use std::sync::LazyLock;
use std::time::Instant;

use proptest::prelude::*;
use tempfile::TempDir;

use super::testing::TIME;
use super::{
    Counts, Filter, Halt, Link, MakeOperator, Means, Outbox, Passage, Scratch, Verdict, View,
    find_processor, names, processor_names,
};
use crate::config::testing::configured;
use crate::config::{Problems, Section, SectionKind, Variables};
use crate::event::{Event, EventTime};
use crate::msgpack::read::Pairs;
use crate::msgpack::scan::value_len;
use crate::msgpack::write;
use crate::parser::Parsers;

type Properties = &'static [(&'static str, &'static str)];

/// Sections that do something to many of the records below.
const SECTIONS: &[(&str, Properties)] = &[
    (
        "checklist",
        &[
            ("file", LIST),
            ("mode", "partial"),
            ("lookup_key", "a"),
            ("record", "b true"),
        ],
    ),
    (
        "log_to_metrics",
        &[
            ("metric_name", "laws"),
            ("metric_description", "d"),
            ("metric_mode", "gauge"),
            ("value_field", "a"),
            ("label_field", "log"),
            ("add_label", "deep $b['a']"),
        ],
    ),
    (
        "sql",
        &[(
            "query",
            "SELECT a AS b, log, b AS a FROM STREAM WHERE NOT a = 1 OR b > 'a';",
        )],
    ),
    ("throttle", &[("rate", "1000000000")]),
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

/// The file that `checklist` reads, in [`FOLDER`].
const LIST: &str = "laws.list";

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join(LIST), "a\nb\n").unwrap();
    folder
});

/// Operators that do something to many of the records below.
const OPERATORS: &[(&str, Properties)] = &[
    (
        "lua",
        &[
            (
                "code",
                "function f(tag, ts, r) if r.a then r.log = r.a return 2, ts, {r, r} end return -1 end",
            ),
            ("call", "f"),
        ],
    ),
    (
        "lua",
        &[
            ("code", "function f(tag, ts, r) return 1, ts, r end"),
            ("call", "f"),
            ("enable_flb_null", "on"),
            ("type_array_key", "a"),
        ],
    ),
    (
        "multiline",
        &[
            ("multiline.key_content", "log"),
            ("multiline.parser", "own"),
        ],
    ),
    (
        "multiline",
        &[
            ("multiline.key_content", "a"),
            ("multiline.parser", "go, own"),
            ("buffer", "off"),
        ],
    ),
    (
        "multiline",
        &[
            ("multiline.key_content", "log"),
            ("mode", "partial_message"),
        ],
    ),
    (
        "rewrite_tag",
        &[
            ("rule", "$a ^(a) new.$1.$b['a'] false"),
            ("rule", "$log . $log true"),
        ],
    ),
];

/// Sections with the names of the keys that they touch.
const TOUCHING: &[(&str, Properties, &[&str])] = &[
    ("sysinfo", &[("os_name_key", "os")], &["os"]),
    (
        "record_modifier",
        &[("remove_key", "a"), ("record", "n x")],
        &["a", "n"],
    ),
    (
        "modify",
        &[("rename", "a c"), ("add", "n x"), ("hard_copy", "b p_a")],
        &["a", "c", "n", "p_a"],
    ),
    (
        "nest",
        &[
            ("operation", "nest"),
            ("wildcard", "a"),
            ("nest_under", "n"),
        ],
        &["a", "n"],
    ),
    ("type_converter", &[("str_key", "a n int")], &["n"]),
    (
        "content_modifier",
        &[("action", "upsert"), ("key", "a"), ("value", "v")],
        &["a"],
    ),
    (
        "expect",
        &[("key_exists", "a"), ("action", "result_key")],
        &["matched"],
    ),
    (
        "checklist",
        &[("file", LIST), ("lookup_key", "log"), ("record", "n true")],
        &["n"],
    ),
    (
        "log_to_metrics",
        &[("metric_name", "touching"), ("metric_description", "d")],
        &[],
    ),
    ("grep", &[("exclude", "log never")], &[]),
    ("throttle", &[("rate", "1000000000")], &[]),
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
    let lines = [
        ("name", "own"),
        ("type", "regex"),
        ("rule", r#""start_state" "/^[a1]/" "cont""#),
        ("rule", r#""cont" "/^[b ]/" "cont""#),
    ];
    let lines = Section::of_pairs(SectionKind::MultilineParser, &lines);
    let sections: Vec<_> = sections.into_iter().chain([lines]).collect();
    Parsers::read(&sections, &Variables::default(), &mut Problems::default())
}

fn link(name: &str, properties: Properties) -> Link {
    let parsers = parsers();
    let variables = Variables::default();
    let means = Means {
        parsers: &parsers,
        variables: &variables,
        directory: FOLDER.path(),
        halt: &Halt::default(),
    };
    let build = find_processor(name).unwrap();
    let (link, problems) = configured(properties, |settings| build.build(settings, means));
    assert!(problems.is_empty(), "{problems:?}");
    link
}

fn filter(name: &str, properties: Properties) -> Box<dyn Filter> {
    match link(name, properties) {
        Link::Filter(filter) => filter,
        Link::Operator(_) => unreachable!("{name} is a filter"),
    }
}

/// Built once: to build them takes longer than a record.
static FILTERS: LazyLock<Vec<Box<dyn Filter>>> = LazyLock::new(|| {
    let sections = SECTIONS.iter();
    sections
        .map(|(name, properties)| filter(name, properties))
        .collect()
});

static TOUCHING_FILTERS: LazyLock<Vec<Box<dyn Filter>>> = LazyLock::new(|| {
    let sections = TOUCHING.iter();
    sections
        .map(|(name, properties, _)| filter(name, properties))
        .collect()
});

static MAKERS: LazyLock<Vec<Box<dyn MakeOperator>>> = LazyLock::new(|| {
    let built = OPERATORS
        .iter()
        .map(|(name, properties)| match link(name, properties) {
            Link::Operator(maker) => maker,
            Link::Filter(_) => unreachable!("{name} is an operator"),
        });
    built.collect()
});

fn chain(places: &[usize]) -> Vec<&'static dyn Filter> {
    let filters = places.iter().filter_map(|place| FILTERS.get(*place));
    filters.map(|filter| &**filter).collect()
}

fn is_whole_map(record: &[u8]) -> bool {
    let pairs = Pairs::of(record);
    let left = pairs.left() as usize;
    value_len(record) == Ok(Some(record.len())) && pairs.count() == left
}

/// What became of a record: the record, its metadata and whether a filter changed it; nothing if one dropped it.
type Outcome = Option<(Vec<u8>, Vec<u8>, bool)>;

fn run(chain: &[&dyn Filter], record: &[u8], scratch: &mut Scratch) -> Outcome {
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
            prop_assert!(is_whole_map(&out), "{out:x?}");
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

    /// Checklist: filters 6, 7
    #[test]
    fn time_and_metadata_are_the_same_behind_every_filter(record in any_record(), nanos in 0..1_000_000_000_u32) {
        let time = EventTime { nanos, ..TIME };
        let metadata = [0x81, 0xa1, b'm', 1];
        let event = Event { time, metadata: &metadata, record: &record };
        let is_about_them = |(name, properties): &(&str, Properties)| {
            // The texts of these hold times.
            *name == "parser" || properties.contains(&("context", "attributes"))
        };
        for (section, filter) in SECTIONS.iter().zip(&*FILTERS) {
            if is_about_them(section) {
                continue;
            }
            let mut scratch = Scratch::default();
            let mut view = View::open(b"a.b", event, &mut scratch);
            filter.apply(&mut view);
            prop_assert_eq!((view.time(), view.metadata()), (time, &metadata[..]), "{}", section.0);
        }
        for ((name, properties), maker) in OPERATORS.iter().zip(&*MAKERS) {
            // Parts that are joined lose their metadata, as in Fluent Bit, and `lua` has the time as a number.
            if properties.contains(&("mode", "partial_message")) || *name == "lua" {
                continue;
            }
            let mut operator = maker.operator(b"a.b");
            let mut outbox = Outbox::new(Instant::now());
            let mut scratch = Scratch::default();
            let mut view = View::open(b"a.b", event, &mut scratch);
            operator.apply(&mut view, &mut outbox);
            prop_assert_eq!((view.time(), view.metadata()), (time, &metadata[..]), "{}", name);
            operator.release(&mut outbox, true);
            for emitted in outbox.emitted() {
                let event = emitted.event;
                prop_assert_eq!((event.time, event.metadata), (time, &metadata[..]), "{}", name);
            }
        }
    }

    #[test]
    fn pairs_that_a_filter_does_not_touch_keep_their_bytes_and_their_order(record in any_record()) {
        for ((name, properties, touched), filter) in TOUCHING.iter().zip(&*TOUCHING_FILTERS) {
            let is_untouched = |(key, _): &(&[u8], &[u8])| {
                !touched.iter().any(|name| key_text(key) == Some(name.as_bytes()))
            };
            let untouched = |map: &[u8]| -> Vec<u8> {
                let pairs = Pairs::of(map).filter(is_untouched);
                pairs.flat_map(|(key, value)| [key, value].concat()).collect()
            };
            if let Some((out, _, _)) = run(&[&**filter], &record, &mut Scratch::default()) {
                prop_assert_eq!(untouched(&record), untouched(&out), "{} {:?}", name, properties);
            }
        }
    }

    #[test]
    fn an_operator_puts_out_whole_maps_and_lets_everything_go_that_it_takes(
        place in 0..OPERATORS.len(),
        records in proptest::collection::vec(any_record(), 1..12),
    ) {
        let mut operator = MAKERS[place].operator(b"a.b");
        let now = Instant::now();
        let mut outbox = Outbox::new(now);
        let mut scratch = Scratch::default();
        let (mut taken, mut settled) = (0, 0);
        let mut look = |outbox: &Outbox| {
            let Counts { settled: let_go, .. } = outbox.counts();
            settled += let_go;
            for emitted in outbox.emitted() {
                assert!(is_whole_map(emitted.event.record), "{:x?}", emitted.event.record);
                let metadata = emitted.event.metadata;
                assert!(metadata.is_empty() || is_whole_map(metadata), "{metadata:x?}");
            }
        };
        for record in &records {
            outbox.begin(now, 1, false, Passage::default());
            let event = Event { time: TIME, metadata: b"\x81\xa1m\x01", record };
            let mut view = View::open(b"a.b", event, &mut scratch);
            let verdict = operator.apply(&mut view, &mut outbox);
            taken += u64::from(verdict == Verdict::Taken);
            let mut out = Vec::new();
            view.write(&mut out);
            prop_assert!(is_whole_map(&out) && (view.changed() || out == *record));
            look(&outbox);
            outbox.begin(now, 1, false, Passage::default());
            operator.end_chunk(&mut outbox);
            look(&outbox);
        }
        outbox.begin(now, 1, false, Passage::default());
        operator.release(&mut outbox, true);
        look(&outbox);
        prop_assert_eq!((operator.held(), operator.due()), (0, None));
        prop_assert_eq!(taken, settled);
    }
}

fn key_text(key: &[u8]) -> Option<&[u8]> {
    match crate::msgpack::read::value(key) {
        Ok((_, crate::msgpack::read::Value::Str(text))) => Some(text),
        _ => None,
    }
}

/// Who would look at each pair once for every other pair would not come to an end here.
#[test]
fn very_many_pairs_of_one_name_cost_linear_time() {
    const PAIRS: u32 = 100_000;
    for (key, value) in [
        ("a", &b"\xa1b"[..]),
        ("b", b"\x81\xa1a\x01"),
        ("log", b"\xa2{}"),
    ] {
        let mut record = Vec::new();
        write::map_header(&mut record, PAIRS);
        for _ in 0..PAIRS {
            write::str(&mut record, key.as_bytes());
            record.extend(value);
        }
        for ((name, _), filter) in SECTIONS.iter().zip(&*FILTERS) {
            let outcome = run(&[&**filter], &record, &mut Scratch::default());
            assert!(outcome.is_none_or(|(out, ..)| is_whole_map(&out)), "{name}");
        }
    }
}

#[test]
fn every_filter_is_held_to_the_laws() {
    // One prints, three ask services, the others do nothing at all; all are tested where they stand.
    let others = [
        "stdout",
        "aws",
        "ecs",
        "kubernetes",
        "cumulative_to_delta",
        "labels",
        "metrics_selector",
        "opentelemetry_envelope",
        "sampling",
        "tda",
    ];
    let held: Vec<_> = SECTIONS
        .iter()
        .chain(OPERATORS)
        .map(|(name, _)| *name)
        .collect();
    for name in names().chain(processor_names()) {
        assert!(held.contains(&name) || others.contains(&name), "{name}");
    }
}
