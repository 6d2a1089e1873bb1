//! What one measurement yields, joined from what router, load and sink show.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::stats::{approx, ratio, round};

/// What came out. Fields that cannot be measured are `None`.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Measurement {
    /// Forward bytes per second, from the first write to the last arrival.
    pub(super) mb_per_second: Option<f64>,
    /// CPU seconds per gigabyte of forward wire bytes.
    pub(super) cpu_seconds_per_gb: Option<f64>,
    /// The same as a multiple of the floor's in the same turn.
    pub(super) times_floor: Option<f64>,
    pub(super) records_per_cpu_second: Option<f64>,
    /// Bytes of request bodies, as they are on the wire, for each record.
    pub(super) body_bytes_per_record: Option<f64>,
    pub(super) idle_rss_bytes: Option<u64>,
    pub(super) peak_rss_bytes: Option<u64>,
    pub(super) start_ms: f64,
    pub(super) p50_ms: Option<f64>,
    pub(super) p99_ms: Option<f64>,
    /// Records that `write` accepted and that did not arrive, also not while the router stopped.
    pub(super) lost: u64,
    pub(super) duplicates: u64,
    pub(super) out_of_order: u64,
    pub(super) violations: u64,
    pub(super) records: u64,
    pub(super) wire_bytes: u64,
    pub(super) seconds: Option<f64>,
    /// From before the load to the last arrival; unknown of a router that ended before.
    pub(super) cpu_seconds: Option<f64>,
    /// `None` when it was ended by a signal.
    pub(super) exit_code: Option<i32>,
    /// From SIGTERM to the end; `None` when it ended before or had to be killed.
    pub(super) stop_seconds: Option<f64>,
    pub(super) oom_kills: Option<u64>,
    pub(super) load: Value,
    pub(super) sink: Value,
}

/// What was seen of the router from outside.
pub(super) struct Facts {
    pub(super) start: Duration,
    pub(super) idle_rss_bytes: Option<u64>,
    pub(super) peak_rss_bytes: Option<u64>,
    pub(super) cpu_seconds: Option<f64>,
    pub(super) exit_code: Option<i32>,
    pub(super) stop_seconds: Option<f64>,
}

impl Facts {
    /// Joins it with what load and sink have counted.
    pub(super) fn measurement(
        self,
        load: Value,
        sink: Value,
        oom_kills: Option<u64>,
        is_floor: bool,
    ) -> Measurement {
        let (records, wire_bytes) = (number(&load, "records"), number(&load, "wire_bytes"));
        let arrived = sink.get("last_arrival_ns").and_then(Value::as_u64);
        let nanos = arrived.and_then(|last| last.checked_sub(number(&load, "started_ns")));
        let seconds = nanos.map(|nanos| approx(nanos) / 1e9);
        let latency = |name: &str| sink.get("latency")?.get(name)?.as_f64();
        Measurement {
            mb_per_second: seconds.map(|seconds| round(ratio(approx(wire_bytes) / 1e6, seconds))),
            cpu_seconds_per_gb: self
                .cpu_seconds
                .map(|cpu| round(ratio(cpu, approx(wire_bytes) / 1e9))),
            times_floor: None,
            records_per_cpu_second: self
                .cpu_seconds
                .map(|cpu| ratio(approx(records), cpu).round()),
            body_bytes_per_record: (records > 0)
                .then(|| round(ratio(approx(number(&sink, "body_bytes")), approx(records)))),
            idle_rss_bytes: self.idle_rss_bytes,
            peak_rss_bytes: self.peak_rss_bytes,
            start_ms: round(self.start.as_secs_f64() * 1000.0),
            p50_ms: latency("p50_ms"),
            p99_ms: latency("p99_ms"),
            lost: if is_floor {
                0
            } else {
                number(&sink, "missing")
            },
            duplicates: number(&sink, "duplicates"),
            out_of_order: number(&sink, "out_of_order"),
            violations: sink
                .get("violations")
                .map_or(0, |violations| number(violations, "count")),
            records,
            wire_bytes,
            seconds: seconds.map(round),
            cpu_seconds: self.cpu_seconds.map(round),
            exit_code: self.exit_code,
            stop_seconds: self.stop_seconds,
            oom_kills,
            load,
            sink,
        }
    }
}

/// A counter of a report; 0 when it is not there.
pub(crate) fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or(0)
}
