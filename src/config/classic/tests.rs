//! The grammar, as far as it can be seen without a disk.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::config::include::IncludeError;

/// Files in memory; each may be included any number of times.
struct Memory(HashMap<&'static str, &'static str>);

impl Include for Memory {
    fn include(&mut self, argument: &str) -> Result<Vec<Source>, IncludeError> {
        let text = self
            .0
            .get(argument)
            .ok_or_else(|| IncludeError::NoMatch(argument.to_owned()))?;
        Ok(vec![source(argument, text.as_bytes())])
    }

    fn include_beside(&mut self, _file: &str, argument: &str) -> Result<Vec<Source>, IncludeError> {
        self.include(argument)
    }

    fn value(&mut self, path: &str) -> Result<String, IncludeError> {
        Err(IncludeError::NoMatch(path.to_owned()))
    }
}

fn source(name: &str, bytes: &[u8]) -> Source {
    Source {
        name: Arc::from(name),
        bytes: bytes.into(),
    }
}

/// What became of a file: its sections one per line, its problems, its variables.
struct Outcome {
    sections: String,
    problems: String,
    variables: Variables,
}

fn read(text: &str, role: Role, others: &[(&'static str, &'static str)]) -> Outcome {
    let mut files = Memory(others.iter().copied().collect());
    let mut variables = Variables::default();
    let mut problems = Problems::default();
    let sections = load_classic(
        source("main.conf", text.as_bytes()),
        role,
        &mut files,
        &mut variables,
        &mut problems,
    );
    let sections = sections.iter().map(line).collect::<Vec<_>>().join("\n");
    Outcome {
        sections,
        problems: problems.to_string(),
        variables,
    }
}

/// A section as `kind:line key=value | key=value`.
fn line(section: &Section) -> String {
    let pairs = section
        .properties
        .iter()
        .map(|property| format!("{}={}", property.key, property.value));
    format!(
        "{}:{} {}",
        section.kind,
        section.place.line,
        pairs.collect::<Vec<_>>().join(" | ")
    )
}

/// Checks that `text` has these sections and nothing to complain about.
fn check(text: &str, sections: &str) {
    let outcome = read(text, Role::Main, &[]);
    assert_eq!(
        (outcome.sections.as_str(), outcome.problems.as_str()),
        (sections, ""),
        "{text}"
    );
}

/// Checks that `text` has exactly these problems.
fn complain(text: &str, problems: &str) {
    assert_eq!(read(text, Role::Main, &[]).problems, problems, "{text}");
}

/// Checklist: engine 1, 5, 6, 7, 10; firelens 9
#[test]
fn keys_values_comments_and_blank_lines_are_told_apart() {
    for (text, sections) in [
        (
            "[INPUT]\n    Name dummy\n    Tag        t   \t \n",
            "input:1 name=dummy | tag=t",
        ),
        (
            "[service]\n FLUSH 0.2\n[InPuT]\n nAME DUMMY\n TAG Case.Kept",
            "service:1 flush=0.2\ninput:3 name=DUMMY | tag=Case.Kept",
        ),
        ("[INPUT]\r\n    Tag a b\r\n\r\n", "input:1 tag=a b"),
        (
            "# top\n\n#[INPUT]\n[OUTPUT]\n    # in\n    Match t # c\n#   Match x\n\n    # last\n# end",
            "output:4 match=t # c",
        ),
        (
            "[INPUT]\n    Tag t\n  # two\n      # six\n  \n\t\n    Rate 1\n",
            "input:1 tag=t | rate=1",
        ),
        ("\u{feff}[INPUT]\n  Tag t\n", "input:1 tag=t"),
        (
            "[INPUT]\n  Tag\tt\n  Key \t  v\tw\n",
            "input:1 tag=t | key=v\tw",
        ),
        (
            "[OUTPUT]\n  Name file\n    Match *\n  Path out\n",
            "output:1 name=file | match=* | path=out",
        ),
        (
            "[INPUT] # comment\n\tTag \"a b\"\n\tDummy a\\\n\tRate 1\n",
            "input:1 tag=\"a b\" | dummy=a\\ | rate=1",
        ),
        (
            "[OUT]\n Match a\n[S]\n Flush 1\n[INPUTS]\n Tag t\n",
            "output:1 match=a\nservice:3 flush=1\ninput:5 tag=t",
        ),
        (
            "[FILTER]\n Record é ${X}\n Record é 2\n",
            "filter:1 record=é ${X} | record=é 2",
        ),
        ("[INPUT]\n  @INCLUDE x\n", "input:1 @include=x"),
        ("", ""),
    ] {
        check(text, sections);
    }
}

