use std::fmt::Write as _;
use std::process::Command;

/// Every AWS output with every option that Fluent Bit, or AWS's plugin of that name, has.
const COMMON: &str = "region eu-west-1, role_arn arn:aws:iam::1:role/r, endpoint 127.0.0.1, sts_endpoint https://127.0.0.1";
const C: &str = "external_id e, profile p, auto_retry_requests off, workers 1, retry_limit 3, net.connect_timeout 5, tls.verify off";
const PLUGINS: &[(&str, &str, &str)] = &[
    (
        "cloudwatch_logs",
        C,
        "log_group_name g, log_stream_prefix p-, log_group_template $k, log_stream_template $s, log_key log, \
         log_format json/emf, auto_create_group on, log_group_class STANDARD, log_retention_days 7, \
         extra_user_agent a, metric_namespace n, metric_dimensions a;b, add_entity off, port 443",
    ),
    (
        "cloudwatch",
        "external_id e",
        "log_group_name $(k), log_stream_name $(s), default_log_group_name g, default_log_stream_name s, log_key log, \
         log_format json/emf, auto_create_group true, auto_create_stream true, new_log_group_tags a=b, \
         log_retention_days 7, credentials_endpoint http://127.0.0.1/c, extra_user_agent a",
    ),
    (
        "kinesis_firehose",
        C,
        "delivery_stream d, time_key t, time_key_format %Y, compression gzip, simple_aggregation off, port 443",
    ),
    (
        "firehose",
        "",
        "delivery_stream d, data_keys a\\,b, time_key t, time_key_format %Y, log_key log, replace_dots -, simple_aggregation true",
    ),
    (
        "kinesis_streams",
        C,
        "stream s, time_key t, time_key_format %Y, compression zstd, simple_aggregation off, port 443",
    ),
    (
        "kinesis",
        "",
        "stream s, partition_key a->b, data_keys a\\,b, log_key log, replace_dots -, time_key t, time_key_format %Y, \
         append_newline true, aggregation true, compression zlib, experimental_concurrency 2, \
         experimental_concurrency_retries 4, http_request_timeout 5",
    ),
    (
        "s3",
        C,
        "bucket b, total_file_size 50M, upload_chunk_size 6M, upload_timeout 5m, s3_key_format /$TAG[0]/%Y/$UUID, \
         s3_key_format_tag_delimiters .-, static_file_path off, use_put_object off, compression gzip, content_type a/b, \
         canned_acl private, storage_class STANDARD_IA, send_content_md5 on, preserve_data_ordering on, log_key log, \
         json_date_key d, json_date_format iso8601, store_dir_limit_size 1G",
    ),
];

/// What a router says of an output section, and whether it would start.
fn checked(name: &str, settings: &str) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store").display().to_string();
    let mut text = format!("[OUTPUT]\n    Name {name}\n    Match *\n");
    if name == "s3" {
        writeln!(text, "    store_dir {store}").unwrap();
    }
    for setting in settings.replace("\\,", "\u{1}").split(", ") {
        let setting = setting.trim().replace('\u{1}', ",");
        writeln!(text, "    {setting}").unwrap();
    }
    let file = folder.path().join("sluice.conf");
    std::fs::write(&file, format!("[INPUT]\n    Name dummy\n{text}")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    let output = command.arg("--dry-run").arg("-c").arg(file).env_clear();
    let output = output
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

fn joined(parts: &[&str]) -> String {
    let parts: Vec<_> = parts
        .iter()
        .filter(|part| !part.is_empty())
        .copied()
        .collect();
    parts.join(", ")
}

/// Checklist: outputs 1
#[test]
fn every_option_of_every_aws_plugin_is_known() {
    for (name, more, own) in PLUGINS {
        let (starts, said) = checked(name, &joined(&[COMMON, more, own]));
        assert!(starts, "{name}: {said}");
        assert!(!said.contains("unknown property"), "{name}: {said}");
        assert!(!said.contains("[error]"), "{name}: {said}");
    }
}

/// Checklist: outputs 2
#[test]
fn what_an_output_cannot_do_without_is_named() {
    let needs = [
        ("cloudwatch_logs", "log_stream_name s", "log_group_name"),
        ("cloudwatch_logs", "log_group_name g", "log_stream_name"),
        (
            "cloudwatch_logs",
            "log_group_name g, log_stream_name s, log_stream_prefix p",
            "log_stream_prefix",
        ),
        ("cloudwatch", "log_stream_name s", "log_group_name"),
        ("cloudwatch", "log_group_name g", "log_stream_name"),
        (
            "cloudwatch",
            "log_group_name g, log_stream_name s, log_stream_prefix p",
            "log_stream_prefix",
        ),
        ("kinesis_firehose", "time_key t", "delivery_stream"),
        ("firehose", "time_key t", "delivery_stream"),
        ("kinesis_streams", "time_key t", "stream"),
        ("kinesis", "time_key t", "stream"),
        ("s3", "total_file_size 50M", "bucket"),
    ];
    for (name, settings, missing) in needs {
        let (starts, said) = checked(name, &joined(&["region eu-west-1", settings]));
        assert!(!starts, "{name} without {missing} starts: {said}");
        assert!(
            said.contains(missing),
            "{name}: {missing} is not named in {said}"
        );
    }
    // The region of the task stands in for the setting, so only without any it is missed.
    let (starts, said) = checked("kinesis_streams", "stream s");
    assert!(!starts && said.contains("region"), "{said}");
}

/// Checklist: outputs 3
#[test]
fn a_time_key_and_a_log_key_go_together_in_the_go_plugins_only() {
    for (name, target, both) in [
        ("kinesis_firehose", "delivery_stream d", false),
        ("kinesis_streams", "stream s", false),
        ("firehose", "delivery_stream d", true),
        ("kinesis", "stream s", true),
    ] {
        let settings = ["region eu-west-1", target, "time_key t", "log_key log"];
        let (starts, said) = checked(name, &joined(&settings));
        assert_eq!(starts, both, "{name}: {said}");
        assert!(both || said.contains("time_key"), "{name}: {said}");
    }
}

/// Checklist: outputs 4
#[test]
fn a_class_that_is_none_matters_only_where_groups_are_made() {
    let common = "region eu-west-1, log_group_name g, log_stream_name s";
    for (class, create, fine) in [
        ("STANDARD", "on", true),
        ("INFREQUENT_ACCESS", "on", true),
        ("DELIVERY", "on", false),
        ("standard", "on", false),
        ("DELIVERY", "off", true),
    ] {
        let class_setting = format!("log_group_class {class}");
        let create_setting = format!("auto_create_group {create}");
        let (starts, said) = checked(
            "cloudwatch_logs",
            &joined(&[common, &class_setting, &create_setting]),
        );
        assert_eq!(starts, fine, "{class} {create}: {said}");
    }
}

/// Checklist: outputs 6
#[test]
fn keys_and_sizes_that_s3_would_refuse_are_refused_at_the_start() {
    for (setting, named) in [
        ("s3_key_format no-slash", "s3_key_format"),
        ("total_file_size 51G, use_put_object on", "total_file_size"),
        ("total_file_size 500K", "total_file_size"),
        ("upload_chunk_size 5M", "upload_chunk_size"),
        (
            "upload_chunk_size 60M, total_file_size 100M",
            "upload_chunk_size",
        ),
        (
            "upload_chunk_size 20M, total_file_size 30M",
            "upload_chunk_size",
        ),
    ] {
        let (starts, said) = checked("s3", &joined(&["bucket b", setting]));
        assert!(!starts, "{setting} starts: {said}");
        assert!(said.contains(named), "{setting}: {said}");
    }
}
