//! What arrived, by the marks that the load put into the texts.
//!
//! One bit per record and connection, one highest number per connection and stream, one latency
//! histogram: a hundred million records take some 12 MB.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::answer::ApiError;
use crate::procfs;
use crate::record::{self, Mark};
use crate::stats::{Histogram, approx, round};

/// Marks beyond these cannot come from a load and are counted as records without a mark.
const MAX_CONNECTIONS: u32 = 1_000;
const MAX_NUMBER: u64 = 1 << 30;
const LISTED_VIOLATIONS: usize = 20;

/// One event or record as the ledger sees it: a size and the marks in its text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Item {
    /// Bytes of the text.
    pub(super) bytes: usize,
    first: Option<Mark>,
    // Only aggregated records hold more than one, so nothing is allocated for the others.
    more: Vec<Mark>,
}

impl Item {
    /// Measures a text and finds its marks.
    pub(super) fn of(text: &[u8]) -> Self {
        let mut marks = record::marks(text)
            .filter(|mark| mark.connection < MAX_CONNECTIONS && mark.number < MAX_NUMBER);
        Self {
            bytes: text.len(),
            first: marks.next(),
            more: marks.collect(),
        }
    }

    /// The same marks in an item of another size: limits count what was sent, not what it inflates to.
    pub(super) fn sized(self, bytes: usize) -> Self {
        Self { bytes, ..self }
    }
}

/// The counters of the sink.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    connections: Vec<Connection>,
    stream_ids: HashMap<String, u32>,
    expected: Option<Vec<u64>>,
    duplicates: u64,
    out_of_order: u64,
    unmarked: u64,
    failed_items: u64,
    items: u64,
    text_bytes: u64,
    body_bytes: u64,
    floor_bytes: u64,
    requests: BTreeMap<String, u64>,
    answers: BTreeMap<String, u64>,
    rejected: BTreeMap<&'static str, u64>,
    violations: u64,
    first_violations: Vec<String>,
    latency: Histogram,
    first_arrival: Option<u64>,
    last_arrival: Option<u64>,
    mark: Option<Moment>,
}

/// What has arrived since a moment that the control port has marked, in nanoseconds since 1970.
#[derive(Debug)]
struct Moment {
    at: u64,
    first_after: Option<u64>,
    /// The last arrival of a record that was sent before it.
    last_of_before: Option<u64>,
}

#[derive(Debug, Default)]
struct Connection {
    seen: Vec<u64>,
    unique: u64,
    highest_by_stream: HashMap<u32, u64>,
}

