//! What the AWS outputs share: settings, credentials, endpoints, the HTTP transport, and the meaning of error codes.
//!
//! | file | purpose |
//! |---|---|
//! | `abridge.rs` | answers made short before the SDK reads them |
//! | `answer.rs` | what an error of a service means for the events |
//! | `check.rs` | what it means for our permissions |
//! | `credentials.rs` | credentials, held for all outputs of one identity |
//! | `endpoint.rs` | where a service is reached |
//! | `fetched.rs` | credentials from a URL of the configuration |
//! | `http.rs` | the connections |
//! | `region.rs` | which region, when the configuration does not say |
//! | `signed.rs` | services without a crate of the SDK: the SDK signs, the rest is HTTP |
//! | `task.rs` | what is known of the ECS task |
//!
//! The SDK signs, sends and reads errors; the bodies it sends were written by the encoders. It retries nothing.

mod abridge;
mod answer;
mod check;
mod credentials;
#[cfg(test)]
mod deadlines;
mod endpoint;
mod fetched;
mod http;
mod region;
mod signed;
mod task;

use std::sync::Arc;
use std::time::Duration;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::identity::IdentityCache;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use tokio::sync::Mutex;

pub(super) use self::abridge::abridged;
pub(super) use self::answer::{Failure, classify, json_failure};
pub(super) use self::check::Question;
use self::credentials::{Provider, Vault};
use self::endpoint::endpoint_url;
use self::fetched::Fetched;
use self::http::Transport;
pub(super) use self::region::RegionSource;
pub(super) use self::signed::{Call, FileBody, Payload, Reply, Signed};
pub(super) use self::task::{Metadata, Task};
use super::{Answer, Destination};
use crate::config::{Settings, Variables};

/// One exchange with a service has to end by then.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
/// The session name where a role is assumed.
const SESSION_NAME: &str = "sluice";

/// Settings of every AWS output.
#[derive(Debug, Clone)]
pub(super) struct Aws {
    region: RegionSource,
    endpoint: Option<String>,
    transport: Transport,
    role_arn: Option<String>,
    external_id: Option<String>,
    sts_endpoint: Option<String>,
    profile: Option<String>,
    /// Where credentials are asked for, instead of the chain.
    credentials_endpoint: Option<String>,
    agent: String,
}

/// How an output calls the settings that say who asks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keys {
    pub(super) role_arn: &'static str,
    pub(super) external_id: &'static str,
    pub(super) profile: &'static str,
}

impl Keys {
    /// As most outputs do.
    pub(super) const PLAIN: Self = Self {
        role_arn: "role_arn",
        external_id: "external_id",
        profile: "profile",
    };
}

impl Aws {
    /// Reads the settings.
    pub(super) fn read(settings: &mut Settings<'_>) -> Self {
        let region = RegionSource::read(settings, "region");
        Self::read_in(settings, region)
    }

    /// Reads the settings of an output that knows its region.
    pub(super) fn read_in(settings: &mut Settings<'_>, region: RegionSource) -> Self {
        let port = settings.port("port");
        let scheme = if settings.flag("tls", true) {
            "https"
        } else {
            "http"
        };
        let endpoint = read_url(settings, "endpoint", scheme, port);
        let sts_endpoint = read_url(settings, "sts_endpoint", scheme, port);
        Self::read_as(settings, Keys::PLAIN, region, endpoint, sts_endpoint)
    }

    /// Reads the settings under other names.
    pub(super) fn read_as(
        settings: &mut Settings<'_>,
        keys: Keys,
        region: RegionSource,
        endpoint: Option<String>,
        sts_endpoint: Option<String>,
    ) -> Self {
        settings.accept(&["auto_retry_requests", "http_request_key"]);
        let suffix = settings.text("extra_user_agent").or_else(user_agent_suffix);
        Self {
            region,
            endpoint,
            transport: Transport::read(settings),
            role_arn: settings.text(keys.role_arn),
            external_id: settings.text(keys.external_id),
            sts_endpoint,
            profile: settings.text(keys.profile),
            credentials_endpoint: None,
            agent: suffix.map_or_else(
                || "aws-fluent-bit-plugin".to_owned(),
                |s| format!("aws-fluent-bit-plugin-{s}"),
            ),
        }
    }

    /// Reads `credentials_endpoint`.
    pub(super) fn with_credentials_endpoint(mut self, settings: &mut Settings<'_>) -> Self {
        let key = "credentials_endpoint";
        self.credentials_endpoint = settings.text(key);
        let url = self.credentials_endpoint.as_deref();
        let uri: Option<::http::Uri> = url.and_then(|url| url.parse().ok());
        let is_url = uri.is_some_and(|uri| {
            uri.host().is_some() && matches!(uri.scheme_str(), Some("http" | "https"))
        });
        if url.is_some() && !is_url {
            settings.error(key, "not a URL; write http(s)://host[:port]/path");
        }
        self
    }

    /// What is asked for under this name, told apart from what another account, region or service calls the same.
    pub(super) fn name(&self, service: &str, destination: &Destination) -> String {
        let own = (&self.profile, &self.credentials_endpoint);
        let account = (own, &self.role_arn, &self.external_id);
        let place = (self.region.known(), &self.endpoint);
        format!("{service} {account:?} {place:?} {destination}")
    }

