//! CloudWatch Logs: the groups and streams of an account.
//!
//! `call.rs` holds the requests with their limits, `windows.rs` the times that are accepted.

mod call;
mod windows;

use std::collections::HashMap;

use hyper::StatusCode;
use serde_json::{Value, json};

pub(super) use self::call::{Call, parse};
use self::call::{CreateLogGroup, CreateLogStream, PutLogEvents};
use self::windows::Windows;
use super::answer::ApiError;
use super::cloud::Storage;

/// The groups of the account, by name.
#[derive(Debug, Default)]
pub(super) struct Groups {
    groups: HashMap<String, Group>,
    /// Whether a put creates what it names.
    auto_create: bool,
}

#[derive(Debug, Default)]
struct Group {
    class: Option<String>,
    retention_days: Option<u32>,
    /// How many events each stream has stored.
    streams: HashMap<String, u64>,
}

impl Groups {
    pub(super) fn new(auto_create: bool) -> Self {
        Self {
            auto_create,
            ..Self::default()
        }
    }

    /// Does what a checked request asks for, and returns the body of the answer.
    pub(super) fn apply(
        &mut self,
        call: Call,
        body: &[u8],
        storage: &mut Storage<'_>,
    ) -> Result<String, ApiError> {
        match call {
            Call::PutLogEvents(put) => self.put(&put, body, storage),
            Call::CreateLogGroup(create) => self.create_group(create),
            Call::CreateLogStream(create) => self.create_stream(create),
            Call::PutRetentionPolicy(put) => {
                self.group(&put.group)?.retention_days = Some(put.days);
                Ok(String::new())
            }
        }
    }

    /// Deletes all groups, or the streams of all.
    pub(super) fn delete(&mut self, groups: bool) {
        if groups {
            self.groups.clear();
        }
        for group in self.groups.values_mut() {
            group.streams.clear();
        }
    }

    /// Groups with their streams; the shape of `GET /groups`.
    pub(super) fn to_json(&self) -> Value {
        let group = |group: &Group| json!({ "class": group.class, "retention_days": group.retention_days, "streams": group.streams });
        self.groups
            .iter()
            .map(|(name, found)| (name.clone(), group(found)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    fn put(
        &mut self,
        put: &PutLogEvents,
        body: &[u8],
        storage: &mut Storage<'_>,
    ) -> Result<String, ApiError> {
        let (group_name, stream_name) = (&put.group, &put.stream);
        if self.auto_create {
            self.groups
                .entry(group_name.clone())
                .or_default()
                .streams
                .entry(stream_name.clone())
                .or_default();
        }
        let group = self.group(group_name)?;
        let retention_days = group.retention_days;
        let stored_before = group
            .streams
            .get_mut(stream_name)
            .ok_or_else(|| missing("stream"))?;
        let now_ms = i64::try_from(storage.now / 1_000_000).unwrap_or(i64::MAX);
        let windows = Windows::of(&put.events, retention_days, now_ms);
        windows.check_span(&put.events)?;
        let stored = put.events.get(windows.stored()).unwrap_or_default();
        *stored_before += stored.len() as u64;
        let stream = stream_key(group_name, stream_name);
        storage.ledger.store(
            &stream,
            stored.iter().map(|event| &event.message),
            storage.now,
        );
        storage.ledger.reject("too_old", windows.too_old_end);
        storage
            .ledger
            .reject("expired", windows.expired_end - windows.too_old_end);
        storage
            .ledger
            .reject("too_new", put.events.len() - windows.too_new_start);
        storage.kept.add(&stream, body, "logEvents", |at| {
            windows.stored().contains(&at)
        });
        Ok(windows.answer(put.events.len()))
    }

    fn create_group(&mut self, create: CreateLogGroup) -> Result<String, ApiError> {
        if self.groups.contains_key(&create.group) {
            return Err(exists("group"));
        }
        self.groups.insert(
            create.group,
            Group {
                class: create.class,
                ..Group::default()
            },
        );
        Ok(String::new())
    }

    fn create_stream(&mut self, create: CreateLogStream) -> Result<String, ApiError> {
        if self.auto_create {
            self.groups.entry(create.group.clone()).or_default();
        }
        let streams = &mut self.group(&create.group)?.streams;
        if streams.contains_key(&create.stream) {
            return Err(exists("stream"));
        }
        streams.insert(create.stream, 0);
        Ok(String::new())
    }

    fn group(&mut self, name: &str) -> Result<&mut Group, ApiError> {
        self.groups.get_mut(name).ok_or_else(|| missing("group"))
    }
}

/// The name under which ledger and kept texts know a stream; neither part may hold a colon.
pub(super) fn stream_key(group: &str, stream: &str) -> String {
    format!("{group}:{stream}")
}

fn missing(what: &str) -> ApiError {
    let message = format!("The specified log {what} does not exist.");
    ApiError::refusal(
        StatusCode::BAD_REQUEST,
        "ResourceNotFoundException",
        message,
    )
}

fn exists(what: &str) -> ApiError {
    let message = format!("The specified log {what} already exists");
    ApiError::refusal(
        StatusCode::BAD_REQUEST,
        "ResourceAlreadyExistsException",
        message,
    )
}
