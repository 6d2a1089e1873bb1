//! What an error of a service means for the events.
//!
//! Codes and classes: <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/CommonErrors.html>,
//! <https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html>

use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use serde::Deserialize;

use super::Reply;
use crate::event::DropReason;
use crate::output::Answer;
use crate::output::net::with_causes;

/// A service's error, sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::output) struct Failure {
    /// What becomes of the request.
    pub(in crate::output) answer: Answer,
    /// The credentials are the fault.
    pub(in crate::output) renew: bool,
    /// The code the service gave.
    pub(in crate::output) code: String,
}

/// Sorts an error. `missing_is_repairable`: the destination can be made.
pub(in crate::output) fn classify<E>(
    error: &SdkError<E, HttpResponse>,
    missing_is_repairable: bool,
) -> Failure
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match error {
        SdkError::ServiceError(service) => {
            let raw = service.raw();
            let after = retry_after(|name| raw.headers().get(name));
            let code = service.err().code().unwrap_or_default();
            let message = service.err().message().unwrap_or_default();
            sort(
                code,
                message,
                raw.status().as_u16(),
                after,
                missing_is_repairable,
            )
        }
        SdkError::ResponseError(response) => {
            let status = response.raw().status().as_u16();
            sort(
                "",
                "the answer cannot be read",
                status,
                None,
                missing_is_repairable,
            )
        }
        other => Failure {
            answer: Answer::again(with_causes(other)),
            renew: false,
            code: String::new(),
        },
    }
}

/// Sorts an error of a service that speaks JSON.
pub(in crate::output) fn json_failure(reply: &Reply, missing_is_repairable: bool) -> Failure {
    let error: JsonError = serde_json::from_slice(&reply.body).unwrap_or_default();
    let kind = reply.header("x-amzn-errortype").unwrap_or(&error.kind);
    let code = kind.rsplit('#').next().unwrap_or_default();
    let code = code.split(':').next().unwrap_or_default();
    reply.failure(code, &error.message, missing_is_repairable)
}

#[derive(Debug, Default, Deserialize)]
struct JsonError {
    #[serde(rename = "__type", default)]
    kind: String,
    #[serde(alias = "Message", default)]
    message: String,
}

/// How long the headers of an answer ask to wait.
pub(super) fn retry_after<'h>(
    header: impl Fn(&'static str) -> Option<&'h str>,
) -> Option<Duration> {
    let number = |name| header(name).and_then(|text| text.parse().ok());
    number("x-amz-retry-after")
        .map(Duration::from_millis)
        .or_else(|| number("retry-after").map(Duration::from_secs))
}

