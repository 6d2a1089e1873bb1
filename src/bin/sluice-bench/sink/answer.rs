//! Answers in the shapes of the AWS services: JSON, and XML for S3.

use bytes::Bytes;
use hyper::StatusCode;
use serde_json::json;

/// An answer other than success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiError {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: String,
    /// Whether the client broke a documented rule, as against a fault on demand or a missing resource.
    pub(super) violation: bool,
}

impl ApiError {
    /// The client broke a rule of the service.
    pub(super) fn violation(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            code,
            message: message.into(),
            violation: true,
        }
    }

    /// A well-formed request for something that cannot be had now.
    pub(super) fn refusal(
        status: StatusCode,
        code: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            violation: false,
        }
    }

    /// The body is not the JSON that the operation takes.
    pub(super) fn serialization(error: &serde_json::Error) -> Self {
        Self::violation("SerializationException", error.to_string())
    }

    /// The body that carries this answer.
    pub(super) fn body(&self, service: &str) -> Reply {
        let Self { code, message, .. } = self;
        if service == "s3" {
            let message = message.replace('&', "&amp;").replace('<', "&lt;");
            return Reply::xml(format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>"
            ));
        }
        Reply::json(json!({ "__type": code, "message": message }).to_string())
    }
}

/// The body of an answer, with what its headers say of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Reply {
    pub(super) body: Bytes,
    pub(super) content_type: &'static str,
    pub(super) tag: Option<String>,
}

impl Reply {
    /// What the JSON services answer.
    pub(super) fn json(body: String) -> Self {
        Self {
            body: body.into(),
            content_type: "application/x-amz-json-1.1",
            tag: None,
        }
    }

    /// What S3 answers.
    pub(super) fn xml(body: String) -> Self {
        Self {
            body: body.into(),
            content_type: "application/xml",
            tag: None,
        }
    }

    /// An empty body with an `ETag`.
    pub(super) fn tagged(tag: String) -> Self {
        Self {
            tag: Some(tag),
            ..Self::xml(String::new())
        }
    }

    /// An object.
    pub(super) fn bytes(body: Bytes, tag: String) -> Self {
        Self {
            body,
            content_type: "binary/octet-stream",
            tag: Some(tag),
        }
    }

    /// A page that no service makes, as a proxy or a portal might.
    pub(super) fn page() -> Self {
        Self {
            body: Bytes::from_static(b"<html><body>Please sign in.</body></html>"),
            content_type: "text/html",
            tag: None,
        }
    }
}

/// The wording of a broken length or pattern, as the services put it.
pub(super) fn constraint(at: &str, rule: impl std::fmt::Display) -> String {
    format!(
        "1 validation error detected: Value at '{at}' failed to satisfy constraint: Member must {rule}"
    )
}
