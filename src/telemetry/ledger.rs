//! The counters that must add up: for every input, accepted + added = filtered + joined + unrouted + held by filters + stored; for
//! every route, what it was given = delivered + dropped + held.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::registry::registry;
use crate::event::DropReason;

type Count = Arc<AtomicU64>;

/// One input's part.
#[derive(Debug)]
pub struct InputLedger {
    accepted: Count,
    bytes: Count,
    filtered: Count,
    unrouted: Count,
    joined: Count,
    added: Count,
    /// What filters hold: taken less let go.
    held: AtomicI64,
}

impl InputLedger {
    /// Opens the book of an input.
    pub fn new(name: &str) -> Self {
        let count = |metric| registry().count(metric, &[("name", name)]);
        Self {
            accepted: count("sluice_input_records_total"),
            bytes: count("sluice_input_bytes_total"),
            filtered: count("sluice_filtered_records_total"),
            unrouted: registry().count(
                "sluice_dropped_records_total",
                &[("name", name), ("reason", DropReason::Unrouted.label())],
            ),
            joined: count("sluice_joined_records_total"),
            added: count("sluice_added_records_total"),
            held: AtomicI64::new(0),
        }
    }

    /// Events taken off a socket, and their size.
    pub fn accept(&self, events: u64, bytes: u64) {
        self.accepted.fetch_add(events, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Events a filter dropped, as it was told to.
    pub fn filter(&self, events: u64) {
        self.filtered.fetch_add(events, Ordering::Relaxed);
    }

    /// Events that a filter made part of others.
    pub fn join(&self, events: u64) {
        self.joined.fetch_add(events, Ordering::Relaxed);
    }

    /// Events that a filter made beside those that came.
    pub fn add(&self, events: u64) {
        self.added.fetch_add(events, Ordering::Relaxed);
    }

    /// Events that filters took, and those that they let go.
    pub fn hold(&self, taken: u64, let_go: u64) {
        let change = taken.cast_signed().wrapping_sub(let_go.cast_signed());
        self.held.fetch_add(change, Ordering::Relaxed);
    }

    /// Events that filters hold now.
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed).max(0).cast_unsigned()
    }

    /// Events that no output wants.
    pub fn unroute(&self, events: u64) {
        self.unrouted.fetch_add(events, Ordering::Relaxed);
    }
}

/// One output's part.
#[derive(Debug)]
pub struct RouteLedger {
    name: String,
    routed: Count,
    delivered: Count,
    dropped: [Count; DropReason::ALL.len()],
    retried: Count,
}

impl RouteLedger {
    /// Opens the book of an output.
    pub fn new(name: &str) -> Self {
        let count = |metric| registry().count(metric, &[("name", name)]);
        Self {
            name: name.to_owned(),
            routed: count("sluice_output_routed_records_total"),
            delivered: count("sluice_output_delivered_records_total"),
            dropped: DropReason::ALL.map(|reason| {
                registry().count(
                    "sluice_dropped_records_total",
                    &[("name", name), ("reason", reason.label())],
                )
            }),
            retried: count("sluice_output_retried_records_total"),
        }
    }

    /// Events stored for this output.
    pub fn route(&self, events: u64) {
        self.routed.fetch_add(events, Ordering::Relaxed);
    }

    /// Events the service has.
    pub fn deliver(&self, events: u64) {
        self.delivered.fetch_add(events, Ordering::Relaxed);
    }

    /// Events given up.
    pub fn drop_events(&self, reason: DropReason, events: u64) {
        if let Some(count) = self.dropped.get(reason.index()) {
            count.fetch_add(events, Ordering::Relaxed);
        }
    }

    /// Events that have to be sent again.
    pub fn retry(&self, events: u64) {
        self.retried.fetch_add(events, Ordering::Relaxed);
    }

    /// Events stored and not settled.
    pub fn held(&self) -> u64 {
        let settled: u64 = self.dropped.iter().chain([&self.delivered]).map(load).sum();
        load(&self.routed).saturating_sub(settled)
    }
}

fn load(count: &Count) -> u64 {
    count.load(Ordering::Relaxed)
}

/// All books of the process.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// One for each input.
    pub inputs: Vec<Arc<InputLedger>>,
    /// One for each output.
    pub routes: Vec<Arc<RouteLedger>>,
}

impl Ledger {
    /// Events held by filters, and those stored and not settled, over all routes.
    pub fn held(&self) -> u64 {
        let in_filters: u64 = self.inputs.iter().map(|input| input.held()).sum();
        in_filters + self.routes.iter().map(|route| route.held()).sum::<u64>()
    }
}

impl fmt::Display for Ledger {
    /// The closing line: `accepted 5, filtered 1, unrouted 0; cloudwatch_logs.0: delivered 4, left behind 0`. What filters joined,
    /// added and hold follows `unrouted` where there is any.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum = |part: fn(&InputLedger) -> &Count| {
            self.inputs
                .iter()
                .map(|input| load(part(input)))
                .sum::<u64>()
        };
        let (accepted, filtered, unrouted) = (
            sum(|i| &i.accepted),
            sum(|i| &i.filtered),
            sum(|i| &i.unrouted),
        );
        write!(
            f,
            "accepted {accepted}, filtered {filtered}, unrouted {unrouted}"
        )?;
        let in_filters = self.inputs.iter().map(|input| input.held()).sum();
        let rest = [
            ("joined", sum(|i| &i.joined)),
            ("added", sum(|i| &i.added)),
            ("left behind in filters", in_filters),
        ];
        for (what, events) in rest.into_iter().filter(|(_, events)| *events > 0) {
            write!(f, ", {what} {events}")?;
        }
        for route in &self.routes {
            write!(f, "; {}: delivered {}", route.name, load(&route.delivered))?;
            for (reason, count) in DropReason::ALL.iter().zip(&route.dropped) {
                if load(count) > 0 {
                    write!(f, ", dropped {} {}", reason.label(), load(count))?;
                }
            }
            write!(f, ", left behind {}", route.held())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_settled_is_held() {
        let ledger = Ledger {
            inputs: vec![Arc::new(InputLedger::new("ledger-test-in"))],
            routes: vec![Arc::new(RouteLedger::new("ledger-test-out"))],
        };
        ledger.inputs[0].accept(10, 100);
        ledger.inputs[0].filter(1);
        ledger.inputs[0].unroute(2);
        ledger.routes[0].route(7);
        ledger.routes[0].deliver(4);
        ledger.routes[0].drop_events(DropReason::TooOld, 2);
        assert_eq!(ledger.held(), 1);
        assert_eq!(
            ledger.to_string(),
            "accepted 10, filtered 1, unrouted 2; ledger-test-out: delivered 4, dropped too_old 2, left behind 1"
        );
    }
}
