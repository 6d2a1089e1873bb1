use proptest::prelude::*;

use super::*;

/// What a file becomes, and what was said about it.
fn converted(name: &str, text: &str) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    let mut problems = Problems::default();
    let converted = convert(&path, &mut problems);
    let folder = format!("{}/", folder.path().display());
    (converted, problems.to_string().replace(&folder, ""))
}

/// All kinds, keys and values, by kind and in their order.
fn meaning(name: &str, text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    let mut problems = Problems::default();
    let mut config = config::load(&path, Variables::default(), &mut problems);
    assert_eq!(problems.to_string(), "", "{text}");
    config.sections.sort_by_key(|section| section.kind.name());
    let line = |section: &config::Section| {
        let mut pairs: Vec<String> = section
            .properties
            .iter()
            .map(|property| format!("{}={:?}", property.key, property.value))
            .collect();
        // YAML keeps the order of equal keys, not of different ones.
        pairs.sort_by(|a, b| a.split('=').next().cmp(&b.split('=').next()));
        format!("{} {}\n", section.kind, pairs.join(" "))
    };
    let sections: String = config.sections.iter().map(line).collect();
    format!("{:?}\n{sections}", variables(&config))
}

#[test]
fn a_classic_file_becomes_yaml_that_means_the_same() {
    let classic = "@SET A=b c\n[SERVICE]\n  Flush 1\n  Parsers_File a\n  Parsers_File b\n[SERVICE]\n  Flush 2\n\
        [OUTPUT]\n  Name file\n  Match *\n  Format %d: 'x' # y\n[INPUT]\n  Name dummy\n  Dummy {\"a\": 1}\n\
        [FILTER]\n  Name modify\n  Add a 1\n  Match t\n  Add b ${A}\n";
    let (yaml, said) = converted("a.conf", classic);
    assert_eq!(said, "");
    assert_eq!(
        yaml,
        "env:\n  A: b c\nservice:\n  parsers_file:\n    - a\n    - b\n  flush: 2\npipeline:\n  inputs:\n    - name: dummy\n      dummy: '{\"a\": 1}'\n  \
        filters:\n    - name: modify\n      add:\n        - a 1\n        - 'b ${A}'\n      match: t\n  \
        outputs:\n    - name: file\n      match: '*'\n      format: '%d: ''x'' # y'\n"
    );
}

#[test]
fn a_yaml_file_becomes_a_classic_one_that_means_the_same() {
    let yaml = "env: {A: b}\nservice: {flush: 1}\npipeline:\n  inputs:\n    - {name: dummy, tag: '${A}'}\n  outputs:\n    - {name: file, match: ['a', 'b']}\n";
    let (classic, said) = converted("a.yaml", yaml);
    assert_eq!(said, "");
    assert_eq!(
        classic,
        "@SET A=b\n\n[SERVICE]\n    flush            1\n\n[INPUT]\n    name             dummy\n    tag              ${A}\n\n\
        [OUTPUT]\n    name             file\n    match            a\n    match            b\n"
    );
    assert_eq!(meaning("a.yaml", yaml), meaning("a.conf", &classic));
}

#[test]
fn what_the_classic_format_cannot_say_is_named() {
    let (_, said) = converted(
        "a.yaml",
        "pipeline:\n  filters:\n    - name: lua\n      code: |\n        a\n        b\n  inputs:\n    - name: dummy\n      processors: {logs: []}\nparsers:\n  - {name: p, format: json}\n",
    );
    for words in [
        "error: a.yaml:4:7: key `code`: several lines",
        "error: a.yaml:9:7: key `processors`: a map cannot be said",
        "error: a.yaml:11:5: `[PARSER]` cannot stand in a classic main file",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

proptest! {
    #[test]
    fn every_value_survives(values in proptest::collection::vec("[!-~é]([ -~é]{0,20}[!-~])?", 1..6)) {
        let lines: Vec<String> = values.iter().map(|value| format!("  Key {value}\n")).collect();
        let classic = format!("[OUTPUT]\n  Name x\n{}", lines.concat());
        let (yaml, said) = converted("a.conf", &classic);
        prop_assert_eq!(said, "");
        prop_assert_eq!(meaning("a.conf", &classic), meaning("a.yaml", &yaml));
        let (again, _) = converted("a.yaml", &yaml);
        prop_assert_eq!(meaning("a.conf", &again), meaning("a.yaml", &yaml));
    }
}
