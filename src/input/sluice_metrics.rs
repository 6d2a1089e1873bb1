//! `sluice_metrics`: how each output fares, as events in CloudWatch's embedded metric format: sent by `cloudwatch_logs` with
//! `log_format json/emf`, or written to standard output for the `awslogs` driver, they are metrics to look at and to be woken by.
//!
//! | setting | default | effect |
//! |---|---|---|
//! | `interval_sec` | 60 | the time between two events of an output, 1 to 3600 |
//! | `namespace` | `Sluice` | of the metrics |
//! | `dimension NAME VALUE` | | a dimension beside `Output`, such as the cluster; may be repeated |
//!
//! Counts are of the time since the event before; the last one is made when inputs close, so what is delivered during the end is in
//! the log's closing line only.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};

use super::{Context, Ingest, Input, Phase, reached};
use crate::config::Settings;
use crate::event::{Event, EventTime};
use crate::parser::{Parsers, json as parser};
use crate::telemetry::RouteLedger;

/// CloudWatch keeps a value for each minute.
const INTERVAL: i64 = 60;
const INTERVAL_MAX: i64 = 3600;
/// The dimensions a set may have, but for `Output`.
const DIMENSIONS_MAX: usize = 29;
/// The longest value of a dimension, and the longest name.
const VALUE_MAX: usize = 1024;
const NAME_MAX: usize = 250;

/// The metrics, with their units.
const METRICS: [(&str, &str); 8] = [
    ("RecordsIn", "Count"),
    ("RecordsSent", "Count"),
    ("BytesSent", "Bytes"),
    ("RecordsDropped", "Count"),
    ("RecordsRetried", "Count"),
    ("BatchesRefused", "Count"),
    ("RecordsHeld", "Count"),
    ("OldestRecordAge", "Milliseconds"),
];

struct SluiceMetrics {
    interval: Duration,
    namespace: String,
    dimensions: Vec<(String, String)>,
}

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, _: &Parsers) -> Box<dyn Input> {
    Box::new(read(settings))
}

fn read(settings: &mut Settings<'_>) -> SluiceMetrics {
    let interval = settings.integer_in("interval_sec", 1..=INTERVAL_MAX);
    let mut dimensions: Vec<(String, String)> = Vec::new();
    for ((name, value), place) in settings.pairs("dimension") {
        let is_taken = |known: &str| known == name;
        let reserved = METRICS.iter().map(|(metric, _)| *metric);
        let mistake = if reserved.chain(["Output", "_aws", "Dropped"]).any(is_taken)
            || dimensions.iter().any(|(known, _)| is_taken(known))
        {
            "this name is taken"
        } else if value.is_empty() || value.len() > VALUE_MAX || name.len() > NAME_MAX {
            "a name has at most 250 bytes, a value 1 to 1024"
        } else if dimensions.len() == DIMENSIONS_MAX {
            "there are 29 of them already, and CloudWatch takes no more"
        } else {
            dimensions.push((name, value));
            continue;
        };
        settings.error_at(&place, "dimension", mistake);
    }
    SluiceMetrics {
        interval: Duration::from_secs(interval.unwrap_or(INTERVAL).unsigned_abs()),
        namespace: settings
            .text("namespace")
            .unwrap_or_else(|| "Sluice".to_owned()),
        dimensions,
    }
}

impl Input for SluiceMetrics {
    fn bind(&mut self) -> Result<(), String> {
        Ok(())
    }

    fn run(self: Box<Self>, context: Context) -> BoxFuture<'static, ()> {
        Box::pin(async move { self.tell(&context).await })
    }
}

impl SluiceMetrics {
    async fn tell(&self, context: &Context) {
        let mut ingest = Ingest::open_source(context);
        let mut phase = context.phase.clone();
        let mut before: HashMap<String, Totals> = HashMap::new();
        loop {
            let is_last = tokio::select! {
                () = tokio::time::sleep(self.interval) => false,
                () = reached(&mut phase, Phase::Close) => true,
            };
            let time = EventTime::now();
            let mut records = Vec::new();
            for output in context.requests.outputs() {
                let now = Totals::of(&output);
                let before = before.insert(output.name().to_owned(), now.clone());
                let record = self.record(&output, &now.since(before), time);
                let mut packed = Vec::new();
                // It is our own JSON.
                if parser::to_msgpack(record.to_string().as_bytes(), &mut packed).is_ok() {
                    records.push(packed);
                }
            }
            let permit = tokio::select! {
                biased;
                permit = ingest.permit(records.iter().map(Vec::len).sum()) => permit,
                () = reached(&mut phase, Phase::Close) => return,
            };
            let session = ingest.session();
            session.tag(context.tag.as_bytes());
            for record in &records {
                session.offer(Event {
                    time,
                    metadata: &[],
                    record,
                });
            }
            session.commit().await;
            drop(permit);
            if is_last {
                return;
            }
        }
    }

    /// One event, about one output.
    fn record(&self, output: &RouteLedger, done: &Totals, time: EventTime) -> Value {
        let age = output.state().oldest.map(|oldest| {
            let age = Instant::now().saturating_duration_since(oldest);
            u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
        });
        let dropped = done.dropped.values().sum();
        let values = [
            done.routed,
            done.delivered,
            done.bytes,
            dropped,
            done.retried,
            done.refused,
            output.held(),
            age.unwrap_or(0),
        ];
        let mut record = Map::new();
        let metrics = METRICS.map(|(name, unit)| json!({"Name": name, "Unit": unit}));
        let names = self.dimensions.iter().map(|(name, _)| name.as_str());
        let names: Vec<_> = ["Output"].into_iter().chain(names).collect();
        let directive =
            json!({"Namespace": self.namespace, "Dimensions": [names], "Metrics": metrics});
        record.insert(
            "_aws".to_owned(),
            json!({"Timestamp": time.millis(), "CloudWatchMetrics": [directive]}),
        );
        record.insert("Output".to_owned(), output.name().into());
        for (name, value) in &self.dimensions {
            record.insert(name.clone(), value.as_str().into());
        }
        for ((name, _), value) in METRICS.into_iter().zip(values) {
            record.insert(name.to_owned(), value.into());
        }
        if dropped > 0 {
            // For people and for Logs Insights: as dimensions the reasons would be metrics of their own.
            record.insert("Dropped".to_owned(), json!(done.dropped));
        }
        Value::Object(record)
    }
}

