//! What Fluent Bit's endpoints say, in its shapes and under its names, which dashboards and alarms hold.

use std::time::{Duration, UNIX_EPOCH};

use serde::{Serialize, Serializer};

use super::text::Stamped;
use crate::event::DropReason;
use crate::telemetry::board::{Board, HealthRule, Holding, Plugins, View};
use crate::telemetry::family::{Family, Kind, Value};
use crate::telemetry::ledger::Filtered;
use crate::telemetry::log::{self, Level};
use crate::telemetry::registry::registry;

const VERSION: &str = env!("CARGO_PKG_VERSION");
const EDITION: &str = "Sluice";

/// `GET /`.
#[derive(Debug, Serialize)]
pub(super) struct Root {
    #[serde(rename = "fluent-bit")]
    build: Build,
}

#[derive(Debug, Serialize)]
struct Build {
    version: &'static str,
    edition: &'static str,
    flags: [&'static str; 0],
}

pub(super) fn root() -> Root {
    Root {
        build: Build {
            version: VERSION,
            edition: EDITION,
            flags: [],
        },
    }
}

/// `GET /api/v1/uptime`.
#[derive(Debug, Serialize)]
pub(super) struct Uptime {
    uptime_sec: u64,
    uptime_hr: String,
}

pub(super) fn uptime(uptime: Duration) -> Uptime {
    let seconds = uptime.as_secs();
    let unit = |number: u64, unit: &str| {
        let plural = if number > 1 { "s" } else { "" };
        format!("{number} {unit}{plural}")
    };
    Uptime {
        uptime_sec: seconds,
        uptime_hr: format!(
            "Fluent Bit has been running:  {}, {}, {} and {}",
            unit(seconds / 86_400, "day"),
            unit(seconds / 3600 % 24, "hour"),
            unit(seconds / 60 % 60, "minute"),
            unit(seconds % 60, "second")
        ),
    }
}

/// An object whose keys stay in their order. Of keys that occur twice (aliases may), the last value counts.
#[derive(Debug)]
pub(super) struct Object<T>(Vec<(String, T)>);

impl<T> Object<T> {
    fn of(pairs: impl Iterator<Item = (String, T)>) -> Self {
        let mut object: Vec<(String, T)> = Vec::new();
        for (key, value) in pairs {
            match object.iter_mut().find(|(known, _)| *known == key) {
                Some((_, old)) => *old = value,
                None => object.push((key, value)),
            }
        }
        Self(object)
    }
}

impl<T: Serialize> Serialize for Object<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

/// `GET /api/v1/metrics`.
#[derive(Debug, Serialize)]
pub(super) struct Metrics {
    input: Object<InputMetrics>,
    filter: Object<FilterMetrics>,
    output: Object<OutputMetrics>,
}

#[derive(Debug, Serialize)]
struct InputMetrics {
    records: u64,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct FilterMetrics {
    drop_records: u64,
    add_records: u64,
    records: u64,
    bytes: u64,
    drop_bytes: u64,
}

#[derive(Debug, Serialize)]
struct OutputMetrics {
    proc_records: u64,
    proc_bytes: u64,
    errors: u64,
    retries: u64,
    retries_failed: u64,
    dropped_records: u64,
    retried_records: u64,
}

pub(super) fn metrics(view: &View) -> Metrics {
    let input = view.inputs.iter().map(|input| {
        let (records, bytes) = input.ledger.accepted();
        (
            input.ledger.name().to_owned(),
            InputMetrics { records, bytes },
        )
    });
    let filter = view.filters.iter().map(|filter| {
        let Filtered {
            records,
            bytes,
            drop_records,
            drop_bytes,
            add_records,
            bare_records: _,
        } = filter.ledger.done();
        let metrics = FilterMetrics {
            drop_records,
            add_records,
            records,
            bytes,
            drop_bytes,
        };
        (filter.ledger.name().to_owned(), metrics)
    });
    let output = view.outputs.iter().map(|output| {
        let (proc_records, proc_bytes) = output.ledger.delivered();
        let failures = output.ledger.failures();
        let metrics = OutputMetrics {
            proc_records,
            proc_bytes,
            errors: failures.errors,
            retries: failures.retries,
            retries_failed: failures.retries_failed,
            // What processors drop, as they were told to, is no loss.
            dropped_records: (output.ledger.dropped())
                .filter(|(reason, _)| *reason != DropReason::Filtered)
                .map(|(_, count)| count)
                .sum(),
            retried_records: failures.retried_records,
        };
        (output.ledger.name().to_owned(), metrics)
    });
    Metrics {
        input: Object::of(input),
        filter: Object::of(filter),
        output: Object::of(output),
    }
}

/// `GET /api/v1/storage`. A batch is what Fluent Bit calls a chunk.
#[derive(Debug, Serialize)]
pub(super) struct Storage {
    storage_layer: StorageLayer,
    input_chunks: Object<InputChunks>,
}

#[derive(Debug, Serialize)]
struct StorageLayer {
    chunks: LayerChunks,
}

#[derive(Debug, Serialize)]
struct LayerChunks {
    total_chunks: u64,
    mem_chunks: u64,
    fs_chunks: u64,
    fs_chunks_up: u64,
    fs_chunks_down: u64,
}

#[derive(Debug, Serialize)]
struct InputChunks {
    status: InputStatus,
    chunks: Chunks,
}

#[derive(Debug, Serialize)]
struct InputStatus {
    overlimit: bool,
    mem_size: String,
    mem_limit: String,
}

#[derive(Debug, Serialize)]
struct Chunks {
    total: u64,
    up: u64,
    down: u64,
    busy: u64,
    busy_size: String,
}

pub(super) fn storage(view: &View) -> Storage {
    let held: Vec<(String, Holding)> = view
        .inputs
        .iter()
        .map(|input| (input.ledger.name().to_owned(), (input.holding)()))
        .collect();
    let batches = |on_disk: bool| -> u64 {
        let kept = held
            .iter()
            .filter(|(_, holding)| holding.on_disk == on_disk);
        kept.map(|(_, holding)| holding.batches).sum()
    };
    let (mem_chunks, fs_chunks_up) = (batches(false), batches(true));
    // What lies on disk is owed to outputs; of which inputs it came, nobody counts.
    let fs_chunks_down = view.on_disk.as_ref().map_or(0, |ask| ask().batches);
    let fs_chunks = fs_chunks_up + fs_chunks_down;
    let input_chunks = held.into_iter().map(|(name, holding)| {
        let status = InputStatus {
            overlimit: holding.paused,
            mem_size: size(holding.bytes),
            mem_limit: size(holding.limit),
        };
        let chunks = Chunks {
            total: holding.batches,
            up: holding.batches,
            down: 0,
            busy: holding.sealed.0,
            busy_size: size(holding.sealed.1),
        };
        (name, InputChunks { status, chunks })
    });
    Storage {
        storage_layer: StorageLayer {
            chunks: LayerChunks {
                total_chunks: mem_chunks + fs_chunks,
                mem_chunks,
                fs_chunks,
                fs_chunks_up,
                fs_chunks_down,
            },
        },
        input_chunks: Object::of(input_chunks),
    }
}

/// Sizes for people, as Fluent Bit writes them: `28b`, `1.5K`, `95.4M`.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["K", "M", "G", "T", "P", "E"];
    if bytes < 1024 {
        return format!("{bytes}b");
    }
    let mut number = bytes as f64 / 1024.0;
    let mut unit = "K";
    for next in UNITS.into_iter().skip(1) {
        if number < 1024.0 {
            break;
        }
        number /= 1024.0;
        unit = next;
    }
    format!("{number:.1}{unit}")
}

/// `GET /api/v1/plugins`.
#[derive(Debug, Serialize)]
pub(super) struct PluginList<'v> {
    plugins: &'v Plugins,
}

