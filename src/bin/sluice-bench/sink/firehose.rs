//! Data Firehose: `PutRecordBatch` with its limits and its partial failures.
//!
//! Limits: <https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html>.

use std::collections::HashSet;

use hyper::StatusCode;
use serde::Deserialize;

use super::answer::{ApiError, constraint};
use super::cloud::Storage;
use super::faults::ItemFaults;
use super::items;
use super::ledger::Item;

const MAX_RECORDS: usize = 500;
const MAX_RECORD_BYTES: usize = 1_024_000;
const MAX_BATCH_BYTES: usize = 4 << 20;
const MAX_NAME: usize = 64;

/// A batch that parses and keeps within the limits.
#[derive(Debug, Deserialize)]
pub(super) struct PutRecordBatch {
    #[serde(rename = "DeliveryStreamName", default)]
    name: String,
    #[serde(rename = "Records")]
    records: Vec<Record>,
}

#[derive(Debug, Deserialize)]
struct Record {
    #[serde(rename = "Data", deserialize_with = "items::blob")]
    data: Item,
}

/// The delivery streams of the account.
#[derive(Debug, Default)]
pub(super) struct DeliveryStreams {
    pub(super) names: HashSet<String>,
    /// Whether every name is taken to exist.
    pub(super) any: bool,
}

/// Reads and checks a body.
pub(super) fn parse(operation: &str, body: &[u8]) -> Result<PutRecordBatch, ApiError> {
    if operation != "PutRecordBatch" {
        return Err(ApiError::violation(
            "UnknownOperationException",
            format!("{operation} is not known here"),
        ));
    }
    let batch: PutRecordBatch =
        serde_json::from_slice(body).map_err(|error| ApiError::serialization(&error))?;
    batch.check()?;
    Ok(batch)
}

impl PutRecordBatch {
    fn check(&self) -> Result<(), ApiError> {
        check_name("deliveryStreamName", &self.name, MAX_NAME)?;
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
            if record.data.bytes > MAX_RECORD_BYTES {
                let at = format!("records.{number}.member.data");
                let rule = format!("have length less than or equal to {MAX_RECORD_BYTES}");
                return Err(ApiError::violation(
                    "ValidationException",
                    constraint(&at, rule),
                ));
            }
        }
        let bytes: usize = self.records.iter().map(|record| record.data.bytes).sum();
        if bytes > MAX_BATCH_BYTES {
            let message = format!("Records size exceeds 4 MB limit: {bytes} bytes");
            return Err(ApiError::violation("InvalidArgumentException", message));
        }
        Ok(())
    }
}

/// Checks a stream's name; Kinesis has the same alphabet.
pub(super) fn check_name(at: &str, name: &str, longest: usize) -> Result<(), ApiError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if (1..=longest).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(());
    }
    let rule = format!("satisfy regular expression pattern: [a-zA-Z0-9_.-]{{1,{longest}}}");
    Err(ApiError::violation(
        "ValidationException",
        constraint(at, rule),
    ))
}

impl DeliveryStreams {
    /// Stores what does not fail, and returns the body of the answer.
    pub(super) fn apply(
        &self,
        batch: &PutRecordBatch,
        body: &[u8],
        faults: &mut ItemFaults,
        storage: &mut Storage<'_>,
    ) -> Result<String, ApiError> {
        if !self.any && !self.names.contains(&batch.name) {
            let message = format!(
                "Firehose {} not found under account 123456789012.",
                batch.name
            );
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
        storage.ledger.store(&batch.name, stored, storage.now);
        storage.kept.add(&batch.name, body, "Records", |at| {
            failed.get(at) == Some(&false)
        });
        Ok(answer(&failed))
    }
}

fn answer(failed: &[bool]) -> String {
    let responses = failed.iter().map(|failed| {
        if *failed {
            r#"{"ErrorCode":"ServiceUnavailableException","ErrorMessage":"Slow down."}"#
        } else {
            r#"{"RecordId":"49590302938475610293847561029384756102938475610293847561000000"}"#
        }
    });
    let count = failed.iter().filter(|failed| **failed).count();
    let responses = responses.collect::<Vec<_>>().join(",");
    format!(r#"{{"FailedPutCount":{count},"Encrypted":false,"RequestResponses":[{responses}]}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn batch(name: &str, sizes: &[usize]) -> Result<PutRecordBatch, ApiError> {
        let data = |size: &usize| json!({ "Data": base64_simd::STANDARD.encode_to_string(vec![b'x'; *size]) });
        let records: Vec<Value> = sizes.iter().map(data).collect();
        parse(
            "PutRecordBatch",
            json!({ "DeliveryStreamName": name, "Records": records })
                .to_string()
                .as_bytes(),
        )
    }

    #[test]
    fn put_record_batch_is_cut_at_exactly_the_documented_limits() {
        let most = vec![1; 500];
        let many = vec![1; 501];
        for (name, stream, sizes, expected) in [
            ("most records", "d", &most[..], "ok"),
            ("one record too many", "d", &many, "ValidationException"),
            ("no record", "d", &[], "ValidationException"),
            ("largest record", "d", &[1_024_000], "ok"),
            ("record too large", "d", &[1_024_001], "ValidationException"),
            (
                "largest batch",
                "d",
                &[1_024_000, 1_024_000, 1_024_000, 1_024_000, 98_304],
                "ok",
            ),
            (
                "batch too large",
                "d",
                &[1_024_000, 1_024_000, 1_024_000, 1_024_000, 98_305],
                "InvalidArgumentException",
            ),
            ("name with a space", "a b", &[1], "ValidationException"),
            ("no name", "", &[1], "ValidationException"),
        ] {
            assert_eq!(
                batch(stream, sizes).map_or_else(|error| error.code, |_| "ok"),
                expected,
                "{name}"
            );
        }
    }

    #[test]
    fn broken_base64_is_a_serialization_error() {
        for data in ["a", "a===", "YQ", "YQ==YQ==", "Y Q="] {
            let body =
                json!({ "DeliveryStreamName": "d", "Records": [{ "Data": data }] }).to_string();
            assert_eq!(
                parse("PutRecordBatch", body.as_bytes()).unwrap_err().code,
                "SerializationException",
                "{data}"
            );
        }
    }

    #[test]
    fn an_answer_names_each_record_in_order() {
        let answer: Value = serde_json::from_str(&answer(&[false, true, false])).unwrap();
        assert_eq!(answer["FailedPutCount"], 1);
        assert_eq!(
            answer["RequestResponses"][1]["ErrorCode"],
            "ServiceUnavailableException"
        );
        assert!(answer["RequestResponses"][2]["RecordId"].is_string());
    }
}
