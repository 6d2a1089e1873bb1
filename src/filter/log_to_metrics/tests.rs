use super::super::testing::{built, filtered, refused};
use super::*;
use crate::telemetry::Value as Shown;

/// Sends records through the filter of a section and gives the series of its metric: labels and value. Names differ from
/// test to test, since the registry is one of the process.
fn series(properties: &[(&str, &str)], records: &[&str]) -> Vec<String> {
    let name = properties.iter().find(|(key, _)| *key == "metric_name");
    let name = name.unwrap().1;
    let described = [&[("metric_description", "Help.")], properties].concat();
    let (filter, problems) = built(build, &described);
    assert!(problems.is_empty(), "{problems:?}");
    for record in records {
        assert_eq!(filtered(&*filter, record).as_deref(), Some(*record));
    }
    let mut families = registry().families("log_metric_");
    families.retain(|family| family.name.ends_with(&format!("_{name}")));
    let shown = |sample: &crate::telemetry::Sample| {
        let value = match &sample.value {
            Shown::Count(count) => count.to_string(),
            Shown::Number(number) => number.to_string(),
            Shown::Spread(spread) => format!("{:?} {} {}", spread.below, spread.sum, spread.count),
        };
        format!("{} {value}", sample.labels)
    };
    families
        .iter()
        .flat_map(|family| family.samples.iter().map(shown))
        .collect()
}

#[test]
fn records_are_counted_by_their_labels() {
    let found = series(
        &[
            ("metric_name", "by_labels"),
            ("regex", "log ."),
            ("exclude", "log ^x"),
            ("label_field", "color"),
            ("add_label", "deep $k['s-t']"),
        ],
        &[
            r#"{"log":"a","color":"red","k":{"s-t":5}}"#,
            r#"{"log":"a","color":"red","k":{"s-t":5}}"#,
            r#"{"log":"b","color":1.5}"#,
            r#"{"log":"b","color":true,"k":{"s-t":"q\"q"}}"#,
            r#"{"log":""}"#,
            r#"{"other":1}"#,
        ],
    );
    let expected = [
        r#"{color="",deep="q\"q"} 1"#,
        r#"{color="1.500000",deep=""} 1"#,
        r#"{color="red",deep="5"} 2"#,
    ];
    assert_eq!(found, expected);
}

