//! `log_to_metrics`: counts records, or values in them, by their labels.
//!
//! | setting | effect |
//! |---|---|
//! | `Regex KEY PATTERN`, `Exclude KEY PATTERN` | which records count, as in `grep`; repeatable |
//! | `metric_mode` | `counter` (default), `gauge`, `histogram` |
//! | `metric_name`, `metric_namespace`, `metric_subsystem` | joined by `_` they are its name: `a`, `log_metric`, and the mode |
//! | `metric_description` | its `HELP` line; required |
//! | `value_field` | the accessor of the number that a gauge shows or a histogram counts; required for these |
//! | `bucket` | a bound of the histogram; repeatable |
//! | `label_field FIELD`, `add_label NAME FIELD` | a label and the accessor of its value; repeatable |
//! | `kubernetes_mode` | labels of what the filter `kubernetes` has added |
//! | `discard_logs` | drop all records, whether they count or not |
//! | `series_limit` | how many sets of values the labels may have |
//! | `tag`, `flush_interval_*`, `emitter_*` | taken, and without effect: there is no pipeline of metrics |
//!
//! The metric is one of the process, at the HTTP server's `/metrics` from the first record on. A record costs no lock and, when its labels
//! are known, no allocation (`series.rs`). <https://docs.fluentbit.io/manual/pipeline/filters/log_to_metrics>

mod labels;
mod series;
#[cfg(test)]
mod tests;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use metrics::{Counter, Gauge, Histogram};

use super::grep::Rules;
use super::{Filter, Means, Verdict, View};
use crate::accessor::Accessor;
use crate::config::Settings;
use crate::msgpack::read::{self, Value};
use crate::parser::number;
use crate::telemetry::Kind;
use crate::telemetry::registry::registry;

use labels::Labels;
use series::Table;

/// How many series a metric has at most, unless `series_limit` says otherwise. With five labels of common length they
/// take about a megabyte.
const SERIES: i64 = 2_000;
/// The greatest `series_limit`.
const SERIES_MAX: i64 = 100_000;
/// The bounds that Fluent Bit takes where none is given.
const BOUNDS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// What the names of our own metrics begin with.
const OWN: [&str; 2] = ["sluice_", "fluentbit_"];

/// Where the values of one series go.
enum Cell {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(Histogram),
}

struct LogToMetrics {
    rules: Rules,
    kind: Kind,
    name: String,
    help: String,
    bounds: Vec<f64>,
    /// Where the number is; only for counters there may be none.
    value: Option<Accessor>,
    labels: Labels,
    discard: bool,
    series: Table<Cell>,
    skipped: OnceLock<Skipped>,
}

/// Records that did not count, by reason.
struct Skipped {
    no_number: Reason,
    too_many: Reason,
}

struct Reason {
    counter: Counter,
    is_said: AtomicBool,
}

impl Reason {
    fn new(metric: &str, reason: &'static str) -> Self {
        Self {
            counter: metrics::counter!("sluice_log_metrics_skipped_total", "metric" => metric.to_owned(), "reason" => reason),
            is_said: AtomicBool::new(false),
        }
    }

    /// Counts one; gives whether it is the first, which is worth a line.
    fn count(&self) -> bool {
        self.counter.increment(1);
        !self.is_said.swap(true, Ordering::Relaxed)
    }
}

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, _: Means<'_>) -> Box<dyn Filter> {
    let mode = settings.choice("metric_mode", &["counter", "gauge", "histogram"]);
    let mode = mode.unwrap_or("counter");
    let kind = match mode {
        "gauge" => Kind::Gauge,
        "histogram" => Kind::Histogram,
        _ => Kind::Counter,
    };
    settings.accept(&[
        "tag",
        "emitter_name",
        "emitter_mem_buf_limit",
        "flush_interval_sec",
        "flush_interval_nsec",
    ]);
    let limit = settings.integer_in("series_limit", 1..=SERIES_MAX);
    Box::new(LogToMetrics {
        rules: Rules::read(settings),
        kind,
        name: name(settings, mode),
        help: settings.required("metric_description").unwrap_or_default(),
        bounds: bounds(settings),
        value: value_field(settings, kind),
        labels: Labels::read(settings),
        discard: settings.flag("discard_logs", false),
        series: Table::new(usize::try_from(limit.unwrap_or(SERIES)).unwrap_or(1)),
        skipped: OnceLock::new(),
    })
}