/// Sorts what a service says.
pub(super) fn sort(
    code: &str,
    message: &str,
    status: u16,
    after: Option<Duration>,
    missing_is_repairable: bool,
) -> Failure {
    let why = if code.is_empty() {
        format!("HTTP status {status}: {message}")
    } else {
        format!("{code}: {message}")
    };
    let again = |throttled| Answer::Again {
        throttled,
        after,
        why: why.clone(),
    };
    let unacceptable = |reason| Answer::Unacceptable {
        why: why.clone(),
        reason,
    };
    let (answer, renew) = match code {
        "DataAlreadyAcceptedException" => (Answer::done(), false),
        "ThrottlingException"
        | "Throttling"
        | "ThrottledException"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "ProvisionedThroughputExceededException"
        | "LimitExceededException"
        | "SlowDown"
        | "BandwidthLimitExceeded"
        | "KMSThrottlingException" => (again(true), false),
        "ExpiredToken"
        | "ExpiredTokenException"
        | "TokenRefreshRequired"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidAccessKeyId"
        | "InvalidToken"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "IncompleteSignature"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "RequestExpired"
        | "RequestTimeTooSkewed" => (again(false), true),
        "ResourceNotFoundException" if missing_is_repairable => {
            (Answer::Missing { why: why.clone() }, false)
        }
        "RequestEntityTooLargeException" => (unacceptable(DropReason::TooLarge), false),
        "SerializationException"
        | "InvalidParameterException"
        | "InvalidArgumentException"
        | "ValidationException"
        | "UnknownOperationException"
        | "InvalidSourceException" => (unacceptable(DropReason::Refused), false),
        _ => match status {
            413 => (unacceptable(DropReason::TooLarge), false),
            429 | 509 => (again(true), false),
            // Everything else may pass: a policy is mended, a key enabled, a service comes back. The events are kept.
            _ => (again(false), false),
        },
    };
    Failure {
        answer,
        renew,
        code: code.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(code: &str, status: u16) -> (&'static str, bool) {
        let failure = sort(code, "text", status, None, true);
        let class = match failure.answer {
            Answer::Done { .. } => "done",
            Answer::Partly { .. } => "partly",
            Answer::Again {
                throttled: true, ..
            } => "throttled",
            Answer::Again { .. } => "again",
            Answer::Missing { .. } => "missing",
            Answer::Unacceptable { .. } => "unacceptable",
        };
        (class, failure.renew)
    }

    /// Checklist: outputs 28
    #[test]
    fn every_class_of_error_has_its_answer() {
        let of_class = [
            (
                ("throttled", false),
                "ThrottlingException Throttling ThrottledException TooManyRequestsException RequestLimitExceeded RequestThrottled \
                 RequestThrottledException ProvisionedThroughputExceededException LimitExceededException SlowDown \
                 BandwidthLimitExceeded KMSThrottlingException",
            ),
            (
                ("again", false),
                "InternalFailure InternalFailureException InternalServerError ServiceUnavailableException ServiceUnavailable \
                 RequestTimeout RequestTimeoutException RequestAbortedException AccessDeniedException AccessDenied OptInRequired \
                 NotAuthorized KMSAccessDeniedException OperationAbortedException InvalidKMSResourceException KMSDisabledException \
                 KMSInvalidStateException KMSNotFoundException KMSOptInRequired ServiceQuotaExceededException SomethingNewException",
            ),
            (
                ("again", true),
                "ExpiredToken ExpiredTokenException TokenRefreshRequired UnrecognizedClientException InvalidClientTokenId \
                 InvalidAccessKeyId InvalidToken MissingAuthenticationToken MissingAuthenticationTokenException \
                 IncompleteSignature InvalidSignatureException SignatureDoesNotMatch RequestExpired RequestTimeTooSkewed",
            ),
            (("missing", false), "ResourceNotFoundException"),
            (("done", false), "DataAlreadyAcceptedException"),
            (
                ("unacceptable", false),
                "RequestEntityTooLargeException SerializationException InvalidParameterException InvalidArgumentException \
                 ValidationException UnknownOperationException InvalidSourceException",
            ),
        ];
        for (expected, codes) in of_class {
            for code in codes.split_whitespace() {
                assert_eq!(class(code, 400), expected, "{code}");
            }
        }
        let of_status = [
            ("throttled", [429, 509].as_slice()),
            ("again", &[403, 500, 502, 503, 504]),
            ("unacceptable", &[413]),
        ];
        for (expected, all) in of_status {
            for status in all {
                assert_eq!(class("", *status), (expected, false), "{status}");
            }
        }
    }

    /// Checklist: outputs 28
    #[test]
    fn a_code_is_read_without_what_stands_around_it_and_first_from_the_header() {
        let code = |header: Option<&str>, body: &str| {
            let mut headers = http::HeaderMap::new();
            if let Some(header) = header {
                headers.insert("x-amzn-errortype", header.parse().unwrap());
            }
            let reply = Reply {
                status: 400,
                headers,
                body: body.to_owned().into(),
            };
            json_failure(&reply, false).code
        };
        let body = r#"{"__type":"com.amazonaws.kinesis#SlowDown","message":"m"}"#;
        assert_eq!(code(None, body), "SlowDown");
        let header = "ExpiredToken:http://internal.amazon.com/coral/com.amazon.coral.service/";
        assert_eq!(code(Some(header), body), "ExpiredToken");
        let url = r#"{"__type":"a.b#Throttling:http://x/"}"#;
        assert_eq!(code(None, url), "Throttling");
        assert_eq!(code(None, "<html>"), "");
    }
}
