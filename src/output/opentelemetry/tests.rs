use serde_json::{Value as Json, json};

use super::*;
use crate::config::testing::configured;
use crate::event::Event;
use crate::output::Destination;
use crate::output::testing::{TAG, TIME, items, record};

fn output(properties: &[(&str, &str)]) -> (Arc<dyn Output>, Vec<String>) {
    configured(properties, |settings| build(settings, Options::default()))
}

/// All messages under that number.
fn all(message: &[u8], number: u64) -> Vec<&[u8]> {
    let fields = Fields(message).filter_map(|field| match field {
        (known, Value::Bytes(bytes)) if known == number => Some(bytes),
        _ => None,
    });
    fields.collect()
}

/// The log records of a body with one resource and one scope, both empty.
fn log_records(body: &[u8]) -> Vec<&[u8]> {
    let [resource] = all(body, 1)[..] else {
        panic!()
    };
    assert_eq!(all(resource, 1), [b""]);
    let [scope] = all(resource, 2)[..] else {
        panic!()
    };
    assert_eq!(all(scope, 1), [b""]);
    all(scope, 2)
}

fn text(message: &[u8]) -> String {
    String::from_utf8(message.to_vec()).unwrap()
}

fn any_value(message: &[u8]) -> Json {
    match Fields(message).next() {
        None => Json::Null,
        Some((1, Value::Bytes(string))) => json!(text(string)),
        Some((2, Value::Varint(truth))) => json!(truth == 1),
        Some((3, Value::Varint(number))) => json!(number.cast_signed()),
        Some((4, Value::Fixed)) => json!(f64::from_le_bytes(message[1..9].try_into().unwrap())),
        Some((5, Value::Bytes(items))) => all(items, 1).into_iter().map(any_value).collect(),
        Some((6, Value::Bytes(pairs))) => key_values(all(pairs, 1)),
        Some((7, Value::Bytes(bytes))) => json!(bytes),
        other => panic!("{other:?}"),
    }
}

fn key_values(pairs: Vec<&[u8]>) -> Json {
    let pairs = pairs.into_iter().map(|pair| {
        let (key, value) = (all(pair, 1), all(pair, 2));
        (text(key[0]), any_value(value[0]))
    });
    Json::Object(pairs.collect())
}

/// What a log record holds, but for its time.
fn shown(record: &[u8]) -> Json {
    let mut shown = serde_json::Map::new();
    for (number, value) in Fields(record) {
        let (name, value) = match (number, value) {
            (2, Value::Varint(severity)) => ("number", json!(severity)),
            (3, Value::Bytes(severity)) => ("severity", json!(text(severity))),
            (5, Value::Bytes(body)) => ("body", any_value(body)),
            (8, Value::Fixed) => ("flags", json!(true)),
            (9, Value::Bytes(id)) => ("trace", json!(id)),
            (10, Value::Bytes(id)) => ("span", json!(id)),
            _ => continue,
        };
        shown.insert(name.to_owned(), value);
    }
    let attributes = all(record, 6);
    if !attributes.is_empty() {
        shown.insert("attributes".to_owned(), key_values(attributes));
    }
    Json::Object(shown)
}

/// The records that events with this metadata become.
fn sent(properties: &[(&str, &str)], metadata: &str, records: &[&str]) -> Vec<Json> {
    let (output, problems) = output(properties);
    assert_eq!(problems, [""; 0]);
    let metadata = record(metadata);
    let records: Vec<_> = records.iter().map(|text| record(text)).collect();
    let mut items = items(&records).map(|item| Item {
        event: Event {
            metadata: &metadata,
            ..item.event
        },
        ..item
    });
    let encoded = output.encode(&Destination::default(), &mut items, Vec::new());
    assert_eq!(encoded.taken(), records.len());
    log_records(&encoded.body).into_iter().map(shown).collect()
}

/// Checklist: engine 65
#[test]
fn the_body_is_one_value_of_the_record_and_the_rest_is_left_out() {
    let records = [
        r#"{"log":"x","n":1}"#,
        r#"{"message":{"a":[1,-2,1.5,true,null]},"n":1}"#,
        r#"{"n":1}"#,
    ];
    let expected = [
        json!({"body": "x"}),
        json!({"body": {"a": [1, -2, 1.5, true, null]}}),
        json!({"body": {"n": 1}}),
    ];
    assert_eq!(sent(&[], "{}", &records), expected);
}

