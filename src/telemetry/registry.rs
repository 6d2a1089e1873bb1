//! The metrics of the process: a [`metrics::Recorder`] whose values can be read back, as text or as families.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

use super::family::{Family, Kind, Labels, Sample, Value};
use super::histogram::Buckets;

/// Every metric under its name, and there under its labels.
#[derive(Debug, Default)]
pub struct Registry {
    metrics: Mutex<BTreeMap<String, BTreeMap<Labels, Cell>>>,
    help: Mutex<BTreeMap<String, String>>,
    /// The bounds of histograms that do not have the usual ones.
    bounds: Mutex<BTreeMap<String, Arc<[f64]>>>,
}

#[derive(Debug, Clone)]
enum Cell {
    Counter(Arc<AtomicU64>),
    /// The bits of an `f64`.
    Gauge(Arc<AtomicU64>),
    Histogram(Arc<Buckets>),
}

impl Cell {
    fn kind(&self) -> Kind {
        match self {
            Self::Counter(_) => Kind::Counter,
            Self::Gauge(_) => Kind::Gauge,
            Self::Histogram(_) => Kind::Histogram,
        }
    }

    fn value(&self) -> Value {
        match self {
            Self::Counter(count) => Value::Count(count.load(Ordering::Relaxed)),
            Self::Gauge(bits) => Value::Number(f64::from_bits(bits.load(Ordering::Relaxed))),
            Self::Histogram(buckets) => Value::Spread(buckets.spread()),
        }
    }
}

/// The registry of this process; the first call installs it behind the `metrics` macros.
pub fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    static INSTALLED: OnceLock<()> = OnceLock::new();
    let registry = REGISTRY.get_or_init(Registry::default);
    // In a process that embeds Sluice somebody else's recorder may be there already; then only ours is read here.
    INSTALLED.get_or_init(|| drop(metrics::set_global_recorder(registry)));
    registry
}

impl Registry {
    /// The counter under this name and these labels, made at the first call.
    pub fn count(&self, name: &str, labels: &[(&str, &str)]) -> Arc<AtomicU64> {
        match self.cell(name, labels, || Cell::Counter(Arc::default())) {
            Cell::Counter(count) => count,
            // Two metrics of one name and different kinds: a mistake in the program, which must not end it.
            _ => Arc::default(),
        }
    }

    /// The histogram under this name and these labels, made at the first call.
    pub(super) fn buckets(&self, name: &str, labels: &[(&str, &str)]) -> Arc<Buckets> {
        let bounds = lock(&self.bounds).get(name).cloned();
        let make = || Cell::Histogram(Arc::new(bounds.map_or_else(Buckets::default, Buckets::new)));
        match self.cell(name, labels, make) {
            Cell::Histogram(buckets) => buckets,
            _ => Arc::default(),
        }
    }

    /// Says what a metric is that the user has thought of: its kind, what it shows, and for a histogram its bounds, which
    /// must rise. If it was another kind or had other bounds until now, its series begin anew.
    pub fn declare(&self, name: &str, kind: Kind, help: &str, bounds: &[f64]) {
        let bounds: Arc<[f64]> = bounds.into();
        let before = lock(&self.bounds).insert(name.to_owned(), Arc::clone(&bounds));
        let has_other_bounds = before.is_some_and(|before| before != bounds);
        let mut metrics = lock(&self.metrics);
        let series = metrics.get(name).and_then(|series| series.values().next());
        if series.is_some_and(|cell| cell.kind() != kind || has_other_bounds) {
            metrics.remove(name);
        }
        drop(metrics);
        lock(&self.help).insert(name.to_owned(), help.to_owned());
    }

    fn cell(&self, name: &str, labels: &[(&str, &str)], make: impl FnOnce() -> Cell) -> Cell {
        let mut metrics = lock(&self.metrics);
        if !metrics.contains_key(name) {
            metrics.insert(name.to_owned(), BTreeMap::new());
        }
        let Some(series) = metrics.get_mut(name) else {
            return make();
        };
        series
            .entry(Labels::new(labels))
            .or_insert_with(make)
            .clone()
    }

