//! Any text and any parser: a whole map, or nothing and the buffer as it was.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sluice::config::{Problems, Section, SectionKind, Variables};
use sluice::msgpack::scan::value_len;
use sluice::parser::{Parsers, Room};

/// Parsers with everything a section can ask for.
const SECTIONS: &[&[(&str, &str)]] = &[
    &[
        ("format", "json"),
        ("time_format", "%Y-%m-%dT%H:%M:%S.%L%z"),
        ("decode_field", "json a"),
        ("decode_field_as", "escaped_utf8 b"),
    ],
    &[
        ("format", "ltsv"),
        ("types", "a:integer b:bool c:hex d:float"),
        ("time_format", "%s.%L"),
        ("time_strict", "off"),
    ],
    &[
        ("format", "logfmt"),
        ("time_format", "%d/%b/%Y:%H:%M:%S %Z"),
        ("time_keep", "on"),
        ("decode_field_as", "mysql_quoted a"),
    ],
    &[
        ("format", "logfmt"),
        ("types", "a:float"),
        ("logfmt_no_bare_keys", "on"),
    ],
    &[
        ("format", "regex"),
        ("regex", r"(?<a>\w+)(?: (?<b>[^ ]*))?(?=(?<time>.*))"),
        ("time_format", "%H:%M"),
        ("skip_empty_values", "off"),
    ],
];

static PARSERS: LazyLock<Parsers> = LazyLock::new(|| {
    let sections: Vec<_> = SECTIONS
        .iter()
        .enumerate()
        .map(|(number, properties)| {
            let name = number.to_string();
            let all = [&[("name", name.as_str())], *properties].concat();
            Section::of_pairs(SectionKind::Parser, &all)
        })
        .collect();
    let mut problems = Problems::default();
    let parsers = Parsers::read(&sections, &Variables::default(), &mut problems);
    assert!(!problems.has_errors(), "{problems}");
    parsers
});

fuzz_target!(|bytes: &[u8]| {
    let mut room = Room::default();
    for number in 0..SECTIONS.len() {
        let parser = PARSERS.get(&number.to_string()).expect("it was just read");
        let mut out = vec![0xc0];
        if parser.parse(bytes, &mut room, &mut out).is_some() {
            assert_eq!(value_len(&out[1..]), Ok(Some(out.len() - 1)));
        } else {
            assert_eq!(out, [0xc0]);
        }
    }
});
