use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{Definition, GROUPS_MAX, MESSAGE_MAX, Machine, Message};
use crate::config::testing::configured;
use crate::event::EventTime;
use crate::parser::Parsers;

fn built_in(name: &str) -> Arc<Definition> {
    Parsers::default().multiline(name).unwrap()
}

/// A definition as its section says.
fn defined(properties: &[(&str, &str)]) -> Arc<Definition> {
    let read = |settings: &mut crate::config::Settings<'_>| Definition::read(settings, |_| None);
    let (definition, problems) = configured(properties, read);
    assert!(problems.is_empty(), "{problems:?}");
    Arc::new(definition.unwrap())
}

/// What is wrong with a definition.
fn mistake(properties: &[(&str, &str)]) -> String {
    let read = |settings: &mut crate::config::Settings<'_>| Definition::read(settings, |_| None);
    configured(properties, read).1.join("\n")
}

/// A source of lines of text, and the messages it has given.
struct Source {
    machine: Machine<u64>,
    now: Instant,
    count: u64,
    messages: Vec<String>,
}

impl Source {
    fn new(definitions: &[Arc<Definition>]) -> Self {
        Self::limited(definitions, MESSAGE_MAX)
    }

    fn limited(definitions: &[Arc<Definition>], message_max: usize) -> Self {
        Self {
            machine: Machine::new(definitions, None, message_max),
            now: Instant::now(),
            count: 0,
            messages: Vec::new(),
        }
    }

    fn line(&mut self, line: &str) {
        let messages = &mut self.messages;
        self.count += 1;
        let mut put = |message: Message<'_, u64>| messages.push(shown(&message));
        let time = EventTime::default();
        if !self
            .machine
            .take_text(line.as_bytes(), time, self.count, self.now, &mut put)
        {
            self.messages.push(line.to_owned());
        }
    }

    fn end(mut self) -> Vec<String> {
        let messages = &mut self.messages;
        self.machine
            .end_all(&mut |message| messages.push(shown(&message)));
        assert_eq!(self.machine.held(), 0);
        self.messages
    }
}

fn shown(message: &Message<'_, u64>) -> String {
    String::from_utf8(message.text.to_vec()).unwrap()
}

#[track_caller]
fn check(definitions: &[Arc<Definition>], lines: &[&str], expected: &[&str]) {
    let mut source = Source::new(definitions);
    for line in lines {
        source.line(line);
    }
    assert_eq!(source.end(), expected);
}

/// Checklist: filters 53
#[test]
fn traces_of_each_language_are_one_message() {
    let nested = [
        "java.lang.RuntimeException: x",
        "  nested exception is: java.io.IOException: y",
        "\tat a",
    ];
    check(
        &[built_in("java")],
        &nested,
        // "nested exception" leads back to a start, so the message ends there, and its line is no other message's first.
        &[
            "java.lang.RuntimeException: x\n  nested exception is: java.io.IOException: y",
            "\tat a",
        ],
    );
    let dotnet = [
        "System.Exception: a",
        "   at A.B()",
        "   --- End of inner exception stack trace ---",
        "   at C.D()",
        "--- End of stack trace from previous location where exception was thrown ---",
        "   at E.F()",
    ];
    check(&[built_in("java")], &dotnet, &[&dotnet.join("\n")]);
    let go = [
        "http: panic serving 1.2.3.4:5",
        "goroutine 24 [running]:",
        "main.f(0x1)",
        "\t/a.go:1 +0x2",
        "created by net/http.(*Server).Serve",
        "\t/b.go:2 +0x3",
    ];
    check(&[built_in("go")], &go, &[&go.join("\n")]);
    let signal = [
        "panic: runtime error",
        "[signal SIGSEGV: segmentation violation]",
        "",
        "goroutine 1 [running]:",
        "main.main()",
        " /c.go:3",
    ];
    let joined = "panic: runtime error\n[signal SIGSEGV: segmentation violation]\n\ngoroutine 1 [running]:\nmain.main()\n /c.go:3";
    check(&[built_in("go")], &signal, &[joined]);
    let python = [
        "Traceback (most recent call last):",
        "  File \"a.py\", line 1, in <module>",
        "    raise X",
        "a.b.Error: text",
    ];
    let after = [&python[..], &["plain: text"]].concat();
    check(
        &[built_in("python")],
        &after,
        &[&python.join("\n"), "plain: text"],
    );
}

