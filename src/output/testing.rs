//! What the tests of outputs share: records written as JSON, and the events made of them.

use std::sync::LazyLock;

use super::Item;
use crate::event::{Event, EventTime, Tag};
use crate::parser::json;

/// The time of every event here.
pub(super) const TIME: EventTime = EventTime {
    seconds: 1_700_000_000,
    nanos: 123_456_789,
};

/// The tag of every event here.
pub(super) static TAG: LazyLock<Tag> = LazyLock::new(|| Tag::new(b"app.web"));

/// A record.
pub(super) fn record(text: &str) -> Vec<u8> {
    let mut record = Vec::new();
    json::to_msgpack(text.as_bytes(), &mut record).unwrap();
    record
}

/// An event of each record.
pub(super) fn items(records: &[Vec<u8>]) -> impl Iterator<Item = Item<'_>> {
    records.iter().map(|record| Item {
        tag: &TAG,
        event: Event {
            time: TIME,
            metadata: &[],
            record,
        },
    })
}
