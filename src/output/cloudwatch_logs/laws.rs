//! What every request keeps to, whatever the events are.

use proptest::prelude::*;
use serde_json::Value;

use super::request::{LIMITS, Message, encode};
use crate::event::{Event, EventTime, Tag};
use crate::msgpack::json::Json;
use crate::msgpack::write;
use crate::output::oversized::Oversized;
use crate::output::{Destination, Item};

const NOW: EventTime = EventTime {
    seconds: 1_700_000_000,
    nanos: 0,
};
/// The service's own limits, written down once more.
const BYTES_MAX: usize = 1_048_576;
const OVERHEAD: usize = 26;
const DAY: i64 = 86_400_000;

/// Seconds from now, and a record `{"log": text}`.
fn event() -> impl Strategy<Value = (i64, Vec<u8>)> {
    let times = prop_oneof![4 => -100..100_i64, 1 => -15 * 86_400..3 * 3600_i64];
    let lengths =
        prop_oneof![8 => 0..300_usize, 1 => 0..400_000_usize, 1 => 1_048_540..1_048_560_usize];
    let texts = prop_oneof![
        Just("x"),
        Just("\u{e9}"),
        Just("\""),
        Just("\u{1f600}"),
        Just("\n")
    ];
    (times, lengths, texts).prop_map(|(time, length, text)| {
        let mut record = vec![0x81];
        write::str(&mut record, b"log");
        write::str(&mut record, text.repeat(length / text.len()).as_bytes());
        (time, record)
    })
}

/// Encodes all events, request by request, and checks each; gives how many were sent and how many refused.
fn check(events: &[(i64, Vec<u8>)], message: &Message) -> (usize, usize) {
    let tag = Tag::new(b"t");
    let destination = Destination {
        group: "g".into(),
        name: "s".into(),
    };
    let (mut done, mut sent, mut refused) = (0, 0, 0);
    while done < events.len() {
        let mut items = events[done..].iter().map(|(offset, record)| Item {
            tag: &tag,
            event: Event {
                time: EventTime {
                    seconds: NOW.seconds.saturating_add_signed(*offset),
                    nanos: 0,
                },
                metadata: &[],
                record,
            },
        });
        let encoded = encode(
            &destination,
            message,
            Oversized::Truncate,
            NOW,
            &mut items,
            Vec::new(),
        );
        assert!(encoded.consumed > 0, "an event is offered for ever");
        let body: Value = serde_json::from_slice(&encoded.body).unwrap();
        let written = body["logEvents"].as_array().unwrap();
        assert_eq!(written.len(), encoded.taken());
        assert_eq!(encoded.items_in(0..usize::MAX), encoded.taken());
        check_body(written);
        sent += written.len();
        refused += encoded.refused.len();
        done += encoded.consumed;
    }
    (sent, refused)
}

fn check_body(events: &[Value]) {
    let times: Vec<i64> = events
        .iter()
        .map(|event| event["timestamp"].as_i64().unwrap())
        .collect();
    assert!(events.len() <= LIMITS.events && times.is_sorted());
    if let (Some(first), Some(last)) = (times.first(), times.last()) {
        assert!(last - first < DAY);
    }
    let lengths = events
        .iter()
        .map(|event| event["message"].as_str().unwrap().len());
    assert!(lengths.clone().all(|length| length > 0));
    assert!(lengths.map(|length| length + OVERHEAD).sum::<usize>() <= BYTES_MAX);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn no_request_breaks_a_limit_and_no_event_is_forgotten(events in proptest::collection::vec(event(), 1..40)) {
        for message in [Message::Record(Json::default()), Message::Key(b"log".to_vec().into(), Json::default())] {
            let (sent, refused) = check(&events, &message);
            prop_assert_eq!(sent + refused, events.len());
        }
    }
}