/// Checklist: engine 11
#[test]
fn a_long_value_is_a_value() {
    let long = "x".repeat(1 << 20);
    check(
        &format!("[INPUT]\n  Dummy {long}\n"),
        &format!("input:1 dummy={long}"),
    );
}

/// Checklist: engine 1, 3, 8
#[test]
fn mistakes_are_named_with_file_and_line() {
    for (text, problems) in [
        (
            "[SERVICE]\n  Flush 0.2\n\n[OUTPUT]\n   Name null\n  Match *\n",
            "error: main.conf:5:4: key `name`: the key must be indented like the first one of this file, by 2 spaces\n",
        ),
        (
            "[INPUT]\n    Name dummy\n[OUTPUT]\n   Match *\n\tName null\n",
            "error: main.conf:4:4: key `match`: the key must be indented like the first one of this file, by 4 spaces\n\
             error: main.conf:5:2: key `name`: the key must be indented like the first one of this file, by 4 spaces\n",
        ),
        (
            "[INPUT]\nName dummy\n",
            "error: main.conf:2:1: a key stands in the first column: indent the keys of a section\n",
        ),
        (
            "    Flush 1\n[INPUT]\n    Name dummy\n",
            "error: main.conf:1:5: key `flush`: stands before any section: put a header such as [SERVICE] above\n",
        ),
        (
            "[SERVICE]\n Flush 1\n\n[INPUT\n Name dummy\n",
            "error: main.conf:4:1: the header has no `]`: write [NAME]\n",
        ),
        (
            "[INPUT]\n Samples\n Rate  \n",
            "error: main.conf:2:2: key `samples`: has no value: give it one or remove the line\n\
                                         error: main.conf:3:2: key `rate`: has no value: give it one or remove the line\n",
        ),
        (
            "[PARSER]\n Name p\n",
            "error: main.conf:1:1: `[PARSER]` belongs in a file of its own, which `Parsers_File` in [SERVICE] names\n",
        ),
        (
            " [x]\n",
            "error: main.conf:1:2: an indented header: put its `[` in the first column\n",
        ),
        (
            "[INPUT]\n Name dummy\n [x\n",
            "error: main.conf:3:2: the header has no `]`: write [NAME]\n",
        ),
        (
            "@INCLUDE\n",
            "error: main.conf:1:1: `@INCLUDE` says nothing: write `@INCLUDE file` or `@SET name=value`\n",
        ),
        (
            "@SET x\n",
            "error: main.conf:1:1: `@SET` has no `=`: write `@SET name=value`\n",
        ),
        (
            "@INCLUDE absent.conf\n",
            "error: main.conf:1:1: no file fits `absent.conf`\n",
        ),
    ] {
        complain(text, problems);
    }
}

#[test]
fn what_fluent_bit_overlooks_is_a_warning() {
    for (text, problems) in [
        (
            "[FITLER]\n Name grep\n",
            "warning: main.conf:1:1: unknown section `[FITLER]`; did you mean `[FILTER]`? (it is ignored)\n",
        ),
        (
            "[ENV]\n A b\n",
            "warning: main.conf:1:1: unknown section `[ENV]`; known are `[SERVICE]`, `[INPUT]`, `[FILTER]` and `[OUTPUT]` (it is ignored)\n",
        ),
        (
            "@INCLDE f.conf\n",
            "warning: main.conf:1:1: unknown command `@INCLDE`; did you mean `@INCLUDE`? (the line is ignored)\n",
        ),
        (
            "[NODE]\n Name n\n",
            "warning: main.conf:1:1: `[NODE]` has no effect in this file (it is ignored)\n",
        ),
        (
            "@SET A = b\n",
            "warning: main.conf:1:1: blanks beside `=` become part of the variable's name and value\n",
        ),
    ] {
        complain(text, problems);
        assert_eq!(read(text, Role::Main, &[]).sections, "", "{text}");
    }
}

