//! `cloudwatch_logs` and `cloudwatch`: `PutLogEvents`, with groups, streams and retention made on demand.
//!
//! | file | purpose |
//! |---|---|
//! | `request.rs` | events into the body of one call |
//! | `names.rs`, `stream_name.rs` | the names of groups and streams, and what may stand in them |
//! | `groups.rs` | groups and streams that are missing |
//!
//! | setting | default | effect |
//! |---|---|---|
//! | `region` | the task's | |
//! | `log_group_name` | required | |
//! | `log_stream_name` or `log_stream_prefix` | one is required | the stream, or what the tag is appended to |
//! | `log_group_template`, `log_stream_template` | | names made from the record, see `docs/configuration.md` |
//! | `log_key` | | send this key's value instead of the whole record |
//! | `log_format` | | sent as header `x-amzn-logs-format`, such as `json/emf` |
//! | `compression` | none | `gzip`: of whole requests |
//! | `oversized_events` | `truncate` | what becomes of an event larger than the service takes; or `split`, `drop`, `dead_letter` |
//! | `auto_create_group` | off | make a group that is missing; streams are always made |
//! | `log_group_class` | `STANDARD` | of a group that is made; or `INFREQUENT_ACCESS` |
//! | `log_retention_days` | never expire | of a group that is made |
//! | `new_log_group_tags` | | of a group that is made: `key=value,..` |
//! | `endpoint`, `port`, `tls`, `tls.verify`, `tls.ca_file`, `role_arn`, `external_id`, `sts_endpoint`, `profile`, `extra_user_agent` | | how to reach the service |
//!
//! `cloudwatch` is the dialect of AWS's Go plugin: keys sorted, blanks around a message left out, `$(..)` in the names of groups and
//! streams, `default_log_group_name`, `default_log_stream_name`, `auto_create_stream`, `credentials_endpoint`.
//!
//! <https://docs.fluentbit.io/manual/pipeline/outputs/cloudwatch>, <https://github.com/aws/amazon-cloudwatch-logs-for-fluent-bit>

mod groups;
mod names;
mod request;
mod stream_name;

use std::sync::Arc;

use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::operation::RequestId;
use aws_sdk_cloudwatchlogs::operation::put_log_events::PutLogEventsOutput;
use aws_sdk_cloudwatchlogs::types::RejectedLogEventsInfo;
use bytes::Bytes;
use futures_util::future::BoxFuture;

use self::groups::Groups;
use self::names::Names;
use self::request::Message;
use super::aws::{Aws, Failure, Lazy, Question, Session, classify, hand_over, unmarked};
use super::compression::Compression;
use super::oversized::Oversized;
use super::{Answer, Destination, Encoded, Item, Limits, Options, Output, Prepared, go};
use crate::config::Settings;
use crate::event::{DropReason, Event, EventTime, Tag};
use crate::msgpack::json::Json;

struct CloudWatchLogs {
    client: Lazy<Client>,
    names: Names,
    message: Message,
    oversized: Oversized,
    log_format: Option<String>,
    compression: Option<Compression>,
    groups: Groups,
}

/// Reads the section of `cloudwatch_logs`.
pub(super) fn build(settings: &mut Settings<'_>, options: Options) -> Arc<dyn Output> {
    let aws = Aws::read(settings);
    settings.accept(&["metric_namespace", "metric_dimensions", "add_entity"]);
    let message = match settings.text("log_key") {
        Some(key) => Message::Key(key.into_bytes().into(), options.json),
        None => Message::Record(options.json),
    };
    let create_group = settings.flag("auto_create_group", false);
    let names = Names::read(settings);
    let groups = Groups::read(settings, create_group, true);
    let oversized = Oversized::read(settings, options.keeps_rejected);
    make(settings, aws, names, message, (groups, oversized))
}

