//! What Fluent Bit does not say: the ledger, the budget, how each destination fares, and three honest answers about health.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::telemetry::board::{Board, Stage, View};
use crate::telemetry::family::{Family, Kind, Value};
use crate::telemetry::registry::registry;

/// `/delivering` is content while no event has waited for longer, in seconds.
pub(super) const DELIVERING_WITHIN: u32 = 60;

/// `GET /live`: the event loop answers, or nobody does.
#[derive(Debug, Serialize)]
pub(super) struct Live {
    pub(super) live: bool,
}

/// `GET /ready`: whether senders should come here.
#[derive(Debug, Serialize)]
pub(super) struct Ready {
    ready: bool,
    stage: &'static str,
}

pub(super) fn ready(board: &Board) -> (bool, Ready) {
    let stage = board.stage();
    let ready = stage == Stage::Running;
    let stage = stage_name(stage);
    (ready, Ready { ready, stage })
}

pub(super) fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Starting => "starting",
        Stage::Running => "running",
        Stage::Ending => "ending",
    }
}

/// `GET /delivering`: how long the oldest event of each output has waited.
#[derive(Debug, Serialize)]
pub(super) struct Delivering {
    #[serde(rename = "delivering")]
    in_time: bool,
    within_sec: u32,
    outputs: Vec<OutputAge>,
}

#[derive(Debug, Serialize)]
struct OutputAge {
    name: String,
    oldest_sec: f64,
    held_records: u64,
}

pub(super) fn delivering(view: &View, within: u32) -> (bool, Delivering) {
    let now = Instant::now();
    let outputs: Vec<_> = view
        .outputs
        .iter()
        .map(|output| OutputAge {
            name: output.ledger.name().to_owned(),
            oldest_sec: age(output.ledger.state().oldest, now).as_secs_f64(),
            held_records: output.ledger.held(),
        })
        .collect();
    let limit = f64::from(within);
    let in_time = outputs.iter().all(|output| output.oldest_sec <= limit);
    let answer = Delivering {
        in_time,
        within_sec: within,
        outputs,
    };
    (in_time, answer)
}

/// How long ago something began; nothing when it did not.
pub(super) fn age(since: Option<Instant>, now: Instant) -> Duration {
    since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
}

/// Our metrics: what is counted anywhere, also by the filter `log_to_metrics` under names of the user's, the budget, the outputs and their destinations.
pub(super) fn families(board: &Board) -> Vec<Family> {
    describe();
    let view = board.view();
    metrics::gauge!("sluice_budget_limit_bytes").set(view.memory_limit as f64);
    metrics::gauge!("sluice_budget_used_bytes").set((view.memory_used)() as f64);
    if let Some(ask) = &view.on_disk {
        let on_disk = ask();
        metrics::gauge!("sluice_storage_segments").set(on_disk.segments as f64);
        metrics::gauge!("sluice_storage_bytes").set(on_disk.bytes as f64);
        metrics::gauge!("sluice_storage_behind_bytes").set(on_disk.behind_bytes as f64);
    }
    let now = Instant::now();
    let mut families = registry().families("");
    families.extend(outputs(&view, now));
    families.extend(destinations(&view, now));
    families
}

/// Outputs go when a reload removes them, and must not leave an age behind, so these series are made anew each time.
fn outputs(view: &View, now: Instant) -> [Family; 2] {
    let gauge = |name: &str, help: &str| Family::new(name, Kind::Gauge, help);
    let mut held = gauge(
        "sluice_output_held_records",
        "Events stored and not settled.",
    );
    let mut oldest = gauge(
        "sluice_output_oldest_seconds",
        "How long the oldest event held has waited.",
    );
    for output in &view.outputs {
        let labels = [("name", output.ledger.name())];
        let age = age(output.ledger.state().oldest, now).as_secs_f64();
        held.add(&labels, Value::Count(output.ledger.held()));
        oldest.add(&labels, Value::Number(age));
    }
    [held, oldest]
}

