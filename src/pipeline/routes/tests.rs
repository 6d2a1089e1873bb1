use std::sync::Arc;

use super::*;
use crate::config::{
    Include, IncludeError, Role, Section, SectionKind, Source, Variables, load_yaml,
};
use crate::event::{Event, EventTime};
use crate::filter::Scratch;

struct NoFiles;

impl Include for NoFiles {
    fn include(&mut self, argument: &str) -> Result<Vec<Source>, IncludeError> {
        Err(IncludeError::NoMatch(argument.to_owned()))
    }
    fn include_beside(&mut self, _: &str, argument: &str) -> Result<Vec<Source>, IncludeError> {
        self.include(argument)
    }
    fn value(&mut self, path: &str) -> Result<String, IncludeError> {
        Err(IncludeError::NoMatch(path.to_owned()))
    }
}

const OUTPUTS: [Named<'_>; 4] = [
    output(None, "file.0", "file"),
    output(Some("errs"), "file.1", "file"),
    output(Some("file.0"), "http.2", "http"),
    output(Some("stdout"), "null.3", "null"),
];

const fn output<'n>(alias: Option<&'n str>, instance: &'n str, plugin: &'n str) -> Named<'n> {
    Named {
        alias,
        instance,
        plugin,
    }
}

/// The routes written as YAML, and what is wrong with them.
fn routes(text: &str) -> (Option<Routes>, String) {
    let yaml = format!("pipeline:\n  inputs:\n    - name: dummy\n      routes: {text}\n");
    let source = Source {
        name: Arc::from("a.yaml"),
        bytes: yaml.as_bytes().into(),
    };
    let (mut variables, mut problems) = (Variables::default(), Problems::default());
    let sections: Vec<Section> = load_yaml(
        &source,
        Role::Main,
        &mut NoFiles,
        &mut variables,
        &mut problems,
    );
    assert_eq!(sections[0].kind, SectionKind::Input);
    let written = Written::read(sections[0].map_of("routes").unwrap(), &mut problems);
    let routes = written.and_then(|written| written.resolve(&OUTPUTS, &mut problems));
    (routes, problems.to_string())
}

/// The outputs that a record goes to.
fn taken(text: &str, record: &str) -> Vec<usize> {
    let (routes, said) = routes(text);
    assert_eq!(said, "", "{text}");
    let routes = routes.unwrap();
    let mut bytes = Vec::new();
    crate::parser::json::to_msgpack(record.as_bytes(), &mut bytes).unwrap();
    let event = Event {
        time: EventTime::default(),
        metadata: &[],
        record: &bytes,
    };
    let mut scratch = Scratch::default();
    let taken = routes.take(&View::open(b"t", event, &mut scratch));
    let outputs = routes.outputs().iter().filter(|(_, by)| by & taken != 0);
    outputs.map(|(place, _)| *place).collect()
}

const LEVEL: &str = "condition: {rules: [{field: $l, op: eq, value: e}]}";
const OTHER: &str = "condition: {op: or, rules: [{field: $l, op: eq, value: o}]}";