/// Checklist: filters 53
#[test]
fn a_parser_that_took_the_last_line_is_asked_first() {
    let one = defined(&[
        ("type", "regex"),
        ("rule", "start_state ^a cont"),
        ("rule", "cont ^- cont"),
    ]);
    let other = defined(&[
        ("type", "regex"),
        ("rule", "start_state ^b cont"),
        ("rule", "cont ^[-a] cont"),
    ]);
    check(
        &[one, other],
        &["b", "a", "-", "a", "x", "a", "-"],
        &["b\na\n-\na", "x", "a\n-"],
    );
}

/// Checklist: filters 56
#[test]
fn a_line_that_no_parser_takes_ends_all_and_keeps_the_state() {
    check(
        &[built_in("java")],
        &[
            "x.Exception: a",
            "\tat b",
            "other",
            "\tat c",
            "\tat d",
            "x.Error: e",
        ],
        &[
            "x.Exception: a\n\tat b",
            "other",
            "\tat c\n\tat d",
            "x.Error: e",
        ],
    );
}

/// Checklist: filters 55
#[test]
fn endings_join_until_they_are_found_and_text_without_records_gets_newlines() {
    let ends = defined(&[("type", "endswith"), ("match_string", ";")]);
    check(
        std::slice::from_ref(&ends),
        &["a", "b;", "", "c;"],
        &["a\nb;", "", "c;"],
    );
    let goes_on = defined(&[
        ("type", "endswith"),
        ("match_string", "\\"),
        ("negate", "on"),
    ]);
    check(&[goes_on], &["a\\", "b", "c"], &["a\\\nb", "c"]);
    let equal = defined(&[("type", "EQ"), ("match_string", "end")]);
    check(
        &[equal],
        &["a", "an end", "end", "b"],
        &["a\nan end\nend", "b"],
    );
}

#[test]
fn a_message_ends_before_it_is_too_long_and_loses_nothing() {
    let parser = defined(&[
        ("type", "regex"),
        ("rule", "start_state ^a cont"),
        ("rule", "cont ^- cont"),
    ]);
    let mut source = Source::limited(&[parser], 10);
    for line in [
        "a234",
        "-6789",
        "-bcd",
        "-f",
        "a a single line is never cut",
    ] {
        source.line(line);
    }
    assert_eq!(
        source.end(),
        ["a234\n-6789", "-bcd\n-f", "a a single line is never cut"]
    );
}

/// Checklist: filters 58
#[test]
fn what_has_waited_too_long_ends_and_the_rest_stays() {
    const PATIENCE: Duration = Duration::from_secs(2);
    let mut source = Source::new(&[built_in("java")]);
    let start = source.now;
    assert_eq!(source.machine.due(PATIENCE), None);
    source.line("x.Error: a");
    assert_eq!(source.machine.due(PATIENCE), Some(start + PATIENCE));
    source.now = start + PATIENCE / 2;
    source.line("\tat b");
    assert!(source.machine.held() > 0);
    let mut ended = Vec::new();
    let mut put =
        |message: Message<'_, u64>| ended.push((shown(&message), message.lines, message.mark));
    source.machine.end_idle(start, &mut put);
    source.machine.end_idle(source.now, &mut put);
    assert_eq!(ended, [("x.Error: a\n\tat b".to_owned(), 2, 1)]);
    assert_eq!(source.machine.due(PATIENCE), None);
}