    /// All counters, a line each, in the text format of Prometheus.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (name, series) in lock(&self.metrics).iter() {
            for (labels, cell) in series {
                if let Value::Count(count) = cell.value() {
                    let _infallible = writeln!(text, "{name}{labels} {count}");
                }
            }
        }
        text
    }

    /// Every metric whose name begins so, sorted by name.
    pub fn families(&self, prefix: &str) -> Vec<Family> {
        let help = lock(&self.help);
        let metrics = lock(&self.metrics);
        let wanted = metrics.range(prefix.to_owned()..);
        let wanted = wanted.take_while(|(name, _)| name.starts_with(prefix));
        wanted
            .filter_map(|(name, series)| {
                let kind = series.values().next()?.kind();
                let samples = series.iter().map(|(labels, cell)| Sample {
                    labels: labels.clone(),
                    value: cell.value(),
                });
                Some(Family {
                    name: name.clone(),
                    help: help.get(name).map_or_else(undescribed, String::clone),
                    kind,
                    samples: samples.collect(),
                })
            })
            .collect()
    }

    fn describe(&self, name: &KeyName, help: &SharedString) {
        lock(&self.help).insert(name.as_str().to_owned(), help.to_string());
    }
}

fn undescribed() -> String {
    "See docs/metrics.md.".to_owned()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn labels(key: &Key) -> Vec<(&str, &str)> {
    key.labels()
        .map(|label| (label.key(), label.value()))
        .collect()
}

impl Recorder for &'static Registry {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, &help);
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, &help);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, &help);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.count(key.name(), &labels(key)))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        match self.cell(key.name(), &labels(key), || Cell::Gauge(Arc::default())) {
            Cell::Gauge(bits) => Gauge::from_arc(bits),
            _ => Gauge::noop(),
        }
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.buckets(key.name(), &labels(key)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_found_again_and_written_as_text() {
        let registry = Registry::default();
        let labels = [("name", "x\"y"), ("reason", "z")];
        registry
            .count("a_total", &labels)
            .fetch_add(2, Ordering::Relaxed);
        registry
            .count("a_total", &labels)
            .fetch_add(1, Ordering::Relaxed);
        registry.count("b_total", &[]);
        assert_eq!(
            registry.text(),
            "a_total{name=\"x\\\"y\",reason=\"z\"} 3\nb_total 0\n"
        );
    }

    #[test]
    fn families_are_found_by_the_beginning_of_their_name() {
        let registry = Registry::default();
        registry.count("a_total", &[]);
        registry.count("b_one_total", &[("name", "x")]);
        registry.buckets("b_two_seconds", &[]);
        registry.count("c_total", &[]);
        let families = registry.families("b_");
        let kinds: Vec<_> = families
            .iter()
            .map(|family| (family.name.as_str(), family.kind))
            .collect();
        assert_eq!(
            kinds,
            [
                ("b_one_total", Kind::Counter),
                ("b_two_seconds", Kind::Histogram)
            ]
        );
    }

    #[test]
    fn a_metric_that_is_declared_otherwise_begins_anew() {
        let registry = Registry::default();
        registry.declare("a", Kind::Histogram, "h", &[1.0]);
        registry.buckets("a", &[]).observe(2.0);
        registry.declare("a", Kind::Histogram, "h", &[1.0]);
        let bounds = |registry: &Registry| match &registry.families("a")[0].samples[0].value {
            Value::Spread(spread) => (spread.below.clone(), spread.count),
            other => panic!("{other:?}"),
        };
        assert_eq!(bounds(&registry), (vec![(1.0, 0)], 1));
        registry.declare("a", Kind::Histogram, "h", &[4.0]);
        registry.buckets("a", &[]);
        assert_eq!(bounds(&registry), (vec![(4.0, 0)], 0));
        registry.declare("a", Kind::Counter, "c", &[]);
        assert_eq!(registry.families("a"), []);
    }

    #[test]
    fn one_name_for_two_kinds_ends_nothing() {
        let registry = Registry::default();
        registry.count("a", &[]).fetch_add(1, Ordering::Relaxed);
        registry.buckets("a", &[]).observe(1.0);
        assert_eq!(registry.text(), "a 1\n");
    }
}
