//! Any lines and any multiline parsers: every line comes out once, in order, and what is held is let go.
//!
//! The first byte chooses the parsers and whether lines lie in records; a line that is one byte, 0xff, is a pause.

#![no_main]

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use sluice::config::{Problems, Section, SectionKind, Variables};
use sluice::event::EventTime;
use sluice::msgpack::scan::value_len;
use sluice::msgpack::write;
use sluice::parser::Parsers;
use sluice::parser::multiline::{Definition, Machine, Message};

/// What a message may hold here: little, so that it is met.
const MESSAGE_MAX: usize = 256;

const SECTIONS: &[&[(&str, &str)]] = &[
    &[
        ("name", "own"),
        ("type", "regex"),
        ("rule", r#""start_state, other" "/^(?<a>\w)/" "cont""#),
        ("rule", r#""cont" "/^\s+(?!x)/" "other""#),
        ("rule", r#""other" "/^-/" "start_state""#),
    ],
    &[
        ("name", "ends"),
        ("type", "endswith"),
        ("match_string", "."),
        ("negate", "on"),
    ],
];

/// Parsers that join text itself, and those whose lines lie in records of their own making.
const CHOICES: &[&[&str]] = &[
    &["own"],
    &["ends"],
    &["java", "go"],
    &["python", "ruby", "own"],
    &["cri"],
    &["docker", "java"],
];

/// The definitions of each choice, made once: to compile their patterns takes longer than all that is done with a text.
static DEFINITIONS: LazyLock<Vec<Vec<Arc<Definition>>>> = LazyLock::new(|| {
    let definition = |name: &&str| PARSERS.multiline(name).expect("it is there");
    let choices = CHOICES.iter();
    choices
        .map(|names| names.iter().map(definition).collect())
        .collect()
});

static PARSERS: LazyLock<Parsers> = LazyLock::new(|| {
    let sections = SECTIONS
        .iter()
        .map(|properties| Section::of_pairs(SectionKind::MultilineParser, properties));
    let sections: Vec<_> = sections.collect();
    let mut problems = Problems::default();
    let parsers = Parsers::read(&sections, &Variables::default(), &mut problems);
    assert!(!problems.has_errors(), "{problems}");
    parsers
});

/// What has come out.
#[derive(Default)]
struct Seen {
    lines: u64,
    /// The number of the first line of the message that came out last.
    last: Option<u64>,
}

impl Seen {
    fn message(&mut self, message: &Message<'_, u64>, in_records: bool) {
        assert!(message.lines > 0);
        self.lines += message.lines;
        if in_records {
            let mut record = Vec::new();
            message.write(&mut record);
            assert_eq!(value_len(&record), Ok(Some(record.len())));
        }
        self.last = Some(message.mark);
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((first, text)) = bytes.split_first() else {
        return;
    };
    let in_records = first & 1 == 1;
    let definitions = &DEFINITIONS[usize::from(first >> 1) % CHOICES.len()];
    let mut machine = Machine::new(definitions, Some(b"log"), MESSAGE_MAX);
    let mut now = Instant::now();
    let mut seen = Seen::default();
    let mut sent = 0;
    for line in text.split(|byte| *byte == b'\n') {
        if line == [0xff] {
            now += Duration::from_secs(5);
            machine.end_idle(now, &mut |message| seen.message(&message, in_records));
            assert_eq!((machine.held(), machine.due(Duration::ZERO)), (0, None));
            assert_eq!(seen.lines, sent);
            continue;
        }
        let time = EventTime::default();
        let mut put = |message: Message<'_, u64>| seen.message(&message, in_records);
        let taken = if in_records {
            let mut record = vec![0x82];
            write::str(&mut record, b"log");
            write::str(&mut record, line);
            record.extend(*b"\xa1n\x01");
            machine.take_record(&record.as_slice(), time, &[], sent, now, &mut put)
        } else {
            machine.take_text(line, time, sent, now, &mut put)
        };
        sent += 1;
        if !taken {
            // It stands for itself, and nothing that came before it is held.
            seen.lines += 1;
            assert_eq!(seen.lines, sent);
        }
    }
    machine.end_all(&mut |message| seen.message(&message, in_records));
    assert_eq!((machine.held(), seen.lines), (0, sent));
});
