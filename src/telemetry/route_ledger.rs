//! One output's part of the ledger: what it was given, what became of it, and how it fares now.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::histogram::Buckets;
use super::ledger::{Count, load};
use super::registry::registry;
use crate::event::DropReason;

/// How one destination of an output fares, such as a log stream.
#[derive(Debug, Clone)]
pub struct DestinationState {
    /// Its name.
    pub name: String,
    /// Events that wait for it.
    pub held: u64,
    /// Since when the oldest of them is held.
    pub oldest: Option<Instant>,
    /// Failures since the last success.
    pub failures: u32,
    /// When it may be tried again, while it is left alone.
    pub opens: Option<Instant>,
    /// The time between two requests that its service's throttling has led to.
    pub spacing: Duration,
}

/// How an output fares now.
#[derive(Debug, Clone, Default)]
pub struct OutputState {
    /// Since when the oldest event that is not settled is held.
    pub oldest: Option<Instant>,
    /// The destinations that wait or fail, the worst first; the list is bounded.
    pub destinations: Vec<DestinationState>,
}

/// A failure, for people.
#[derive(Debug, Clone)]
pub struct LastError {
    /// When.
    pub at: SystemTime,
    /// What the service said.
    pub text: String,
}

/// One output's part.
#[derive(Debug)]
pub struct RouteLedger {
    name: String,
    routed: Count,
    delivered: Count,
    delivered_bytes: Count,
    dropped: [Count; DropReason::ALL.len()],
    retried: Count,
    retries: Count,
    retries_failed: Count,
    errors: Count,
    latency: Mutex<HashMap<Arc<str>, Arc<Buckets>>>,
    state: Mutex<OutputState>,
    last_error: Mutex<Option<LastError>>,
}

impl RouteLedger {
    /// Opens the book of an output.
    pub fn new(name: &str) -> Self {
        let count = |metric| registry().count(metric, &[("name", name)]);
        Self {
            name: name.to_owned(),
            routed: count("sluice_output_routed_records_total"),
            delivered: count("sluice_output_delivered_records_total"),
            delivered_bytes: count("sluice_output_delivered_bytes_total"),
            dropped: DropReason::ALL.map(|reason| {
                registry().count(
                    "sluice_dropped_records_total",
                    &[("name", name), ("reason", reason.label())],
                )
            }),
            retried: count("sluice_output_retried_records_total"),
            retries: count("sluice_output_retries_total"),
            retries_failed: count("sluice_output_retries_failed_total"),
            errors: count("sluice_output_errors_total"),
            latency: Mutex::default(),
            state: Mutex::default(),
            last_error: Mutex::default(),
        }
    }

    /// The output's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Events stored for this output.
    pub fn route(&self, events: u64) {
        self.routed.fetch_add(events, Ordering::Relaxed);
    }

    /// Events the service has, and their size in the buffer.
    pub fn deliver(&self, events: u64, bytes: u64) {
        self.delivered.fetch_add(events, Ordering::Relaxed);
        self.delivered_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Events given up.
    pub fn drop_events(&self, reason: DropReason, events: u64) {
        if let Some(count) = self.dropped.get(reason.index()) {
            count.fetch_add(events, Ordering::Relaxed);
        }
    }

    /// Events that have to be sent again, and the batches they lie in.
    pub fn retry(&self, batches: u64, events: u64) {
        self.retries.fetch_add(batches, Ordering::Relaxed);
        self.retried.fetch_add(events, Ordering::Relaxed);
    }

    /// Events whose retries are used up, and the batches they lie in.
    pub fn give_up(&self, batches: u64, events: u64) {
        self.retries_failed.fetch_add(batches, Ordering::Relaxed);
        self.drop_events(DropReason::RetryLimit, events);
    }

    /// Events that the service will never take, and the batches they lie in.
    pub fn refuse(&self, reason: DropReason, batches: u64, events: u64) {
        self.errors.fetch_add(batches, Ordering::Relaxed);
        self.drop_events(reason, events);
    }

    /// Notes how long events from `input` took from being stored to being taken.
    pub fn took(&self, input: &Arc<str>, time: Duration) {
        let mut latency = lock(&self.latency);
        let buckets = latency.entry(Arc::clone(input)).or_insert_with(|| {
            let labels = [("input", &**input), ("output", &self.name)];
            registry().buckets("sluice_output_latency_seconds", &labels)
        });
        buckets.observe(time.as_secs_f64());
    }

    /// Notes what the service said when it did not take something.
    pub fn fail(&self, why: &str) {
        *lock(&self.last_error) = Some(LastError {
            at: SystemTime::now(),
            text: why.to_owned(),
        });
    }

    /// Notes how the output fares.
    pub fn fare(&self, state: OutputState) {
        *lock(&self.state) = state;
    }

    /// How the output fares.
    pub fn state(&self) -> OutputState {
        lock(&self.state).clone()
    }

    /// The last failure.
    pub fn last_error(&self) -> Option<LastError> {
        lock(&self.last_error).clone()
    }

    /// Events stored for this output so far.
    pub fn routed(&self) -> u64 {
        load(&self.routed)
    }

    /// Events the service has taken so far, and their size.
    pub fn delivered(&self) -> (u64, u64) {
        (load(&self.delivered), load(&self.delivered_bytes))
    }

    /// Events given up so far, under each reason that occurred.
    pub fn dropped(&self) -> impl Iterator<Item = (DropReason, u64)> {
        let counts = DropReason::ALL
            .into_iter()
            .zip(self.dropped.iter().map(load));
        counts.filter(|(_, count)| *count > 0)
    }

    /// Batches that failed so far: for good; to be sent again, and how many events those held; given up after that.
    pub fn failures(&self) -> Failures {
        Failures {
            errors: load(&self.errors),
            retries: load(&self.retries),
            retried_records: load(&self.retried),
            retries_failed: load(&self.retries_failed),
        }
    }

    /// Events stored and not settled.
    pub fn held(&self) -> u64 {
        let settled: u64 = self.dropped.iter().chain([&self.delivered]).map(load).sum();
        load(&self.routed).saturating_sub(settled)
    }
}

/// What failed so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Failures {
    /// Batches with events that the service will never take.
    pub errors: u64,
    /// Batches that were to be sent again, each time.
    pub retries: u64,
    /// Events that were to be sent again, each time.
    pub retried_records: u64,
    /// Batches with events whose retries were used up.
    pub retries_failed: u64,
}

/// The way from one input to one output.
#[derive(Debug)]
pub struct Routing {
    records: Arc<AtomicU64>,
    bytes: Arc<AtomicU64>,
}

impl Routing {
    /// Opens the book of the way.
    pub fn new(input: &str, output: &str) -> Self {
        let count = |metric| registry().count(metric, &[("input", input), ("output", output)]);
        Self {
            records: count("sluice_routed_records_total"),
            bytes: count("sluice_routed_bytes_total"),
        }
    }

    /// Events that go this way, and their size in the buffer.
    pub fn route(&self, events: u64, bytes: u64) {
        self.records.fetch_add(events, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