pub(super) fn plugins(view: &View) -> PluginList<'_> {
    PluginList {
        plugins: &view.plugins,
    }
}

/// `GET /api/v2/reload`.
#[derive(Debug, Serialize)]
pub(super) struct ReloadCount {
    pub(super) hot_reload_count: u64,
}

/// `GET /api/v2/health`, and what `/api/v1/health` goes by.
#[derive(Debug, Serialize)]
pub(super) struct Health {
    status: &'static str,
    errors: u64,
    retries_failed: u64,
    error_limit: u64,
    retry_failure_limit: u64,
    period_limit: u64,
}

impl Health {
    pub(super) fn is_ok(&self) -> bool {
        self.status == "ok"
    }
}

pub(super) fn health(board: &Board) -> Health {
    // What Fluent Bit shows without `Health_Check`; nothing is judged then.
    const OFF: HealthRule = HealthRule {
        errors: 0,
        retries_failed: 0,
        period: 5,
    };
    let rule = board.view().health;
    let (errors, retries_failed) = board.recent_failures();
    let is_bad =
        rule.is_some_and(|rule| errors > rule.errors || retries_failed > rule.retries_failed);
    let shown = rule.unwrap_or(OFF);
    Health {
        status: if is_bad { "error" } else { "ok" },
        errors,
        retries_failed,
        error_limit: shown.errors,
        retry_failure_limit: shown.retries_failed,
        period_limit: shown.period,
    }
}