#[test]
fn the_rules_of_a_section_decide_as_those_of_grep() {
    let found = series(
        &[
            ("metric_name", "ruled"),
            ("exclude", "log ^x"),
            ("regex", "log a"),
        ],
        &[r#"{"log":"a"}"#, r#"{"log":"xa"}"#, r#"{"log":"b"}"#],
    );
    assert_eq!(found, [" 1"]);
}

#[test]
fn a_gauge_shows_the_last_number() {
    let properties = [
        ("metric_name", "level"),
        ("metric_mode", "Gauge"),
        ("value_field", "$m['v']"),
        ("label_field", "l"),
    ];
    let found = series(
        &properties,
        &[
            r#"{"l":"a","m":{"v":3}}"#,
            r#"{"l":"a","m":{"v":"-2.5e1 ms"}}"#,
            r#"{"l":"b","m":{"v":0.25}}"#,
            r#"{"l":"c","m":{"v":"none"}}"#,
            r#"{"l":"c","m":{"v":true}}"#,
            r#"{"l":"c","m":{"v":"nan"}}"#,
            r#"{"l":"c"}"#,
        ],
    );
    assert_eq!(found, [r#"{l="a"} -25"#, r#"{l="b"} 0.25"#]);
    let skipped = registry().text();
    let line =
        r#"sluice_log_metrics_skipped_total{metric="log_metric_gauge_level",reason="no_number"} 4"#;
    assert!(skipped.contains(line), "{skipped}");
}

#[test]
fn a_histogram_counts_in_the_buckets_given() {
    let found = series(
        &[
            ("metric_name", "took"),
            ("metric_mode", "histogram"),
            ("value_field", "ms"),
            ("bucket", "10"),
            ("bucket", "2.5"),
            ("bucket", "10"),
        ],
        &[r#"{"ms":2.5}"#, r#"{"ms":"9"}"#, r#"{"ms":11}"#],
    );
    assert_eq!(found, [" [(2.5, 1), (10.0, 2)] 22.5 3"]);
    let usual = series(
        &[
            ("metric_name", "usual"),
            ("metric_mode", "histogram"),
            ("value_field", "ms"),
        ],
        &[r#"{"ms":0.005}"#],
    );
    assert!(
        usual[0].starts_with(" [(0.005, 1), (0.01, 1), "),
        "{usual:?}"
    );
    assert!(usual[0].contains("(10.0, 1)] 0.005 1"), "{usual:?}");
}

#[test]
fn labels_of_kubernetes_come_first() {
    let found = series(
        &[
            ("metric_name", "pods"),
            ("kubernetes_mode", "on"),
            ("label_field", "a"),
        ],
        &[r#"{"a":"x","kubernetes":{"pod_name":"p","namespace_name":"n","pod_id":"i"}}"#],
    );
    let expected =
        r#"{namespace_name="n",pod_name="p",container_name="",docker_id="",pod_id="i",a="x"} 1"#;
    assert_eq!(found, [expected]);
}

#[test]
fn no_more_series_are_made_than_the_limit_says() {
    let found = series(
        &[
            ("metric_name", "many"),
            ("label_field", "l"),
            ("series_limit", "2"),
        ],
        &[
            r#"{"l":"a"}"#,
            r#"{"l":"b"}"#,
            r#"{"l":"c"}"#,
            r#"{"l":"d"}"#,
            r#"{"l":"a"}"#,
        ],
    );
    assert_eq!(found, [r#"{l="a"} 2"#, r#"{l="b"} 1"#]);
    let line = r#"sluice_log_metrics_skipped_total{metric="log_metric_counter_many",reason="series_limit"} 2"#;
    assert!(registry().text().contains(line));
}

#[test]
fn logs_can_be_discarded_whether_they_count_or_not() {
    let (filter, problems) = built(
        build,
        &[
            ("metric_name", "discarding"),
            ("metric_description", "d"),
            ("discard_logs", "on"),
            ("regex", "log a"),
        ],
    );
    assert!(problems.is_empty(), "{problems:?}");
    for record in [r#"{"log":"a"}"#, r#"{"log":"b"}"#] {
        assert_eq!(filtered(&*filter, record), None);
    }
    let family = registry().families("log_metric_counter_discarding");
    assert_eq!(family[0].samples[0].value, Shown::Count(1));
    assert_eq!(family[0].help, "d");
}

#[test]
fn a_section_that_is_only_checked_leaves_no_trace() {
    let described = ("metric_description", "d");
    drop(built(build, &[("metric_name", "untouched"), described]));
    assert_eq!(registry().families("log_metric_counter_untouched"), []);
}

#[test]
fn names_are_put_together_in_prometheus_letters() {
    let (filter, problems) = built(
        build,
        &[
            ("metric_name", "a-b"),
            ("metric_namespace", "2nd"),
            ("metric_subsystem", "web.x"),
            ("metric_description", "d"),
        ],
    );
    assert!(problems.is_empty(), "{problems:?}");
    filtered(&*filter, "{}");
    assert_eq!(registry().families("_2nd_web_x_a_b").len(), 1);
}

#[test]
fn settings_of_a_pipeline_that_is_not_there_are_taken_with_a_warning() {
    let described = ("metric_description", "d");
    let (_, problems) = built(
        build,
        &[("tag", "metrics"), ("flush_interval_sec", "5"), described],
    );
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(
        problems
            .iter()
            .all(|problem| problem.starts_with("warning: ")),
        "{problems:?}"
    );
}

#[test]
fn mistakes_are_named() {
    let described = ("metric_description", "d");
    for (properties, words) in [
        (&[][..], "key `metric_description`: missing"),
        (
            &[described, ("metric_mode", "summary")],
            "write one of counter, gauge, histogram",
        ),
        (
            &[described, ("metric_mode", "gauge")],
            "key `value_field`: missing",
        ),
        (
            &[described, ("metric_mode", "gauge"), ("value_field", "$a[")],
            "key `value_field`",
        ),
        (&[described, ("bucket", "ten")], "`ten` is no number"),
        (&[described, ("label_field", "$")], "key `label_field`"),
        (&[described, ("add_label", "alone")], "key `add_label`"),
        (
            &[described, ("label_field", "a"), ("add_label", "a b")],
            "there are two labels `a`",
        ),
        (
            &[described, ("label_field", "le")],
            "`le` is a label of Prometheus's own",
        ),
        (
            &[described, ("metric_namespace", "sluice")],
            "begins like a metric of our own",
        ),
        (&[described, ("regex", "log (")], "key `regex`"),
    ] {
        refused(build, properties, words);
    }
    let many: Vec<String> = (0..33).map(|number| format!("l{number}")).collect();
    let mut properties = vec![described];
    properties.extend(many.iter().map(|name| ("label_field", name.as_str())));
    refused(build, &properties, "at most 32 labels");
}