#[test]
fn a_record_goes_to_every_route_that_takes_it_and_the_rest_to_the_default() {
    let text = format!(
        "{{logs: [{{name: a, {LEVEL}, to: {{outputs: [errs]}}}}, {{name: b, {OTHER}, to: {{outputs: [http.2, errs]}}}},
         {{name: all, to: {{outputs: [null.3]}}}},
         {{name: rest, condition: {{default: true}}, to: {{outputs: [file]}}}}]}}"
    );
    assert_eq!(taken(&text, r#"{"l":"e"}"#), [1, 3]);
    assert_eq!(taken(&text, r#"{"l":"o"}"#), [1, 2, 3]);
    // A route without a condition does not count as having taken it.
    assert_eq!(taken(&text, r#"{"l":"x"}"#), [3, 0]);
    assert_eq!(taken(&text, "{}"), [3, 0]);
}

#[test]
fn without_a_default_what_no_condition_holds_for_goes_nowhere() {
    let text = format!("{{logs: [{{name: a, {LEVEL}, to: {{outputs: [errs]}}}}]}}");
    assert_eq!(taken(&text, r#"{"l":"x"}"#), [0_usize; 0]);
}

#[test]
fn a_default_may_have_rules_too() {
    let text = "{logs: [{name: a, condition: {default: on, rules: [{field: $l, op: eq, value: e}]}, to: errs}]}";
    assert_eq!(taken(text, r#"{"l":"e"}"#), [1]);
    assert_eq!(taken(text, r#"{"l":"x"}"#), [0_usize; 0]);
}

#[test]
fn outputs_are_found_by_alias_then_instance_then_plugin() {
    for (name, expected) in [
        ("errs", 1),
        ("file.0", 2),
        ("file.1", 1),
        ("file", 0),
        ("http", 2),
        ("stdout", 3),
        ("null", 3),
    ] {
        let text = format!("{{any: {{name: a, to: {name}}}}}");
        assert_eq!(taken(&text, "{}"), [expected], "{name}");
    }
}

#[test]
fn kinds_of_records_may_be_joined_and_a_route_may_stand_alone() {
    for kinds in [
        "logs",
        "'logs,metrics'",
        "LOGS|traces",
        "any",
        "'logs + metrics'",
    ] {
        let text = format!("{{per_record_routing: true, {kinds}: {{name: a, to: [errs]}}}}");
        assert_eq!(taken(&text, "{}"), [1], "{kinds}");
    }
    let (routes, said) = routes("{metrics: [{name: a, to: {outputs: [errs]}}]}");
    assert!(
        routes.is_none() && said.contains("only logs pass"),
        "{said}"
    );
}

#[test]
fn a_fallback_takes_the_place_of_an_output_that_is_not_there() {
    let (found, said) = routes("{logs: [{name: a, to: [{name: nowhere, fallback: errs}]}]}");
    assert_eq!(found.unwrap().outputs(), [(1, 1)]);
    assert!(
        said.contains("warning: a.yaml:4:")
            && said.contains("no output `nowhere`")
            && said.contains("its fallback `errs`"),
        "{said}"
    );
}

#[test]
fn records_of_a_route_that_leads_nowhere_go_to_the_default() {
    let text = format!(
        "{{logs: [{{name: a, {LEVEL}, to: {{outputs: [erss]}}}}, {{name: rest, condition: {{default: true}}, to: file}}]}}"
    );
    let (found, said) = routes(&text);
    assert_eq!(found.unwrap().outputs(), [(0, 1)]);
    assert!(
        said.contains("route a: there is no output `erss`; did you mean `errs`?"),
        "{said}"
    );
    let (found, said) = routes("{logs: [{name: a, to: nowhere}]}");
    assert!(found.is_none());
    assert!(said.contains("no route leads to an output"), "{said}");
}

#[test]
fn mistakes_are_named() {
    for (text, words) in [
        ("[{a: b}]", "needs a map such as"),
        ("{lgs: [{name: a, to: errs}]}", "did you mean `logs`?"),
        ("{'logs;x': [{name: a, to: errs}]}", "is no kind of record"),
        ("{logs: []}", "needs routes, at least one"),
        ("{logs: [x]}", "needs maps in its list"),
        ("{logs: [{to: errs}]}", "a route has no `name`"),
        (
            "{logs: [{name: a, to: errs}, {name: a, to: errs}]}",
            "two routes `a`",
        ),
        ("{logs: [{name: a}]}", "needs `to: {outputs: [..]}`"),
        ("{logs: [{name: a, to: {}}]}", "needs `to: {outputs: [..]}`"),
        (
            "{logs: [{name: a, to: {outputs: []}}]}",
            "needs `to: {outputs: [..]}`",
        ),
        (
            "{logs: [{name: a, to: {outputs: [{fallback: b}]}}]}",
            "needs names of outputs",
        ),
        (
            "{logs: [{name: a, to: errs, condition: {}}]}",
            "needs `rules`",
        ),
        (
            "{logs: [{name: a, to: errs, condition: {default: maybe}}]}",
            "needs true or false",
        ),
        (
            "{logs: [{name: a, to: errs, condition: {default: false}}]}",
            "needs `rules`",
        ),
        (
            "{logs: [{name: a, to: errs, when: x}]}",
            "unknown in a route",
        ),
        (
            "{logs: [{name: a, to: errs, processors: []}]}",
            "are not run",
        ),
        (
            "{per_record_routing: 7, logs: {name: a, to: errs}}",
            "needs true or false",
        ),
    ] {
        let (_, said) = routes(text);
        assert!(
            said.contains(words) && said.contains("a.yaml:4:"),
            "{text}: {said}"
        );
    }
    let many: Vec<_> = (0..65)
        .map(|n| format!("{{name: r{n}, to: errs}}"))
        .collect();
    let (_, said) = routes(&format!("{{logs: [{}]}}", many.join(", ")));
    assert!(said.contains("more than 64 routes"), "{said}");
}