fn counter(name: &str, help: &str) -> Family {
    Family::new(format!("fluentbit_{name}"), Kind::Counter, help)
}

fn gauge(name: &str, help: &str) -> Family {
    Family::new(format!("fluentbit_{name}"), Kind::Gauge, help)
}

type Column<T> = (&'static str, &'static str, fn(&T) -> u64);

/// A family for each column, with a series for each row.
fn table<T>(columns: &[Column<T>], rows: &[(String, T)]) -> impl Iterator<Item = Family> {
    columns.iter().map(move |(name, help, value)| {
        let mut family = counter(name, help);
        for (instance, row) in rows {
            family.add(&[("name", instance)], Value::Count(value(row)));
        }
        family
    })
}

const INPUT: &[Column<InputMetrics>] = &[
    ("input_bytes_total", "Number of input bytes.", |row| {
        row.bytes
    }),
    ("input_records_total", "Number of input records.", |row| {
        row.records
    }),
];

const FILTER: &[Column<FilterMetrics>] = &[
    (
        "filter_records_total",
        "Total number of new records processed.",
        |row| row.records,
    ),
    (
        "filter_bytes_total",
        "Total number of new bytes processed.",
        |row| row.bytes,
    ),
    (
        "filter_add_records_total",
        "Total number of new added records.",
        |row| row.add_records,
    ),
    (
        "filter_drop_records_total",
        "Total number of dropped records.",
        |row| row.drop_records,
    ),
    (
        "filter_drop_bytes_total",
        "Total number of dropped bytes.",
        |row| row.drop_bytes,
    ),
];

const OUTPUT: &[Column<OutputMetrics>] = &[
    (
        "output_proc_records_total",
        "Number of processed output records.",
        |row| row.proc_records,
    ),
    (
        "output_proc_bytes_total",
        "Number of processed output bytes.",
        |row| row.proc_bytes,
    ),
    ("output_errors_total", "Number of output errors.", |row| {
        row.errors
    }),
    ("output_retries_total", "Number of output retries.", |row| {
        row.retries
    }),
    (
        "output_retries_failed_total",
        "Number of abandoned batches because the maximum number of re-tries was reached.",
        |row| row.retries_failed,
    ),
    (
        "output_dropped_records_total",
        "Number of dropped records.",
        |row| row.dropped_records,
    ),
    (
        "output_retried_records_total",
        "Number of retried records.",
        |row| row.retried_records,
    ),
];

/// `GET /api/v1/metrics/prometheus`: sorted by name, the plugins' with their time.
pub(super) fn v1(board: &Board) -> Vec<Stamped> {
    let millis = jiff::Timestamp::now().as_millisecond();
    let metrics = metrics(&board.view());
    let mut filters: Vec<_> = table(FILTER, &metrics.filter.0).collect();
    for family in &mut filters {
        "Fluentbit metrics.".clone_into(&mut family.help);
    }
    let mut plugins: Vec<_> = filters
        .into_iter()
        .chain(table(INPUT, &metrics.input.0))
        .chain(table(OUTPUT, &metrics.output.0))
        .filter(|family| !family.samples.is_empty())
        .collect();
    plugins.sort_by(|a, b| a.name.cmp(&b.name));
    let started = Family::new("process_start_time_seconds", Kind::Gauge, START_HELP);
    let build = gauge("build_info", BUILD_HELP);
    let build_labels = [("version", VERSION), ("edition", EDITION)];
    let process = [
        counter("uptime", UPTIME_HELP).with(&[], Value::Count(board.uptime().as_secs())),
        started.with(&[], Value::Count(start_seconds(board))),
        build.with(&build_labels, Value::Count(1)),
    ];
    let plugins = plugins
        .into_iter()
        .map(|family| Stamped::at(family, millis));
    plugins
        .chain(process.into_iter().map(Stamped::without))
        .collect()
}

