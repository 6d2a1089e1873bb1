//! What one record costs in each filter: opened as a view, filtered, and encoded if it was changed. All but `stdout`, whose
//! lines would stand in the report.
//!
//! `cargo bench --bench filter_chain`.

#![expect(
    clippy::unwrap_used,
    missing_docs,
    reason = "a bench that cannot go on has failed, and its macros write undocumented items"
)]

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sluice::config::{Problems, Section, SectionKind, Settings, Variables};
use sluice::event::{Event, EventTime};
use sluice::filter::{self, Filter, Halt, Link, Means, Outbox, Passage, Scratch, Verdict, View};
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
        "log_to_metrics",
        "log_to_metrics",
        &[
            ("metric_description", "Requests."),
            ("label_field", "container_name"),
            ("label_field", "ecs_cluster"),
        ],
        APPLICATION,
    ),
    (
        "log_to_metrics_histogram",
        "log_to_metrics",
        &[
            ("metric_name", "n"),
            ("metric_mode", "histogram"),
            ("metric_description", "Numbers."),
            ("value_field", "n"),
            ("add_label", "pod $kubernetes['pod']"),
        ],
        NESTED,
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
        "sql",
        "sql",
        &[(
            "query",
            "SELECT log, container_name AS name FROM STREAM WHERE source = 'stdout';",
        )],
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

/// Operators, and records that come one after the other.
const OPERATORS: &[(&str, &str, Properties, &[&str])] = &[
    (
        "lua_add",
        "lua",
        &[
            (
                "code",
                "function f(tag, ts, r) r.stage = 'prod' return 2, ts, r end",
            ),
            ("call", "f"),
        ],
        &[APPLICATION],
    ),
    (
        "multiline_java",
        "multiline",
        &[
            ("multiline.key_content", "log"),
            ("multiline.parser", "java"),
        ],
        TRACE,
    ),
    (
        "multiline_partial",
        "multiline",
        &[
            ("multiline.key_content", "log"),
            ("mode", "partial_message"),
        ],
        PARTS,
    ),
    (
        "rewrite_tag_moves",
        "rewrite_tag",
        &[("rule", r"$source ^(std\w+)$ new.$1.$ecs_cluster false")],
        &[APPLICATION],
    ),
    (
        "rewrite_tag_leaves",
        "rewrite_tag",
        &[("rule", r"$source ^(stderr)$ new.$1 false")],
        &[APPLICATION],
    ),
];

/// A trace of Java's and a line that is none.
const TRACE: &[&str] = &[
    r#"{"log":"one line"}"#,
    r#"{"log":"Exception in thread \"main\" java.lang.RuntimeException: Something went wrong"}"#,
    r#"{"log":"    at com.example.shop.Cart.total(Cart.java:42)"}"#,
    r#"{"log":"    at com.example.shop.Main.main(Main.java:7)"}"#,
    r#"{"log":"Caused by: java.io.IOException: broken"}"#,
    r#"{"log":"    ... 3 more"}"#,
];

/// A line that Docker has cut.
const PARTS: &[&str] = &[
    r#"{"log":"first part ","partial_message":"true","partial_id":"1","partial_last":"false"}"#,
    r#"{"log":"last part","partial_message":"true","partial_id":"1","partial_last":"true"}"#,
    r#"{"log":"a whole line"}"#,
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

fn built(name: &str, properties: Properties) -> Link {
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
    link
}

fn filter(name: &str, properties: Properties) -> Box<dyn Filter> {
    match built(name, properties) {
        Link::Filter(filter) => filter,
        Link::Operator(_) => unreachable!("{name} is a filter"),
    }
}

fn encoded(text: &str) -> Vec<u8> {
    let mut record = Vec::new();
    json::to_msgpack(text.as_bytes(), &mut record).unwrap();
    record
}

fn event(record: &[u8]) -> Event<'_> {
    Event {
        time: EventTime::default(),
        metadata: &[],
        record,
    }
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("filter_chain");
    for (case, name, properties, text) in CASES {
        let filter = filter(name, properties);
        let record = encoded(text);
        let (mut scratch, mut out) = (Scratch::default(), Vec::new());
        group.throughput(Throughput::Elements(1));
        group.bench_function(*case, |bencher| {
            bencher.iter(|| {
                let mut view =
                    View::open(b"app-firelens-0", black_box(event(&record)), &mut scratch);
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

/// What an operator puts out is made and left in the outbox.
fn operators(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("operators");
    for (case, name, properties, texts) in OPERATORS {
        let Link::Operator(maker) = built(name, properties) else {
            unreachable!("{name} is an operator");
        };
        let records: Vec<_> = texts.iter().map(|text| encoded(text)).collect();
        let mut operator = maker.operator(b"app-firelens-0");
        let now = Instant::now();
        let (mut scratch, mut outbox) = (Scratch::default(), Outbox::new(now));
        group.throughput(Throughput::Elements(records.len() as u64));
        group.bench_function(*case, |bencher| {
            bencher.iter(|| {
                let mut put_out = 0;
                for record in &records {
                    outbox.begin(now, 0, true, Passage::default());
                    let event = black_box(event(record));
                    let mut view = View::open(b"app-firelens-0", event, &mut scratch);
                    let verdict = operator.apply(&mut view, &mut outbox);
                    put_out += outbox.emitted().count() + usize::from(verdict == Verdict::Keep);
                }
                black_box(put_out)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, bench, operators);
criterion_main!(benches);
