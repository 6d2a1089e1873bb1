//! `cloudwatch_logs`: `PutLogEvents`, with groups, streams and retention made on demand.
//!
//! | setting | default | effect |
//! |---|---|---|
//! | `region` | required | |
//! | `log_group_name` | required | |
//! | `log_stream_name` or `log_stream_prefix` | one is required | the stream, or what the tag is appended to |
//! | `log_group_template`, `log_stream_template` | | names made from the record, see `docs/configuration.md` |
//! | `log_key` | | send this key's value instead of the whole record |
//! | `log_format` | | sent as header `x-amzn-logs-format`, such as `json/emf` |
//! | `auto_create_group` | off | make a group that is missing; streams are always made |
//! | `log_group_class` | `STANDARD` | of a group that is made; or `INFREQUENT_ACCESS` |
//! | `log_retention_days` | never expire | of a group that is made |
//! | `endpoint`, `port`, `tls`, `tls.verify`, `tls.ca_file`, `role_arn`, `external_id`, `sts_endpoint`, `profile` | | how to reach the service |
//!
//! <https://docs.fluentbit.io/manual/pipeline/outputs/cloudwatch>

mod request;
mod stream_name;

use std::collections::HashMap;
use std::sync::Arc;

use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::operation::RequestId;
use aws_sdk_cloudwatchlogs::operation::put_log_events::PutLogEventsOutput;
use aws_sdk_cloudwatchlogs::types::{LogGroupClass, RejectedLogEventsInfo};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::Mutex;

use self::request::Message;
use super::aws::{Aws, Failure, Lazy, classify, hand_over, unmarked};
use super::template::{Template, TemplateError};
use super::{Answer, Destination, Encoded, Item, Limits, Options, Output};
use crate::config::Settings;
use crate::event::{DropReason, EventTime, Tag};

/// The days the service knows.
const RETENTION_DAYS: &[i64] = &[
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922,
    3288, 3653,
];

/// How streams are named.
enum StreamName {
    Fixed(String),
    Prefix(String),
}

struct CloudWatchLogs {
    client: Lazy<Client>,
    group: String,
    stream: StreamName,
    group_template: Option<Template>,
    stream_template: Option<Template>,
    message: Message,
    log_format: Option<String>,
    create: Option<GroupOptions>,
    /// One lock for each group that is being made: many streams of a new group ask for it at once.
    making: Mutex<HashMap<Box<str>, Arc<Mutex<()>>>>,
}

/// How groups are made.
struct GroupOptions {
    class: Option<LogGroupClass>,
    retention_days: Option<i32>,
}

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, options: Options) -> Arc<dyn Output> {
    let aws = Aws::read(settings);
    let stream = match (
        settings.text("log_stream_name"),
        settings.text("log_stream_prefix"),
    ) {
        (Some(name), None) => StreamName::Fixed(name),
        (None, Some(prefix)) => StreamName::Prefix(prefix),
        (one, _) => {
            let message = if one.is_some() {
                "exclude each other; leave one out"
            } else {
                "one of the two is required"
            };
            settings.error(
                "log_stream_name",
                format!("log_stream_name and log_stream_prefix: {message}"),
            );
            StreamName::Prefix(String::new())
        }
    };
    settings.accept(&["metric_namespace", "metric_dimensions", "add_entity"]);
    let message = match settings.text("log_key") {
        Some(key) => Message::Key(key.into_bytes().into(), options.json),
        None => Message::Record(options.json),
    };
    Arc::new(CloudWatchLogs {
        client: Lazy::new(aws, Client::new),
        group: settings.required("log_group_name").unwrap_or_default(),
        stream,
        group_template: template(settings, "log_group_template"),
        stream_template: template(settings, "log_stream_template"),
        message,
        log_format: settings.text("log_format"),
        create: group_options(settings),
        making: Mutex::default(),
    })
}

fn template(settings: &mut Settings<'_>, key: &'static str) -> Option<Template> {
    let text = settings.text(key)?;
    match Template::new(&text) {
        Ok(template) => Some(template),
        Err(error @ (TemplateError::Accessor(_) | TemplateError::NoSeparator(_))) => {
            settings.error(key, error.to_string());
            None
        }
    }
}

/// Reads how groups are made; `None` when they are not.
fn group_options(settings: &mut Settings<'_>) -> Option<GroupOptions> {
    let wanted = settings.flag("auto_create_group", false);
    let class = settings.text("log_group_class");
    let days = settings
        .integer("log_retention_days")
        .filter(|&days| days > 0);
    if !wanted {
        for key in ["log_group_class", "log_retention_days"] {
            if settings.text(key).is_some() {
                settings.warning(
                    key,
                    "is for groups that are made, and auto_create_group is off",
                );
            }
        }
        return None;
    }
    let class = match class.as_deref() {
        None | Some("STANDARD") => None,
        Some("INFREQUENT_ACCESS") => Some(LogGroupClass::InfrequentAccess),
        Some(other) => {
            settings.error(
                "log_group_class",
                format!("{other} is no class; write STANDARD or INFREQUENT_ACCESS"),
            );
            None
        }
    };
    if let Some(days) = days.filter(|days| !RETENTION_DAYS.contains(days)) {
        settings.warning(
            "log_retention_days",
            format!("the service does not know {days} days and will refuse it"),
        );
    }
    Some(GroupOptions {
        class,
        retention_days: days.and_then(|days| i32::try_from(days).ok()),
    })
}

