//! `kinesis_firehose`: `PutRecordBatch` to a Data Firehose stream.
//!
//! | setting | default | effect |
//! |---|---|---|
//! | `region`, `delivery_stream` | required | |
//! | `log_key` | | send this key's value instead of the whole record, as it is |
//! | `time_key`, `time_key_format` | , `%Y-%m-%dT%H:%M:%S` | add the time under this key, in UTC; not with `log_key` |
//! | `compression` | none | `gzip`: each record by itself |
//! | `simple_aggregation` | off | join records up to 1 024 000 bytes |
//! | `endpoint`, `port`, `tls`, `tls.verify`, `tls.ca_file`, `role_arn`, `external_id`, `sts_endpoint`, `profile` | | how to reach the service |
//!
//! <https://docs.fluentbit.io/manual/pipeline/outputs/firehose>

mod request;
mod time_key;

use std::sync::Arc;

use aws_sdk_firehose::Client;
use aws_sdk_firehose::operation::RequestId;
use aws_sdk_firehose::operation::put_record_batch::PutRecordBatchOutput;
use bytes::Bytes;
use futures_util::future::BoxFuture;

use self::request::Format;
use self::time_key::{DEFAULT_FORMAT, TimeKey};
use super::aws::{Aws, Lazy, classify, hand_over, unmarked};
use super::{Answer, Destination, Encoded, Item, Limits, Options, Output};
use crate::config::Settings;
use crate::event::Tag;

struct KinesisFirehose {
    client: Lazy<Client>,
    stream: Box<str>,
    format: Format,
}

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, options: Options) -> Arc<dyn Output> {
    let aws = Aws::read(settings);
    let log_key = settings.text("log_key");
    let time_key = settings.text("time_key");
    let time_format = settings.text("time_key_format");
    if log_key.is_some() && time_key.is_some() {
        settings.error(
            "time_key",
            "time_key and log_key exclude each other; leave one out",
        );
    }
    let time_key = time_key.and_then(|key| {
        TimeKey::new(&key, time_format.as_deref().unwrap_or(DEFAULT_FORMAT))
            .map_err(|error| settings.error("time_key_format", error))
            .ok()
    });
    let gzip = match settings.text("compression").as_deref() {
        None => false,
        Some("gzip") => true,
        Some(other @ ("zstd" | "snappy")) => {
            settings.error(
                "compression",
                format!("{other} is not supported yet; write gzip or leave it out"),
            );
            false
        }
        Some(other) => {
            settings.error(
                "compression",
                format!("{other} is no compression; write gzip or leave it out"),
            );
            false
        }
    };
    Arc::new(KinesisFirehose {
        client: Lazy::new(aws, Client::new),
        stream: settings
            .required("delivery_stream")
            .unwrap_or_default()
            .into(),
        format: Format {
            json: options.json,
            log_key: log_key.map(|key| key.into_bytes().into()),
            time_key,
            gzip,
            aggregate: settings.flag("simple_aggregation", false),
        },
    })
}

impl KinesisFirehose {
    async fn put(&self, destination: &Destination, body: Bytes) -> Answer {
        let client = match self.client.get().await {
            Ok(client) => client,
            Err(why) => return Answer::again(why),
        };
        let call = client
            .put_record_batch()
            .delivery_stream_name(&*destination.name)
            .set_records(Some(Vec::new()))
            .customize()
            .mutate_request(move |request| {
                hand_over(&body, request);
            });
        match call.send().await {
            Ok(output) if output.request_id().is_none() => unmarked(),
            Ok(output) => answer(&output),
            Err(error) => {
                // The stream may be made by a deployment that is still under way, so a missing one is asked for again.
                let failure = classify(&error, false);
                if failure.renew {
                    self.client.renew().await;
                }
                failure.answer
            }
        }
    }
}

/// Sorts an answer whose records may have failed one by one.
fn answer(output: &PutRecordBatchOutput) -> Answer {
    if output.failed_put_count() == 0 {
        return Answer::done();
    }
    let responses = output.request_responses();
    let failures = || {
        responses
            .iter()
            .enumerate()
            .filter(|(_, response)| response.error_code().is_some())
    };
    let Some((_, first)) = failures().next() else {
        return Answer::again("the service reports failed records and does not say which");
    };
    let code = first.error_code().unwrap_or_default();
    Answer::Partly {
        failed: failures().map(|(position, _)| position).collect(),
        throttled: failures()
            .any(|(_, response)| response.error_code() == Some("ServiceUnavailableException")),
        why: format!("{code}: {}", first.error_message().unwrap_or_default()),
    }
}

impl Output for KinesisFirehose {
    fn limits(&self) -> Limits {
        request::LIMITS
    }

    fn destination(&self, _: &Tag) -> Option<Destination> {
        Some(Destination {
            group: "".into(),
            name: self.stream.clone(),
        })
    }

    fn encode(
        &self,
        destination: &Destination,
        items: &mut dyn Iterator<Item = Item<'_>>,
        body: Vec<u8>,
    ) -> Encoded {
        request::encode(destination, &self.format, items, body)
    }

    fn send<'a>(&'a self, destination: &'a Destination, body: Bytes) -> BoxFuture<'a, Answer> {
        Box::pin(self.put(destination, body))
    }
}
