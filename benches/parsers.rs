//! What one text costs in each parser: JSON, regular expressions, LTSV, logfmt, with and without a time.
//!
//! `cargo bench --bench parsers`.

#![expect(
    clippy::unwrap_used,
    missing_docs,
    reason = "a bench that cannot go on has failed, and its macros write undocumented items"
)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sluice::config::{Problems, Section, SectionKind, Variables};
use sluice::parser::{Parsers, Room};

/// A line of a structured logger.
const JSON: &str = r#"{"level":"info","time":"2024-01-02T03:04:05.123Z","msg":"request done","status":200,"path":"/api/v1/orders","ms":12.5,"user":{"id":7,"roles":["admin","staff"]},"trace":"5d1c0f6b7a2e4c3d9b8a7f6e5d4c3b2a"}"#;
/// The same as a text with escapes.
const ESCAPED: &str = r#"{"level":"info","msg":"a \"quoted\" word\nand a line \u00e9","inner":"{\"a\":1,\"b\":\"x\"}"}"#;
/// A line of an access log.
const ACCESS: &str = r#"10.0.0.1 - bob [10/Oct/2023:13:55:36 -0700] "GET /a?b=c HTTP/1.1" 200 12 "http://r/" "curl/8""#;
const LOGFMT: &str =
    r#"level=info msg="request \"done\"" status=200 path=/api/v1/orders ms=12.5 cached"#;
const LTSV: &str = "host:10.0.0.1\tstatus:200\tsize:1024\treq:GET /a HTTP/1.1\tua:curl/8";

const NGINX: &str = r#"^(?<remote>[^ ]*) (?<host>[^ ]*) (?<user>[^ ]*) \[(?<time>[^\]]*)\] "(?<method>\S+)(?: +(?<path>[^\"]*?)(?: +\S*)?)?" (?<code>[^ ]*) (?<size>[^ ]*)(?: "(?<referer>[^\"]*)" "(?<agent>[^\"]*)")"#;

type Properties = &'static [(&'static str, &'static str)];

const CASES: &[(&str, Properties, &str)] = &[
    ("json", &[("format", "json")], JSON),
    (
        "json_time",
        &[
            ("format", "json"),
            ("time_format", "%Y-%m-%dT%H:%M:%S.%L%z"),
        ],
        JSON,
    ),
    ("json_escapes", &[("format", "json")], ESCAPED),
    (
        "json_decoded",
        &[("format", "json"), ("decode_field_as", "json inner")],
        ESCAPED,
    ),
    ("regex", &[("format", "regex"), ("regex", NGINX)], ACCESS),
    (
        "regex_time_types",
        &[
            ("format", "regex"),
            ("regex", NGINX),
            ("time_format", "%d/%b/%Y:%H:%M:%S %z"),
            ("types", "code:integer size:integer"),
        ],
        ACCESS,
    ),
    (
        "regex_lookaround",
        &[
            ("format", "regex"),
            (
                "regex",
                r"^(?<remote>\S+)(?= ) \S+ (?<user>\S+) .*(?<=HTTP/1\.1)",
            ),
        ],
        ACCESS,
    ),
    ("logfmt", &[("format", "logfmt")], LOGFMT),
    (
        "logfmt_types",
        &[("format", "logfmt"), ("types", "status:integer ms:float")],
        LOGFMT,
    ),
    ("ltsv", &[("format", "ltsv")], LTSV),
    (
        "ltsv_types",
        &[("format", "ltsv"), ("types", "status:integer size:integer")],
        LTSV,
    ),
];

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parsers");
    for (case, properties, text) in CASES {
        let all = [&[("name", *case)], *properties].concat();
        let section = Section::of_pairs(SectionKind::Parser, &all);
        let mut problems = Problems::default();
        let parsers = Parsers::read(&[section], &Variables::default(), &mut problems);
        assert!(!problems.has_errors(), "{problems}");
        let parser = parsers.get(case).unwrap();
        let (mut room, mut out) = (Room::default(), Vec::new());
        assert!(parser.parse(text.as_bytes(), &mut room, &mut out).is_some());
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(*case, |bencher| {
            bencher.iter(|| {
                out.clear();
                let text = black_box(text.as_bytes());
                black_box(parser.parse(text, &mut room, &mut out).is_some())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
