//! Makes log groups and streams that are missing.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::types::LogGroupClass;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use tokio::sync::Mutex;

use crate::config::Settings;
use crate::output::aws::{Failure, Ready, classify};
use crate::output::{Answer, Destination, Prepared};

const COMPONENT: &str = "output:cloudwatch_logs";

/// The days the service knows.
const RETENTION_DAYS: &[i64] = &[
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922,
    3288, 3653,
];

/// What may be made, and how.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// `None` where groups are not made.
    create: Option<GroupOptions>,
    /// Streams are made.
    streams: bool,
    /// What is known of each group. Many streams of a new group ask for it at once, and one of them makes it.
    known: std::sync::Mutex<HashMap<Box<str>, Arc<Mutex<Known>>>>,
}

/// What is known of a group.
#[derive(Debug, Default)]
struct Known {
    /// It exists.
    exists: bool,
    /// It was made, and its retention is not set yet.
    owes_retention: bool,
}

/// What is known of more groups than this is forgotten: what it saves is a call.
const KNOWN_MAX: usize = 1024;

/// How groups are made.
#[derive(Debug)]
struct GroupOptions {
    class: Option<LogGroupClass>,
    retention_days: Option<i32>,
    tags: HashMap<String, String>,
}

impl Groups {
    /// Reads how groups are made, if they are.
    pub(super) fn read(settings: &mut Settings<'_>, groups: bool, streams: bool) -> Self {
        Self {
            create: group_options(settings, groups),
            streams,
            known: std::sync::Mutex::default(),
        }
    }

    /// Whether a group that is missing is made.
    pub(super) fn makes_groups(&self) -> bool {
        self.create.is_some() && self.streams
    }

    /// Makes the stream, and the group first where that is missing and may be made.
    ///
    /// # Errors
    /// What stands against it, as an answer to the request that needed it.
    pub(super) async fn make(
        &self,
        client: &Ready<Client>,
        destination: &Destination,
    ) -> Result<Prepared, Answer> {
        if !self.streams {
            return Err(Answer::again(format!(
                "{destination} does not exist; make it, or set auto_create_stream true"
            )));
        }
        let group = self.known(&destination.group);
        let mut known = group.lock().await;
        if known.exists {
            // Streams of a group that exists are made side by side.
            drop(known);
            match make_stream(client, destination).await {
                Err(Answer::Missing { .. }) => {}
                other => return other,
            }
            known = group.lock().await;
        }
        let prepared = self.make_both(client, destination, &mut known).await?;
        known.exists = true;
        Ok(prepared)
    }

    async fn make_both(
        &self,
        client: &Ready<Client>,
        destination: &Destination,
        known: &mut Known,
    ) -> Result<Prepared, Answer> {
        if known.owes_retention
            && let Some(options) = &self.create
        {
            options.keep(client, &destination.group).await?;
            known.owes_retention = false;
        }
        let missing = match make_stream(client, destination).await {
            Err(Answer::Missing { why }) => why,
            other => return other,
        };
        let Some(options) = &self.create else {
            return Err(Answer::again(format!(
                "{missing}; make the log group, or set auto_create_group on"
            )));
        };
        options.make(client, &destination.group).await?;
        known.owes_retention = true;
        options.keep(client, &destination.group).await?;
        known.owes_retention = false;
        make_stream(client, destination).await
    }

    fn known(&self, group: &str) -> Arc<Mutex<Known>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(group) = known.get(group) {
            return Arc::clone(group);
        }
        if known.len() >= KNOWN_MAX {
            known.retain(|_, group| group.try_lock().map_or(true, |known| known.owes_retention));
        }
        let fresh = Arc::default();
        known.insert(group.into(), Arc::clone(&fresh));
        fresh
    }
}

fn group_options(settings: &mut Settings<'_>, wanted: bool) -> Option<GroupOptions> {
    let class = settings.text("log_group_class");
    let days = settings
        .integer("log_retention_days")
        .filter(|&days| days > 0);
    let tags = settings.text("new_log_group_tags");
    if !wanted {
        for key in [
            "log_group_class",
            "log_retention_days",
            "new_log_group_tags",
        ] {
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
        tags: tags.as_deref().map(read_tags).unwrap_or_default(),
    })
}

/// Reads `key=value,key2=value2`; the last of equal keys counts, one without a name does not.
fn read_tags(text: &str) -> HashMap<String, String> {
    let pairs = text
        .split(',')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs
        .map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
        .filter(|(key, _)| !key.is_empty())
        .collect()
}