const UPTIME_HELP: &str = "Number of seconds that Fluent Bit has been running.";
const START_HELP: &str = "Start time of the process since unix epoch in seconds.";
const BUILD_HELP: &str = "Build version information.";

fn start_seconds(board: &Board) -> u64 {
    let since = board.started_at().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

/// `GET /api/v2/metrics`: counters, gauges, histograms.
pub(super) fn v2(board: &Board) -> Vec<Family> {
    let view = board.view();
    let metrics = metrics(&view);
    let mut families = process_counters(board);
    families.extend(routing(&view));
    families.extend(table(INPUT, &metrics.input.0));
    families.extend(table(FILTER, &metrics.filter.0));
    families.extend(table(OUTPUT, &metrics.output.0));
    families.extend(process_gauges(board));
    families.extend(storage_gauges(&view));
    families.extend(input_gauges(board, &view));
    families.push(capacity(&view));
    families.extend(latency());
    families.retain(|family| !family.samples.is_empty());
    families
}

fn process_counters(board: &Board) -> Vec<Family> {
    let host = [("hostname", board.hostname())];
    let mut logs = counter("logger_logs_total", "Total number of logs");
    let mut written = 0;
    for level in Level::OF_LINES {
        written += log::lines(level);
        let labels = [("message_type", level.name())];
        logs.add(&labels, Value::Count(log::lines(level)));
    }
    let queue = |what: &str, help: &str, count| {
        counter(&format!("logger_queue_{what}_total"), help).with(&[], Value::Count(count))
    };
    let reloads = counter(
        "hot_reloaded_times",
        "Collect the count of hot reloaded times.",
    );
    vec![
        counter("uptime", UPTIME_HELP).with(&host, Value::Count(board.uptime().as_secs())),
        reloads.with(&host, Value::Count(board.reload().count())),
        logs,
        queue("enqueued", "Total number of logger queue enqueues", written),
        queue("dropped", "Total number of logger queue drops", 0),
        queue(
            "drained",
            "Total number of logger queue records drained",
            written,
        ),
    ]
}

/// What went from which input to which output. The counters are kept under our names.
fn routing(view: &View) -> Vec<Family> {
    let renamed = |ours: &str, name: &str, help: &str| {
        let known = registry().families(ours).into_iter().next();
        let samples = known.filter(|family| family.name == ours);
        Family {
            samples: samples.map(|family| family.samples).unwrap_or_default(),
            ..counter(name, help)
        }
    };
    let mut records = counter(
        "routing_logs_drop_records_total",
        "Total log records dropped on their way from input to output",
    );
    let mut bytes = counter(
        "routing_logs_drop_bytes_total",
        "Total bytes dropped on their way from input to output (logs)",
    );
    for input in &view.inputs {
        let labels = [("input", input.ledger.name()), ("output", "unmatched")];
        let unrouted = input.ledger.unrouted();
        if unrouted.0 > 0 {
            records.add(&labels, Value::Count(unrouted.0));
            bytes.add(&labels, Value::Count(unrouted.1));
        }
    }
    vec![
        renamed(
            "sluice_routed_records_total",
            "routing_logs_records_total",
            "Total log records routed from input to output",
        ),
        renamed(
            "sluice_routed_bytes_total",
            "routing_logs_bytes_total",
            "Total bytes routed from input to output (logs)",
        ),
        records,
        bytes,
    ]
}

fn process_gauges(board: &Board) -> [Family; 2] {
    let host = ("hostname", board.hostname());
    let started = Value::Count(start_seconds(board));
    let labels = [host, ("version", VERSION), ("os", std::env::consts::OS)];
    [
        gauge("process_start_time_seconds", START_HELP).with(&[host], started.clone()),
        gauge("build_info", BUILD_HELP).with(&labels, started),
    ]
}

fn storage_gauges(view: &View) -> Vec<Family> {
    if !view.storage_metrics {
        return Vec::new();
    }
    let LayerChunks {
        total_chunks,
        mem_chunks,
        fs_chunks,
        fs_chunks_up,
        fs_chunks_down,
    } = storage(view).storage_layer.chunks;
    let rows = [
        ("chunks", "chunks in the storage layer.", total_chunks),
        ("mem_chunks", "memory chunks.", mem_chunks),
        ("fs_chunks", "filesystem chunks.", fs_chunks),
        ("fs_chunks_up", "filesystem chunks in memory.", fs_chunks_up),
        (
            "fs_chunks_down",
            "filesystem chunks out of memory.",
            fs_chunks_down,
        ),
    ];
    rows.into_iter()
        .map(|(name, what, count)| {
            gauge(
                &format!("storage_{name}"),
                &format!("Total number of {what}"),
            )
            .with(&[], Value::Count(count))
        })
        .collect()
}

fn input_gauges(board: &Board, view: &View) -> Vec<Family> {
    type Row = (&'static str, &'static str, fn(&Holding) -> u64);
    const ROWS: &[Row] = &[
        ("ingestion_paused", "Is the input paused or not?", |held| {
            held.paused.into()
        }),
        (
            "storage_overlimit",
            "Is the input memory usage overlimit ?.",
            |held| held.paused.into(),
        ),
        (
            "storage_memory_bytes",
            "Memory bytes used by the chunks.",
            |held| held.bytes,
        ),
        ("storage_chunks", "Total number of chunks.", |held| {
            held.batches
        }),
        (
            "storage_chunks_up",
            "Total number of chunks up in memory.",
            |held| held.batches,
        ),
        ("storage_chunks_down", "Total number of chunks down.", |_| 0),
        (
            "storage_chunks_busy",
            "Total number of chunks in a busy state.",
            |held| held.sealed.0,
        ),
        (
            "storage_chunks_busy_bytes",
            "Total number of bytes used by chunks in a busy state.",
            |held| held.sealed.1,
        ),
    ];
    let held: Vec<_> = view
        .inputs
        .iter()
        .map(|input| (input.ledger.name(), (input.holding)()))
        .collect();
    let mut families = input_rates(board, view);
    for (name, help, value) in ROWS {
        let mut family = gauge(&format!("input_{name}"), help);
        for (input, holding) in &held {
            family.add(&[("name", input)], Value::Count(value(holding)));
        }
        families.push(family);
    }
    families
}

fn input_rates(board: &Board, view: &View) -> Vec<Family> {
    let mut bytes = gauge("input_rate_bytes", "Current input bytes per second.");
    let mut records = gauge("input_rate_records", "Current input records per second.");
    for (input, rate) in view.inputs.iter().zip(board.rates().inputs) {
        let labels = [("name", input.ledger.name())];
        bytes.add(&labels, Value::Number(rate.bytes));
        records.add(&labels, Value::Number(rate.records));
    }
    vec![bytes, records]
}

fn capacity(view: &View) -> Family {
    let mut family = gauge(
        "output_chunk_available_capacity_percent",
        "Available chunk capacity (percent)",
    );
    let limit = view.memory_limit.max(1);
    let free = limit.saturating_sub((view.memory_used)());
    for output in &view.outputs {
        let labels = [("name", output.ledger.name())];
        family.add(&labels, Value::Number(100.0 * free as f64 / limit as f64));
    }
    family
}

fn latency() -> Option<Family> {
    let family = registry().families("sluice_output_latency_seconds").pop()?;
    Some(Family {
        name: "fluentbit_output_latency_seconds".to_owned(),
        help: "End-to-end latency in seconds".to_owned(),
        ..family
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_the_uptime_are_plural_above_one() {
        let text = |seconds| uptime(Duration::from_secs(seconds)).uptime_hr;
        assert_eq!(
            text(8),
            "Fluent Bit has been running:  0 day, 0 hour, 0 minute and 8 seconds"
        );
        assert_eq!(
            text(2 * 86_400 + 3600 + 121),
            "Fluent Bit has been running:  2 days, 1 hour, 2 minutes and 1 second"
        );
    }

    #[test]
    fn sizes_are_written_for_people() {
        let sizes = [0, 28, 1023, 1024, 1536, 50_000_000, 100_000_000, 1 << 40];
        let texts: Vec<_> = sizes.into_iter().map(size).collect();
        assert_eq!(
            texts,
            [
                "0b", "28b", "1023b", "1.0K", "1.5K", "47.7M", "95.4M", "1.0T"
            ]
        );
    }

    #[test]
    fn of_two_instances_with_one_alias_the_last_is_shown_once() {
        let pairs = [("a", 1), ("b", 2), ("a", 3)];
        let object = Object::of(
            pairs
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value)),
        );
        assert_eq!(serde_json::to_string(&object).unwrap(), "{\"a\":3,\"b\":2}");
    }
}
