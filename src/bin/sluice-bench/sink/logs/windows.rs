//! Which times `PutLogEvents` takes: what it rejects one by one, and what makes it refuse the request.

use serde_json::json;

use super::call::{Event, invalid};
use crate::sink::answer::ApiError;

const DAY_MS: i64 = 86_400_000;
const MAX_AGE_MS: i64 = 14 * DAY_MS;
const MAX_AHEAD_MS: i64 = 2 * 3_600_000;
/// Services still answer one; nothing reads it any more.
const SEQUENCE_TOKEN: &str = "49590302938475610293847561029384756102938475610293847561";

/// Which events of a request are outside the times that the service stores, as indices into the request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Windows {
    /// Events before this are older than 14 days.
    pub(super) too_old_end: usize,
    /// Events before this are older than the group's retention; never below `too_old_end`.
    pub(super) expired_end: usize,
    /// Events from this on are more than two hours ahead.
    pub(super) too_new_start: usize,
}

impl Windows {
    /// Looks at `events`, which are in order of time.
    pub(super) fn of(events: &[Event], retention_days: Option<u32>, now_ms: i64) -> Self {
        let older_than = |age: i64| events.partition_point(|event| event.timestamp < now_ms - age);
        let too_old_end = older_than(MAX_AGE_MS);
        let expired_end = retention_days.map_or(0, |days| older_than(i64::from(days) * DAY_MS));
        let too_new_start =
            events.partition_point(|event| event.timestamp <= now_ms + MAX_AHEAD_MS);
        Self {
            too_old_end,
            expired_end: expired_end.max(too_old_end),
            too_new_start,
        }
    }

    /// The events that are stored.
    pub(super) fn stored(&self) -> std::ops::Range<usize> {
        self.expired_end..self.too_new_start
    }

    /// Only the stored events may not span more than a day.
    pub(super) fn check_span(&self, events: &[Event]) -> Result<(), ApiError> {
        let Some([first, .., last]) = events.get(self.stored()) else {
            return Ok(());
        };
        if last.timestamp - first.timestamp <= DAY_MS {
            return Ok(());
        }
        Err(invalid(
            "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.",
        ))
    }

    /// The `rejectedLogEventsInfo` of the answer: ends are exclusive, the start is inclusive.
    pub(super) fn answer(&self, events: usize) -> String {
        let mut info = serde_json::Map::new();
        if self.too_old_end > 0 {
            info.insert("tooOldLogEventEndIndex".to_owned(), json!(self.too_old_end));
        }
        if self.expired_end > self.too_old_end {
            info.insert(
                "expiredLogEventEndIndex".to_owned(),
                json!(self.expired_end),
            );
        }
        if self.too_new_start < events {
            info.insert(
                "tooNewLogEventStartIndex".to_owned(),
                json!(self.too_new_start),
            );
        }
        let mut answer = json!({ "nextSequenceToken": SEQUENCE_TOKEN });
        if let (false, Some(answer)) = (info.is_empty(), answer.as_object_mut()) {
            answer.insert("rejectedLogEventsInfo".to_owned(), info.into());
        }
        answer.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::ledger::Item;

    fn windows(now_ms: i64, retention: Option<u32>, times: &[i64]) -> Windows {
        let event = |timestamp: &i64| Event {
            timestamp: *timestamp,
            message: Item::of(b"x"),
        };
        Windows::of(
            &times.iter().map(event).collect::<Vec<_>>(),
            retention,
            now_ms,
        )
    }

    #[test]
    fn rejected_indices_are_exclusive_ends_and_an_inclusive_start() {
        let now = 100 * DAY_MS;
        let times = [
            now - 15 * DAY_MS,
            now - 14 * DAY_MS,
            now - 8 * DAY_MS,
            now,
            now + MAX_AHEAD_MS,
            now + MAX_AHEAD_MS + 1,
        ];
        let expected = Windows {
            too_old_end: 1,
            expired_end: 3,
            too_new_start: 5,
        };
        assert_eq!(windows(now, Some(7), &times), expected);
        let answer = expected.answer(6);
        assert!(answer.contains(r#"{"expiredLogEventEndIndex":3,"tooNewLogEventStartIndex":5,"tooOldLogEventEndIndex":1}"#));
        assert_eq!(
            windows(now, None, &times),
            Windows {
                too_old_end: 1,
                expired_end: 1,
                too_new_start: 5
            }
        );
        assert!(!windows(now, None, &[now]).answer(1).contains("rejected"));
    }

    #[test]
    fn only_the_valid_events_may_not_span_more_than_a_day() {
        let now = 100 * DAY_MS;
        let check = |times: &[i64]| {
            let events: Vec<Event> = times
                .iter()
                .map(|time| Event {
                    timestamp: *time,
                    message: Item::of(b"x"),
                })
                .collect();
            Windows::of(&events, None, now).check_span(&events).is_ok()
        };
        assert!(check(&[now - DAY_MS, now]));
        assert!(!check(&[now - DAY_MS - 1, now]));
        assert!(check(&[now - 20 * DAY_MS, now]));
    }
}
