//! What every request keeps to, whatever the records are.

use proptest::prelude::*;
use serde_json::Value;

use super::{Api, COMPRESSIONS, Content, Format, Joining, Line, PartitionKey, encode};
use crate::event::{Event, EventTime, Tag};
use crate::msgpack::json::Json;
use crate::msgpack::write;
use crate::output::oversized::Oversized;
use crate::output::{Destination, Item, go};

/// The services' own limits, written down once more.
const RECORDS_MAX: usize = 500;
const CALL_MAX: usize = 4 << 20;
const FIREHOSE_MAX: usize = 1_024_000;
const KINESIS_MAX: usize = 1_048_576;

/// A record `{"log": text}`.
fn record() -> impl Strategy<Value = Vec<u8>> {
    let lengths =
        prop_oneof![8 => 0..300_usize, 1 => 0..400_000_usize, 1 => 1_023_990..1_048_600_usize];
    let texts = prop_oneof![Just("x"), Just("\u{e9}"), Just("\u{1f600}")];
    (lengths, texts).prop_map(|(length, text)| {
        let mut record = vec![0x81];
        write::str(&mut record, b"log");
        write::str(&mut record, text.repeat(length / text.len()).as_bytes());
        record
    })
}

fn format() -> impl Strategy<Value = (Format, usize)> {
    let joinings = prop_oneof![
        Just(Joining::None),
        Just(Joining::Lines),
        Just(Joining::Kpl)
    ];
    let compressions = proptest::option::weighted(0.3, proptest::sample::select(COMPRESSIONS));
    (any::<bool>(), joinings, compressions).prop_map(|(kinesis, joining, compression)| {
        let keys = || PartitionKey::at("", go::Record::default());
        let (api, largest) = if kinesis {
            (Api::KINESIS, KINESIS_MAX)
        } else {
            (Api::FIREHOSE, FIREHOSE_MAX)
        };
        let content = Content::C {
            json: Json::default(),
            log_key: Some(b"log".to_vec().into()),
            time_key: None,
        };
        let format = Format {
            api,
            line: Line {
                content,
                newline: true,
            },
            compression,
            joining,
            oversized: Oversized::Truncate,
            partition_key: kinesis.then(keys),
        };
        (format, largest)
    })
}

/// Encodes all records, request by request, and checks each; gives how many events were sent and how many refused.
fn check(records: &[Vec<u8>], format: &Format, largest: usize) -> (usize, usize) {
    let tag = Tag::new(b"t");
    let (mut done, mut sent, mut refused) = (0, 0, 0);
    while done < records.len() {
        let mut items = records[done..].iter().map(|record| Item {
            tag: &tag,
            event: Event {
                time: EventTime::default(),
                metadata: &[],
                record,
            },
        });
        let encoded = encode(&Destination::default(), format, &mut items, Vec::new());
        assert!(encoded.consumed > 0, "an event is offered for ever");
        let body: Value = serde_json::from_slice(&encoded.body).unwrap();
        let written = body["Records"].as_array().unwrap();
        assert!(written.len() <= RECORDS_MAX && encoded.body.len() <= CALL_MAX);
        for record in written {
            let data = base64_simd::STANDARD.decode_to_vec(record["Data"].as_str().unwrap());
            let key = record["PartitionKey"].as_str();
            assert_eq!(
                key.is_some_and(|key| !key.is_empty()),
                format.partition_key.is_some()
            );
            let size = data.unwrap().len() + key.unwrap_or_default().len();
            assert!(size <= largest, "{size}");
        }
        let events: usize = (0..written.len())
            .map(|position| encoded.positions.items_at(position).len())
            .sum();
        assert_eq!(events, encoded.taken());
        sent += events;
        refused += encoded.refused.len();
        done += encoded.consumed;
    }
    (sent, refused)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn no_request_breaks_a_limit_and_no_event_is_forgotten(
        records in proptest::collection::vec(record(), 1..40),
        (format, largest) in format(),
    ) {
        let (sent, refused) = check(&records, &format, largest);
        prop_assert_eq!(sent + refused, records.len());
    }
}
