//! `kinesis_firehose` and `firehose`: `PutRecordBatch` to a Data Firehose stream.
//!
//! | setting | default | effect |
//! |---|---|---|
//! | `region` | the task's | |
//! | `delivery_stream` | required | |
//! | `log_key` | | send this key's value instead of the whole record, as it is |
//! | `time_key`, `time_key_format` | , `%Y-%m-%dT%H:%M:%S` | add the time under this key, in UTC; not with `log_key` |
//! | `compression` | none | `gzip`, `zstd` or `snappy`: each record by itself |
//! | `simple_aggregation` | off | join records up to 1 024 000 bytes |
//! | `oversized_events` | `truncate` | what becomes of an event larger than a record; or `split`, `drop`, `dead_letter` |
//! | `endpoint`, `port`, `tls`, `tls.verify`, `tls.ca_file`, `role_arn`, `external_id`, `sts_endpoint`, `profile`, `extra_user_agent` | | how to reach the service |
//!
//! `firehose` is the dialect of AWS's Go plugin: keys sorted, `data_keys` and `replace_dots`, the time in the time zone of the process
//! and under a key of the record, with `log_key` or without.
//!
//! <https://docs.fluentbit.io/manual/pipeline/outputs/firehose>, <https://github.com/aws/amazon-kinesis-firehose-for-fluent-bit>

use std::sync::Arc;

use aws_sdk_firehose::Client;
use aws_sdk_firehose::operation::RequestId;
use aws_sdk_firehose::operation::put_record_batch::PutRecordBatchOutput;
use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::aws::{Aws, Failure, Lazy, Question, Session, abridged, classify, hand_over, unmarked};
use super::compression::Compression;
use super::oversized::Oversized;
use super::records::{self, Api, Content, Format, Joining, Line};
use super::{Answer, Destination, Encoded, Item, Limits, Options, Output, go};
use crate::config::Settings;
use crate::event::Tag;

struct KinesisFirehose {
    client: Lazy<Client>,
    stream: Box<str>,
    format: Format,
}

/// Reads the section of `kinesis_firehose`.
pub(super) fn build(settings: &mut Settings<'_>, options: Options) -> Arc<dyn Output> {
    let aws = Aws::read(settings);
    let content = Content::read(settings, options.json);
    let compression = Compression::read(settings, "compression", records::COMPRESSIONS, false);
    let aggregate = settings.flag("simple_aggregation", false);
    let oversized = Oversized::read(settings, options.keeps_rejected);
    make(settings, aws, content, compression, (aggregate, oversized))
}

/// Reads the section of `firehose`.
pub(super) fn build_go(settings: &mut Settings<'_>, options: Options) -> Arc<dyn Output> {
    settings.tolerate_unknown();
    let aws = Aws::read(settings);
    let content = Content::Go(go::Record::read(settings));
    let aggregate = go::flag(settings, "simple_aggregation", false);
    let oversized = Oversized::read(settings, options.keeps_rejected);
    make(settings, aws, content, None, (aggregate, oversized))
}

fn make(
    settings: &mut Settings<'_>,
    aws: Aws,
    content: Content,
    compression: Option<Compression>,
    (aggregate, oversized): (bool, Oversized),
) -> Arc<dyn Output> {
    Arc::new(KinesisFirehose {
        client: Lazy::new(aws, client),
        stream: settings
            .required("delivery_stream")
            .unwrap_or_default()
            .into(),
        format: Format {
            api: Api::FIREHOSE,
            line: Line {
                content,
                newline: true,
            },
            compression,
            joining: if aggregate {
                Joining::Lines
            } else {
                Joining::None
            },
            oversized,
            partition_key: None,
        },
    })
}

/// What an answer holds when every record was taken.
const ALL_TAKEN: &[u8] = b"\"FailedPutCount\":0,";
/// The same with nothing about each of them.
const ALL_TAKEN_SHORT: &str = r#"{"FailedPutCount":0,"RequestResponses":[]}"#;

fn client(session: &Session) -> Client {
    let http = abridged(session.connector(), ALL_TAKEN, ALL_TAKEN_SHORT);
    let config = aws_sdk_firehose::config::Builder::from(session.config());
    Client::from_conf(config.http_client(http).build())
}

impl KinesisFirehose {
    async fn put(&self, destination: &Destination, body: Bytes) -> Answer {
        let client = match self.client.get().await {
            Ok(client) => client,
            Err(why) => return Answer::again(why),
        };
        let attempt = || put(&client.api, destination, body.clone());
        let answer = client.ask(attempt).await;
        answer.unwrap_or_else(|failure| failure.answer)
    }
}

impl KinesisFirehose {
    /// Puts no record at all, which the service refuses.
    async fn ask(&self) -> Result<String, String> {
        let question = Question {
            target: &format!("delivery stream {}", self.stream),
            action: "firehose:PutRecordBatch",
        };
        let body = serde_json::json!({ "DeliveryStreamName": self.stream, "Records": [] });
        let destination = Destination {
            group: "".into(),
            name: self.stream.clone(),
        };
        question.sort(&self.put(&destination, body.to_string().into()).await)
    }
}

async fn put(client: &Client, destination: &Destination, body: Bytes) -> Result<Answer, Failure> {
    let call = client
        .put_record_batch()
        .delivery_stream_name(&*destination.name)
        .set_records(Some(Vec::new()))
        .customize()
        .mutate_request(move |request| {
            hand_over(&body, request);
        });
    match call.send().await {
        Ok(output) if output.request_id().is_none() => Ok(unmarked()),
        Ok(output) => Ok(answer(&output)),
        // The stream may be made by a deployment that is still under way, so a missing one is asked for again.
        Err(error) => Err(classify(&error, false)),
    }
}

/// Sorts an answer whose records may have failed one by one.
fn answer(output: &PutRecordBatchOutput) -> Answer {
    let responses = output.request_responses().iter().enumerate();
    let failures = responses.filter_map(|(position, response)| {
        let message = response.error_message().unwrap_or_default();
        Some((position, response.error_code()?, message))
    });
    let count = usize::try_from(output.failed_put_count()).unwrap_or_default();
    records::answer(count, failures)
}

impl Output for KinesisFirehose {
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
        Some(self.client.aws().name("firehose", destination))
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

    fn send<'a>(&'a self, destination: &'a Destination, body: Bytes) -> BoxFuture<'a, Answer> {
        Box::pin(self.put(destination, body))
    }

    fn check(&self) -> BoxFuture<'_, Option<Result<String, String>>> {
        Box::pin(async { Some(self.ask().await) })
    }
}