impl GroupOptions {
    async fn make(&self, client: &Ready<Client>, group: &str) -> Result<(), Answer> {
        let made = client.ask(|| async {
            let call = client
                .api
                .create_log_group()
                .log_group_name(group)
                .set_log_group_class(self.class.clone())
                .set_tags(Some(self.tags.clone()).filter(|tags| !tags.is_empty()));
            match call.send().await {
                Err(error) if !exists(&error) => Err(classify(&error, false)),
                _ => Ok(()),
            }
        });
        made.await.map_err(not_made)?;
        crate::info!(COMPONENT, "made the log group {group}");
        Ok(())
    }

    /// Sets how long what is in the group is kept, where that is wanted.
    async fn keep(&self, client: &Ready<Client>, group: &str) -> Result<(), Answer> {
        let Some(days) = self.retention_days else {
            return Ok(());
        };
        let kept = client.ask(|| async {
            let call = client
                .api
                .put_retention_policy()
                .log_group_name(group)
                .retention_in_days(days);
            let sent = call.send().await;
            sent.map(|_| ()).map_err(|error| classify(&error, false))
        });
        match kept.await {
            Err(failure) if is_for_good(&failure) => {
                let why = failure.answer.why().unwrap_or_default();
                crate::error!(
                    COMPONENT,
                    "the retention of the log group {group} cannot be set to {days} days: {why}; set it by hand, its events are delivered"
                );
                Ok(())
            }
            other => other.map_err(not_made),
        }
    }
}

async fn make_stream(
    client: &Ready<Client>,
    destination: &Destination,
) -> Result<Prepared, Answer> {
    let made = client.ask(|| async {
        let call = client
            .api
            .create_log_stream()
            .log_group_name(&*destination.group)
            .log_stream_name(&*destination.name);
        match call.send().await {
            Ok(_) => Ok(Prepared::Made),
            Err(error) if exists(&error) => Ok(Prepared::Found),
            Err(error) => Err(classify(&error, true)),
        }
    });
    made.await.map_err(not_made)
}

/// What a refusal to make something means for the events that wait for it: never that something is wrong with them.
fn not_made(failure: Failure) -> Answer {
    match failure.answer {
        // Two changed the same thing at once.
        Answer::Again { after, why, .. } if failure.code == "OperationAbortedException" => {
            Answer::Again {
                throttled: true,
                after,
                why,
            }
        }
        // So many may exist, which is not how often one may be made.
        Answer::Again { after, why, .. } if failure.code == "LimitExceededException" => {
            Answer::Again {
                throttled: false,
                after,
                why,
            }
        }
        Answer::Unacceptable { why, .. } => Answer::again(why),
        other => other,
    }
}

/// Asking again would not help: it is not allowed, or makes no sense.
fn is_for_good(failure: &Failure) -> bool {
    failure.code.starts_with("AccessDenied")
        || matches!(failure.answer, Answer::Unacceptable { .. })
}

/// Somebody else made it: as good as done.
fn exists<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    matches!(error, SdkError::ServiceError(service) if service.err().code() == Some("ResourceAlreadyExistsException"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: &str, answer: Answer) -> Answer {
        not_made(Failure {
            answer,
            renew: false,
            code: code.to_owned(),
        })
    }

    /// Checklist: outputs 36
    #[test]
    fn a_change_at_the_same_time_is_waited_for_and_a_quota_is_not() {
        let again = |throttled| Answer::Again {
            throttled,
            after: None,
            why: "no".to_owned(),
        };
        let aborted = refused("OperationAbortedException", again(false));
        assert_eq!(aborted, again(true), "it costs no retry");
        let full = refused("LimitExceededException", again(true));
        assert_eq!(full, again(false), "it is not the rate");
        let bad = Answer::Unacceptable {
            why: "no".to_owned(),
            reason: crate::event::DropReason::Refused,
        };
        let bad = refused("InvalidParameterException", bad);
        assert_eq!(bad, again(false), "the events are not at fault");
    }

    #[test]
    fn tags_are_trimmed_and_the_last_of_equal_ones_counts() {
        let tags = read_tags("team = a, cost=12,empty=,=x,team=b, ,bare");
        let mut pairs: Vec<_> = tags
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        pairs.sort();
        assert_eq!(pairs, ["bare=", "cost=12", "empty=", "team=b"]);
    }
}