#[test]
fn hostile_groups_are_not_remembered_without_end() {
    let parser = defined(&[
        ("type", "regex"),
        ("key_content", "l"),
        ("key_group", "g"),
        ("rule", "start_state ."),
    ]);
    let mut machine = Machine::new(&[parser], None, MESSAGE_MAX);
    let mut ended = 0;
    for index in 0..GROUPS_MAX as u32 + 10 {
        let json = format!("{{\"l\":\"a\",\"g\":\"{index}\"}}");
        let mut record = Vec::new();
        crate::parser::json::to_msgpack(json.as_bytes(), &mut record).unwrap();
        let record = record.as_slice();
        let put = &mut |_: Message<'_, ()>| ended += 1;
        assert!(machine.take_record(&record, EventTime::default(), &[], (), Instant::now(), put));
    }
    assert_eq!(ended, 10);
    machine.end_all(&mut |_| ended += 1);
    assert_eq!(ended, GROUPS_MAX + 10);
}

#[test]
fn the_metadata_of_all_lines_is_kept_once() {
    let mut machine = Machine::new(&[built_in("java")], Some(b"l"), MESSAGE_MAX);
    let encoded = |json: &str| {
        let mut out = Vec::new();
        crate::parser::json::to_msgpack(json.as_bytes(), &mut out).unwrap();
        out
    };
    let mut ended = Vec::new();
    let mut put = |message: Message<'_, ()>| {
        let mut record = Vec::new();
        message.write(&mut record);
        ended.push((message.metadata.to_vec(), record));
    };
    for (line, metadata) in [
        (r#"{"a":1,"l":"x.Error: a","z":2}"#, r#"{"m":1}"#),
        (r#"{"l":"\tat b"}"#, r#"{"m":1}"#),
        (r#"{"l":"\tat c"}"#, r#"{"m":2,"n":3}"#),
    ] {
        let (record, metadata) = (encoded(line), encoded(metadata));
        let record = record.as_slice();
        machine.take_record(
            &record,
            EventTime::default(),
            &metadata,
            (),
            Instant::now(),
            &mut put,
        );
    }
    machine.end_all(&mut put);
    let mut metadata = vec![0x83];
    metadata.extend([0xa1, b'm', 1, 0xa1, b'm', 2, 0xa1, b'n', 3]);
    let record = encoded(r#"{"a":1,"l":"x.Error: a\n\tat b\n\tat c","z":2}"#);
    assert_eq!(ended, [(metadata, record)]);
}

/// Checklist: filters 61
#[test]
fn definitions_that_cannot_work_are_refused() {
    for (properties, part) in [
        (
            &[("type", "regex"), ("rule", "cont ^a cont")][..],
            "start_state",
        ),
        (
            &[("type", "regex"), ("rule", "start_state ^a nope")],
            "`nope`",
        ),
        (
            &[("type", "regex"), ("rule", "start_state (a cont")],
            "error:",
        ),
        (&[("type", "regex"), ("rule", "start_state")], "error:"),
        (&[("type", "endswith")], "match_string"),
        (&[("type", "starts")], "type"),
        (&[("match_string", "a")], "type"),
    ] {
        let mistake = mistake(properties);
        assert!(
            mistake.contains("error: ") && mistake.contains(part),
            "{properties:?}: {mistake}"
        );
    }
    defined(&[("type", "regex"), ("rule", r#""start_state" "/^a b/""#)]);
}

/// Lines that the built-in parsers and their rules are about, and any others.
fn any_line() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("x.Exception: a".to_owned()),
        Just("\tat b".to_owned()),
        Just("Caused by: c".to_owned()),
        Just("panic: p".to_owned()),
        Just(String::new()),
        Just("goroutine 1 [running]:".to_owned()),
        Just("Traceback (most recent call last):".to_owned()),
        Just("  File \"a\"".to_owned()),
        Just("nested exception is: n".to_owned()),
        "[ -~\n]{0,20}",
    ]
}

proptest! {
    #[test]
    fn every_line_comes_out_once_and_in_order(lines in proptest::collection::vec(any_line(), 0..60), max in 1..200usize) {
        let definitions = ["go", "java", "python", "ruby"].map(built_in);
        let mut source = Source::limited(&definitions, max);
        for line in &lines {
            source.line(line);
        }
        let without_newlines = |texts: &[String]| texts.concat().replace('\n', "");
        prop_assert_eq!(without_newlines(&lines), without_newlines(&source.end()));
    }
}
