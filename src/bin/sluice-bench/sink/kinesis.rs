//! Kinesis Data Streams: `PutRecords` with its limits and its partial failures.
//!
//! Limits: <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html>.

use std::collections::HashSet;

use hyper::StatusCode;
use serde::Deserialize;

use super::answer::{ApiError, constraint};
use super::cloud::Storage;
use super::faults::ItemFaults;
use super::firehose::check_name;
use super::items;
use super::ledger::Item;

const MAX_RECORDS: usize = 500;
const MAX_RECORD_BYTES: usize = 1 << 20;
const MAX_BATCH_BYTES: usize = 10 << 20;
const MAX_NAME: usize = 128;
const MAX_KEY: usize = 256;

/// A batch that parses and keeps within the limits.
#[derive(Debug, Deserialize)]
pub(super) struct PutRecords {
    #[serde(rename = "StreamName")]
    name: Option<String>,
    #[serde(rename = "StreamARN")]
    arn: Option<String>,
    #[serde(rename = "Records")]
    records: Vec<Record>,
}

#[derive(Debug, Deserialize)]
struct Record {
    #[serde(rename = "Data", deserialize_with = "items::blob")]
    data: Item,
    #[serde(rename = "PartitionKey", default)]
    key: String,
    #[serde(rename = "ExplicitHashKey")]
    hash_key: Option<String>,
}

/// The data streams of the account.
#[derive(Debug, Default)]
pub(super) struct Streams {
    pub(super) names: HashSet<String>,
    /// Whether every name is taken to exist.
    pub(super) any: bool,
}

/// Reads and checks a body.
pub(super) fn parse(operation: &str, body: &[u8]) -> Result<PutRecords, ApiError> {
    if operation != "PutRecords" {
        return Err(ApiError::violation(
            "UnknownOperationException",
            format!("{operation} is not known here"),
        ));
    }
    let batch: PutRecords =
        serde_json::from_slice(body).map_err(|error| ApiError::serialization(&error))?;
    batch.check()?;
    Ok(batch)
}

impl PutRecords {
    fn check(&self) -> Result<(), ApiError> {
        check_name("streamName", self.stream(), MAX_NAME)?;
        if !(1..=MAX_RECORDS).contains(&self.records.len()) {
            let rule = format!(
                "have length between 1 and {MAX_RECORDS}, not {}",
                self.records.len()
            );
            return Err(ApiError::violation(
                "ValidationException",
                constraint("records", rule),
            ));
        }
        for (number, record) in (1..).zip(&self.records) {
            record.check(number)?;
        }
        let bytes: usize = self.records.iter().map(Record::bytes).sum();
        if bytes > MAX_BATCH_BYTES {
            let message = format!("Records size exceeds 10 MB limit: {bytes} bytes");
            return Err(ApiError::violation("InvalidArgumentException", message));
        }
        Ok(())
    }

    /// The stream's name, which ends an ARN: `arn:aws:kinesis:us-east-1:123456789012:stream/name`.
    fn stream(&self) -> &str {
        let from_arn = || Some(self.arn.as_deref()?.rsplit_once("stream/")?.1);
        self.name.as_deref().or_else(from_arn).unwrap_or("")
    }
}

impl Record {
    fn bytes(&self) -> usize {
        self.data.bytes + self.key.len()
    }

    fn check(&self, number: usize) -> Result<(), ApiError> {
        let invalid = |field: &str, rule: String| {
            Err(ApiError::violation(
                "ValidationException",
                constraint(&format!("records.{number}.member.{field}"), rule),
            ))
        };
        if !(1..=MAX_KEY).contains(&self.key.chars().count()) {
            return invalid(
                "partitionKey",
                format!("have length between 1 and {MAX_KEY}"),
            );
        }
        if self.bytes() > MAX_RECORD_BYTES {
            return invalid(
                "data",
                format!("have length with its key less than or equal to {MAX_RECORD_BYTES}"),
            );
        }
        if self
            .hash_key
            .as_ref()
            .is_some_and(|key| key.parse::<u128>().is_err())
        {
            return invalid(
                "explicitHashKey",
                "satisfy regular expression pattern: 0|([1-9]\\d{0,38})".to_owned(),
            );
        }
        Ok(())
    }
}