#[test]
fn a_group_is_ignored_with_its_keys_and_the_section_goes_on() {
    let text = "[INPUT]\n  Name dummy\n  [x]\n    Tag a\n    Rate 5\n  Tag b\n    Samples 1\n[OUTPUT]\n    Name null\n";
    let outcome = read(text, Role::Main, &[]);
    assert_eq!(
        outcome.sections,
        "input:1 name=dummy | tag=b | samples=1\noutput:8 name=null"
    );
    assert_eq!(outcome.problems.lines().count(), 1, "{}", outcome.problems);
    assert!(
        outcome
            .problems
            .starts_with("warning: main.conf:3:3: an indented header opens a group"),
        "{}",
        outcome.problems
    );
}

#[test]
fn bytes_that_are_no_text_are_replaced_with_a_warning_except_in_comments() {
    let mut problems = Problems::default();
    let main = source("main.conf", b"# caf\xe9\n[INPUT]\n  Tag caf\xe9\n");
    let sections = load_classic(
        main,
        Role::Main,
        &mut Memory(HashMap::new()),
        &mut Variables::default(),
        &mut problems,
    );
    assert_eq!(
        sections.iter().map(line).collect::<String>(),
        "input:2 tag=caf\u{fffd}"
    );
    assert_eq!(
        problems
            .warnings()
            .map(|problem| problem.place.line)
            .collect::<Vec<_>>(),
        [3]
    );
}

#[test]
fn an_included_file_has_its_own_sections_and_indentation_and_the_open_section_goes_on() {
    let tab = (
        "tab.conf",
        "# own section\n[FILTER]\n\tName modify\n@include eight.conf\n\tMatch *\n",
    );
    let eight = ("eight.conf", "[OUTPUT]\n        Name file\n");
    let outcome = read(
        "[INPUT]\n  Name dummy\n@INCLUDE tab.conf \n  Tag t\n",
        Role::Main,
        &[tab, eight],
    );
    assert_eq!(
        outcome.sections,
        "input:1 name=dummy | tag=t\nfilter:2 name=modify | match=*\noutput:1 name=file"
    );
    assert_eq!(outcome.problems, "");
}

#[test]
fn an_included_file_cannot_go_on_with_the_section_of_another() {
    let outcome = read(
        "[FILTER]\n  Name x\n@INCLUDE f.conf\n",
        Role::Main,
        &[("f.conf", "    Record a b\n")],
    );
    let expected = "error: f.conf:1:5: key `record`: stands before any section: put a header such as [SERVICE] above\n";
    assert_eq!(outcome.problems, expected);
}

#[test]
fn files_that_include_themselves_come_to_an_end() {
    let outcome = read(
        "@INCLUDE f.conf\n",
        Role::Main,
        &[("f.conf", "[INPUT]\n x y\n@INCLUDE f.conf\n")],
    );
    assert_eq!(
        outcome.problems,
        "error: f.conf:3:1: files include files more than 100 deep\n"
    );
    assert_eq!(outcome.sections.lines().count(), 100);
}

/// Checklist: engine 16
#[test]
fn variables_are_set_wherever_they_stand_and_exactly_as_written() {
    let outcome = read(
        "[INPUT]\n  Tag ${A}\n@SET A=aa \n@INCLUDE s.conf\n",
        Role::Main,
        &[("s.conf", "@set B=${A}=x")],
    );
    assert_eq!(
        (outcome.variables.get("A"), outcome.variables.get("B")),
        (Some("aa "), Some("${A}=x"))
    );
    assert_eq!(outcome.sections, "input:1 tag=${A}");
}

#[test]
fn each_kind_of_file_has_its_sections() {
    let text = "[PARSER]\n Name p\n[MULTILINE_PARSER]\n Name m\n[SERVICE]\n Flush 1\n@SET A=b\n";
    let outcome = read(text, Role::Parsers, &[]);
    assert_eq!(
        outcome.sections,
        "parser:1 name=p\nmultiline_parser:3 name=m"
    );
    assert!(
        outcome
            .problems
            .contains("main.conf:5:1: `[SERVICE]` has no effect"),
        "{}",
        outcome.problems
    );
    assert!(
        outcome
            .problems
            .contains("main.conf:7:1: `@SET` has no effect"),
        "{}",
        outcome.problems
    );
    assert_eq!(outcome.variables.get("A"), None);
}