impl CloudWatchLogs {
    fn stream_for(&self, tag: &Tag) -> String {
        match &self.stream {
            StreamName::Fixed(name) => name.clone(),
            StreamName::Prefix(prefix) => format!("{prefix}{}", tag.to_text()),
        }
    }

    /// Books what a failed call means for the credentials.
    async fn fail(&self, failure: Failure) -> Answer {
        if failure.renew {
            self.client.renew().await;
        }
        failure.answer
    }

    async fn put(&self, destination: &Destination, body: Bytes) -> Answer {
        let client = match self.client.get().await {
            Ok(client) => client,
            Err(why) => return Answer::again(why),
        };
        let log_format = self.log_format.clone();
        let call = client
            .put_log_events()
            .log_group_name(&*destination.group)
            .log_stream_name(&*destination.name)
            .set_log_events(Some(Vec::new()))
            .customize()
            .mutate_request(move |request| {
                hand_over(&body, request);
                if let Some(format) = &log_format {
                    request
                        .headers_mut()
                        .insert("x-amzn-logs-format", format.clone());
                }
            });
        match call.send().await {
            Ok(output) if output.request_id().is_none() => unmarked(),
            Ok(output) => Answer::Done {
                rejected: rejected(&output),
            },
            Err(error) => self.fail(classify(&error, true)).await,
        }
    }

    async fn make_stream(&self, client: &Client, destination: &Destination) -> Result<(), Answer> {
        let call = client
            .create_log_stream()
            .log_group_name(&*destination.group)
            .log_stream_name(&*destination.name);
        match call.send().await {
            Err(error) if !exists(&error) => Err(self.fail(classify(&error, true)).await),
            _ => Ok(()),
        }
    }

    async fn make_group(
        &self,
        client: &Client,
        group: &str,
        options: &GroupOptions,
    ) -> Result<(), Answer> {
        let call = client
            .create_log_group()
            .log_group_name(group)
            .set_log_group_class(options.class.clone());
        if let Err(error) = call.send().await
            && !exists(&error)
        {
            return Err(self.fail(classify(&error, false)).await);
        }
        crate::info!("output:cloudwatch_logs", "made the log group {group}");
        let Some(days) = options.retention_days else {
            return Ok(());
        };
        match client
            .put_retention_policy()
            .log_group_name(group)
            .retention_in_days(days)
            .send()
            .await
        {
            Ok(_) => Ok(()),
            Err(error) => Err(self.fail(classify(&error, false)).await),
        }
    }

    /// Makes the stream, and the group first where that is missing and may be made.
    async fn make(&self, destination: &Destination) -> Result<(), Answer> {
        let client = self.client.get().await.map_err(Answer::again)?;
        let lock = Arc::clone(
            self.making
                .lock()
                .await
                .entry(destination.group.clone())
                .or_default(),
        );
        let _single_flight = lock.lock().await;
        let missing = match self.make_stream(&client, destination).await {
            Err(Answer::Missing { why }) => why,
            other => return other,
        };
        let Some(options) = &self.create else {
            return Err(Answer::again(format!(
                "{missing}; make the log group, or set auto_create_group on"
            )));
        };
        self.make_group(&client, &destination.group, options)
            .await?;
        self.make_stream(&client, destination).await
    }
}

/// Somebody else made it: as good as done.
fn exists<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    matches!(error, SdkError::ServiceError(service) if service.err().code() == Some("ResourceAlreadyExistsException"))
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
        if self.group_template.is_some() || self.stream_template.is_some() {
            return None;
        }
        Some(Destination {
            group: stream_name::group(&self.group),
            name: stream_name::stream(&self.stream_for(tag)),
        })
    }

    fn destination_of(&self, item: Item<'_>) -> Destination {
        let render = |template: &Option<Template>| {
            template.as_ref().and_then(|template| template.render(item))
        };
        let group = render(&self.group_template);
        let stream = render(&self.stream_template).unwrap_or_else(|| self.stream_for(item.tag));
        Destination {
            group: stream_name::group(group.as_deref().unwrap_or(&self.group)),
            name: stream_name::stream(&stream),
        }
    }

    fn encode(
        &self,
        destination: &Destination,
        items: &mut dyn Iterator<Item = Item<'_>>,
        body: Vec<u8>,
    ) -> Encoded {
        request::encode(destination, &self.message, EventTime::now(), items, body)
    }

    fn send<'a>(&'a self, destination: &'a Destination, body: Bytes) -> BoxFuture<'a, Answer> {
        Box::pin(self.put(destination, body))
    }

    fn prepare<'a>(&'a self, destination: &'a Destination) -> BoxFuture<'a, Result<(), Answer>> {
        Box::pin(self.make(destination))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
