//! `kinesis_streams` and `kinesis`: `PutRecords` to a Kinesis data stream.
//!
//! | setting | default | effect |
//! |---|---|---|
//! | `region` | the task's | |
//! | `stream` | required | |
//! | `partition_key` | | the key of the record, such as `kubernetes->pod`, that decides the shard; without one records spread over all |
//! | `log_key` | | send this key's value instead of the whole record, as it is |
//! | `time_key`, `time_key_format` | , `%Y-%m-%dT%H:%M:%S` | add the time under this key, in UTC; not with `log_key` |
//! | `compression` | none | `gzip`, `zstd` or `snappy`: each record by itself |
//! | `simple_aggregation` | off | join records up to 1 MiB |
//! | `oversized_events` | `truncate` | what becomes of an event larger than a record; or `split`, `drop`, `dead_letter` |
//! | `endpoint`, `port`, `tls`, `tls.verify`, `tls.ca_file`, `role_arn`, `external_id`, `sts_endpoint`, `profile`, `extra_user_agent` | | how to reach the service |
//!
//! `kinesis` is the dialect of AWS's Go plugin: keys sorted, `data_keys`, `replace_dots`, `append_newline`, `aggregation` in the format
//! of the Kinesis Producer Library, `compression` `zlib` or `gzip`.
//!
//! <https://docs.fluentbit.io/manual/pipeline/outputs/kinesis>, <https://github.com/aws/amazon-kinesis-streams-for-fluent-bit>

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::Deserialize;

use super::aws::{Aws, Call, Failure, Payload, Question, Reply, Signed, json_failure, unmarked};
use super::compression::Compression;
use super::oversized::Oversized;
use super::records::{self, Api, Content, Format, Joining, Line, PartitionKey};
use super::{Answer, Destination, Encoded, Item, Limits, Options, Output, go};
use crate::config::Settings;
use crate::event::Tag;

struct KinesisStreams {
    service: Signed,
    stream: Box<str>,
    format: Format,
}

/// Reads the section of `kinesis_streams`.
pub(super) fn build(settings: &mut Settings<'_>, options: Options) -> Arc<dyn Output> {
    let aws = Aws::read(settings);
    let aggregate = settings.flag("simple_aggregation", false);
    let format = Format {
        api: Api::KINESIS,
        line: Line {
            content: Content::read(settings, options.json),
            newline: true,
        },
        compression: Compression::read(settings, "compression", records::COMPRESSIONS, false),
        joining: if aggregate {
            Joining::Lines
        } else {
            Joining::None
        },
        oversized: Oversized::read(settings, options.keeps_rejected),
        partition_key: Some(partition_key(settings, go::Record::default())),
    };
    make(settings, aws, format)
}

/// Reads the section of `kinesis`.
pub(super) fn build_go(settings: &mut Settings<'_>, options: Options) -> Arc<dyn Output> {
    settings.tolerate_unknown();
    settings.accept(&[
        "experimental_concurrency",
        "experimental_concurrency_retries",
        "http_request_timeout",
    ]);
    let aws = Aws::read(settings);
    if settings.text("partition_key").as_deref() == Some("log") {
        settings.error(
            "partition_key",
            "log is no partition key: every line would have its own, and that cut to 256 characters",
        );
    }
    let record = go::Record::read(settings);
    let aggregate = go::flag(settings, "aggregation", false);
    let compressions = [Compression::Gzip, Compression::Zlib];
    let format = Format {
        api: Api::KINESIS,
        line: Line {
            content: Content::Go(record.clone()),
            newline: go::flag(settings, "append_newline", false),
        },
        compression: Compression::read(settings, "compression", &compressions, true),
        joining: if aggregate {
            Joining::Kpl
        } else {
            Joining::None
        },
        oversized: Oversized::read(settings, options.keeps_rejected),
        partition_key: Some(partition_key(settings, record)),
    };
    make(settings, aws, format)
}

fn partition_key(settings: &mut Settings<'_>, record: go::Record) -> PartitionKey {
    PartitionKey::at(&settings.text("partition_key").unwrap_or_default(), record)
}

fn make(settings: &mut Settings<'_>, aws: Aws, format: Format) -> Arc<dyn Output> {
    Arc::new(KinesisStreams {
        service: Signed::new(aws, "kinesis", "AWS_ENDPOINT_URL_KINESIS"),
        stream: settings.required("stream").unwrap_or_default().into(),
        format,
    })
}

/// What `PutRecords` answers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Put {
    #[serde(default)]
    failed_record_count: usize,
    #[serde(default)]
    records: Vec<PutRecord>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutRecord {
    error_code: Option<String>,
    error_message: Option<String>,
}

