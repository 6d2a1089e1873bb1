//! The grammar, as far as it can be seen without a disk.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::config::include::IncludeError;

/// Files in memory, by the name written in `includes`; each may be included any number of times.
struct Memory(HashMap<&'static str, &'static str>);

impl Include for Memory {
    fn include(&mut self, argument: &str) -> Result<Vec<Source>, IncludeError> {
        self.include_beside("", argument)
    }

    fn include_beside(&mut self, _: &str, argument: &str) -> Result<Vec<Source>, IncludeError> {
        match self.0.get(argument) {
            Some(text) => Ok(vec![source(argument, text.as_bytes())]),
            None => Err(IncludeError::NoMatch(argument.to_owned())),
        }
    }

    fn value(&mut self, path: &str) -> Result<String, IncludeError> {
        match self.0.get(path) {
            Some(text) => Ok((*text).to_owned()),
            None => Err(IncludeError::NoMatch(path.to_owned())),
        }
    }
}

fn source(name: &str, bytes: &[u8]) -> Source {
    Source {
        name: Arc::from(name),
        bytes: bytes.into(),
    }
}

/// What became of a file: its sections, its problems, its variables.
struct Outcome {
    sections: Vec<Section>,
    problems: String,
    variables: Variables,
}

fn read_bytes(bytes: &[u8], role: Role, others: &[(&'static str, &'static str)]) -> Outcome {
    let mut files = Memory(others.iter().copied().collect());
    let mut variables = Variables::default();
    let mut problems = Problems::default();
    let main = source("main.yaml", bytes);
    let sections = load_yaml(&main, role, &mut files, &mut variables, &mut problems);
    Outcome {
        sections,
        problems: problems.to_string(),
        variables,
    }
}

fn read(text: &str, others: &[(&'static str, &'static str)]) -> Outcome {
    read_bytes(text.as_bytes(), Role::Main, others)
}

/// The sections, one per line, as `kind:line:column key=value | key=value | {nested}`.
fn lines(sections: &[Section]) -> String {
    let mut lines = String::new();
    for section in sections {
        let place = &section.place;
        let properties = section.properties.iter();
        let pairs = properties.map(|property| format!("{}={}", property.key, property.value));
        let nested = section
            .nested
            .iter()
            .map(|entry| format!("{{{}}}", entry.key));
        let all: Vec<String> = pairs.chain(nested).collect();
        let all = all.join(" | ");
        writeln!(
            lines,
            "{}:{}:{} {all}",
            section.kind, place.line, place.column
        )
        .unwrap();
    }
    lines
}

/// Checks that `text` has these sections and nothing to complain about.
fn check(text: &str, sections: &str) {
    let outcome = read(text, &[]);
    assert_eq!(
        (
            lines(&outcome.sections).trim_end(),
            outcome.problems.as_str()
        ),
        (sections, ""),
        "{text}"
    );
}

/// Checks that `text` has exactly these problems.
fn complain(text: &str, problems: &str) {
    assert_eq!(read(text, &[]).problems.trim_end(), problems, "{text}");
}