impl Ledger {
    /// Counts items that a stream has stored at `now` (nanoseconds since 1970).
    pub(super) fn store<'a>(
        &mut self,
        stream: &str,
        items: impl Iterator<Item = &'a Item>,
        now: u64,
    ) {
        let next_id = self.stream_ids.len() as u32;
        let stream = match self.stream_ids.get(stream) {
            Some(id) => *id,
            None => *self.stream_ids.entry(stream.to_owned()).or_insert(next_id),
        };
        for item in items {
            self.items += 1;
            self.text_bytes += item.bytes as u64;
            self.unmarked += u64::from(item.first.is_none());
            for mark in item.first.iter().chain(&item.more) {
                self.count(*mark, stream, now);
            }
        }
        self.arrived(now);
    }

    fn arrived(&mut self, now: u64) {
        self.first_arrival.get_or_insert(now);
        self.last_arrival = Some(now);
    }

    fn count(&mut self, mark: Mark, stream: u32, now: u64) {
        let at = mark.connection as usize;
        if self.connections.len() <= at {
            self.connections.resize_with(at + 1, Connection::default);
        }
        let Some(connection) = self.connections.get_mut(at) else {
            return;
        };
        if !connection.is_new(mark.number) {
            self.duplicates += 1;
            return;
        }
        connection.unique += 1;
        let highest = connection
            .highest_by_stream
            .entry(stream)
            .or_insert(mark.number);
        self.out_of_order += u64::from(mark.number < *highest);
        *highest = mark.number.max(*highest);
        if mark.sent > 0 {
            self.latency.add(now.saturating_sub(mark.sent));
        }
        if let Some(moment) = &mut self.mark {
            moment.first_after.get_or_insert(now);
            if mark.sent <= moment.at {
                moment.last_of_before = Some(now);
            }
        }
    }

    /// Marks a moment: what arrives from now on is told apart by whether it was sent before.
    pub(super) fn mark(&mut self, now: u64) {
        self.mark = Some(Moment {
            at: now,
            first_after: None,
            last_of_before: None,
        });
    }

    /// Says how many records each connection has sent, so that missing ones can be counted.
    pub(super) fn expect(&mut self, records: Vec<u64>) {
        self.expected = Some(records);
    }

    /// Counts records that were refused alone, in an answer that took others.
    pub(super) fn fail_items(&mut self, failed: &[bool]) {
        self.failed_items += failed.iter().filter(|failed| **failed).count() as u64;
    }

    /// Counts bytes that came for the floor.
    pub(super) fn floor(&mut self, bytes: u64, now: u64) {
        self.floor_bytes += bytes;
        self.arrived(now);
    }

    /// Counts events that CloudWatch Logs reports as rejected within a successful answer.
    pub(super) fn reject(&mut self, reason: &'static str, events: usize) {
        if events > 0 {
            *self.rejected.entry(reason).or_default() += events as u64;
        }
    }

    /// Counts a request and its answer.
    pub(super) fn answer(
        &mut self,
        operation: &str,
        body_bytes: u64,
        answer: Result<(), &ApiError>,
    ) {
        self.body_bytes += body_bytes;
        *self.requests.entry(operation.to_owned()).or_default() += 1;
        let Err(error) = answer else {
            return self.outcome(operation, "200");
        };
        self.outcome(
            operation,
            &format!("{} {}", error.status.as_u16(), error.code),
        );
        if !error.violation {
            return;
        }
        self.violations += 1;
        if self.first_violations.len() < LISTED_VIOLATIONS {
            let message: String = error.message.chars().take(400).collect();
            self.first_violations
                .push(format!("{operation}: {}: {message}", error.code));
        }
    }

    /// Counts how a request ended, for one that gets no answer.
    pub(super) fn outcome(&mut self, operation: &str, how: &str) {
        *self
            .answers
            .entry(format!("{operation} {how}"))
            .or_default() += 1;
    }

    /// How many records have arrived, and how many of them more than once.
    #[cfg(test)]
    pub(super) fn unique_and_duplicates(&self) -> (u64, u64) {
        let unique = self.connections.iter().map(|connection| connection.unique);
        (unique.sum(), self.duplicates)
    }

    /// All counters; the shape of `GET /stats`.
    pub(super) fn to_json(&self) -> Value {
        let unique: Vec<u64> = self
            .connections
            .iter()
            .map(|connection| connection.unique)
            .collect();
        json!({
            "unique": unique.iter().sum::<u64>(),
            "unique_by_connection": unique,
            "duplicates": self.duplicates,
            "missing": self.missing(),
            "out_of_order": self.out_of_order,
            "unmarked": self.unmarked,
            "items": self.items,
            "failed_items": self.failed_items,
            "text_bytes": self.text_bytes,
            "body_bytes": self.body_bytes,
            "floor_bytes": self.floor_bytes,
            "streams": self.stream_ids.len(),
            "requests": self.requests,
            "answers": self.answers,
            "rejected": self.rejected,
            "violations": { "count": self.violations, "first": self.first_violations },
            "latency": self.latency.to_json(),
            "first_arrival_ns": self.first_arrival,
            "last_arrival_ns": self.last_arrival,
            "mark": self.mark.as_ref().map(Moment::to_json),
            "cpu_seconds": procfs::own_cpu_seconds(),
        })
    }

    fn missing(&self) -> Option<u64> {
        let expected = self.expected.as_ref()?;
        let missing = (0..).zip(expected).map(|(at, records): (usize, _)| {
            let seen = self
                .connections
                .get(at)
                .map_or(0, |connection| connection.seen_below(*records));
            records - seen
        });
        Some(missing.sum())
    }
}

