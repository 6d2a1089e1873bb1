//! Counters of the process: a [`metrics::Recorder`] whose values can be read back as text.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

type Counters = BTreeMap<String, Arc<AtomicU64>>;

/// Every counter under its name and labels, as the text format writes them.
#[derive(Debug, Default)]
pub struct Registry {
    counters: Mutex<Counters>,
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
        let mut key = name.to_owned();
        for (index, (label, value)) in labels.iter().enumerate() {
            let open = if index == 0 { '{' } else { ',' };
            // `Debug` escapes quotes, backslashes and newlines as the text format wants them.
            let _infallible = write!(key, "{open}{label}={value:?}");
        }
        if !labels.is_empty() {
            key.push('}');
        }
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(counters.entry(key).or_default())
    }

    /// All counters, a line each, in the text format of Prometheus.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (key, value) in self
            .counters
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
        {
            let _infallible = writeln!(text, "{key} {}", value.load(Ordering::Relaxed));
        }
        text
    }
}

impl Recorder for &'static Registry {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let labels: Vec<_> = key
            .labels()
            .map(|label| (label.key(), label.value()))
            .collect();
        Counter::from_arc(self.count(key.name(), &labels))
    }

    /// Sluice has counters only.
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_found_again_and_written_as_text() {
        let registry = Registry::default();
        registry
            .count("a_total", &[("name", "x\"y"), ("reason", "z")])
            .fetch_add(2, Ordering::Relaxed);
        registry
            .count("a_total", &[("name", "x\"y"), ("reason", "z")])
            .fetch_add(1, Ordering::Relaxed);
        registry.count("b_total", &[]);
        assert_eq!(
            registry.text(),
            "a_total{name=\"x\\\"y\",reason=\"z\"} 3\nb_total 0\n"
        );
    }
}
