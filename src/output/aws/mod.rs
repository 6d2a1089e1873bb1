//! What the AWS outputs share: settings, credentials, endpoints, the HTTP transport, and the meaning of error codes.
//!
//! The SDK signs, sends and reads errors; the bodies it sends were written by the encoders. It retries nothing.

mod answer;
mod http;

use std::time::{Duration, Instant};

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::identity::IdentityCache;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use tokio::sync::Mutex;

pub(super) use self::answer::{Failure, classify};
use self::http::Transport;
use super::Answer;
use crate::config::Settings;

/// One exchange with a service has to end by then.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
/// Credentials that the service refuses are loaded anew at most this often.
const RENEW_INTERVAL: Duration = Duration::from_mins(1);
/// The session name where a role is assumed.
const SESSION_NAME: &str = "sluice";

/// Settings of every AWS output.
#[derive(Debug, Clone)]
pub(super) struct Aws {
    region: String,
    endpoint: Option<String>,
    transport: Transport,
    role_arn: Option<String>,
    external_id: Option<String>,
    sts_endpoint: Option<String>,
    profile: Option<String>,
    agent: String,
}

impl Aws {
    /// Reads the settings.
    pub(super) fn read(settings: &mut Settings<'_>) -> Self {
        settings.accept(&["auto_retry_requests", "http_request_key"]);
        let transport = Transport::read(settings);
        let scheme = if settings.flag("tls", true) {
            "https"
        } else {
            "http"
        };
        let port = settings.port("port");
        let mut url = |key| {
            let endpoint = settings.text(key)?;
            let url = endpoint_url(&endpoint, scheme, port);
            if url.is_none() {
                settings.error(
                    key,
                    "not an endpoint; write a host, host:port, or http(s)://host:port",
                );
            }
            url
        };
        let endpoint = url("endpoint");
        let sts_endpoint = url("sts_endpoint");
        let suffix = settings.text("extra_user_agent").or_else(user_agent_suffix);
        Self {
            region: settings.required("region").unwrap_or_default(),
            endpoint,
            transport,
            role_arn: settings.text("role_arn"),
            external_id: settings.text("external_id"),
            sts_endpoint,
            profile: settings.text("profile"),
            agent: suffix.map_or_else(
                || "aws-fluent-bit-plugin".to_owned(),
                |s| format!("aws-fluent-bit-plugin-{s}"),
            ),
        }
    }

    /// Makes the configuration of a client: credentials, endpoint, transport. Nothing is asked of the network yet.
    ///
    /// # Errors
    /// What in the TLS settings cannot be used.
    async fn load(&self) -> Result<SdkConfig, String> {
        let http = self.transport.client();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .region(Region::new(self.region.clone()))
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .timeout_config(
                TimeoutConfig::builder()
                    .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                    .build(),
            )
            .identity_cache(IdentityCache::lazy().build());
        if let Ok(agent) = AppName::new(sanitised(&self.agent)) {
            loader = loader.app_name(agent);
        }
        if let Some(profile) = &self.profile {
            loader = loader.profile_name(profile);
        }
        let base = loader.load().await;
        let mut config = base.to_builder();
        if let Some(role) = &self.role_arn {
            config.set_credentials_provider(Some(self.assume(role, &base).await));
        }
        config.set_endpoint_url(
            self.endpoint
                .clone()
                .or_else(|| base.endpoint_url().map(str::to_owned)),
        );
        Ok(config.build())
    }

    /// Credentials of a role, asked for with those of the base chain.
    async fn assume(&self, role: &str, base: &SdkConfig) -> SharedCredentialsProvider {
        let mut sts = base.to_builder();
        sts.set_endpoint_url(self.sts_endpoint.clone());
        let mut builder = AssumeRoleProvider::builder(role)
            .session_name(SESSION_NAME)
            .configure(&sts.build());
        if let Some(id) = &self.external_id {
            builder = builder.external_id(id);
        }
        let provider = match base.credentials_provider() {
            Some(credentials) => builder.build_from_provider(credentials).await,
            None => {
                builder
                    .build_from_provider(DefaultCredentialsChain::builder().build().await)
                    .await
            }
        };
        SharedCredentialsProvider::new(provider)
    }
}