/// Destinations come and go as well.
fn destinations(view: &View, now: Instant) -> Vec<Family> {
    let family = |name: &str, help: &str| {
        Family::new(format!("sluice_destination_{name}"), Kind::Gauge, help)
    };
    let mut held = family("held_records", "Events that wait for a destination.");
    let mut oldest = family("oldest_seconds", "How long the oldest of them has waited.");
    let mut failures = family("failures", "Failures since the last success.");
    let mut closed = family(
        "closed_seconds",
        "For how long it is still left alone after a failure.",
    );
    let mut spacing = family(
        "spacing_seconds",
        "The time between two requests that throttling has led to.",
    );
    for output in &view.outputs {
        for destination in output.ledger.state().destinations {
            let labels = [
                ("name", output.ledger.name()),
                ("destination", &destination.name),
            ];
            let number = |seconds: Duration| Value::Number(seconds.as_secs_f64());
            held.add(&labels, Value::Count(destination.held));
            oldest.add(&labels, number(age(destination.oldest, now)));
            failures.add(&labels, Value::Count(destination.failures.into()));
            let opens = destination.opens;
            let wait = opens.map(|opens| opens.saturating_duration_since(now));
            closed.add(&labels, number(wait.unwrap_or_default()));
            spacing.add(&labels, number(destination.spacing));
        }
    }
    let mut families = vec![held, oldest, failures, closed, spacing];
    families.retain(|family| !family.samples.is_empty());
    families
}

/// Gives the metrics their `HELP` lines.
fn describe() {
    for (name, help) in HELP {
        metrics::describe_counter!(*name, *help);
    }
}

const HELP: &[(&str, &str)] = &[
    (
        "sluice_added_records_total",
        "Events that filters made beside those that came.",
    ),
    ("sluice_budget_limit_bytes", "Bytes the process may hold."),
    ("sluice_budget_used_bytes", "Bytes it holds."),
    (
        "sluice_dropped_records_total",
        "Events given up, by reason.",
    ),
    (
        "sluice_events_skipped_total",
        "Entries of forward messages that are no events.",
    ),
    ("sluice_filter_add_records_total", "Events a filter made."),
    (
        "sluice_filter_bare_records_total",
        "Events that passed without the metadata the filter adds.",
    ),
    ("sluice_filter_bytes_total", "Bytes a filter was shown."),
    ("sluice_filter_drop_bytes_total", "Bytes a filter dropped."),
    (
        "sluice_filter_drop_records_total",
        "Events a filter dropped.",
    ),
    ("sluice_filter_records_total", "Events a filter was shown."),
    (
        "sluice_filtered_records_total",
        "Events of an input that filters dropped.",
    ),
    (
        "sluice_frames_ignored_total",
        "Forward messages that carry no logs.",
    ),
    (
        "sluice_frames_rejected_total",
        "Messages that could not be taken, by reason.",
    ),
    ("sluice_input_bytes_total", "Bytes taken in."),
    ("sluice_input_records_total", "Events taken in."),
    (
        "sluice_joined_records_total",
        "Events that filters made part of others.",
    ),
    (
        "sluice_log_metrics_skipped_total",
        "Records that log_to_metrics did not count, by reason.",
    ),
    (
        "sluice_output_delivered_bytes_total",
        "Bytes that the service has.",
    ),
    (
        "sluice_output_delivered_records_total",
        "Events that the service has.",
    ),
    (
        "sluice_output_errors_total",
        "Batches with events that the service will never take.",
    ),
    (
        "sluice_output_latency_seconds",
        "From being stored to being taken.",
    ),
    (
        "sluice_output_retried_records_total",
        "Events to be sent again.",
    ),
    (
        "sluice_output_retries_failed_total",
        "Batches with events whose retries were used up.",
    ),
    ("sluice_output_retries_total", "Batches to be sent again."),
    (
        "sluice_output_routed_records_total",
        "Events stored for an output.",
    ),
    (
        "sluice_regex_given_up_total",
        "Searches that took too many steps and found nothing.",
    ),
    (
        "sluice_routed_bytes_total",
        "Bytes on their way from an input to an output.",
    ),
    (
        "sluice_routed_records_total",
        "Events on their way from an input to an output.",
    ),
    (
        "sluice_script_errors_total",
        "Calls of lua scripts that failed.",
    ),
    (
        "sluice_truncated_records_total",
        "Messages cut to what the service takes.",
    ),
    (
        "sluice_unrouted_bytes_total",
        "Bytes that no output wanted.",
    ),
];