/// Reads the section of `cloudwatch`.
pub(super) fn build_go(settings: &mut Settings<'_>, options: Options) -> Arc<dyn Output> {
    settings.tolerate_unknown();
    let aws = Aws::read(settings).with_credentials_endpoint(settings);
    let message = Message::Go(go::Record::read_log_key(settings));
    let create_group = go::flag(settings, "auto_create_group", false);
    let create_streams = go::flag(settings, "auto_create_stream", true);
    let names = Names::read_go(settings);
    let groups = Groups::read(settings, create_group, create_streams);
    let oversized = Oversized::read(settings, options.keeps_rejected);
    make(settings, aws, names, message, (groups, oversized))
}

fn make(
    settings: &mut Settings<'_>,
    aws: Aws,
    names: Names,
    message: Message,
    (groups, oversized): (Groups, Oversized),
) -> Arc<dyn Output> {
    let compressions = [Compression::Gzip];
    Arc::new(CloudWatchLogs {
        client: Lazy::new(aws, |session: &Session| Client::new(session.config())),
        names,
        message,
        oversized,
        log_format: settings.text("log_format"),
        compression: Compression::read(settings, "compression", &compressions, false),
        groups,
    })
}

impl CloudWatchLogs {
    async fn put(&self, destination: &Destination, body: Bytes) -> Result<Answer, Answer> {
        let known = self.names.resolve(destination).await?;
        let mut call = PutCall {
            body: request::readdressed(body, destination, &known),
            log_format: self.log_format.as_deref(),
            packed: false,
        };
        if let Some(compression) = self.compression {
            let packed = compression.pack(&call.body);
            // What does not get smaller goes as it is.
            if packed.len() < call.body.len() {
                (call.body, call.packed) = (packed.into(), true);
            }
        }
        let client = self.client.get().await.map_err(Answer::again)?;
        let attempt = || call.send(&client.api, &known);
        client.ask(attempt).await.map_err(|failure| failure.answer)
    }

    async fn make(&self, destination: &Destination) -> Result<Prepared, Answer> {
        let known = self.names.resolve(destination).await?;
        let client = self.client.get().await.map_err(Answer::again)?;
        self.groups.make(&client, &known).await
    }
}

impl CloudWatchLogs {
    /// Puts an event into a stream of the group that does not exist: no call but `CreateLogStream` makes one.
    async fn ask(&self) -> Result<String, String> {
        let event = Event {
            time: EventTime::now(),
            metadata: &[],
            record: CHECK,
        };
        let tag = Tag::new(b"sluice-check");
        let wanted = self.names.of_item(Item { tag: &tag, event });
        let destination = Destination {
            name: format!("sluice-check-{:016x}", fastrand::u64(..)).into(),
            ..wanted
        };
        let question = Question {
            target: &format!("log group {}", destination.group),
            action: "logs:PutLogEvents",
        };
        let mut items = std::iter::once(Item { tag: &tag, event });
        let (now, message) = (EventTime::now(), Message::Record(Json::default()));
        let whole = Oversized::default();
        let encoded = request::encode(&destination, &message, whole, now, &mut items, Vec::new());
        let answer = self.put(&destination, encoded.body).await;
        match answer.unwrap_or_else(|answer| answer) {
            Answer::Missing { why } if !why.contains("log group") => question.sort(&Answer::done()),
            Answer::Missing { .. } if self.groups.makes_groups() => Ok(format!(
                "{} does not exist and will be made, which needs logs:CreateLogGroup and logs:CreateLogStream",
                question.target
            )),
            Answer::Missing { why } => Err(format!(
                "{}: {why}; make the log group, or set auto_create_group on",
                question.target
            )),
            other => question.sort(&other),
        }
    }
}

/// The record `{"check": "sluice"}`.
const CHECK: &[u8] = b"\x81\xa5check\xa6sluice";

/// One call.
struct PutCall<'o> {
    body: Bytes,
    log_format: Option<&'o str>,
    /// The body is gzip.
    packed: bool,
}

