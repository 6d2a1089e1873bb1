use super::support::Router;

const CONFIG: &str = r#"
service: {flush: 0.05}
parsers:
  - name: local
    format: regex
    regex: ^(?<time>\S+ \S+)(?<rest>.*)$
    time_format: "%Y-%m-%d %H:%M:%S"
    time_system_timezone: on
  - name: zoned
    format: regex
    regex: ^(?<time>\S+ \S+ \S+)(?<rest>.*)$
    time_format: "%Y-%m-%d %H:%M:%S %z"
    time_system_timezone: on
pipeline:
  inputs:
    - {name: dummy, tag: local, samples: 1, dummy: '{"log": "2024-01-02 03:04:05 a"}'}
    - {name: dummy, tag: zoned, samples: 1, dummy: '{"log": "2024-01-02 03:04:05 +0000 b"}'}
  filters:
    - {name: parser, match: local, key_name: log, parser: local}
    - {name: parser, match: zoned, key_name: log, parser: zoned}
  outputs:
    - {name: file, match: '*', file: out.txt}
"#;

/// Checklist: filters 42
#[test]
fn a_time_without_a_zone_is_in_that_of_the_system_where_the_parser_says_so() {
    let mut router = Router::yaml(CONFIG)
        .environment("TZ", "America/New_York")
        .launch();
    let lines = || std::fs::read_to_string(router.path("out.txt")).unwrap_or_default();
    let lines = super::support::eventually("both records", lines, || {
        let text = lines();
        (text.lines().count() == 2).then_some(text)
    });
    let mut lines: Vec<_> = lines.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            r#"local: [1704182645.000000000, {"rest":" a"}]"#,
            r#"zoned: [1704164645.000000000, {"rest":" b"}]"#,
        ]
    );
    router.terminate();
    router.end();
}
