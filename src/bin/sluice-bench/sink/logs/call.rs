//! The requests of CloudWatch Logs, and the limits that need no knowledge of the account.
//!
//! Limits: <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html>.

use serde::Deserialize;

use crate::sink::answer::{ApiError, constraint};
use crate::sink::items;
use crate::sink::ledger::Item;

const MAX_EVENTS: usize = 10_000;
const MAX_BATCH_BYTES: usize = 1_048_576;
const EVENT_OVERHEAD: usize = 26;
const MAX_NAME: usize = 512;
const RETENTION_DAYS: &[u32] = &[
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922,
    3288, 3653,
];
const CLASSES: &[&str] = &["STANDARD", "INFREQUENT_ACCESS", "DELIVERY"];

/// A request that parses and keeps within the limits that need no knowledge of the account.
#[derive(Debug)]
pub(in crate::sink) enum Call {
    PutLogEvents(PutLogEvents),
    CreateLogGroup(CreateLogGroup),
    CreateLogStream(CreateLogStream),
    PutRetentionPolicy(PutRetentionPolicy),
}

#[derive(Debug, Deserialize)]
pub(in crate::sink) struct PutLogEvents {
    #[serde(rename = "logGroupName", default)]
    pub(super) group: String,
    #[serde(rename = "logStreamName", default)]
    pub(super) stream: String,
    #[serde(rename = "logEvents")]
    pub(super) events: Vec<Event>,
}

/// One log event.
#[derive(Debug, Deserialize)]
pub(in crate::sink) struct Event {
    /// Milliseconds since 1970.
    pub(super) timestamp: i64,
    #[serde(deserialize_with = "items::text")]
    pub(super) message: Item,
}

#[derive(Debug, Deserialize)]
pub(in crate::sink) struct CreateLogGroup {
    #[serde(rename = "logGroupName", default)]
    pub(super) group: String,
    #[serde(rename = "logGroupClass")]
    pub(super) class: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(in crate::sink) struct CreateLogStream {
    #[serde(rename = "logGroupName", default)]
    pub(super) group: String,
    #[serde(rename = "logStreamName", default)]
    pub(super) stream: String,
}

#[derive(Debug, Deserialize)]
pub(in crate::sink) struct PutRetentionPolicy {
    #[serde(rename = "logGroupName", default)]
    pub(super) group: String,
    #[serde(rename = "retentionInDays")]
    pub(super) days: u32,
}

/// Reads and checks the body of one operation.
pub(in crate::sink) fn parse(operation: &str, body: &[u8]) -> Result<Call, ApiError> {
    let call = match operation {
        "PutLogEvents" => serde_json::from_slice(body).map(Call::PutLogEvents),
        "CreateLogGroup" => serde_json::from_slice(body).map(Call::CreateLogGroup),
        "CreateLogStream" => serde_json::from_slice(body).map(Call::CreateLogStream),
        "PutRetentionPolicy" => serde_json::from_slice(body).map(Call::PutRetentionPolicy),
        _ => {
            return Err(ApiError::violation(
                "UnknownOperationException",
                format!("{operation} is not known here"),
            ));
        }
    };
    let call = call.map_err(|error| ApiError::serialization(&error))?;
    call.check()?;
    Ok(call)
}

impl Call {
    fn check(&self) -> Result<(), ApiError> {
        match self {
            Self::PutLogEvents(put) => {
                check_group(&put.group)?;
                check_stream(&put.stream)?;
                check_events(&put.events)
            }
            Self::CreateLogGroup(create) => {
                check_group(&create.group)?;
                match &create.class {
                    Some(class) if !CLASSES.contains(&class.as_str()) => Err(invalid(constraint(
                        "logGroupClass",
                        format!("satisfy enum value set: {CLASSES:?}"),
                    ))),
                    _ => Ok(()),
                }
            }
            Self::CreateLogStream(create) => {
                check_group(&create.group)?;
                check_stream(&create.stream)
            }
            Self::PutRetentionPolicy(put) => {
                check_group(&put.group)?;
                if RETENTION_DAYS.contains(&put.days) {
                    return Ok(());
                }
                Err(invalid(constraint(
                    "retentionInDays",
                    format!("satisfy enum value set: {RETENTION_DAYS:?}"),
                )))
            }
        }
    }
}

fn check_group(name: &str) -> Result<(), ApiError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/#".contains(&byte);
    if (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(allowed)
        && !name.starts_with("aws/")
    {
        return Ok(());
    }
    Err(invalid(constraint(
        "logGroupName",
        r"satisfy regular expression pattern: [\.\-_/#A-Za-z0-9]{1,512}",
    )))
}

fn check_stream(name: &str) -> Result<(), ApiError> {
    if (1..=MAX_NAME).contains(&name.chars().count()) && !name.contains([':', '*']) {
        return Ok(());
    }
    Err(invalid(constraint(
        "logStreamName",
        "satisfy regular expression pattern: [^:*]{1,512}",
    )))
}

fn check_events(events: &[Event]) -> Result<(), ApiError> {
    if !(1..=MAX_EVENTS).contains(&events.len()) {
        let rule = format!(
            "have length between 1 and {MAX_EVENTS}, not {}",
            events.len()
        );
        return Err(invalid(constraint("logEvents", rule)));
    }
    for (number, event) in (1..).zip(events) {
        if event.message.bytes == 0 {
            let at = format!("logEvents.{number}.member.message");
            return Err(invalid(constraint(
                &at,
                "have length greater than or equal to 1",
            )));
        }
        if event.timestamp < 0 {
            let at = format!("logEvents.{number}.member.timestamp");
            return Err(invalid(constraint(
                &at,
                "have value greater than or equal to 0",
            )));
        }
    }
    let bytes: usize = events
        .iter()
        .map(|event| event.message.bytes + EVENT_OVERHEAD)
        .sum();
    if bytes > MAX_BATCH_BYTES {
        return Err(invalid(format!(
            "Upload too large: {bytes} bytes exceeds limit of {MAX_BATCH_BYTES}"
        )));
    }
    if !events.is_sorted_by_key(|event| event.timestamp) {
        return Err(invalid(
            "Log events in a single PutLogEvents request must be in chronological order.",
        ));
    }
    Ok(())
}

/// The answer to a parameter that breaks a rule.
pub(super) fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::violation("InvalidParameterException", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn put(events: &[(i64, usize)]) -> Result<Call, ApiError> {
        let events: Vec<Value> = events
            .iter()
            .map(|(timestamp, length)| json!({ "timestamp": timestamp, "message": "x".repeat(*length) }))
            .collect();
        parse(
            "PutLogEvents",
            json!({ "logGroupName": "g", "logStreamName": "s", "logEvents": events })
                .to_string()
                .as_bytes(),
        )
    }

    fn code(result: Result<Call, ApiError>) -> &'static str {
        result.map_or_else(|error| error.code, |_| "ok")
    }

