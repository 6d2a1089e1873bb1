//! The counters that must add up: for every input, accepted + added = filtered + joined + unrouted + held by filters + stored; for
//! every route, what it was given = delivered + dropped + held.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::registry::registry;
use super::route_ledger::RouteLedger;
use crate::event::DropReason;

pub(super) type Count = Arc<AtomicU64>;

/// One input's part.
#[derive(Debug)]
pub struct InputLedger {
    name: String,
    accepted: Count,
    bytes: Count,
    filtered: Count,
    unrouted: Count,
    joined: Count,
    added: Count,
    /// What filters hold: taken less let go.
    held: AtomicI64,
    unrouted_bytes: Count,
}

impl InputLedger {
    /// Opens the book of an input.
    pub fn new(name: &str) -> Self {
        let count = |metric| registry().count(metric, &[("name", name)]);
        Self {
            name: name.to_owned(),
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
            unrouted_bytes: count("sluice_unrouted_bytes_total"),
        }
    }

    /// The input's name.
    pub fn name(&self) -> &str {
        &self.name
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

    /// Events that no output wants, and their size.
    pub fn unroute(&self, events: u64, bytes: u64) {
        self.unrouted.fetch_add(events, Ordering::Relaxed);
        self.unrouted_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Events taken so far, and their size.
    pub fn accepted(&self) -> (u64, u64) {
        (load(&self.accepted), load(&self.bytes))
    }

    /// Events so far that no output wanted, and their size.
    pub fn unrouted(&self) -> (u64, u64) {
        (load(&self.unrouted), load(&self.unrouted_bytes))
    }
}

/// What a filter has done to some events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Filtered {
    /// Events it was shown, and their size.
    pub records: u64,
    /// The size of those.
    pub bytes: u64,
    /// Events it dropped.
    pub drop_records: u64,
    /// The size of those.
    pub drop_bytes: u64,
    /// Events it made beside those it was shown.
    pub add_records: u64,
    /// Events that passed without the metadata that it is there for.
    pub bare_records: u64,
}

impl Filtered {
    /// Notes an event that it was shown.
    pub fn show(&mut self, bytes: u64) {
        self.records += 1;
        self.bytes += bytes;
    }

    /// Notes that it dropped one.
    pub fn drop(&mut self, bytes: u64) {
        self.drop_records += 1;
        self.drop_bytes += bytes;
    }
}

/// One filter's part.
#[derive(Debug)]
pub struct FilterLedger {
    name: String,
    records: Count,
    bytes: Count,
    drop_records: Count,
    drop_bytes: Count,
    add_records: Count,
    bare_records: Count,
}

impl FilterLedger {
    /// Opens the book of a filter.
    pub fn new(name: &str) -> Self {
        let count = |metric| registry().count(metric, &[("name", name)]);
        Self {
            name: name.to_owned(),
            records: count("sluice_filter_records_total"),
            bytes: count("sluice_filter_bytes_total"),
            drop_records: count("sluice_filter_drop_records_total"),
            drop_bytes: count("sluice_filter_drop_bytes_total"),
            add_records: count("sluice_filter_add_records_total"),
            bare_records: count("sluice_filter_bare_records_total"),
        }
    }

    /// The filter's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Books what it has done.
    pub fn book(&self, done: Filtered) {
        self.records.fetch_add(done.records, Ordering::Relaxed);
        self.bytes.fetch_add(done.bytes, Ordering::Relaxed);
        self.drop_records
            .fetch_add(done.drop_records, Ordering::Relaxed);
        self.drop_bytes
            .fetch_add(done.drop_bytes, Ordering::Relaxed);
        self.add_records
            .fetch_add(done.add_records, Ordering::Relaxed);
        self.bare_records
            .fetch_add(done.bare_records, Ordering::Relaxed);
    }

    /// What it has done so far.
    pub fn done(&self) -> Filtered {
        Filtered {
            records: load(&self.records),
            bytes: load(&self.bytes),
            drop_records: load(&self.drop_records),
            drop_bytes: load(&self.drop_bytes),
            add_records: load(&self.add_records),
            bare_records: load(&self.bare_records),
        }
    }
}

pub(super) fn load(count: &Count) -> u64 {
    count.load(Ordering::Relaxed)
}

/// All books of the process.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// One for each input.
    pub inputs: Vec<Arc<InputLedger>>,
    /// One for each output.
    pub routes: Vec<Arc<RouteLedger>>,
    /// What an earlier run had left on disk, for each output.
    pub recovered: u64,
}

impl Ledger {
    /// The book of an input, which an input of this name may have begun before a reload.
    pub fn input(&mut self, name: &str) -> Arc<InputLedger> {
        if let Some(known) = self.inputs.iter().find(|known| known.name == name) {
            return Arc::clone(known);
        }
        let book = Arc::new(InputLedger::new(name));
        self.inputs.push(Arc::clone(&book));
        book
    }

    /// Adds the books of outputs. One of a name that was there before goes on counting where that stood, so one of them is enough.
    pub fn add(&mut self, routes: Vec<Arc<RouteLedger>>) {
        for route in routes {
            if self.routes.iter().all(|known| known.name() != route.name()) {
                self.routes.push(route);
            }
        }
    }

    /// Events held by filters, and those stored and not settled, over all routes.
    pub fn held(&self) -> u64 {
        let in_filters: u64 = self.inputs.iter().map(|input| input.held()).sum();
        in_filters + self.routes.iter().map(|route| route.held()).sum::<u64>()
    }
}

impl fmt::Display for Ledger {
    /// The closing line: `accepted 5, filtered 1, unrouted 0; cloudwatch_logs.0: delivered 4, left behind 0`. What was found on disk, what
    /// filters joined,
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
            ("found on disk", self.recovered),
            ("joined", sum(|i| &i.joined)),
            ("added", sum(|i| &i.added)),
            ("left behind in filters", in_filters),
        ];
        for (what, events) in rest.into_iter().filter(|(_, events)| *events > 0) {
            write!(f, ", {what} {events}")?;
        }
        for route in &self.routes {
            write!(f, "; {}: delivered {}", route.name(), route.delivered().0)?;
            for (reason, count) in route.dropped() {
                write!(f, ", dropped {} {count}", reason.label())?;
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
            recovered: 0,
        };
        ledger.inputs[0].accept(10, 100);
        ledger.inputs[0].filter(1);
        ledger.inputs[0].unroute(2, 20);
        ledger.routes[0].route(7);
        ledger.routes[0].deliver(4, 40);
        ledger.routes[0].drop_events(DropReason::TooOld, 2);
        assert_eq!(ledger.held(), 1);
        assert_eq!(
            ledger.to_string(),
            "accepted 10, filtered 1, unrouted 2; ledger-test-out: delivered 4, dropped too_old 2, left behind 1"
        );
    }

    #[test]
    fn a_name_that_stays_is_counted_once() {
        let book = |name| vec![Arc::new(RouteLedger::new(name))];
        let mut ledger = Ledger::default();
        let first = ledger.input("ledger-test-stays");
        assert!(Arc::ptr_eq(&first, &ledger.input("ledger-test-stays")));
        ledger.add(book("ledger-test-stays"));
        let later = book("ledger-test-stays");
        ledger.add(later.clone());
        ledger.add(book("ledger-test-comes"));
        later[0].route(5);
        assert_eq!((ledger.routes.len(), ledger.held()), (2, 5));
    }
}
