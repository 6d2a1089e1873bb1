//! Equivalents of the configurations that AWS's FireLens examples lead to: each starts, or fails for the reason that is known.
//!
//! They are planned, not run: their sockets and services are not those of a test. What each needs of plugins that this version
//! lacks is the only other mistake that is admitted.

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
    let variables = Variables::from_pairs([
        ("APP_VERSION", "1.2"),
        ("AWS_REGION", "eu-west-1"),
        ("ECS_CLUSTER", "prod"),
        ("ECS_TASK_ID", "0123"),
        ("HOSTNAME", "ip-10-0-0-1"),
        ("FLUENT_BIT_METRICS_LOG_REGION", "eu-west-1"),
        ("FLUENT_BIT_METRICS_LOG_GROUP", "metrics"),
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
    pipeline::plan(&config, &[], service, &mut problems);
    problems.errors().map(ToString::to_string).collect()
}

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