#[test]
fn the_rest_of_the_record_becomes_attributes_where_it_is_wanted() {
    let settings = [
        ("logs_body_key", "$none"),
        ("logs_body_key", "$k['msg']"),
        ("logs_body_key_attributes", "on"),
    ];
    let records = [r#"{"k":{"msg":"x","a":1},"log":"y"}"#, r#"{"log":"y"}"#];
    let expected = [
        json!({"body": "x", "attributes": {"k": {"a": 1}, "log": "y"}}),
        json!({"body": {"log": "y"}}),
    ];
    assert_eq!(sent(&settings, "{}", &records), expected);
}

#[test]
fn severity_and_ids_come_from_the_metadata_before_the_record() {
    let settings = [
        ("logs_severity_text_message_key", "level"),
        ("logs_severity_number_message_key", "$sev"),
        ("logs_span_id_message_key", "$span"),
    ];
    let record = r#"{"log":"x","level":"WARN","sev":13,"span":"b7AD6b7169203331","TraceId":"no"}"#;
    let span = [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31];
    assert_eq!(
        sent(&settings, "{}", &[record]),
        [json!({"body": "x", "severity": "WARN", "number": 13, "span": span})]
    );
    let metadata = r#"{"otlp":{"severity_text":"E","severity_number":25,"trace_flags":1,
        "attributes":{"b":2}},"SeverityNumber":17,"a":1}"#;
    assert_eq!(
        sent(&settings, metadata, &[record]),
        [json!({
            "body": "x", "severity": "E", "number": 17, "span": span, "flags": true,
            "attributes": {"SeverityNumber": 17, "a": 1, "b": 2}
        })]
    );
}

#[test]
fn a_record_has_its_time_to_the_nanosecond_unless_the_metadata_knows_better() {
    let (output, _) = output(&[]);
    let record = record(r#"{"log":"x"}"#);
    let time = |metadata: &[u8]| {
        let event = Event {
            time: TIME,
            metadata,
            record: &record,
        };
        let mut items = std::iter::once(Item { tag: &TAG, event });
        let body = output.encode(&Destination::default(), &mut items, Vec::new());
        let first = log_records(&body.body)[0].to_vec();
        assert_eq!(first[0], 1 << 3 | 1);
        u64::from_le_bytes(first[1..9].try_into().unwrap())
    };
    assert_eq!(time(&[]), 1_700_000_000_123_456_789);
    assert_eq!(time(b"\x81\xa9Timestamp\x05"), 5);
    assert_eq!(time(b"\x81\xa9Timestamp\xa1x"), 1_700_000_000_123_456_789);
}

#[test]
fn a_request_has_as_many_records_as_batch_size_says() {
    let (output, _) = output(&[("batch_size", "3")]);
    let records = vec![record("{}"); 5];
    let encoded = output.encode(&Destination::default(), &mut items(&records), Vec::new());
    assert_eq!(encoded.consumed, 3);
    assert_eq!(output.limits().events, 3);
}

#[test]
fn only_what_otlp_says_is_sent_again() {
    for (status, expected) in [
        (200, Verdict::Taken),
        (400, Verdict::Refused),
        (413, Verdict::Unacceptable(DropReason::TooLarge)),
        (429, Verdict::Again),
        (500, Verdict::Refused),
        (502, Verdict::Again),
        (504, Verdict::Again),
    ] {
        assert_eq!(verdict(status), expected, "{status}");
    }
}

#[test]
fn what_a_server_rejects_of_a_request_it_took_is_said() {
    let events = Events {
        room: Room::FREE,
        records: configured(&[], Records::read).0,
    };
    let remark = |payload: &[u8]| events.remark(&Reply::of(200, payload));
    assert_eq!(remark(b""), None);
    assert_eq!(remark(b"\x0a\x02\x08\x00"), None);
    let said = remark(b"\x0a\x07\x08\x05\x12\x03bad").unwrap();
    assert!(
        said.starts_with("5 records") && said.ends_with("bad"),
        "{said}"
    );
}

#[test]
fn what_cannot_be_done_is_refused_and_what_concerns_no_logs_is_said() {
    for (property, expected) in [
        (("grpc", "on"), "OTLP over HTTP"),
        (("aws_auth", "on"), "not supported yet"),
        (("logs_body_key", "$"), "names no key"),
        (("logs_uri", "a b"), "no path"),
        (("add_label", "a b"), "warning"),
        (("metrics_uri", "/m"), "warning"),
    ] {
        let (_, problems) = output(&[property]);
        assert!(
            problems.concat().contains(expected),
            "{property:?}: {problems:?}"
        );
    }
}