/// Gives a request the body that the encoder has written, in place of the empty one that the SDK made.
pub(super) fn hand_over(body: &Bytes, request: &mut HttpRequest) {
    // The length must go with it, or the wire would be cut to that of the empty one.
    request
        .headers_mut()
        .insert("content-length", body.len().to_string());
    *request.body_mut() = SdkBody::from(body.clone());
}

/// What an answer without the service's mark means: a proxy may say 200 too, so the events are not known to be there.
pub(super) fn unmarked() -> Answer {
    Answer::again("the answer carries no request id; is it from a proxy?")
}

/// A client that is made when it is first needed, and anew when the service refuses its credentials.
#[derive(Debug)]
pub(super) struct Lazy<C> {
    aws: Aws,
    make: fn(&SdkConfig) -> C,
    client: Mutex<Option<(C, Instant)>>,
}

impl<C: Clone> Lazy<C> {
    /// A client made by `make`.
    pub(super) fn new(aws: Aws, make: fn(&SdkConfig) -> C) -> Self {
        Self {
            aws,
            make,
            client: Mutex::new(None),
        }
    }

    /// The client.
    ///
    /// # Errors
    /// What in the TLS settings cannot be used.
    pub(super) async fn get(&self) -> Result<C, String> {
        let mut client = self.client.lock().await;
        if let Some((client, _)) = &*client {
            return Ok(client.clone());
        }
        let made = (self.make)(&self.aws.load().await?);
        *client = Some((made.clone(), Instant::now()));
        Ok(made)
    }

    /// Forgets the client, and with it the credentials it holds.
    pub(super) async fn renew(&self) {
        let mut client = self.client.lock().await;
        if client
            .as_ref()
            .is_some_and(|(_, made)| made.elapsed() >= RENEW_INTERVAL)
        {
            *client = None;
        }
    }
}

/// `[scheme://]host[:port][/]` as a URL; an explicit port setting wins over the one written here.
fn endpoint_url(endpoint: &str, scheme: &str, port: Option<u16>) -> Option<String> {
    let (scheme, host) = match endpoint.split_once("://") {
        Some((given @ ("http" | "https"), host)) => (given, host),
        Some(_) => return None,
        None => (scheme, endpoint),
    };
    let host = host.trim_end_matches('/');
    let url = match port {
        Some(port) => format!("{scheme}://{}:{port}", without_port(host)),
        None => format!("{scheme}://{host}"),
    };
    let parsed: ::http::Uri = url.parse().ok()?;
    (!parsed.host()?.is_empty() && parsed.path() == "/").then_some(url)
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|byte| byte.is_ascii_digit())
                && (!name.contains(':') || name.ends_with(']')) =>
        {
            name
        }
        _ => host,
    }
}

/// What Fluent Bit appends to its user agent in the same place.
fn user_agent_suffix() -> Option<String> {
    let variables = crate::config::Variables::from_process();
    match variables.get("FLB_AWS_USER_AGENT") {
        Some(suffix) if !suffix.is_empty() => Some(suffix.to_owned()),
        _ => variables
            .get("ECS_CONTAINER_METADATA_URI_V4")
            .map(|_| "ecs".to_owned()),
    }
}

/// Only these characters may stand in a user agent.
fn sanitised(agent: &str) -> String {
    agent
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c) {
                c
            } else {
                '-'
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_an_endpoint_is_understood() {
        let cases = [
            ("logs.example", "https", None, Some("https://logs.example")),
            (
                "logs.example",
                "https",
                Some(8443),
                Some("https://logs.example:8443"),
            ),
            (
                "http://127.0.0.1:5000",
                "https",
                None,
                Some("http://127.0.0.1:5000"),
            ),
            (
                "http://127.0.0.1:5000/",
                "https",
                Some(6000),
                Some("http://127.0.0.1:6000"),
            ),
            (
                "https://logs.example",
                "http",
                None,
                Some("https://logs.example"),
            ),
            (
                "127.0.0.1:5000",
                "http",
                None,
                Some("http://127.0.0.1:5000"),
            ),
            ("[::1]:5000", "http", Some(1), Some("http://[::1]:1")),
            ("ftp://logs.example", "https", None, None),
            ("logs.example/path", "https", None, None),
        ];
        for (endpoint, scheme, port, expected) in cases {
            assert_eq!(
                endpoint_url(endpoint, scheme, port).as_deref(),
                expected,
                "{endpoint}"
            );
        }
    }
}