impl PutCall<'_> {
    async fn send(&self, client: &Client, destination: &Destination) -> Result<Answer, Failure> {
        let (body, packed) = (self.body.clone(), self.packed);
        let log_format = self.log_format.map(str::to_owned);
        let call = client
            .put_log_events()
            .log_group_name(&*destination.group)
            .log_stream_name(&*destination.name)
            .set_log_events(Some(Vec::new()))
            .customize()
            .mutate_request(move |request| {
                hand_over(&body, request);
                let headers = request.headers_mut();
                if let Some(format) = &log_format {
                    headers.insert("x-amzn-logs-format", format.clone());
                }
                if packed {
                    headers.insert("content-encoding", Compression::Gzip.name());
                }
            });
        match call.send().await {
            Ok(output) if output.request_id().is_none() => Ok(unmarked()),
            Ok(output) => Ok(Answer::Done {
                rejected: rejected(&output),
            }),
            Err(error) => Err(classify(&error, true)),
        }
    }
}

/// The positions that the service took the call without.
fn rejected(output: &PutLogEventsOutput) -> Vec<(std::ops::Range<usize>, DropReason)> {
    let Some(info) = output.rejected_log_events_info() else {
        return Vec::new();
    };
    rejected_ranges(info)
}

/// The old ones stand at the start (the ends are exclusive), the new ones at the end.
fn rejected_ranges(info: &RejectedLogEventsInfo) -> Vec<(std::ops::Range<usize>, DropReason)> {
    let index = |index: Option<i32>| index.and_then(|index| usize::try_from(index).ok());
    let old = index(info.too_old_log_event_end_index()).unwrap_or_default();
    let expired = index(info.expired_log_event_end_index())
        .unwrap_or_default()
        .max(old);
    let new = index(info.too_new_log_event_start_index());
    let mut rejected = vec![
        (0..old, DropReason::TooOld),
        (old..expired, DropReason::Expired),
    ];
    if let Some(start) = new {
        rejected.push((start..request::LIMITS.events.max(start), DropReason::TooNew));
    }
    rejected.retain(|(range, _)| !range.is_empty());
    rejected
}

impl Output for CloudWatchLogs {
    fn limits(&self) -> Limits {
        request::LIMITS
    }

    fn destination(&self, tag: &Tag) -> Option<Destination> {
        self.names.of_tag(tag)
    }

    fn destination_of(&self, item: Item<'_>) -> Destination {
        self.names.of_item(item)
    }

    fn throttled_as(&self, destination: &Destination) -> Option<String> {
        Some(self.client.aws().name("logs", destination))
    }

    fn encode(
        &self,
        destination: &Destination,
        items: &mut dyn Iterator<Item = Item<'_>>,
        body: Vec<u8>,
    ) -> Encoded {
        let (now, oversized) = (EventTime::now(), self.oversized);
        request::encode(destination, &self.message, oversized, now, items, body)
    }

    fn encode_part(
        &self,
        destination: &Destination,
        item: Item<'_>,
        number: u32,
    ) -> Option<(Encoded, bool)> {
        let splits = self.oversized == Oversized::Split;
        let now = EventTime::now();
        let part = || request::encode_part(destination, &self.message, now, item, number);
        splits.then(part).flatten()
    }

    fn send<'a>(&'a self, destination: &'a Destination, body: Bytes) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            self.put(destination, body)
                .await
                .unwrap_or_else(|answer| answer)
        })
    }

    fn made_as(&self) -> Option<String> {
        let everything = Destination::default();
        Some(self.client.aws().name("logs creation", &everything))
    }

    fn prepare<'a>(
        &'a self,
        destination: &'a Destination,
    ) -> BoxFuture<'a, Result<Prepared, Answer>> {
        Box::pin(self.make(destination))
    }

    fn check(&self) -> BoxFuture<'_, Option<Result<String, String>>> {
        Box::pin(async { Some(self.ask().await) })
    }
}

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests {
    use super::*;

    /// Checklist: outputs 31
    #[test]
    fn rejected_events_are_told_by_their_indices() {
        let info = RejectedLogEventsInfo::builder()
            .too_old_log_event_end_index(2)
            .expired_log_event_end_index(5)
            .too_new_log_event_start_index(9_998)
            .build();
        let expected = [
            (0..2, DropReason::TooOld),
            (2..5, DropReason::Expired),
            (9_998..10_000, DropReason::TooNew),
        ];
        assert_eq!(rejected_ranges(&info), expected);
        assert_eq!(
            rejected_ranges(&RejectedLogEventsInfo::builder().build()),
            []
        );
    }
}