    /// Makes what clients need: credentials, region, endpoint, transport. Of the network it asks at most for the region.
    ///
    /// # Errors
    /// What in the TLS settings cannot be used, or why the region is not known.
    async fn load(&self) -> Result<Session, String> {
        let agent = sanitised(&self.agent);
        let (http, connector) = self.transport.client(&agent);
        let region = self
            .region
            .find(self.profile.as_deref(), http.clone())
            .await?;
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .region(Region::new(region.clone()))
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .timeout_config(
                TimeoutConfig::builder()
                    .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                    .build(),
            );
        if let Ok(agent) = AppName::new(agent) {
            loader = loader.app_name(agent);
        }
        if let Some(profile) = &self.profile {
            loader = loader.profile_name(profile);
        }
        let base = loader.load().await;
        let identity = format!("{:?} {region}", self.identity());
        let vault = Vault::of(&identity, self.source(&base, &connector).await);
        let mut config = base.to_builder();
        // The vault is the cache.
        config.set_identity_cache(Some(IdentityCache::no_cache()));
        let provider = Provider(Arc::clone(&vault));
        config.set_credentials_provider(Some(SharedCredentialsProvider::new(provider)));
        let given = self.endpoint.clone();
        config.set_endpoint_url(given.or_else(|| base.endpoint_url().map(str::to_owned)));
        Ok(Session {
            config: config.build(),
            endpoint: self.endpoint.clone(),
            region,
            connector,
            vault,
        })
    }

    /// What makes credentials the same as those of another output; the transport, because a role is asked for through it.
    fn identity(&self) -> impl std::fmt::Debug {
        (
            (self.profile.clone(), self.credentials_endpoint.clone()),
            self.role_arn.clone(),
            self.external_id.clone(),
            self.sts_endpoint.clone(),
            self.transport.clone(),
        )
    }

    /// Credentials of the chain, or of a role that is assumed with them.
    async fn source(
        &self,
        base: &SdkConfig,
        connector: &SharedHttpConnector,
    ) -> SharedCredentialsProvider {
        let chain = match (&self.credentials_endpoint, base.credentials_provider()) {
            (Some(url), _) => SharedCredentialsProvider::new(Fetched {
                url: url.clone(),
                connector: connector.clone(),
            }),
            (None, Some(chain)) => chain,
            (None, None) => {
                SharedCredentialsProvider::new(DefaultCredentialsChain::builder().build().await)
            }
        };
        let Some(role) = &self.role_arn else {
            return chain;
        };
        let mut sts = base.to_builder();
        sts.set_endpoint_url(self.sts_endpoint.clone());
        let mut builder = AssumeRoleProvider::builder(role)
            .session_name(SESSION_NAME)
            .configure(&sts.build());
        if let Some(id) = &self.external_id {
            builder = builder.external_id(id);
        }
        SharedCredentialsProvider::new(builder.build_from_provider(chain).await)
    }
}

/// Reads an endpoint.
pub(super) fn read_url(
    settings: &mut Settings<'_>,
    key: &'static str,
    scheme: &str,
    port: Option<u16>,
) -> Option<String> {
    let endpoint = settings.text(key)?;
    let url = endpoint_url(&endpoint, scheme, port);
    if url.is_none() {
        settings.error(
            key,
            "not an endpoint; write a host, host:port, or http(s)://host:port",
        );
    }
    url
}

/// What clients of one output need.
#[derive(Debug, Clone)]
pub(super) struct Session {
    config: SdkConfig,
    endpoint: Option<String>,
    region: String,
    connector: SharedHttpConnector,
    vault: Arc<Vault>,
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

/// A client that is made when it is first needed.
#[derive(Debug)]
pub(super) struct Lazy<C> {
    aws: Aws,
    make: fn(&Session) -> C,
    made: Mutex<Option<(C, Arc<Vault>)>>,
}

/// A client and the credentials it uses.
#[derive(Debug)]
pub(super) struct Ready<C> {
    pub(super) api: C,
    vault: Arc<Vault>,
    /// Of the credentials when the client was asked for.
    generation: u64,
}

impl<C: Clone> Lazy<C> {
    /// A client made by `make`.
    pub(super) fn new(aws: Aws, make: fn(&Session) -> C) -> Self {
        Self {
            aws,
            make,
            made: Mutex::new(None),
        }
    }

    /// The settings it is made from.
    pub(super) fn aws(&self) -> &Aws {
        &self.aws
    }

    /// The client.
    ///
    /// # Errors
    /// What in the TLS settings cannot be used, or why the region is not known.
    pub(super) async fn get(&self) -> Result<Ready<C>, String> {
        let mut made = self.made.lock().await;
        if made.is_none() {
            let session = self.aws.load().await?;
            *made = Some(((self.make)(&session), session.vault));
        }
        let (api, vault) = made.as_ref().ok_or("no client")?;
        Ok(Ready {
            api: api.clone(),
            vault: Arc::clone(vault),
            generation: vault.generation(),
        })
    }
}

impl<C> Ready<C> {
    /// Asks, and once more where the service refused the credentials and there are new ones: that costs no retry.
    ///
    /// # Errors
    /// Those of the last attempt.
    pub(super) async fn ask<T, F>(&self, attempt: impl Fn() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        match attempt().await {
            Err(failure) if failure.renew && self.vault.renew(self.generation).await => {
                attempt().await
            }
            other => other,
        }
    }
}

impl Session {
    /// The configuration for clients of the SDK.
    pub(super) fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// What such clients send with.
    pub(super) fn connector(&self) -> SharedHttpConnector {
        self.connector.clone()
    }
}

/// What Fluent Bit appends to its user agent in the same place.
fn user_agent_suffix() -> Option<String> {
    let variables = Variables::from_process();
    match variables.get("FLB_AWS_USER_AGENT") {
        Some(suffix) if !suffix.is_empty() => Some(suffix.to_owned()),
        _ if variables.get("ECS_CONTAINER_METADATA_URI_V4").is_some() => Some("ecs".to_owned()),
        _ => (variables.get("k8s") == Some("enabled")).then(|| "k8s".to_owned()),
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
