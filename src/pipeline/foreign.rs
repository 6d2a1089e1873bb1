//! Plugins that Fluent Bit has and this version lacks, so that a user who needs one learns that it
//! is not a misspelling.

use crate::config::SectionKind;

const INPUTS: &str = "blob collectd cpu disk docker docker_events dummy elasticsearch event_type exec \
    exec_wasi fluentbit_logs fluentbit_metrics forward gpu_metrics head health http kafka kmsg \
    kubernetes_events lib mem mqtt netif nginx_metrics node_exporter_metrics opentelemetry \
    podman_metrics proc process_exporter_metrics prometheus_remote_write prometheus_scrape \
    prometheus_textfile random serial splunk statsd stdin syslog systemd tail tcp thermal udp \
    unix_socket winlog winevtlog winstat windows_exporter_metrics";

const FILTERS: &str = "alter_size aws checklist ecs expect geoip2 grep kubernetes log_to_metrics lua \
    modify multiline nest nightfall parser record_modifier rewrite_tag stdout sysinfo tensorflow \
    throttle throttle_size type_converter wasm";

const OUTPUTS: &str = "azure azure_blob azure_kusto azure_logs_ingestion bigquery chronicle cloudwatch \
    cloudwatch_logs counter datadog es exit file firehose flowcounter forward gcs gelf http influxdb \
    kafka kafka-rest kinesis kinesis_firehose kinesis_streams lib logdna loki nats nrlogs null \
    opensearch opentelemetry oracle_log_analytics pgsql plot prometheus_exporter \
    prometheus_remote_write s3 skywalking slack splunk stackdriver stdout syslog tcp td udp \
    vivo_exporter websocket zig_demo";

/// Whether Fluent Bit or its image of AWS has a plugin of this name.
pub(super) fn is_known_elsewhere(kind: SectionKind, plugin: &str) -> bool {
    let names = match kind {
        SectionKind::Input => INPUTS,
        SectionKind::Filter => FILTERS,
        SectionKind::Output => OUTPUTS,
        _ => return false,
    };
    names.split_ascii_whitespace().any(|name| name == plugin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plugin_of_ours_is_one_of_theirs_or_has_our_name() {
        for (kind, names) in [
            (
                SectionKind::Input,
                crate::input::names().collect::<Vec<_>>(),
            ),
            (SectionKind::Filter, crate::filter::names().collect()),
            (SectionKind::Output, crate::output::names().collect()),
        ] {
            for name in names {
                let is_ours = name.starts_with("sluice_");
                assert!(is_ours || is_known_elsewhere(kind, name), "{kind} {name}");
            }
        }
        assert!(!is_known_elsewhere(SectionKind::Input, "forwrd"));
    }
}
