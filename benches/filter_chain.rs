//! What one record costs in each filter: opened as a view, filtered, and encoded if it was changed.
//!
//! `cargo bench --bench filter_chain`.

#![expect(
    clippy::unwrap_used,
    missing_docs,
    reason = "a bench that cannot go on has failed, and its macros write undocumented items"
)]

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sluice::config::{Problems, Section, SectionKind, Settings, Variables};
use sluice::event::{Event, EventTime};
use sluice::filter::{self, Filter, Halt, Link, Means, Scratch, Verdict, View};
use sluice::parser::{Parsers, json};

/// What Docker's driver and `FireLens` make of an application's line.
const APPLICATION: &str = r#"{"container_id":"0123456789abcdef","container_name":"/web","source":"stdout","log":"{\"level\":\"info\",\"time\":\"2024-01-02T03:04:05.123Z\",\"msg\":\"request done\",\"status\":200,\"path\":\"/api/v1/orders\",\"ms\":12.5}","ecs_cluster":"prod","ecs_task_arn":"arn:aws:ecs:eu-west-1:1:task/prod/0123"}"#;
/// A line of an access log.
const ACCESS: &str = r#"{"container_name":"/nginx","source":"stdout","log":"10.0.0.1 - bob [10/Oct/2023:13:55:36 -0700] \"GET /a?b=c HTTP/1.1\" 200 12 \"http://r/\" \"curl/8\""}"#;
/// Key and value pairs.
const PAIRS: &str =
    r#"{"log":"level=info msg=\"request done\" status=200 path=/api/v1/orders ms=12.5"}"#;
/// A record with a map.
const NESTED: &str =
    r#"{"log":"x","kubernetes":{"pod":"web-1","labels":{"tier":"front"},"host":"a"},"n":"42"}"#;

type Properties = &'static [(&'static str, &'static str)];

const CASES: &[(&str, &str, Properties, &str)] = &[
    (
        "checklist",
        "checklist",
        &[
            ("file", "Cargo.toml"),
            ("lookup_key", "source"),
            ("record", "bad true"),
        ],
        APPLICATION,
    ),
    (
        "content_modifier",
        "content_modifier",
        &[("action", "upsert"), ("key", "stage"), ("value", "prod")],
        APPLICATION,
    ),
    (
        "expect",
        "expect",
        &[("key_exists", "$log"), ("action", "result_key")],
        APPLICATION,
    ),
    (
        "grep",
        "grep",
        &[("exclude", "log healthcheck"), ("regex", "log (?i)request")],
        APPLICATION,
    ),
    (
        "grep_lookaround",
        "grep",
        &[("regex", "log ^(?!.*healthcheck).*$")],
        APPLICATION,
    ),
    (
        "modify",
        "modify",
        &[
            ("rename", "container_name name"),
            ("add", "env prod"),
            ("remove", "container_id"),
        ],
        APPLICATION,
    ),
    (
        "modify_condition",
        "modify",
        &[
            ("condition", "key_value_matches log orders"),
            ("set", "orders yes"),
        ],
        APPLICATION,
    ),
    (
        "nest",
        "nest",
        &[
            ("operation", "nest"),
            ("wildcard", "ecs_*"),
            ("nest_under", "ecs"),
            ("remove_prefix", "ecs_"),
        ],
        APPLICATION,
    ),
    (
        "lift",
        "nest",
        &[
            ("operation", "lift"),
            ("nested_under", "kubernetes"),
            ("add_prefix", "k8s_"),
        ],
        NESTED,
    ),
    (
        "parser_json",
        "parser",
        &[
            ("key_name", "log"),
            ("parser", "json"),
            ("reserve_data", "on"),
        ],
        APPLICATION,
    ),
    (
        "parser_regex",
        "parser",
        &[
            ("key_name", "log"),
            ("parser", "nginx"),
            ("reserve_data", "on"),
        ],
        ACCESS,
    ),
    (
        "parser_logfmt",
        "parser",
        &[("key_name", "log"), ("parser", "logfmt")],
        PAIRS,
    ),
    (
        "record_modifier",
        "record_modifier",
        &[("record", "stage prod"), ("remove_key", "container_id")],
        APPLICATION,
    ),
    (
        "sysinfo",
        "sysinfo",
        &[("hostname_key", "host"), ("kernel_version_key", "kernel")],
        APPLICATION,
    ),
    (
        "throttle",
        "throttle",
        &[("rate", "1000000000")],
        APPLICATION,
    ),
    (
        "type_converter",
        "type_converter",
        &[("str_key", "n number int")],
        NESTED,
    ),
];

const PARSERS: &[Properties] = &[
    &[
        ("name", "json"),
        ("format", "json"),
        ("time_key", "time"),
        ("time_format", "%Y-%m-%dT%H:%M:%S.%L%z"),
    ],
    &[("name", "logfmt"), ("format", "logfmt")],
    &[
        ("name", "nginx"),
        ("format", "regex"),
        (
            "regex",
            r#"^(?<remote>[^ ]*) (?<host>[^ ]*) (?<user>[^ ]*) \[(?<time>[^\]]*)\] "(?<method>\S+)(?: +(?<path>[^\"]*?)(?: +\S*)?)?" (?<code>[^ ]*) (?<size>[^ ]*)(?: "(?<referer>[^\"]*)" "(?<agent>[^\"]*)")"#,
        ),
        ("time_key", "time"),
        ("time_format", "%d/%b/%Y:%H:%M:%S %z"),
    ],
];

fn built(name: &str, properties: Properties) -> Box<dyn Filter> {
    let (variables, mut problems) = (Variables::default(), Problems::default());
    let parsers: Vec<_> = PARSERS
        .iter()
        .map(|properties| Section::of_pairs(SectionKind::Parser, properties))
        .collect();
    let parsers = Parsers::read(&parsers, &variables, &mut problems);
    let section = Section::of_pairs(
        SectionKind::Filter,
        &[&[("name", name)], properties].concat(),
    );
    let mut settings = Settings::new(&section, &variables, &mut problems);
    let means = Means {
        parsers: &parsers,
        variables: &variables,
        directory: Path::new(""),
        halt: &Halt::default(),
    };
    let link = filter::find_processor(name)
        .unwrap()
        .build(&mut settings, means);
    settings.finish();
    assert!(!problems.has_errors(), "{problems}");
    match link {
        Link::Filter(filter) => filter,
        Link::Operator(_) => unreachable!("{name} is a filter"),
    }
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("filter_chain");
    for (case, name, properties, text) in CASES {
        let filter = built(name, properties);
        let mut record = Vec::new();
        json::to_msgpack(text.as_bytes(), &mut record).unwrap();
        let event = Event {
            time: EventTime::default(),
            metadata: &[],
            record: &record,
        };
        let (mut scratch, mut out) = (Scratch::default(), Vec::new());
        group.throughput(Throughput::Elements(1));
        group.bench_function(*case, |bencher| {
            bencher.iter(|| {
                let mut view = View::open(b"app-firelens-0", black_box(event), &mut scratch);
                out.clear();
                if filter.apply(&mut view) == Verdict::Keep && view.changed() {
                    view.write(&mut out);
                }
                black_box(out.len())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
