//! The multiline parsers that are there without a definition, from the states and patterns of Fluent Bit.

use std::sync::Arc;

use super::definition::{Definition, Ending, FLUSH_TIMEOUT, Kind, WrittenRule, rules_of};
use crate::config::{Problems, Section, SectionKind, Settings, Variables};
use crate::parser::Parser;

/// A row: the states it starts from, the pattern, the state it leads to.
type Row = (&'static str, &'static str, &'static str);

const JAVA: &[Row] = &[
    (
        "start_state, java_start_exception",
        r"(.)(?:Exception|Error|Throwable|V8 errors stack trace)[:\r\n]",
        "java_after_exception",
    ),
    (
        "java_after_exception",
        r"^[\t ]*nested exception is:[\t ]*",
        "java_start_exception",
    ),
    ("java_after_exception", r"^[\r\n]*$", "java_after_exception"),
    (
        "java_after_exception, java",
        r"^[\t ]+(?:eval )?at ",
        "java",
    ),
    (
        "java_after_exception, java",
        r"^[\t ]+--- End of inner exception stack trace ---$",
        "java",
    ),
    (
        "java_after_exception, java",
        r"^--- End of stack trace from previous location where exception was thrown ---$",
        "java",
    ),
    (
        "java_after_exception, java",
        r"^[\t ]*(?:Caused by|Suppressed):",
        "java_after_exception",
    ),
    (
        "java_after_exception, java",
        r"^[\t ]*... \d+ (?:more|common frames omitted)",
        "java",
    ),
];

const GO: &[Row] = &[
    ("start_state", r"\bpanic: ", "go_after_panic"),
    ("start_state", r"http: panic serving", "go_goroutine"),
    ("go_after_panic", r"^$", "go_goroutine"),
    (
        "go_after_panic, go_after_signal, go_frame_1",
        r"^$",
        "go_goroutine",
    ),
    ("go_after_panic", r"^\[signal ", "go_after_signal"),
    ("go_goroutine", r"^goroutine \d+ \[[^\]]+\]:$", "go_frame_1"),
    (
        "go_frame_1",
        r"^(?:[^\s.:]+\.)*[^\s.():]+\(|^created by ",
        "go_frame_2",
    ),
    ("go_frame_2", r"^\s", "go_frame_1"),
];

const RUBY: &[Row] = &[
    (
        "start_state, ruby_start_exception",
        r"^.+:\d+:in\s+.*",
        "ruby_after_exception",
    ),
    (
        "ruby_after_exception, ruby",
        r"^\s+from\s+.*:\d+:in\s+.*",
        "ruby",
    ),
];

const PYTHON: &[Row] = &[
    (
        "start_state",
        r"^Traceback \(most recent call last\):$",
        "python",
    ),
    ("python", r"^[\t ]+File ", "python_code"),
    ("python_code", r"[^\t ]", "python"),
    ("python", r"^(?:[^\s.():]+\.)*[^\s.():]+:", "start_state"),
];

/// What Docker's file driver writes: a JSON object a line, whose `log` ends in a newline at the end of a message.
const DOCKER: &[(&str, &str)] = &[
    ("name", "docker"),
    ("format", "json"),
    ("time_key", "time"),
    ("time_format", "%Y-%m-%dT%H:%M:%S.%L"),
    ("time_keep", "on"),
    ("time_strict", "off"),
];

/// What Kubernetes' runtimes write: time, stream, `P` or `F` for the last part, text.
const CRI: &[(&str, &str)] = &[
    ("name", "cri"),
    ("format", "regex"),
    (
        "regex",
        r"^(?<time>.+?) (?<stream>stdout|stderr) (?<_p>F|P) (?<log>.*)$",
    ),
    ("time_key", "time"),
    ("time_format", "%Y-%m-%dT%H:%M:%S.%L%z"),
    ("time_keep", "on"),
    ("time_strict", "off"),
];

/// The parser of this name, in any case.
pub(in crate::parser) fn find(name: &str) -> Option<Definition> {
    let name = name.to_ascii_lowercase();
    let rows = match name.as_str() {
        "docker" => return Some(docker(name)),
        "cri" => return Some(cri(name)),
        "java" => JAVA,
        "go" => GO,
        "ruby" => RUBY,
        "python" => PYTHON,
        _ => return None,
    };
    let written: Vec<_> = rows
        .iter()
        .map(|&(from, pattern, to)| WrittenRule { from, pattern, to })
        .collect();
    // A test builds all of them.
    let rules = rules_of(&written).ok()?;
    Some(Definition {
        name,
        kind: Kind::Rules(rules),
        key_content: None,
        key_pattern: None,
        key_group: None,
        parser: None,
        flush_timeout: FLUSH_TIMEOUT,
    })
}

fn docker(name: String) -> Definition {
    Definition {
        name,
        kind: Kind::EndsWith(Ending {
            text: (*b"\n").into(),
            is_negated: false,
        }),
        key_content: Some((*b"log").into()),
        key_pattern: None,
        key_group: Some((*b"stream").into()),
        parser: parser(DOCKER),
        flush_timeout: FLUSH_TIMEOUT,
    }
}

fn cri(name: String) -> Definition {
    Definition {
        name,
        kind: Kind::Equal(Ending {
            text: (*b"F").into(),
            is_negated: false,
        }),
        key_content: Some((*b"log").into()),
        key_pattern: Some((*b"_p").into()),
        key_group: Some((*b"stream").into()),
        parser: parser(CRI),
        flush_timeout: FLUSH_TIMEOUT,
    }
}

/// A parser from the properties a section would have.
fn parser(properties: &[(&str, &str)]) -> Option<Arc<Parser>> {
    let section = Section::of_pairs(SectionKind::Parser, properties);
    let (variables, mut problems) = (Variables::default(), Problems::default());
    let mut settings = Settings::new(&section, &variables, &mut problems);
    Parser::read(&mut settings).map(Arc::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_parser() {
        for name in ["docker", "CRI", "java", "Go", "ruby", "python"] {
            let definition = find(name).unwrap();
            assert_eq!(
                definition.parser.is_some(),
                matches!(definition.name(), "docker" | "cri"),
                "{name}"
            );
        }
        assert!(find("cobol").is_none());
    }
}