#[test]
fn scalars_of_every_style_are_texts() {
    for (value, expected) in [
        ("plain text", "plain text"),
        ("'it''s'", "it's"),
        (r#""a\tb \u00e9""#, "a\tb é"),
        ("on", "on"),
        ("0x10", "0x10"),
        ("1.50", "1.50"),
        ("~", "~"),
        ("", ""),
        ("!!str 5", "5"),
        ("&anchor x", "x"),
        ("|\n        a\n         b\n", "a\n b"),
        (">\n        a\n        b\n", "a b"),
        ("${A} # comment", "${A}"),
    ] {
        check(
            &format!("pipeline:\n  inputs:\n    - tag: {value}\n"),
            &format!("input:3:7 tag={expected}"),
        );
    }
}

#[test]
fn a_file_is_its_sections_in_their_order() {
    check(
        "service: {flush: 0.2, httpServer: on, Log_Level: info}\n\
         pipeline:\n  inputs:\n    - name: dummy\n      tag: t\n  outputs:\n  - {name: file, match: '*'}\n  filters:\n    - name: modify\n      add: [a 1, b 2]\n\
         parsers:\n  - {name: p, format: json}\n\
         plugins: [/x/cloudwatch.so]\n\
         stream_processor:\n  - {name: s, exec: SELECT}\n",
        "service:1:1 flush=0.2 | http_server=on | log_level=info\n\
         input:4:7 name=dummy | tag=t\n\
         output:7:5 name=file | match=*\n\
         filter:9:7 name=modify | add=a 1 | add=b 2\n\
         parser:12:5 name=p | format=json\n\
         plugins:13:1 path=/x/cloudwatch.so\n\
         stream_task:15:5 name=s | exec=SELECT",
    );
    for nothing in [
        "",
        "# only a comment\n",
        "---\n",
        "pipeline:\n",
        "pipeline:\n  inputs:\n",
    ] {
        check(nothing, "");
    }
    check(
        "pipeline:\n  inputs:\n    - name: a\n---\npipeline:\n  inputs:\n    - name: b\n",
        "input:3:7 name=a\ninput:7:7 name=b",
    );
}

#[test]
fn rules_and_nodes_become_what_the_classic_format_has() {
    check(
        "multiline_parsers:\n  - name: ml\n    rules:\n      - {state: start_state, regex: '/a \"b\"/', next_state: cont}\n",
        "multiline_parser:2:5 name=ml | rule=\"start_state\" \"/a \\\"b\\\"/\" \"cont\"",
    );
    check(
        "upstream_servers:\n  - name: up\n    nodes:\n      - {name: n1, host: h}\n      - {name: n2, host: i}\n",
        "upstream:2:5 name=up\nnode:4:9 name=n1 | host=h\nnode:5:9 name=n2 | host=i",
    );
}

#[test]
fn maps_stay_nested_with_their_places() {
    let outcome = read(
        "pipeline:\n  inputs:\n    - name: dummy\n      processors:\n        logs:\n          - name: content_modifier\n",
        &[],
    );
    let nested = &outcome.sections[0].nested[0];
    assert_eq!((nested.key.as_str(), nested.place.line), ("processors", 4));
    let first = &nested.value.get("logs").unwrap().items()[0];
    assert_eq!(
        first.get("name").and_then(Node::text),
        Some("content_modifier")
    );
    assert_eq!((first.place().line, first.place().column), (6, 13));
}

/// Checklist: engine 26
#[test]
fn variables_come_from_maps_lists_and_files() {
    let outcome = read("env:\n  A: one\n  camelCase: 2\nservice: {flush: 1}\n", &[]);
    let get = |outcome: &Outcome, name: &str| outcome.variables.get(name).map(str::to_owned);
    assert_eq!(get(&outcome, "camelCase").as_deref(), Some("2"));
    let outcome = read(
        "env:\n  - {name: A, value: one}\n  - B: two\n  - {name: C, uri: 'file:///secret'}\n",
        &[("/secret", "three")],
    );
    assert_eq!(outcome.problems, "");
    let all = ["A", "B", "C"].map(|name| get(&outcome, name).unwrap());
    assert_eq!(all, ["one", "two", "three"]);
}

#[test]
fn what_a_file_includes_comes_where_it_is_named() {
    let outcome = read(
        "pipeline:\n  inputs:\n    - name: first\nincludes: [a.yaml, b.yaml]\nservice: {flush: 1}\n",
        &[
            (
                "a.yaml",
                "pipeline: {inputs: [{name: a}]}\nincludes: [c.yaml]\n",
            ),
            ("b.yaml", "pipeline: {inputs: [{name: b}]}\n"),
            ("c.yaml", "pipeline: {inputs: [{name: c}]}\n"),
        ],
    );
    let names: Vec<&str> = outcome
        .sections
        .iter()
        .map(|section| section.properties[0].value.as_str())
        .collect();
    assert_eq!(names, ["first", "a", "c", "b", "1"]);
    assert_eq!(outcome.problems, "");
}

/// Checklist: engine 26
#[test]
fn mistakes_are_named_with_file_line_and_column() {
    for (text, problems) in [
        (
            "pipeline:\n  input:\n    - name: dummy\n",
            "error: main.yaml:2:3: key `input`: unknown in `pipeline`; did you mean `inputs`?",
        ),
        (
            "service: {flush: 1}\nservice: {flush: 2}\n",
            "error: main.yaml:2:1: key `service`: stands here again: put all of it into the one at main.yaml:1:1",
        ),
        (
            "includes:\n  - absent.yaml\n",
            "error: main.yaml:2:5: key `includes`: no file fits `absent.yaml`",
        ),
        (
            "pipeline:\n  inputs:\n    name: dummy\n",
            "error: main.yaml:3:5: key `inputs`: needs a list, each item beginning with `- name:`, not a map",
        ),
        (
            "pipeline:\n  inputs:\n    - dummy\n",
            "error: main.yaml:3:7: key `inputs`: needs maps in its list, not a text",
        ),
        (
            "pipeline:\n  inputs:\n    - &i {name: dummy}\n    - *i\n",
            "error: main.yaml:4:7: aliases (`*name`) are not read, by Fluent Bit neither: write out what it stands for\n\
             error: main.yaml:4:7: key `inputs`: needs maps in its list, not a text",
        ),
        (
            "service: [flush]\n",
            "error: main.yaml:1:10: key `service`: needs a map, not a list",
        ),
        (
            "- a\n",
            "error: main.yaml:1:1: the file is a list: write a map of `service`, `pipeline` and others",
        ),
        (
            "env:\n  A: {b: c}\n",
            "error: main.yaml:2:6: key `A`: needs a text, not a map",
        ),
        (
            "env:\n  A: file:///absent\n",
            "error: main.yaml:2:6: key `A`: no file fits `/absent`",
        ),
        (
            "env:\n  - {name: A}\n",
            "error: main.yaml:2:5: key `env`: the variable has no `value`",
        ),
        (
            "multiline_parsers:\n  - name: m\n    rules: [{state: s}]\n",
            "error: main.yaml:3:13: key `rules`: a rule has no `regex`",
        ),
        (
            "filters: [x]\n",
            "error: main.yaml:1:1: key `filters`: unknown at the top of a file; put it below `pipeline`",
        ),
    ] {
        complain(text, problems);
    }
}

#[test]
fn what_fluent_bit_overlooks_is_a_warning() {
    for (text, problems) in [
        (
            "services: {flush: 1}\n",
            "warning: main.yaml:1:1: key `services`: unknown at the top of a file; did you mean `service`? (it is ignored with all in it)",
        ),
        (
            "service:\n  storage: {path: x}\n",
            "warning: main.yaml:2:3: key `storage`: a map means nothing here; write its keys with dots, as in `storage.path: x` (it is ignored)",
        ),
    ] {
        complain(text, problems);
    }
}

#[test]
fn broken_files_are_refused_at_the_place() {
    for (text, start) in [
        ("a: b: c\n", "error: main.yaml:1:"),
        ("pipeline:\n  inputs: [\n", "error: main.yaml:2:11: "),
        ("a: 'open\n", "error: main.yaml:"),
        ("\tkey: x\n", "error: main.yaml:1:"),
        ("a: %\n  - b\n c: [}", "error: main.yaml:"),
    ] {
        let outcome = read(text, &[]);
        assert!(
            outcome.problems.starts_with(start),
            "{text}: {}",
            outcome.problems
        );
        assert!(outcome.sections.is_empty());
    }
    for bytes in [&b"a: \xff\n"[..], b"\x00\x01", &[0xff, 0xfe, b'a', 0]] {
        let outcome = read_bytes(bytes, Role::Main, &[]);
        assert!(
            outcome.problems.starts_with("error: main.yaml"),
            "{}",
            outcome.problems
        );
    }
}

/// Checklist: engine 26
#[test]
fn a_classic_file_cannot_be_included() {
    let outcome = read(
        "includes: [a.conf]\n",
        &[("a.conf", "# x\n[INPUT]\n  Name dummy\n")],
    );
    assert_eq!(
        outcome.problems,
        "error: a.conf: is in the classic format, and a YAML file can include YAML only\n"
    );
}

#[test]
fn depth_number_and_circles_come_to_an_end() {
    let outcome = read(
        "includes: [a.yaml]\n",
        &[("a.yaml", "includes: [a.yaml]\n")],
    );
    assert!(
        outcome.problems.contains("more than 100 deep"),
        "{}",
        outcome.problems
    );
    for deep in [
        "[".repeat(100_000),
        "- ".repeat(100_000),
        "{a: ".repeat(100_000),
    ] {
        assert!(read(&deep, &[]).problems.starts_with("error: main.yaml:1:"));
    }
    let many = format!("plugins: [{}]\n", "a,".repeat(300_000));
    assert!(
        read(&many, &[])
            .problems
            .contains("more than 200000 values")
    );
    let bomb = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n";
    assert!(read(bomb, &[]).problems.contains("aliases"));
}

#[test]
fn a_parsers_file_has_parsers_only() {
    let text = "parsers:\n  - name: p\npipeline:\n  inputs:\n    - name: dummy\n";
    let outcome = read_bytes(text.as_bytes(), Role::Parsers, &[]);
    assert_eq!(lines(&outcome.sections), "parser:2:5 name=p\n");
    assert_eq!(
        outcome.problems,
        "warning: main.yaml:5:7: a input has no effect in this file (it is ignored)\n"
    );
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        read_bytes(&bytes, Role::Main, &[]);
    }

    #[test]
    fn no_lines_panic(text in "((service|env|includes|pipeline|inputs|name|parsers|rules|nodes|- |  |    |\\[|\\{|\\]|\\}|,|: |&a |\\*a|'|\"|\\||>|#|%|é|\t|\u{0}){0,6}\n){0,12}") {
        read(&text, &[("name", "includes: [name]\n")]);
    }
}