impl KinesisStreams {
    async fn put(&self, body: Bytes) -> Answer {
        let call = Call {
            method: "POST",
            path: "/".to_owned(),
            headers: vec![
                ("content-type", "application/x-amz-json-1.1".to_owned()),
                ("x-amz-target", "Kinesis_20131202.PutRecords".to_owned()),
            ],
            body: Payload::Bytes(body),
        };
        let answer = self.service.ask(&call, answer).await;
        answer.unwrap_or_else(|failure| failure)
    }
}

impl KinesisStreams {
    /// Puts no record at all, which the service refuses.
    async fn ask(&self) -> Result<String, String> {
        let question = Question {
            target: &format!("stream {}", self.stream),
            action: "kinesis:PutRecords",
        };
        let body = serde_json::json!({ "StreamName": self.stream, "Records": [] });
        question.sort(&self.put(body.to_string().into()).await)
    }
}

/// Sorts an answer.
fn answer(reply: &Reply) -> Result<Answer, Failure> {
    if reply.status != 200 {
        // The stream may be made by a deployment that is still under way, so a missing one is asked for again.
        return Err(json_failure(reply, false));
    }
    if reply.header("x-amzn-requestid").is_none() {
        return Ok(unmarked());
    }
    let Ok(put) = serde_json::from_slice::<Put>(&reply.body) else {
        return Ok(Answer::again("the answer cannot be read"));
    };
    let records = put.records.iter().enumerate();
    let failures = records.filter_map(|(position, record)| {
        let message = record.error_message.as_deref().unwrap_or_default();
        Some((position, record.error_code.as_deref()?, message))
    });
    Ok(records::answer(put.failed_record_count, failures))
}

impl Output for KinesisStreams {
    fn limits(&self) -> Limits {
        Api::LIMITS
    }

    fn destination(&self, _: &Tag) -> Option<Destination> {
        Some(Destination {
            group: "".into(),
            name: self.stream.clone(),
        })
    }

    fn throttled_as(&self, destination: &Destination) -> Option<String> {
        Some(self.service.name_of(destination))
    }

    fn encode(
        &self,
        destination: &Destination,
        items: &mut dyn Iterator<Item = Item<'_>>,
        body: Vec<u8>,
    ) -> Encoded {
        records::encode(destination, &self.format, items, body)
    }

    fn encode_part(
        &self,
        destination: &Destination,
        item: Item<'_>,
        number: u32,
    ) -> Option<(Encoded, bool)> {
        records::encode_part(destination, &self.format, item, number)
    }

    fn send<'a>(&'a self, _: &'a Destination, body: Bytes) -> BoxFuture<'a, Answer> {
        Box::pin(self.put(body))
    }

    fn check(&self) -> BoxFuture<'_, Option<Result<String, String>>> {
        Box::pin(async { Some(self.ask().await) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    fn reply(status: u16, body: &str) -> Reply {
        let mut headers = HeaderMap::new();
        headers.insert("x-amzn-requestid", "1".parse().unwrap());
        Reply {
            status,
            headers,
            body: body.to_owned().into(),
        }
    }

    /// Checklist: outputs 30
    #[test]
    fn exactly_the_failed_records_go_again() {
        let body = r#"{"FailedRecordCount":1,"Records":[{"SequenceNumber":"1","ShardId":"s"},{"ErrorCode":"ProvisionedThroughputExceededException","ErrorMessage":"slow"}]}"#;
        let expected = Answer::Partly {
            failed: vec![1],
            throttled: true,
            why: "ProvisionedThroughputExceededException: slow".to_owned(),
        };
        assert_eq!(answer(&reply(200, body)).unwrap(), expected);
        let body = r#"{"FailedRecordCount":0,"Records":[{"SequenceNumber":"1","ShardId":"s"}]}"#;
        assert_eq!(answer(&reply(200, body)).unwrap(), Answer::done());
    }

    /// Checklist: outputs 37
    #[test]
    fn an_answer_that_proves_nothing_is_no_success() {
        let again = |reply: &Reply| matches!(answer(reply), Ok(Answer::Again { .. }));
        assert!(again(&reply(200, "<html>")));
        let mut unmarked = reply(200, "{}");
        unmarked.headers.clear();
        assert!(again(&unmarked));
    }

    #[test]
    fn an_error_is_sorted_by_its_code() {
        let body = r#"{"__type":"com.amazonaws.kinesis#ExpiredTokenException","message":"old"}"#;
        assert!(answer(&reply(400, body)).unwrap_err().renew);
        let body = r#"{"__type":"ResourceNotFoundException","message":"no stream"}"#;
        let failure = answer(&reply(400, body)).unwrap_err();
        assert!(matches!(
            failure.answer,
            Answer::Again {
                throttled: false,
                ..
            }
        ));
    }
}