impl Moment {
    fn to_json(&self) -> Value {
        let since = |at: u64| round(approx(at.saturating_sub(self.at)) / 1e9);
        json!({
            "seconds_to_first": self.first_after.map(since),
            "seconds_to_last_of_before": self.last_of_before.map(since),
        })
    }
}

impl Connection {
    fn is_new(&mut self, number: u64) -> bool {
        let (word, bit) = ((number / 64) as usize, 1 << (number % 64));
        if self.seen.len() <= word {
            self.seen.resize(word + 1, 0);
        }
        let Some(word) = self.seen.get_mut(word) else {
            return false;
        };
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    fn seen_below(&self, end: u64) -> u64 {
        let (whole, rest) = ((end / 64) as usize, end % 64);
        let full: u64 = self
            .seen
            .iter()
            .take(whole)
            .map(|word| u64::from(word.count_ones()))
            .sum();
        let partial = self
            .seen
            .get(whole)
            .map_or(0, |word| (word & ((1 << rest) - 1)).count_ones());
        full + u64::from(partial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(numbers: &[u64]) -> Value {
        let mut ledger = Ledger::default();
        let items: Vec<Item> = numbers
            .iter()
            .map(|number| Item::of(format!("x seq=0.{number}.1000").as_bytes()))
            .collect();
        ledger.store("stream", items.iter(), 3_001_000);
        ledger.expect(vec![100]);
        ledger.to_json()
    }

    #[test]
    fn duplicates_gaps_and_disorder_are_told_apart() {
        let stats = ledger(&[0, 1, 5, 3, 3, 64, 99, 100]);
        for (name, expected) in [
            ("unique", 7),
            ("duplicates", 1),
            ("out_of_order", 1),
            ("missing", 94),
            ("items", 8),
        ] {
            assert_eq!(stats[name], expected, "{name}");
        }
        assert_eq!(stats["latency"]["max_ms"], 3.0);
    }

    #[test]
    fn order_is_kept_per_stream() {
        let mut ledger = Ledger::default();
        ledger.store("a", [Item::of(b"seq=0.5.0")].iter(), 1);
        ledger.store("b", [Item::of(b"seq=0.4.0")].iter(), 1);
        assert_eq!(ledger.to_json()["out_of_order"], 0);
        ledger.store("a", [Item::of(b"seq=0.3.0")].iter(), 1);
        assert_eq!(ledger.to_json()["out_of_order"], 1);
    }

    #[test]
    fn several_marks_in_one_text_all_count_and_absurd_ones_do_not() {
        let mut ledger = Ledger::default();
        let texts = [
            "seq=0.1.0 seq=0.2.0",
            "nothing",
            "seq=4000000000.1.0",
            "seq=0.9999999999999.0",
        ];
        let items: Vec<Item> = texts.iter().map(|text| Item::of(text.as_bytes())).collect();
        ledger.store("a", items.iter(), 1);
        let stats = ledger.to_json();
        assert_eq!(
            (&stats["unique"], &stats["unmarked"]),
            (&json!(2), &json!(3))
        );
        assert_eq!(stats["latency"]["count"], 0);
    }

    #[test]
    fn only_violations_are_listed_and_only_the_first_twenty() {
        let mut ledger = Ledger::default();
        let refusal = ApiError::refusal(
            hyper::StatusCode::BAD_REQUEST,
            "ThrottlingException",
            "Rate exceeded",
        );
        ledger.answer("PutLogEvents", 10, Err(&refusal));
        for _ in 0..25 {
            ledger.answer(
                "PutLogEvents",
                10,
                Err(&ApiError::violation("InvalidParameterException", "why")),
            );
        }
        let stats = ledger.to_json();
        assert_eq!(stats["violations"]["count"], 25);
        assert_eq!(stats["violations"]["first"].as_array().unwrap().len(), 20);
        assert_eq!(stats["answers"]["PutLogEvents 400 ThrottlingException"], 1);
    }
}
