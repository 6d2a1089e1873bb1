//! Credentials from a URL that the configuration names: `credentials_endpoint` of AWS's Go plugin.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, future};
use aws_smithy_runtime_api::client::http::{HttpConnector as _, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use http_body_util::{BodyExt as _, Limited};
use serde::Deserialize;

use crate::output::net::with_causes;

/// The answer has to be there by then.
const DEADLINE: Duration = Duration::from_secs(5);
/// The longest answer that is read.
const ANSWER_MAX: usize = 64 << 10;

/// Asks a URL for credentials.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) url: String,
    pub(super) connector: SharedHttpConnector,
}

/// What such endpoints answer; that of ECS does as well.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    access_key_id: String,
    secret_access_key: String,
    token: Option<String>,
    expiration: Option<String>,
}

impl Fetched {
    async fn fetch(&self) -> provider::Result {
        let asked = tokio::time::timeout(DEADLINE, self.ask()).await;
        asked
            .unwrap_or_else(|_| Err("no answer".to_owned()))
            .map_err(|why| {
                CredentialsError::provider_error(format!(
                    "credentials_endpoint {}: {why}",
                    self.url
                ))
            })
    }

    async fn ask(&self) -> Result<Credentials, String> {
        let request = http::Request::get(&self.url)
            .header("accept", "application/json")
            .body(SdkBody::empty())
            .map_err(|error| error.to_string())?;
        let request = HttpRequest::try_from(request).map_err(|error| with_causes(&error))?;
        let response = self.connector.call(request).await;
        let response = response.map_err(|error| with_causes(&error))?;
        let status = response.status().as_u16();
        if status != 200 {
            return Err(format!("HTTP status {status}"));
        }
        let body = Limited::new(response.into_body(), ANSWER_MAX)
            .collect()
            .await;
        let body = body.map_err(|error| with_causes(error.as_ref()))?;
        // What an answer holds is not shown: it may be most of a secret.
        read(&body.to_bytes()).ok_or_else(|| "the answer holds no credentials".to_owned())
    }
}

fn read(body: &[u8]) -> Option<Credentials> {
    let answer: Answer = serde_json::from_slice(body).ok()?;
    if answer.access_key_id.is_empty() || answer.secret_access_key.is_empty() {
        return None;
    }
    let end = match answer.expiration {
        Some(text) => Some(text.parse::<jiff::Timestamp>().ok()?),
        None => None,
    };
    Some(Credentials::new(
        answer.access_key_id,
        answer.secret_access_key,
        answer.token,
        end.map(SystemTime::from),
        "credentials_endpoint",
    ))
}

impl ProvideCredentials for Fetched {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.fetch())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_whole_or_not_at_all() {
        let body = br#"{"AccessKeyId":"AK","SecretAccessKey":"s","Token":"t","Expiration":"2030-01-02T03:04:05Z"}"#;
        let credentials = read(body).unwrap();
        assert_eq!(credentials.access_key_id(), "AK");
        assert_eq!(credentials.session_token(), Some("t"));
        let end = credentials.expiry().unwrap();
        let end = end.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(end.as_secs(), 1_893_553_445);
        let lasting = br#"{"AccessKeyId":"AK","SecretAccessKey":"s"}"#;
        assert_eq!(read(lasting).unwrap().expiry(), None);
        for wrong in [
            &b"<html>"[..],
            b"{}",
            br#"{"AccessKeyId":"","SecretAccessKey":"s"}"#,
            br#"{"AccessKeyId":"AK","SecretAccessKey":"s","Expiration":"soon"}"#,
        ] {
            assert!(read(wrong).is_none());
        }
    }
}