/// What an output has done so far.
#[derive(Debug, Clone, Default, PartialEq)]
struct Totals {
    routed: u64,
    delivered: u64,
    bytes: u64,
    retried: u64,
    refused: u64,
    dropped: HashMap<&'static str, u64>,
}

impl Totals {
    fn of(output: &Arc<RouteLedger>) -> Self {
        let (delivered, bytes) = output.delivered();
        let failures = output.failures();
        Self {
            routed: output.routed(),
            delivered,
            bytes,
            retried: failures.retried_records,
            refused: failures.errors + failures.retries_failed,
            dropped: output
                .dropped()
                .map(|(reason, count)| (reason.label(), count))
                .collect(),
        }
    }

    /// What was done since then.
    fn since(&self, before: Option<Self>) -> Self {
        let before = before.unwrap_or_default();
        let dropped = self.dropped.iter().map(|(reason, count)| {
            let known = before.dropped.get(reason).copied().unwrap_or(0);
            (*reason, count.saturating_sub(known))
        });
        Self {
            routed: self.routed.saturating_sub(before.routed),
            delivered: self.delivered.saturating_sub(before.delivered),
            bytes: self.bytes.saturating_sub(before.bytes),
            retried: self.retried.saturating_sub(before.retried),
            refused: self.refused.saturating_sub(before.refused),
            dropped: dropped.filter(|(_, count)| *count > 0).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::configured;
    use crate::event::DropReason;
    use crate::input::testing::Keeper;
    use crate::msgpack::json::Json;

    fn texts<T, U>(kept: Vec<(T, U, Vec<u8>)>) -> Vec<Value> {
        let text = |(_, _, record): (T, U, Vec<u8>)| {
            let mut text = Vec::new();
            Json::default().value(&record, &mut text);
            serde_json::from_slice(&text).unwrap()
        };
        kept.into_iter().map(text).collect()
    }

    /// Checklist: outputs 45
    #[tokio::test(start_paused = true)]
    async fn each_output_is_told_of_in_the_embedded_metric_format() {
        let properties = [
            ("dimension", "ClusterName c 1"),
            ("namespace", "N"),
            ("interval_sec", "5"),
        ];
        let (metrics, said) = configured(&properties, read);
        assert_eq!(said, [""; 0]);
        let keeper = Keeper::default();
        let (context, phase) = keeper.context(1 << 20);
        let output = Arc::new(RouteLedger::new("sluice-metrics-test"));
        context.requests.show(vec![Arc::clone(&output)]);
        output.route(10);
        output.deliver(6, 600);
        output.drop_events(DropReason::TooOld, 2);
        let running = tokio::spawn(Box::new(metrics).run(context));
        let [record] = &texts(keeper.wait_for(1).await)[..] else {
            panic!("one output");
        };
        let directive = &record["_aws"]["CloudWatchMetrics"][0];
        assert!(record["_aws"]["Timestamp"].as_u64() > Some(1_700_000_000_000));
        assert_eq!(directive["Namespace"], "N");
        assert_eq!(directive["Dimensions"], json!([["Output", "ClusterName"]]));
        // Every name that is referred to is a member of the root, a dimension as text and a metric as a number.
        for name in directive["Dimensions"][0].as_array().unwrap() {
            assert!(record[name.as_str().unwrap()].is_string(), "{name}");
        }
        let units = ["Count", "Bytes", "Milliseconds"];
        for metric in directive["Metrics"].as_array().unwrap() {
            assert!(
                record[metric["Name"].as_str().unwrap()].is_u64(),
                "{metric}"
            );
            assert!(units.contains(&metric["Unit"].as_str().unwrap()));
        }
        assert_eq!(record["ClusterName"], "c 1");
        let numbers = [
            "RecordsIn",
            "RecordsSent",
            "BytesSent",
            "RecordsDropped",
            "RecordsHeld",
        ]
        .map(|name| record[name].as_u64().unwrap());
        assert_eq!(numbers, [10, 6, 600, 2, 2]);
        assert_eq!(record["Dropped"], json!({"too_old": 2}));
        output.deliver(2, 200);
        phase.send_replace(Phase::Close);
        running.await.unwrap();
        let [last] = &texts(keeper.take())[..] else {
            panic!("one more");
        };
        let numbers = ["RecordsIn", "RecordsSent", "RecordsDropped", "RecordsHeld"]
            .map(|name| last[name].as_u64().unwrap());
        assert_eq!(numbers, [0, 2, 0, 0]);
        assert_eq!(last.get("Dropped"), None);
    }

    #[test]
    fn a_dimension_has_a_name_and_a_value_that_the_format_takes() {
        let long = format!("a {}", "x".repeat(VALUE_MAX + 1));
        for wrong in ["RecordsIn 1", "Output x", &long] {
            let (_, said) = configured(&[("dimension", wrong)], read);
            assert_eq!(said.len(), 1, "{wrong}: {said:?}");
        }
        let twice = [("dimension", "a 1"), ("dimension", "a 2")];
        assert_eq!(configured(&twice, read).1.len(), 1);
    }
}