impl Streams {
    /// Stores what does not fail, and returns the body of the answer.
    pub(super) fn apply(
        &self,
        batch: &PutRecords,
        body: &[u8],
        faults: &mut ItemFaults,
        storage: &mut Storage<'_>,
    ) -> Result<String, ApiError> {
        let name = batch.stream();
        if !self.any && !self.names.contains(name) {
            let message = format!("Stream {name} under account 123456789012 not found.");
            return Err(ApiError::refusal(
                StatusCode::BAD_REQUEST,
                "ResourceNotFoundException",
                message,
            ));
        }
        let failed: Vec<bool> = batch.records.iter().map(|_| faults.next_fails()).collect();
        storage.ledger.fail_items(&failed);
        let stored = batch
            .records
            .iter()
            .zip(&failed)
            .filter(|(_, failed)| !**failed)
            .map(|(record, _)| &record.data);
        storage.ledger.store(name, stored, storage.now);
        storage
            .kept
            .add(name, body, "Records", |at| failed.get(at) == Some(&false));
        Ok(answer(&failed))
    }
}

fn answer(failed: &[bool]) -> String {
    let records = failed.iter().map(|failed| {
        if *failed {
            r#"{"ErrorCode":"ProvisionedThroughputExceededException","ErrorMessage":"Rate exceeded for shard shardId-000000000000."}"#
        } else {
            r#"{"SequenceNumber":"49590302938475610293847561029384756102938475610293847561","ShardId":"shardId-000000000000"}"#
        }
    });
    let count = failed.iter().filter(|failed| **failed).count();
    let records = records.collect::<Vec<_>>().join(",");
    format!(r#"{{"FailedRecordCount":{count},"Records":[{records}],"EncryptionType":"NONE"}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn record(size: usize, key: &str) -> Value {
        json!({ "Data": base64_simd::STANDARD.encode_to_string(vec![b'x'; size]), "PartitionKey": key })
    }

    fn code(records: &[Value]) -> &'static str {
        let body = json!({ "StreamName": "s", "Records": records }).to_string();
        parse("PutRecords", body.as_bytes()).map_or_else(|error| error.code, |_| "ok")
    }

    #[test]
    fn put_records_is_cut_at_exactly_the_documented_limits() {
        let large = record((1 << 20) - 1, "k");
        let mut fullest = vec![large.clone(); 10];
        assert_eq!(code(&fullest), "ok");
        fullest.push(record(0, "k"));
        assert_eq!(code(&fullest), "InvalidArgumentException");
        for (name, records, expected) in [
            ("most records", vec![record(1, "k"); 500], "ok"),
            (
                "one record too many",
                vec![record(1, "k"); 501],
                "ValidationException",
            ),
            ("no record", vec![], "ValidationException"),
            (
                "record and key too large",
                vec![record(1 << 20, "k")],
                "ValidationException",
            ),
            ("no key", vec![record(1, "")], "ValidationException"),
            ("longest key", vec![record(1, &"k".repeat(256))], "ok"),
            (
                "key too long",
                vec![record(1, &"k".repeat(257))],
                "ValidationException",
            ),
        ] {
            assert_eq!(code(&records), expected, "{name}");
        }
    }

    #[test]
    fn a_stream_is_named_directly_or_by_its_arn() {
        let body = json!({ "StreamARN": "arn:aws:kinesis:us-east-1:1:stream/orders", "Records": [record(1, "k")] });
        assert_eq!(
            parse("PutRecords", body.to_string().as_bytes())
                .unwrap()
                .stream(),
            "orders"
        );
        let body = json!({ "Records": [record(1, "k")] }).to_string();
        assert_eq!(
            parse("PutRecords", body.as_bytes()).unwrap_err().code,
            "ValidationException"
        );
    }

    #[test]
    fn an_answer_names_each_record_in_order() {
        let answer: Value = serde_json::from_str(&answer(&[true, false])).unwrap();
        assert_eq!(answer["FailedRecordCount"], 1);
        assert_eq!(
            answer["Records"][0]["ErrorCode"],
            "ProvisionedThroughputExceededException"
        );
        assert_eq!(answer["Records"][1]["ShardId"], "shardId-000000000000");
    }
}