/// The metric's name, in the letters that Prometheus takes.
fn name(settings: &mut Settings<'_>, mode: &str) -> String {
    let namespace = settings.text("metric_namespace");
    let subsystem = settings.text("metric_subsystem");
    let name = settings.text("metric_name");
    let name = format!(
        "{}_{}_{}",
        namespace.as_deref().unwrap_or("log_metric"),
        subsystem.as_deref().unwrap_or(mode),
        name.as_deref().unwrap_or("a")
    );
    let is_other = |c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':';
    let mut name = name.replace(is_other, "_");
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, '_');
    }
    if OWN.iter().any(|own| name.starts_with(own)) {
        let message = format!("`{name}` begins like a metric of our own; take another namespace");
        settings.error("metric_namespace", message);
    }
    name
}

fn bounds(settings: &mut Settings<'_>) -> Vec<f64> {
    let mut bounds = Vec::new();
    for (text, place) in settings.all("bucket") {
        match text.parse() {
            Ok(bound) if f64::is_finite(bound) => bounds.push(bound),
            _ => settings.error_at(&place, "bucket", format!("`{text}` is no number")),
        }
    }
    bounds.sort_by(f64::total_cmp);
    bounds.dedup();
    if bounds.is_empty() {
        bounds.extend(BOUNDS);
    }
    bounds
}

fn value_field(settings: &mut Settings<'_>, kind: Kind) -> Option<Accessor> {
    let field = settings.text("value_field");
    if kind == Kind::Counter {
        return None;
    }
    let Some(field) = field else {
        settings.required("value_field");
        return None;
    };
    let field = Accessor::new(&field);
    field
        .map_err(|error| settings.error("value_field", error.to_string()))
        .ok()
}

impl Filter for LogToMetrics {
    fn apply(&self, record: &mut View<'_>) -> Verdict {
        if self.rules.keep(record) {
            self.count(record);
        }
        if self.discard {
            Verdict::Drop
        } else {
            Verdict::Keep
        }
    }
}

impl LogToMetrics {
    fn count(&self, record: &mut View<'_>) {
        let skipped = self.skipped.get_or_init(|| self.declare());
        let Some(value) = self.value_of(record) else {
            if skipped.no_number.count() {
                crate::warning!(
                    "filter:log_to_metrics",
                    "a record has no number for {}; such records pass and do not count",
                    self.name
                );
            }
            return;
        };
        let mut room = record.lend();
        self.labels.write(record, &mut room);
        match self.series.find(&room, || self.cell(&room)) {
            Some(series) => series.cell.note(value),
            None if skipped.too_many.count() => crate::warning!(
                "filter:log_to_metrics",
                "the labels of {} have more values than series_limit allows; records with others pass and do not count",
                self.name
            ),
            None => {}
        }
        record.give_back(room);
    }

    /// Makes the metric known. Not before the first record, since a section that is only checked must leave no trace.
    fn declare(&self) -> Skipped {
        let bounds: &[f64] = match self.kind {
            Kind::Histogram => &self.bounds,
            _ => &[],
        };
        registry().declare(&self.name, self.kind, &self.help, bounds);
        Skipped {
            no_number: Reason::new(&self.name, "no_number"),
            too_many: Reason::new(&self.name, "series_limit"),
        }
    }

    /// What a record adds: a counter 1, others the number it holds.
    fn value_of(&self, record: &View<'_>) -> Option<f64> {
        if self.kind == Kind::Counter {
            return Some(1.0);
        }
        let value = record.find(self.value.as_ref()?)?;
        let number = match read::value(value).ok()?.1 {
            Value::Str(text) => number::float(text)?,
            Value::Unsigned(number) => number as f64,
            Value::Signed(number) => number as f64,
            Value::Float(number) => number,
            _ => return None,
        };
        // One value that is no number would make the sum none for ever.
        number.is_finite().then_some(number)
    }

    fn cell(&self, labels: &[u8]) -> Cell {
        let name = self.name.clone();
        let labels = self.labels.pairs(labels);
        match self.kind {
            Kind::Counter => Cell::Counter(metrics::counter!(name, &labels)),
            Kind::Gauge => Cell::Gauge(metrics::gauge!(name, &labels)),
            Kind::Histogram => Cell::Histogram(metrics::histogram!(name, &labels)),
        }
    }
}

impl Cell {
    fn note(&self, value: f64) {
        match self {
            Self::Counter(counter) => counter.increment(1),
            Self::Gauge(gauge) => gauge.set(value),
            Self::Histogram(histogram) => histogram.record(value),
        }
    }
}