    fn create(operation: &str, body: &Value) -> &'static str {
        code(parse(operation, body.to_string().as_bytes()))
    }

    #[test]
    fn put_log_events_is_cut_at_exactly_the_documented_limits() {
        let refused = "InvalidParameterException";
        for (name, events, expected) in [
            ("no event", vec![], refused),
            ("most events", vec![(1, 1); 10_000], "ok"),
            ("one event too many", vec![(1, 1); 10_001], refused),
            ("largest batch", vec![(1, 524_288 - 26); 2], "ok"),
            (
                "one byte too many",
                vec![(1, 524_288 - 26), (1, 524_288 - 25)],
                refused,
            ),
            ("largest event", vec![(1, 1_048_550)], "ok"),
            ("empty message", vec![(1, 1), (2, 0)], refused),
            ("negative time", vec![(-1, 1)], refused),
            ("equal times", vec![(5, 1), (5, 1)], "ok"),
            ("out of order", vec![(6, 1), (5, 1)], refused),
        ] {
            assert_eq!(code(put(&events)), expected, "{name}");
        }
    }

    #[test]
    fn names_classes_and_retentions_are_checked() {
        let long = "g".repeat(513);
        for (group, expected) in [
            ("a/b_c-d.e#1", "ok"),
            ("", "no"),
            ("g*", "no"),
            ("g:h", "no"),
            (&long, "no"),
            ("aws/x", "no"),
        ] {
            let got = create("CreateLogGroup", &json!({ "logGroupName": group }));
            assert_eq!(got == "ok", expected == "ok", "{group}");
        }
        for (stream, expected) in [
            ("app [1] é/x", true),
            ("a:b", false),
            ("a*b", false),
            ("", false),
        ] {
            let got = create(
                "CreateLogStream",
                &json!({ "logGroupName": "g", "logStreamName": stream }),
            );
            assert_eq!(got == "ok", expected, "{stream}");
        }
        for (days, expected) in [(7, true), (8, false), (3653, true), (0, false)] {
            let got = create(
                "PutRetentionPolicy",
                &json!({ "logGroupName": "g", "retentionInDays": days }),
            );
            assert_eq!(got == "ok", expected, "{days}");
        }
        let class = json!({ "logGroupName": "g", "logGroupClass": "NOPE" });
        assert_eq!(
            create("CreateLogGroup", &class),
            "InvalidParameterException"
        );
    }

    #[test]
    fn what_is_not_strict_json_is_a_serialization_error() {
        let bodies: [&[u8]; 4] = [
            b"{",
            b"{\"logGroupName\":\"g\",\"logStreamName\":\"s\",\"logEvents\":[{\"timestamp\":1,\"message\":\"\xff\"}]}",
            br#"{"logGroupName":"g","logStreamName":"s","logEvents":[{"timestamp":1,"message":"\ud800"}]}"#,
            br#"{"logGroupName":"g","logStreamName":"s","logEvents":[{"timestamp":1.5,"message":"x"}]}"#,
        ];
        for body in bodies {
            assert_eq!(code(parse("PutLogEvents", body)), "SerializationException");
        }
        assert_eq!(
            code(parse("GetLogEvents", b"{}")),
            "UnknownOperationException"
        );
    }
}
