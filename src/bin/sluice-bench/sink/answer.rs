//! Error answers in the shape of the AWS JSON services.

use hyper::StatusCode;
use serde_json::{Value, json};

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
    pub(super) fn body(&self) -> Value {
        json!({ "__type": self.code, "message": self.message })
    }
}

/// The wording of a broken length or pattern, as the services put it.
pub(super) fn constraint(at: &str, rule: impl std::fmt::Display) -> String {
    format!(
        "1 validation error detected: Value at '{at}' failed to satisfy constraint: Member must {rule}"
    )
}