/// The four files that the ECS agent's documentation of its rules gives as examples.
/// Checklist: firelens 9
#[test]
fn what_the_ecs_agent_writes_is_read_word_for_word() {
    const METADATA: &str = "record=ecs_cluster prod | record=ecs_task_arn arn:aws:ecs:us-east-1:111122223333:task/prod/\
        0123456789abcdef0123456789abcdef | record=ecs_task_definition shop:7";
    let bridge = format!(
        "input:2 name=forward | mem_buf_limit=128MB | unix_path=/var/run/fluent.sock
input:7 name=forward | listen=0.0.0.0 | port=24224
input:12 name=tcp | tag=firelens-healthcheck | listen=127.0.0.1 | port=8877
filter:18 name=grep | match=web-firelens* | regex=log ^(ERROR|WARN)
filter:23 name=grep | match=web-firelens* | exclude=log /healthz
filter:28 name=grep | match=worker-firelens* | exclude=log DEBUG
filter:33 name=record_modifier | match=* | record=ec2_instance_id i-0abc1234567890def | {METADATA}
output:41 name=null | match=firelens-healthcheck
output:45 name=cloudwatch_logs | match=web-firelens* | auto_create_group=true | log_group_name=/ecs/shop | log_key=log \
| log_stream_prefix=web/ | region=us-east-1 | retry_limit=5
output:55 name=kinesis_firehose | match=worker-firelens* | delivery_stream=shop-logs | region=us-east-1"
    );
    let awsvpc = format!(
        "input:2 name=forward | mem_buf_limit=25MB | unix_path=/var/run/fluent.sock
input:7 name=forward | listen=127.0.0.1 | port=24224
input:12 name=tcp | tag=firelens-healthcheck | listen=127.0.0.1 | port=8877
filter:18 name=record_modifier | match=* | {METADATA}
output:25 name=null | match=firelens-healthcheck
output:29 name=datadog | match=app-firelens* | host=http-intake.logs.datadoghq.com | tls=on | apikey=${{apikey_1}} \
| dd_service=shop | dd_source=httpd | provider=ecs | retry_limit=2"
    );
    let file = "input:2 name=forward | mem_buf_limit=32MB | unix_path=/var/run/fluent.sock
input:7 name=forward | listen=127.0.0.1 | port=24224
input:12 name=tcp | tag=firelens-healthcheck | listen=127.0.0.1 | port=8877
filter:1 name=parser
output:20 name=null | match=firelens-healthcheck";
    let s3 = "input:2 name=forward | mem_buf_limit=25MB | unix_path=/var/run/fluent.sock
output:1 name=stdout
output:9 name=s3 | match=app-firelens* | bucket=my-logs | region=us-east-1 | s3_key_format=/app/%Y/%m/%d/%H/%M/%S-$UUID \
| total_file_size=50M | upload_timeout=1m | use_put_object=On";
    let others = [
        (
            "/fluent-bit/configs/parse-json.conf",
            "[FILTER]\n  Name parser\n",
        ),
        ("/fluent-bit/etc/external.conf", "[OUTPUT]\n\tName stdout"),
    ];
    for (text, expected) in [
        (include_str!("firelens/bridge.conf"), bridge.as_str()),
        (include_str!("firelens/awsvpc.conf"), awsvpc.as_str()),
        (include_str!("firelens/file.conf"), file),
        (include_str!("firelens/s3.conf"), s3),
    ] {
        let outcome = read(text, Role::Main, &others);
        assert_eq!(
            (outcome.sections.as_str(), outcome.problems.as_str()),
            (expected, "")
        );
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut problems = Problems::default();
        load_classic(source("x", &bytes), Role::Main, &mut Memory(HashMap::new()), &mut Variables::default(), &mut problems);
        let _ = problems.to_string();
    }

    #[test]
    fn no_lines_panic(text in "((\\[|@|#| {0,3}|\t)?(IN|set|INCLUDE|é|\u{0}|=|\\]|\\$\\{|\\}|\"| |\t|\r){0,6}\n){0,12}") {
        let _ = read(&text, Role::Main, &[("IN", "[INPUT]\n x y")]);
    }

    #[test]
    fn properties_are_read_as_written(pairs in proptest::collection::vec(("[a-z][a-z0-9_.]{0,9}", "[!-~é]([ -~é]{0,20}[!-~])?"), 1..9)) {
        let lines: Vec<String> = pairs.iter().map(|(key, value)| format!("    {key} {value}\n")).collect();
        let outcome = read(&format!("[OUTPUT]\n{}", lines.concat()), Role::Main, &[]);
        let expected: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
        prop_assert_eq!(outcome.sections, format!("output:1 {}", expected.join(" | ")));
        prop_assert_eq!(outcome.problems, "");
    }
}
