//! Between the SDK and the HTTP client that the outputs share.

use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;

use crate::config::Settings;
use crate::output::net::{HttpClient, HttpError, HttpWay};

/// Services close idle connections after 20 to 60 seconds; leaving first avoids a request on a dead one, and with it a duplicate.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// An answer has to begin by then, where neither the user nor the SDK says otherwise.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(25);

/// How to reach a service.
#[derive(Debug, Clone)]
pub(super) struct Transport(HttpWay);

impl Transport {
    /// Reads `net.*`, `tls.*`, `proxy` and the environment.
    pub(super) fn read(settings: &mut Settings<'_>) -> Self {
        Self(HttpWay::read(settings, IDLE_TIMEOUT))
    }

    /// Makes the client, as the SDK wants it and as what it stands on; both share their connections. Every request names the `agent`.
    pub(super) fn client(&self, agent: &str) -> (SharedHttpClient, SharedHttpConnector) {
        let client = Arc::new(self.0.client());
        let agent: Arc<str> = agent.into();
        let patience = self.0.io_timeout().unwrap_or(ANSWER_TIMEOUT);
        let connector = SharedHttpConnector::new(Connector {
            client: Arc::clone(&client),
            agent: Arc::clone(&agent),
            limit: patience,
        });
        let shared = http_client_fn(move |settings, _| {
            SharedHttpConnector::new(Connector {
                client: Arc::clone(&client),
                agent: Arc::clone(&agent),
                limit: limit(settings).unwrap_or(patience),
            })
        });
        (shared, connector)
    }
}

/// The deadline of those calls for which the SDK has its own, such as for the credentials of an instance.
fn limit(settings: &HttpConnectorSettings) -> Option<Duration> {
    let connect = settings.connect_timeout().unwrap_or_default();
    settings.read_timeout().map(|read| connect + read)
}

/// Sends one kind of calls.
#[derive(Debug)]
struct Connector {
    client: Arc<HttpClient<SdkBody>>,
    agent: Arc<str>,
    limit: Duration,
}

impl HttpConnector for Connector {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        // In place of the SDK's own, which it repeats in another header. Neither is signed.
        let headers = request.headers_mut();
        headers.insert("user-agent", self.agent.to_string());
        let (client, limit) = (Arc::clone(&self.client), self.limit);
        HttpConnectorFuture::new(async move {
            // The body is shared, not copied, and what streams is not kept.
            let mut copy = request.try_clone();
            let request = request
                .try_into_http1x()
                .map_err(|error| ConnectorError::user(error.into()))?;
            let again = || {
                let once_more = copy.as_ref().and_then(HttpRequest::try_clone);
                let resent = std::mem::replace(&mut copy, once_more)?;
                resent.try_into_http1x().ok()
            };
            let response = client.send(limit, request, again).await;
            let response = response.map_err(|error| match error {
                late @ HttpError::Late(_) => ConnectorError::timeout(late.into()),
                broken @ HttpError::Exchange(_) => ConnectorError::io(broken.into()),
            })?;
            let response = response.map(SdkBody::from_body_1_x);
            HttpResponse::try_from(response)
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}
