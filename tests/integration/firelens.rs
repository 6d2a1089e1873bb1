//! Equivalents of the configurations that AWS's FireLens examples lead to: each starts, or fails for the reason that is known.
//!
//! They are planned, not run: their sockets and services are not those of a test. What each needs of plugins that this version
//! lacks is the only other mistake that is admitted.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sluice::config::{self, Problems, Variables};
use sluice::pipeline::{self, Service};

/// What is wrong with an example in itself.
const BROKEN: [(&str, &str); 3] = [
    // Third-party images hold these plugins.
    ("newrelic.conf", "no plugin `newrelic`"),
    ("signalfx.conf", "no plugin `signalfx`"),
    (
        "send_to_multiple_destinations.conf",
        "log_stream_name and log_stream_prefix: one of the two is required",
    ),
];

fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/firelens");
    let entries = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    files
}

/// What is said about a file at a start, a line each.
fn errors(path: &Path) -> Vec<String> {
    planned(path).1
}

/// How many outputs a file has, and what is said about it.
fn planned(path: &Path) -> (usize, Vec<String>) {
    let variables = Variables::from_pairs([
        ("APP_VERSION", "1.2"),
        ("AWS_REGION", "eu-west-1"),
        ("ECS_CLUSTER", "prod"),
        ("ECS_TASK_ID", "0123"),
        (
            "ECS_TASK_ARN",
            "arn:aws:ecs:eu-west-1:111122223333:task/prod/0123",
        ),
        ("ECS_TASK_DEFINITION", "shop:7"),
        ("TASK_ID", "0123"),
        ("HOSTNAME", "ip-10-0-0-1"),
        ("FLUENT_BIT_METRICS_LOG_REGION", "eu-west-1"),
        ("FLUENT_BIT_METRICS_LOG_GROUP", "metrics"),
        ("PARSER_NAME", "json"),
        ("FIREHOSE_REGION", "eu-west-1"),
        ("DELIVERY_STREAM", "logs"),
        ("KINESIS_REGION", "eu-west-1"),
        ("STREAM", "logs"),
        ("BUCKET", "logs"),
        ("S3_REGION", "eu-west-1"),
        ("ES_ENDPOINT", "search-logs.eu-west-1.es.amazonaws.com"),
        ("ES_REGION", "eu-west-1"),
        ("INDEX", "logs"),
        ("TYPE", "_doc"),
        ("URI_1", "/ingest?key=a#b%20{c}"),
        ("apikey_1", "p#1%40{x}"),
        ("apiKey_1", "k"),
        ("DD_API_KEY", "k"),
        ("Cloud_Auth_1", "user:pass word"),
        ("Header_1", "Api-Token x"),
        ("http_passwd_1", "p"),
        ("token_1", "t"),
    ]);
    let mut problems = Problems::default();
    let config = config::load(path, variables, &mut problems);
    let service = Service::read(&config, &[], 0, &mut problems);
    let plan = pipeline::plan(&config, &[], service, &mut problems);
    let errors = problems.errors().map(ToString::to_string).collect();
    (plan.outputs().count(), errors)
}

/// Checklist: firelens 31, 51
#[test]
fn every_example_starts_or_fails_for_the_known_reason() {
    let examples = examples();
    assert!(examples.len() >= 40);
    for path in examples {
        let name = path.file_name().unwrap().to_str().unwrap();
        let known = BROKEN.iter().find(|(file, _)| *file == name);
        let errors = errors(&path);
        let unexpected: Vec<&String> = errors
            .iter()
            .filter(|error| !error.contains("is not part of this version"))
            .filter(|error| !known.is_some_and(|(_, reason)| error.contains(reason)))
            .collect();
        assert!(unexpected.is_empty(), "{name}: {unexpected:#?}");
        if let Some((_, reason)) = known {
            assert!(
                errors.iter().any(|error| error.contains(reason)),
                "{name}: {errors:#?}"
            );
        }
    }
}

/// Checklist: firelens 10
#[test]
fn containers_may_stand_in_any_order_and_be_many() {
    let folder = tempfile::tempdir().unwrap();
    let main = folder.path().join("fluent-bit.conf");
    // The agent sorts keys by their bytes, and containers not at all.
    for turn in 0..3 {
        let mut text = String::from("\n[INPUT]\n    Name forward\n    unix_path fluent.sock\n");
        let numbers: Vec<usize> = (0..12).map(|place| (place * 5 + turn) % 12).collect();
        for number in &numbers {
            write!(
                text,
                "\n[FILTER]\n    Name   grep\n    Match app{number}-firelens*\n    Regex  log ^[$|] .*(a|b) \"#{number}\"\n"
            )
            .unwrap();
        }
        for number in &numbers {
            write!(
                text,
                "\n[OUTPUT]\n    Name http\n    Match app{number}-firelens*\n    Header X-Note a #b \"c\" $d\n    Host example.com\n    URI /{number}\n    format json\n"
            )
            .unwrap();
        }
        std::fs::write(&main, text).unwrap();
        let (outputs, errors) = planned(&main);
        assert!(errors.is_empty(), "{errors:#?}");
        assert_eq!(outputs, 12);
    }
}

/// Checklist: firelens 21
#[test]
fn the_files_that_the_image_offers_for_inclusion_are_good() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().to_str().unwrap();
    let parsers = root.join("parsers.conf");
    let mut offered = Vec::new();
    for part in ["configs", "ecs"] {
        std::fs::create_dir(folder.path().join(part)).unwrap();
        for entry in std::fs::read_dir(root.join(part)).unwrap() {
            let entry = entry.unwrap();
            let text = std::fs::read_to_string(entry.path()).unwrap();
            let text = text.replace(
                "/fluent-bit/parsers/parsers.conf",
                parsers.to_str().unwrap(),
            );
            let file = folder.path().join(part).join(entry.file_name());
            std::fs::write(&file, text.replace("/fluent-bit", image)).unwrap();
            offered.push(file);
        }
    }
    let main = folder.path().join("main.conf");
    for file in &offered {
        let text = std::fs::read_to_string(file).unwrap();
        let named = |parsers: &Path| format!("[SERVICE]\n    Parsers_File {}\n", parsers.display());
        let mut head = String::new();
        if text.contains("PARSER_NAME") {
            head = named(&parsers);
        }
        // A file of parsers is named, the others are included.
        if text.contains("[PARSER]") {
            head = named(file);
        } else {
            writeln!(head, "@INCLUDE {}", file.display()).unwrap();
        }
        std::fs::write(&main, head).unwrap();
        let errors = errors(&main);
        assert!(errors.is_empty(), "{}: {errors:#?}", file.display());
    }
    assert_eq!(offered.len(), 15);
}
